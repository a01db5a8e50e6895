//! Every call to AWS: the stores on DynamoDB.

mod documents;
mod dynamodb;
mod grants;
mod keys;
mod policies;
pub mod table;

pub use documents::{
    Absence, Aside, Budget, CopyKey, DocumentStore, FAILURE_WINDOW, Lease, Leasing, Shared, Slot, Slotting,
    StoredBody, StoredFailure,
};
pub use dynamodb::{DynamoDb, StoreError, connect};
pub use grants::{Approval, GrantStore, Redemption, Retry, Rotation};
pub use keys::{KeyStore, KeyStoreError};
pub use policies::{PolicyInForce, PolicyStore};
