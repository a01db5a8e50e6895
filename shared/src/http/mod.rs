//! The edge: what all routers have in common.

pub mod cookie;
pub mod log;
pub mod page;
pub mod source;

use axum::Router;
use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::from_fn;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::limit::RequestBodyLimitLayer;

/// Bytes of a request body. The largest honest one is a consent form with a document in it.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Finishes a function's router: unknown paths, body limit, panics, and one log line per request.
pub fn finish(router: Router) -> Router {
    finish_pages(router.fallback(|| async { (StatusCode::NOT_FOUND, "not found\n").into_response() }))
}

/// As [`finish`], for a function with pages, whose 404 is one of them.
pub fn finish_pages(router: Router) -> Router {
    router
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(CatchPanicLayer::custom(|_| panicked()))
        .layer(from_fn(log::request))
        .layer(from_fn(add_common_headers))
}

/// The instance goes on and the client learns nothing (FM050); the message may quote what it sent.
fn panicked() -> Response {
    log::Note::new("panicked").on((StatusCode::INTERNAL_SERVER_ERROR, "internal error\n").into_response())
}

async fn add_common_headers(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.entry("referrer-policy").or_insert(HeaderValue::from_static("no-referrer"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// CORS for endpoints that browser-based clients call without credentials (TOK-06, MET-08). Never for
/// the authorization endpoint (AUT-03).
pub fn cors(methods: &[Method]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::any())
        .allow_methods(methods.to_vec())
        .allow_headers([
            HeaderName::from_static("authorization"),
            HeaderName::from_static("content-type"),
            HeaderName::from_static("dpop"),
            HeaderName::from_static("mcp-protocol-version"),
        ])
        .expose_headers([HeaderName::from_static("www-authenticate"), HeaderName::from_static("dpop-nonce")])
}

/// A JSON answer that no cache may keep.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    json_with_cache(status, body, "no-store")
}

/// A JSON answer with the given `Cache-Control`.
pub fn json_with_cache(status: StatusCode, body: &impl Serialize, cache_control: &'static str) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
            response
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// 405 with the methods that exist (RFC 9110 §15.5.6).
pub fn method_not_allowed(allow: &'static str) -> Response {
    let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    /// FM050: the next request is answered as if nothing had happened.
    #[tokio::test]
    async fn a_panic_becomes_a_bare_500_and_the_next_request_is_answered() {
        let router = Router::new()
            .route(
                "/panic",
                get(|| async {
                    if true {
                        panic!("secret")
                    }
                }),
            )
            .route("/fine", get(|| async { "fine" }));
        let router = finish(router);
        let get = |path: &str| router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap());
        let response = get("/panic").await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "internal error\n");
        assert_eq!(get("/fine").await.unwrap().status(), StatusCode::OK);
    }
}
