//! What the stores have in common: attribute values and the reading of failed conditions.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;

/// An item as the SDK hands it out.
pub(super) type Attributes = HashMap<String, AttributeValue>;

/// A string.
pub(super) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// A number.
pub(super) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Whether `item` carries the mark of a write of ours.
pub(super) fn has_mark(item: &Attributes, mark: &str) -> bool {
    item.get("mark").and_then(|value| value.as_s().ok()).is_some_and(|found| found == mark)
}

/// A service error that may be a failed condition.
pub(super) trait ConditionFailure {
    /// The item that made the condition fail; `Some(None)` if there was none or it was not asked for;
    /// `None` if this is another error.
    fn condition_failure(&self) -> Option<Option<Attributes>>;
}

macro_rules! condition_failure {
    ($($error:ty),+) => {
        $(impl ConditionFailure for $error {
            fn condition_failure(&self) -> Option<Option<Attributes>> {
                match self {
                    Self::ConditionalCheckFailedException(failure) => Some(failure.item().cloned()),
                    _ => None,
                }
            }
        })+
    };
}

condition_failure!(PutItemError, UpdateItemError, DeleteItemError);

/// The item that made the condition of a write fail, as [`ConditionFailure::condition_failure`].
pub(super) fn condition_failure<E: ConditionFailure, R>(
    error: &SdkError<E, R>,
) -> Option<Option<Attributes>> {
    error.as_service_error().and_then(ConditionFailure::condition_failure)
}

/// Whether the transaction failed because of a condition, and not of anything that may pass (FM016).
pub(super) fn is_cancelled_by_condition<R>(error: &SdkError<TransactWriteItemsError, R>) -> bool {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled
            .cancellation_reasons()
            .iter()
            .any(|reason| reason.code() == Some("ConditionalCheckFailed")),
        _ => false,
    }
}
