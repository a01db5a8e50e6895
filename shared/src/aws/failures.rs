//! Counting failed authentications, for all instances together.

use aws_sdk_dynamodb::types::ReturnValue;

use super::item::{number, text};
use super::table::FAILURES;
use super::{DynamoDb, StoreError};
use crate::clock::Timestamp;

/// Counts failures in windows of time. A count is one small item that its window outlives by nothing.
#[derive(Clone, Debug)]
pub struct FailureStore {
    dynamodb: DynamoDb,
}

impl FailureStore {
    /// A store on `dynamodb`.
    pub fn new(dynamodb: DynamoDb) -> Self {
        Self { dynamodb }
    }

    /// Counts one more failure of `key` in the window that ends at `ends_at`, and says how many there are
    /// now.
    ///
    /// # Errors
    /// [`StoreError`]; it may have been counted or not.
    pub async fn count(&self, key: &str, ends_at: Timestamp) -> Result<u64, StoreError> {
        let answer = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(FAILURES))
            // The window is part of the key, so that a late TTL never mixes two.
            .key(FAILURES.key, text(&format!("{key}.{ends_at}")))
            .update_expression("SET expires_at = :ends ADD failures :one")
            .expression_attribute_values(":ends", number(ends_at.epoch_seconds()))
            .expression_attribute_values(":one", number(1))
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        answer
            .attributes()
            .and_then(|attributes| attributes.get("failures"))
            .and_then(|value| value.as_n().ok())
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| StoreError::corrupt(FAILURES, "failures"))
    }
}
