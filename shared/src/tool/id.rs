//! Tool ids.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// A tool's stable, readable name, such as `claude.ai~3k5q9a7m`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolId(String);

/// Not 1 to [`TOOL_ID_BYTES_MAX`] of `[a-z0-9.~-]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tool id has 1 to 80 lower-case letters, digits, dots, tildes, and hyphens")]
pub struct ToolIdError;

impl TryFrom<String> for ToolId {
    type Error = ToolIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or(ToolIdError)
    }
}

impl From<ToolId> for String {
    fn from(id: ToolId) -> Self {
        id.0
    }
}

/// Bytes of a tool id. It travels in every code and refresh token.
pub const TOOL_ID_BYTES_MAX: usize = 80;

/// Letters of the identifying suffix: 32 symbols without look-alikes, 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

impl ToolId {
    /// The tool of a metadata document at `client_id`, whose host is `host`. Derived, so nothing need be
    /// stored before somebody consents. The suffix is 50 bits of the identifier's digest; the host in
    /// front confines a deliberate collision to the attacker's own host.
    pub fn of_metadata_document(host: &str, client_id: &str) -> Self {
        // A host is at most 253 bytes; what is cut off here is still told apart by the suffix.
        let host = host.get(host.len().saturating_sub(60)..).unwrap_or(host);
        Self(format!("{host}~{}", suffix(client_id)))
    }

    /// The tool of a dynamic registration that no rule gives to another one. `place` is where its answers
    /// go, a host or `loopback`; the `~` behind `dynamic` keeps it apart from the tool of a document there.
    pub fn of_registration(place: &str, client_id: &str) -> Self {
        let is_host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        let place = if place.bytes().all(is_host) { place } else { "address" };
        let place = place.get(place.len().saturating_sub(50)..).unwrap_or(place);
        Self(format!("dynamic~{place}~{}", suffix(client_id)))
    }

    /// Reads a tool id: 1 to [`TOOL_ID_BYTES_MAX`] of `[a-z0-9.~-]`.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".~-".contains(&byte);
        ((1..=TOOL_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed))
            .then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Fifty bits of the identifier's digest, as letters.
fn suffix(client_id: &str) -> String {
    let hash = digest(&SHA256, client_id.as_bytes());
    let bits = hash.as_ref().iter().take(8).fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
    (0..10)
        .filter_map(|position| {
            let index = usize::try_from((bits >> (59 - 5 * position)) & 31).ok()?;
            ALPHABET.get(index).copied().map(char::from)
        })
        .collect()
}

impl fmt::Display for ToolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_document_is_stable_readable_and_its_own() {
        let id = |url: &str| ToolId::of_metadata_document("app.example.com", url);
        let first = id("https://app.example.com/oauth/client.json");
        assert_eq!(first, id("https://app.example.com/oauth/client.json"));
        assert_ne!(first, id("https://app.example.com:443/oauth/client.json"));
        assert!(first.as_str().starts_with("app.example.com~"), "{first}");
        assert_eq!(ToolId::parse(first.as_str()), Some(first));
        let long = ToolId::of_metadata_document(&"a".repeat(253), "x");
        assert!(ToolId::parse(long.as_str()).is_some(), "{long}");
        assert_eq!(ToolId::parse("Tool"), None);
        assert_eq!(ToolId::parse(""), None);
    }
}
