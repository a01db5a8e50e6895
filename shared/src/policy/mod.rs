//! The policy document: everything an administrator decides, as one piece of data.

mod roles;

use std::time::Duration;

pub use roles::{Administration, ArnPattern, ArnPatternError, Role};
use serde::{Deserialize, Serialize};

use crate::oauth::resource::ResourceError;
use crate::oauth::scope::{OFFLINE_ACCESS, ScopeError};
use crate::oauth::{ResourceId, Scope};

/// Why a policy was refused. It is refused whole; the one in force stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not the JSON of a policy: unknown member, wrong type.
    #[error("the policy is malformed: {0}")]
    Malformed(String),
    /// A resource identifier is not acceptable.
    #[error("resource {0}: {1}")]
    Resource(String, ResourceError),
    /// The same resource twice, or two that a request could not tell apart.
    #[error("resource {0} is listed twice")]
    ResourceTwice(String),
    /// A scope name is not acceptable.
    #[error("scope {0:?}: {1}")]
    Scope(String, ScopeError),
    /// A default scope that the resource does not define.
    #[error("resource {resource}: default scope {scope:?} is not among its scopes")]
    UnknownDefaultScope {
        /// The resource.
        resource: String,
        /// The name that is not defined.
        scope: String,
    },
    /// A number outside its sensible range.
    #[error("{setting} must be between {least} and {most}")]
    OutOfRange {
        /// The dotted name of the setting.
        setting: &'static str,
        /// Least value.
        least: u64,
        /// Greatest value.
        most: u64,
    },
    /// More patterns for one role than anybody can oversee.
    #[error("administration lists more than {max} patterns for one role", max = roles::PATTERNS_MAX)]
    TooManyPatterns,
    /// `cache.floor_seconds` ≤ `cache.default_seconds` ≤ `cache.ceiling_seconds` does not hold.
    #[error("cache bounds must rise: floor, default, ceiling")]
    CacheBounds,
}

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
    pub documents: DocumentPolicy,
    /// Who may do what through the administration API.
    pub administration: Administration,
}

/// An MCP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its identifier (RFC 8707), spelled as its own metadata states it; becomes `aud`.
    pub resource: String,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The scopes it understands.
    #[serde(default)]
    pub scopes: Vec<ScopeDescription>,
    /// Granted when a request names no scope. All scopes if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_scopes: Option<Vec<String>>,
}

/// A scope and what it means to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeDescription {
    /// The scope token.
    pub name: String,
    /// What it lets a client do, in the words of the consent page.
    #[serde(default)]
    pub description: String,
}

impl Resource {
    /// Its identifier.
    ///
    /// # Errors
    /// Cannot fail for a resource of a checked policy.
    pub fn id(&self) -> Result<ResourceId, ResourceError> {
        ResourceId::parse(&self.resource)
    }

    /// Whether it defines `scope`.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|known| known.name == scope)
    }

    /// What a request without a scope gets.
    pub fn default_scope(&self) -> Scope {
        let names: Vec<&str> = self.default_scopes.as_ref().map_or_else(
            || self.scopes.iter().map(|scope| scope.name.as_str()).collect(),
            |names| names.iter().map(String::as_str).collect(),
        );
        Scope::parse(&names.join(" ")).unwrap_or_default()
    }

    /// Its name, or its host where it has none.
    pub fn display_name(&self) -> String {
        if self.name.is_empty() {
            self.id().map_or_else(|_| self.resource.clone(), |id| id.host())
        } else {
            self.name.clone()
        }
    }
}

