//! Grants: what one person allowed one client for one resource (DESIGN section 5).

mod credential;
mod pushed;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

pub use credential::{Code, CredentialError, RefreshToken, key_id};
pub use pushed::{NotPushed, PUSHED_REQUEST_BYTES_MAX, PUSHED_REQUEST_LIFETIME, PushedRequest};

use crate::client::metadata::AuthMethod;
use crate::client::redirect::{RedirectKind, RedirectUri};
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

/// How sure we are that a client is who it says it is: by what only the right one can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// Codes go to an address on the person's own device, where any program may listen.
    Loopback,
    /// Codes go to an `https` address, which its owner alone receives.
    HttpsRedirect,
    /// The client proved possession of a key that its metadata names.
    KeyProven,
}

/// How the client proves itself under one grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientProof {
    /// The methods that it had declared when the person approved.
    pub declared: Vec<AuthMethod>,
    /// The method that it redeemed the code with: no other one is accepted afterwards (CAU-13).
    pub method: Option<AuthMethod>,
    /// Whether its metadata asks for DPoP always (RFC 9449 §5.2).
    pub dpop_required: bool,
    /// The DPoP key that the code, or the refresh token of a public client, is bound to (RFC 9449 §5, §10).
    pub dpop_jkt: Option<String>,
}

impl ClientProof {
    /// The methods that are acceptable now.
    pub fn methods(&self) -> &[AuthMethod] {
        self.method.as_ref().map_or(&self.declared, std::slice::from_ref)
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
    /// What the page warned of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// The earlier grant whose page still counted, where no page was shown (AUT-29).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembered: Option<String>,
}

/// What a consent page warns of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// Any program on the person's computer could be asking (CON-03).
    Loopback,
    /// A host resembles a well-known one (CON-08).
    LookAlike,
    /// A host mixes alphabets (UTS 39 §5.1).
    MixedScript,
    /// The client's document is not the one that the person last approved.
    DocumentChanged,
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
    /// How the client proves itself.
    pub proof: ClientProof,
    /// The metadata document that was in force.
    pub document_digest: Option<String>,
    /// Whether redeeming the code also yields a refresh token (REF-07).
    pub refreshable: bool,
    /// The name of the profile whose limits held; looked up again at each use.
    pub profile: String,
    /// When the person approved.
    pub approved_at: Timestamp,
    /// What the person saw.
    pub evidence: Evidence,
    /// How far it has come.
    pub stage: Stage,
}

impl Grant {
    /// How sure we are that tokens of this grant go to the client that it names.
    pub fn assurance(&self) -> Assurance {
        if self.proof.method == Some(AuthMethod::PrivateKeyJwt) {
            Assurance::KeyProven
        } else if RedirectUri::parse(&self.redirect_uri).is_ok_and(|uri| is_elsewhere(&uri)) {
            Assurance::HttpsRedirect
        } else {
            // A private-use scheme belongs to whichever program on the device claimed it.
            Assurance::Loopback
        }
    }
}

/// Whether codes leave the person's device for a host that proves its name.
fn is_elsewhere(uri: &RedirectUri) -> bool {
    uri.kind() == RedirectKind::Https
        && !["localhost", "127.0.0.1", "[::1]"].contains(&uri.host_for_display())
}
