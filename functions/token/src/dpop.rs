//! DPoP (RFC 9449): a proof that the sender holds the key that its tokens are bound to.
//!
//! No nonce is asked for: proofs are single use and short-lived, and the shared replay table makes that
//! hold on every instance.

use std::time::Duration;

use axum::http::HeaderMap;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use serde::Deserialize;
use shared::aws::Spent;
use shared::client::metadata::is_private_key;
use shared::clock::Timestamp;
use shared::grant::ClientProof;
use url::Url;

use crate::App;
use crate::error::TokenError;
use crate::jws::{JwsError, Unverified};

/// How old a proof may be (§11.1; the MCP extension draft has the same window).
const AGE_MAX: Duration = Duration::from_secs(300);

/// How far ahead of ours the client's clock may be.
const SKEW: Duration = Duration::from_secs(60);

/// Characters of a `jti`.
const JTI_CHARS_MAX: usize = 256;

/// Why a proof proves nothing (§4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DpopError {
    #[error("DPoP: more than one proof")]
    Several,
    #[error("DPoP: {0}")]
    Jws(#[from] JwsError),
    #[error("DPoP: typ is not dpop+jwt")]
    Type,
    #[error("DPoP: no usable public key in the header")]
    Key,
    #[error("DPoP: made for another method or URL")]
    Target,
    #[error("DPoP: too old, or from the future")]
    Age,
    #[error("DPoP: jti is missing or too long")]
    Jti,
    #[error("DPoP: used before")]
    Replayed,
    #[error("DPoP: the client's metadata asks for a proof always, and there is none")]
    Missing,
    #[error("DPoP: the code or refresh token is bound to another key, or to one and there is no proof")]
    OtherKey,
}

/// A proof that was verified and not yet spent.
#[derive(Debug)]
pub(crate) struct Proof {
    /// RFC 7638 thumbprint of the key.
    pub(crate) jkt: String,
    jti: String,
    until: Timestamp,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: f64,
}

impl Proof {
    /// Reads and verifies the proof of a request to `POST path`, if it has one. Costs nothing but
    /// arithmetic.
    pub(crate) fn read(app: &App, headers: &HeaderMap, path: &str) -> Result<Option<Self>, DpopError> {
        let mut values = headers.get_all("dpop").iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(DpopError::Several);
        }
        let object = Unverified::read(value.to_str().map_err(|_| JwsError::Form)?)?;
        let key = key(&object)?;
        object.verify(&key)?;
        // The URL is that of the configuration: `Host` and forwarding headers are a stranger's (DPO-06).
        Self::check(&object, &key, &app.issuer.url(path), app.clock.now()).map(Some)
    }

    /// Checks what a proof, whose signature was verified with `key`, says about a request to `url`.
    pub(crate) fn check(
        object: &Unverified<'_>,
        key: &Jwk,
        url: &str,
        now: Timestamp,
    ) -> Result<Self, DpopError> {
        let claims: Claims = object.unverified_claims()?;
        if claims.htm != "POST" || !same_target(&claims.htu, url) {
            return Err(DpopError::Target);
        }
        let iat = crate::jws::instant(claims.iat).ok_or(DpopError::Age)?;
        if iat > now.plus(SKEW) || now.since(iat) > AGE_MAX {
            return Err(DpopError::Age);
        }
        if !(1..=JTI_CHARS_MAX).contains(&claims.jti.len()) {
            return Err(DpopError::Jti);
        }
        let jkt = key.thumbprint(ThumbprintHash::SHA256).map_err(|_| DpopError::Key)?;
        Ok(Self { jkt, jti: claims.jti, until: iat.plus(AGE_MAX).plus(SKEW) })
    }

    /// Spends the proof. Call it once the request is known to come from a client of ours: a stranger must
    /// not write to our tables.
    pub(crate) async fn spend(&self, app: &App) -> Result<(), TokenError> {
        let name = ["dpop", &self.jkt, &self.jti];
        match app.replays.spend(&name, self.until, app.clock.now(), &app.mark()?).await? {
            Spent::First => Ok(()),
            Spent::Again => Err(DpopError::Replayed.into()),
        }
    }
}

/// The public key in the header of a proof.
pub(crate) fn key(object: &Unverified<'_>) -> Result<Jwk, DpopError> {
    if !object.header.typ.as_deref().is_some_and(|typ| typ.eq_ignore_ascii_case("dpop+jwt")) {
        return Err(DpopError::Type);
    }
    let key = object.header.jwk.as_ref().ok_or(DpopError::Key)?;
    if key.as_object().is_none_or(is_private_key) {
        return Err(DpopError::Key);
    }
    Jwk::deserialize(key).map_err(|_| DpopError::Key)
}

/// Checks a verified proof, or its absence, against what the grant is bound to.
pub(crate) fn check_binding(bound: &ClientProof, proof: Option<&Proof>) -> Result<(), DpopError> {
    match (&bound.dpop_jkt, proof) {
        (Some(jkt), Some(proof)) if *jkt == proof.jkt => Ok(()),
        (Some(_), _) => Err(DpopError::OtherKey),
        (None, None) if bound.dpop_required => Err(DpopError::Missing),
        (None, _) => Ok(()),
    }
}

/// Whether `htu` is `url`, query and fragment aside (§4.3 no. 9), after the normalization that §4.3 wants.
fn same_target(htu: &str, url: &str) -> bool {
    let without_query = |text: &str| {
        let mut url = Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    };
    matches!((without_query(htu), without_query(url)), (Some(htu), Some(url)) if htu == url)
}
