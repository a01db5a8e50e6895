//! Pushed authorization requests (RFC 9126), kept by the client instead of by us.
//!
//! A `request_uri` is the request itself, sealed. So a stranger who pushes leaves nothing behind (DESIGN
//! invariant 1), and there is no table to fill up. It is unguessable and bound to its client because it is
//! authenticated, short-lived because its end is inside, and good for one grant because the grant's id is
//! inside too: approving a second time meets the first grant.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::GrantId;
use crate::clock::Timestamp;
use crate::random::Random;
use crate::seal::{Purpose, Seal, SealError};

/// How long a `request_uri` is good: from the push to the browser's arrival (RFC 9126 §2.2 suggests 5 to
/// 600 seconds).
pub const PUSHED_REQUEST_LIFETIME: Duration = Duration::from_secs(60);

/// Bytes of names and values of a pushed request: sealed, it must fit into a URL and a cookie.
pub const PUSHED_REQUEST_BYTES_MAX: usize = 2_500;

const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// A request as pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedRequest {
    /// The flow that it begins, and the grant that it can lead to.
    pub id: GrantId,
    /// Who pushed it, as far as that was proved.
    pub client_id: String,
    /// Its parameters, client authentication left out.
    pub params: Vec<(String, String)>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Not a `request_uri` of ours, or one of another client, or too old. Deliberately says no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request_uri is unknown, has expired, or is another client's")]
pub struct NotPushed;

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    id: String,
    client_id: String,
    params: Vec<(String, String)>,
    expires_at: Timestamp,
}

impl PushedRequest {
    /// The `request_uri` that stands for it.
    ///
    /// # Errors
    /// [`SealError`] if there is no key or no randomness.
    pub fn seal(&self, seal: &Seal, random: &dyn Random) -> Result<String, SealError> {
        let sealed = Sealed {
            id: self.id.to_string(),
            client_id: self.client_id.clone(),
            params: self.params.clone(),
            expires_at: self.expires_at,
        };
        let plain = serde_json::to_vec(&sealed).map_err(|_| SealError::Key)?;
        Ok(format!("{PREFIX}{}", seal.seal(Purpose::PushedRequest, &plain, random)?))
    }

    /// Whether `request_uri` has the form of ours. It may still be nobody's.
    pub fn is_named_by(request_uri: &str) -> bool {
        request_uri.starts_with(PREFIX)
    }

    /// Reads the `request_uri` that `client_id` presents at `now`.
    ///
    /// # Errors
    /// [`NotPushed`].
    pub fn open(request_uri: &str, client_id: &str, now: Timestamp, seal: &Seal) -> Result<Self, NotPushed> {
        let sealed = request_uri.strip_prefix(PREFIX).ok_or(NotPushed)?;
        let plain = seal.open(Purpose::PushedRequest, sealed).map_err(|_| NotPushed)?;
        let sealed: Sealed = serde_json::from_slice(&plain).map_err(|_| NotPushed)?;
        if sealed.client_id != client_id || now >= sealed.expires_at {
            return Err(NotPushed);
        }
        let id = GrantId::parse(&sealed.id).ok_or(NotPushed)?;
        Ok(Self { id, client_id: sealed.client_id, params: sealed.params, expires_at: sealed.expires_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;
    use crate::seal::SealingKey;
    use crate::secret::SecretKey;

    /// RFC 9126 §2.2, §7.2: unguessable, bound to the client, short-lived.
    #[test]
    fn a_request_uri_is_its_clients_and_for_its_time() {
        let seal = Seal::new(vec![SealingKey::new(&SecretKey::new([1; 32])).unwrap()]);
        let at = Timestamp::from_epoch_seconds;
        let request = PushedRequest {
            id: GrantId::new([7; 16]),
            client_id: "https://a.example/c".to_owned(),
            params: vec![("state".to_owned(), "x".to_owned())],
            expires_at: at(100),
        };
        let uri = request.seal(&seal, &OsRandom).unwrap();
        let open = |uri: &str, client_id: &str, now| PushedRequest::open(uri, client_id, at(now), &seal);
        assert_eq!(open(&uri, "https://a.example/c", 99), Ok(request));
        assert_eq!(open(&uri, "https://a.example/c", 100), Err(NotPushed));
        assert_eq!(open(&uri, "https://b.example/c", 99), Err(NotPushed));
        for bad in ["", PREFIX, "https://a.example/request.jwt", &uri.replace("urn:", "uRn:"), &uri[..80]] {
            assert_eq!(open(bad, "https://a.example/c", 99), Err(NotPushed), "{bad}");
        }
        let other = Seal::new(vec![SealingKey::new(&SecretKey::new([2; 32])).unwrap()]);
        assert!(PushedRequest::open(&uri, "https://a.example/c", at(99), &other).is_err());
    }
}