/// Lifetimes in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lifetimes {
    /// An authorization code (OAuth 2.1 §4.1.2 recommends at most ten minutes).
    pub code_seconds: u64,
    /// An access token; also how long a revoked grant's tokens may still be honoured offline.
    pub access_token_seconds: u64,
    /// A refresh token that is not used.
    pub refresh_idle_seconds: u64,
    /// A grant, whatever happens.
    pub refresh_absolute_seconds: u64,
    /// For how long a refresh whose answer was lost may be repeated, once (REF-08).
    pub refresh_retry_seconds: u64,
    /// A person's session at this server.
    pub session_seconds: u64,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            code_seconds: 60,
            access_token_seconds: 600,
            refresh_idle_seconds: 30 * 86_400,
            refresh_absolute_seconds: 90 * 86_400,
            refresh_retry_seconds: 30,
            session_seconds: 8 * 3600,
        }
    }
}

impl Lifetimes {
    /// An authorization code's lifetime.
    pub const fn code(&self) -> Duration {
        Duration::from_secs(self.code_seconds)
    }

    /// An access token's lifetime.
    pub const fn access_token(&self) -> Duration {
        Duration::from_secs(self.access_token_seconds)
    }

    /// A refresh token's lifetime when unused.
    pub const fn refresh_idle(&self) -> Duration {
        Duration::from_secs(self.refresh_idle_seconds)
    }

    /// A grant's greatest lifetime.
    pub const fn refresh_absolute(&self) -> Duration {
        Duration::from_secs(self.refresh_absolute_seconds)
    }

    /// The window for repeating a refresh.
    pub const fn refresh_retry(&self) -> Duration {
        Duration::from_secs(self.refresh_retry_seconds)
    }

    /// A session's lifetime.
    pub const fn session(&self) -> Duration {
        Duration::from_secs(self.session_seconds)
    }
}

/// Bounds on the reuse of metadata documents, in seconds (CAC-04).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheBounds {
    /// Shorter positive lifetimes are raised to this.
    pub floor_seconds: u64,
    /// Used when the answer names no lifetime.
    pub default_seconds: u64,
    /// Longer lifetimes are cut to this.
    pub ceiling_seconds: u64,
}

impl Default for CacheBounds {
    fn default() -> Self {
        Self { floor_seconds: 60, default_seconds: 3600, ceiling_seconds: 86_400 }
    }
}

/// Rules for metadata documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DocumentPolicy {
    /// Refuse documents without `client_name`, as MCP 2026-07-28 words it. Off by default, because a
    /// deployed vendor publishes such documents; the page then shows the host in its place (DOC-03).
    pub require_client_name: bool,
    /// Accept client identifiers with a query (URL-08).
    pub allow_query: bool,
    /// Ports besides 443 that a metadata document may be fetched from (URL-09).
    pub ports: Vec<u16>,
}

impl Policy {
    /// Reads and checks the JSON form.
    ///
    /// # Errors
    /// [`PolicyError`] with the first thing that is wrong.
    pub fn from_json(json: &str) -> Result<Self, PolicyError> {
        let policy: Self =
            serde_json::from_str(json).map_err(|error| PolicyError::Malformed(error.to_string()))?;
        policy.check()?;
        Ok(policy)
    }

    /// The JSON form.
    ///
    /// # Errors
    /// [`PolicyError::Malformed`] if it cannot be written, which no value of this type causes.
    pub fn to_json(&self) -> Result<String, PolicyError> {
        serde_json::to_string(self).map_err(|error| PolicyError::Malformed(error.to_string()))
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`PolicyError`] with the first thing that is wrong.
    pub fn check(&self) -> Result<(), PolicyError> {
        let mut known: Vec<ResourceId> = Vec::new();
        for resource in &self.resources {
            let refuse = |error| PolicyError::Resource(resource.resource.clone(), error);
            let id = resource.id().map_err(refuse)?;
            if known.iter().any(|other| other.matches(id.as_str())) {
                return Err(PolicyError::ResourceTwice(resource.resource.clone()));
            }
            known.push(id);
            for scope in &resource.scopes {
                let parsed = Scope::parse(&scope.name)
                    .map_err(|error| PolicyError::Scope(scope.name.clone(), error))?;
                if parsed.tokens().count() != 1 || parsed.to_string() != scope.name {
                    return Err(PolicyError::Scope(scope.name.clone(), ScopeError::Character));
                }
            }
            for name in resource.default_scopes.iter().flatten() {
                if !resource.has_scope(name) {
                    return Err(PolicyError::UnknownDefaultScope {
                        resource: resource.resource.clone(),
                        scope: name.clone(),
                    });
                }
            }
        }
        self.check_numbers()
    }

