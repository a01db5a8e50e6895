//! Tools: pieces of MCP client software as administrators know them; the unit of governance.
//!
//! Identity and policy are apart: what a document says never changes status, epoch, or ceiling
//! (DESIGN invariant 9).

mod id;
mod standing;

use serde::{Deserialize, Serialize};

pub use id::{TOOL_ID_BYTES_MAX, ToolId, ToolIdError};
pub use standing::{NotHonoured, check_standing};

use crate::clock::Timestamp;
use crate::oauth::Scope;

/// Merges that are followed from one tool to the next before the chain counts as broken.
pub const MERGES_MAX: usize = 4;

/// How a client identifier came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// An administrator entered it.
    PreRegistered,
    /// It is the URL of a metadata document.
    MetadataDocument,
    /// The client registered itself (RFC 7591).
    Dynamic,
}

impl Mechanism {
    /// The name in tokens, listings, and storage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreRegistered => "pre_registered",
            Self::MetadataDocument => "metadata_document",
            Self::Dynamic => "dynamic",
        }
    }
}

/// What an administrator has decided about a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Somebody wants to use it; nobody has decided yet.
    Pending,
    /// It may be used.
    Enabled,
    /// It may not be used, by anybody, from the next request on.
    Disabled,
    /// Its publisher has withdrawn it.
    Withdrawn,
}

impl Status {
    /// The name in listings, tokens, and storage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// How and when something came in, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduced {
    /// When.
    pub at: Timestamp,
    /// The subject of the person, the ARN of the administrator, or `registration` for a client itself.
    pub by: String,
    /// In which way.
    pub mechanism: Mechanism,
}

/// An administrator's word on a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewed {
    /// When it was given.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
}

/// What grants of a tool can contain at most. `None` sets no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ceiling {
    /// Scopes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Resources, by their identifiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<String>>,
    /// Groups of which a person must be in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
}

impl Ceiling {
    /// What is left of `scope`.
    #[must_use]
    pub fn narrow(&self, scope: &Scope) -> Scope {
        match &self.scopes {
            None => scope.clone(),
            Some(allowed) => scope.filter(|token| {
                token == crate::oauth::scope::OFFLINE_ACCESS || allowed.iter().any(|name| name == token)
            }),
        }
    }

    /// Whether `resource` is within it.
    pub fn allows_resource(&self, resource: &str) -> bool {
        self.resources.as_ref().is_none_or(|allowed| allowed.iter().any(|known| known == resource))
    }

    /// Whether somebody in `groups` is within it.
    pub fn allows_groups(&self, groups: &[String]) -> bool {
        self.groups.as_ref().is_none_or(|allowed| groups.iter().any(|group| allowed.contains(group)))
    }
}

/// A tool that has become part of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// The tool that stands for it now.
    pub into: ToolId,
    /// That tool's epoch at the time; once it is raised, the grants of the merged tool end as well.
    pub epoch: u32,
}

/// How many people and grants a tool has, as last counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// People with a live grant.
    pub users: u64,
    /// Live grants.
    pub grants: u64,
    /// When they were counted.
    pub counted_at: Timestamp,
}

/// One tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its id.
    pub id: ToolId,
    /// The name that administrators gave it, or that its first registration brought.
    pub name: Option<String>,
    /// Whether it may be used.
    pub status: Status,
    /// Raised to end all its grants.
    pub epoch: u32,
    /// A profile set by hand; otherwise the policy's rules decide.
    pub profile: Option<String>,
    /// Bounds on its grants.
    pub ceiling: Ceiling,
    /// How it came in first.
    pub introduced: Introduced,
    /// Who approved it, if somebody did.
    pub reviewed: Option<Reviewed>,
    /// What the person who asked for it wrote.
    pub reason: Option<String>,
    /// When it was used last, to the hour.
    pub last_used_at: Option<Timestamp>,
    /// The tool that it has become part of.
    pub merged: Option<Merged>,
    /// Deleted: kept only so that its epoch is never used again.
    pub forgotten: bool,
    /// Its people and grants, as last counted.
    pub census: Option<Census>,
    /// Counts up with each change by an administrator.
    pub revision: u64,
}

impl Tool {
    /// Whether an administrator has decided about it: the governed set, apart from what came in by itself.
    pub fn is_governed(&self) -> bool {
        self.reviewed.is_some() || self.introduced.mechanism == Mechanism::PreRegistered
    }

    /// A tool as it comes in.
    pub fn new(id: ToolId, name: Option<String>, status: Status, introduced: Introduced) -> Self {
        Self {
            id,
            name,
            status,
            epoch: 0,
            profile: None,
            ceiling: Ceiling::default(),
            introduced,
            reviewed: None,
            reason: None,
            last_used_at: None,
            merged: None,
            forgotten: false,
            census: None,
            revision: 0,
        }
    }
}
