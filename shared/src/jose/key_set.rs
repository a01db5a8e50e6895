//! One consistent set of keys, and the port behind which key material is wrapped.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::{PublicKey, SignError, SigningKey};
use crate::seal::Seal;
use crate::secret::Secret;

/// Wrapping or unwrapping failed; the key material stays out of reach.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// The wrapping service did not answer in time; trying again may help.
    #[error("the key wrapping service is unavailable")]
    Unavailable,
    /// The service or file refused: wrong key, wrong context, disabled key, or damaged material.
    #[error("the key material cannot be unwrapped")]
    Refused,
}

/// What wrapped material is bound to, so that it cannot be moved to another issuer or key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrapContext<'a> {
    /// The issuer whose key it is.
    pub issuer: &'a str,
    /// The key id.
    pub kid: &'a str,
}

impl fmt::Display for WrapContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.issuer, self.kid)
    }
}

/// A wrapping or unwrapping under way.
pub type Wrapping<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, WrapError>> + Send + 'a>>;

/// Protects stored key material: KMS in production, a private file on a laptop.
pub trait KeyWrap: Send + Sync {
    /// Wraps `material`; the same `context` is needed to unwrap it.
    fn wrap<'a>(&'a self, material: &'a [u8], context: WrapContext<'a>) -> Wrapping<'a>;

    /// Unwraps what [`Self::wrap`] made with the same `context`.
    fn unwrap<'a>(&'a self, wrapped: &'a [u8], context: WrapContext<'a>) -> Wrapping<'a>;
}

/// One consistent set of keys. A request takes it once and uses it to its end.
#[derive(Debug, Default)]
pub struct KeySet {
    /// Signs access tokens now; missing only while the wrapping service has never been reached.
    pub signing: Option<Arc<SigningKey>>,
    /// All keys that verifiers may meet: the next one, the signing one, and those that retire.
    pub published: Vec<PublicKey>,
    /// Seals cookies and forms, tags codes and refresh tokens.
    pub seal: Seal,
}

impl KeySet {
    /// The JSON Web Key Set (RFC 7517 §5).
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.published })
    }

    /// Signs `claims` as an access token (RFC 9068 §2.1).
    ///
    /// # Errors
    /// [`SignError`]; no token exists then. Nothing is ever signed with a key that is not published, since
    /// nobody could verify it (FM039).
    pub fn sign_access_token(&self, claims: &impl Serialize) -> Result<Secret, SignError> {
        let signing = self.signing.as_ref().ok_or(SignError::Key)?;
        if !self.published.contains(signing.public()) {
            return Err(SignError::Key);
        }
        signing.sign_access_token(claims)
    }

    /// Whether the keys that every request needs are there.
    pub fn is_complete(&self) -> bool {
        self.signing.is_some() && !self.seal.is_empty()
    }
}
