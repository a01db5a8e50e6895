//! The audit trail in DynamoDB, and changes that cannot be made without an entry in it.
//!
//! One item per entry, under the name of its place (`entry.3.42`), so a chain can be walked by key with
//! strongly consistent reads; one item per chain that says where it ends (`head.3`); and markers: what has
//! been recorded under a reference, and what has been answered under an idempotency key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use super::dynamodb::{BATCH_KEYS_MAX, Reading};
use super::item::{Attributes, number, text};
use super::table::AUDIT;
use super::{DynamoDb, StoreError};
use crate::audit::{
    Anchor, Chain, ChainHash, Entry, Event, Head, Kind, REFERENCE_GRAIN_SECONDS, SHARDS, reference,
};
use crate::clock::Timestamp;

/// Tries to append: of the processes that write at the same moment, in each round one per chain gets through.
const ATTEMPTS_MAX: u32 = 16;

/// The pause after the first lost try that is not due to old knowledge; it grows with each one.
const PAUSE: Duration = Duration::from_millis(4);

/// For how long a reference leads to its entry: as long as people keep asking about it.
const EXPLAINED_FOR: Duration = Duration::from_secs(30 * 86_400);

/// One write of a transaction, made by the store whose table it changes.
#[derive(Clone, Debug)]
pub struct Write(TransactWriteItem);

impl Write {
    pub(super) fn into_item(self) -> TransactWriteItem {
        self.0
    }

    pub(super) fn put(put: Put) -> Self {
        Self(TransactWriteItem::builder().put(put).build())
    }

    pub(super) fn update(update: Update) -> Self {
        Self(TransactWriteItem::builder().update(update).build())
    }

    pub(super) fn delete(delete: aws_sdk_dynamodb::types::Delete) -> Self {
        Self(TransactWriteItem::builder().delete(delete).build())
    }

    pub(super) fn check(check: aws_sdk_dynamodb::types::ConditionCheck) -> Self {
        Self(TransactWriteItem::builder().condition_check(check).build())
    }
}

/// Something that is recorded once: under a reference or an idempotency key.
#[derive(Clone, Debug)]
pub struct Marker {
    kind: &'static str,
    name: String,
    /// What to answer whoever comes again.
    pub body: String,
    /// Until when it is kept.
    pub expires_at: Timestamp,
}

impl Marker {
    /// Marks what was recorded under `reference`.
    pub fn reference(reference: &str, expires_at: Timestamp) -> Self {
        Self { kind: "reference", name: reference.to_owned(), body: String::new(), expires_at }
    }

    /// Marks the answer given under an idempotency key.
    pub fn once(key: &str, body: String, expires_at: Timestamp) -> Self {
        Self { kind: "once", name: key.to_owned(), body, expires_at }
    }

    fn id(kind: &str, name: &str) -> String {
        format!("{kind}.{name}")
    }
}

/// What came of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// All of it was written, and the entry with it.
    Made(Box<Entry>),
    /// A condition of one of the writes did not hold: nothing was written.
    Conflict,
    /// The marker was there already: nothing was written.
    Seen,
}

/// Refusals of one person that are recorded in an hour by one process. Whoever is refused more often is
/// refused all the same, and the log has it.
const REFUSALS_MAX: u32 = 30;

/// People whose refusals are counted at a time; the count begins anew when there are more.
const COUNTED_MAX: usize = 10_000;

/// How often each person was refused in the hour.
#[derive(Debug, Default)]
struct Refusals {
    hour: u64,
    counts: HashMap<String, u32>,
}

impl Refusals {
    fn allow(&mut self, subject: &str, hour: u64) -> bool {
        if self.hour != hour || self.counts.len() >= COUNTED_MAX {
            *self = Self { hour, counts: HashMap::new() };
        }
        let count = self.counts.entry(subject.to_owned()).or_default();
        *count += 1;
        *count <= REFUSALS_MAX
    }
}

