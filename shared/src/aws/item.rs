//! What the stores have in common: attribute values and the reading of failed conditions.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason};

use super::dynamodb::StoreError;

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

impl ConditionFailure for TransactWriteItemsError {
    /// Whether it was a condition, and not anything that may pass (FM016). Which item it was is not said.
    fn condition_failure(&self) -> Option<Option<Attributes>> {
        let Self::TransactionCanceledException(cancelled) = self else { return None };
        let is_condition = |reason: &CancellationReason| reason.code() == Some("ConditionalCheckFailed");
        cancelled.cancellation_reasons().iter().any(is_condition).then_some(None)
    }
}

/// The item that made the condition of a write fail, as [`ConditionFailure::condition_failure`].
pub(super) fn condition_failure<E: ConditionFailure, R>(
    error: &SdkError<E, R>,
) -> Option<Option<Attributes>> {
    error.as_service_error().and_then(ConditionFailure::condition_failure)
}

/// Whether a conditional write was made; `Ok(false)` if its condition did not hold, and nothing changed.
///
/// # Errors
/// [`StoreError`] for everything else; whether the write was made must then be read again.
pub(super) fn written<T, E, R>(result: Result<T, SdkError<E, R>>) -> Result<bool, StoreError>
where
    E: ConditionFailure + ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match result {
        Ok(_) => Ok(true),
        Err(error) if condition_failure(&error).is_some() => Ok(false),
        Err(error) => Err(StoreError::from_sdk(error)),
    }
}

/// How a conditional write ended that carries a mark of its own.
pub(super) enum Once {
    /// Ours was made, now or by a try whose answer got lost (FM010).
    Made,
    /// The condition did not hold, because of this item if there is one.
    Lost(Option<Attributes>),
}

/// How the write with `mark` ended, which asked for the item that makes its condition fail.
///
/// # Errors
/// [`StoreError`] for everything but the condition; whether the write was made must then be read again.
pub(super) fn once<T, E, R>(result: Result<T, SdkError<E, R>>, mark: &str) -> Result<Once, StoreError>
where
    E: ConditionFailure + ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match result {
        Ok(_) => Ok(Once::Made),
        Err(error) => match condition_failure(&error) {
            Some(Some(item)) if has_mark(&item, mark) => Ok(Once::Made),
            Some(item) => Ok(Once::Lost(item)),
            None => Err(StoreError::from_sdk(error)),
        },
    }
}
