//! Clients' logos, from our own origin (DOC-40, DOC-42).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use shared::http::log::Note;

use crate::App;

/// The address carries the digest of the bytes, so what is there never changes.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// `GET /logo/{digest}`: a PNG that we encoded ourselves. Opened by itself, it is an image and nothing
/// else: no script, no style, no frame.
pub(crate) async fn show(State(app): State<Arc<App>>, Path(digest): Path<String>) -> Response {
    let png = match app.resolver.logo_png(&digest).await {
        Ok(Some(png)) => png,
        Ok(None) => return StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            let mut response = StatusCode::SERVICE_UNAVAILABLE.into_response();
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
            return Note::new("temporarily_unavailable").because(&error).on(response);
        }
    };
    let mut response = Response::new(Body::from(png));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/png"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}
