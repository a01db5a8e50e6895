//! What a signed-in person was refused, kept under the reference that their page shows (GOV-13).
//!
//! Strangers leave nothing: only a request that got past the sign-in is recorded, once an hour for the
//! same person, client, and outcome, and only so often in all.

use shared::audit::{Actor, Event, Kind};
use shared::http::log::chain;
use shared::resolver::RefusalKind;

use crate::App;
use crate::error::PageError;
use crate::session::Session;

/// The checks of an authorization request, in their order.
const CHECKS: [&str; 6] = ["1_request", "2_sign_in", "3_client", "4_redirect_uri", "5_profile", "6_groups"];

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

/// Records the refusal and answers its reference. If that is not possible, the refusal stands without.
pub(crate) async fn record(
    app: &App,
    session: &Session,
    error: &PageError,
    client_id: Option<&str>,
) -> Option<String> {
    let failed = failed_check(error)?;
    let client_id = client_id.unwrap_or_default();
    let now = app.clock.now();
    let mut event = Event::new(now, Kind::RequestRefused, Actor::Person(session.subject.clone()), client_id);
    for (at, check) in CHECKS.iter().enumerate() {
        let verdict = match at.cmp(&failed) {
            std::cmp::Ordering::Less => "passed".to_owned(),
            std::cmp::Ordering::Equal => format!("refused: {}", chain(error)),
            std::cmp::Ordering::Greater => "not reached".to_owned(),
        };
        event = event.with(check, verdict);
    }
    // The policy was read for this request, so this is its copy.
    let policy = app.policies.current(app.clock.as_ref()).await.ok()?;
    let retention = policy.policy.administration.audit_retention();
    let recorded = app.audit.refuse(&session.subject, client_id, error.outcome(), event, retention).await;
    recorded
        .inspect_err(|error| tracing::warn!(reason = chain(error), "a refusal was not recorded"))
        .ok()
        .flatten()
}
