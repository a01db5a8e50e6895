//! The policy document in DynamoDB, and the copy that a process works with.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_sdk_dynamodb::types::{KeysAndAttributes, Put, TransactWriteItem};

use super::item::{Attributes, number, text, written};
use super::table::POLICY;
use super::{DynamoDb, StoreError, Write};
use crate::clock::{Clock, Timestamp};
use crate::policy::{Policy, PolicyError};

/// For how long a process works with its copy of the policy before it looks again: the bound on how
/// late a change of policy is seen.
pub const POLICY_STALENESS: Duration = Duration::from_secs(5);

/// Versions that one look into the past lists at most: what one answer of DynamoDB can hold.
pub const HISTORY_MAX: usize = 50;

const CURRENT: &str = "current";

/// A policy and its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyInForce {
    /// Counts up with each change; 0 while none was ever stored.
    pub version: u64,
    /// The policy.
    pub policy: Policy,
}

/// One version in the history of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Its number.
    pub version: u64,
    /// Who put it in force: the ARN of an administrator, or `local`.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What came of going back to an earlier version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollBack {
    /// The earlier document is in force again, as this new version.
    Done(u64),
    /// There is no such version.
    NoSuchVersion,
    /// The version that was in force is not any more; nothing changed.
    Conflict,
    /// The earlier document is not valid by the rules of today; nothing changed.
    Refused(PolicyError),
}

/// Reads and replaces the policy document.
#[derive(Debug)]
pub struct PolicyStore {
    dynamodb: DynamoDb,
    copy: RwLock<Option<(Timestamp, Arc<PolicyInForce>)>>,
}

impl PolicyStore {
    /// A store on `dynamodb`.
    pub fn new(dynamodb: DynamoDb) -> Self {
        Self { dynamodb, copy: RwLock::new(None) }
    }

