//! Client authentication (OAuth 2.1 §2.4; RFC 7523 §2.2), for every endpoint of this function.
//!
//! Two steps, with the database between them: [`Presented::read`] finds out who the request claims to come
//! from and what it offers as proof, without asking anybody; [`authenticate`] checks the proof once a
//! genuine credential or a registration has shown that the client exists (invariant 1).

pub(crate) mod assertion;
mod failures;
mod source;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use shared::cimd::keys::NoKeys;
use shared::client::derived_secret;
use shared::client::id::ClientId;
use shared::client::metadata::AuthMethod;
use shared::client::registration::{Compatibility, Registration, SecretDigest};
use shared::http::source::Source;
use shared::oauth::Params;
use shared::secret::Secret;
use shared::tool::Mechanism;

pub(crate) use assertion::AssertionError;
pub use failures::Failures;
pub(crate) use failures::TooMany;
pub(crate) use source::KeySource;

use crate::App;
use crate::error::TokenError;

/// `client_assertion_type` of RFC 7523 §2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Why a client is not who it claims to be, or claims two things at once.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("more than one way to authenticate at once")]
    SeveralMethods,
    #[error("a client secret or assertion in the request URI")]
    InUri,
    #[error("client_assertion and client_assertion_type must come together")]
    AssertionIncomplete,
    #[error("the client_assertion_type is not known")]
    AssertionType,
    #[error("the Authorization header is not Basic, or not readable")]
    Authorization,
    #[error("client_id differs from the client that authenticates")]
    Contradiction,
    #[error("the client did not declare the method {}, or it would be a downgrade", .0.as_str())]
    Method(AuthMethod),
    #[error("the client secret is wrong or has expired")]
    Secret,
    #[error(transparent)]
    Assertion(#[from] AssertionError),
    #[error("there is no key to check the assertion with: {0}")]
    Keys(#[source] NoKeys),
}

/// What a request offers as proof of who sent it.
enum Proof {
    Nothing,
    Secret(AuthMethod, Secret),
    Assertion(String),
}

/// What surrounds the form of a request.
pub(crate) struct Envelope {
    /// The query of the request URI, raw.
    pub(crate) query: String,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// Where the request came from.
    pub(crate) source: Source,
}

/// Who a request claims to come from, unproved.
pub(crate) struct Presented {
    /// The one client identifier of the request.
    pub(crate) client_id: String,
    /// Where the request came from.
    pub(crate) source: Source,
    proof: Proof,
}

impl Presented {
    /// Reads who sent `request`, in whose URI no credential may stand (CAU-04).
    pub(crate) fn read(request: &Envelope, params: &Params) -> Result<Self, TokenError> {
        let in_uri = Params::parse(&request.query)?;
        if ["client_secret", "client_assertion"].iter().any(|name| in_uri.all(name).next().is_some()) {
            return Err(ClientError::InUri.into());
        }
        let named = params.get("client_id");
        let basic = basic(&request.headers)?;
        let secret = params.get("client_secret");
        let assertion = match (params.get("client_assertion"), params.get("client_assertion_type")) {
            (None, None) => None,
            (Some(assertion), Some(JWT_BEARER)) => Some(assertion),
            (Some(_), Some(_)) => return Err(ClientError::AssertionType.into()),
            _ => return Err(ClientError::AssertionIncomplete.into()),
        };
        let (client_id, proof) = match (basic, secret, assertion) {
            (None, None, None) => (named.map(str::to_owned), Proof::Nothing),
            (Some((client_id, secret)), None, None) => {
                (Some(client_id), Proof::Secret(AuthMethod::ClientSecretBasic, secret))
            }
            (None, Some(secret), None) => {
                let secret = Secret::new(secret.to_owned());
                (named.map(str::to_owned), Proof::Secret(AuthMethod::ClientSecretPost, secret))
            }
            (None, None, Some(assertion)) => {
                (Some(assertion::unverified_subject(assertion)?), Proof::Assertion(assertion.to_owned()))
            }
            _ => return Err(ClientError::SeveralMethods.into()),
        };
        let client_id = client_id.ok_or(TokenError::Missing("client_id"))?;
        if named.is_some_and(|named| named != client_id) {
            return Err(ClientError::Contradiction.into());
        }
        Ok(Self { client_id, source: request.source.clone(), proof })
    }

    /// Whether the request carries one of the secrets whose SHA-256 digests (base64url) these are. All are
    /// compared, in constant time.
    pub(crate) fn holds_one_of<'a>(&self, digests: impl Iterator<Item = &'a str>) -> bool {
        let Proof::Secret(_, secret) = &self.proof else { return false };
        let presented = URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.expose().as_bytes()));
        let equal = |known: &&str| verify_slices_are_equal(known.as_bytes(), presented.as_bytes()).is_ok();
        digests.filter(equal).count() > 0
    }

    /// The method that the request uses.
    pub(crate) fn method(&self) -> AuthMethod {
        match &self.proof {
            Proof::Nothing => AuthMethod::None,
            Proof::Secret(method, _) => *method,
            Proof::Assertion(_) => AuthMethod::PrivateKeyJwt,
        }
    }
}

