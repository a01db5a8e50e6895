//! When a key is made, used, kept, and dropped (DESIGN section 6).
//!
//! Nothing ever switches a key on: the state of a key follows from the clock and from the instants written
//! down when it was made. So all instances switch at the same moment, and a rotation that stops half way
//! leaves nothing half done.

use std::time::Duration;

use crate::clock::Timestamp;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// For how long verifiers may keep our JWKS (`max-age`): short enough that a new key is known to them long
/// before it is used.
pub const JWKS_MAX_AGE: Duration = Duration::from_secs(300);

/// What a key is for. One purpose per key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Signs access tokens; its public half is published.
    Signing,
    /// Seals cookies and forms, tags codes and refresh tokens; never leaves the server.
    Sealing,
}

/// How long a key of one use spends in each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// In use, from its first use to its successor's.
    pub active: Duration,
    /// Known before its first use: to verifiers for a signing key, to all instances for a sealing key.
    pub next: Duration,
    /// Honoured after its last use.
    pub retiring: Duration,
}

/// What a key does at one instant. There is no way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published and loaded, not yet used.
    Next,
    /// Signs or seals.
    Active,
    /// Verifies or opens only.
    Retiring,
    /// Not honoured any more; garbage.
    Gone,
}

impl KeyState {
    /// The name in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Gone => "gone",
        }
    }
}

impl KeyUse {
    /// Both uses.
    pub const ALL: [Self; 2] = [Self::Signing, Self::Sealing];

    /// The name in storage and listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signing => "sig",
            Self::Sealing => "seal",
        }
    }

    /// Reads the name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|usage| usage.as_str() == name)
    }

    /// The schedule of keys of this use.
    pub const fn schedule(self) -> Schedule {
        match self {
            Self::Signing => Schedule {
                active: Duration::from_secs(30 * DAY),
                // Twelve times what verifiers may cache: some round up.
                next: Duration::from_secs(HOUR),
                // The longest access token (one hour), and a verifier whose clock or cache is late.
                retiring: Duration::from_secs(2 * HOUR),
            },
            Self::Sealing => Schedule {
                active: Duration::from_secs(90 * DAY),
                next: Duration::from_secs(HOUR),
                // The longest that a refresh token can lie unused before it comes back.
                retiring: Duration::from_secs(366 * DAY),
            },
        }
    }
}

/// The state at `now` of the key whose use begins at `active_from`, among keys of the same use of which
/// `later` lists the beginnings of those made after it.
pub fn state(
    usage: KeyUse,
    active_from: Timestamp,
    later: impl Iterator<Item = Timestamp>,
    now: Timestamp,
) -> KeyState {
    let superseded_at = later.filter(|begins| *begins <= now).min();
    match superseded_at {
        Some(at) if now >= at.plus(usage.schedule().retiring) => KeyState::Gone,
        Some(_) => KeyState::Retiring,
        None if active_from > now => KeyState::Next,
        None => KeyState::Active,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FM041: published one cache lifetime before first use, kept one token lifetime after last use.
    #[test]
    fn a_signing_key_is_known_before_it_is_used_and_after() {
        let schedule = KeyUse::Signing.schedule();
        assert!(schedule.next >= 2 * JWKS_MAX_AGE);
        assert!(schedule.retiring >= Duration::from_secs(3600) + JWKS_MAX_AGE);
        let at = Timestamp::from_epoch_seconds;
        let (first, second) = (at(1_000_000), at(2_000_000));
        let of_first = |now| state(KeyUse::Signing, first, [second].into_iter(), now);
        assert_eq!(of_first(at(999_999)), KeyState::Next);
        assert_eq!(of_first(first), KeyState::Active);
        assert_eq!(of_first(at(1_999_999)), KeyState::Active);
        assert_eq!(of_first(second), KeyState::Retiring);
        assert_eq!(of_first(second.plus(schedule.retiring)), KeyState::Gone);
    }

    /// REF-06: a refresh token that lay unused for the longest time a policy allows still comes back.
    #[test]
    fn a_sealing_key_outlives_the_longest_refresh_token() {
        assert!(KeyUse::Sealing.schedule().retiring >= Duration::from_secs(365 * DAY));
    }
}
