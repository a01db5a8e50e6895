//! What the targets in `fuzz/` reach of this crate: the parsers of what clients send. Compiled for them
//! alone.

use axum::http::HeaderMap;
use jsonwebtoken::jwk::Jwk;
use serde_json::Value;
use shared::client::registration::Compatibility;
use shared::clock::Timestamp;
use shared::oauth::Issuer;

use crate::client_auth::assertion;
use crate::dpop::{self, Proof};
use crate::jws::{Unverified, candidates};

/// What an assertion proves.
#[derive(Debug)]
pub struct Accepted {
    /// Whether a key of the set verified it.
    pub verified: bool,
    /// Its `jti`.
    pub jti: String,
    /// Until when the `jti` is remembered.
    pub until: Timestamp,
}

/// Reads an assertion as the token endpoint of `issuer` does; the signature does not decide, or no mutation
/// would ever get further.
pub fn assertion(text: &str, issuer: &Issuer, keys: &Value, now: Timestamp) -> Option<Accepted> {
    let subject = assertion::unverified_subject(text).ok();
    let object = Unverified::read(text).ok()?;
    let verified = candidates(keys, &object).iter().any(|key| object.verify(key).is_ok());
    let spend = assertion::check(issuer, &subject?, &object, Compatibility::default(), now).ok()?;
    Some(Accepted { verified, jti: spend.jti, until: spend.until })
}

/// Reads a DPoP proof of a request to `url`: whether its signature verifies, and the thumbprint of its key
/// if what it says is acceptable.
pub fn dpop(text: &str, url: &str, now: Timestamp) -> Option<(bool, String)> {
    let object = Unverified::read(text).ok()?;
    let key: Jwk = dpop::key(&object).ok()?;
    let verified = object.verify(&key).is_ok();
    let proof = Proof::check(&object, &key, url, now).ok()?;
    Some((verified, proof.jkt))
}

/// Reads an `Authorization` header: client identifier and secret.
pub fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (client_id, secret) = crate::client_auth::basic(headers).ok()??;
    Some((client_id, secret.expose().to_owned()))
}
