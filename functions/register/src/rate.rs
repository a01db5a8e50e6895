//! How many new registrations there can be (REG-08), in total and from one source, counted for all instances
//! together.
//!
//! An instance takes allowances from the shared counters in batches, and remembers until the end of the hour
//! that one is exhausted: a flood costs each instance one write in an hour for a source, and one in total.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::aws::{Allowance, RateStore, StoreError};
use shared::clock::Timestamp;
use shared::policy::RegistrationPolicy;

use crate::error::RegisterError;
use crate::source::SourceAddress;

const WINDOW_SECONDS: u64 = 3600;

/// What an instance takes of the total at a time.
const TOTAL_BATCH: u32 = 10;

/// What an instance takes for one source at a time.
const SOURCE_BATCH: u32 = 5;

/// Leases that an instance remembers. Each source in it has taken of the total, which policy bounds far below
/// this unless it was raised on purpose; forgetting costs a write each, and no allowance.
const LEASES_MAX: usize = 10_000;

/// Counters are forgotten some time after their window.
const KEEP: Duration = Duration::from_secs(2 * WINDOW_SECONDS);

/// The rates as one instance knows them.
#[derive(Debug)]
pub struct Rates {
    store: RateStore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    window: u64,
    leases: HashMap<String, Lease>,
}

/// What this instance has taken of an allowance and not used yet.
#[derive(Clone, Copy, Debug)]
enum Lease {
    Left(u32),
    Exhausted,
}

const TOTAL: &str = "register";

impl Rates {
    /// Rates counted in `store`.
    pub fn new(store: RateStore) -> Self {
        Self { store, state: Mutex::default() }
    }

    /// Takes one new registration of what is left in this hour. Requests whose source is not known count
    /// together.
    pub(crate) async fn take(
        &self,
        source: Option<SourceAddress>,
        rules: &RegistrationPolicy,
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        let window = now.epoch_seconds() / WINDOW_SECONDS;
        let refused =
            || RegisterError::TooMany { seconds: WINDOW_SECONDS - now.epoch_seconds() % WINDOW_SECONDS };
        // The total first: past it, no number of sources makes anybody write.
        let total = Allowance { name: TOTAL, window, most: rules.new_per_hour };
        if !self.take_one(total, TOTAL_BATCH, now).await? {
            return Err(refused());
        }
        let network = source.map_or_else(|| "unknown".to_owned(), SourceAddress::network);
        let name = format!("{TOTAL}~{network}");
        let of_source = Allowance { name: &name, window, most: rules.new_per_source_per_hour };
        if !self.take_one(of_source, SOURCE_BATCH, now).await? {
            self.give_back(TOTAL, window);
            return Err(refused());
        }
        Ok(())
    }

    async fn take_one(
        &self,
        allowance: Allowance<'_>,
        batch: u32,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        {
            let mut state = self.state(allowance.window);
            match state.leases.get_mut(allowance.name) {
                Some(Lease::Exhausted) => return Ok(false),
                Some(Lease::Left(left)) if *left > 0 => {
                    *left -= 1;
                    return Ok(true);
                }
                Some(Lease::Left(_)) | None => {}
            }
        }
        let batch = batch.min(allowance.most);
        let is_taken = self.store.take(allowance, batch, now, KEEP).await?;
        let mut state = self.state(allowance.window);
        if state.leases.len() >= LEASES_MAX {
            state.leases.clear();
        }
        let lease = state.leases.entry(allowance.name.to_owned()).or_insert(Lease::Left(0));
        *lease = match (is_taken, *lease) {
            (true, Lease::Left(left)) => Lease::Left(left.saturating_add(batch).saturating_sub(1)),
            (true, Lease::Exhausted) => Lease::Left(batch.saturating_sub(1)),
            (false, _) => Lease::Exhausted,
        };
        Ok(is_taken)
    }

    fn give_back(&self, name: &str, window: u64) {
        if let Some(Lease::Left(left)) = self.state(window).leases.get_mut(name) {
            *left = left.saturating_add(1);
        }
    }

    /// The state of `window`; what was left of another one has lapsed.
    fn state(&self, window: u64) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.window != window {
            *state = State { window, leases: HashMap::new() };
        }
        state
    }
}
