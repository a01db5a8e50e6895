//! One tool: looking at it, deciding about it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::audit::Kind;
use shared::aws::{Change, Write};
use shared::client::id::ClientId;
use shared::client::registration::Registration;
use shared::clock::Timestamp;
use shared::http::json;
use shared::policy::Role;
use shared::tool::{Ceiling, Reviewed, Status, Tool, ToolId};
use utoipa::ToSchema;

use crate::App;
use crate::caller::Acting;
use crate::catalogue::{census, near, near_client_ids};
use crate::commit::{Answer, Changing, with_revision};
use crate::problem::{AdminError, Problem};
use crate::view::{CeilingView, CensusView, DryRun, Effect, RegistrationView, ToolView};

/// Characters of a name given to a tool.
const NAME_CHARS_MAX: usize = 120;

/// Characters of the reason for a change.
const BECAUSE_CHARS_MAX: usize = 500;

/// Why something is done; kept in the audit trail.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Because {
    /// In a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) because: Option<String>,
}

/// What to change about a tool; members that are left out stay.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Edit {
    /// Another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// A profile set by hand; empty leaves it to the rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    /// Its bounds, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling: Option<CeilingView>,
}

/// The tool that another one becomes part of.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Merge {
    /// Its id.
    into: String,
}

/// A client identifier that is to belong to the tool.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Map {
    /// The client identifier, exactly.
    client_id: String,
}

/// Reads a JSON body; an empty one is what `T` is without members, where it may be.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, AdminError> {
    let body = if body.is_empty() { b"{}".as_slice() } else { body };
    serde_json::from_slice(body).map_err(|error| AdminError::Malformed(error.to_string()))
}

/// The tool `id`, or a refusal that names what looks like it.
pub(crate) async fn tool(app: &App, id: &str) -> Result<Tool, AdminError> {
    let found = match ToolId::parse(id) {
        Some(id) => app.tools.read(&id).await?.filter(|tool| !tool.forgotten),
        None => None,
    };
    match found {
        Some(tool) => Ok(tool),
        None => {
            let tools = app.catalogue.tools(&app.tools, app.clock.as_ref()).await?;
            Err(AdminError::NotFound { kind: "tool", id: id.to_owned(), near: near(&tools, id) })
        }
    }
}

/// What ending or disabling the tool takes away.
pub(crate) async fn effect(app: &App, tool: &Tool, registrations: usize) -> Result<Effect, AdminError> {
    let census = census(app, tool).await?;
    let registrations = u64::try_from(registrations).unwrap_or(u64::MAX);
    Ok(Effect { users: census.users, grants: census.grants, registrations })
}

pub(crate) fn dry_run(action: &'static str, target: &str, effect: Effect) -> Response {
    json(StatusCode::OK, &DryRun { dry_run: true, action, target: target.to_owned(), effect })
}

/// A tool with its client identifiers, its people and grants counted.
#[utoipa::path(get, path = "/admin/v1/tools/{id}", tag = "tools",
    params(("id" = String, Path, description = "The tool's id")),
    responses((status = 200, body = ToolView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    _acting: Acting,
    Path(id): Path<String>,
) -> Result<Response, AdminError> {
    let tool = tool(&app, &id).await?;
    let registrations = app.registrations.of_tool(&tool.id).await?;
    let census = census(&app, &tool).await?;
    if tool.census.is_none_or(|known| (known.users, known.grants) != (census.users, census.grants)) {
        app.tools.keep_census(&tool.id, &census).await?;
        app.catalogue.forget();
    }
    let mut view = ToolView::from(&tool);
    view.census = Some(CensusView {
        users: census.users,
        grants: census.grants,
        counted_at: census.counted_at.epoch_seconds(),
    });
    view.registrations = Some(registrations.iter().map(RegistrationView::from).collect());
    Ok(with_revision(json(StatusCode::OK, &view), Some(tool.revision)))
}

/// A decision about a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Approve,
    Deny,
    Enable,
    Disable,
    Revoke,
}

