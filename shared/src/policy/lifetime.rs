//! How long what we issue lives, and how long a document is reused.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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

/// What a profile changes of [`Lifetimes`], in seconds; what is left out stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LifetimeOverrides {
    /// Instead of [`Lifetimes::access_token_seconds`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token_seconds: Option<u64>,
    /// Instead of [`Lifetimes::refresh_idle_seconds`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_idle_seconds: Option<u64>,
    /// Instead of [`Lifetimes::refresh_absolute_seconds`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_absolute_seconds: Option<u64>,
}

impl LifetimeOverrides {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `lifetimes` with these changes.
    #[must_use]
    pub fn over(&self, lifetimes: &Lifetimes) -> Lifetimes {
        Lifetimes {
            access_token_seconds: self.access_token_seconds.unwrap_or(lifetimes.access_token_seconds),
            refresh_idle_seconds: self.refresh_idle_seconds.unwrap_or(lifetimes.refresh_idle_seconds),
            refresh_absolute_seconds: self
                .refresh_absolute_seconds
                .unwrap_or(lifetimes.refresh_absolute_seconds),
            ..lifetimes.clone()
        }
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
