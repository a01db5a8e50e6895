//! Signed objects that clients send: assertions and DPoP proofs. Read strictly, verified with a key that
//! the caller chose; nothing in a header ever chooses a key (RFC 8725 §3.10).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::clock::Timestamp;
use shared::jose::CLIENT_ALGORITHMS;

/// Bytes of one signed object. The largest honest one carries an RSA-4096 signature and a few URLs.
pub(crate) const JWS_BYTES_MAX: usize = 8 * 1024;

/// [`CLIENT_ALGORITHMS`], in the same order.
const ALGORITHMS: [Algorithm; CLIENT_ALGORITHMS.len()] =
    [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];

/// Why a signed object is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwsError {
    #[error("longer than {JWS_BYTES_MAX} bytes")]
    TooLong,
    #[error("not three parts of base64url")]
    Form,
    #[error("the header is not understood")]
    Header,
    #[error("the algorithm is not allowed")]
    Algorithm,
    #[error("the header has a critical extension")]
    Critical,
    #[error("the claims are not understood")]
    Claims,
    #[error("no key fits")]
    NoKey,
    #[error("the signature does not verify")]
    Signature,
}

/// What is read of a header. `jku`, `x5u`, and `x5c` are not even looked at; `jwk` is for DPoP alone.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Header {
    alg: String,
    #[serde(default)]
    pub(crate) typ: Option<String>,
    #[serde(default)]
    pub(crate) kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
    #[serde(default)]
    pub(crate) jwk: Option<Value>,
}

/// A signed object that was taken apart and not verified.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    pub(crate) header: Header,
    pub(crate) algorithm: Algorithm,
    message: &'a str,
    payload: Vec<u8>,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    /// Takes `text` apart.
    pub(crate) fn read(text: &'a str) -> Result<Self, JwsError> {
        if text.len() > JWS_BYTES_MAX {
            return Err(JwsError::TooLong);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(JwsError::Form)?;
        let (header, payload) = message.split_once('.').ok_or(JwsError::Form)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Form);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| JwsError::Header)?;
        let algorithm = ALGORITHMS
            .into_iter()
            .find(|algorithm| name(*algorithm) == Some(header.alg.as_str()))
            .ok_or(JwsError::Algorithm)?;
        if header.crit.is_some() {
            return Err(JwsError::Critical);
        }
        Ok(Self { header, algorithm, message, payload: decode(payload)?, signature })
    }

    /// The claims as they stand: worth nothing until [`Self::verify`] succeeded.
    pub(crate) fn unverified_claims<T: DeserializeOwned>(&self) -> Result<T, JwsError> {
        serde_json::from_slice(&self.payload).map_err(|_| JwsError::Claims)
    }

    /// Verifies with `key`, which must be made for this algorithm and for signatures.
    pub(crate) fn verify(&self, key: &Jwk) -> Result<(), JwsError> {
        if !fits(key, self.algorithm) {
            return Err(JwsError::NoKey);
        }
        let key = DecodingKey::from_jwk(key).map_err(|_| JwsError::NoKey)?;
        match jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), &key, self.algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(JwsError::Signature),
        }
    }
}

/// The registered name of one of [`ALGORITHMS`].
fn name(algorithm: Algorithm) -> Option<&'static str> {
    CLIENT_ALGORITHMS
        .into_iter()
        .zip(ALGORITHMS)
        .find_map(|(name, found)| (found == algorithm).then_some(name))
}

/// Whether `key` may verify signatures of `algorithm` (RFC 7517 §4.2 to §4.4; RFC 7518 §3.1).
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let kind = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256 | Algorithm::PS256) => true,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES384) => key.curve == EllipticCurve::P384,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let common = &key.common;
    let usage = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let operations =
        common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let stated =
        common.key_algorithm.is_none_or(|stated| Some(stated.to_string().as_str()) == name(algorithm));
    kind && usage && operations && stated
}

/// The keys of a set that may have signed `object`, a few at most: the one that its `kid` names, or all
/// that fit if it names none (CAU-12).
pub(crate) fn candidates(set: &Value, object: &Unverified<'_>) -> Vec<Jwk> {
    /// Keys tried for an object without `kid`: a client's old, current, and next key of one kind.
    const CANDIDATES_MAX: usize = 4;
    set.get("keys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|key| {
            let named = object.header.kid.as_deref();
            named.is_none_or(|kid| key.get("kid").and_then(Value::as_str) == Some(kid))
        })
        .filter_map(|key| Jwk::deserialize(key).ok())
        .filter(|key| fits(key, object.algorithm))
        .take(CANDIDATES_MAX)
        .collect()
}

/// A `NumericDate`, which may have a fraction (RFC 7519 §2); `None` if it is no date.
pub(crate) fn instant(seconds: f64) -> Option<Timestamp> {
    /// The end of the year 9999.
    const SECONDS_MAX: f64 = 253_402_300_799.0;
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked; fractions are dropped on purpose"
    )]
    let whole = seconds as u64;
    Some(Timestamp::from_epoch_seconds(whole))
}
