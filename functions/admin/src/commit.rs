//! How a change is made: once per idempotency key, on what the caller has seen, and together with its
//! entry in the audit trail or not at all (FM008).

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::audit::{Actor, Event, Kind};
use shared::aws::{Commit, Marker, Write};
use shared::clock::Timestamp;
use shared::http::json;
use shared::http::log::{Note, chain};

use crate::App;
use crate::caller::Acting;
use crate::problem::AdminError;

/// For how long a repeated request gets its first answer, in seconds.
const ONCE_SECONDS: u64 = 86_400;

/// Characters of an idempotency key.
const KEY_CHARS_MAX: usize = 128;

/// An anchor is made whenever a chain has grown by this many entries.
const ANCHOR_EVERY: u64 = 32;

/// What a request for a change says besides what to change.
#[derive(Clone, Debug)]
pub(crate) struct Changing {
    pub(crate) acting: Acting,
    /// The revision that the caller has seen.
    seen: Option<u64>,
    /// Method, path and idempotency key of this caller, as one name.
    key: Option<String>,
    /// Whether only the effect is asked for.
    pub(crate) dry_run: bool,
    path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Changing {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let acting = Acting::from_request_parts(parts, state).await?;
        let seen = seen(&parts.headers)?;
        let path = parts.uri.path().to_owned();
        let key = match header(&parts.headers, "idempotency-key")? {
            Some(key) if key.is_empty() || key.len() > KEY_CHARS_MAX => {
                return Err(AdminError::Malformed(format!(
                    "Idempotency-Key has 1 to {KEY_CHARS_MAX} characters"
                )));
            }
            Some(key) if parts.method == Method::POST => {
                Some(sha256(&format!("{}\n{path}\n{key}", acting.arn)))
            }
            _ => None,
        };
        let dry_run = match query_value(parts.uri.query().unwrap_or_default(), "dry_run") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(AdminError::Malformed("dry_run is true or false".to_owned())),
        };
        Ok(Self { acting, seen, key, dry_run, path })
    }
}

fn query_value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, AdminError> {
    headers
        .get(name)
        .map(|value| value.to_str().map_err(|_| AdminError::Malformed(format!("{name} is not text"))))
        .transpose()
}

/// `If-Match: "7"`.
fn seen(headers: &HeaderMap) -> Result<Option<u64>, AdminError> {
    let Some(tag) = header(headers, IF_MATCH.as_str())? else { return Ok(None) };
    let number =
        tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| AdminError::Malformed("If-Match is one tag as ETag gave it".to_owned()))
}

fn sha256(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

/// What is kept under an idempotency key.
#[derive(Serialize, Deserialize)]
struct Kept {
    request: String,
    status: u16,
    answer: Value,
}

/// What a change answers.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    /// The body for whoever asks again: without what is shown only once.
    pub(crate) again: Value,
    pub(crate) revision: Option<u64>,
}

impl Answer {
    pub(crate) fn ok(body: &impl Serialize, revision: Option<u64>) -> Self {
        let body = serde_json::to_value(body).unwrap_or_default();
        Self { status: StatusCode::OK, again: body.clone(), body, revision }
    }

    pub(crate) fn into_response(self) -> Response {
        with_revision(json(self.status, &self.body), self.revision)
    }
}

/// Adds the `ETag` that `If-Match` takes.
pub(crate) fn with_revision(mut response: Response, revision: Option<u64>) -> Response {
    if let Some(tag) = revision.and_then(|revision| HeaderValue::from_str(&format!("\"{revision}\"")).ok()) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

impl Changing {
    /// Refuses a caller who has seen another revision (AD087).
    pub(crate) fn must_have_seen(
        &self,
        kind: &'static str,
        id: &str,
        revision: u64,
    ) -> Result<(), AdminError> {
        match self.seen {
            Some(seen) if seen != revision => Err(AdminError::Changed { kind, id: id.to_owned() }),
            _ => Ok(()),
        }
    }

    /// Refuses a caller who does not say what they have seen: for what is replaced as a whole.
    pub(crate) fn must_say_what_was_seen(&self) -> Result<(), AdminError> {
        let missing = "If-Match is missing: give the ETag of what you have seen";
        self.seen.map(drop).ok_or_else(|| AdminError::Malformed(missing.to_owned()))
    }

    /// An event of this caller.
    pub(crate) fn event(&self, now: Timestamp, kind: Kind, target: &str) -> Event {
        Event::new(now, kind, self.acting.actor(), target)
    }

    /// The answer that this request has had already, if it was made before under its idempotency key.
    pub(crate) async fn answered(
        &self,
        app: &App,
        request: &impl Serialize,
    ) -> Result<Option<Response>, AdminError> {
        let Some(key) = &self.key else { return Ok(None) };
        let Some(kept) = app.audit.answered(key, app.clock.now()).await? else { return Ok(None) };
        let kept: Kept = serde_json::from_str(&kept).map_err(|_| AdminError::KeyReused)?;
        if kept.request != self.digest(request) {
            return Err(AdminError::KeyReused);
        }
        let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
        let mut response = json(status, &kept.answer);
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
        Ok(Some(response))
    }

    fn digest(&self, request: &impl Serialize) -> String {
        let body = serde_json::to_string(request).unwrap_or_default();
        sha256(&format!("{}\n{:?}\n{body}", self.path, self.seen))
    }

    /// Makes `writes` with `event`, and answers.
    pub(crate) async fn commit(
        &self,
        app: &App,
        request: &impl Serialize,
        event: &Event,
        writes: &[Write],
        answer: Answer,
    ) -> Result<Response, AdminError> {
        let marker = self.key.as_ref().map(|key| {
            let kept = Kept {
                request: self.digest(request),
                status: answer.status.as_u16(),
                answer: answer.again.clone(),
            };
            let expires_at = Timestamp::from_epoch_seconds(event.at.epoch_seconds() + ONCE_SECONDS);
            Marker::once(key, serde_json::to_string(&kept).unwrap_or_default(), expires_at)
        });
        let retention = self.acting.policy.policy.administration.audit_retention();
        let made = app.audit.commit(event, writes, marker.as_ref(), retention).await;
        // Whether or not it was written: the next listing looks.
        app.catalogue.forget();
        match made? {
            Commit::Made(entry) => {
                let sequence = entry.content().map(|content| content.sequence).unwrap_or_default();
                if sequence % ANCHOR_EVERY == 0 {
                    anchor(app, event.at, retention).await;
                }
                Ok(Note::new(event.kind.as_str()).on(answer.into_response()))
            }
            Commit::Conflict => {
                Err(AdminError::Changed { kind: "what this is about:", id: event.target.clone() })
            }
            Commit::Seen => match self.answered(app, request).await? {
                Some(response) => Ok(response),
                None => Err(AdminError::KeyReused),
            },
        }
    }
}

/// The change is made already, so a failure is logged and nothing more; the next one anchors as well.
async fn anchor(app: &App, now: Timestamp, retention: std::time::Duration) {
    let event = Event::new(now, Kind::Anchored, Actor::System, "audit");
    if let Err(error) = app.audit.anchor(event, retention).await {
        tracing::warn!(reason = chain(&error), "no anchor was made");
    }
}
