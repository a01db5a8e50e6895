//! What was fetched from strangers, in DynamoDB, shared by all instances: one item per URL with the last
//! good copy, the lease of whoever fetches now, and the back-off after a failure.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::dynamodb::Reading;
use super::item::{Attributes, condition_failure, number, text, written};
use super::table::DOCUMENTS;
use super::{DynamoDb, StoreError};
use crate::clock::Timestamp;
use crate::fetch::{FailureKind, FetchKind};

const ITEM_VERSION: u32 = 2;

/// For how long a copy is kept after its last fetch: as long as the longest grant, so that the version a
/// person was asked about can be looked up for as long as the answer counts.
const KEEP_COPY: Duration = Duration::from_secs(90 * 86_400);

/// For how long an item without a copy is kept: it limits fetching and counts sightings of a withdrawal.
const KEEP_FAILURE: Duration = Duration::from_secs(3 * 86_400);

/// Which copy: what was fetched, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CopyKey<'a> {
    /// What is expected at the URL.
    pub kind: FetchKind,
    /// The URL, exactly.
    pub url: &'a str,
}

impl CopyKey<'_> {
    /// The partition key. The kind is part of it: a URL that serves as document and as key set has two copies.
    pub fn id(self) -> String {
        let digest = URL_SAFE_NO_PAD.encode(digest(&SHA256, self.url.as_bytes()));
        match self.kind {
            FetchKind::Document => digest,
            FetchKind::Keys => format!("keys.{digest}"),
            FetchKind::Logo => format!("logo.{digest}"),
        }
    }
}

/// A copy that passed every check when it was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredBody {
    /// The body as received. It is parsed again on every read, so that rules which were tightened since
    /// apply at once and nothing invalid can be served from here (CAC-03).
    pub text: String,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// Until when it may be used without asking again; `fetched_at` where reuse is forbidden.
    pub fresh_until: Timestamp,
    /// Whether the host forbids use after that, whatever the reason (CAC-13).
    pub stale_forbidden: bool,
    /// The mark of the fetch that brought it.
    pub fetched_by: String,
}

/// Why the last fetch gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredFailure {
    /// What it says about the next attempt.
    pub kind: FailureKind,
    /// The reason in words, for administrators.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// No fetch before this instant.
    pub retry_at: Timestamp,
    /// The mark of the fetch that failed.
    pub fetched_by: String,
}

/// How often, since when, and until when the host said that there is nothing (any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absence {
    /// Sightings in a row.
    pub sightings: u32,
    /// The first of them.
    pub since: Timestamp,
    /// The latest of them.
    pub last: Timestamp,
}

/// Who fetches right now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// The mark of the fetch.
    pub mark: String,
    /// From then on it counts for nothing: its holder died.
    pub until: Timestamp,
}

/// Everything shared about one URL. `L` is what its reader keeps beside the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared<L> {
    /// The last good copy, whether fresh or not.
    pub body: Option<StoredBody>,
    /// The failure of the latest fetch, if it failed.
    pub failure: Option<StoredFailure>,
    /// The answers 404 and 410 in a row.
    pub absence: Option<Absence>,
    /// Who fetches right now.
    pub lease: Option<Lease>,
    /// What the reader keeps.
    pub ledger: Option<L>,
    /// Counts the changes that administrators made to the ledger.
    pub revision: u32,
}

impl<L> Default for Shared<L> {
    fn default() -> Self {
        Self { body: None, failure: None, absence: None, lease: None, ledger: None, revision: 0 }
    }
}

