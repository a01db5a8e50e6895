//! The policy document in DynamoDB, and the copy that a process works with.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use super::table::POLICY;
use super::{DynamoDb, StoreError};
use crate::clock::{Clock, Timestamp};
use crate::policy::Policy;

/// For how long a process works with its copy of the policy before it looks again: the bound on how
/// late a change of policy is seen.
pub const POLICY_STALENESS: Duration = Duration::from_secs(5);

pub(super) const CURRENT: &str = "current";

/// A policy and its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyInForce {
    /// Counts up with each change; 0 while none was ever stored.
    pub version: u64,
    /// The policy.
    pub policy: Policy,
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

    async fn read(&self) -> Result<PolicyInForce, StoreError> {
        let answer = self
            .dynamodb
            .client
            .get_item()
            .table_name(self.dynamodb.name(POLICY))
            .key(POLICY.key, AttributeValue::S(CURRENT.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        let Some(item) = answer.item else { return Ok(PolicyInForce::default()) };
        let corrupt = |reason: &str| StoreError::corrupt(POLICY, reason);
        let version = item
            .get("version")
            .and_then(|value| value.as_n().ok())
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| corrupt("version"))?;
        let json =
            item.get("document").and_then(|value| value.as_s().ok()).ok_or_else(|| corrupt("document"))?;
        let policy = Policy::from_json(json).map_err(|error| StoreError::corrupt(POLICY, error))?;
        Ok(PolicyInForce { version, policy })
    }

    /// Replaces the policy if `version` is still the one in force; the new version is `version + 1`.
    /// `Ok(false)` means that somebody else was faster, and nothing changed.
    ///
    /// # Errors
    /// [`StoreError`]; whether the change took effect must then be read again.
    pub async fn replace(&self, version: u64, policy: &Policy) -> Result<bool, StoreError> {
        let document = policy.to_json().map_err(|error| StoreError::corrupt(POLICY, error))?;
        let next = version.saturating_add(1);
        let mut put = self
            .dynamodb
            .client
            .put_item()
            .table_name(self.dynamodb.name(POLICY))
            .item(POLICY.key, AttributeValue::S(CURRENT.to_owned()))
            .item("version", AttributeValue::N(next.to_string()))
            .item("document", AttributeValue::S(document));
        put = if version == 0 {
            put.condition_expression("attribute_not_exists(id)")
        } else {
            put.condition_expression("version = :version")
                .expression_attribute_values(":version", AttributeValue::N(version.to_string()))
        };
        match put.send().await {
            Ok(_) => {
                *self.copy.write().unwrap_or_else(PoisonError::into_inner) = None;
                Ok(true)
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|service| service.is_conditional_check_failed_exception()) =>
            {
                Ok(false)
            }
            Err(error) => Err(StoreError::from_sdk(error)),
        }
    }
}
