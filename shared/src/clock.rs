//! Time, handed in as a value (DESIGN invariant 13).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Seconds since the Unix epoch, as JWT `NumericDate` and DynamoDB's TTL count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `seconds` after the epoch.
    pub const fn from_epoch_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Whole seconds since the epoch.
    pub const fn epoch_seconds(self) -> u64 {
        self.0
    }

    /// `self + duration`, whole seconds; stays at the last instant instead of overflowing.
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// `self - duration`, whole seconds; stays at the epoch instead of underflowing.
    pub const fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }

    /// How long ago `earlier` was; zero if it lies ahead, so that a clock that jumps back never
    /// yields a negative or huge age.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the current time comes from: the system in production, a test's own hand in tests.
pub trait Clock: Send + Sync {
    /// The current instant.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one caller of the system clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // A clock before 1970 reads as the epoch: every credential then counts as not yet expired for
        // the reader but expired for the world, and no arithmetic can underflow.
        Timestamp(since_epoch.map_or(0, |elapsed| elapsed.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let epoch = Timestamp::default();
        assert_eq!(epoch.minus(Duration::from_secs(5)), epoch);
        assert_eq!(epoch.since(Timestamp::from_epoch_seconds(9)), Duration::ZERO);
        let last = Timestamp::from_epoch_seconds(u64::MAX);
        assert_eq!(last.plus(Duration::from_secs(1)), last);
    }
}
