//! Client assertions: `private_key_jwt` (RFC 7523 §3, RFC 10070).

use std::time::Duration;

use serde::Deserialize;
use shared::aws::Spent;
use shared::client::registration::Compatibility;
use shared::clock::Timestamp;
use shared::oauth::Issuer;
use shared::oauth::server_metadata::path;

use super::{ClientError, OnRecord};
use crate::App;
use crate::error::TokenError;
use crate::jws::{JwsError, Unverified, candidates, instant};

/// By how much clocks may disagree (CAU-08; FAPI 2.0 asks for 10 s and forbids more than 60 s).
const SKEW: Duration = Duration::from_secs(60);

/// How far ahead an assertion may end: what it proves is that the client has its key now.
const LIFETIME_MAX: Duration = Duration::from_secs(600);

/// Characters of a `jti`.
const JTI_CHARS_MAX: usize = 256;

/// Types of a client assertion, absent and `JWT` aside: RFC 10070's, and the one that the editors of the
/// metadata document draft proposed.
const TYPES: [&str; 2] = ["client-authentication+jwt", "oauth-client-auth+jwt"];

/// Why an assertion proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssertionError {
    #[error("client assertion: {0}")]
    Jws(#[from] JwsError),
    #[error("client assertion: its type is that of another protocol, or missing where it is required")]
    Type,
    #[error("client assertion: iss and sub must both be the client_id")]
    Subject,
    #[error("client assertion: aud must be the issuer identifier alone")]
    Audience,
    #[error("client assertion: expired")]
    Expired,
    #[error("client assertion: lives for too long")]
    TooLong,
    #[error("client assertion: not valid yet")]
    NotYet,
    #[error("client assertion: jti is missing or too long")]
    Jti,
    #[error("client assertion: used before")]
    Replayed,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iat: Option<f64>,
    #[serde(default)]
    jti: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    /// The audience if there is exactly one (RFC 10070: the form may be a string or an array).
    fn sole(&self) -> Option<&str> {
        match self {
            Self::One(one) => Some(one),
            Self::Several(all) => match all.as_slice() {
                [one] => Some(one),
                _ => None,
            },
        }
    }
}

/// Who an assertion claims to come from.
pub(crate) fn unverified_subject(assertion: &str) -> Result<String, ClientError> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    let read = || Unverified::read(assertion)?.unverified_claims::<Subject>();
    Ok(read().map_err(AssertionError::from)?.sub)
}

/// Verifies an assertion of `client_id` and spends it.
pub(super) async fn verify(
    app: &App,
    client_id: &str,
    assertion: &str,
    record: &OnRecord<'_>,
) -> Result<(), TokenError> {
    let object = Unverified::read(assertion)?;
    let now = app.clock.now();
    let spend = check(&app.issuer, client_id, &object, record.compatibility, now)?;
    // Everything that costs nothing was checked, so that a useless assertion causes no fetch of keys.
    let keys = record.keys.find(app, client_id, object.header.kid.as_deref()).await?;
    let found = candidates(keys.as_json(), &object);
    let mut result = Err(JwsError::NoKey);
    for key in &found {
        result = object.verify(key);
        if result.is_ok() {
            break;
        }
    }
    result?;
    let spent =
        app.replays.spend(&["assertion", client_id, &spend.jti], spend.until, now, &app.mark()?).await?;
    match spent {
        Spent::First => Ok(()),
        Spent::Again => Err(AssertionError::Replayed.into()),
    }
}

/// What must be remembered of an assertion.
pub(crate) struct Spend {
    pub(crate) jti: String,
    pub(crate) until: Timestamp,
}

/// Checks everything but the signature.
pub(crate) fn check(
    issuer: &Issuer,
    client_id: &str,
    object: &Unverified<'_>,
    compatibility: Compatibility,
    now: Timestamp,
) -> Result<Spend, AssertionError> {
    check_type(object.header.typ.as_deref(), compatibility)?;
    let claims: Claims = object.unverified_claims()?;
    if claims.iss != client_id || claims.sub != client_id {
        return Err(AssertionError::Subject);
    }
    let audience = claims.aud.sole().ok_or(AssertionError::Audience)?;
    let own_endpoint = compatibility.nonconformant_assertion_audience && audience == issuer.url(path::TOKEN);
    if audience != issuer.as_str() && !own_endpoint {
        return Err(AssertionError::Audience);
    }
    let exp = instant(claims.exp).ok_or(AssertionError::Expired)?;
    if now >= exp.plus(SKEW) {
        return Err(AssertionError::Expired);
    }
    if exp > now.plus(LIFETIME_MAX).plus(SKEW) {
        return Err(AssertionError::TooLong);
    }
    for begins in [claims.nbf, claims.iat].into_iter().flatten() {
        if instant(begins).is_none_or(|begins| begins > now.plus(SKEW)) {
            return Err(AssertionError::NotYet);
        }
    }
    let jti = claims.jti.filter(|jti| (1..=JTI_CHARS_MAX).contains(&jti.len())).ok_or(AssertionError::Jti)?;
    // As long as the assertion would be accepted, and a little longer for clocks that disagree.
    Ok(Spend { jti, until: exp.plus(SKEW).plus(SKEW) })
}

/// CAU-10, RFC 8725 §3.11: a token made for another protocol is none of ours, and an untyped one is
/// accepted because RFC 10070 advises so, unless an administrator asked for more.
fn check_type(typ: Option<&str>, compatibility: Compatibility) -> Result<(), AssertionError> {
    let required = compatibility.require_assertion_type;
    let Some(typ) = typ else { return if required { Err(AssertionError::Type) } else { Ok(()) } };
    let typ = typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    if TYPES.contains(&typ) || (typ == "jwt" && !required) { Ok(()) } else { Err(AssertionError::Type) }
}