    fn check_numbers(&self) -> Result<(), PolicyError> {
        if !self.administration.is_bounded() {
            return Err(PolicyError::TooManyPatterns);
        }
        const DAY: u64 = 86_400;
        let lifetimes = &self.lifetimes;
        let ranges = [
            ("lifetimes.code_seconds", lifetimes.code_seconds, 10, 600),
            ("lifetimes.access_token_seconds", lifetimes.access_token_seconds, 30, 3600),
            ("lifetimes.refresh_idle_seconds", lifetimes.refresh_idle_seconds, 60, 365 * DAY),
            ("lifetimes.refresh_absolute_seconds", lifetimes.refresh_absolute_seconds, 60, 365 * DAY),
            ("lifetimes.refresh_retry_seconds", lifetimes.refresh_retry_seconds, 0, 300),
            ("lifetimes.session_seconds", lifetimes.session_seconds, 60, 7 * DAY),
            ("cache.floor_seconds", self.cache.floor_seconds, 0, DAY),
            ("cache.default_seconds", self.cache.default_seconds, 0, DAY),
            ("cache.ceiling_seconds", self.cache.ceiling_seconds, 0, DAY),
            ("administration.audit_retention_days", self.administration.audit_retention_days, 30, 3660),
        ];
        for (setting, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(PolicyError::OutOfRange { setting, least, most });
            }
        }
        let cache = &self.cache;
        if cache.floor_seconds > cache.default_seconds || cache.default_seconds > cache.ceiling_seconds {
            return Err(PolicyError::CacheBounds);
        }
        Ok(())
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> PolicyError {
        Policy::from_json(json).expect_err(json)
    }

    #[test]
    fn an_empty_policy_is_valid_and_registers_nothing() {
        let policy = Policy::from_json("{}").unwrap();
        assert!(policy.resource("https://mcp.example").is_none());
        assert!(policy.default_resource().is_none());
    }

    /// FM094: a malformed policy is refused whole, with the reason.
    #[test]
    fn what_is_wrong_is_named() {
        assert!(refused(r#"{"recources":[]}"#).to_string().contains("recources"));
        assert!(refused(r#"{"resources":[{"resource":"http://x.example"}]}"#).to_string().contains("https"));
        assert!(matches!(
            refused(r#"{"resources":[{"resource":"https://x.example"},{"resource":"https://x.example/"}]}"#),
            PolicyError::ResourceTwice(_)
        ));
        assert!(matches!(
            refused(r#"{"resources":[{"resource":"https://x.example","scopes":[{"name":"a b"}]}]}"#),
            PolicyError::Scope(..)
        ));
        assert!(matches!(
            refused(r#"{"resources":[{"resource":"https://x.example","default_scopes":["a"]}]}"#),
            PolicyError::UnknownDefaultScope { .. }
        ));
        assert!(matches!(refused(r#"{"lifetimes":{"code_seconds":601}}"#), PolicyError::OutOfRange { .. }));
        assert!(matches!(refused(r#"{"cache":{"floor_seconds":7200}}"#), PolicyError::CacheBounds));
    }

    #[test]
    fn a_resource_without_default_scopes_grants_all_of_them_by_default() {
        let policy = Policy::from_json(
            r#"{"resources":[{"resource":"https://x.example","scopes":[{"name":"a"},{"name":"b"}]}]}"#,
        )
        .unwrap();
        assert_eq!(policy.default_resource().unwrap().default_scope().to_string(), "a b");
        assert_eq!(policy.scopes_supported(), ["a", "b", "offline_access"]);
        assert_eq!(Policy::from_json(&policy.to_json().unwrap()), Ok(policy));
    }
}