/// Writes and reads the audit trail.
#[derive(Clone, Debug)]
pub struct AuditStore {
    dynamodb: DynamoDb,
    /// Where each chain ended when this process last looked: saves the look while nobody else writes.
    heads: Arc<Mutex<HashMap<u8, Head>>>,
    /// The chain that this process writes to; processes spread over the chains.
    shard: Arc<AtomicU8>,
    refusals: Arc<Mutex<Refusals>>,
    /// One process writes one transaction at a time: side by side it would only lose to itself.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl AuditStore {
    /// A store on `dynamodb`. Processes with different `spread` write to different chains.
    pub fn new(dynamodb: DynamoDb, spread: u8) -> Self {
        Self {
            dynamodb,
            heads: Arc::default(),
            shard: Arc::new(AtomicU8::new(spread % SHARDS)),
            refusals: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Writes an entry alone.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was written, or it was and a repetition writes a second one.
    pub async fn append(&self, event: &Event, retention: Duration) -> Result<Commit, StoreError> {
        self.commit(event, &[], None, retention).await
    }

    /// Makes `writes` and records `event`, all or nothing (FM008). With `marker`, only if nothing was
    /// recorded under its name.
    ///
    /// # Errors
    /// [`StoreError`]; whether it was written must then be read again.
    pub async fn commit(
        &self,
        event: &Event,
        writes: &[Write],
        marker: Option<&Marker>,
        retention: Duration,
    ) -> Result<Commit, StoreError> {
        self.commit_all(std::slice::from_ref(event), writes, marker, retention).await
    }

    /// As [`Self::commit`], for several events that are one act.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub async fn commit_all(
        &self,
        events: &[Event],
        writes: &[Write],
        marker: Option<&Marker>,
        retention: Duration,
    ) -> Result<Commit, StoreError> {
        let _turn = self.turn.lock().await;
        for attempt in 1..=ATTEMPTS_MAX {
            let shard = self.shard.load(Ordering::Relaxed);
            let head = match self.known_head(shard) {
                Some(head) => head,
                None => self.read_head(shard).await?,
            };
            let (mut place, mut entries, mut items) = (head, Vec::new(), Vec::new());
            for event in events {
                let entry =
                    Entry::after(place, shard, event).map_err(|error| StoreError::corrupt(AUDIT, error))?;
                place = Head { sequence: place.sequence.saturating_add(1), hash: entry.hash };
                items.push(self.put_entry(shard, place, &entry, event, retention)?);
                entries.push(entry);
            }
            items.insert(0, self.moved_head(shard, head, place)?);
            let marked = items.len();
            if let Some(marker) = marker {
                items.push(self.put_marker(marker, shard, place.sequence)?);
            }
            let own = items.len();
            items.extend(writes.iter().cloned());
            let items: Vec<TransactWriteItem> = items.into_iter().map(|Write(item)| item).collect();
            let sent =
                self.dynamodb.client.transact_write_items().set_transact_items(Some(items)).send().await;
            let Err(error) = sent else {
                self.remember(shard, Some(place));
                let last = entries.pop().ok_or_else(|| StoreError::corrupt(AUDIT, "no event"))?;
                return Ok(Commit::Made(Box::new(last)));
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                error.as_service_error()
            else {
                self.remember(shard, None);
                return Err(StoreError::from_sdk(error));
            };
            let reasons = cancelled.cancellation_reasons();
            let failed = |at: usize| {
                reasons.get(at).and_then(|reason| reason.code()) == Some("ConditionalCheckFailed")
            };
            let busy = reasons.iter().any(|reason| reason.code() == Some("TransactionConflict"));
            if marker.is_some() && failed(marked) {
                return Ok(Commit::Seen);
            }
            if (own..own + writes.len()).any(failed) {
                return Ok(Commit::Conflict);
            }
            let beaten = (0..marked).any(failed);
            if !beaten && !busy {
                self.remember(shard, None);
                return Err(StoreError::from_sdk(error));
            }
            // Another process wrote to this chain since we looked: the refusal says where it ends now.
            let seen = reasons.first().and_then(|reason| reason.item()).map(read_head).transpose()?;
            self.remember(shard, seen);
            if attempt % 2 == 0 || seen.is_none() {
                self.shard.store((shard + 1) % SHARDS, Ordering::Relaxed);
            }
            if attempt > 1 {
                tokio::time::sleep(PAUSE * attempt).await;
            }
        }
        Err(StoreError::Unavailable("the audit trail is written to by too many at once".to_owned()))
    }

    /// Records that a signed-in person was refused, once an hour for the same client and `outcome`, and
    /// answers the reference that leads to the entry. `None` if too much was recorded of this person.
    ///
    /// # Errors
    /// [`StoreError`]; the refusal stands, and has no entry.
    pub async fn refuse(
        &self,
        subject: &str,
        client_id: &str,
        outcome: &str,
        event: Event,
        retention: Duration,
    ) -> Result<Option<String>, StoreError> {
        let now = event.at;
        let hour = now.epoch_seconds() / REFERENCE_GRAIN_SECONDS;
        if !self.refusals.lock().unwrap_or_else(PoisonError::into_inner).allow(subject, hour) {
            return Ok(None);
        }
        let reference = reference(subject, client_id, outcome, now);
        let event = event.with("reference", reference.clone()).with("outcome", outcome);
        let marker = Marker::reference(&reference, now.plus(retention.min(EXPLAINED_FOR)));
        self.commit(&event, &[], Some(&marker), retention).await?;
        Ok(Some(reference))
    }

    fn known_head(&self, shard: u8) -> Option<Head> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).get(&shard).copied()
    }

