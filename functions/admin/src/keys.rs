//! Keys: which there are, and replacing them in an emergency. Their ordinary rotation needs nobody.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use shared::audit::Kind;
use shared::aws::KeyChange;
use shared::http::json;
use shared::jose::KeyUse;
use shared::policy::Role;
use utoipa::ToSchema;

use crate::App;
use crate::caller::Acting;
use crate::commit::{Answer, Changing};
use crate::problem::{AdminError, Problem};
use crate::tools::read;

/// A key, without its material.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyView {
    /// Its id.
    kid: String,
    /// `sig` or `seal`.
    usage: &'static str,
    /// `next`, `active`, `retiring`, or `gone`.
    state: &'static str,
    /// When it was made.
    created_at: u64,
    /// When it is first used.
    active_from: u64,
}

/// All keys, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Keys {
    /// The keys.
    keys: Vec<KeyView>,
}

/// Which keys to replace now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplaceKeys {
    /// `sig`: resources refuse tokens issued before as soon as they read the key set again. `seal`:
    /// everybody signs in again.
    usage: String,
}

/// What was made and removed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replaced {
    /// Ids of new keys.
    made: Vec<String>,
    /// Ids of keys that are gone.
    removed: Vec<String>,
}

/// All keys.
#[utoipa::path(get, path = "/admin/v1/keys", tag = "keys",
    responses((status = 200, body = Keys), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(State(app): State<Arc<App>>, _acting: Acting) -> Result<Response, AdminError> {
    let keys = app.key_store.list(app.clock.as_ref()).await?;
    let keys = keys
        .into_iter()
        .map(|key| KeyView {
            kid: key.kid,
            usage: key.usage.as_str(),
            state: key.state.as_str(),
            created_at: key.created_at.epoch_seconds(),
            active_from: key.active_from.epoch_seconds(),
        })
        .collect();
    Ok(json(StatusCode::OK, &Keys { keys }))
}

/// Emergency: new keys now, and no earlier one is honoured.
#[utoipa::path(post, path = "/admin/v1/keys/rotate", tag = "keys", request_body = ReplaceKeys,
    params(("dry_run" = Option<bool>, Query, description = "Only say which would be removed")),
    responses((status = 200, body = Replaced), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    changing: Changing,
    body: Bytes,
) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Owner)?;
    let asked: ReplaceKeys = read(&body)?;
    let which = KeyUse::ALL.into_iter().find(|known| known.as_str() == asked.usage).ok_or_else(|| {
        let known: Vec<&str> = KeyUse::ALL.into_iter().map(KeyUse::as_str).collect();
        AdminError::Malformed(format!("usage is {}", known.join(" or ")))
    })?;
    if let Some(response) = changing.answered(&app, &asked).await? {
        return Ok(response);
    }
    let old = app.key_store.list(app.clock.as_ref()).await?;
    let removed: Vec<String> = old.into_iter().filter(|key| key.usage == which).map(|key| key.kid).collect();
    if changing.dry_run {
        return Ok(json(StatusCode::OK, &Replaced { made: Vec::new(), removed }));
    }
    let (clock, random) = (app.clock.as_ref(), app.random.as_ref());
    let (writes, changes) = app.key_store.replacing(which, app.wrap.as_ref(), clock, random).await?;
    let mut replaced = Replaced { made: Vec::new(), removed: Vec::new() };
    for change in changes {
        match change {
            KeyChange::Made { kid, .. } => replaced.made.push(kid),
            KeyChange::Removed { kid, .. } => replaced.removed.push(kid),
        }
    }
    let event = changing
        .event(app.clock.now(), Kind::KeysRotated, &asked.usage)
        .with("made", replaced.made.join(" "))
        .with("removed", replaced.removed.join(" "));
    changing.commit(&app, &asked, &event, &writes, Answer::ok(&replaced, None)).await
}
