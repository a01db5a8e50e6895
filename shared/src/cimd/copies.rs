//! One fetch per URL in the whole fleet: who fetches, who waits, and who is told to try again (FET-16,
//! FET-18).
//!
//! A fetch runs under a lease in the cache item, which expires by itself if its holder dies, and within
//! budgets that all instances share: so many at a time per host, and in total. Whoever asks meanwhile waits
//! and takes what that fetch brings, even if its host forbids keeping it: the question was out when the
//! answer came (RFC 9111 §4, collapsed requests). After a failure the URL rests; that limits fetching and
//! is never an answer about the document (CAC-02).

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use crate::aws::{
    Absence, Aside, Budget, CopyKey, DocumentStore, Lease, Leasing, Shared, Slot, Slotting, StoreError,
    StoredBody, StoredFailure,
};
use crate::clock::{Clock, Timestamp};
use crate::fetch::{FailureKind, FetchError, FetchRequest, Fetched, Fetcher};
use crate::metrics::{self, Source};
use crate::random::{Random, RandomError};

/// Fetches at a time from one host, in the whole fleet: enough for a host with many clients, too few to
/// be used as a flood.
pub const HOST_FETCHES_MAX: usize = 4;

/// Fetches at a time in the whole fleet.
pub const FLEET_FETCHES_MAX: usize = 32;

/// Failed first contacts with one host per minute, after which no further unknown URL of it is tried in
/// that minute. URLs that have given a good copy before are not limited by this, whoever else fails.
pub const HOST_FAILURES_MAX: u32 = 20;

/// Who may stand in line in one process. A line that is longer than this is not going to be served in time.
pub const QUEUE_MAX: usize = 256;

/// How long a URL rests after a failure that may pass by itself.
pub const TRANSIENT_BACK_OFF: Duration = Duration::from_secs(10);

/// When to try again after there was no room for a fetch: the longest one is over by then.
const TURNED_AWAY_RETRY: Duration = Duration::from_secs(5);

/// For how long failures of one host are counted together, at most.
const FAILURES_WINDOW: Duration = Duration::from_secs(60);

/// How long a URL rests after a failure that somebody has to mend.
pub const DETERMINISTIC_BACK_OFF: Duration = Duration::from_secs(60);

/// A lease and a slot live as long as the wait for a slot and the fetch together, with time to store.
const LEASE: Duration = Duration::from_secs(20);

/// Hosts whose lines one process remembers.
const LINES_MAX: u64 = 1_000;

/// Between two looks at what another one's fetch has brought; each time up to twice as long.
const POLL_FIRST: Duration = Duration::from_millis(40);
const POLL_MAX: Duration = Duration::from_millis(400);

/// How long somebody waits for another one's fetch, or for their turn, before they are told to try again:
/// a person is in front of the page.
pub const WAIT_MAX: Duration = Duration::from_secs(8);

/// Why nothing was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTried {
    /// The last fetch failed moments ago.
    #[error("it rests after a failure")]
    Resting,
    /// There was no room for another fetch in time, or somebody else's took too long.
    #[error("there was no room for another fetch")]
    Crowded,
    /// So many unknown URLs of its host were tried in vain that no more are, this minute.
    #[error("too many unknown documents of this host were tried in vain")]
    TooManyFailures,
}

/// Why there is no copy. `E` says what was wrong with what came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCopy<E: std::error::Error + 'static> {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What came is not acceptable.
    #[error("{0}")]
    Refused(#[source] E),
    /// Nothing was tried. Says nothing about the copy.
    #[error("{why}: try again in {} s", .retry_after.as_secs())]
    Busy {
        /// Why not.
        why: NotTried,
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
    /// Our own store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The random source failed.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The fetch was torn down with the process.
    #[error("the fetch was interrupted")]
    Interrupted,
}

/// What is to be kept of an acceptable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<L> {
    /// For how long it may be used without asking again; zero where reuse is forbidden.
    pub lifetime: Duration,
    /// Whether the host forbids use after that, whatever the reason.
    pub stale_forbidden: bool,
    /// What to keep beside the copy; `None` leaves what is there.
    pub ledger: Option<L>,
    /// What to keep in place of the body as received.
    pub text: Option<String>,
    /// What to write besides.
    pub aside: Option<Aside>,
}

/// Which copy will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// One that is fresh.
    Fresh,
    /// One that was fetched at this instant or later, fresh or not: what there was before is not enough.
    Since(Timestamp),
}

