//! Grants: what one person allowed one client for one resource (DESIGN section 5).

mod credential;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

pub use credential::{Code, CredentialError, RefreshToken, key_id};

use crate::clock::Timestamp;
use crate::oauth::{CodeChallenge, Scope};
use crate::tool::{Mechanism, ToolId};

/// Names one grant and the flow that led to it: 128 random bits, so consenting twice to one flow
/// meets the same item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrantId([u8; 16]);

impl GrantId {
    /// An id from freshly drawn bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?))
    }

    /// The raw bytes.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// What the person saw when they approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The client's self-asserted name, if it was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// The host of the client identifier, where it is a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_host: Option<String>,
    /// The host of the redirect URI.
    pub redirect_host: String,
    /// The policy in force.
    pub policy_version: u64,
}

/// How far a grant has come. There is no way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The person approved; the code waits to be redeemed until the instant given.
    Approved {
        /// From then on the code is refused.
        code_expires_at: Timestamp,
    },
    /// The code was redeemed.
    Active(Active),
    /// Ended by the client, the person, an administrator, or a replay.
    Revoked,
}

/// The refresh side of a redeemed grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Active {
    /// Generation of the one refresh token that is good; 0 if none was issued.
    pub generation: u32,
    /// When that generation replaced the one before.
    pub rotated_at: Timestamp,
    /// Whether the retry that follows a lost answer has been used (REF-08).
    pub retried: bool,
    /// End of the refresh token if it is not used before (REF-06).
    pub idle_expires_at: Timestamp,
    /// End of the grant whatever happens.
    pub ends_at: Timestamp,
}

/// One grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The person, by the identifier that tokens carry as `sub`.
    pub subject: String,
    /// The client identifier, exactly as presented.
    pub client_id: String,
    /// How the client is known.
    pub mechanism: Mechanism,
    /// The tool the client belongs to.
    pub tool: ToolId,
    /// The tool's epoch at approval; a raised epoch ends the grant.
    pub tool_epoch: u32,
    /// The redirect URI of the request, with its real port.
    pub redirect_uri: String,
    /// The resource, as registered.
    pub resource: String,
    /// What was approved.
    pub scope: Scope,
    /// The PKCE challenge, kept after redemption so that a replay can be told from a theft (TOK-13).
    pub code_challenge: CodeChallenge,
    /// The metadata document that was in force.
    pub document_digest: Option<String>,
    /// Whether redeeming the code also yields a refresh token (REF-07).
    pub refreshable: bool,
    /// When the person approved.
    pub approved_at: Timestamp,
    /// What the person saw.
    pub evidence: Evidence,
    /// How far it has come.
    pub stage: Stage,
}
