//! `/token`, the key set that verifies what it issues, pushed requests, revocation, and introspection.

mod client_auth;
mod code;
mod dpop;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod governance;
mod introspect;
mod issue;
mod issued;
mod jws;
mod par;
mod refresh;
mod revoke;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::aws::table::{
    AUDIT, DOCUMENTS, FAILURES, GRANTS, KEYS, POLICY, Permission, REGISTRATIONS, REPLAYS, Right, TOOLS,
};
use shared::aws::{
    AuditStore, GrantStore, Keyring, PolicyStore, RecordReader, RegistrationStore, ReplayStore, ToolStore,
};
use shared::cimd::keys::ClientKeySets;
use shared::clock::Clock;
use shared::grant::key_id;
use shared::http::json_with_cache;
use shared::http::log::remember_route;
use shared::http::source::Source;
use shared::jose::KeySet;
use shared::oauth::server_metadata::path;
use shared::oauth::{Issuer, Params};
use shared::random::{Random, RandomError};
use shared::resolver::Resolver;

pub use crate::client_auth::Failures;
use crate::client_auth::{Envelope, Presented};
use crate::dpop::Proof;
use crate::error::TokenError;

/// What this function works with. Its permissions in `infra/` name the same tables and rights.
#[derive(Clone)]
pub struct App {
    /// The issuer identifier.
    pub issuer: Issuer,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// Signs access tokens, reads codes and refresh tokens.
    pub keys: Arc<Keyring>,
    /// Reads, redeems, rotates, and revokes grants.
    pub grants: GrantStore,
    /// Reads grant, tool, and registration in one round trip.
    pub records: RecordReader,
    /// Notes that a tool is in use.
    pub tools: ToolStore,
    /// Notes that a registration is in use.
    pub registrations: RegistrationStore,
    /// Reads the policy document.
    pub policies: Arc<PolicyStore>,
    /// Records replays.
    pub audit: AuditStore,
    /// Remembers what may be used once.
    pub replays: ReplayStore,
    /// Counts failed authentications.
    pub failures: Failures,
    /// Finds the documents of clients that authenticate with a key.
    pub resolver: Arc<Resolver>,
    /// Finds the keys that those documents, or registrations, name.
    pub client_keys: ClientKeySets,
}

impl App {
    /// The keys for a request that presents `credential`, which another instance may have tagged with a key
    /// that this one has not seen.
    async fn keys_for(&self, credential: &str) -> Arc<KeySet> {
        if let Some(id) = key_id(credential) {
            self.keys.look_for_sealing_key(id).await;
        }
        self.keys.current()
    }

