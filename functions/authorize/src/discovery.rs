//! Authorization server metadata (RFC 8414).

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use shared::client::metadata::AuthMethod;
use shared::http::json_with_cache;
use shared::http::log::Note;
use shared::jose::CLIENT_ALGORITHMS;
use shared::oauth::server_metadata::ServerMetadata;
use shared::policy::RegistrationMode;

use crate::App;

/// MET-09: minutes, not days, so that a capability turned on or off is soon known.
const CACHE_CONTROL: &str = "public, max-age=300";

/// `GET /.well-known/oauth-authorization-server`.
pub(crate) async fn metadata(State(app): State<Arc<App>>) -> Response {
    match app.policies.current(app.clock.as_ref()).await {
        Ok(policy) => {
            let resources =
                policy.policy.resources.iter().map(|resource| resource.resource.clone()).collect();
            let scopes = policy.policy.scopes_supported();
            let methods = AuthMethod::SUPPORTED.map(AuthMethod::as_str);
            let metadata = ServerMetadata::new(&app.issuer, scopes, resources, &methods, &CLIENT_ALGORITHMS);
            let metadata = match policy.policy.registration.mode {
                RegistrationMode::Off => metadata,
                RegistrationMode::On | RegistrationMode::Token => metadata.with_registration(&app.issuer),
            };
            json_with_cache(StatusCode::OK, &metadata, CACHE_CONTROL)
        }
        Err(error) => {
            let mut response = StatusCode::SERVICE_UNAVAILABLE.into_response();
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
            Note::new("temporarily_unavailable").because(&error).on(response)
        }
    }
}
