//! What an entry says: no secrets, and of people the subject only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Details of one event.
pub const DETAILS_MAX: usize = 24;

/// Characters of one detail: an entry stays well below a kilobyte or two.
pub const DETAIL_CHARS_MAX: usize = 512;

/// What happened (GOV-13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A tool was met for the first time.
    ToolIntroduced,
    /// A tool was approved or enabled.
    ToolEnabled,
    /// A tool was disabled, or a pending one denied.
    ToolDisabled,
    /// All grants of a tool were ended.
    ToolRevoked,
    /// A tool's grants were ended and its secrets and keys replaced.
    ToolRotated,
    /// A tool got another name.
    ToolRenamed,
    /// A tool's bounds were set.
    ToolBounded,
    /// A tool's profile was set by hand, or left to the rules again.
    ToolProfiled,
    /// A tool became part of another.
    ToolMerged,
    /// A tool was deleted.
    ToolForgotten,
    /// A tool's publisher withdrew it.
    ToolWithdrawn,
    /// A registration was added.
    RegistrationAdded,
    /// A registration was removed.
    RegistrationRemoved,
    /// A registration was given to another tool.
    RegistrationMoved,
    /// A client secret was replaced.
    SecretRotated,
    /// A person allowed a client something, or had done so before and was not asked again.
    ConsentGiven,
    /// A person said no.
    ConsentDenied,
    /// A grant was ended.
    GrantRevoked,
    /// The policy was replaced.
    PolicyChanged,
    /// Keys were rotated.
    KeysRotated,
    /// A metadata document changed, or a version of it was decided about.
    DocumentChanged,
    /// A signed-in person, or the holder of a good credential, was refused.
    RequestRefused,
    /// A code or refresh token was used again, and its grant ended.
    CredentialReplayed,
    /// The heads of all chains were written down.
    Anchored,
}

impl Kind {
    /// The name in storage and queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ToolIntroduced => "tool_introduced",
            Self::ToolEnabled => "tool_enabled",
            Self::ToolDisabled => "tool_disabled",
            Self::ToolRevoked => "tool_revoked",
            Self::ToolRotated => "tool_rotated",
            Self::ToolRenamed => "tool_renamed",
            Self::ToolBounded => "tool_bounded",
            Self::ToolProfiled => "tool_profiled",
            Self::ToolMerged => "tool_merged",
            Self::ToolForgotten => "tool_forgotten",
            Self::ToolWithdrawn => "tool_withdrawn",
            Self::RegistrationAdded => "registration_added",
            Self::RegistrationRemoved => "registration_removed",
            Self::RegistrationMoved => "registration_moved",
            Self::SecretRotated => "secret_rotated",
            Self::ConsentGiven => "consent_given",
            Self::ConsentDenied => "consent_denied",
            Self::GrantRevoked => "grant_revoked",
            Self::PolicyChanged => "policy_changed",
            Self::KeysRotated => "keys_rotated",
            Self::DocumentChanged => "document_changed",
            Self::RequestRefused => "request_refused",
            Self::CredentialReplayed => "credential_replayed",
            Self::Anchored => "anchored",
        }
    }
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// An administrator, by ARN.
    Administrator(String),
    /// A person, by the identifier that tokens carry as `sub`.
    Person(String),
    /// A client, by its identifier.
    Client(String),
    /// This system by itself.
    System,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: Kind,
    /// Who did it.
    pub actor: Actor,
    /// What it was done to: the id of a tool or grant, a client identifier.
    pub target: String,
    /// What else there is to know. Never a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, String>,
}

impl Event {
    /// An event without details.
    pub fn new(at: Timestamp, kind: Kind, actor: Actor, target: impl Into<String>) -> Self {
        Self { at, kind, actor, target: target.into(), detail: BTreeMap::new() }
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// Cut to size: what a client sent may be in it.
    #[must_use]
    pub(super) fn bounded(mut self) -> Self {
        let cut = |text: String| match text.char_indices().nth(DETAIL_CHARS_MAX) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text,
        };
        self.target = cut(self.target);
        if self.kind == Kind::Anchored {
            // Its details are ours, and a cut hash would prove nothing.
            return self;
        }
        self.detail =
            self.detail.into_iter().take(DETAILS_MAX).map(|(name, value)| (cut(name), cut(value))).collect();
        self
    }
}
