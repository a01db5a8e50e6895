//! Refusals that become a page, because no redirect URI is proved (RED-12, AUT-30).

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use shared::aws::{KeyStoreError, StoreError};
use shared::client::id::ClientIdError;
use shared::grant::NotPushed;
use shared::http::log::{Note, chain};
use shared::http::page::page;
use shared::oauth::params::{ParamsError, Repeated};
use shared::random::RandomError;
use shared::resolver::{Refusal, RefusalKind};
use shared::seal::SealError;

use crate::App;
use crate::pages::ErrorPage;
use crate::sign_in::SignInError;

/// Letters of a reference code: none that look alike, so that it can be read out.
const REFERENCE_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Everything that ends on a page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error(transparent)]
    Params(#[from] ParamsError),
    #[error(transparent)]
    Repeated(#[from] Repeated),
    #[error("client_id is missing or ambiguous")]
    ClientIdMissing,
    #[error(transparent)]
    ClientId(#[from] ClientIdError),
    #[error("redirect_uri is missing or ambiguous")]
    RedirectUriMissing,
    #[error(transparent)]
    Pushed(#[from] NotPushed),
    #[error("the request does not fit into a cookie")]
    RequestTooLong,
    #[error("the flow is unknown to this browser, has expired, or was answered")]
    FlowGone,
    #[error("nobody is signed in, and prompt is none")]
    NobodySignedIn,
    #[error("the form was not made for this flow and session")]
    FormInvalid,
    #[error("the form was submitted from another site")]
    CrossSite,
    #[error("this flow was already answered")]
    AlreadyAnswered,
    #[error("the tool does not allow anybody of the person's groups")]
    GroupNotAllowed,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the redirect URI is not one of the client's")]
    RedirectUriUnknown,
    #[error("policy does not honour this kind of redirect URI for this kind of client")]
    RedirectKind,
    #[error(transparent)]
    SignIn(SignInError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("this process has no keys: {0}")]
    Keys(#[from] KeyStoreError),
    #[error(transparent)]
    Random(#[from] RandomError),
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// What a person reads: what happened, and what to do.
struct Words {
    status: StatusCode,
    outcome: &'static str,
    title: &'static str,
    text: &'static str,
}

impl PageError {
    /// What came of the request, from a fixed vocabulary.
    pub(crate) fn outcome(&self) -> &'static str {
        self.words().outcome
    }

    fn words(&self) -> Words {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const LATER: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
        let words = |status, outcome, title, text| Words { status, outcome, title, text };
        match self {
            Self::Params(_)
            | Self::Repeated(_)
            | Self::ClientIdMissing
            | Self::ClientId(_)
            | Self::RedirectUriMissing
            | Self::RequestTooLong => words(
                BAD,
                "invalid_request",
                "This sign-in link is broken",
                "The application that sent you here made a request we cannot read. Go back to it and try \
                 again. If that does not help, tell the people who make it.",
            ),
            Self::FlowGone | Self::Pushed(_) => words(
                BAD,
                "flow_gone",
                "This page has expired",
                "It was open for too long, was already answered, or belongs to another browser. Go back to \
                 the application and start again.",
            ),
            Self::NobodySignedIn => words(
                BAD,
                "login_required",
                "You are not signed in",
                "The application asked for an answer without showing you a page, but you are not signed in \
                 here. Go back to it and connect again.",
            ),
            Self::FormInvalid | Self::CrossSite => words(
                StatusCode::FORBIDDEN,
                "form_refused",
                "This form cannot be accepted",
                "It was not sent from the page we showed you. Nothing was allowed. Go back to the \
                 application and start again.",
            ),
            Self::AlreadyAnswered => words(
                BAD,
                "already_answered",
                "You have already answered this request",
                "Your first answer counts. Return to the application.",
            ),
            Self::GroupNotAllowed => words(
                StatusCode::FORBIDDEN,
                "group_not_allowed",
                "You may not use this application",
                "Your administrator allows it to some groups only, and you are in none of them.",
            ),
            Self::Refused(refusal) => match refusal.kind() {
                RefusalKind::Malformed => words(
                    BAD,
                    "invalid_request",
                    "We do not know this application",
                    "The application did not identify itself in a way we accept. Ask your administrator to \
                     register it, and pass on the details below.",
                ),
                RefusalKind::Unknown => words(
                    BAD,
                    "invalid_client",
                    "We do not know this application",
                    "Nobody has registered it here. Ask your administrator to do so, and pass on the details \
                     below.",
                ),
                RefusalKind::Invalid => words(
                    BAD,
                    "invalid_client",
                    "This application cannot be verified",
                    "The description that its maker publishes could not be read or is not in order. Nothing \
                     was allowed. Tell the people who make the application, or ask your administrator.",
                ),
                RefusalKind::Pending => words(
                    StatusCode::FORBIDDEN,
                    "tool_pending",
                    "This application is waiting for approval",
                    "An administrator has to approve it before anybody here can use it. When that is done, \
                     connect again from the application.",
                ),
                RefusalKind::Disabled => words(
                    StatusCode::FORBIDDEN,
                    "tool_disabled",
                    "This application is switched off here",
                    "An administrator has disabled it. If you need it, ask them, and pass on the reference \
                     below.",
                ),
                RefusalKind::Withdrawn => words(
                    StatusCode::FORBIDDEN,
                    "tool_withdrawn",
                    "This application is no longer offered",
                    "The people who make it have taken it back. Ask your administrator what to use instead.",
                ),
                RefusalKind::Temporary => words(
                    LATER,
                    "client_unreachable",
                    "This application cannot be checked right now",
                    "The description that its maker publishes could not be reached. Nothing was allowed. \
                     Try again in a minute.",
                ),
                RefusalKind::Held => words(
                    StatusCode::FORBIDDEN,
                    "client_held",
                    "This application waits for your administrator",
                    "The description that its maker publishes has changed in a way that your administrator \
                     wants to look at first. What you allowed before goes on. Ask your administrator.",
                ),
                RefusalKind::Ours => words(
                    LATER,
                    "temporarily_unavailable",
                    "Something is not working here",
                    "We could not finish this. Nothing was changed. Try again in a minute.",
                ),
            },
            Self::RedirectKind => words(
                StatusCode::FORBIDDEN,
                "redirect_kind_refused",
                "This application may not be used in this way here",
                "The rules here do not allow the way in which it wants to be answered. Ask your administrator.",
            ),
            Self::RedirectUriUnknown => words(
                BAD,
                "invalid_redirect_uri",
                "This application wants to be answered at an unknown address",
                "The address it gave is not one that its maker publishes, so we send nothing there. Tell the \
                 people who make the application.",
            ),
            Self::SignIn(SignInError::Denied(_)) => words(
                StatusCode::FORBIDDEN,
                "sign_in_denied",
                "You were not signed in",
                "The sign-in was cancelled or refused. Go back to the application to try again.",
            ),
            Self::SignIn(SignInError::Invalid(_) | SignInError::NotGenuine(_)) => words(
                BAD,
                "sign_in_invalid",
                "You were not signed in",
                "The answer of the sign-in page could not be accepted. Go back to the application and start \
                 again.",
            ),
            Self::SignIn(SignInError::Unavailable(_)) => words(
                LATER,
                "sign_in_unavailable",
                "Sign-in is not available right now",
                "The service that signs you in does not answer. Try again in a minute.",
            ),
            Self::Store(_) | Self::Keys(_) | Self::Random(_) | Self::Seal(_) => words(
                LATER,
                "temporarily_unavailable",
                "Something is not working here",
                "We could not finish this. Nothing was changed. Try again in a minute.",
            ),
        }
    }
}

/// The page for `error`, with a reference that the log line carries too.
pub(crate) fn refuse(app: &App, error: PageError) -> Response {
    refuse_client(app, error, None)
}

/// As [`refuse`], for a request that named `client_id`.
pub(crate) fn refuse_client(app: &App, error: PageError, client_id: Option<&str>) -> Response {
    refuse_as(app, error, client_id, None)
}

/// As [`refuse_client`], with the reference under which the refusal was recorded.
pub(crate) fn refuse_as(
    app: &App,
    error: PageError,
    client_id: Option<&str>,
    recorded: Option<String>,
) -> Response {
    let words = error.words();
    let reference = recorded.unwrap_or_else(|| reference(app));
    let show_client = matches!(&error, PageError::Refused(refusal)
        if matches!(refusal.kind(), RefusalKind::Malformed | RefusalKind::Unknown));
    let html = ErrorPage {
        title: words.title,
        text: words.text,
        reference: &reference,
        client_id: client_id.filter(|_| show_client),
    }
    .html();
    let mut response = page(words.status, html, None);
    if words.status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    }
    let note = Note {
        outcome: words.outcome,
        reason: Some(chain(&error)),
        reference: Some(reference),
        client_id: client_id.map(str::to_owned),
    };
    note.on(response)
}

fn reference(app: &App) -> String {
    // A reference without randomness still leads to the log line by its time.
    let bytes: [u8; 8] = app.random.bytes().unwrap_or_default();
    bytes
        .iter()
        .filter_map(|byte| REFERENCE_ALPHABET.get(usize::from(byte % 32)).copied().map(char::from))
        .collect()
}
