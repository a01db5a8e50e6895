//! Tools that wait for an administrator: the first use parks them, the person is told and may say why.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use shared::aws::Commit;
use shared::client::registration::Registration;
use shared::http::log::Note;
use shared::http::page::page;
use shared::oauth::Params;
use shared::resolver::Client;
use shared::seal::{Purpose, SealError};
use shared::tool::{Introduced, Status, Tool, ToolId};

use crate::App;
use crate::consent::{bringing_in, refuse_cross_site};
use crate::error::{PageError, refuse};
use crate::pages::{Frame, PendingPage};
use crate::record;
use crate::session::Session;
use crate::words::{Language, Message};

/// Characters of a reason: a sentence or two for an administrator's listing.
const REASON_CHARS_MAX: usize = 500;

/// Parks an unknown tool as pending, with the registration that it came with. Parking what is there
/// already changes nothing.
pub(crate) async fn park(app: &App, session: &Session, client: &Client) -> Result<(), PageError> {
    let introduced =
        Introduced { at: app.clock.now(), by: session.subject.clone(), mechanism: client.mechanism };
    let name = client.metadata.client_name.clone();
    let tool = Tool::new(client.tool.clone(), name, Status::Pending, introduced.clone());
    let registration = Registration::new(client.id.clone(), client.tool.clone(), introduced, None);
    let writes = bringing_in(app, client, &tool, &registration).await?;
    let event = record::introduction(session, &tool, client.id.as_str(), tool.introduced.at);
    let policy = app.policies.current(app.clock.as_ref()).await?;
    let retention = policy.policy.administration.audit_retention();
    match app.audit.commit(&event, &writes, None, retention).await? {
        // Parked already, by somebody else at this moment.
        Commit::Made(_) | Commit::Conflict | Commit::Seen => Ok(()),
    }
}

/// The hidden part of the reason form, sealed: which tool, and whose form it is.
#[derive(Serialize, Deserialize)]
struct ReasonForm {
    tool: ToolId,
    session: String,
}

/// The page that says so, with a form for the reason.
pub(crate) fn pending(app: &App, session: &Session, tool: &ToolId) -> Response {
    let form = ReasonForm { tool: tool.clone(), session: session.id.clone() };
    let sealed = serde_json::to_vec(&form)
        .map_err(|_| SealError::Key)
        .and_then(|plain| app.keys.current().seal.seal(Purpose::Form, &plain, app.random.as_ref()));
    match sealed {
        Ok(form) => shown(app, tool, Some(&form)),
        Err(error) => refuse(app, error.into()),
    }
}

fn shown(app: &App, tool: &ToolId, form: Option<&str>) -> Response {
    let (title, text) = Language::current().message(Message::ToolPending);
    let frame = Frame::current(app);
    let content = PendingPage { frame, title, text, tool: tool.as_str(), form, limit: REASON_CHARS_MAX };
    let response = page(StatusCode::FORBIDDEN, content.html(), None);
    Note { reason: Some(format!("the tool {tool} is pending")), ..Note::new("tool_pending") }.on(response)
}

/// `POST /reason`: why somebody wants a pending tool.
pub(crate) async fn reason(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    take(&app, &headers, &body).await.unwrap_or_else(|error| refuse(&app, error))
}

async fn take(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<Response, PageError> {
    refuse_cross_site(app, headers)?;
    let body = std::str::from_utf8(body).map_err(|_| PageError::FormInvalid)?;
    let params = Params::parse(body)?;
    params.refuse_repeated()?;
    let session = Session::read(app, headers).ok_or(PageError::FormInvalid)?;
    let keys = app.keys.current();
    let form: ReasonForm = params
        .get("form")
        .and_then(|sealed| keys.seal.open(Purpose::Form, sealed).ok())
        .and_then(|plain| serde_json::from_slice(&plain).ok())
        .ok_or(PageError::FormInvalid)?;
    if form.session != session.id {
        return Err(PageError::FormInvalid);
    }
    let reason: String = params
        .get("reason")
        .unwrap_or_default()
        .chars()
        .filter(|character| !character.is_control())
        .take(REASON_CHARS_MAX)
        .collect();
    if !reason.trim().is_empty() {
        app.tools.give_reason(&form.tool, reason.trim()).await?;
    }
    Ok(shown(app, &form.tool, None))
}
