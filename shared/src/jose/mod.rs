//! Signed tokens: keys, access tokens (RFC 9068), and the key set that verifiers read (RFC 7517).

mod access_token;
mod key_set;
pub mod rotation;
mod signing;

pub use access_token::AccessToken;
pub use key_set::{KeySet, KeyWrap, WrapContext, WrapError, Wrapping};
pub use rotation::{KeyState, KeyUse};
pub use signing::{PublicKey, SignError, SigningKey};