    fn remember(&self, shard: u8, head: Option<Head>) {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        match head {
            Some(head) => heads.insert(shard, head),
            None => heads.remove(&shard),
        };
    }

    async fn read_head(&self, shard: u8) -> Result<Head, StoreError> {
        let found = self.get(vec![head_id(shard)]).await?;
        let head = found.into_values().next().map(|item| read_head(&item)).transpose()?.unwrap_or_default();
        self.remember(shard, Some(head));
        Ok(head)
    }

    fn moved_head(&self, shard: u8, from: Head, to: Head) -> Result<Write, StoreError> {
        let update = Update::builder()
            .table_name(self.dynamodb.name(AUDIT))
            .key(AUDIT.key, text(&head_id(shard)))
            .update_expression("SET kind = :kind, #sequence = :to, #hash = :hash")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_names("#sequence", "sequence")
            .expression_attribute_names("#hash", "hash")
            .expression_attribute_values(":kind", text("head"))
            .expression_attribute_values(":to", number(to.sequence))
            .expression_attribute_values(":hash", text(&to.hash.to_string()));
        let update = if from.sequence == 0 {
            update.condition_expression("attribute_not_exists(id)")
        } else {
            update
                .condition_expression("#sequence = :from AND #hash = :before")
                .expression_attribute_values(":from", number(from.sequence))
                .expression_attribute_values(":before", text(&from.hash.to_string()))
        };
        update.build().map(Write::update).map_err(|error| StoreError::corrupt(AUDIT, error))
    }

    fn put_entry(
        &self,
        shard: u8,
        place: Head,
        entry: &Entry,
        event: &Event,
        retention: Duration,
    ) -> Result<Write, StoreError> {
        self.put_new(
            Put::builder()
                .item(AUDIT.key, text(&entry_id(shard, place.sequence)))
                .item("kind", text("entry"))
                .item("previous", text(&entry.previous.to_string()))
                .item("text", text(&entry.text))
                .item("hash", text(&entry.hash.to_string()))
                .item("expires_at", number(event.at.plus(retention).epoch_seconds())),
        )
    }

    fn put_marker(&self, marker: &Marker, shard: u8, sequence: u64) -> Result<Write, StoreError> {
        self.put_new(
            Put::builder()
                .item(AUDIT.key, text(&Marker::id(marker.kind, &marker.name)))
                .item("kind", text(marker.kind))
                .item("entry", text(&entry_id(shard, sequence)))
                .item("body", text(&marker.body))
                .item("expires_at", number(marker.expires_at.epoch_seconds())),
        )
    }

    fn put_new(&self, put: aws_sdk_dynamodb::types::builders::PutBuilder) -> Result<Write, StoreError> {
        put.table_name(self.dynamodb.name(AUDIT))
            .condition_expression("attribute_not_exists(id)")
            .build()
            .map(Write::put)
            .map_err(|error| StoreError::corrupt(AUDIT, error))
    }

