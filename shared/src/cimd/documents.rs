//! Metadata documents by their URL: from memory, from the cache that all instances share, or fetched.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::copies::{Copies, Found, NoCopy, NotTried, Verdict, Want};
use super::document::{DocumentDigest, DocumentError, DocumentRules, MetadataDocument};
use super::freshness::{Freshness, FreshnessRules, Lifetime};
use super::ledger::{Ledger, Standing, Succession};
use crate::aws::{Absence, Aside, CopyKey, Shared, StoreError, StoredBody};
use crate::client::id::MetadataUrl;
use crate::clock::Timestamp;
use crate::fetch::{FailureKind, FetchError, FetchKind, FetchRequest, Fetched};
use crate::metrics::{self, Source};
use crate::policy::Policy;
use crate::random::RandomError;

/// Documents that one process keeps in memory; the least used ones make room (CAC-19).
const MEMORY_DOCUMENTS_MAX: u64 = 1_000;

/// For how long a process works with its copy before it looks at the shared one again: the bound on how
/// late it sees that a version is held, pinned, or approved.
pub const MEMORY_STALENESS: Duration = Duration::from_secs(60);

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDocument {
    /// It could not be fetched.
    #[error("the metadata document could not be fetched: {0}")]
    Fetch(#[from] FetchError),
    /// It is not acceptable.
    #[error("the metadata document is not acceptable: {0}")]
    Document(#[from] DocumentError),
    /// Nothing was tried: the last fetch failed moments ago, or its host has enough of our fetches. Says
    /// nothing about the document.
    #[error("the metadata document was not fetched: {why}, try again in {} s", .retry_after.as_secs())]
    Busy {
        /// Why not.
        why: NotTried,
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
    /// Its latest version waits for an administrator (CAC-17).
    #[error("a changed version of the metadata document waits for an administrator")]
    Held,
    /// Its host has said for long enough that there is none any more.
    #[error("the metadata document was withdrawn by its host")]
    Withdrawn,
    /// Our own store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The random source failed.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl From<NoCopy<DocumentError>> for NoDocument {
    fn from(reason: NoCopy<DocumentError>) -> Self {
        match reason {
            NoCopy::Fetch(error) => Self::Fetch(error),
            NoCopy::Refused(error) => Self::Document(error),
            NoCopy::Busy { why, retry_after } => Self::Busy { why, retry_after },
            NoCopy::Store(error) => Self::Store(error),
            NoCopy::Random(error) => Self::Random(error),
            NoCopy::Interrupted => Self::Fetch(FetchError::Interrupted),
        }
    }
}

/// A document in force.
#[derive(Debug)]
pub struct Known {
    /// What it says.
    pub document: MetadataDocument,
    /// Its bytes, so that a decision can be made on what was shown.
    pub body: String,
    /// The version whose arrival last required asking people again. Consent on it or on a later version is
    /// still good: compare with this, not with the document's own digest (CAC-17).
    pub consent_since: DocumentDigest,
    /// Since when this version is in force.
    pub in_force_since: Timestamp,
    /// This version's arrival revokes the tool's grants, and nobody has reported that done: raise the
    /// tool's epoch, then call [`Documents::revoked`].
    pub revocation_due: Option<DocumentDigest>,
    fresh_until: Timestamp,
    look_again_at: Timestamp,
}

/// Why a look-up gave nothing that may be kept; shared by all who waited for it.
#[derive(Clone, Debug)]
enum Unkept {
    None(NoDocument),
    /// Valid, but its host forbids keeping it (CAC-08).
    ThisFlowOnly(Arc<Known>),
}

impl<E: Into<NoDocument>> From<E> for Unkept {
    fn from(reason: E) -> Self {
        Self::None(reason.into())
    }
}

/// Finds metadata documents.
#[derive(Clone, Debug)]
pub struct Documents {
    pub(super) copies: Copies,
    memory: Cache<String, Arc<Known>>,
}

impl Documents {
    /// Fetches through `copies`.
    pub fn new(copies: Copies) -> Self {
        Self { copies, memory: Cache::builder().max_capacity(MEMORY_DOCUMENTS_MAX).build() }
    }

    /// What it fetches through.
    pub fn copies(&self) -> &Copies {
        &self.copies
    }

    /// The document of `url`. With `shown`, the document that a person has just been asked about, nothing
    /// is fetched: it serves if no fresher one is known.
    ///
    /// Call it only once a person is signed in (FET-01).
    ///
    /// # Errors
    /// [`NoDocument`]; nothing is remembered of it (CAC-02, CAC-03) but when to try again.
    pub async fn find(
        &self,
        url: &MetadataUrl,
        policy: &Policy,
        shown: Option<&str>,
    ) -> Result<Arc<Known>, NoDocument> {
        let key = url.as_str();
        let now = self.copies.clock.now();
        if let Some(known) = self.memory.get(key).await {
            if now < known.fresh_until && now < known.look_again_at {
                metrics::found(FetchKind::Document.as_str(), Source::Memory);
                return Ok(known);
            }
            self.memory.invalidate(key).await;
        }
        if let Some(text) = shown {
            return self.stored_or_shown(url, policy, text).await;
        }
        // Everybody who asks for the same document at once waits for one look-up.
        let found = self.memory.try_get_with_by_ref(key, self.look_up(url, policy)).await;
        found.or_else(|unkept| match &*unkept {
            Unkept::None(reason) => Err(reason.clone()),
            Unkept::ThisFlowOnly(known) => Ok(Arc::clone(known)),
        })
    }

    /// The last good document of `url`, after [`Documents::find`] gave `reason`; `None` where the rules
    /// forbid it: only after a failure that may pass by itself, only up to the configured age, never after
    /// 404, 410, or an invalid document, and never against the host's will (CAC-13, FM065, FM066).
    ///
    /// Call it only for a tool that somebody here has consented to: it is no first contact.
    ///
    /// # Errors
    /// [`NoDocument`] if our own store fails or the document is no longer acceptable.
    pub async fn last_good(
        &self,
        url: &MetadataUrl,
        policy: &Policy,
        reason: &NoDocument,
    ) -> Result<Option<Arc<Known>>, NoDocument> {
        match reason {
            NoDocument::Fetch(error) if error.kind() == FailureKind::Transient => {}
            NoDocument::Busy { .. } => {}
            NoDocument::Fetch(_)
            | NoDocument::Document(_)
            | NoDocument::Held
            | NoDocument::Withdrawn
            | NoDocument::Store(_)
            | NoDocument::Random(_) => return Ok(None),
        }
        let shared: Shared<Ledger> = self.copies.store.read(key(url)).await?;
        let now = self.copies.clock.now();
        let most = Duration::from_secs(policy.documents.last_good_seconds);
        let passing = shared.failure.as_ref().is_none_or(|failure| failure.kind == FailureKind::Transient);
        let Some(body) = shared.body.filter(|body| {
            passing && shared.absence.is_none() && !body.stale_forbidden && now.since(body.fetched_at) < most
        }) else {
            return Ok(None);
        };
        tracing::warn!(client_id = url.as_str(), %reason, "last good metadata document used");
        self.known(url, policy, body, shared.ledger).map(|known| Some(Arc::new(known)))
    }

    /// The document of `url` as it was last seen, however long ago, without fetching: for what an existing
    /// grant needs to know about its client. `None` if it never was.
    ///
    /// # Errors
    /// [`NoDocument`] if our own store fails or the document is no longer acceptable.
    pub async fn known_without_fetch(
        &self,
        url: &MetadataUrl,
        policy: &Policy,
    ) -> Result<Option<Arc<Known>>, NoDocument> {
        if let Some(known) = self.memory.get(url.as_str()).await
            && self.copies.clock.now() < known.look_again_at
        {
            return Ok(Some(known));
        }
        let shared: Shared<Ledger> = self.copies.store.read(key(url)).await?;
        let Some(body) = shared.body else { return Ok(None) };
        // What is held back does not touch grants: they go on as they were.
        let ledger = shared.ledger.map(|mut ledger| {
            if ledger.standing == Standing::Held {
                ledger.standing = Standing::Pinned;
            }
            ledger
        });
        self.known(url, policy, body, ledger).map(|known| Some(Arc::new(known)))
    }

    /// Forgets what this process keeps of `url` in memory: an administrator has just decided about it.
    pub async fn look_again(&self, url: &MetadataUrl) {
        self.memory.invalidate(url.as_str()).await;
    }

    async fn stored_or_shown(
        &self,
        url: &MetadataUrl,
        policy: &Policy,
        text: &str,
    ) -> Result<Arc<Known>, NoDocument> {
        let shared: Shared<Ledger> = self.copies.store.read(key(url)).await?;
        let now = self.copies.clock.now();
        let standing = shared.ledger.as_ref().map_or(Standing::Current, |ledger| ledger.standing);
        match shared.body {
            Some(body) if now < body.fresh_until || standing != Standing::Current => {
                Ok(Arc::new(self.known(url, policy, body, shared.ledger)?))
            }
            _ => {
                let document = MetadataDocument::parse(url, text.as_bytes(), &document_rules(policy))?;
                let ledger = shared.ledger.filter(|ledger| ledger.in_force == document.digest);
                let ledger = ledger.unwrap_or_else(|| Ledger::first(&document, now));
                Ok(Arc::new(Known {
                    document,
                    body: text.to_owned(),
                    consent_since: ledger.consent_since,
                    in_force_since: ledger.in_force_since,
                    revocation_due: ledger.revocation_due,
                    fresh_until: now,
                    look_again_at: now,
                }))
            }
        }
    }

    async fn look_up(&self, url: &MetadataUrl, policy: &Policy) -> Result<Arc<Known>, Unkept> {
        let request = FetchRequest { url: url.url().clone(), kind: FetchKind::Document };
        let found = match self.copies.get(&request, Want::Fresh, judge(url, policy)).await {
            Ok(found) => found,
            Err(reason) => return self.without_copy(url, policy, reason.into()).await,
        };
        let Found { body, ledger } = found;
        let reusable = self.copies.clock.now() < body.fresh_until;
        let known = Arc::new(self.known(url, policy, body, ledger)?);
        if reusable { Ok(known) } else { Err(Unkept::ThisFlowOnly(known)) }
    }

    /// What the administrator's pin or the host's repeated 404 makes of a failure.
    async fn without_copy(
        &self,
        url: &MetadataUrl,
        policy: &Policy,
        reason: NoDocument,
    ) -> Result<Arc<Known>, Unkept> {
        match reason {
            NoDocument::Store(_) | NoDocument::Random(_) | NoDocument::Held | NoDocument::Withdrawn => {
                return Err(reason.into());
            }
            NoDocument::Fetch(_) | NoDocument::Document(_) | NoDocument::Busy { .. } => {}
        }
        let shared: Shared<Ledger> = self.copies.store.read(key(url)).await?;
        if shared.absence.is_some_and(|absence| is_withdrawn(&absence, policy)) {
            return Err(NoDocument::Withdrawn.into());
        }
        let pinned = shared.ledger.as_ref().is_some_and(|ledger| ledger.standing == Standing::Pinned);
        match shared.body {
            // A pin covers an outage and a broken document, never a withdrawal.
            Some(body) if pinned && shared.absence.is_none() => {
                Err(Unkept::ThisFlowOnly(Arc::new(self.known(url, policy, body, shared.ledger)?)))
            }
            _ => Err(reason.into()),
        }
    }

    /// The document in force, of what is stored.
    fn known(
        &self,
        url: &MetadataUrl,
        policy: &Policy,
        body: StoredBody,
        ledger: Option<Ledger>,
    ) -> Result<Known, NoDocument> {
        let now = self.copies.clock.now();
        let text = match ledger.as_ref().map(|ledger| (ledger.standing, &ledger.in_force_text)) {
            Some((Standing::Held, _)) => return Err(NoDocument::Held),
            Some((Standing::Pinned, Some(text))) => text.clone(),
            Some((Standing::Pinned | Standing::Current, _)) | None => body.text,
        };
        let document = MetadataDocument::parse(url, text.as_bytes(), &document_rules(policy))?;
        let ledger = ledger.unwrap_or_else(|| Ledger::first(&document, body.fetched_at));
        Ok(Known {
            document,
            body: text,
            consent_since: ledger.consent_since,
            in_force_since: ledger.in_force_since,
            revocation_due: ledger.revocation_due,
            fresh_until: body.fresh_until,
            look_again_at: now.plus(MEMORY_STALENESS),
        })
    }
}

/// Whether a host has said often and long enough that there is nothing any more.
pub(super) fn is_withdrawn(absence: &Absence, policy: &Policy) -> bool {
    absence.sightings >= policy.documents.withdrawal_sightings
        && absence.last.since(absence.since) >= Duration::from_secs(policy.documents.withdrawal_seconds)
}

pub(super) fn key(url: &MetadataUrl) -> CopyKey<'_> {
    CopyKey { kind: FetchKind::Document, url: url.as_str() }
}

/// Reads what was fetched from `url`, and decides what follows from how it differs from what was there.
pub(super) fn judge(
    url: &MetadataUrl,
    policy: &Policy,
) -> impl FnOnce(&Fetched, &Shared<Ledger>) -> Result<Verdict<Ledger>, DocumentError> + Send + use<> {
    let url = url.clone();
    let rules = document_rules(policy);
    let bounds = freshness_rules(policy);
    let changes = policy.documents.changes.clone();
    move |fetched, seen| {
        let document = MetadataDocument::parse(&url, &fetched.body, &rules)?;
        let now = fetched.received_at;
        let succession = match (&seen.ledger, &seen.body) {
            (Some(ledger), Some(body)) => {
                ledger.followed_by(&url, &document, &body.text, &rules, &changes, now)
            }
            _ => Succession { ledger: Ledger::first(&document, now), is_new: true },
        };
        let freshness = Freshness::of(fetched, &bounds);
        let lifetime = match freshness.lifetime {
            Lifetime::Reusable(lifetime) => lifetime,
            Lifetime::OnlyThisFlow => Duration::ZERO,
        };
        let aside = succession.is_new.then(|| version(&url, &succession.ledger, fetched, seen)).flatten();
        let Freshness { stale_forbidden, .. } = freshness;
        Ok(Verdict { lifetime, stale_forbidden, ledger: Some(succession.ledger), text: None, aside })
    }
}

fn version(url: &MetadataUrl, ledger: &Ledger, fetched: &Fetched, seen: &Shared<Ledger>) -> Option<Aside> {
    let before = seen.body.as_ref().map(|body| body.fetched_at);
    super::history::aside(url, &ledger.latest, &fetched.body, before)
}

pub(super) fn document_rules(policy: &Policy) -> DocumentRules {
    DocumentRules { client_name_required: policy.documents.require_client_name, private_use_schemes: false }
}

fn freshness_rules(policy: &Policy) -> FreshnessRules {
    FreshnessRules {
        floor: Duration::from_secs(policy.cache.floor_seconds),
        default: Duration::from_secs(policy.cache.default_seconds),
        ceiling: Duration::from_secs(policy.cache.ceiling_seconds),
    }
}
