//! The emergency brake (GOV-15).

use serde::{Deserialize, Serialize};

use super::host_pattern::{HostPattern, RegistrableDomain};
use crate::client::id::ClientId;

/// What is blocked, whoever introduced it and however well it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blocked {
    /// Client identifiers, exactly as presented.
    pub client_ids: Vec<ClientId>,
    /// Hosts, or patterns of hosts.
    pub hosts: Vec<HostPattern>,
    /// Registrable domains (by the public suffix list) with everything below them.
    pub domains: Vec<RegistrableDomain>,
}

/// Which entry blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Block {
    /// Under `client_ids`.
    #[error("the client identifier is blocked")]
    ClientId,
    /// Under `hosts`.
    #[error("the host is blocked")]
    Host,
    /// Under `domains`.
    #[error("the domain is blocked")]
    Domain,
}

impl Blocked {
    /// The block on a client identifier or on `host`, the host of its URL if it is one.
    pub fn client(&self, id: &ClientId, host: Option<&str>) -> Option<Block> {
        if self.client_ids.contains(id) {
            return Some(Block::ClientId);
        }
        host.and_then(|host| self.host(host))
    }

    /// The block on a host: of a client identifier, or of a redirect URI.
    pub fn host(&self, host: &str) -> Option<Block> {
        if self.hosts.iter().any(|pattern| pattern.matches(host)) {
            return Some(Block::Host);
        }
        self.domains.iter().any(|domain| domain.contains(host)).then_some(Block::Domain)
    }
}