    /// What was answered under an idempotency key, if it is still kept at `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn answered(&self, key: &str, now: Timestamp) -> Result<Option<String>, StoreError> {
        let Some(item) = self.marker("once", key, now).await? else { return Ok(None) };
        string(&item, "body").map(Some)
    }

    /// The entry recorded under a reference, if it is still kept at `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn explained(&self, reference: &str, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        let Some(item) = self.marker("reference", reference, now).await? else { return Ok(None) };
        let found = self.get(vec![string(&item, "entry")?]).await?;
        found.into_values().next().map(|item| read_entry(&item)).transpose()
    }

    async fn marker(&self, kind: &str, name: &str, now: Timestamp) -> Result<Option<Attributes>, StoreError> {
        let found = self.get(vec![Marker::id(kind, name)]).await?;
        let Some(item) = found.into_values().next() else { return Ok(None) };
        if string(&item, "kind")? != kind {
            return Err(StoreError::corrupt(AUDIT, "kind"));
        }
        let live = read_number(&item, "expires_at").map(Timestamp::from_epoch_seconds)? > now;
        Ok(live.then_some(item))
    }

    /// Where each chain ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn heads(&self) -> Result<Vec<(u8, Head)>, StoreError> {
        let found = self.get((0..SHARDS).map(head_id).collect()).await?;
        (0..SHARDS)
            .map(|shard| {
                let head = found.get(&head_id(shard)).map(read_head).transpose()?.unwrap_or_default();
                Ok((shard, head))
            })
            .collect()
    }

    /// The entries of a chain at the places `from` to `to`, both included; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn range(
        &self,
        shard: u8,
        from: u64,
        to: u64,
    ) -> Result<Vec<(u64, Option<Entry>)>, StoreError> {
        let mut entries = Vec::new();
        let mut next = from.max(1);
        while next <= to {
            let last = to.min(next.saturating_add(BATCH_KEYS_MAX as u64 - 1));
            let found = self.get((next..=last).map(|sequence| entry_id(shard, sequence)).collect()).await?;
            for sequence in next..=last {
                let entry = found.get(&entry_id(shard, sequence)).map(read_entry).transpose()?;
                entries.push((sequence, entry));
            }
            next = last.saturating_add(1);
        }
        Ok(entries)
    }

    /// All chains from their beginning, for verifying. The place after the last one is read as well: an
    /// entry there means that a head was set back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn chains(&self) -> Result<Vec<Chain>, StoreError> {
        let mut chains = Vec::new();
        for (shard, head) in self.heads().await? {
            let mut entries = self.range(shard, 1, head.sequence.saturating_add(1)).await?;
            if entries.last().is_some_and(|(_, entry)| entry.is_none()) {
                entries.pop();
            }
            chains.push(Chain { shard, head, entries });
        }
        Ok(chains)
    }

    /// Writes down where all chains end, as an entry of one of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn anchor(&self, mut event: Event, retention: Duration) -> Result<Anchor, StoreError> {
        let heads = self.heads().await?;
        event.kind = Kind::Anchored;
        event.detail.clear();
        for (shard, head) in &heads {
            event.detail.insert(shard.to_string(), format!("{} {}", head.sequence, head.hash));
        }
        self.append(&event, retention).await?;
        Ok(heads.into_iter().map(|(shard, head)| (shard, (head.sequence, head.hash))).collect())
    }

    async fn get(&self, ids: Vec<String>) -> Result<HashMap<String, Attributes>, StoreError> {
        let keys: Vec<_> = ids.into_iter().map(|id| (AUDIT, id)).collect();
        let found = self.dynamodb.batch_get(&keys, Reading::Consistent).await?;
        found.into_iter().map(|(_, item)| Ok((string(&item, AUDIT.key)?, item))).collect()
    }
}

fn head_id(shard: u8) -> String {
    format!("head.{shard}")
}

fn entry_id(shard: u8, sequence: u64) -> String {
    format!("entry.{shard}.{sequence}")
}

fn string(item: &Attributes, name: &str) -> Result<String, StoreError> {
    let found = item.get(name).and_then(|value| value.as_s().ok()).cloned();
    found.ok_or_else(|| StoreError::corrupt(AUDIT, name))
}

fn read_number(item: &Attributes, name: &str) -> Result<u64, StoreError> {
    let found = item.get(name).and_then(|value: &AttributeValue| value.as_n().ok());
    found.and_then(|text| text.parse().ok()).ok_or_else(|| StoreError::corrupt(AUDIT, name))
}

fn read_hash(item: &Attributes, name: &str) -> Result<ChainHash, StoreError> {
    ChainHash::parse(&string(item, name)?).ok_or_else(|| StoreError::corrupt(AUDIT, name))
}

fn read_head(item: &Attributes) -> Result<Head, StoreError> {
    if string(item, "kind")? != "head" {
        return Err(StoreError::corrupt(AUDIT, "kind"));
    }
    Ok(Head { sequence: read_number(item, "sequence")?, hash: read_hash(item, "hash")? })
}

fn read_entry(item: &Attributes) -> Result<Entry, StoreError> {
    if string(item, "kind")? != "entry" {
        return Err(StoreError::corrupt(AUDIT, "kind"));
    }
    Ok(Entry {
        previous: read_hash(item, "previous")?,
        text: string(item, "text")?,
        hash: read_hash(item, "hash")?,
    })
}