impl Want {
    fn is_met_by(self, body: &StoredBody, now: Timestamp) -> bool {
        match self {
            Self::Fresh => now < body.fresh_until,
            Self::Since(instant) => body.fetched_at >= instant,
        }
    }
}

/// A copy that was found or fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<L> {
    /// The copy.
    pub body: StoredBody,
    /// What is kept beside it.
    pub ledger: Option<L>,
}

/// Fetches for the fleet. Cheap to clone.
#[derive(Clone)]
pub struct Copies {
    pub(super) clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    fetcher: Arc<dyn Fetcher>,
    pub(super) store: DocumentStore,
    wait: Duration,
    queue: Arc<Semaphore>,
    /// One process does not compete with itself for the slots of a host: its own line is first come, first
    /// served.
    lines: Cache<String, Arc<Semaphore>>,
}

impl std::fmt::Debug for Copies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copies").finish_non_exhaustive()
    }
}

impl Copies {
    /// Fetches with `fetcher` and shares what may be kept through `store`.
    pub fn new(
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        fetcher: Arc<dyn Fetcher>,
        store: DocumentStore,
    ) -> Self {
        let queue = Arc::new(Semaphore::new(QUEUE_MAX));
        let lines = Cache::builder().max_capacity(LINES_MAX).build();
        Self { clock, random, fetcher, store, wait: WAIT_MAX, queue, lines }
    }

    /// The same with another time budget for those who wait.
    #[must_use]
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// A copy of `request` that will do, from the shared cache or fetched. `judge` reads what was fetched,
    /// knowing what was there before; what it refuses is not kept (CAC-03).
    ///
    /// Call it only for a signed-in person or a client that proved a credential (FET-01).
    ///
    /// # Errors
    /// [`NoCopy`].
    pub async fn get<L, E, J>(
        &self,
        request: &FetchRequest,
        want: Want,
        judge: J,
    ) -> Result<Found<L>, NoCopy<E>>
    where
        L: Clone + Send + Sync + Serialize + for<'de> Deserialize<'de> + 'static,
        E: std::error::Error + Send + 'static,
        J: FnOnce(&Fetched, &Shared<L>) -> Result<Verdict<L>, E> + Send + 'static,
    {
        let mut source = Source::Shared;
        let found = self.look(request, want, judge, &mut source).await;
        metrics::found(request.kind.as_str(), if found.is_ok() { source } else { Source::Nowhere });
        found
    }

    async fn look<L, E, J>(
        &self,
        request: &FetchRequest,
        want: Want,
        judge: J,
        source: &mut Source,
    ) -> Result<Found<L>, NoCopy<E>>
    where
        L: Clone + Send + Sync + Serialize + for<'de> Deserialize<'de> + 'static,
        E: std::error::Error + Send + 'static,
        J: FnOnce(&Fetched, &Shared<L>) -> Result<Verdict<L>, E> + Send + 'static,
    {
        let key = CopyKey { kind: request.kind, url: request.url.as_str() };
        let mut seen: Shared<L> = self.store.read(key).await?;
        let mark = self.mark()?;
        let deadline = Instant::now() + self.wait;
        let mut pause = POLL_FIRST;
        // The fetch of somebody else that was under way when we asked.
        let mut awaited: Option<String> = None;
        loop {
            let now = self.clock.now();
            if let Some(body) = &seen.body
                && (want.is_met_by(body, now) || awaited.as_ref() == Some(&body.fetched_by))
            {
                return Ok(Found { body: body.clone(), ledger: seen.ledger });
            }
            if let Some(failure) = seen.backing_off(now) {
                let retry_after = failure.retry_at.since(now);
                return Err(NoCopy::Busy { why: NotTried::Resting, retry_after });
            }
            match seen.held(now) {
                Some(lease) => {
                    awaited = Some(lease.mark.clone());
                    if Instant::now() >= deadline {
                        return Err(crowded());
                    }
                    sleep(self.jittered(pause)).await;
                    pause = (pause * 2).min(POLL_MAX);
                    seen = self.store.read(key).await?;
                }
                None => {
                    let lease = Lease { mark: mark.clone(), until: now.plus(LEASE) };
                    let known = seen.body.as_ref().map(|body| body.fetched_by.as_str());
                    match self.store.lease(key, &lease, known, now).await? {
                        Leasing::Granted => break,
                        Leasing::Refused(found) => seen = *found,
                    }
                }
            }
        }
        *source = Source::Fetched;
        let flight = Flight { copies: self.clone(), request: request.clone(), seen, mark, deadline };
        // A task of its own: whoever closes the page must not leave the lease behind.
        tokio::spawn(flight.run(judge)).await.unwrap_or(Err(NoCopy::Interrupted))
    }

