//! Rates that all instances share.

use std::time::Duration;

use super::item::{number, text, written};
use super::table::RATES;
use super::{DynamoDb, StoreError};
use crate::clock::Timestamp;

/// Counts what was taken of an allowance in a window of time.
#[derive(Clone, Debug)]
pub struct RateStore {
    dynamodb: DynamoDb,
}

/// An allowance: so many in each window.
#[derive(Clone, Copy, Debug)]
pub struct Allowance<'a> {
    /// What is allowed to whom.
    pub name: &'a str,
    /// The number of the window; windows of one name never overlap.
    pub window: u64,
    /// How many there are in a window.
    pub most: u32,
}

impl RateStore {
    /// A store on `dynamodb`.
    pub fn new(dynamodb: DynamoDb) -> Self {
        Self { dynamodb }
    }

    /// Takes `count` of what is left, in one conditional write: all of them, or none and `false`. The counter
    /// is forgotten `keep` after `now`, which must lie behind the end of the window.
    ///
    /// A write whose answer was lost may count twice, never less than once.
    ///
    /// # Errors
    /// [`StoreError`]; how many were taken is then not known.
    pub async fn take(
        &self,
        allowance: Allowance<'_>,
        count: u32,
        now: Timestamp,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let Some(room) = allowance.most.checked_sub(count) else { return Ok(false) };
        let result = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(RATES))
            .key(RATES.key, text(&format!("{}~{}", allowance.name, allowance.window)))
            .condition_expression("attribute_not_exists(taken) OR taken <= :room")
            .update_expression("SET expires_at = :expires ADD taken :count")
            .expression_attribute_values(":room", number(room.into()))
            .expression_attribute_values(":count", number(count.into()))
            .expression_attribute_values(":expires", number(now.plus(keep).epoch_seconds()))
            .send()
            .await;
        written(result)
    }
}
