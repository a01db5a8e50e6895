//! The MCP servers that tokens are issued for.

use serde::{Deserialize, Serialize};

use crate::oauth::resource::ResourceError;
use crate::oauth::{ResourceId, Scope};

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
    /// SHA-256 digests, in base64url, of the secrets by which it may ask about tokens (RFC 7662 §2.1): the
    /// one in use and, during a change, the next. Without any it cannot ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub introspection_secrets: Vec<String>,
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
