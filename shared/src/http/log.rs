//! One structured line per request. A failure is logged here, once, with its chain of sources; secrets,
//! query strings, and bodies never are.

use std::error::Error;
use std::fmt::Write as _;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{error, info};

use crate::metrics;
use crate::tool::Tool;

/// What a handler has to say about the request it answered; carried as an extension of the response.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// What came of it, from a fixed vocabulary: `consent_shown`, `code_redeemed`, `client_refused`.
    pub outcome: &'static str,
    /// Why, for a refusal or failure.
    pub reason: Option<String>,
    /// The reference that the person's page shows.
    pub reference: Option<String>,
    /// The client identifier as presented.
    pub client_id: Option<String>,
    /// The tool, as it is counted.
    pub tool: Option<String>,
}

impl Note {
    /// A note with an outcome alone.
    pub fn new(outcome: &'static str) -> Self {
        Self { outcome, ..Self::default() }
    }

    /// Adds the reason, with its chain of sources.
    #[must_use]
    pub fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        self.reason = Some(chain(error));
        self
    }

    /// Adds the client identifier.
    #[must_use]
    pub fn client(mut self, client_id: &str) -> Self {
        self.client_id = Some(client_id.to_owned());
        self
    }

    /// Counts the request for `tool`, among the ungoverned ones unless an administrator has decided about it.
    #[must_use]
    pub fn tool(mut self, tool: &Tool) -> Self {
        let label = if tool.is_governed() { tool.id.as_str() } else { metrics::UNGOVERNED };
        self.tool = Some(label.to_owned());
        self
    }

    /// Attaches the note to `response`.
    pub fn on(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes all lines as JSON to the standard output, where Lambda collects them. Call it once, at start.
pub fn to_stdout() {
    tracing_subscriber::fmt().json().with_target(false).without_time().init();
}

/// An error and its sources, in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// Logs the request once it is answered.
pub async fn request(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let route = response.extensions().get::<MatchedRoute>().map_or("", |route| route.0.as_str());
    let note = response.extensions().get::<Note>();
    let outcome = note.map_or("answered", |note| note.outcome);
    metrics::answered(outcome);
    if let Some(tool) = note.and_then(|note| note.tool.as_deref()) {
        metrics::answered_for(tool, outcome);
    }
    let reason = note.and_then(|note| note.reason.as_deref());
    let reference = note.and_then(|note| note.reference.as_deref());
    let client_id = note.and_then(|note| note.client_id.as_deref());
    if response.status().is_server_error() {
        error!(%method, route, status, outcome, reason, reference, client_id, "request failed");
    } else {
        info!(%method, route, status, outcome, reason, reference, client_id, "request answered");
    }
    response
}

/// The route that matched, copied from the request so that the outer layer can log it.
#[derive(Clone, Debug)]
struct MatchedRoute(String);

/// Route layer that remembers which route matched.
pub async fn remember_route(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(path) = path {
        response.extensions_mut().insert(MatchedRoute(path.as_str().to_owned()));
    }
    response
}