    fn mark(&self) -> Result<String, RandomError> {
        let bytes: [u8; 9] = self.random.bytes()?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Between half of `duration` and all of it, so that those who wait do not come back together.
    fn jittered(&self, duration: Duration) -> Duration {
        let [byte] = self.random.bytes().unwrap_or([u8::MAX]);
        duration / 2 + duration.mul_f64(f64::from(byte) / 512.0)
    }

    /// A place in this process's own line to `host`.
    async fn line(&self, host: &str, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        let _queued = self.queue.try_acquire().ok()?;
        let new_line = async { Arc::new(Semaphore::new(HOST_FETCHES_MAX)) };
        let line = self.lines.get_with_by_ref(host, new_line).await;
        tokio::time::timeout_at(deadline, line.acquire_owned()).await.ok()?.ok()
    }

    /// A slot of `budget`, if one is to be had in time.
    async fn slot<E: std::error::Error + 'static>(
        &self,
        budget: &Budget<'_>,
        mark: &str,
        deadline: Instant,
    ) -> Result<Slot, NoCopy<E>> {
        let mut pause = POLL_FIRST;
        loop {
            let now = self.clock.now();
            match self.store.take_slot(budget, mark, now.plus(LEASE), now).await? {
                Slotting::Granted(slot) => return Ok(slot),
                Slotting::TooManyFailures => {
                    let why = NotTried::TooManyFailures;
                    return Err(NoCopy::Busy { why, retry_after: FAILURES_WINDOW });
                }
                Slotting::Full if Instant::now() >= deadline => return Err(crowded()),
                Slotting::Full => sleep(self.jittered(pause)).await,
            }
            pause = (pause * 2).min(POLL_MAX);
        }
    }
}

fn crowded<E: std::error::Error + 'static>() -> NoCopy<E> {
    NoCopy::Busy { why: NotTried::Crowded, retry_after: TRANSIENT_BACK_OFF }
}

/// One fetch under a lease.
struct Flight<L> {
    copies: Copies,
    request: FetchRequest,
    seen: Shared<L>,
    mark: String,
    deadline: Instant,
}

