//! What signed-in people decided and were refused, kept in the audit trail (GOV-13).
//!
//! A consent is recorded in the write that stores it: there is none without its entry. Refusals and a no are
//! recorded once an hour for the same person, client, and outcome, and only so often in all; a refused person's
//! page shows the reference. Strangers leave nothing.

use shared::audit::{Actor, Event, Kind};
use shared::clock::Timestamp;
use shared::grant::Grant;
use shared::http::log::chain;
use shared::oauth::AuthorizationErrorCode;
use shared::resolver::RefusalKind;
use shared::tool::Tool;

use crate::App;
use crate::error::PageError;
use crate::request::RequestError;
use crate::session::Session;

/// The checks of an authorization request, in their order.
const CHECKS: [&str; 7] =
    ["1_request", "2_sign_in", "3_client", "4_redirect_uri", "5_profile", "6_groups", "7_parameters"];

/// The check that `error` comes from; `None` if it says nothing about the client.
fn failed_check(error: &PageError) -> Option<usize> {
    match error {
        PageError::Refused(refusal) if refusal.kind() != RefusalKind::Ours => Some(2),
        PageError::RedirectUriUnknown => Some(3),
        PageError::RedirectKind => Some(4),
        PageError::GroupNotAllowed => Some(5),
        _ => None,
    }
}

/// Records a refusal that becomes a page, and answers its reference. If that is not possible, the refusal stands
/// without.
pub(crate) async fn refused(
    app: &App,
    session: &Session,
    error: &PageError,
    client_id: Option<&str>,
) -> Option<String> {
    let failed = failed_check(error)?;
    let event = checked(app, session, client_id, failed, &chain(error));
    keep(app, session, client_id, error.outcome(), event).await
}

/// Records a refusal that the client is told by a redirect.
pub(crate) async fn refused_by_redirect(
    app: &App,
    session: &Session,
    error: &RequestError,
    code: AuthorizationErrorCode,
    client_id: Option<&str>,
) {
    let event = checked(app, session, client_id, CHECKS.len() - 1, &chain(error));
    keep(app, session, client_id, code.as_str(), event).await;
}

/// Records that the person said no.
pub(crate) async fn denied(app: &App, session: &Session, client_id: &str, tool: &str) {
    let actor = Actor::Person(session.subject.clone());
    let event = Event::new(app.clock.now(), Kind::ConsentDenied, actor, client_id).with("tool", tool);
    keep(app, session, Some(client_id), "access_denied", event).await;
}

fn checked(app: &App, session: &Session, client_id: Option<&str>, failed: usize, reason: &str) -> Event {
    let actor = Actor::Person(session.subject.clone());
    let event = Event::new(app.clock.now(), Kind::RequestRefused, actor, client_id.unwrap_or_default());
    CHECKS.iter().enumerate().fold(event, |event, (at, check)| {
        let verdict = match at.cmp(&failed) {
            std::cmp::Ordering::Less => "passed".to_owned(),
            std::cmp::Ordering::Equal => format!("refused: {reason}"),
            std::cmp::Ordering::Greater => "not reached".to_owned(),
        };
        event.with(check, verdict)
    })
}

async fn keep(
    app: &App,
    session: &Session,
    client_id: Option<&str>,
    outcome: &str,
    event: Event,
) -> Option<String> {
    // The policy was read for this request, so this is its copy.
    let policy = app.policies.current(app.clock.as_ref()).await.ok()?;
    let retention = policy.policy.administration.audit_retention();
    let client_id = client_id.unwrap_or_default();
    let recorded = app.audit.refuse(&session.subject, client_id, outcome, event, retention).await;
    recorded
        .inspect_err(|error| tracing::warn!(reason = chain(error), "a refusal was not recorded"))
        .ok()
        .flatten()
}

/// What a person allowed: who, which client and document, where the answer goes, for which resource and scope.
pub(crate) fn consent(grant: &Grant, remembered: Option<&Grant>) -> Event {
    let actor = Actor::Person(grant.subject.clone());
    let mut event = Event::new(grant.approved_at, Kind::ConsentGiven, actor, grant.id.to_string())
        .with("client_id", grant.client_id.clone())
        .with("tool", grant.tool.as_str())
        .with("mechanism", grant.mechanism.as_str())
        .with("profile", grant.profile.clone())
        .with("redirect_uri", grant.redirect_uri.clone())
        .with("resource", grant.resource.clone())
        .with("scope", grant.scope.to_string());
    if let Some(digest) = &grant.document_digest {
        event = event.with("document", digest.clone());
    }
    match remembered {
        Some(earlier) => event.with("remembered", earlier.id.to_string()),
        None => event,
    }
}

/// That a tool is met for the first time, and by whom.
pub(crate) fn introduction(session: &Session, new: &Tool, client_id: &str, now: Timestamp) -> Event {
    Event::new(now, Kind::ToolIntroduced, Actor::Person(session.subject.clone()), new.id.as_str())
        .with("client_id", client_id)
        .with("mechanism", new.introduced.mechanism.as_str())
        .with("status", new.status.as_str())
}
