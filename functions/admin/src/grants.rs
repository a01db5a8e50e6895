//! Grants: who allowed what, by tool or by person, and ending one (GOV-01).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use shared::audit::Kind;
use shared::aws::GrantPlace;
use shared::grant::{GrantId, Stage};
use shared::http::json;
use shared::policy::Role;
use utoipa::ToSchema;

use crate::App;
use crate::caller::Acting;
use crate::catalogue::is_honoured;
use crate::commit::{Answer, Changing};
use crate::listing::{limit, open_cursor, params, seal_cursor};
use crate::problem::{AdminError, Problem};
use crate::tools::{Because, read, tool};
use crate::view::{DryRun, Effect, GrantView};

/// One page of grants.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantPage {
    /// The grants.
    grants: Vec<GrantView>,
    /// Continues the listing, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// Where the page before ended.
#[derive(Serialize, Deserialize)]
struct Place {
    tool: Option<String>,
    subject: Option<String>,
    after: GrantPlace,
}

/// Grants of a tool, of a person, or of a person with a tool.
#[utoipa::path(get, path = "/admin/v1/grants", tag = "grants",
    params(
        ("tool" = Option<String>, Query, description = "A tool's id"),
        ("subject" = Option<String>, Query, description = "A person, by the sub of tokens"),
        ("limit" = Option<u64>, Query, description = "Grants per page, 200 at most"),
        ("cursor" = Option<String>, Query, description = "Continues a listing"),
    ),
    responses((status = 200, body = GrantPage), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    _acting: Acting,
    RawQuery(query): RawQuery,
) -> Result<Response, AdminError> {
    let params = params(query.as_deref(), &["tool", "subject", "limit", "cursor"])?;
    let limit = i32::try_from(limit(&params)?).unwrap_or(i32::MAX).min(100);
    let (wanted, subject) = (params.get("tool"), params.get("subject"));
    let after = match params.get("cursor") {
        None => None,
        Some(cursor) => {
            let place: Place = open_cursor(&app, cursor)?;
            if (place.tool.as_deref(), place.subject.as_deref()) != (wanted, subject) {
                return Err(AdminError::Malformed("the cursor belongs to another query".to_owned()));
            }
            Some(place.after)
        }
    };
    let (grants, next) = match (wanted, subject) {
        (Some(id), subject) => {
            let tool = tool(&app, id).await?;
            app.governing.grants_of_tool(&tool.id, subject, after.as_ref(), limit).await?
        }
        (None, Some(subject)) => app.governing.grants_of_person(subject, after.as_ref(), limit).await?,
        (None, None) => return Err(AdminError::Malformed("give tool, subject, or both".to_owned())),
    };
    let cursor = next
        .map(|after| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            seal_cursor(&app, &Place { tool: owned(wanted), subject: owned(subject), after })
        })
        .transpose()?;
    let tools = app.catalogue.tools(&app.tools, app.clock.as_ref()).await?;
    let grants = grants.iter().map(|grant| GrantView::of(grant, is_honoured(&tools, grant))).collect();
    Ok(json(StatusCode::OK, &GrantPage { grants, cursor }))
}

/// Ends one grant for good.
#[utoipa::path(post, path = "/admin/v1/grants/{id}/revoke", tag = "grants", request_body = Because,
    params(("id" = String, Path, description = "The grant's id"), ("dry_run" = Option<bool>, Query, description = "Only say what it would take away")),
    responses((status = 200, body = GrantView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn revoke(
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
    let missing = || AdminError::NotFound { kind: "grant", id: id.clone(), near: Vec::new() };
    let grant_id = GrantId::parse(&id).ok_or_else(missing)?;
    let mut grant = app.grants.read(grant_id).await?.ok_or_else(missing)?;
    if changing.dry_run {
        let live = u64::from(grant.stage != Stage::Revoked);
        let effect = Effect { users: live, grants: live, registrations: 0 };
        return Ok(json(StatusCode::OK, &DryRun { dry_run: true, action: "revoke", target: id, effect }));
    }
    let now = app.clock.now();
    let mut event = changing
        .event(now, Kind::GrantRevoked, &id)
        .with("subject", grant.subject.clone())
        .with("tool", grant.tool.as_str())
        .with("client_id", grant.client_id.clone());
    if let Some(text) = &because.because {
        event = event.with("because", text.clone());
    }
    let write = app.governing.revoke_grant(grant_id)?;
    grant.stage = Stage::Revoked;
    let answer = Answer::ok(&GrantView::of(&grant, false), None);
    changing.commit(&app, &because, &event, &[write], answer).await
}
