//! `/register`: clients that register themselves (RFC 7591), for those that publish no metadata document.
//!
//! The same software gets the same client identifier, however often it registers and on whatever port it
//! listens: one item, one client (`docs/registration.md`). Management by clients (RFC 7592) is not offered,
//! because a registration that many share has no single owner.

mod error;
mod metadata;
mod rate;
mod response;
mod source;

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method};
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::post;
use shared::aws::table::{KEYS, POLICY, Permission, RATES, REGISTRATIONS, Right, TOOLS};
use shared::aws::{Addition, Keyring, PolicyStore, RecordReader, Records, RegistrationStore, Wanted};
use shared::client::derived_secret;
use shared::client::registration::Registration;
use shared::clock::Clock;
use shared::http::log::remember_route;
use shared::oauth::Issuer;
use shared::oauth::server_metadata::path;
use shared::policy::{Policy, RegistrationMode, RegistrationPolicy};
use shared::random::Random;
use shared::tool::{Introduced, Mechanism, Status, Tool};

use crate::error::RegisterError;
use crate::metadata::Requested;
pub use crate::rate::Rates;
use crate::response::{Information, IssuedSecret};
pub use crate::source::{SourceAddress, of_connection, of_lambda};

/// Bytes of a registration request: several times what the most talkative client seen in the field sends.
pub const REGISTRATION_BYTES_MAX: usize = 16 * 1024;

/// What this function works with. Its permissions in `infra/` name the same tables and rights.
#[derive(Clone)]
pub struct App {
    /// The issuer identifier.
    pub issuer: Issuer,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// Makes client secrets.
    pub keys: Arc<Keyring>,
    /// Reads registrations and tools.
    pub records: RecordReader,
    /// Adds registrations, and lets unused ones live on.
    pub registrations: RegistrationStore,
    /// Bounds how many there can be.
    pub rates: Arc<Rates>,
    /// Reads the policy document.
    pub policies: Arc<PolicyStore>,
}

/// What this function may do with which table, as [`App`] uses them.
pub const PERMISSIONS: &[Permission] = &[
    (KEYS, &[Right::Scan]),
    (POLICY, &[Right::GetItem]),
    (RATES, &[Right::UpdateItem]),
    (REGISTRATIONS, &[Right::BatchGetItem, Right::PutItem, Right::UpdateItem]),
    (TOOLS, &[Right::BatchGetItem]),
];

/// Routes of this function: (method, path). Compared with the watch router and the template.
pub const ROUTES: &[(&str, &str)] = &[("POST", path::REGISTER)];

/// The router of this function.
pub fn router(app: App) -> Router {
    let router = Router::new()
        .route(path::REGISTER, post(register).layer(shared::http::cors(&[Method::POST])))
        .route_layer(from_fn(remember_route))
        .with_state(Arc::new(app));
    shared::http::finish(router)
}

/// `POST /register` (RFC 7591 §3.1).
async fn register(
    State(app): State<Arc<App>>,
    source: Option<Extension<SourceAddress>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let source = source.map(|Extension(source)| source);
    match answer(&app, source, &headers, &body).await {
        Ok(information) => information.into_response(),
        Err(error) => error.into_response(),
    }
}

async fn answer(
    app: &App,
    source: Option<SourceAddress>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Information, RegisterError> {
    let in_force = app.policies.current(app.clock.as_ref()).await?;
    let policy = &in_force.policy;
    admit(&policy.registration, headers)?;
    check_form(headers, body)?;
    let requested = Requested::parse(body, policy)?;
    requested.refuse_blocked(policy)?;
    let registration = find_or_add(app, source, &requested, policy).await?;
    let secret = secret(app, &registration, &requested, policy)?;
    Ok(Information::new(&registration, requested, secret))
}

/// Whether registration is open to this request at all.
fn admit(rules: &RegistrationPolicy, headers: &HeaderMap) -> Result<(), RegisterError> {
    match rules.mode {
        RegistrationMode::Off => Err(RegisterError::Off),
        RegistrationMode::On => Ok(()),
        RegistrationMode::Token => {
            let token = bearer(headers).ok_or(RegisterError::TokenMissing)?;
            let presented = digest(&SHA256, token.as_bytes());
            let is_known = rules
                .initial_access_token_sha256
                .iter()
                .any(|known| verify_slices_are_equal(known.as_bytes(), presented.as_ref()).is_ok());
            if is_known { Ok(()) } else { Err(RegisterError::TokenWrong) }
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn check_form(headers: &HeaderMap, body: &[u8]) -> Result<(), RegisterError> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(RegisterError::MediaType);
    }
    if body.len() > REGISTRATION_BYTES_MAX { Err(RegisterError::TooLarge) } else { Ok(()) }
}

/// The registration of this software. It is looked for first: the thousandth installation of a known client
/// costs a read, takes nothing of anybody's rate, and works while a stranger exhausts it.
async fn find_or_add(
    app: &App,
    source: Option<SourceAddress>,
    requested: &Requested,
    policy: &Policy,
) -> Result<Registration, RegisterError> {
    let now = app.clock.now();
    let ends_at = now.plus(policy.registration.unused());
    let wanted = Wanted {
        tool: Some(&requested.tool),
        client_id: Some(requested.client_id.as_str()),
        ..Wanted::default()
    };
    let Records { tools, registration, .. } = app.records.read(wanted).await?;
    if let Some(known) = registration.filter(|known| !known.has_ended(now)) {
        let tools = if known.tool == requested.tool { tools } else { app.records.tools(&known.tool).await? };
        refuse_by_status(&tools)?;
        // Half the time must be over, so that a busy client is written once in a while only.
        let is_short =
            known.ends_at.is_some_and(|ends_at| ends_at.since(now) < policy.registration.unused() / 2);
        if is_short {
            app.registrations.keep_until(&known.client_id, ends_at).await?;
        }
        return Ok(known);
    }
    refuse_by_status(&tools)?;
    app.rates.take(source, &policy.registration, now).await?;
    let introduced = Introduced { at: now, by: "registration".to_owned(), mechanism: Mechanism::Dynamic };
    let mut registration = Registration::new(
        requested.client_id.clone(),
        requested.tool.clone(),
        introduced,
        Some(requested.metadata.clone()),
    );
    registration.ends_at = Some(ends_at);
    match app.registrations.add(&registration, now).await? {
        Addition::Added => Ok(registration),
        Addition::Existed(known) => Ok(*known),
    }
}

/// A tool that an administrator has switched off cannot come back by registering again (invariant 4).
fn refuse_by_status(tools: &[Tool]) -> Result<(), RegisterError> {
    match tools.last().map(|tool| tool.status) {
        Some(Status::Disabled | Status::Withdrawn) => Err(RegisterError::ToolStatus),
        Some(Status::Pending | Status::Enabled) | None => Ok(()),
    }
}

fn secret(
    app: &App,
    registration: &Registration,
    requested: &Requested,
    policy: &Policy,
) -> Result<Option<IssuedSecret>, RegisterError> {
    if requested.metadata.auth_methods.is_public() {
        return Ok(None);
    }
    let expires_at = app.clock.now().plus(policy.registration.secret());
    let seal = &app.keys.current().seal;
    let secret = derived_secret::issue(
        &registration.client_id,
        registration.epoch,
        expires_at,
        seal,
        app.random.as_ref(),
    )?;
    Ok(Some(IssuedSecret { secret, expires_at }))
}
