//! The vocabulary of OAuth: parameters, scopes, PKCE, identifiers, errors, server metadata.

pub mod error;
pub mod issuer;
pub mod params;
pub mod pkce;
pub mod resource;
pub mod scope;
pub mod server_metadata;

pub use error::{AuthorizationErrorCode, TokenErrorCode};
pub use issuer::Issuer;
pub use params::Params;
pub use pkce::{CodeChallenge, CodeVerifier};
pub use resource::ResourceId;
pub use scope::Scope;
