//! `/admin/v1`: what administrators see and decide.
//!
//! Every request is signed (AWS Signature Version 4); whose signature it is decides what may be done.
//! Every change is made together with its entry in the audit trail, or not at all.

mod audit;
mod caller;
mod catalogue;
mod commit;
mod documents;
mod forecast;
mod grants;
mod inspection;
mod keys;
mod listing;
mod openapi;
mod policy;
mod problem;
mod registrations;
mod report;
mod rotation;
mod tools;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use shared::aws::table::{
    AUDIT, DOCUMENTS, GRANTS, GRANTS_BY_SUBJECT, GRANTS_BY_TOOL, KEYS, POLICY, Permission, REGISTRATIONS,
    REGISTRATIONS_BY_TOOL, Right, TOOLS,
};
use shared::aws::{
    AuditStore, Governing, GrantStore, KeyStore, Keyring, PolicyStore, RegistrationStore, ToolStore,
};
use shared::cimd::documents::Documents;
use shared::cimd::keys::ClientKeySets;
use shared::clock::Clock;
use shared::fetch::host::DevelopmentHost;
use shared::http::log::remember_route;
use shared::jose::KeyWrap;
use shared::oauth::Issuer;
use shared::policy::ArnPattern;
use shared::random::Random;

pub use caller::{Caller, CallerError, CallerVerifier, GatewayCaller, Verifying};
pub use catalogue::Catalogue;
pub use openapi::document as openapi;

/// What this function works with. Its permissions in `infra/` name the same tables and rights.
#[derive(Clone)]
pub struct App {
    /// The issuer identifier.
    pub issuer: Issuer,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// Finds out who signed a request.
    pub callers: Arc<dyn CallerVerifier>,
    /// Owners whatever the policy says: how the first policy gets in, and the way back when one has locked
    /// everybody out.
    pub founders: Vec<ArnPattern>,
    /// Seals cursors.
    pub keys: Arc<Keyring>,
    /// Lists and replaces keys.
    pub key_store: KeyStore,
    /// Wraps new keys.
    pub wrap: Arc<dyn KeyWrap>,
    /// Reads tools.
    pub tools: ToolStore,
    /// All tools, for listings.
    pub catalogue: Arc<Catalogue>,
    /// Reads, moves, and removes registrations.
    pub registrations: RegistrationStore,
    /// Reads and fetches metadata documents.
    pub documents: Documents,
    /// Fetches clients' key sets.
    pub client_keys: ClientKeySets,
    /// Names that stand outside the host rules of metadata documents; a deployment has none.
    pub development: Vec<DevelopmentHost>,
    /// Reads grants.
    pub grants: GrantStore,
    /// Makes the writes of changes.
    pub governing: Governing,
    /// Reads the policy document and makes the writes of its changes.
    pub policies: Arc<PolicyStore>,
    /// Commits changes, each with its entry.
    pub audit: AuditStore,
}

/// What this function may do to which table.
pub const PERMISSIONS: &[Permission] = &[
    (AUDIT, &[Right::BatchGetItem, Right::PutItem, Right::UpdateItem]),
    (DOCUMENTS, &[Right::BatchGetItem, Right::GetItem, Right::PutItem, Right::Scan, Right::UpdateItem]),
    (
        GRANTS,
        &[
            Right::BatchGetItem,
            Right::GetItem,
            Right::Query(GRANTS_BY_SUBJECT),
            Right::Query(GRANTS_BY_TOOL),
            Right::UpdateItem,
        ],
    ),
    (KEYS, &[Right::DeleteItem, Right::PutItem, Right::Scan]),
    (POLICY, &[Right::BatchGetItem, Right::GetItem, Right::PutItem]),
    (
        REGISTRATIONS,
        &[
            Right::DeleteItem,
            Right::GetItem,
            Right::PutItem,
            Right::Query(REGISTRATIONS_BY_TOOL),
            Right::UpdateItem,
        ],
    ),
    (TOOLS, &[Right::ConditionCheckItem, Right::GetItem, Right::PutItem, Right::Scan, Right::UpdateItem]),
];

