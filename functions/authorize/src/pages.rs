//! The pages as people see them.

use askama::Template;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

/// A refusal in plain words.
#[derive(Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage<'a> {
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
    pub(crate) reference: &'a str,
    /// Shown so that the person can pass it on; untrusted text.
    pub(crate) client_id: Option<&'a str>,
}

impl ErrorPage<'_> {
    pub(crate) fn html(&self) -> String {
        self.render().unwrap_or_else(|_| FALLBACK.to_owned())
    }
}

/// A tool that waits for an administrator.
#[derive(Template)]
#[template(path = "pending.html")]
pub(crate) struct PendingPage<'a> {
    pub(crate) tool: &'a str,
    /// The form for a reason; `None` once one was given.
    pub(crate) form: Option<&'a str>,
    /// Characters of a reason.
    pub(crate) limit: usize,
}

impl PendingPage<'_> {
    pub(crate) fn html(&self) -> String {
        self.render().unwrap_or_else(|_| FALLBACK.to_owned())
    }
}

/// What a person decides on.
#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct ConsentPage<'a> {
    /// Host of the client identifier: what is verified (CON-02).
    pub(crate) client_host: Option<&'a str>,
    /// What the client calls itself (CON-06).
    pub(crate) client_name: Option<&'a str>,
    /// Digest of its logo (DOC-40).
    pub(crate) logo: Option<&'a str>,
    /// Where the code goes (CON-01).
    pub(crate) redirect_host: &'a str,
    pub(crate) loopback: bool,
    pub(crate) resource_name: &'a str,
    pub(crate) resource_host: &'a str,
    /// Each scope in words.
    pub(crate) scopes: &'a [String],
    pub(crate) refreshable: bool,
    pub(crate) user_name: &'a str,
    pub(crate) flow: &'a str,
    pub(crate) form: &'a str,
    /// Whether what was shown before is no longer what is asked.
    pub(crate) changed: bool,
}

impl ConsentPage<'_> {
    pub(crate) fn html(&self) -> Option<String> {
        self.render().ok()
    }
}

const FALLBACK: &str = "<!doctype html><title>Error</title><p>Something is not working here.</p>";

/// `GET /style.css`.
pub(crate) async fn stylesheet() -> Response {
    let mut response = include_str!("../templates/style.css").into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}