impl Decision {
    const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Revoke => "revoke",
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Approve | Self::Enable => Kind::ToolEnabled,
            Self::Deny | Self::Disable => Kind::ToolDisabled,
            Self::Revoke => Kind::ToolRevoked,
        }
    }

    fn change(self, now: Timestamp, arn: &str) -> Change {
        match self {
            Self::Approve | Self::Enable => Change::Enable(Reviewed { at: now, by: arn.to_owned() }),
            Self::Deny | Self::Disable => Change::Disable,
            Self::Revoke => Change::Revoke,
        }
    }
}

/// The tool as it is once `change` was made to it.
pub(crate) fn after(mut tool: Tool, change: &Change) -> Tool {
    match change {
        Change::Enable(reviewed) => {
            tool.status = Status::Enabled;
            tool.reviewed = Some(reviewed.clone());
        }
        Change::Disable => tool.status = Status::Disabled,
        Change::Withdraw => tool.status = Status::Withdrawn,
        Change::Revoke => tool.epoch = tool.epoch.saturating_add(1),
        Change::Rename(name) => tool.name = Some(name.clone()),
        Change::SetCeiling(ceiling) => tool.ceiling = ceiling.clone(),
        Change::SetProfile(profile) => tool.profile.clone_from(profile),
    }
    tool.revision = tool.revision.saturating_add(1);
    tool
}

async fn decide(
    app: &App,
    changing: &Changing,
    id: &str,
    body: &[u8],
    decision: Decision,
) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Operator)?;
    let because: Because = read(body)?;
    if let Some(response) = changing.answered(app, &because).await? {
        return Ok(response);
    }
    let tool = standing(app, changing, id).await?;
    let pending = tool.status == Status::Pending;
    match decision {
        Decision::Approve | Decision::Deny if !pending => {
            return Err(AdminError::NotNow(format!(
                "tool {id} is {status}, not pending; enable or disable it instead",
                status = tool.status.as_str()
            )));
        }
        _ => {}
    }
    if changing.dry_run {
        let registrations = app.registrations.of_tool(&tool.id).await?.len();
        return Ok(dry_run(decision.name(), id, effect(app, &tool, registrations).await?));
    }
    let now = app.clock.now();
    let change = decision.change(now, &changing.acting.arn);
    let event = told(changing.event(now, decision.kind(), id), &because)?.with("from", tool.status.as_str());
    let write = app.governing.change_tool(&tool.id, &change, tool.revision)?;
    let tool = after(tool, &change);
    let answer = Answer::ok(&ToolView::from(&tool), Some(tool.revision));
    changing.commit(app, &because, &event, &[write], answer).await
}

pub(crate) fn told(
    event: shared::audit::Event,
    because: &Because,
) -> Result<shared::audit::Event, AdminError> {
    match &because.because {
        None => Ok(event),
        Some(text) if text.chars().count() > BECAUSE_CHARS_MAX => {
            Err(AdminError::Malformed(format!("because has {BECAUSE_CHARS_MAX} characters at most")))
        }
        Some(text) => Ok(event.with("because", text.clone())),
    }
}

/// The tool as the caller has seen it, if it stands for itself.
pub(crate) async fn standing(app: &App, changing: &Changing, id: &str) -> Result<Tool, AdminError> {
    let tool = tool(app, id).await?;
    changing.must_have_seen("tool", id, tool.revision)?;
    match &tool.merged {
        Some(merged) => Err(AdminError::NotNow(format!(
            "tool {id} has become part of {into}: decide about that one",
            into = merged.into
        ))),
        None => Ok(tool),
    }
}