    /// A fresh mark for one conditional write.
    fn mark(&self) -> Result<String, RandomError> {
        let bytes: [u8; 9] = self.random.bytes()?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// What this function may do to which table.
pub const PERMISSIONS: &[Permission] = &[
    (AUDIT, &[Right::BatchGetItem, Right::PutItem, Right::UpdateItem]),
    (DOCUMENTS, &[Right::GetItem, Right::PutItem, Right::UpdateItem]),
    (FAILURES, &[Right::UpdateItem]),
    (GRANTS, &[Right::BatchGetItem, Right::UpdateItem]),
    (KEYS, &[Right::Scan]),
    (POLICY, &[Right::GetItem]),
    (REGISTRATIONS, &[Right::BatchGetItem, Right::UpdateItem]),
    (REPLAYS, &[Right::PutItem]),
    (TOOLS, &[Right::BatchGetItem, Right::UpdateItem]),
];

/// Routes of this function: (method, path). Compared with the watch router and the template.
pub const ROUTES: &[(&str, &str)] = &[
    ("POST", path::TOKEN),
    ("POST", path::PAR),
    ("POST", path::REVOKE),
    ("POST", path::INTROSPECT),
    ("GET", path::JWKS),
];

/// The router of this function.
pub fn router(app: App) -> Router {
    let app = Arc::new(app);
    let router = Router::new()
        .route(path::TOKEN, post(token).layer(shared::http::cors(&[Method::POST])))
        .route(path::PAR, post(pushed_authorization).layer(shared::http::cors(&[Method::POST])))
        .route(path::REVOKE, post(revocation).layer(shared::http::cors(&[Method::POST])))
        .route(path::INTROSPECT, post(introspection))
        .route_layer(from_fn_with_state(Arc::clone(&app), with_keys))
        .route(path::JWKS, get(jwks).layer(shared::http::cors(&[Method::GET])))
        .route_layer(from_fn(remember_route))
        .with_state(app);
    shared::http::finish(router)
}

/// `POST /token` (OAuth 2.1 §3.2).
async fn token(State(app): State<Arc<App>>, envelope: Envelope, body: Bytes) -> Response {
    match grant(&app, &envelope, &body).await {
        Ok(answer) => answer.into_response(),
        Err(error) => error.into_response(),
    }
}

async fn grant(app: &App, envelope: &Envelope, body: &[u8]) -> Result<issue::TokenResponse, TokenError> {
    let params = form(&envelope.headers, body)?;
    let grant_type = params.get("grant_type").ok_or(TokenError::Missing("grant_type"))?;
    let presented = Presented::read(envelope, &params)?;
    let proof = Proof::read(app, &envelope.headers, path::TOKEN)?;
    match grant_type {
        "authorization_code" => code::redeem(app, &params, &presented, proof.as_ref()).await,
        "refresh_token" => refresh::rotate(app, &params, &presented, proof.as_ref()).await,
        _ => Err(TokenError::UnsupportedGrantType),
    }
}

/// `POST /revoke` (RFC 7009 §2.1).
async fn revocation(State(app): State<Arc<App>>, envelope: Envelope, body: Bytes) -> Response {
    let revoke = async {
        let params = form(&envelope.headers, &body)?;
        let presented = Presented::read(&envelope, &params)?;
        revoke::revoke(&app, &params, &presented).await
    };
    revoke.await.unwrap_or_else(TokenError::into_response)
}

/// `POST /par` (RFC 9126 §2.1).
async fn pushed_authorization(State(app): State<Arc<App>>, envelope: Envelope, body: Bytes) -> Response {
    let push = async {
        let params = form(&envelope.headers, &body)?;
        let presented = Presented::read(&envelope, &params)?;
        let proof = Proof::read(&app, &envelope.headers, path::PAR)?;
        par::push(&app, &params, &presented, proof.as_ref()).await
    };
    push.await.unwrap_or_else(TokenError::into_response)
}

/// `POST /introspect` (RFC 7662 §2.1).
async fn introspection(State(app): State<Arc<App>>, envelope: Envelope, body: Bytes) -> Response {
    let introspect = async {
        let params = form(&envelope.headers, &body)?;
        introspect::introspect(&app, &envelope, &params).await
    };
    introspect.await.unwrap_or_else(TokenError::into_response)
}

impl<S: Send + Sync> FromRequestParts<S> for Envelope {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self {
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.clone(),
            source: parts.extensions.get::<Source>().cloned().unwrap_or_default(),
        })
    }
}

/// Reads a form body (TOK-01).
fn form(headers: &HeaderMap, body: &[u8]) -> Result<Params, TokenError> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(TokenError::MediaType);
    }
    let body = std::str::from_utf8(body).map_err(|_| shared::oauth::params::ParamsError::NotUtf8)?;
    let params = Params::parse(body)?;
    params.refuse_repeated()?;
    Ok(params)
}

/// [`shared::jose::rotation::JWKS_MAX_AGE`] on the wire.
const JWKS_CACHE_CONTROL: &str = "public, max-age=300";

/// `GET /jwks.json` (RFC 7517 §5).
async fn jwks(State(app): State<Arc<App>>) -> Response {
    match app.keys.published().await {
        Ok(keys) => json_with_cache(StatusCode::OK, &keys.jwks(), JWKS_CACHE_CONTROL),
        Err(error) => TokenError::from(error).into_response(),
    }
}

/// Nothing but the key set works without keys, so a process that cannot get any says so at once (FM036).
async fn with_keys(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.keys.ready().await {
        Ok(()) => next.run(request).await,
        Err(error) => TokenError::from(error).into_response(),
    }
}
