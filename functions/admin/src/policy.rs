//! The policy document: looking at it, checking one, putting one in force, going back.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::audit::Kind;
use shared::aws::HISTORY_MAX;
use shared::http::json;
use shared::policy::Policy;
use shared::policy::Role;
use utoipa::ToSchema;

use crate::App;
use crate::caller::Acting;
use crate::commit::{Answer, Changing, with_revision};
use crate::problem::{AdminError, Problem};
use crate::tools::read;

/// The policy and its version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyView {
    /// Counts up with each change.
    version: u64,
    /// The document.
    policy: Value,
}

/// One version of the past.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionView {
    /// Its number.
    version: u64,
    /// Who put it in force.
    by: String,
    /// When.
    at: u64,
}

/// All versions, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// The versions.
    versions: Vec<VersionView>,
}

/// Which version to go back to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollBackTo {
    /// Its number.
    version: u64,
}

/// A policy that would be accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Valid {
    /// Always true: one that is not valid is answered with a problem.
    valid: bool,
    /// Whether it differs from the one in force.
    changes: bool,
}

fn view(version: u64, policy: &Policy) -> PolicyView {
    PolicyView { version, policy: serde_json::to_value(policy).unwrap_or_default() }
}

pub(crate) fn parse(body: &[u8]) -> Result<Policy, AdminError> {
    let text =
        std::str::from_utf8(body).map_err(|_| AdminError::Malformed("the body is not UTF-8".to_owned()))?;
    Ok(Policy::from_json(text)?)
}

/// The policy in force.
#[utoipa::path(get, path = "/admin/v1/policy", tag = "policy",
    responses((status = 200, body = PolicyView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn show(State(app): State<Arc<App>>, _acting: Acting) -> Result<Response, AdminError> {
    app.policies.forget_copy();
    let policy = app.policies.current(app.clock.as_ref()).await?;
    let view = view(policy.version, &policy.policy);
    Ok(with_revision(json(StatusCode::OK, &view), Some(policy.version)))
}

/// Checks a policy and changes nothing.
#[utoipa::path(post, path = "/admin/v1/policy/validate", tag = "policy", request_body = Value,
    responses((status = 200, body = Valid), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn validate(
    State(app): State<Arc<App>>,
    _acting: Acting,
    body: Bytes,
) -> Result<Response, AdminError> {
    let policy = parse(&body)?;
    let current = app.policies.current(app.clock.as_ref()).await?;
    Ok(json(StatusCode::OK, &Valid { valid: true, changes: policy != current.policy }))
}

/// Puts a policy in force.
#[utoipa::path(put, path = "/admin/v1/policy", tag = "policy", request_body = Value,
    params(("If-Match" = String, Header, description = "The ETag of the policy that the caller has seen")),
    responses((status = 200, body = PolicyView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn replace(
    State(app): State<Arc<App>>,
    changing: Changing,
    body: Bytes,
) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Owner)?;
    changing.must_say_what_was_seen()?;
    let policy = parse(&body)?;
    app.policies.forget_copy();
    let current = app.policies.current(app.clock.as_ref()).await?.version;
    changing.must_have_seen("policy version", &current.to_string(), current)?;
    put(&app, &changing, &(), current, &policy, None).await
}

async fn put(
    app: &App,
    changing: &Changing,
    request: &impl Serialize,
    current: u64,
    policy: &Policy,
    back_to: Option<u64>,
) -> Result<Response, AdminError> {
    let now = app.clock.now();
    let next = current.saturating_add(1);
    let mut event = changing
        .event(now, Kind::PolicyChanged, &format!("policy version {next}"))
        .with("from", current.to_string())
        .with("to", next.to_string());
    if let Some(version) = back_to {
        event = event.with("back_to", version.to_string());
    }
    let writes = app.policies.replacing(current, policy, &changing.acting.arn, now)?;
    let answer = Answer::ok(&view(next, policy), Some(next));
    let response = changing.commit(app, request, &event, &writes, answer).await;
    app.policies.forget_copy();
    response
}

/// The versions there were, with who put them in force.
#[utoipa::path(get, path = "/admin/v1/policy/history", tag = "policy",
    responses((status = 200, body = History), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn history(State(app): State<Arc<App>>, _acting: Acting) -> Result<Response, AdminError> {
    let versions = app.policies.history(HISTORY_MAX).await?;
    let versions = versions
        .into_iter()
        .map(|known| VersionView { version: known.version, by: known.by, at: known.at.epoch_seconds() })
        .collect();
    Ok(json(StatusCode::OK, &History { versions }))
}

/// An earlier version, as it was.
#[utoipa::path(get, path = "/admin/v1/policy/history/{version}", tag = "policy",
    params(("version" = u64, Path, description = "Its number")),
    responses((status = 200, body = PolicyView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn earlier(
    State(app): State<Arc<App>>,
    _acting: Acting,
    Path(version): Path<String>,
) -> Result<Response, AdminError> {
    let (_, document) = version_named(&app, &version).await?;
    let version = version.parse().unwrap_or_default();
    let policy = serde_json::from_str(&document).unwrap_or_default();
    Ok(json(StatusCode::OK, &PolicyView { version, policy }))
}

async fn version_named(app: &App, version: &str) -> Result<(u64, String), AdminError> {
    let missing =
        || AdminError::NotFound { kind: "policy version", id: version.to_owned(), near: Vec::new() };
    let number = version.parse().map_err(|_| missing())?;
    let (_, document) = app.policies.earlier(number).await?.ok_or_else(missing)?;
    Ok((number, document))
}

/// Puts an earlier version in force again, as a new one.
#[utoipa::path(post, path = "/admin/v1/policy/rollback", tag = "policy", request_body = RollBackTo,
    responses((status = 200, body = PolicyView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn roll_back(
    State(app): State<Arc<App>>,
    changing: Changing,
    body: Bytes,
) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Owner)?;
    let to: RollBackTo = read(&body)?;
    if let Some(response) = changing.answered(&app, &to).await? {
        return Ok(response);
    }
    let (version, document) = version_named(&app, &to.version.to_string()).await?;
    // By the rules of today: one that is not valid any more stays in the past.
    let policy = Policy::from_json(&document)?;
    app.policies.forget_copy();
    let current = app.policies.current(app.clock.as_ref()).await?.version;
    changing.must_have_seen("policy version", &current.to_string(), current)?;
    put(&app, &changing, &to, current, &policy, Some(version)).await
}

/// The MCP servers that tokens are issued for.
#[utoipa::path(get, path = "/admin/v1/resources", tag = "policy",
    responses((status = 200, description = "As in the policy", body = Value), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn resources(_: State<Arc<App>>, acting: Acting) -> Result<Response, AdminError> {
    let resources = serde_json::to_value(&acting.policy.policy.resources).unwrap_or_default();
    Ok(json(StatusCode::OK, &serde_json::json!({ "resources": resources })))
}
