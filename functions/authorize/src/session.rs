//! A person's session at this server, sealed in a cookie; nothing is stored.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::random::{Random, RandomError};
use shared::seal::{Purpose, SealError};

use crate::App;
use crate::sign_in::User;

/// The cookie, without its prefix.
pub(crate) const COOKIE: &str = "session";

/// Who is signed in, since when, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Names the session in forms, so that a form of one session cannot be submitted in another.
    pub(crate) id: String,
    pub(crate) subject: String,
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    pub(crate) signed_in_at: Timestamp,
    expires_at: Timestamp,
}

impl Session {
    pub(crate) fn new(
        user: User,
        now: Timestamp,
        lifetime: Duration,
        random: &dyn Random,
    ) -> Result<Self, RandomError> {
        let id: [u8; 16] = random.bytes()?;
        Ok(Self {
            id: URL_SAFE_NO_PAD.encode(id),
            subject: user.subject,
            name: user.name,
            groups: user.groups,
            signed_in_at: now,
            expires_at: now.plus(lifetime),
        })
    }

    /// The session of a request, if there is one that has not ended.
    pub(crate) fn read(app: &App, headers: &HeaderMap) -> Option<Self> {
        let cookies = app.cookies();
        let sealed = cookies.get(headers, COOKIE)?;
        let plain = app.keys.current().seal.open(Purpose::Session, sealed).ok()?;
        let session: Self = serde_json::from_slice(&plain).ok()?;
        (app.clock.now() < session.expires_at).then_some(session)
    }

    /// Sets the session's cookie on `response`.
    pub(crate) fn attach(&self, app: &App, mut response: Response) -> Result<Response, SealError> {
        let plain = serde_json::to_vec(self).map_err(|_| SealError::Key)?;
        let sealed = app.keys.current().seal.seal(Purpose::Session, &plain, app.random.as_ref())?;
        let lifetime = self.expires_at.since(self.signed_in_at);
        if let Some(cookie) = app.cookies().set(COOKIE, &sealed, lifetime) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        Ok(response)
    }
}
