//! The versions of a document, and what an administrator can do about them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::change::{Change, changes};
use super::copies::Want;
use super::document::{DocumentDigest, MetadataDocument};
use super::documents::{Documents, NoDocument, document_rules, is_withdrawn, judge, key};
use super::ledger::{Ledger, Standing, Version};
use crate::aws::{Absence, Aside, Shared, StoreError, StoredFailure, Write};
use crate::client::id::MetadataUrl;
use crate::clock::Timestamp;
use crate::fetch::{FetchKind, FetchRequest};
use crate::policy::Policy;
use crate::policy::change::{ChangeKind, Grade};

/// Versions kept of one document. Older ones give way, so that a document which differs at every fetch
/// fills no table.
pub const VERSIONS_MAX: u32 = 16;

/// For how long a version is kept after it was first seen: longer than any grant that was made on it.
const KEEP_VERSION: Duration = Duration::from_secs(400 * 86_400);

/// How often a change that met another one is tried again.
const TRIES_MAX: usize = 4;

/// A version as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: Version,
    /// When the version that was fetched before this one was fetched last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before_last_seen: Option<Timestamp>,
}

/// A version of a document, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenVersion {
    /// What is known of it.
    pub version: Version,
    /// When it was fetched last.
    pub last_seen: Timestamp,
    /// Its bytes.
    pub text: String,
}

/// All that is known about the document of one URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Which version is in force, and why.
    pub ledger: Ledger,
    /// Counts what administrators decided about the document.
    pub revision: u32,
    /// When the document was last fetched.
    pub fetched_at: Timestamp,
    /// Until when that copy may be reused.
    pub fresh_until: Timestamp,
    /// Why the latest fetch failed, if it did.
    pub failure: Option<StoredFailure>,
    /// How often and since when its host says that there is none.
    pub absence: Option<Absence>,
    /// Whether that is often and long enough to count as withdrawn.
    pub withdrawn: bool,
    /// The versions that are kept, newest first.
    pub versions: Vec<SeenVersion>,
}

/// What an administrator's decision about a version comes to.
#[derive(Clone, Debug)]
pub enum Decision {
    /// To be committed with its record; it is in force everywhere within
    /// [`super::documents::MEMORY_STALENESS`] after that, and here once [`Documents::look_again`] was called.
    Change {
        /// The one write that decides. It fails if somebody fetched or decided meanwhile.
        write: Box<Write>,
        /// Whether people are asked again.
        asks_again: bool,
    },
    /// It is so already.
    Already,
    /// There is no document of that URL.
    NoDocument,
    /// That version is not the latest one (approving), or not kept (pinning): look again.
    OtherVersion,
}

/// A difference between two versions, with what it means by the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GradedChange {
    /// What differs.
    pub change: Change,
    /// How much it matters.
    pub grade: Grade,
}

impl Documents {
    /// All that is known about the document of `url`; `None` if it was never fetched.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is not understood.
    pub async fn history(&self, url: &MetadataUrl, policy: &Policy) -> Result<Option<History>, StoreError> {
        let shared: Shared<Ledger> = self.copies.store.read(key(url)).await?;
        let (Some(body), Some(ledger)) = (shared.body, shared.ledger) else { return Ok(None) };
        let mut versions = Vec::new();
        let mut last_seen = body.fetched_at;
        let kept = self.kept_versions(url, ledger.versions).await?;
        if kept.first().is_none_or(|(newest, _)| newest.version != ledger.latest) {
            // It could not be written, or has outlived its item; the copy itself has it all the same.
            versions.push(SeenVersion { version: ledger.latest.clone(), last_seen, text: body.text.clone() });
        }
        for (kept, text) in kept {
            versions.push(SeenVersion { version: kept.version, last_seen, text });
            last_seen = kept.before_last_seen.unwrap_or(last_seen);
        }
        Ok(Some(History {
            withdrawn: shared.absence.is_some_and(|absence| is_withdrawn(&absence, policy)),
            ledger,
            revision: shared.revision,
            fetched_at: body.fetched_at,
            fresh_until: body.fresh_until,
            failure: shared.failure,
            absence: shared.absence,
            versions,
        }))
    }

    /// An administrator lets the latest version take force, if it is still `digest`, whether it was held or
    /// passed over by a pin. People are asked again.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is not understood.
    pub async fn approve(&self, url: &MetadataUrl, digest: &DocumentDigest) -> Result<Decision, StoreError> {
        let shared: Shared<Ledger> = self.copies.store.read(key(url)).await?;
        let (Some(body), Some(ledger)) = (&shared.body, &shared.ledger) else {
            return Ok(Decision::NoDocument);
        };
        match ledger.approved(digest, self.copies.clock.now()) {
            Some(next) => self.decide(url, ledger, &next, &body.fetched_by, shared.revision),
            None => Ok(Decision::OtherVersion),
        }
    }