    /// The policy in force, at most [`POLICY_STALENESS`] old.
    ///
    /// # Errors
    /// [`StoreError`] if it must be read and cannot be. An old copy is not used then: it may allow what
    /// has been forbidden since.
    pub async fn current(&self, clock: &dyn Clock) -> Result<Arc<PolicyInForce>, StoreError> {
        let now = clock.now();
        if let Some((read_at, policy)) = self.copy.read().unwrap_or_else(PoisonError::into_inner).as_ref()
            && now.since(*read_at) < POLICY_STALENESS
            && *read_at <= now
        {
            return Ok(Arc::clone(policy));
        }
        let policy = Arc::new(self.read().await?);
        *self.copy.write().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&policy)));
        Ok(policy)
    }

    /// The policy as last read by this process, however long ago: for how pages look, never for what they
    /// allow. Reads nothing.
    pub fn last_known(&self) -> Option<Arc<PolicyInForce>> {
        let copy = self.copy.read().unwrap_or_else(PoisonError::into_inner);
        copy.as_ref().map(|(_, policy)| Arc::clone(policy))
    }

    async fn read(&self) -> Result<PolicyInForce, StoreError> {
        let Some(item) = self.item(CURRENT).await? else { return Ok(PolicyInForce::default()) };
        let policy =
            Policy::from_json(document(&item)?).map_err(|error| StoreError::corrupt(POLICY, error))?;
        Ok(PolicyInForce { version: version(&item)?.version, policy })
    }

    async fn item(&self, id: &str) -> Result<Option<Attributes>, StoreError> {
        self.dynamodb.get(POLICY, id).await
    }

    /// Replaces the policy if `current` is still the version in force; the new version is `current + 1`, put
    /// in force by `by` at `now`, and kept for ever. `Ok(false)` means that somebody else was faster, and
    /// nothing changed.
    ///
    /// # Errors
    /// [`StoreError`]; whether the change took effect must then be read again.
    pub async fn replace(
        &self,
        current: u64,
        policy: &Policy,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let [in_force, kept] = self.puts(current, policy, by, now)?;
        let put = |put: Put| TransactWriteItem::builder().put(put).build();
        let result = self
            .dynamodb
            .client
            .transact_write_items()
            .transact_items(put(in_force))
            .transact_items(put(kept))
            .send()
            .await;
        let replaced = written(result)?;
        if replaced {
            self.forget_copy();
        }
        Ok(replaced)
    }

    /// The writes of [`Self::replace`], for committing them together with their audit entry. Call
    /// [`Self::forget_copy`] afterwards.
    ///
    /// # Errors
    /// [`StoreError`] if the policy cannot be written down.
    pub fn replacing(
        &self,
        current: u64,
        policy: &Policy,
        by: &str,
        now: Timestamp,
    ) -> Result<[Write; 2], StoreError> {
        Ok(self.puts(current, policy, by, now)?.map(Write::put))
    }

    /// The next look at the policy reads it.
    pub fn forget_copy(&self) {
        *self.copy.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn puts(&self, current: u64, policy: &Policy, by: &str, now: Timestamp) -> Result<[Put; 2], StoreError> {
        let document = policy.to_json().map_err(|error| StoreError::corrupt(POLICY, error))?;
        let next = current.saturating_add(1);
        let item = |id: &str| {
            Put::builder()
                .table_name(self.dynamodb.name(POLICY))
                .item(POLICY.key, text(id))
                .item("version", number(next))
                .item("document", text(&document))
                .item("changed_by", text(by))
                .item("changed_at", number(now.epoch_seconds()))
        };
        let in_force = if current == 0 {
            item(CURRENT).condition_expression("attribute_not_exists(id)")
        } else {
            item(CURRENT)
                .condition_expression("version = :version")
                .expression_attribute_values(":version", number(current))
        };
        let kept = item(&history_id(next)).condition_expression("attribute_not_exists(id)");
        let built = |put: aws_sdk_dynamodb::types::builders::PutBuilder| {
            put.build().map_err(|error| StoreError::corrupt(POLICY, error))
        };
        Ok([built(in_force)?, built(kept)?])
    }

    /// The last `count` versions (at most [`HISTORY_MAX`]), the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn history(&self, count: usize) -> Result<Vec<PolicyVersion>, StoreError> {
        let Some(item) = self.item(CURRENT).await? else { return Ok(Vec::new()) };
        let newest = version(&item)?.version;
        let mut request = KeysAndAttributes::builder()
            .consistent_read(true)
            .projection_expression("version, changed_by, changed_at");
        for number in (1..=newest).rev().take(count.min(HISTORY_MAX)) {
            request = request.keys([(POLICY.key.to_owned(), text(&history_id(number)))].into());
        }
        let mut pending = Some(request.build().map_err(|error| StoreError::corrupt(POLICY, error))?);
        let mut versions = Vec::new();
        // An answer may stop at a megabyte; each one then brings at least one version.
        for _ in 0..HISTORY_MAX {
            let Some(keys) = pending.take() else { break };
            let answer = self
                .dynamodb
                .client
                .batch_get_item()
                .request_items(self.dynamodb.name(POLICY), keys)
                .send()
                .await
                .map_err(StoreError::from_sdk)?;
            for item in
                answer.responses.into_iter().flat_map(std::collections::HashMap::into_values).flatten()
            {
                versions.push(version(&item)?);
            }
            pending = answer.unprocessed_keys.unwrap_or_default().into_values().next();
        }
        versions.sort_by_key(|known| std::cmp::Reverse(known.version));
        Ok(versions)
    }

    /// The document of an earlier version as it was stored, with who put it in force.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn earlier(&self, number: u64) -> Result<Option<(PolicyVersion, String)>, StoreError> {
        let Some(item) = self.item(&history_id(number)).await? else { return Ok(None) };
        Ok(Some((version(&item)?, document(&item)?.to_owned())))
    }

    /// Puts the document of version `to` in force again, as a new version, if `current` is still the one in
    /// force.
    ///
    /// # Errors
    /// As [`Self::replace`].
    pub async fn roll_back(
        &self,
        current: u64,
        to: u64,
        by: &str,
        now: Timestamp,
    ) -> Result<RollBack, StoreError> {
        let Some((_, json)) = self.earlier(to).await? else { return Ok(RollBack::NoSuchVersion) };
        let policy = match Policy::from_json(&json) {
            Ok(policy) => policy,
            Err(error) => return Ok(RollBack::Refused(error)),
        };
        Ok(if self.replace(current, &policy, by, now).await? {
            RollBack::Done(current.saturating_add(1))
        } else {
            RollBack::Conflict
        })
    }
}

fn history_id(version: u64) -> String {
    format!("version~{version}")
}

fn document(item: &Attributes) -> Result<&str, StoreError> {
    let document = item.get("document").and_then(|value| value.as_s().ok());
    document.map(String::as_str).ok_or_else(|| StoreError::corrupt(POLICY, "document"))
}

/// Version, who, and when; none may be missing (FM027).
fn version(item: &Attributes) -> Result<PolicyVersion, StoreError> {
    let corrupt = |name: &'static str| move || StoreError::corrupt(POLICY, name);
    let integer = |name: &'static str| {
        let text = item.get(name).and_then(|value| value.as_n().ok());
        text.and_then(|text| text.parse().ok()).ok_or_else(corrupt(name))
    };
    Ok(PolicyVersion {
        version: integer("version")?,
        by: item
            .get("changed_by")
            .and_then(|value| value.as_s().ok())
            .cloned()
            .ok_or_else(corrupt("changed_by"))?,
        at: Timestamp::from_epoch_seconds(integer("changed_at")?),
    })
}
