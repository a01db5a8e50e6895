//! Rotating a tool: what to do when a secret or key of it may be known to others. The tool and its history stay;
//! its grants end and people are asked again; secrets are replaced at once, keys and documents fetched anew.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use shared::audit::Kind;
use shared::aws::Change;
use shared::client::registration::Registration;
use shared::http::log::Note;
use shared::policy::{Policy, Role};
use shared::secret::Secret;
use utoipa::ToSchema;

use crate::App;
use crate::commit::{Answer, Changing};
use crate::problem::{AdminError, Problem};
use crate::registrations::secret;
use crate::tools::{Because, after, dry_run, effect, read, standing, told};
use crate::view::ToolView;

/// Registrations that are changed in one transaction with their tool; DynamoDB takes a hundred writes.
const TOGETHER_MAX: usize = 90;

/// Documents and key sets that are fetched before the answer is given: each may take five seconds, and whoever
/// asks waits. The others are fetched when they are next needed and no longer fresh.
const REFETCHED_MAX: usize = 4;

/// A secret that replaces those of one client. It is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FreshSecret {
    /// The client identifier.
    client_id: String,
    /// The secret; missing for whoever repeats the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

/// What fetching the document and keys of one client anew came to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Refetched {
    /// The client identifier.
    client_id: String,
    /// Whether it was fetched. What could not be fetched is honoured as it was, until it is no longer fresh.
    fetched: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A tool after it was rotated.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RotatedTool {
    /// The tool.
    #[serde(flatten)]
    tool: ToolView,
    /// New secrets, of the clients that had one.
    secrets: Vec<FreshSecret>,
    /// What was fetched anew.
    refetched: Vec<Refetched>,
}

/// Rotates a tool: in one transaction its epoch is raised, so that every grant ends and people are asked again,
/// and every secret replaced; none of before goes on working. Then documents and keys are fetched anew.
#[utoipa::path(post, path = "/admin/v1/tools/{id}/rotate", tag = "tools", request_body = Because,
    params(
        ("id" = String, Path, description = "The tool's id"),
        ("dry_run" = Option<bool>, Query, description = "Only say what it would take away"),
        ("If-Match" = Option<String>, Header, description = "The ETag that the caller has seen"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe; secrets are in the first answer only"),
    ),
    responses((status = 200, description = "The tool with its new secrets, or for a dry run the effect", body = RotatedTool), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    changing: Changing,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Operator)?;
    let because: Because = read(&body)?;
    if let Some(response) = changing.answered(&app, &because).await? {
        return Ok(response);
    }
    let tool = standing(&app, &changing, &id).await?;
    let registrations = app.registrations.of_tool(&tool.id).await?;
    if changing.dry_run {
        return Ok(dry_run("rotate", &id, effect(&app, &tool, registrations.len()).await?));
    }
    if registrations.len() > TOGETHER_MAX {
        return Err(AdminError::NotNow(format!(
            "tool {id} has {} registrations, too many to replace their secrets at once: revoke it, and remove the ones not in use",
            registrations.len()
        )));
    }
    let now = app.clock.now();
    let mut writes = vec![app.governing.change_tool(&tool.id, &Change::Revoke, tool.revision)?];
    let (mut secrets, mut with_documents) = (Vec::new(), Vec::new());
    for listed in &registrations {
        // The index may be behind; what is changed is read as it is.
        let Some(mut registration) = app.registrations.read(&listed.client_id).await? else { continue };
        let fresh = if registration.secrets.is_empty() { None } else { Some(secret(&app, now)?) };
        registration.rotate(fresh.as_ref().map(|(_, digest)| digest.clone()));
        writes.push(app.governing.replace_registration(&registration)?);
        secrets.extend(fresh.map(|(secret, _)| (registration.client_id.as_str().to_owned(), secret)));
        if has_something_to_fetch(&registration) {
            with_documents.push(registration);
        }
    }
    let event = told(changing.event(now, Kind::ToolRotated, &id), &because)?
        .with("registrations", registrations.len().to_string())
        .with("secrets_replaced", secrets.len().to_string());
    let tool = after(tool, &Change::Revoke);
    let (body, again) = (rotated((&tool).into(), &secrets, true), rotated((&tool).into(), &secrets, false));
    let answer = Answer {
        status: StatusCode::OK,
        again: serde_json::to_value(again).unwrap_or_default(),
        body: Value::Null,
        revision: Some(tool.revision),
    };
    // Nothing is fetched before the decision stands: a host that is away must not keep a tool from being rotated.
    let made = changing.commit(&app, &because, &event, &writes, answer).await?;
    if made.headers().contains_key("idempotency-replayed") {
        return Ok(made);
    }
    let policy = &changing.acting.policy.policy;
    let mut body = body;
    for registration in with_documents.iter().take(REFETCHED_MAX) {
        body.refetched.push(refetch(&app, registration, policy).await);
    }
    for registration in with_documents.iter().skip(REFETCHED_MAX) {
        body.refetched.push(Refetched {
            client_id: registration.client_id.as_str().to_owned(),
            fetched: false,
            reason: Some("fetched when it is next needed".to_owned()),
        });
    }
    Ok(Note::new(Kind::ToolRotated.as_str()).on(Answer::ok(&body, Some(tool.revision)).into_response()))
}

fn rotated(tool: ToolView, secrets: &[(String, Secret)], shown: bool) -> RotatedTool {
    let secrets = secrets.iter().map(|(client_id, secret)| FreshSecret {
        client_id: client_id.clone(),
        client_secret: shown.then(|| secret.expose().to_owned()),
    });
    RotatedTool { tool, secrets: secrets.collect(), refetched: Vec::new() }
}

fn has_something_to_fetch(registration: &Registration) -> bool {
    registration.client_id.is_url() && registration.metadata.is_none()
        || registration.metadata.as_ref().is_some_and(|metadata| metadata.keys.is_remote())
}

async fn refetch(app: &App, registration: &Registration, policy: &Policy) -> Refetched {
    let client_id = registration.client_id.as_str().to_owned();
    let failure = fetch(app, registration, policy).await.err();
    Refetched { client_id, fetched: failure.is_none(), reason: failure }
}

async fn fetch(app: &App, registration: &Registration, policy: &Policy) -> Result<(), String> {
    if let Some(metadata) = &registration.metadata {
        return app.client_keys.refresh(metadata).await.map_err(|error| error.to_string());
    }
    let url = app.metadata_url(registration.client_id.as_str(), policy).map_err(|error| error.to_string())?;
    app.documents.refresh(&url, policy).await.map_err(|error| error.to_string())?;
    let known = app.documents.known_without_fetch(&url, policy).await.map_err(|error| error.to_string())?;
    match known {
        Some(known) => {
            app.client_keys.refresh(&known.document.metadata).await.map_err(|error| error.to_string())
        }
        None => Ok(()),
    }
}