macro_rules! decision {
    ($name:ident, $decision:expr, $path:literal, $words:literal) => {
        #[doc = $words]
        #[utoipa::path(post, path = $path, tag = "tools", request_body = Because,
            params(
                ("id" = String, Path, description = "The tool's id"),
                ("dry_run" = Option<bool>, Query, description = "Only say what it would take away"),
                ("If-Match" = Option<String>, Header, description = "The ETag that the caller has seen"),
                ("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe"),
            ),
            responses((status = 200, description = "The tool as it is now, or for a dry run the effect", body = ToolView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
        pub(crate) async fn $name(
            State(app): State<Arc<App>>,
            changing: Changing,
            Path(id): Path<String>,
            body: Bytes,
        ) -> Result<Response, AdminError> {
            decide(&app, &changing, &id, &body, $decision).await
        }
    };
}

decision!(approve, Decision::Approve, "/admin/v1/tools/{id}/approve", "Lets a pending tool be used.");
decision!(deny, Decision::Deny, "/admin/v1/tools/{id}/deny", "Decides against a pending tool.");
decision!(enable, Decision::Enable, "/admin/v1/tools/{id}/enable", "Lets a tool be used again.");
decision!(
    disable,
    Decision::Disable,
    "/admin/v1/tools/{id}/disable",
    "Stops a tool at once, for everybody; enabling it brings its grants back."
);
decision!(
    revoke,
    Decision::Revoke,
    "/admin/v1/tools/{id}/revoke",
    "Ends all grants of a tool; people connect again."
);

/// Changes a tool's name, profile, or bounds: one of them at a time.
#[utoipa::path(patch, path = "/admin/v1/tools/{id}", tag = "tools", request_body = Edit,
    params(("id" = String, Path, description = "The tool's id"), ("If-Match" = Option<String>, Header, description = "The ETag that the caller has seen")),
    responses((status = 200, body = ToolView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    changing: Changing,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Operator)?;
    let edit: Edit = read(&body)?;
    let now = app.clock.now();
    let (change, event) = match (&edit.name, &edit.profile, &edit.ceiling) {
        (Some(name), None, None) => {
            let name = name.trim();
            if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control)
            {
                return Err(AdminError::Malformed(format!(
                    "name has 1 to {NAME_CHARS_MAX} printable characters"
                )));
            }
            (Change::Rename(name.to_owned()), changing.event(now, Kind::ToolRenamed, &id).with("name", name))
        }
        (None, Some(profile), None) => {
            let profile = Some(profile.clone()).filter(|profile| !profile.is_empty());
            let event = changing
                .event(now, Kind::ToolProfiled, &id)
                .with("profile", profile.clone().unwrap_or_else(|| "left to the rules".to_owned()));
            (Change::SetProfile(profile), event)
        }
        (None, None, Some(ceiling)) => {
            let described = serde_json::to_string(ceiling).unwrap_or_default();
            let ceiling = Ceiling::from(ceiling.clone());
            (
                Change::SetCeiling(ceiling),
                changing.event(now, Kind::ToolBounded, &id).with("ceiling", described),
            )
        }
        _ => {
            return Err(AdminError::Malformed("give one of name, profile, ceiling".to_owned()));
        }
    };
    let tool = standing(&app, &changing, &id).await?;
    let write = app.governing.change_tool(&tool.id, &change, tool.revision)?;
    let tool = after(tool, &change);
    let answer = Answer::ok(&ToolView::from(&tool), Some(tool.revision));
    changing.commit(&app, &edit, &event, &[write], answer).await
}

/// Makes a tool part of another: its registrations belong to that one from now on, its grants go on.
#[utoipa::path(post, path = "/admin/v1/tools/{id}/merge", tag = "tools", request_body = Merge,
    params(("id" = String, Path, description = "The tool that ends"), ("dry_run" = Option<bool>, Query, description = "Only say whom it concerns")),
    responses((status = 200, description = "The tool that it is part of now", body = ToolView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn merge(
    State(app): State<Arc<App>>,
    changing: Changing,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Operator)?;
    let merge: Merge = read(&body)?;
    if let Some(response) = changing.answered(&app, &merge).await? {
        return Ok(response);
    }
    let from = standing(&app, &changing, &id).await?;
    let into = tool(&app, &merge.into).await?;
    if into.merged.is_some() || into.id == from.id {
        return Err(AdminError::NotNow(format!("tool {} cannot be merged into", merge.into)));
    }
    let registrations = app.registrations.of_tool(&from.id).await?;
    if changing.dry_run {
        return Ok(dry_run("merge", &id, effect(&app, &from, registrations.len()).await?));
    }
    let now = app.clock.now();
    let event = changing.event(now, Kind::ToolMerged, &id).with("into", merge.into.clone());
    let writes = app.governing.merge_tool(&from.id, from.revision, &into)?;
    let answer = Answer::ok(&ToolView::from(&into), Some(into.revision));
    let response = changing.commit(&app, &merge, &event, &writes, answer).await?;
    // Decided already: a registration that stays behind is followed by way of its tool, and moving them is
    // repeated safely by merging again.
    for registration in &registrations {
        app.registrations.move_to(&registration.client_id, &into.id).await?;
    }
    Ok(response)
}

/// Lets a client identifier belong to a tool.
#[utoipa::path(post, path = "/admin/v1/tools/{id}/map", tag = "tools", request_body = Map,
    params(("id" = String, Path, description = "The tool that it will belong to")),
    responses((status = 200, body = RegistrationView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn map(
    State(app): State<Arc<App>>,
    changing: Changing,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Operator)?;
    let map: Map = read(&body)?;
    if let Some(response) = changing.answered(&app, &map).await? {
        return Ok(response);
    }
    let tool = standing(&app, &changing, &id).await?;
    let mut registration = registration(&app, &map.client_id).await?;
    let from = std::mem::replace(&mut registration.tool, tool.id.clone());
    let now = app.clock.now();
    let event = changing
        .event(now, Kind::RegistrationMoved, &map.client_id)
        .with("from", from.as_str())
        .with("to", tool.id.as_str());
    let write = app.governing.replace_registration(&registration)?;
    registration.revision = registration.revision.saturating_add(1);
    let answer = Answer::ok(&RegistrationView::from(&registration), Some(registration.revision));
    changing.commit(&app, &map, &event, &[write], answer).await
}

/// The registration of `client_id`, or a refusal that names what looks like it.
pub(crate) async fn registration(app: &App, client_id: &str) -> Result<Registration, AdminError> {
    let found = match ClientId::parse(client_id) {
        Ok(id) => app.registrations.read(&id).await?,
        Err(_) => None,
    };
    match found.filter(|found| !found.has_ended(app.clock.now())) {
        Some(found) => Ok(found),
        None => {
            let near = near_client_ids(app, client_id).await?;
            Err(AdminError::NotFound { kind: "registration", id: client_id.to_owned(), near })
        }
    }
}

/// Deletes a tool: its grants end, its registrations go. Met again, it is a new tool.
#[utoipa::path(delete, path = "/admin/v1/tools/{id}", tag = "tools",
    params(("id" = String, Path, description = "The tool's id"), ("dry_run" = Option<bool>, Query, description = "Only say what it would take away")),
    responses((status = 200, body = ToolView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    changing: Changing,
    Path(id): Path<String>,
) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Operator)?;
    let found = tool(&app, &id).await?;
    changing.must_have_seen("tool", &id, found.revision)?;
    let registrations = app.registrations.of_tool(&found.id).await?;
    if changing.dry_run {
        return Ok(dry_run("delete", &id, effect(&app, &found, registrations.len()).await?));
    }
    let now = app.clock.now();
    let event =
        changing.event(now, Kind::ToolForgotten, &id).with("registrations", registrations.len().to_string());
    let write: Write = app.governing.forget_tool(&found.id, found.revision)?;
    let answer = Answer::ok(&ToolView::from(&found), None);
    let response = changing.commit(&app, &(), &event, &[write], answer).await?;
    // Nothing of a forgotten tool is honoured any more; what is left here is tidied by deleting again.
    for registration in &registrations {
        app.registrations.remove(&registration.client_id).await?;
    }
    Ok(response)
}
