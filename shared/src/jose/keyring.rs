//! The keys in force, shared by all requests of one process and exchanged as a whole.

use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Value, json};

use super::{PublicKey, SigningKey};
use crate::seal::Seal;

/// Wrapping or unwrapping failed; the key material stays out of reach.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// The wrapping service did not answer in time; trying again may help.
    #[error("the key wrapping service is unavailable")]
    Unavailable,
    /// The service or file refused: wrong key, wrong context, or damaged material.
    #[error("the key material cannot be unwrapped")]
    Refused,
}

/// Protects stored key material: KMS in production, a private file on a laptop.
pub trait KeyWrap: Send + Sync {
    /// Wraps `material`; the same `context` (issuer and key id) is needed to unwrap it.
    fn wrap<'a>(
        &'a self,
        material: &'a [u8],
        context: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, WrapError>> + Send + 'a>>;

    /// Unwraps what [`Self::wrap`] made with the same `context`.
    fn unwrap<'a>(
        &'a self,
        wrapped: &'a [u8],
        context: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, WrapError>> + Send + 'a>>;
}

/// One consistent set of keys.
#[derive(Debug)]
pub struct KeySet {
    /// Signs access tokens now.
    pub signing: SigningKey,
    /// All keys that verifiers may meet, the signing one among them.
    pub published: Vec<PublicKey>,
    /// Seals cookies and forms, tags codes and refresh tokens.
    pub seal: Seal,
}

impl KeySet {
    /// The JSON Web Key Set (RFC 7517 §5).
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.published })
    }
}

/// The key set of this process.
#[derive(Debug)]
pub struct Keyring(RwLock<Arc<KeySet>>);

impl Keyring {
    /// A ring with `keys` in force.
    pub fn new(keys: KeySet) -> Self {
        Self(RwLock::new(Arc::new(keys)))
    }

    /// The set in force. A request takes it once and uses it to its end.
    pub fn current(&self) -> Arc<KeySet> {
        // The lock guards a plain pointer, so a panic while it was held cannot have left it half changed.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `keys` in force for all later requests.
    pub fn replace(&self, keys: KeySet) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }
}
