//! `/authorize`, sign-in, consent, and the discovery documents.
//!
//! The order of work (AUT-26, FET-01): parse and refuse duplicates → sign in → resolve the client →
//! prove the redirect URI → from here errors may redirect → the rest of the request → consent → code.

mod account;
mod adoption;
mod approval;
mod ask;
mod consent;
mod discovery;
mod error;
mod flow;
mod logo;
mod look_alike;
mod pages;
mod record;
mod redirect;
mod remember;
mod request;
mod session;
pub mod sign_in;
pub mod upstream;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::routing::{get, post};
use shared::aws::table::{
    AUDIT, DOCUMENTS, GRANTS, GRANTS_BY_SUBJECT, KEYS, POLICY, Permission, REGISTRATIONS, Right, TOOLS,
};
use shared::aws::{AuditStore, GrantStore, Keyring, PolicyStore, RecordReader, RegistrationStore, ToolStore};
use shared::clock::Clock;
use shared::http::cookie::Cookies;
use shared::http::log::remember_route;
use shared::oauth::Issuer;
use shared::oauth::server_metadata::path;
use shared::random::Random;
use shared::resolver::Resolver;

use crate::sign_in::UserAuthenticator;

/// What this function works with. Its permissions in `infra/` name the same tables and rights.
#[derive(Clone)]
pub struct App {
    /// The issuer identifier.
    pub issuer: Issuer,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// Seals cookies and forms, tags codes.
    pub keys: Arc<Keyring>,
    /// Writes approved grants.
    pub grants: GrantStore,
    /// Reads tools and registrations.
    pub records: RecordReader,
    /// Brings in tools at first consent.
    pub tools: ToolStore,
    /// Brings in registrations at first consent.
    pub registrations: RegistrationStore,
    /// Reads the policy document.
    pub policies: Arc<PolicyStore>,
    /// Records what signed-in people are refused.
    pub audit: AuditStore,
    /// Finds out who a client is.
    pub resolver: Arc<Resolver>,
    /// Signs people in.
    pub authenticator: Arc<dyn UserAuthenticator>,
}

impl App {
    fn cookies(&self) -> Cookies {
        Cookies::new(&self.issuer)
    }
}

/// What this function may do to which table.
pub const PERMISSIONS: &[Permission] = &[
    (AUDIT, &[Right::BatchGetItem, Right::PutItem, Right::UpdateItem]),
    (DOCUMENTS, &[Right::BatchGetItem, Right::GetItem, Right::PutItem, Right::UpdateItem]),
    (GRANTS, &[Right::GetItem, Right::PutItem, Right::Query(GRANTS_BY_SUBJECT), Right::UpdateItem]),
    (KEYS, &[Right::Scan]),
    (POLICY, &[Right::GetItem]),
    (REGISTRATIONS, &[Right::BatchGetItem, Right::PutItem, Right::UpdateItem]),
    (TOOLS, &[Right::BatchGetItem, Right::PutItem, Right::UpdateItem]),
];

/// Routes of this function: (method, path). Compared with the watch router and the template.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", path::AUTHORIZE),
    ("GET", "/consent"),
    ("POST", "/consent"),
    ("GET", account::PATH),
    ("POST", account::PATH),
    ("GET", "/sign-in/again"),
    ("POST", "/reason"),
    ("GET", "/sign-in/callback"),
    ("POST", "/sign-in/callback"),
    ("GET", "/style.css"),
    ("GET", "/logo.png"),
    ("GET", "/logo/{digest}"),
    ("GET", path::METADATA),
];

/// Nothing here works without keys, so a process that cannot get any says so at once (FM036).
async fn with_keys(
    State(app): State<Arc<App>>,
    request: axum::extract::Request,
    next: Next,
) -> axum::response::Response {
    match app.keys.ready().await {
        Ok(()) => next.run(request).await,
        Err(error) => error::refuse(&app, error.into()),
    }
}

async fn with_language(request: axum::extract::Request, next: Next) -> axum::response::Response {
    words::Language::of(request.headers()).scope(next.run(request)).await
}

async fn not_found(State(app): State<Arc<App>>) -> axum::response::Response {
    error::refuse(&app, error::PageError::NotFound)
}

/// The router of this function.
pub fn router(app: App) -> Router {
    let cors = shared::http::cors(&[axum::http::Method::GET]);
    let app = Arc::new(app);
    let router = Router::new()
        .route(path::AUTHORIZE, get(consent::authorize))
        .route("/consent", get(consent::show).post(consent::submit))
        .route(account::PATH, get(account::show).post(account::submit))
        .route("/sign-in/again", get(sign_in::again))
        .route("/reason", post(approval::reason))
        .route("/sign-in/callback", get(sign_in::callback).post(sign_in::submit))
        .route_layer(from_fn_with_state(Arc::clone(&app), with_keys))
        .route("/style.css", get(pages::stylesheet))
        .route("/logo.png", get(pages::logo))
        .route("/logo/{digest}", get(logo::show))
        .route(path::METADATA, get(discovery::metadata).layer(cors))
        .route_layer(from_fn(remember_route))
        .fallback(not_found)
        .with_state(app)
        .layer(from_fn(with_language));
    shared::http::finish_pages(router)
}
