//! What a person is asked, and what is kept of it.

use axum::http::StatusCode;
use axum::response::Response;
use shared::grant::{Evidence, Grant, Warning};
use shared::http::log::Note;
use shared::http::page::page;
use shared::oauth::Scope;
use shared::policy::Resource;
use shared::seal::{Purpose, SealError};

use crate::App;
use crate::adoption::AdoptionFacts;
use crate::consent::{ConsentForm, Walk};
use crate::error::refuse;
use crate::flow::{Flow, FlowId};
use crate::look_alike::{HostView, look_alike};
use crate::pages::{ConsentPage, Frame, plain_text};
use crate::session::Session;
use crate::words::Language;

/// The consent page. `changed` says that the question is another one than the person has just answered.
pub(crate) fn present(
    app: &App,
    id: FlowId,
    flow: &Flow,
    session: &Session,
    walk: &Walk,
    changed: bool,
) -> Response {
    let form = ConsentForm {
        flow: id.to_string(),
        session: session.id.clone(),
        question: walk.question(),
        document: walk.client.document.clone(),
    };
    let sealed = serde_json::to_vec(&form)
        .map_err(|_| SealError::Key)
        .and_then(|plain| app.keys.current().seal.seal(Purpose::Form, &plain, app.random.as_ref()));
    let sealed = match sealed {
        Ok(sealed) => sealed,
        Err(error) => return refuse(app, error.into()),
    };
    let language = Language::current();
    let resource = &walk.request.resource;
    let granted = walk.earlier.scope();
    let new = walk.request.scope.filter(|token| !granted.contains(token));
    // Asked for nothing new, as with `prompt=consent`: then the whole is the question.
    let (asked, kept) = if new.is_empty() || granted.is_empty() {
        (walk.request.scope.clone(), Scope::default())
    } else {
        (new, walk.request.scope.filter(|token| granted.contains(token)))
    };
    let facts = AdoptionFacts::of(walk.client.record.as_ref());
    let warnings: Vec<String> = warnings(walk)
        .into_iter()
        .map(|(warning, resembled)| language.warning(warning, &resembled))
        .collect();
    let html = ConsentPage {
        frame: Frame::current(app),
        client_host: walk.client.host.as_deref().map(HostView::new),
        client_id: Some(walk.client.id.as_str()).filter(|_| walk.client.host.is_none()),
        client_name: shown_name(walk),
        name_withheld: withholds_name(walk),
        logo: walk.logo.as_deref().filter(|_| !withholds_name(walk)),
        redirect_host: HostView::new(walk.target.host()),
        redirect_note: match (walk.target.is_loopback(), walk.target.is_web()) {
            (true, _) => Some(language.words().this_computer),
            (false, true) => None,
            (false, false) => Some(language.words().app_on_this_device),
        },
        resource_name: &plain_text(&resource.display_name()),
        resource_host: &resource.id().map(|id| id.host()).unwrap_or_default(),
        facts: &facts.lines(language, app.clock.now()),
        warnings: &warnings,
        scopes: &in_words(resource, &asked),
        kept: &in_words(resource, &kept),
        refreshable: walk.request.refreshable,
        user_name: &plain_text(&session.name),
        flow: &id.to_string(),
        form: &sealed,
        changed,
    }
    .html();
    let Some(html) = html else { return refuse(app, SealError::Key.into()) };
    let note = Note::new("consent_shown").client(flow.get("client_id").unwrap_or_default());
    note.on(page(StatusCode::OK, html, Some(&walk.target.form_action())))
}

fn in_words(resource: &Resource, scope: &Scope) -> Vec<String> {
    let known = resource.scopes.iter().filter(|known| scope.contains(&known.name));
    known
        .map(
            |known| if known.description.is_empty() { known.name.clone() } else { known.description.clone() },
        )
        .collect()
}

/// FIELD idea 12: a self-asserted name can be kept back until somebody has looked at the tool.
fn withholds_name(walk: &Walk) -> bool {
    walk.policy.policy.consent.withhold_names
        && walk.client.metadata.client_name.is_some()
        && !AdoptionFacts::of(walk.client.record.as_ref()).approved
}

fn shown_name(walk: &Walk) -> Option<String> {
    let name = walk.client.metadata.client_name.as_deref().filter(|_| !withholds_name(walk))?;
    Some(plain_text(name)).filter(|name| !name.is_empty())
}

/// Everything to look out for, with the host that another one resembles. A host is warned of once.
fn warnings(walk: &Walk) -> Vec<(Warning, String)> {
    let known = &walk.policy.policy.consent.known_hosts;
    let mut warnings = Vec::new();
    if walk.target.is_loopback() {
        warnings.push((Warning::Loopback, String::new()));
    }
    let redirect = Some(walk.target.host()).filter(|_| walk.target.is_web());
    for host in [walk.client.host.as_deref(), redirect].into_iter().flatten() {
        let found = look_alike(host, known).map(|(warning, like)| (warning, like.to_owned()));
        warnings.extend(found.filter(|found| !warnings.contains(found)));
    }
    if walk.earlier.document_changed {
        warnings.push((Warning::DocumentChanged, String::new()));
    }
    warnings
}

/// What is kept with the grant of what the person saw. Scope, document, and time are the grant's own.
pub(crate) fn evidence(walk: &Walk, remembered: Option<&Grant>) -> Evidence {
    match remembered {
        Some(earlier) => {
            let first = earlier.evidence.remembered.clone();
            Evidence {
                remembered: Some(first.unwrap_or_else(|| earlier.id.to_string())),
                ..earlier.evidence.clone()
            }
        }
        None => Evidence {
            client_name: shown_name(walk),
            client_host: walk.client.host.clone(),
            redirect_host: walk.target.host().to_owned(),
            policy_version: walk.policy.version,
            warnings: warnings(walk).into_iter().map(|(warning, _)| warning).collect(),
            remembered: None,
        },
    }
}
