//! ES256 signing keys (RFC 7518 §3.4).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Why a key could not be made, read, or used. Nothing was signed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key could not be generated or its PKCS#8 form could not be read.
    #[error("the signing key is unusable")]
    Key,
    /// The claims did not serialize.
    #[error("the claims cannot be written as JSON")]
    Claims,
    /// The signature failed, or did not verify against the public key (fault FM040).
    #[error("signing failed")]
    Signature,
}

/// The public half of a signing key as a JSON Web Key (RFC 7517 §4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKey {
    /// RFC 7638 thumbprint of the key.
    pub kid: String,
    kty: String,
    #[serde(rename = "use")]
    usage: String,
    alg: String,
    crv: String,
    x: String,
    y: String,
}

impl PublicKey {
    pub(super) fn x(&self) -> &str {
        &self.x
    }

    pub(super) fn y(&self) -> &str {
        &self.y
    }
}

/// A private signing key, held in memory only.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
    access_token_header: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.public.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new key in PKCS#8 form, ready to be wrapped and stored.
    ///
    /// # Errors
    /// [`SignError::Key`] if the random source fails.
    pub fn generate() -> Result<Vec<u8>, SignError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| SignError::Key)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| SignError::Key)?;
        Ok(pkcs8.as_ref().to_vec())
    }

    /// Reads a key from its PKCS#8 form.
    ///
    /// # Errors
    /// [`SignError::Key`] if it is not a P-256 key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, SignError> {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| SignError::Key)?;
        let point = pair.public_key().as_ref();
        let (Some(4), Some(x), Some(y)) = (point.first(), point.get(1..33), point.get(33..65)) else {
            return Err(SignError::Key);
        };
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // RFC 7638 §3.2: the required members in lexicographic order, no white space.
        let thumbprint_input = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, thumbprint_input.as_bytes()));
        let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}"}}"#);
        let public = PublicKey {
            kid,
            kty: "EC".to_owned(),
            usage: "sig".to_owned(),
            alg: "ES256".to_owned(),
            crv: "P-256".to_owned(),
            x,
            y,
        };
        Ok(Self { pair, public, access_token_header: URL_SAFE_NO_PAD.encode(header) })
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `claims` as an access token (header `typ` is `at+jwt`, RFC 9068 §2.1).
    ///
    /// # Errors
    /// [`SignError`]; no token exists then.
    pub fn sign_access_token(&self, claims: &impl Serialize) -> Result<Secret, SignError> {
        let claims = serde_json::to_vec(claims).map_err(|_| SignError::Claims)?;
        let mut token = format!("{}.{}", self.access_token_header, URL_SAFE_NO_PAD.encode(claims));
        let signature =
            self.pair.sign(&SystemRandom::new(), token.as_bytes()).map_err(|_| SignError::Signature)?;
        // A damaged signature would be a token that nobody can verify, found out far from here.
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key())
            .verify(token.as_bytes(), signature.as_ref())
            .map_err(|_| SignError::Signature)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(Secret::new(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_pkcs8_form_with_the_same_thumbprint() {
        let pkcs8 = SigningKey::generate().unwrap();
        let (a, b) = (SigningKey::from_pkcs8(&pkcs8).unwrap(), SigningKey::from_pkcs8(&pkcs8).unwrap());
        assert_eq!(a.public(), b.public());
        assert_eq!(a.public().kid.len(), 43);
        assert!(SigningKey::from_pkcs8(b"junk").is_err());
    }
}