impl<L> Flight<L>
where
    L: Clone + Send + Sync + Serialize + for<'de> Deserialize<'de> + 'static,
{
    async fn run<E, J>(self, judge: J) -> Result<Found<L>, NoCopy<E>>
    where
        E: std::error::Error + Send + 'static,
        J: FnOnce(&Fetched, &Shared<L>) -> Result<Verdict<L>, E> + Send + 'static,
    {
        let host = self.request.url.host_str().unwrap_or_default().to_owned();
        let line = self.copies.line(&host, self.deadline).await;
        let slots = match line {
            Some(_) => self.slots(&host).await,
            None => Err(crowded()),
        };
        let slots = match slots {
            Ok(slots) => slots,
            Err(reason) => {
                self.warn(self.copies.store.release(self.key(), &self.mark).await);
                return Err(reason);
            }
        };
        let began = Instant::now();
        let fetched = self.copies.fetcher.fetch(&self.request).await;
        let outcome = match &fetched {
            Ok(_) => "fetched",
            Err(FetchError::Busy) => "busy",
            Err(error) => error.kind().as_str(),
        };
        metrics::fetched(self.request.kind.as_str(), outcome, began.elapsed());
        let now = self.copies.clock.now();
        if fetched == Err(FetchError::Busy) {
            return Err(self.turned_away(&slots, now).await);
        }
        let judged = match &fetched {
            Ok(fetched) => judge(fetched, &self.seen).map_err(NoCopy::Refused),
            Err(error) => Err(NoCopy::Fetch(*error)),
        };
        let failed = judged.is_err();
        let store = &self.copies.store;
        let (result, host_slot, fleet_slot) = tokio::join!(
            self.settle(fetched.ok(), judged, now),
            store.give_back(&slots.0, failed && self.seen.body.is_none(), now),
            store.give_back(&slots.1, false, now),
        );
        self.warn(host_slot);
        self.warn(fleet_slot);
        drop(line);
        result
    }

    /// Nobody out there was asked, so the host is not to blame and the URL need not rest.
    async fn turned_away<E: std::error::Error + 'static>(
        &self,
        slots: &(Slot, Slot),
        now: Timestamp,
    ) -> NoCopy<E> {
        let store = &self.copies.store;
        let (lease, host_slot, fleet_slot) = tokio::join!(
            store.release(self.key(), &self.mark),
            store.give_back(&slots.0, false, now),
            store.give_back(&slots.1, false, now),
        );
        self.warn(lease);
        self.warn(host_slot);
        self.warn(fleet_slot);
        NoCopy::Busy { why: NotTried::Crowded, retry_after: TURNED_AWAY_RETRY }
    }

    fn key(&self) -> CopyKey<'_> {
        CopyKey { kind: self.request.kind, url: self.request.url.as_str() }
    }

    /// A slot of the host and one of the fleet.
    async fn slots<E: std::error::Error + 'static>(&self, host: &str) -> Result<(Slot, Slot), NoCopy<E>> {
        let name = format!("host.{host}");
        let first_contact = self.seen.body.is_none();
        let host = Budget {
            name: &name,
            slots: HOST_FETCHES_MAX,
            failures_max: first_contact.then_some(HOST_FAILURES_MAX),
        };
        let fleet = Budget { name: "fleet", slots: FLEET_FETCHES_MAX, failures_max: None };
        let host = self.copies.slot(&host, &self.mark, self.deadline).await?;
        match self.copies.slot(&fleet, &self.mark, self.deadline).await {
            Ok(fleet) => Ok((host, fleet)),
            Err(reason) => {
                self.warn(self.copies.store.give_back(&host, false, self.copies.clock.now()).await);
                Err(reason)
            }
        }
    }

    /// Stores what the fetch came to, which also gives the lease back.
    async fn settle<E: std::error::Error + 'static>(
        &self,
        fetched: Option<Fetched>,
        judged: Result<Verdict<L>, NoCopy<E>>,
        now: Timestamp,
    ) -> Result<Found<L>, NoCopy<E>> {
        let reason = match (fetched, judged) {
            (Some(fetched), Ok(verdict)) => {
                let body = StoredBody {
                    text: verdict.text.unwrap_or_else(|| String::from_utf8_lossy(&fetched.body).into_owned()),
                    fetched_at: fetched.received_at,
                    fresh_until: fetched.received_at.plus(verdict.lifetime),
                    stale_forbidden: verdict.stale_forbidden,
                    fetched_by: self.mark.clone(),
                };
                if let Some(aside) = &verdict.aside {
                    self.warn(self.copies.store.put_aside(aside).await);
                }
                let ledger = verdict.ledger.or_else(|| self.seen.ledger.clone());
                // The flow goes on with what was fetched even if it cannot be shared (FM007).
                let kept =
                    self.copies.store.keep(self.key(), &body, ledger.as_ref(), self.seen.revision).await;
                self.warn(kept);
                return Ok(Found { body, ledger });
            }
            (_, Err(reason)) => reason,
            (None, Ok(_)) => NoCopy::Interrupted,
        };
        let kind = match &reason {
            NoCopy::Fetch(error) => error.kind(),
            NoCopy::Refused(_) => FailureKind::Deterministic,
            NoCopy::Busy { .. } | NoCopy::Store(_) | NoCopy::Random(_) | NoCopy::Interrupted => {
                FailureKind::Transient
            }
        };
        let back_off = match kind {
            FailureKind::Transient => TRANSIENT_BACK_OFF,
            FailureKind::Deterministic | FailureKind::Gone => DETERMINISTIC_BACK_OFF,
        };
        let failure = StoredFailure {
            kind,
            reason: reason.to_string(),
            at: now,
            retry_at: now.plus(back_off),
            fetched_by: self.mark.clone(),
        };
        let absence = (kind == FailureKind::Gone).then(|| {
            let earlier = self.seen.absence;
            Absence {
                sightings: earlier.map_or(0, |earlier| earlier.sightings).saturating_add(1),
                since: earlier.map_or(now, |earlier| earlier.since),
                last: now,
            }
        });
        self.warn(self.copies.store.fail(self.key(), &failure, absence.as_ref()).await);
        Err(reason)
    }

    /// What could not be written expires by itself; the flow goes on.
    fn warn<T>(&self, result: Result<T, impl Display>) {
        if let Err(error) = result {
            tracing::warn!(url = self.request.url.as_str(), reason = %error, "not shared");
        }
    }
}
