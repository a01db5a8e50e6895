//! Dynamic registration: whether, how often, for how long, and for which tool.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::id::ClientId;
use crate::client::metadata::ClientMetadata;
use crate::client::redirect::{RedirectKind, RedirectUri};
use crate::tool::ToolId;

/// Whether clients can register themselves (RFC 7591 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationMode {
    /// Nobody can, and discovery does not mention it.
    #[default]
    Off,
    /// Anybody can, within the rates.
    On,
    /// Whoever has an initial access token can.
    Token,
}

/// Rules for dynamic registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrationPolicy {
    /// Who can register.
    pub mode: RegistrationMode,
    /// SHA-256 digests of the initial access tokens, 64 hexadecimal digits each; several, so that one can be
    /// replaced while the other still works.
    pub initial_access_token_sha256: Vec<TokenDigest>,
    /// New registrations from one source address in an hour.
    pub new_per_source_per_hour: u32,
    /// New registrations in an hour, all sources together.
    pub new_per_hour: u32,
    /// For how long a registration is kept that nobody has consented to.
    pub unused_seconds: u64,
    /// For how long one is kept that is not used any more.
    pub idle_seconds: u64,
    /// For how long a secret works.
    pub secret_seconds: u64,
}

impl Default for RegistrationPolicy {
    fn default() -> Self {
        Self {
            mode: RegistrationMode::Off,
            initial_access_token_sha256: Vec::new(),
            new_per_source_per_hour: 20,
            new_per_hour: 500,
            unused_seconds: 86_400,
            idle_seconds: 90 * 86_400,
            secret_seconds: 365 * 86_400,
        }
    }
}

impl RegistrationPolicy {
    /// For how long an unused registration is kept.
    pub const fn unused(&self) -> Duration {
        Duration::from_secs(self.unused_seconds)
    }

    /// For how long an idle registration is kept.
    pub const fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    /// For how long a secret works.
    pub const fn secret(&self) -> Duration {
        Duration::from_secs(self.secret_seconds)
    }
}

/// The SHA-256 of an initial access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenDigest([u8; 32]);

/// Not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the SHA-256 of a token has 64 lower-case hexadecimal digits; the token itself does not belong here")]
pub struct TokenDigestError;

impl TokenDigest {
    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<String> for TokenDigest {
    type Error = TokenDigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(TokenDigestError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'a'..=b'f' => digit - b'a' + 10,
                    _ => return Err(TokenDigestError),
                };
                *byte = (*byte << 4) | value;
            }
        }
        Ok(Self(bytes))
    }
}

impl From<TokenDigest> for String {
    fn from(digest: TokenDigest) -> Self {
        digest.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Binds dynamic registrations to a tool that is known already. What a client calls itself is no evidence.
///
/// Exactly one kind of evidence per rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adoption {
    /// The tool.
    pub tool: ToolId,
    /// Every redirect URI is `https` on one of these hosts: the answers reach nobody else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_hosts: Vec<String>,
    /// This `software_id`, together with exactly `redirect_uris`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software_id: Option<String>,
    /// The redirect URIs that belong to `software_id`, loopback ones with any port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<RedirectUri>,
    /// This client identifier, which is the digest of all that was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
}

impl Adoption {
    /// Whether the rule has exactly one kind of evidence, whole.
    pub(super) fn has_one_evidence(&self) -> bool {
        let by_host = !self.redirect_hosts.is_empty();
        let by_software = self.software_id.is_some() && !self.redirect_uris.is_empty();
        let is_half = self.software_id.is_some() == self.redirect_uris.is_empty();
        let by_digest = self.client_id.is_some();
        !is_half && u8::from(by_host) + u8::from(by_software) + u8::from(by_digest) == 1
    }

    /// Whether the registration of `client_id` with `metadata` is one that it binds.
    pub fn covers(&self, client_id: &ClientId, metadata: &ClientMetadata) -> bool {
        let uris = &metadata.redirect_uris;
        if let Some(wanted) = &self.client_id {
            return wanted == client_id;
        }
        if let Some(wanted) = &self.software_id {
            let same = |a: &[RedirectUri], b: &[RedirectUri]| {
                a.iter().all(|uri| b.iter().any(|other| other.matches(uri.as_str())))
            };
            return metadata.software_id.as_ref() == Some(wanted)
                && same(uris, &self.redirect_uris)
                && same(&self.redirect_uris, uris);
        }
        !uris.is_empty()
            && uris.iter().all(|uri| {
                uri.kind() == RedirectKind::Https
                    && self.redirect_hosts.iter().any(|host| host == uri.host_for_display())
            })
    }
}
