//! ID tokens (OpenID Connect Core §2, §3.1.3.7).

use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use shared::clock::Timestamp;

/// How far the provider's clock and ours may disagree.
const SKEW: Duration = Duration::from_secs(60);

/// Bytes of an ID token; people with many groups have long ones.
const ID_TOKEN_BYTES_MAX: usize = 32 * 1024;

/// Characters of `sub` (OpenID Connect Core §2).
const SUB_CHARS_MAX: usize = 255;

/// Signatures with a public key; a shared secret proves nothing that its other holder could not forge.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What an ID token must say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    /// Any of these; none means that it does not matter how the person signed in.
    pub(super) acr_values: &'a [String],
    /// The person must have shown themselves since then.
    pub(super) fresh_since: Option<Timestamp>,
    pub(super) now: Timestamp,
}

/// Why an ID token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum IdTokenError {
    #[error("the ID token is too long")]
    TooLong,
    #[error("the ID token is malformed or its signature is wrong: {0}")]
    Signature(String),
    #[error("the ID token's algorithm is not accepted")]
    Algorithm,
    /// Worth another look at the provider's keys (OpenID Connect Core §10.1.1).
    #[error("the ID token's key is not among the provider's")]
    UnknownKey,
    #[error("the ID token's claim {0} is missing or wrong")]
    Claim(&'static str),
    #[error("the person did not sign in in a way that is asked for")]
    Acr,
}

/// The claims of a verified ID token.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claims {
    pub(super) sub: String,
    pub(super) all: Value,
}

/// Verifies `token` with one of `keys` and checks every claim that says for whom and when it was made.
pub(super) fn verify(token: &str, keys: &[Jwk], expected: &Expected<'_>) -> Result<Claims, IdTokenError> {
    if token.len() > ID_TOKEN_BYTES_MAX {
        return Err(IdTokenError::TooLong);
    }
    let malformed = |error: jsonwebtoken::errors::Error| IdTokenError::Signature(error.to_string());
    let header = decode_header(token).map_err(malformed)?;
    if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
        return Err(IdTokenError::Algorithm);
    }
    let key = find(keys, header.kid.as_deref(), header.alg).ok_or(IdTokenError::UnknownKey)?;
    let mut validation = Validation::new(header.alg);
    // The library reads the system's clock; the claims are checked below, by ours.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_jwk(key).map_err(malformed)?;
    let claims = decode::<Value>(token, &key, &validation).map_err(malformed)?.claims;
    check(claims, expected)
}

/// Without a `kid` there must be no choice (OpenID Connect Core §10.1).
fn find<'a>(keys: &'a [Jwk], kid: Option<&str>, algorithm: Algorithm) -> Option<&'a Jwk> {
    let mut fitting = keys.iter().filter(|key| {
        key.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
            && key.common.key_algorithm.as_ref().is_none_or(|declared| fits(declared, algorithm))
            && matches!(
                key.algorithm,
                AlgorithmParameters::EllipticCurve(_)
                    | AlgorithmParameters::RSA(_)
                    | AlgorithmParameters::OctetKeyPair(_)
            )
            && kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid))
    });
    let found = fitting.next();
    if kid.is_none() && fitting.next().is_some() { None } else { found }
}

fn fits(declared: &KeyAlgorithm, algorithm: Algorithm) -> bool {
    declared.to_string().parse::<Algorithm>().is_ok_and(|declared| declared == algorithm)
}

fn check(claims: Value, expected: &Expected<'_>) -> Result<Claims, IdTokenError> {
    let wrong = IdTokenError::Claim;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let instant = |name: &str| {
        let number = claims.get(name)?;
        // Some providers write NumericDate with a fraction.
        number.as_u64().or_else(|| number.as_f64().map(whole_seconds)).map(Timestamp::from_epoch_seconds)
    };
    if text("iss") != Some(expected.issuer) {
        return Err(wrong("iss"));
    }
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !audiences.contains(&expected.client_id) {
        return Err(wrong("aud"));
    }
    let party = claims.get("azp").map(|party| party.as_str().unwrap_or_default());
    if party.is_some_and(|party| party != expected.client_id) || (audiences.len() > 1 && party.is_none()) {
        return Err(wrong("azp"));
    }
    if instant("exp").is_none_or(|exp| exp.plus(SKEW) <= expected.now) {
        return Err(wrong("exp"));
    }
    if instant("iat").is_none_or(|iat| iat > expected.now.plus(SKEW)) {
        return Err(wrong("iat"));
    }
    if instant("nbf").is_some_and(|nbf| nbf > expected.now.plus(SKEW)) {
        return Err(wrong("nbf"));
    }
    if text("nonce") != Some(expected.nonce) {
        return Err(wrong("nonce"));
    }
    if let Some(since) = expected.fresh_since {
        // OpenID Connect Core §2: a provider that remembers the person says since when. One that does
        // not say has been told by `prompt=login` to ask.
        if instant("auth_time").is_some_and(|at| at.plus(SKEW) < since) {
            return Err(wrong("auth_time"));
        }
    }
    let acr = text("acr");
    if !expected.acr_values.is_empty()
        && !expected.acr_values.iter().any(|wanted| Some(wanted.as_str()) == acr)
    {
        return Err(IdTokenError::Acr);
    }
    let sub =
        text("sub").filter(|sub| (1..=SUB_CHARS_MAX).contains(&sub.chars().count())).ok_or(wrong("sub"))?;
    Ok(Claims { sub: sub.to_owned(), all: claims.clone() })
}

/// The cast saturates, and a negative instant reads as the epoch.
fn whole_seconds(seconds: f64) -> u64 {
    seconds as u64
}