/// Routes of this function: (method, path). Compared with the watch router, the template, and the OpenAPI
/// document.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/admin/v1/audit"),
    ("POST", "/admin/v1/audit/anchors"),
    ("GET", "/admin/v1/audit/export"),
    ("GET", "/admin/v1/audit/verify"),
    ("GET", "/admin/v1/documents"),
    ("POST", "/admin/v1/documents/approve"),
    ("GET", "/admin/v1/documents/diff"),
    ("GET", "/admin/v1/documents/history"),
    ("POST", "/admin/v1/documents/pin"),
    ("POST", "/admin/v1/documents/refresh"),
    ("POST", "/admin/v1/documents/unpin"),
    ("GET", "/admin/v1/grants"),
    ("POST", "/admin/v1/grants/{id}/revoke"),
    ("GET", "/admin/v1/keys"),
    ("POST", "/admin/v1/keys/rotate"),
    ("GET", "/admin/v1/openapi.json"),
    ("GET", "/admin/v1/policy"),
    ("PUT", "/admin/v1/policy"),
    ("POST", "/admin/v1/policy/dry-run"),
    ("GET", "/admin/v1/policy/history"),
    ("GET", "/admin/v1/policy/history/{version}"),
    ("POST", "/admin/v1/policy/rollback"),
    ("POST", "/admin/v1/policy/validate"),
    ("GET", "/admin/v1/references/{reference}"),
    ("DELETE", "/admin/v1/registrations"),
    ("GET", "/admin/v1/registrations"),
    ("POST", "/admin/v1/registrations"),
    ("POST", "/admin/v1/registrations/rotate-secret"),
    ("GET", "/admin/v1/report"),
    ("GET", "/admin/v1/resources"),
    ("GET", "/admin/v1/tools"),
    ("DELETE", "/admin/v1/tools/{id}"),
    ("GET", "/admin/v1/tools/{id}"),
    ("PATCH", "/admin/v1/tools/{id}"),
    ("POST", "/admin/v1/tools/{id}/approve"),
    ("POST", "/admin/v1/tools/{id}/deny"),
    ("POST", "/admin/v1/tools/{id}/disable"),
    ("POST", "/admin/v1/tools/{id}/enable"),
    ("POST", "/admin/v1/tools/{id}/map"),
    ("POST", "/admin/v1/tools/{id}/merge"),
    ("POST", "/admin/v1/tools/{id}/revoke"),
    ("POST", "/admin/v1/tools/{id}/rotate"),
    ("GET", "/admin/v1/whoami"),
];

/// What every path of this function begins with.
pub const PREFIX: &str = "/admin/v1";

/// The router of this function.
pub fn router(app: App) -> Router {
    let app = Arc::new(app);
    let router = Router::new()
        .route("/admin/v1/audit", get(audit::query))
        .route("/admin/v1/audit/anchors", post(audit::anchor))
        .route("/admin/v1/audit/export", get(audit::export))
        .route("/admin/v1/audit/verify", get(audit::check))
        .route("/admin/v1/documents", get(documents::list))
        .route("/admin/v1/documents/approve", post(documents::approve))
        .route("/admin/v1/documents/diff", get(documents::diff))
        .route("/admin/v1/documents/history", get(documents::history))
        .route("/admin/v1/documents/pin", post(documents::pin))
        .route("/admin/v1/documents/refresh", post(documents::refresh))
        .route("/admin/v1/documents/unpin", post(documents::unpin))
        .route("/admin/v1/grants", get(grants::list))
        .route("/admin/v1/grants/{id}/revoke", post(grants::revoke))
        .route("/admin/v1/keys", get(keys::list))
        .route("/admin/v1/keys/rotate", post(keys::rotate))
        .route("/admin/v1/openapi.json", get(openapi::serve))
        .route("/admin/v1/policy", get(policy::show).put(policy::replace))
        .route("/admin/v1/policy/dry-run", post(forecast::dry_run))
        .route("/admin/v1/policy/history", get(policy::history))
        .route("/admin/v1/policy/history/{version}", get(policy::earlier))
        .route("/admin/v1/policy/rollback", post(policy::roll_back))
        .route("/admin/v1/policy/validate", post(policy::validate))
        .route("/admin/v1/references/{reference}", get(audit::explain))
        .route(
            "/admin/v1/registrations",
            get(registrations::show).post(registrations::add).delete(registrations::remove),
        )
        .route("/admin/v1/registrations/rotate-secret", post(registrations::rotate_secret))
        .route("/admin/v1/report", get(report::adoption))
        .route("/admin/v1/resources", get(policy::resources))
        .route("/admin/v1/tools", get(listing::list))
        .route("/admin/v1/tools/{id}", get(tools::show).patch(tools::edit).delete(tools::delete))
        .route("/admin/v1/tools/{id}/approve", post(tools::approve))
        .route("/admin/v1/tools/{id}/deny", post(tools::deny))
        .route("/admin/v1/tools/{id}/disable", post(tools::disable))
        .route("/admin/v1/tools/{id}/enable", post(tools::enable))
        .route("/admin/v1/tools/{id}/map", post(tools::map))
        .route("/admin/v1/tools/{id}/merge", post(tools::merge))
        .route("/admin/v1/tools/{id}/revoke", post(tools::revoke))
        .route("/admin/v1/tools/{id}/rotate", post(rotation::rotate))
        .route("/admin/v1/whoami", get(openapi::whoami))
        .route_layer(from_fn(remember_route))
        .route_layer(from_fn_with_state(Arc::clone(&app), caller::verify))
        .with_state(app);
    shared::http::finish(router)
}
