//! Things that may be used once and are not grants: `jti` of client assertions and DPoP proofs, shared by
//! all instances (invariant 7).

use aws_lc_rs::digest::{Context, SHA256};
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::item::{Once, number, once, text};
use super::table::REPLAYS;
use super::{DynamoDb, StoreError};
use crate::clock::Timestamp;

/// What came of [`ReplayStore::spend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// Never seen before; it cannot be spent again.
    First,
    /// Seen before.
    Again,
}

/// Remembers what was used, for as long as it could be used again.
#[derive(Clone, Debug)]
pub struct ReplayStore {
    dynamodb: DynamoDb,
}

impl ReplayStore {
    /// A store on `dynamodb`.
    pub fn new(dynamodb: DynamoDb) -> Self {
        Self { dynamodb }
    }

    /// Spends what `name` names: its kind, whose it is, and its own id, so that nobody can use up
    /// somebody else's. Of any number of concurrent calls one gets [`Spent::First`]. It may be forgotten
    /// from `until` on, when it is refused for its age.
    ///
    /// # Errors
    /// [`StoreError`]; it must then not be honoured.
    pub async fn spend(
        &self,
        name: &[&str],
        until: Timestamp,
        now: Timestamp,
        mark: &str,
    ) -> Result<Spent, StoreError> {
        let result = self
            .dynamodb
            .client
            .put_item()
            .table_name(self.dynamodb.name(REPLAYS))
            .item(REPLAYS.key, text(&key(name)))
            .item("expires_at", number(until.epoch_seconds()))
            .item("mark", text(mark))
            .condition_expression("attribute_not_exists(id) OR expires_at <= :now")
            .expression_attribute_values(":now", number(now.epoch_seconds()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        Ok(match once(result, mark)? {
            Once::Made => Spent::First,
            Once::Lost(_) => Spent::Again,
        })
    }
}

/// A digest of all parts, each with its length before it, so that no two names read the same.
fn key(name: &[&str]) -> String {
    let mut context = Context::new(&SHA256);
    for part in name {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(context.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_in_one_way_only() {
        assert_ne!(key(&["a", "bc"]), key(&["ab", "c"]));
        assert_ne!(key(&["a", "b"]), key(&["a", "b", ""]));
        assert_eq!(key(&["a", "b"]).len(), 43);
    }
}