/// How a client's secrets are known.
#[derive(Clone, Copy)]
pub(crate) enum Secrets<'a> {
    /// By their digests.
    Stored(&'a [SecretDigest]),
    /// Made for each installation of a client that registered itself, in this epoch of its registration.
    Derived { epoch: u32 },
}

impl<'a> Secrets<'a> {
    /// Those of a client with this registration.
    pub(crate) fn of(registration: Option<&'a Registration>) -> Self {
        match registration {
            Some(known) if known.mechanism == Mechanism::Dynamic => Self::Derived { epoch: known.epoch },
            Some(known) => Self::Stored(&known.secrets),
            None => Self::Stored(&[]),
        }
    }
}

/// What is on record about how a client authenticates.
pub(crate) struct OnRecord<'a> {
    /// The methods that are acceptable now: the declared ones, or the one that the grant began with.
    pub(crate) methods: &'a [AuthMethod],
    /// Its secrets.
    pub(crate) secrets: Secrets<'a>,
    /// Where its keys are.
    pub(crate) keys: KeySource<'a>,
    /// What an administrator allowed it.
    pub(crate) compatibility: Compatibility,
}

/// Checks what `presented` offers against what is on record. The method comes from the record: a request
/// can only match it, never choose it (CAU-02, CAU-13).
pub(crate) async fn authenticate(
    app: &App,
    presented: &Presented,
    record: &OnRecord<'_>,
) -> Result<AuthMethod, TokenError> {
    let now = app.clock.now();
    app.failures.check(&presented.client_id, &presented.source, now)?;
    let result = check(app, presented, record).await;
    if let Err(TokenError::Client(_)) = &result {
        // If it cannot be counted, the failure is a failure all the same.
        if let Err(error) = app.failures.count(&presented.client_id, &presented.source, now).await {
            tracing::warn!(reason = %error, "failed authentication not counted");
        }
    }
    result
}

async fn check(app: &App, presented: &Presented, record: &OnRecord<'_>) -> Result<AuthMethod, TokenError> {
    let method = presented.method();
    if !record.methods.contains(&method) {
        return Err(ClientError::Method(method).into());
    }
    match &presented.proof {
        Proof::Nothing => {}
        Proof::Secret(_, secret) => {
            if !is_good(app, presented, secret, record.secrets).await {
                return Err(ClientError::Secret.into());
            }
        }
        Proof::Assertion(assertion) => {
            assertion::verify(app, &presented.client_id, assertion, record).await?;
        }
    }
    Ok(method)
}

async fn is_good(app: &App, presented: &Presented, secret: &Secret, secrets: Secrets<'_>) -> bool {
    let now = app.clock.now();
    match secrets {
        Secrets::Stored(known) => {
            let good = |known: &&SecretDigest| known.expires_at.is_none_or(|expires_at| now < expires_at);
            presented.holds_one_of(known.iter().filter(good).map(|known| known.sha256.as_str()))
        }
        Secrets::Derived { epoch } => {
            // Another instance may have made it with a key that this one has not seen.
            if let Some(key) = derived_secret::key_of(secret.expose()) {
                app.keys.look_for_sealing_key(key).await;
            }
            let seal = &app.keys.current().seal;
            ClientId::parse(&presented.client_id)
                .is_ok_and(|id| derived_secret::verify(&id, epoch, secret.expose(), seal, now).is_ok())
        }
    }
}

/// Reads the `Authorization` header (RFC 6749 §2.3.1): identifier and secret are form-encoded inside.
pub(crate) fn basic(headers: &HeaderMap) -> Result<Option<(String, Secret)>, ClientError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ClientError::SeveralMethods);
    }
    let read = || {
        let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
        let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        // Our secrets have no colon, and a resource's identifier that was not encoded has one.
        let (client_id, secret) = text.rsplit_once(':')?;
        let basic = scheme.eq_ignore_ascii_case("basic") && !client_id.is_empty();
        basic.then(|| Some((form_decoded(client_id)?, Secret::new(form_decoded(secret)?))))?
    };
    read().map(Some).ok_or(ClientError::Authorization)
}

fn form_decoded(text: &str) -> Option<String> {
    let params = Params::parse(&format!("v={text}")).ok()?;
    // An ampersand inside would have made a second parameter: not form-encoded, so taken as it is.
    if text.contains('&') || text.contains('=') {
        return Some(text.to_owned());
    }
    Some(params.get("v").unwrap_or_default().to_owned())
}
