//! Every call to AWS: the stores on DynamoDB, and KMS.

mod audit;
mod connections;
mod documents;
mod dynamodb;
mod failures;
mod governing;
mod grants;
mod invoke;
mod item;
pub mod keyring;
mod keys;
mod kms;
mod ledgers;
mod policies;
mod rates;
mod records;
mod registrations;
mod replays;
mod sdk;
pub mod table;
mod tools;

pub use audit::{AuditStore, Commit, Marker, Write};
pub use connections::{CONNECTIONS_MAX, Connection};
pub use documents::{
    Absence, Aside, Budget, CopyKey, DocumentStore, FAILURE_WINDOW, Lease, Leasing, Shared, Slot, Slotting,
    StoredBody, StoredFailure,
};
pub use dynamodb::{DynamoDb, StoreError, connect};
pub use failures::FailureStore;
pub use governing::{Governing, GrantPlace};
pub use grants::{Approval, GrantStore, Redemption, Retry, Rotation};
pub use invoke::InvokeFetcher;
pub use keyring::Keyring;
pub use keys::{KeyChange, KeyInfo, KeyStore, KeyStoreError};
pub use kms::KmsWrap;
pub use policies::{HISTORY_MAX, POLICY_STALENESS, PolicyInForce, PolicyStore, PolicyVersion, RollBack};
pub use rates::{Allowance, RateStore};
pub use records::{RecordReader, Records, Wanted};
pub use registrations::{Addition, RegistrationStore};
pub use replays::{ReplayStore, Spent};
pub use sdk::Sdk;
pub use tools::{Change, Changed, Introduction, ToolStore};
