//! The policy document: everything an administrator decides, as one piece of data.
//!
//! `docs/policy.md` explains it to administrators, `docs/policy.schema.json` to their editors.

mod block;
pub mod branding;
pub mod change;
mod check;
pub mod consent;
mod documents;
mod error;
mod host_pattern;
mod lifetime;
mod place;
mod profile;
mod registration;
mod resource;
mod roles;

use serde::{Deserialize, Serialize};

pub use block::{Block, Blocked};
pub use documents::{DocumentDecision, DocumentMode, DocumentPolicy, DocumentRefusal, Logos};
pub use error::{PolicyError, PolicyFault};
pub use host_pattern::{HostPattern, HostPatternError, RegistrableDomain, RegistrableDomainError};
pub use lifetime::{CacheBounds, LifetimeOverrides, Lifetimes};
pub use place::Place;
pub use profile::{Authentication, ClientFacts, Match, PROFILES_MAX, Profile};
pub use registration::{Adoption, RegistrationMode, RegistrationPolicy, TokenDigest, TokenDigestError};
pub use resource::{Resource, ScopeDescription};
pub use roles::{Administration, ArnPattern, ArnPatternError, PATTERNS_MAX, Role};

use branding::Branding;
use consent::ConsentPolicy;

use crate::client::id::ClientId;
use crate::client::metadata::ClientMetadata;
use crate::oauth::scope::OFFLINE_ACCESS;
use crate::tool::ToolId;

/// Bytes of a policy document in JSON: fits an item of the table together with who changed it and when.
pub const POLICY_BYTES_MAX: usize = 256 * 1024;

/// The policy document as written. Every member has a default, so an empty document is valid: it
/// registers no resource, and so lets nobody in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The MCP servers that this authorization server issues tokens for.
    pub resources: Vec<Resource>,
    /// How long what we issue lives.
    pub lifetimes: Lifetimes,
    /// Bounds on how long a metadata document is reused.
    pub cache: CacheBounds,
    /// Rules for metadata documents.
    #[serde(rename = "metadata_documents")]
    pub documents: DocumentPolicy,
    /// Clients that are refused before anything else is looked at.
    pub blocked: Blocked,
    /// Rules for dynamic registration.
    #[serde(rename = "dynamic_registration")]
    pub registration: RegistrationPolicy,
    /// Which tools dynamic registrations belong to. The first rule that fits decides.
    pub adoption: Vec<Adoption>,
    /// Classes of clients, in order. The shipped ones follow, except those of a name used here.
    pub profiles: Vec<Profile>,
    /// Rules for the consent page.
    pub consent: ConsentPolicy,
    /// Whose pages these are.
    pub branding: Branding,
    /// Who may do what through the administration API.
    pub administration: Administration,
}

impl Policy {
    /// Reads and checks the JSON form.
    ///
    /// # Errors
    /// [`PolicyError`] with the first thing that is wrong, and its line.
    pub fn from_json(json: &str) -> Result<Self, PolicyError> {
        if json.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::at(Place::top(), PolicyFault::TooLarge));
        }
        let policy: Self = serde_json::from_str(json).map_err(PolicyError::malformed)?;
        policy.check().map_err(|error| error.with_line(|place| place::line_in_json(json, place)))?;
        Ok(policy)
    }

    /// The JSON form.
    ///
    /// # Errors
    /// [`PolicyError`] if it cannot be written, which no value of this type causes.
    pub fn to_json(&self) -> Result<String, PolicyError> {
        serde_json::to_string(self).map_err(PolicyError::malformed)
    }

    /// The registered resource that `requested` names (AUT-17).
    pub fn resource(&self, requested: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.id().is_ok_and(|id| id.matches(requested)))
    }

    /// What a request without `resource` means: the only one there is (AUT-18).
    pub fn default_resource(&self) -> Option<&Resource> {
        match self.resources.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// All scopes there are, and `offline_access`, for the server metadata.
    pub fn scopes_supported(&self) -> Vec<String> {
        let mut scopes: Vec<String> = Vec::new();
        for scope in self.resources.iter().flat_map(|resource| &resource.scopes) {
            if !scopes.contains(&scope.name) {
                scopes.push(scope.name.clone());
            }
        }
        scopes.push(OFFLINE_ACCESS.to_owned());
        scopes
    }

    /// Whether a document on `host` may introduce a tool that no administrator has dealt with. Asked before
    /// any fetch.
    pub fn decide_metadata_document(&self, host: &str) -> DocumentDecision {
        self.documents.decide(host)
    }

    /// Which entry of [`Self::blocked`] is about this client identifier or about `host`, the host of its URL
    /// (GOV-15). Asked first of all, on every path.
    pub fn block(&self, id: &ClientId, host: Option<&str>) -> Option<Block> {
        self.blocked.client(id, host)
    }

    /// Whether [`Self::block`] finds an entry.
    pub fn is_blocked(&self, id: &ClientId, host: Option<&str>) -> bool {
        self.block(id, host).is_some()
    }

    /// The profile of a client: the first that matches.
    pub fn profile(&self, client: &ClientFacts) -> &Profile {
        self.effective_profiles().find(|profile| profile.matches.covers(client)).unwrap_or(&profile::FALLBACK)
    }

    /// The profile `name`, for a tool whose profile was set by hand.
    pub fn profile_named(&self, name: &str) -> Option<&Profile> {
        self.effective_profiles().find(|profile| profile.name == name)
    }

    /// All profiles in the order in which they are tried.
    pub fn effective_profiles(&self) -> impl Iterator<Item = &Profile> {
        let is_own = |name: &str| self.profiles.iter().any(|own| own.name == name);
        self.profiles.iter().chain(profile::SHIPPED.iter().filter(move |shipped| !is_own(&shipped.name)))
    }

    /// The lifetimes for clients of `profile`.
    pub fn lifetimes_for(&self, profile: &Profile) -> Lifetimes {
        profile.lifetimes.over(&self.lifetimes)
    }

    /// The tool that a dynamic registration of `client_id` with `metadata` belongs to by an adoption rule.
    pub fn adopting_tool(&self, client_id: &ClientId, metadata: &ClientMetadata) -> Option<&ToolId> {
        self.adoption.iter().find(|rule| rule.covers(client_id, metadata)).map(|rule| &rule.tool)
    }
}

#[cfg(test)]
mod tests;