    /// An administrator puts the version `digest` in force, whatever is published from now on; approving
    /// the latest version ends it. A withdrawal is not covered.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is not understood.
    pub async fn pin(&self, url: &MetadataUrl, digest: &DocumentDigest) -> Result<Decision, StoreError> {
        let shared: Shared<Ledger> = self.copies.store.read(key(url)).await?;
        let (Some(body), Some(ledger)) = (shared.body, shared.ledger) else {
            return Ok(Decision::NoDocument);
        };
        let text = if ledger.latest.digest == *digest {
            Some(body.text)
        } else if ledger.in_force == *digest {
            ledger.in_force_text.clone()
        } else {
            let kept = self.kept_versions(url, ledger.versions).await?;
            kept.into_iter().find(|(kept, _)| kept.version.digest == *digest).map(|(_, text)| text)
        };
        let Some(text) = text else { return Ok(Decision::OtherVersion) };
        let next = ledger.pinned(digest.clone(), text, self.copies.clock.now());
        self.decide(url, &ledger, &next, &body.fetched_by, shared.revision)
    }

    fn decide(
        &self,
        url: &MetadataUrl,
        before: &Ledger,
        after: &Ledger,
        fetched_by: &str,
        revision: u32,
    ) -> Result<Decision, StoreError> {
        if after == before {
            return Ok(Decision::Already);
        }
        let write = Box::new(self.copies.store.amending(key(url), after, fetched_by, revision)?);
        Ok(Decision::Change { write, asks_again: after.consent_since != before.consent_since })
    }

    /// Whether the revocation that `digest` made due has still to be done.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is not understood.
    pub async fn is_revocation_due(
        &self,
        url: &MetadataUrl,
        digest: &DocumentDigest,
    ) -> Result<bool, StoreError> {
        let shared: Shared<Ledger> = self.copies.store.read(key(url)).await?;
        Ok(shared.ledger.is_some_and(|ledger| ledger.revocation_due.as_ref() == Some(digest)))
    }

