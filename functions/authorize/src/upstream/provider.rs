//! What is said to the provider's server: metadata, keys, token and userinfo requests.
//!
//! The provider is chosen by the operator, so this is not the guarded fetcher for strangers' URLs. It is
//! still kept short: time limits, bounded answers, no redirects, no proxies from the environment.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::random::Random;
use shared::secret::Secret;
use tokio::sync::Mutex;

use super::id_token::{self, Claims, Expected, IdTokenError};
use super::settings::{ClientAuthentication, UpstreamSettings, is_usable};
use crate::sign_in::{SignInAnswer, SignInError};

/// Connecting. The person waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// One request with its whole answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer: key sets with certificate chains are the longest honest ones.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Keys that are looked at.
const KEYS_MAX: usize = 64;

/// How long metadata and keys are reused. Within it a retired key is still trusted.
const REUSE: Duration = Duration::from_secs(3600);

/// After a failure the provider is left alone for this long: strangers must not make us knock at each
/// request (DESIGN invariant 1).
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

/// Between two looks at the keys because of an unknown one (FM084).
const KEYS_PAUSE: Duration = Duration::from_secs(60);

/// How long an assertion of ours is good.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);

/// RFC 7523 §2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// No HTTPS client can be built.
#[derive(Debug, thiserror::Error)]
pub enum ProviderSetupError {
    /// TLS.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The client.
    #[error("HTTPS client: {0}")]
    Client(#[from] reqwest::Error),
}

/// What the provider publishes about itself (OpenID Connect Discovery §3).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    /// RFC 9207 §3.
    #[serde(default, rename = "authorization_response_iss_parameter_supported")]
    pub(super) sends_iss: bool,
}

/// The token answer, as far as we need it.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) id_token: String,
    access_token: Option<String>,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Timestamp, Arc<Metadata>)>,
    keys: Option<(Timestamp, Arc<Vec<Jwk>>)>,
    looked_for_keys_at: Option<Timestamp>,
    failed: Option<(Timestamp, String)>,
}

/// The provider's server.
pub(super) struct Provider {
    issuer: String,
    loopback: bool,
    client: Client,
    /// Held while asking, so that many people at once ask once.
    known: Mutex<Known>,
}

