//! Signed tokens: keys, access tokens (RFC 9068), and the key set that verifiers read (RFC 7517).

mod access_token;
mod keyring;
mod signing;

pub use access_token::AccessToken;
pub use keyring::{KeySet, KeyWrap, Keyring, WrapError};
pub use signing::{PublicKey, SignError, SigningKey};
