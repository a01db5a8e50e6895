//! Registrations: how one client identifier is known, and what is kept about it.

use serde::{Deserialize, Serialize};

use super::id::ClientId;
use super::metadata::ClientMetadata;
use crate::clock::Timestamp;
use crate::tool::{Introduced, Mechanism, ToolId};

/// Secrets of one client that are valid at a time: the one in use and, during a rotation, the next.
pub const SECRETS_MAX: usize = 2;

/// A client secret as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretDigest {
    /// SHA-256 of the secret, base64url. Secrets are ours, with 256 bits of entropy, so no slow hash.
    pub sha256: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Departures from the specifications that an administrator allowed one client; shown as such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compatibility {
    /// Accept the token endpoint's URL as audience of a client assertion (CAU-07; RFC 10070 forbids it).
    pub nonconformant_assertion_audience: bool,
    /// Refuse client assertions without an explicit type (stricter than RFC 10070 advises).
    pub require_assertion_type: bool,
}

/// One registration.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// The client identifier, exactly.
    pub client_id: ClientId,
    /// The tool it belongs to.
    pub tool: ToolId,
    /// How it is known.
    pub mechanism: Mechanism,
    /// How and when it came in, and by whom.
    pub introduced: Introduced,
    /// What it says about itself; `None` for a client whose metadata document says it.
    pub metadata: Option<ClientMetadata>,
    /// Secrets, the newest first.
    pub secrets: Vec<SecretDigest>,
    /// Raised to void secrets that are derived rather than stored.
    pub epoch: u32,
    /// Departures from the specifications.
    pub compatibility: Compatibility,
    /// When it was used last, to the hour.
    pub last_used_at: Option<Timestamp>,
    /// When it ends unless it is used before: dynamic registrations only.
    pub ends_at: Option<Timestamp>,
    /// Counts up with each change by an administrator.
    pub revision: u64,
}

impl Registration {
    /// A registration as it comes in.
    pub fn new(
        client_id: ClientId,
        tool: ToolId,
        introduced: Introduced,
        metadata: Option<ClientMetadata>,
    ) -> Self {
        Self {
            client_id,
            tool,
            mechanism: introduced.mechanism,
            introduced,
            metadata,
            secrets: Vec::new(),
            epoch: 0,
            compatibility: Compatibility::default(),
            last_used_at: None,
            ends_at: None,
            revision: 0,
        }
    }

    /// Voids every secret at once, stored and derived ones; `fresh` takes the place of stored ones. For a
    /// secret that may be known to others: nothing of before goes on working.
    pub fn rotate(&mut self, fresh: Option<SecretDigest>) {
        self.secrets.clear();
        self.secrets.extend(fresh);
        self.epoch = self.epoch.saturating_add(1);
    }

    /// Whether it has ended. DynamoDB's TTL may be days late (invariant 12).
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|ends_at| now >= ends_at)
    }
}
