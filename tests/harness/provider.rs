//! An OpenID provider that does as it is told, wrong things included.

use std::sync::{Arc, Mutex, MutexGuard};

use authorize::upstream::{ClientAuthentication, OpenIdProvider, UpstreamSettings};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use shared::clock::Clock as _;
use shared::http::json as answer;
use shared::oauth::Issuer;
use shared::random::OsRandom;
use shared::secret::Secret;
use shared::testing::clock::TestClock;

/// Our client identifier at the provider.
pub const UPSTREAM_CLIENT_ID: &str = "nameplate client";

const SECRET: &str = "a secret: with+signs";

/// One key of the provider.
#[derive(Clone)]
pub struct ProviderKey {
    pkcs8: Vec<u8>,
    kid: String,
}

impl ProviderKey {
    /// A new key by the name `kid`.
    pub fn new(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { pkcs8: pair.to_pkcs8v1().unwrap().as_ref().to_vec(), kid: kid.to_owned() }
    }

    fn public(&self) -> Value {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8).unwrap();
        let point = pair.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        })
    }
}

/// What the provider does.
pub struct Script {
    /// Its name for itself.
    pub issuer: String,
    /// Members to change in its metadata; `null` removes one.
    pub metadata: Value,
    /// Members to change in the ID token; `null` removes one.
    pub claims: Value,
    /// What userinfo says.
    pub userinfo: Value,
    /// The nonce of the last request, as the authorization endpoint would keep it.
    pub nonce: String,
    /// Signs.
    pub key: ProviderKey,
    /// The algorithm it claims to sign with; HS256 signs with the public key's text, `none` not at all.
    pub algorithm: &'static str,
    /// Are published, besides one of a kind that nobody knows.
    pub published: Vec<ProviderKey>,
    /// Status of every answer, if not 200.
    pub status: Option<u16>,
    /// Answer of the token endpoint, instead of tokens.
    pub token_error: Option<(u16, Value)>,
    /// The paths asked for, in order.
    pub asked: Vec<String>,
    /// Forms received at the token endpoint, with the `Authorization` header.
    pub redeemed: Vec<(String, String)>,
}

/// The provider, listening on loopback.
#[derive(Clone)]
pub struct ProviderDouble {
    script: Arc<Mutex<Script>>,
    clock: Arc<TestClock>,
}

impl ProviderDouble {
    /// Starts a provider that behaves well.
    pub async fn start(clock: &Arc<TestClock>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key = ProviderKey::new("first");
        let script = Script {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            metadata: json!({}),
            claims: json!({}),
            userinfo: json!({"sub": "42", "groups": ["from userinfo"]}),
            nonce: String::new(),
            published: vec![key.clone()],
            key,
            algorithm: "ES256",
            status: None,
            token_error: None,
            asked: Vec::new(),
            redeemed: Vec::new(),
        };
        let this = Self { script: Arc::new(Mutex::new(script)), clock: Arc::clone(clock) };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/jwks", get(keys))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .with_state(this.clone());
        // Ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        this
    }

    /// What it does, to be changed.
    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// An authenticator of ours for it, as the authorize function builds one.
    pub fn authenticator(&self, change: impl FnOnce(&mut UpstreamSettings)) -> OpenIdProvider {
        let secret = ClientAuthentication::ClientSecret(Secret::new(SECRET.to_owned()));
        let issuer = self.script().issuer.clone();
        // The stories' issuer is https; this one stands for a server on the same machine.
        let ours = Issuer::parse("http://127.0.0.1:1").unwrap();
        let mut settings = UpstreamSettings::new(&issuer, UPSTREAM_CLIENT_ID, secret, &ours).unwrap();
        change(&mut settings);
        OpenIdProvider::new(settings, Arc::new(OsRandom)).unwrap()
    }

    fn asked(&self, path: &str) -> Result<MutexGuard<'_, Script>, StatusCode> {
        let mut script = self.script();
        script.asked.push(path.to_owned());
        match script.status {
            Some(status) => Err(StatusCode::from_u16(status).unwrap()),
            None => Ok(script),
        }
    }
}

/// The `Authorization` header of our client secret (OAuth 2.1 §2.4.1).
pub fn basic_authorization() -> String {
    format!("Basic {}", STANDARD.encode("nameplate+client:a+secret%3A+with%2Bsigns"))
}

fn change(value: &mut Value, changes: &Value) {
    for (name, new) in changes.as_object().unwrap() {
        if new.is_null() {
            value.as_object_mut().unwrap().remove(name);
        } else {
            value[name] = new.clone();
        }
    }
}

async fn metadata(State(provider): State<ProviderDouble>) -> Result<Response, StatusCode> {
    let script = provider.asked("metadata")?;
    let at = |path: &str| format!("{}{path}", script.issuer);
    let mut metadata = json!({
        "issuer": script.issuer,
        "authorization_endpoint": at("/authorize?tenant=1"),
        "token_endpoint": at("/token"),
        "jwks_uri": at("/jwks"),
        "userinfo_endpoint": at("/userinfo"),
        "authorization_response_iss_parameter_supported": true,
    });
    change(&mut metadata, &script.metadata);
    Ok(answer(StatusCode::OK, &metadata))
}

async fn keys(State(provider): State<ProviderDouble>) -> Result<Response, StatusCode> {
    let script = provider.asked("keys")?;
    let mut keys: Vec<Value> = script.published.iter().map(ProviderKey::public).collect();
    keys.insert(0, json!({"kty": "FUTURE", "kid": "first"}));
    Ok(answer(StatusCode::OK, &json!({"keys": keys})))
}

async fn token(
    State(provider): State<ProviderDouble>,
    headers: HeaderMap,
    form: Bytes,
) -> Result<Response, StatusCode> {
    let mut script = provider.asked("token")?;
    let authorization = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
    script.redeemed.push((String::from_utf8(form.to_vec()).unwrap(), authorization.to_owned()));
    if let Some((status, body)) = script.token_error.clone() {
        return Ok(answer(StatusCode::from_u16(status).unwrap(), &body));
    }
    let now = provider.clock.now().epoch_seconds();
    let mut claims = json!({
        "iss": script.issuer, "aud": UPSTREAM_CLIENT_ID, "sub": "42", "nonce": script.nonce,
        "iat": now, "exp": now + 300, "auth_time": now, "name": "Ada Lovelace", "email": "ada@example.com",
    });
    change(&mut claims, &script.claims);
    let id_token = sign(&script, &claims);
    let tokens = json!({"id_token": id_token, "access_token": "at", "token_type": "Bearer"});
    Ok(answer(StatusCode::OK, &tokens))
}

fn sign(script: &Script, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(script.key.kid.clone());
    match script.algorithm {
        "none" => {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!("{}.{}.", part(&json!({"alg": "none"})), part(claims))
        }
        "HS256" => {
            header.alg = Algorithm::HS256;
            let public = script.key.public().to_string();
            encode(&header, claims, &EncodingKey::from_secret(public.as_bytes())).unwrap()
        }
        _ => encode(&header, claims, &EncodingKey::from_ec_der(&script.key.pkcs8)).unwrap(),
    }
}

async fn userinfo(State(provider): State<ProviderDouble>) -> Result<Response, StatusCode> {
    Ok(answer(StatusCode::OK, &provider.asked("userinfo")?.userinfo))
}
