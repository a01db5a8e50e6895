//! Guessing is counted, per client and source (OAuth 2.1 §2.4.1).
//!
//! Per client alone, anybody could lock a client out by failing in its name; per source alone, a proxy's
//! innocents would pay. A right proof from elsewhere always passes, and one from the guesser's network does
//! so again a minute later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::aws::{FailureStore, StoreError};
use shared::clock::Timestamp;
use shared::http::source::Source;

/// Failures of one client from one source within [`WINDOW`] before more are refused unread. An honest
/// client with a stale secret stops by itself; guessing 256 bits needs rather more.
const FAILURES_MAX: u64 = 10;

/// For how long failures are counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// Pairs of client and source that one process remembers as over the limit. Beyond them, each instance
/// lets a guesser fail once per window more.
const REMEMBERED_MAX: usize = 1_000;

/// Too many failures; how long until the window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) Duration);

/// Counts failures in the shared table, and remembers here who is over the limit.
#[derive(Clone, Debug)]
pub struct Failures {
    store: FailureStore,
    over: Arc<Mutex<HashMap<String, Timestamp>>>,
}

impl Failures {
    /// Counts in `store`.
    pub fn new(store: FailureStore) -> Self {
        Self { store, over: Arc::default() }
    }

    /// Refuses whoever is known to be over the limit. Costs nothing, so that honest requests pay nothing.
    pub(crate) fn check(&self, client_id: &str, source: &Source, now: Timestamp) -> Result<(), TooMany> {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        match over.get(&key(client_id, source)) {
            Some(ends_at) if now < *ends_at => Err(TooMany(ends_at.since(now))),
            _ => Ok(()),
        }
    }

    /// Counts a failure of a client that exists.
    pub(crate) async fn count(
        &self,
        client_id: &str,
        source: &Source,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let seconds = WINDOW.as_secs();
        let begins = now.epoch_seconds() / seconds * seconds;
        let ends_at = Timestamp::from_epoch_seconds(begins).plus(WINDOW);
        let key = key(client_id, source);
        if self.store.count(&key, ends_at).await? >= FAILURES_MAX {
            let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
            over.retain(|_, ends_at| now < *ends_at);
            if over.len() < REMEMBERED_MAX {
                over.insert(key, ends_at);
            }
        }
        Ok(())
    }
}

fn key(client_id: &str, source: &Source) -> String {
    let mut context = Context::new(&SHA256);
    context.update(source.as_str().as_bytes());
    // No source contains it, so that no two pairs read the same.
    context.update(b"\n");
    context.update(client_id.as_bytes());
    URL_SAFE_NO_PAD.encode(context.finish())
}
