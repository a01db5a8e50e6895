//! Refusals that become a page, because no redirect URI is proved (RED-12, AUT-30).

use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use shared::aws::{KeyStoreError, StoreError};
use shared::cimd::copies::NotTried;
use shared::cimd::documents::NoDocument;
use shared::client::id::ClientIdError;
use shared::grant::NotPushed;
use shared::http::log::{Note, chain};
use shared::http::page::page;
use shared::oauth::params::{ParamsError, Repeated};
use shared::random::RandomError;
use shared::resolver::{Refusal, RefusalKind};
use shared::seal::SealError;

use crate::App;
use crate::flow::FlowId;
use crate::pages::{Frame, MessagePage};
use crate::sign_in::SignInError;
use crate::words::{Language, Message};

/// Letters of a reference code: none that look alike, so that it can be read out.
const REFERENCE_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// When to try again after an outage, where nothing says how long it will take.
const RETRY_AFTER_OUTAGE: Duration = Duration::from_secs(10);

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
    #[error("there is no such page")]
    NotFound,
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
    #[error("{error}")]
    SignIn {
        error: SignInError,
        /// The flow that can be gone on with.
        flow: FlowId,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("this process has no keys: {0}")]
    Keys(#[from] KeyStoreError),
    #[error(transparent)]
    Random(#[from] RandomError),
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// How a refusal shows: its status, its name in the log, and its text.
type Shown = (StatusCode, &'static str, Message);

impl PageError {
    /// What came of the request, from a fixed vocabulary.
    pub(crate) fn outcome(&self) -> &'static str {
        let (_, outcome, _) = self.shown();
        outcome
    }

    /// When it makes sense to ask again, for what passes by itself.
    fn retry_after(&self) -> Duration {
        match self {
            Self::Refused(Refusal::Document(NoDocument::Busy { retry_after, .. })) => *retry_after,
            _ => RETRY_AFTER_OUTAGE,
        }
    }

    fn shown(&self) -> Shown {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const LATER: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
        match self {
            Self::Params(_)
            | Self::Repeated(_)
            | Self::ClientIdMissing
            | Self::ClientId(_)
            | Self::RedirectUriMissing
            | Self::RequestTooLong => (BAD, "invalid_request", Message::RequestBroken),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", Message::NotFound),
            Self::FlowGone | Self::Pushed(_) => (BAD, "flow_gone", Message::FlowGone),
            Self::NobodySignedIn => (BAD, "login_required", Message::NobodySignedIn),
            Self::FormInvalid | Self::CrossSite => {
                (StatusCode::FORBIDDEN, "form_refused", Message::FormRefused)
            }
            Self::AlreadyAnswered => (BAD, "already_answered", Message::AlreadyAnswered),
            Self::GroupNotAllowed => (StatusCode::FORBIDDEN, "group_not_allowed", Message::GroupNotAllowed),
            Self::Refused(Refusal::Document(NoDocument::Busy { why, .. })) => match why {
                NotTried::Resting => (LATER, "client_unreachable", Message::ClientUnreachable),
                NotTried::Crowded => (LATER, "client_unreachable", Message::Crowded),
                NotTried::TooManyFailures => {
                    (StatusCode::TOO_MANY_REQUESTS, "client_unreachable", Message::TooMany)
                }
            },
            Self::Refused(refusal) => match refusal.kind() {
                RefusalKind::Malformed => (BAD, "invalid_request", Message::ClientMalformed),
                RefusalKind::Unknown => (BAD, "invalid_client", Message::ClientUnknown),
                RefusalKind::Invalid => (BAD, "invalid_client", Message::ClientInvalid),
                RefusalKind::Pending => (StatusCode::FORBIDDEN, "tool_pending", Message::ToolPending),
                RefusalKind::Held => (StatusCode::FORBIDDEN, "client_held", Message::DocumentHeld),
                RefusalKind::Disabled => (StatusCode::FORBIDDEN, "tool_disabled", Message::ToolDisabled),
                RefusalKind::Withdrawn => (StatusCode::GONE, "tool_withdrawn", Message::ToolWithdrawn),
                RefusalKind::Temporary => (LATER, "client_unreachable", Message::ClientUnreachable),
                RefusalKind::Ours => (LATER, "temporarily_unavailable", Message::Ours),
            },
            Self::RedirectKind => (StatusCode::FORBIDDEN, "redirect_kind_refused", Message::RedirectKind),
            Self::RedirectUriUnknown => (BAD, "invalid_redirect_uri", Message::RedirectUnknown),
            Self::SignIn { error, .. } => match error {
                SignInError::Denied(_) => (StatusCode::FORBIDDEN, "sign_in_denied", Message::SignInDenied),
                SignInError::Invalid(_) | SignInError::NotGenuine(_) => {
                    (BAD, "sign_in_invalid", Message::SignInInvalid)
                }
                SignInError::Unavailable(_) => (LATER, "sign_in_unavailable", Message::SignInUnavailable),
            },
            Self::Store(_) | Self::Keys(_) | Self::Random(_) | Self::Seal(_) => {
                (LATER, "temporarily_unavailable", Message::Ours)
            }
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
    let (status, outcome, message) = error.shown();
    let (title, text) = Language::current().message(message);
    let reference = recorded.unwrap_or_else(|| reference(app));
    let show_client = matches!(&error, PageError::Refused(refusal)
        if matches!(refusal.kind(), RefusalKind::Malformed | RefusalKind::Unknown));
    let retry = match &error {
        PageError::SignIn { flow, .. } => Some(format!("/consent?flow={flow}")),
        _ => None,
    };
    let html = MessagePage {
        frame: Frame::current(app),
        title,
        text,
        reference: Some(&reference),
        client_id: client_id.filter(|_| show_client),
        retry: retry.as_deref(),
        back: None,
    }
    .html();
    let mut response = page(status, html, None);
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(error.retry_after().as_secs().max(1)));
    }
    let note = Note {
        outcome,
        reason: Some(chain(&error)),
        reference: Some(reference),
        client_id: client_id.map(str::to_owned),
        tool: None,
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