impl<L> Shared<L> {
    /// The lease that holds at `now`, if somebody has one.
    pub fn held(&self, now: Timestamp) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| now < lease.until)
    }

    /// The back-off that holds at `now`.
    pub fn backing_off(&self, now: Timestamp) -> Option<&StoredFailure> {
        self.failure.as_ref().filter(|failure| now < failure.retry_at)
    }

    /// The copy, if it may be used without asking again.
    pub fn fresh(&self, now: Timestamp) -> Option<&StoredBody> {
        self.body.as_ref().filter(|body| now < body.fresh_until)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<L> {
    v: u32,
    id: String,
    url: String,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    body: Option<StoredBody>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    failure: Option<StoredFailure>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    absence: Option<Absence>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    lease: Option<Lease>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    ledger: Option<L>,
    #[serde(default)]
    revision: u32,
    expires_at: Timestamp,
}

/// `Default` for an `Option` of anything.
const fn none<T>() -> Option<T> {
    None
}

/// An item that belongs to a copy and is written once: a version of a document, a re-encoded logo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aside {
    /// Its partition key.
    pub id: String,
    /// Its content.
    pub text: String,
    /// What is known about the content, as JSON.
    pub details: String,
    /// Until when it is kept.
    pub expires_at: Timestamp,
}

/// What asking for the lease came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leasing<L> {
    /// It is ours until the instant asked for.
    Granted,
    /// It is somebody else's, or there is no reason to fetch any more; as the item stood.
    Refused(Box<Shared<L>>),
}

/// One of several places that are taken while something runs, across all instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    id: String,
    number: usize,
    mark: String,
    failures: Failures,
}

/// Failures in a row on one budget, within a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Failures {
    count: u32,
    until: Timestamp,
}

/// What asking for a slot came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slotting {
    /// A slot is ours.
    Granted(Slot),
    /// All are taken.
    Full,
    /// Too many fetches on this budget failed lately.
    TooManyFailures,
}

/// A budget that all instances share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget<'a> {
    /// What is counted: a host, or everything.
    pub name: &'a str,
    /// Slots at a time.
    pub slots: usize,
    /// Failures per [`FAILURE_WINDOW`] after which no slot is given; `None` for whoever is not limited by
    /// them.
    pub failures_max: Option<u32>,
}

/// The window in which failures on a budget are counted.
pub const FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// Stores copies of what strangers publish.
#[derive(Clone, Debug)]
pub struct DocumentStore {
    pub(super) dynamodb: DynamoDb,
}

impl DocumentStore {
    /// A store on `dynamodb`.
    pub fn new(dynamodb: DynamoDb) -> Self {
        Self { dynamodb }
    }

    /// Everything shared about `key`. A copy may have outlived `fresh_until`: TTL only collects garbage, so
    /// the caller compares with the clock.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is not understood.
    pub async fn read<L>(&self, key: CopyKey<'_>) -> Result<Shared<L>, StoreError>
    where
        L: for<'de> Deserialize<'de>,
    {
        // A version that was held or pinned a moment ago must not be missed.
        let item = self.dynamodb.get(DOCUMENTS, &key.id()).await?;
        item.map_or_else(|| Ok(Shared::default()), |item| shared(key, item))
    }

    /// Takes the lease of `key` under `mark` until `until`, unless somebody has it, a back-off holds, or
    /// another fetch than `seen` (the `fetched_by` of the copy that the caller knows) has brought a copy.
    /// Of any number of concurrent calls one is granted.
    ///
    /// # Errors
    /// [`StoreError`]; a lease that was taken all the same expires by itself.
    pub async fn lease<L>(
        &self,
        key: CopyKey<'_>,
        lease: &Lease,
        seen: Option<&str>,
        now: Timestamp,
    ) -> Result<Leasing<L>, StoreError>
    where
        L: for<'de> Deserialize<'de>,
    {
        let same_copy = if seen.is_some() { "body.fetched_by = :seen" } else { "attribute_not_exists(body)" };
        let condition = format!(
            "(attribute_not_exists(lease) OR lease.#until <= :now) AND \
             (attribute_not_exists(failure) OR failure.retry_at <= :now) AND {same_copy}"
        );
        let item = serde_dynamo::to_attribute_value(lease).map_err(corrupt)?;
        let mut update = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(DOCUMENTS))
            .key(DOCUMENTS.key, text(&key.id()))
            .condition_expression(condition)
            .update_expression(
                "SET lease = :lease, v = :v, #url = :url, expires_at = if_not_exists(expires_at, :expires)",
            )
            .expression_attribute_names("#until", "until")
            .expression_attribute_names("#url", "url")
            .expression_attribute_values(":lease", item)
            .expression_attribute_values(":v", number(u64::from(ITEM_VERSION)))
            .expression_attribute_values(":url", text(key.url))
            .expression_attribute_values(":expires", instant(now.plus(KEEP_FAILURE)))
            .expression_attribute_values(":now", instant(now))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if let Some(seen) = seen {
            update = update.expression_attribute_values(":seen", text(seen));
        }
        match update.send().await {
            Ok(_) => Ok(Leasing::Granted),
            Err(error) => match refused(&error) {
                Some(item) => {
                    let found = shared(key, item)?;
                    // A try whose answer was lost took it.
                    let ours = found.held(now).is_some_and(|held| held.mark == lease.mark);
                    Ok(if ours { Leasing::Granted } else { Leasing::Refused(Box::new(found)) })
                }
                None => Err(StoreError::from_sdk(error)),
            },
        }
    }

