//! Refusals of the administration API: RFC 9457 problem JSON.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::aws::{KeyStoreError, StoreError};
use shared::cimd::copies::TRANSIENT_BACK_OFF;
use shared::cimd::documents::NoDocument;
use shared::fetch::FailureKind;
use shared::http::json;
use shared::http::log::Note;
use shared::policy::{PolicyError, Role};
use shared::random::RandomError;
use shared::seal::SealError;
use utoipa::ToSchema;

use crate::caller::CallerError;

/// Why a request of an administrator was not done. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error(transparent)]
    Caller(#[from] CallerError),
    #[error("{arn} is not {needed}", needed = needed.as_str())]
    Role { needed: Role, arn: String },
    #[error("the body is too long")]
    BodyTooLong,
    #[error("the request is malformed: {0}")]
    Malformed(String),
    #[error("no {kind} {id}")]
    NotFound { kind: &'static str, id: String, near: Vec<String> },
    #[error("{kind} {id} has changed")]
    Changed { kind: &'static str, id: String },
    #[error("{0}")]
    NotNow(String),
    #[error("the document at {client_id} is not usable: {reason}")]
    Document { client_id: String, reason: NoDocument },
    #[error("the policy is not valid: {0}")]
    Policy(#[from] PolicyError),
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
    #[error(transparent)]
    Random(#[from] RandomError),
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// A problem (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Which kind of problem: a fixed word.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The same in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Ids that look like the one that was not found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    near: Vec<String>,
    /// The role that the caller lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}

/// When to try again unless the error knows better, in seconds.
const RETRY_SECONDS: u64 = 2;

impl AdminError {
    /// What `reason` at the document of `client_id` is to an administrator.
    pub(crate) fn document(client_id: &str, reason: NoDocument) -> Self {
        match reason {
            NoDocument::Store(error) => error.into(),
            NoDocument::Random(error) => error.into(),
            reason => Self::Document { client_id: client_id.to_owned(), reason },
        }
    }

    /// Whether it may pass by itself.
    fn is_passing(reason: &NoDocument) -> bool {
        match reason {
            NoDocument::Busy { .. } => true,
            NoDocument::Fetch(error) => error.kind() == FailureKind::Transient,
            NoDocument::Document(_)
            | NoDocument::Held
            | NoDocument::Withdrawn
            | NoDocument::Store(_)
            | NoDocument::Random(_) => false,
        }
    }

    fn retry_seconds(&self) -> u64 {
        match self {
            Self::Document { reason: NoDocument::Busy { retry_after, .. }, .. } => retry_after.as_secs(),
            Self::Document { .. } => TRANSIENT_BACK_OFF.as_secs(),
            _ => RETRY_SECONDS,
        }
    }

    fn problem(&self) -> Problem {
        let (kind, title, status) = match self {
            Self::Caller(_) => ("not-signed", "The request is not signed", StatusCode::FORBIDDEN),
            Self::Role { .. } => ("role-missing", "Your role does not allow this", StatusCode::FORBIDDEN),
            Self::BodyTooLong => ("too-long", "The body is too long", StatusCode::PAYLOAD_TOO_LARGE),
            Self::Malformed(_) => ("malformed", "The request is malformed", StatusCode::BAD_REQUEST),
            Self::NotFound { .. } => ("not-found", "There is no such thing", StatusCode::NOT_FOUND),
            Self::Changed { .. } => {
                ("changed", "Somebody has changed it meanwhile", StatusCode::PRECONDITION_FAILED)
            }
            Self::NotNow(_) => ("not-now", "This cannot be done in its present state", StatusCode::CONFLICT),
            Self::Document { reason, .. } if Self::is_passing(reason) => {
                ("document-unreachable", "The document is out of reach", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::Document { .. } => {
                ("document-unusable", "The document is not usable", StatusCode::UNPROCESSABLE_ENTITY)
            }
            Self::Policy(_) => {
                ("policy-invalid", "The policy is not valid", StatusCode::UNPROCESSABLE_ENTITY)
            }
            Self::KeyReused => (
                "idempotency-key-reused",
                "The idempotency key was used for another request",
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
            Self::Store(_) | Self::Keys(_) | Self::Random(_) | Self::Seal(_) => {
                ("unavailable", "Try again in a moment", StatusCode::SERVICE_UNAVAILABLE)
            }
        };
        let detail = match self {
            Self::Caller(_) => Some(
                "Sign it with AWS Signature Version 4 for the service execute-api, with a clock that is right."
                    .to_owned(),
            ),
            Self::Role { needed, arn } => Some(format!(
                "{arn} needs the role {needed}. Whoever is owner grants it in the policy, under administration.{needed}s.",
                needed = needed.as_str()
            )),
            Self::Changed { kind, id } => {
                Some(format!("{kind} {id} is not at the revision you have seen. Look again, then decide."))
            }
            // Our own trouble is in the log; callers need not know our insides.
            Self::Store(_) | Self::Keys(_) | Self::Random(_) | Self::Seal(_) => None,
            other => Some(other.to_string()),
        };
        let near = if let Self::NotFound { near, .. } = self { near.clone() } else { Vec::new() };
        let role = if let Self::Role { needed, .. } = self { Some(needed.as_str()) } else { None };
        Problem { kind, title, status: status.as_u16(), detail, near, role }
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(status, &problem);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from(self.retry_seconds()));
        }
        Note::new(problem.kind).because(&self).on(response)
    }
}