    /// The revocation that `digest` made due is done; `Ok(false)` if it was not due, or others changed the
    /// document again and again meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]; it is then reported as due once more, which ends nothing that was granted since only
    /// if the caller revokes by the tool's epoch as it was when the version arrived.
    pub async fn revoked(&self, url: &MetadataUrl, digest: &DocumentDigest) -> Result<bool, StoreError> {
        for _ in 0..TRIES_MAX {
            let shared: Shared<Ledger> = self.copies.store.read(key(url)).await?;
            let (Some(body), Some(ledger)) = (shared.body, shared.ledger) else { return Ok(false) };
            if ledger.revocation_due.as_ref() != Some(digest) {
                return Ok(false);
            }
            let next = Ledger { revocation_due: None, ..ledger };
            if self.copies.store.amend(key(url), &next, &body.fetched_by, shared.revision).await? {
                self.look_again(url).await;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What differs between two versions of the document of `url`, each difference with its grade. Bytes
    /// that today's rules do not accept cannot be compared, which is a difference of its own.
    pub fn compare(
        &self,
        url: &MetadataUrl,
        policy: &Policy,
        before: &str,
        after: &str,
    ) -> Vec<GradedChange> {
        let rules = document_rules(policy);
        let read = |text: &str| MetadataDocument::parse(url, text.as_bytes(), &rules);
        let found = match (read(before), read(after)) {
            (Ok(before), Ok(after)) => changes(&before.metadata, &after.metadata),
            _ => vec![Change::new(ChangeKind::Incomparable, None, None)],
        };
        let grade = |change: Change| {
            let grade = policy.documents.changes.grade(change.kind);
            GradedChange { change, grade }
        };
        found.into_iter().map(grade).collect()
    }

    /// Fetches the document of `url` now, whatever is known of it: an administrator asks. A URL that rests
    /// after a failure goes on resting.
    ///
    /// # Errors
    /// [`NoDocument`]; what was known before stays (CAC-15).
    pub async fn refresh(&self, url: &MetadataUrl, policy: &Policy) -> Result<(), NoDocument> {
        let request = FetchRequest { url: url.url().clone(), kind: FetchKind::Document };
        let want = Want::Since(self.copies.clock.now());
        let found = self.copies.get(&request, want, judge(url, policy)).await;
        self.look_again(url).await;
        found.map(drop).map_err(NoDocument::from)
    }

    /// One page of all documents that were ever fetched, and where the next page begins; with `standing`,
    /// of those that stand so. Pages may be shorter than `limit`, even empty.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read or are not understood.
    pub async fn page(
        &self,
        standing: Option<Standing>,
        after: Option<&str>,
        limit: i32,
    ) -> Result<(Vec<Summary>, Option<String>), StoreError> {
        let (found, next) =
            self.copies.store.page::<Ledger>(standing.map(Standing::as_str), after, limit).await?;
        let summaries = found.into_iter().filter_map(|(client_id, shared)| {
            let (body, ledger) = (shared.body?, shared.ledger?);
            let failure = shared.failure;
            Some(Summary { client_id, ledger, fetched_at: body.fetched_at, failure })
        });
        Ok((summaries.collect(), next))
    }

    /// The versions that are kept, newest first.
    async fn kept_versions(&self, url: &MetadataUrl, newest: u32) -> Result<Vec<(Kept, String)>, StoreError> {
        let oldest = newest.saturating_sub(VERSIONS_MAX - 1).max(1);
        let ids: Vec<String> = (oldest..=newest).map(|number| id(url, number)).collect();
        let mut kept = Vec::new();
        for aside in self.copies.store.asides(&ids).await? {
            let details: Kept = serde_json::from_str(&aside.details)
                .map_err(|error| StoreError::corrupt(crate::aws::table::DOCUMENTS, error))?;
            kept.push((details, aside.text));
        }
        kept.sort_by_key(|(kept, _)| std::cmp::Reverse(kept.version.number));
        Ok(kept)
    }

    /// Renews those of `candidates`, the documents of tools in use, that expire soon, so that nobody has
    /// to wait for them; at most `limit` of them, one after another. Each is due at its own point in the
    /// last third of its lifetime, so that documents which were fetched together are not renewed together
    /// (FM073). Hosts that failed moments ago are left alone.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; what was renewed so far stays.
    pub async fn refresh_due(
        &self,
        candidates: &[MetadataUrl],
        policy: &Policy,
        limit: usize,
    ) -> Result<Vec<Refreshed>, StoreError> {
        let mut refreshed = Vec::new();
        for url in candidates {
            if refreshed.len() >= limit {
                break;
            }
            let shared: Shared<Ledger> = self.copies.store.read(key(url)).await?;
            let now = self.copies.clock.now();
            let Some(body) = shared.body.as_ref() else { continue };
            let due_at = due_at(url, body.fetched_at, body.fresh_until);
            if now < due_at || shared.backing_off(now).is_some() || shared.held(now).is_some() {
                continue;
            }
            let outcome = match self.refresh(url, policy).await {
                Err(NoDocument::Store(error)) => return Err(error),
                outcome => outcome,
            };
            refreshed.push(Refreshed { client_id: url.as_str().to_owned(), outcome });
        }
        Ok(refreshed)
    }
}

/// One document, in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its URL.
    pub client_id: String,
    /// Which version is in force, and why.
    pub ledger: Ledger,
    /// When it was last fetched.
    pub fetched_at: Timestamp,
    /// Why the latest fetch failed, if it did.
    pub failure: Option<StoredFailure>,
}

/// One renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// Whose document.
    pub client_id: String,
    /// What came of it.
    pub outcome: Result<(), NoDocument>,
}

/// The point in the last third of its lifetime at which `url` is renewed, by its own spelling. A copy that
/// must not be reused is never due: nobody asked for it.
fn due_at(url: &MetadataUrl, fetched_at: Timestamp, fresh_until: Timestamp) -> Timestamp {
    let lifetime = fresh_until.since(fetched_at);
    if lifetime.is_zero() {
        return Timestamp::from_epoch_seconds(u64::MAX);
    }
    let share = url.as_str().bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    // Never in the last tenth, so that whoever runs this now and then is in time.
    let early = lifetime.mul_f64(0.1 + f64::from(share % 256) / 256.0 * 0.23);
    fresh_until.minus(early)
}

/// The item of a version; version numbers share [`VERSIONS_MAX`] places.
fn id(url: &MetadataUrl, number: u32) -> String {
    format!("{}.v{}", key(url).id(), number % VERSIONS_MAX)
}

/// What is written when `version`, which reads `text`, is first seen.
pub(super) fn aside(
    url: &MetadataUrl,
    version: &Version,
    text: &[u8],
    before_last_seen: Option<Timestamp>,
) -> Option<Aside> {
    let kept = Kept { version: version.clone(), before_last_seen };
    Some(Aside {
        id: id(url, version.number),
        text: String::from_utf8_lossy(text).into_owned(),
        details: serde_json::to_string(&kept).ok()?,
        expires_at: version.first_seen.plus(KEEP_VERSION),
    })
}

impl History {
    /// Whether new authorizations wait for an administrator.
    pub fn is_held(&self) -> bool {
        self.ledger.standing == Standing::Held
    }
}