    /// Stores a good copy and gives the lease back. `Ok(false)` means that the lease was no longer ours or
    /// an administrator changed the ledger in between: nothing was stored.
    ///
    /// # Errors
    /// [`StoreError`]; the flow can go on without the cache (FM007).
    pub async fn keep<L: Serialize>(
        &self,
        key: CopyKey<'_>,
        body: &StoredBody,
        ledger: Option<&L>,
        revision: u32,
    ) -> Result<bool, StoreError> {
        let mut expression = "SET body = :body, revision = :revision, expires_at = :expires".to_owned();
        if ledger.is_some() {
            expression.push_str(", ledger = :ledger");
        }
        expression.push_str(" REMOVE lease, failure, absence");
        let mut update = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(DOCUMENTS))
            .key(DOCUMENTS.key, text(&key.id()))
            .condition_expression(
                "lease.mark = :mark AND (attribute_not_exists(revision) OR revision = :revision)",
            )
            .update_expression(expression)
            .expression_attribute_values(":mark", text(&body.fetched_by))
            .expression_attribute_values(":revision", number(u64::from(revision)))
            .expression_attribute_values(":expires", instant(body.fetched_at.plus(KEEP_COPY)))
            .expression_attribute_values(":body", serde_dynamo::to_attribute_value(body).map_err(corrupt)?);
        if let Some(ledger) = ledger {
            let ledger = serde_dynamo::to_attribute_value(ledger).map_err(corrupt)?;
            update = update.expression_attribute_values(":ledger", ledger);
        }
        written(update.send().await)
    }

    /// Notes that the fetch failed and gives the lease back. The last good copy stays as it is (CAC-15).
    /// `Ok(false)` means that the lease was no longer ours.
    ///
    /// # Errors
    /// [`StoreError`]; the lease then expires by itself.
    pub async fn fail(
        &self,
        key: CopyKey<'_>,
        failure: &StoredFailure,
        absence: Option<&Absence>,
    ) -> Result<bool, StoreError> {
        let expression = match absence {
            Some(_) => "SET failure = :failure, absence = :absence REMOVE lease",
            None => "SET failure = :failure REMOVE lease",
        };
        let mut update = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(DOCUMENTS))
            .key(DOCUMENTS.key, text(&key.id()))
            .condition_expression("lease.mark = :mark")
            .update_expression(expression)
            .expression_attribute_values(":mark", text(&failure.fetched_by))
            .expression_attribute_values(
                ":failure",
                serde_dynamo::to_attribute_value(failure).map_err(corrupt)?,
            );
        if let Some(absence) = absence {
            let absence = serde_dynamo::to_attribute_value(absence).map_err(corrupt)?;
            update = update.expression_attribute_values(":absence", absence);
        }
        written(update.send().await)
    }

    /// Gives the lease `mark` back without a fetch.
    ///
    /// # Errors
    /// [`StoreError`]; the lease then expires by itself.
    pub async fn release(&self, key: CopyKey<'_>, mark: &str) -> Result<bool, StoreError> {
        let update = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(DOCUMENTS))
            .key(DOCUMENTS.key, text(&key.id()))
            .condition_expression("lease.mark = :mark")
            .update_expression("REMOVE lease")
            .expression_attribute_values(":mark", text(mark));
        written(update.send().await)
    }

    /// Writes `aside` in place of an earlier one with its id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_aside(&self, aside: &Aside) -> Result<(), StoreError> {
        let item = serde_dynamo::to_item(aside).map_err(corrupt)?;
        let put = self.dynamodb.client.put_item().table_name(self.dynamodb.name(DOCUMENTS));
        put.set_item(Some(item)).send().await.map_err(StoreError::from_sdk)?;
        Ok(())
    }

    /// The asides of `ids` that there are, in no order.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read or are not understood.
    pub async fn asides(&self, ids: &[String]) -> Result<Vec<Aside>, StoreError> {
        let keys: Vec<_> = ids.iter().map(|id| (DOCUMENTS, id.clone())).collect();
        let found = self.dynamodb.batch_get(&keys, Reading::Eventual).await?;
        found.into_iter().map(|(_, item)| serde_dynamo::from_item(item).map_err(corrupt)).collect()
    }

    /// Takes a slot of `budget` under `mark` until `until`. Of any number of concurrent calls at most
    /// `budget.slots` hold one at a time.
    ///
    /// # Errors
    /// [`StoreError`]; a slot that was taken all the same expires by itself.
    pub async fn take_slot(
        &self,
        budget: &Budget<'_>,
        mark: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Slotting, StoreError> {
        let id = format!("budget.{}", budget.name);
        // The first guess is right unless others are at it; after that the item as it stood tells.
        let mut wanted = 0;
        for _ in 0..=budget.slots {
            let mut condition = "(attribute_not_exists(#until) OR #until <= :now)".to_owned();
            if budget.failures_max.is_some() {
                condition.push_str(
                    " AND (attribute_not_exists(failures_until) OR failures_until <= :now \
                     OR failures < :failures)",
                );
            }
            let mut update = self
                .dynamodb
                .client
                .update_item()
                .table_name(self.dynamodb.name(DOCUMENTS))
                .key(DOCUMENTS.key, text(&id))
                .condition_expression(condition)
                .update_expression("SET #until = :until, #mark = :mark, expires_at = :expires")
                .expression_attribute_names("#until", format!("until_{wanted}"))
                .expression_attribute_names("#mark", format!("mark_{wanted}"))
                .expression_attribute_values(":now", instant(now))
                .expression_attribute_values(":until", instant(until))
                .expression_attribute_values(":mark", text(mark))
                .expression_attribute_values(":expires", instant(until.plus(FAILURE_WINDOW)))
                .return_values(ReturnValue::AllNew)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            if let Some(most) = budget.failures_max {
                update = update.expression_attribute_values(":failures", number(u64::from(most)));
            }
            let item = match update.send().await {
                Ok(answer) => {
                    let failures = failures(answer.attributes.as_ref());
                    return Ok(Slotting::Granted(Slot {
                        id,
                        number: wanted,
                        mark: mark.to_owned(),
                        failures,
                    }));
                }
                Err(error) => match refused(&error) {
                    Some(item) => item,
                    None => return Err(StoreError::from_sdk(error)),
                },
            };
            let failed = failures(Some(&item));
            if now < failed.until && budget.failures_max.is_some_and(|most| failed.count >= most) {
                return Ok(Slotting::TooManyFailures);
            }
            let held = |slot: &usize| {
                let mine = item.get(&format!("mark_{slot}")).and_then(|value| value.as_s().ok());
                // A try whose answer was lost took it.
                mine.is_none_or(|found| found != mark)
                    && read_number(item.get(&format!("until_{slot}"))) > now.epoch_seconds()
            };
            match (0..budget.slots).find(|slot| !held(slot)) {
                Some(free) if read_mark(&item, free) == Some(mark) => {
                    return Ok(Slotting::Granted(Slot {
                        id,
                        number: free,
                        mark: mark.to_owned(),
                        failures: failed,
                    }));
                }
                Some(free) => wanted = free,
                None => return Ok(Slotting::Full),
            }
        }
        Ok(Slotting::Full)
    }

    /// Gives `slot` back, and counts a failure on its budget if there was one.
    ///
    /// # Errors
    /// [`StoreError`]; the slot then expires by itself.
    pub async fn give_back(&self, slot: &Slot, failed: bool, now: Timestamp) -> Result<bool, StoreError> {
        let mut update = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(DOCUMENTS))
            .key(DOCUMENTS.key, text(&slot.id))
            .condition_expression("#mark = :mark")
            .expression_attribute_names("#until", format!("until_{}", slot.number))
            .expression_attribute_names("#mark", format!("mark_{}", slot.number))
            .expression_attribute_values(":mark", text(&slot.mark));
        update = match (failed, now < slot.failures.until) {
            (false, _) => update.update_expression("REMOVE #until, #mark"),
            (true, true) => update
                .update_expression("REMOVE #until, #mark ADD failures :one")
                .expression_attribute_values(":one", number(1)),
            (true, false) => {
                let window_ends = now.plus(FAILURE_WINDOW);
                update
                    .update_expression(
                        "SET failures = :one, failures_until = :ends, expires_at = :ends \
                         REMOVE #until, #mark",
                    )
                    .expression_attribute_values(":one", number(1))
                    .expression_attribute_values(":ends", instant(window_ends))
            }
        };
        written(update.send().await)
    }
}

