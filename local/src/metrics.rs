//! The numbers of this process as Prometheus text, at `/metrics`.

use std::sync::OnceLock;

use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use shared::metrics::FETCH_SECONDS;

/// Where they are. The gateway of a deployment has no such route.
pub const PATH: &str = "/metrics";

/// Upper bounds in seconds: a fetch may take five.
const BUCKETS: [f64; 7] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// One process has one recorder, however many servers run in it.
static RECORDED: OnceLock<PrometheusHandle> = OnceLock::new();

/// A recorder that is not in use yet.
///
/// # Errors
/// [`BuildError`], which these settings do not cause.
pub fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let builder = PrometheusBuilder::new();
    Ok(builder.set_buckets_for_metric(Matcher::Full(FETCH_SECONDS.to_owned()), &BUCKETS)?.build_recorder())
}

/// From now on this process counts.
pub(crate) fn record() {
    RECORDED.get_or_init(|| {
        let recorder = recorder().unwrap_or_else(|_| PrometheusBuilder::new().build_recorder());
        let handle = recorder.handle();
        // Somebody who embeds this crate may count elsewhere.
        if metrics::set_global_recorder(recorder).is_ok() {
            shared::metrics::describe();
        }
        handle
    });
}

/// `GET /metrics`.
pub(crate) async fn show() -> Response {
    let text = RECORDED.get().map(PrometheusHandle::render).unwrap_or_default();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
