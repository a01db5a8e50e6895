//! JWT access tokens (RFC 9068).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};

use super::KeySet;
use crate::clock::Timestamp;
use crate::grant::Assurance;
use crate::tool::Mechanism;

/// Bytes of an access token that is read back. Ours are far shorter.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The claims of an access token (RFC 9068 §2.2) and what MCP servers may set rules by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// The issuer identifier.
    pub iss: String,
    /// Who the token speaks for. Never a URL, so it cannot be taken for a client (CID-04).
    pub sub: String,
    /// The one resource the token is for, as registered (RFC 8707 §2).
    pub aud: String,
    /// The client identifier, verbatim.
    pub client_id: String,
    /// Granted scope, without `offline_access`, which means nothing to a resource.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// When it was issued.
    pub iat: Timestamp,
    /// When it ends.
    pub exp: Timestamp,
    /// Names this token; begins with the grant's id.
    pub jti: String,
    /// The tool that the client belongs to, by its stable id.
    pub tool_id: String,
    /// How the client is known.
    pub registration: Mechanism,
    /// The metadata document that was in force when the person approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_digest: Option<String>,
    /// How sure we are that the client is who it says it is.
    pub assurance: Assurance,
    /// The key that the token is bound to (RFC 9449 §6.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// Proof-of-possession key of a token (RFC 7800 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// RFC 7638 thumbprint of the DPoP key.
    pub jkt: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

impl KeySet {
    /// The `kid` that `token` claims to be signed with, if it looks like an access token.
    pub fn kid_of(token: &str) -> Option<String> {
        Some(header(token)?.kid)
    }

    /// The claims of `token` if it is an access token that this server signed with a key still honoured.
    /// Whether it has expired is for the caller to ask.
    pub fn verify_access_token(&self, token: &str) -> Option<AccessToken> {
        let header = header(token)?;
        if header.alg != "ES256" || header.typ != "at+jwt" {
            return None;
        }
        let key = self.published.iter().find(|key| key.kid == header.kid)?;
        let key = DecodingKey::from_ec_components(key.x(), key.y()).ok()?;
        let (message, signature) = token.rsplit_once('.')?;
        let good = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, Algorithm::ES256);
        if !good.is_ok_and(|good| good) {
            return None;
        }
        let (_, payload) = message.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

fn header(token: &str) -> Option<Header> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    serde_json::from_slice(&header).ok()
}
