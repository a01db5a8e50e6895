//! JWT access tokens (RFC 9068).

use serde::Serialize;

use crate::clock::Timestamp;

/// The claims of an access token (RFC 9068 §2.2).
#[derive(Clone, Debug, Serialize)]
pub struct AccessToken<'a> {
    /// The issuer identifier.
    pub iss: &'a str,
    /// Who the token speaks for. Never a URL, so it cannot be taken for a client (CID-04).
    pub sub: &'a str,
    /// The one resource the token is for, as registered (RFC 8707 §2).
    pub aud: &'a str,
    /// The client identifier, verbatim.
    pub client_id: &'a str,
    /// Granted scope, without `offline_access`, which means nothing to a resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// When it was issued.
    pub iat: Timestamp,
    /// When it ends.
    pub exp: Timestamp,
    /// Names this token; begins with the grant's id.
    pub jti: String,
}