impl Provider {
    pub(super) fn new(settings: &UpstreamSettings) -> Result<Self, ProviderSetupError> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(!settings.is_loopback())
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()?;
        let known = Mutex::new(Known::default());
        Ok(Self { issuer: settings.issuer.clone(), loopback: settings.is_loopback(), client, known })
    }

    /// The provider's metadata, at most [`REUSE`] old.
    pub(super) async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, SignInError> {
        let mut known = self.known.lock().await;
        if let Some((at, metadata)) = &known.metadata
            && now.since(*at) < REUSE
        {
            return Ok(Arc::clone(metadata));
        }
        pause_after_failure(&known, now)?;
        match self.fetch_metadata().await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                known.metadata = Some((now, Arc::clone(&metadata)));
                Ok(metadata)
            }
            Err(error) => Err(remember_failure(&mut known, now, error)),
        }
    }

    async fn fetch_metadata(&self) -> Result<Metadata, SignInError> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let metadata: Metadata = self.ask("metadata", self.client.get(url)).await?;
        // OpenID Connect Discovery §4.3: exactly, or somebody else's metadata would do.
        if metadata.issuer != self.issuer {
            return Err(unavailable("metadata", "it names another issuer"));
        }
        let endpoints = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        if endpoints.into_iter().chain(&metadata.userinfo_endpoint).any(|url| !is_usable(url, self.loopback))
        {
            return Err(unavailable("metadata", "an endpoint is not an https URL"));
        }
        Ok(metadata)
    }

    /// Redeems `code` (OpenID Connect Core §3.1.3).
    pub(super) async fn redeem(
        &self,
        metadata: &Metadata,
        settings: &UpstreamSettings,
        code: &str,
        verifier: &str,
        answer: &SignInAnswer,
        random: &dyn Random,
    ) -> Result<Tokens, SignInError> {
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", answer.callback.as_str()),
            ("code_verifier", verifier),
        ];
        let mut request = self
            .client
            .post(&metadata.token_endpoint)
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded");
        let signed;
        match &settings.authentication {
            ClientAuthentication::ClientSecret(secret) if metadata.takes_basic() => {
                request = request.header("authorization", basic(&settings.client_id, secret));
            }
            ClientAuthentication::ClientSecret(secret) => {
                pairs
                    .extend([("client_id", settings.client_id.as_str()), ("client_secret", secret.expose())]);
            }
            ClientAuthentication::PrivateKey { key, kid } => {
                signed = assertion(settings, key, kid.clone(), answer.now, random)?;
                pairs.extend([
                    ("client_id", settings.client_id.as_str()),
                    ("client_assertion_type", ASSERTION_TYPE),
                    ("client_assertion", signed.expose()),
                ]);
            }
        }
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let request = request.body(form);
        let (status, body) = self.exchange("token", request).await?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body)
                .map_err(|_| SignInError::NotGenuine("the token answer has no ID token".to_owned()));
        }
        let error = serde_json::from_slice::<Value>(&body)
            .ok()
            .and_then(|body| body.get("error").and_then(Value::as_str).map(str::to_owned));
        match error.as_deref() {
            // Used before, expired, or not meant for us: starting again helps.
            Some("invalid_grant") => Err(SignInError::NotGenuine("the code is not good".to_owned())),
            _ => Err(unavailable("token", &format!("status {status}, {}", error.unwrap_or_default()))),
        }
    }

    /// Verifies an ID token; an unknown key is looked for once.
    pub(super) async fn verify(
        &self,
        metadata: &Metadata,
        token: &str,
        expected: &Expected<'_>,
    ) -> Result<Claims, SignInError> {
        let keys = self.keys(metadata, expected.now, false).await?;
        let mut verified = id_token::verify(token, &keys, expected);
        if verified == Err(IdTokenError::UnknownKey) {
            let keys = self.keys(metadata, expected.now, true).await?;
            verified = id_token::verify(token, &keys, expected);
        }
        verified.map_err(|error| match error {
            IdTokenError::Acr => SignInError::Denied(error.to_string()),
            error => SignInError::NotGenuine(error.to_string()),
        })
    }

    async fn keys(
        &self,
        metadata: &Metadata,
        now: Timestamp,
        look_again: bool,
    ) -> Result<Arc<Vec<Jwk>>, SignInError> {
        let mut known = self.known.lock().await;
        let rested = known.looked_for_keys_at.is_none_or(|at| now.since(at) >= KEYS_PAUSE);
        if let Some((at, keys)) = &known.keys
            && now.since(*at) < REUSE
            && !(look_again && rested)
        {
            return Ok(Arc::clone(keys));
        }
        pause_after_failure(&known, now)?;
        if look_again {
            known.looked_for_keys_at = Some(now);
        }
        match self.ask::<KeySet>("keys", self.client.get(&metadata.jwks_uri)).await {
            Ok(set) => {
                // A key of a kind that we do not know is no reason to refuse the others.
                let keys =
                    set.keys.into_iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value(key).ok());
                let keys = Arc::new(keys.collect::<Vec<Jwk>>());
                known.keys = Some((now, Arc::clone(&keys)));
                Ok(keys)
            }
            Err(error) => Err(remember_failure(&mut known, now, error)),
        }
    }

    /// The userinfo answer (OpenID Connect Core §5.3), where the provider has one.
    pub(super) async fn userinfo(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
    ) -> Result<Option<Value>, SignInError> {
        let (Some(endpoint), Some(token)) = (&metadata.userinfo_endpoint, &tokens.access_token) else {
            return Ok(None);
        };
        self.ask("userinfo", self.client.get(endpoint).bearer_auth(token)).await.map(Some)
    }

    /// A JSON answer with status 200, or the provider counts as down.
    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
        request: RequestBuilder,
    ) -> Result<T, SignInError> {
        let (status, body) = self.exchange(what, request.header("accept", "application/json")).await?;
        if status != StatusCode::OK {
            return Err(unavailable(what, &format!("status {status}")));
        }
        serde_json::from_slice(&body).map_err(|error| unavailable(what, &error.to_string()))
    }

    async fn exchange(
        &self,
        what: &str,
        request: RequestBuilder,
    ) -> Result<(StatusCode, Vec<u8>), SignInError> {
        let failed =
            |error: reqwest::Error| unavailable(what, &shared::http::log::chain(&error.without_url()));
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(unavailable(what, "the answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Metadata {
    /// OpenID Connect Discovery §3: `client_secret_basic` if nothing is said.
    fn takes_basic(&self) -> bool {
        let methods = &self.token_endpoint_auth_methods_supported;
        methods.is_empty() || methods.iter().any(|method| method == "client_secret_basic")
    }
}

fn pause_after_failure(known: &Known, now: Timestamp) -> Result<(), SignInError> {
    match &known.failed {
        Some((at, reason)) if now.since(*at) < FAILURE_PAUSE && *at <= now => {
            Err(SignInError::Unavailable(format!("not asked again so soon: {reason}")))
        }
        _ => Ok(()),
    }
}

fn remember_failure(known: &mut Known, now: Timestamp, error: SignInError) -> SignInError {
    known.failed = Some((now, error.to_string()));
    error
}

fn unavailable(what: &str, reason: &str) -> SignInError {
    SignInError::Unavailable(format!("{what}: {reason}"))
}

/// OAuth 2.1 §2.4.1: both parts form-encoded first.
fn basic(client_id: &str, secret: &Secret) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(client_id), encode(secret.expose()))))
}

/// RFC 7523 §2.2, with the issuer as the only audience (RFC 10070).
fn assertion(
    settings: &UpstreamSettings,
    key: &EncodingKey,
    kid: Option<String>,
    now: Timestamp,
    random: &dyn Random,
) -> Result<Secret, SignInError> {
    let jti: [u8; 16] = random.bytes().map_err(|error| unavailable("token", &error.to_string()))?;
    let mut header = Header::new(Algorithm::ES256);
    header.kid = kid;
    let claims = json!({
        "iss": settings.client_id,
        "sub": settings.client_id,
        "aud": settings.issuer,
        "jti": URL_SAFE_NO_PAD.encode(jti),
        "iat": now.epoch_seconds(),
        "exp": now.plus(ASSERTION_LIFETIME).epoch_seconds(),
    });
    encode(&header, &claims, key).map(Secret::new).map_err(|error| unavailable("token", &error.to_string()))
}