fn failures(item: Option<&Attributes>) -> Failures {
    let read = |name| read_number(item.and_then(|item| item.get(name)));
    Failures {
        count: u32::try_from(read("failures")).unwrap_or(u32::MAX),
        until: Timestamp::from_epoch_seconds(read("failures_until")),
    }
}

fn read_number(value: Option<&AttributeValue>) -> u64 {
    value.and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

fn read_mark(item: &Attributes, slot: usize) -> Option<&str> {
    item.get(&format!("mark_{slot}")).and_then(|value| value.as_s().ok()).map(String::as_str)
}

pub(super) fn shared<L>(key: CopyKey<'_>, item: Attributes) -> Result<Shared<L>, StoreError>
where
    L: for<'de> Deserialize<'de>,
{
    if item.is_empty() {
        return Ok(Shared::default());
    }
    let item: Item<L> = serde_dynamo::from_item(item).map_err(corrupt)?;
    // The key is a digest; the exact string decides whose copy it is (URL-10).
    if item.v != ITEM_VERSION || item.url != key.url {
        return Err(corrupt("v or url"));
    }
    let Item { body, failure, absence, lease, ledger, revision, .. } = item;
    Ok(Shared { body, failure, absence, lease, ledger, revision })
}

pub(super) fn corrupt(reason: impl std::fmt::Display) -> StoreError {
    StoreError::corrupt(DOCUMENTS, reason)
}

fn instant(value: Timestamp) -> AttributeValue {
    number(value.epoch_seconds())
}

/// The item that a condition did not hold for, empty if there was none.
fn refused<R>(error: &SdkError<UpdateItemError, R>) -> Option<Attributes> {
    condition_failure(error).map(Option::unwrap_or_default)
}
