//! `/account`: what is connected in a person's name, and how to end it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use shared::client::redirect::RedirectUri;
use shared::clock::Timestamp;
use shared::grant::{Grant, GrantId, Stage};
use shared::http::log::Note;
use shared::http::page::{page, see_other};
use shared::oauth::Params;
use shared::policy::Policy;
use shared::seal::{Purpose, SealError};

use crate::App;
use crate::consent::refuse_cross_site;
use crate::error::{PageError, refuse};
use crate::flow::{Flow, FlowId, Flows};
use crate::pages::{AccountPage, ConnectedTool, Frame, Installation, MessagePage, plain_text};
use crate::session::Session;
use crate::sign_in;
use crate::words::{Language, Message};

/// Where the page is.
pub(crate) const PATH: &str = "/account";

/// The hidden part of every form on the page, sealed.
#[derive(Serialize, Deserialize)]
struct AccountForm {
    account_of: String,
}

/// `GET /account`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let revoked = query.as_deref() == Some("revoked");
    match Session::read(&app, &headers) {
        Some(session) => list(&app, &session, revoked).await.unwrap_or_else(|error| refuse(&app, error)),
        None => {
            let id = match FlowId::new(app.random.as_ref()) {
                Ok(id) => id,
                Err(error) => return refuse(&app, error.into()),
            };
            let mut flows = Flows::read(&app, &headers);
            flows.add(id, Flow::to_account(app.clock.now()));
            sign_in::begin(&app, &mut flows, id).await
        }
    }
}

async fn list(app: &App, session: &Session, revoked: bool) -> Result<Response, PageError> {
    let now = app.clock.now();
    let policy = app.policies.current(app.clock.as_ref()).await?;
    let mut grants = app.grants.connections(&session.subject).await?;
    grants.retain(|grant| is_live(grant, now));
    grants.sort_by_key(|grant| std::cmp::Reverse(last_used(grant)));
    let form = serde_json::to_vec(&AccountForm { account_of: session.id.clone() })
        .map_err(|_| SealError::Key)
        .and_then(|plain| app.keys.current().seal.seal(Purpose::Form, &plain, app.random.as_ref()))?;
    let html = AccountPage {
        frame: Frame::current(app),
        user_name: &plain_text(&session.name),
        tools: &by_tool(&grants, &policy.policy, now),
        form: &form,
        revoked,
    }
    .html()
    .ok_or(SealError::Key)?;
    Ok(Note::new("account_shown").on(page(StatusCode::OK, html, None)))
}

fn is_live(grant: &Grant, now: Timestamp) -> bool {
    match &grant.stage {
        Stage::Active(active) => now < active.idle_expires_at && now < active.ends_at,
        Stage::Approved { .. } | Stage::Revoked => false,
    }
}

fn last_used(grant: &Grant) -> Timestamp {
    match &grant.stage {
        Stage::Active(active) => active.rotated_at,
        Stage::Approved { .. } | Stage::Revoked => grant.approved_at,
    }
}

fn by_tool(grants: &[Grant], policy: &Policy, now: Timestamp) -> Vec<ConnectedTool> {
    let language = Language::current();
    let mut tools: Vec<ConnectedTool> = Vec::new();
    for grant in grants {
        let resource = policy.resource(&grant.resource);
        let scopes = grant.scope.tokens().map(|token| {
            let words = resource
                .and_then(|resource| resource.scopes.iter().find(|scope| scope.name == token))
                .map(|scope| scope.description.as_str())
                .filter(|words| !words.is_empty());
            match words {
                Some(words) => words.to_owned(),
                None if token == shared::oauth::scope::OFFLINE_ACCESS => {
                    language.words().stays_connected.to_owned()
                }
                None => token.to_owned(),
            }
        });
        let place = RedirectUri::parse(&grant.redirect_uri).map(|uri| uri.host_for_display().to_owned());
        let installation = Installation {
            grant: grant.id.to_string(),
            place: place.unwrap_or_default(),
            resource: resource.map_or_else(|| grant.resource.clone(), |known| known.display_name()),
            scopes: scopes.collect(),
            allowed: language.ago(now.since(grant.approved_at)),
            last_used: language.ago(now.since(last_used(grant))),
        };
        match tools.iter_mut().find(|tool| tool.id == grant.tool.as_str()) {
            Some(tool) => tool.installations.push(installation),
            None => tools.push(ConnectedTool {
                id: grant.tool.as_str().to_owned(),
                host: grant.evidence.client_host.clone().unwrap_or_else(|| grant.tool.as_str().to_owned()),
                name: grant.evidence.client_name.as_deref().map(plain_text),
                installations: vec![installation],
            }),
        }
    }
    tools
}

/// `POST /account`: disconnect one, one tool, or all; or sign out.
pub(crate) async fn submit(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    change(&app, &headers, &body).await.unwrap_or_else(|error| refuse(&app, error))
}

async fn change(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<Response, PageError> {
    refuse_cross_site(app, headers)?;
    let body = std::str::from_utf8(body).map_err(|_| PageError::FormInvalid)?;
    let params = Params::parse(body)?;
    params.refuse_repeated()?;
    let session = Session::read(app, headers).ok_or(PageError::FormInvalid)?;
    let form: AccountForm = params
        .get("form")
        .and_then(|sealed| app.keys.current().seal.open(Purpose::Form, sealed).ok())
        .and_then(|plain| serde_json::from_slice(&plain).ok())
        .ok_or(PageError::FormInvalid)?;
    if form.account_of != session.id {
        return Err(PageError::FormInvalid);
    }
    if params.get("sign_out").is_some() {
        return Ok(sign_out(app));
    }
    let wanted = |grant: &Grant| match (params.get("grant"), params.get("tool"), params.get("all")) {
        (Some(id), None, None) => GrantId::parse(id) == Some(grant.id),
        (None, Some(tool), None) => grant.tool.as_str() == tool,
        (None, None, Some(_)) => true,
        _ => false,
    };
    // Only the person's own grants are ever looked at, so an id of somebody else's ends nothing.
    for grant in app.grants.connections(&session.subject).await?.iter().filter(|grant| wanted(grant)) {
        app.grants.revoke(grant.id).await?;
    }
    Ok(Note::new("disconnected").on(see_other("/account?revoked")))
}

fn sign_out(app: &App) -> Response {
    let (title, text) = Language::current().message(Message::SignedOut);
    let frame = Frame::current(app);
    let content =
        MessagePage { frame, title, text, reference: None, client_id: None, retry: None, back: None };
    let mut response = page(StatusCode::OK, content.html(), None);
    if let Some(cookie) = app.cookies().remove(crate::session::COOKIE) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Note::new("signed_out").on(response)
}
