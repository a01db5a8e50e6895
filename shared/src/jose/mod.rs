//! Signed tokens: keys, access tokens (RFC 9068), and the key set that verifiers read (RFC 7517).

mod access_token;
mod key_set;
pub mod rotation;
mod signing;

pub use access_token::{AccessToken, Confirmation};
pub use key_set::{KeySet, KeyWrap, WrapContext, WrapError, Wrapping};
pub use rotation::{KeyState, KeyUse};
pub use signing::{PublicKey, SignError, SigningKey};

/// The algorithms that clients may sign assertions and DPoP proofs with: asymmetric ones only, so that a
/// public key can never be used as a shared secret (RFC 8725 §2.1, §3.1).
pub const CLIENT_ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];
