//! The connection to DynamoDB and what can go wrong on it.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Builder, Credentials, Region};
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::KeysAndAttributes;

use super::Sdk;
use super::item::{Attributes, text};
use super::table::Table;

/// Tries per call, the first one included (FM001: at most two retries, with jitter by the SDK).
const ATTEMPTS_MAX: u32 = 3;
/// One try. Well below the gateway's limit even three times over.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1500);
/// A call with all its retries.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Rounds of one batch: the first, and two for what the database did not get to (FM029).
const ROUNDS_MAX: usize = 3;

/// Keys that the database takes in one batch.
pub(super) const BATCH_KEYS_MAX: usize = 100;

/// The database could not be asked, or gave an answer that cannot be trusted. Never "not there":
/// that is `Ok(None)`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Throttled, timed out, or failing on the other side, after all retries.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Refused as wrong: missing table, missing permission, invalid request.
    #[error("the database refused: {0}")]
    Refused(String),
    /// An item lacks an attribute or has one that we do not understand; it is not honoured (FM027, FM028).
    #[error("an item in table {table} is not understood: {reason}")]
    Corrupt {
        /// The table, without prefix.
        table: &'static str,
        /// What is wrong with it; names attributes, never values.
        reason: String,
    },
}

impl StoreError {
    /// An item of `table` that cannot be read.
    pub(crate) fn corrupt(table: Table, reason: impl std::fmt::Display) -> Self {
        Self::Corrupt { table: table.name, reason: reason.to_string() }
    }

    /// Sorts an SDK failure. Anything that is not clearly our own mistake counts as temporary, so that
    /// a client keeps its credential and tries again.
    pub(crate) fn from_sdk<E, R>(error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        let refused = matches!(
            error.as_service_error().and_then(|service| service.code()),
            Some(
                "AccessDeniedException"
                    | "ResourceNotFoundException"
                    | "ValidationException"
                    | "UnrecognizedClientException"
            )
        );
        let reason = DisplayErrorContext(&error).to_string();
        if refused { Self::Refused(reason) } else { Self::Unavailable(reason) }
    }
}

/// How fresh what is read has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Every write that was acknowledged is seen: for all that a credential is honoured by (FM020).
    Consistent,
    /// May be a moment old, for half the price.
    Eventual,
}

/// A client and the prefix of this deployment's table names.
#[derive(Clone, Debug)]
pub struct DynamoDb {
    pub(crate) client: Client,
    prefix: String,
}

impl DynamoDb {
    /// Uses `client` on tables whose names begin with `prefix`.
    pub fn new(client: Client, prefix: String) -> Self {
        Self { client, prefix }
    }

    /// The client itself, for what no store offers.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The item of `key`, strongly consistent, because somebody is about to rely on it (FM020).
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read; `Ok(None)` means that it is not there.
    pub(super) async fn get(&self, table: Table, key: &str) -> Result<Option<Attributes>, StoreError> {
        let request = self.client.get_item().table_name(self.name(table)).key(table.key, text(key));
        let answer = request.consistent_read(true).send().await.map_err(StoreError::from_sdk)?;
        Ok(answer.item)
    }

    /// The items of `keys`, each key given once, with their tables, in no order; [`BATCH_KEYS_MAX`] to a round trip. What is not there is left out; what the database did not get to is never taken for that.
    ///
    /// # Errors
    /// [`StoreError`] if any of them cannot be read.
    pub(super) async fn batch_get(
        &self,
        keys: &[(Table, String)],
        reading: Reading,
    ) -> Result<Vec<(Table, Attributes)>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(BATCH_KEYS_MAX) {
            self.get_batch(keys, reading, &mut found).await?;
        }
        Ok(found)
    }

    async fn get_batch(
        &self,
        keys: &[(Table, String)],
        reading: Reading,
        found: &mut Vec<(Table, Attributes)>,
    ) -> Result<(), StoreError> {
        let mut tables: Vec<Table> = keys.iter().map(|(table, _)| *table).collect();
        tables.sort_unstable_by_key(|table| table.name);
        tables.dedup();
        let mut wanted = HashMap::new();
        for table in &tables {
            let of_table = keys.iter().filter(|(of, _)| of == table);
            let keys = of_table
                .fold(KeysAndAttributes::builder(), |builder, (_, key)| {
                    builder.keys([(table.key.to_owned(), text(key))].into())
                })
                .consistent_read(reading == Reading::Consistent)
                .build()
                .map_err(|error| StoreError::corrupt(*table, error))?;
            wanted.insert(self.name(*table), keys);
        }
        for _ in 0..ROUNDS_MAX {
            if wanted.is_empty() {
                return Ok(());
            }
            let request = self.client.batch_get_item().set_request_items(Some(wanted));
            let answer = request.send().await.map_err(StoreError::from_sdk)?;
            for (name, items) in answer.responses.unwrap_or_default() {
                let Some(table) = tables.iter().copied().find(|table| self.name(*table) == name) else {
                    continue;
                };
                found.extend(items.into_iter().map(|item| (table, item)));
            }
            wanted = answer.unprocessed_keys.unwrap_or_default();
        }
        if wanted.is_empty() {
            Ok(())
        } else {
            Err(StoreError::Unavailable("keys stayed unprocessed".to_owned()))
        }
    }

    /// The full name of `table` in this deployment.
    pub fn name(&self, table: Table) -> String {
        format!("{}{}", self.prefix, table.name)
    }
}

/// Connects to DynamoDB: to the one of the function's region with the function's own role, or to
/// `endpoint` (the embedded one, or any compatible store).
///
/// Nothing is sent yet, so this cannot fail; the first call does if the other side is not there.
pub fn connect(sdk: &Sdk, endpoint: Option<&str>) -> Client {
    let retry = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS_MAX)
        .with_initial_backoff(Duration::from_millis(25))
        .with_max_backoff(Duration::from_millis(500));
    let timeout = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    let mut config = Builder::from(sdk.config()).retry_config(retry).timeout_config(timeout);
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint);
        if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
            // A compatible store on this machine asks for credentials and accepts any.
            config = config
                .credentials_provider(Credentials::new("local", "local", None, None, "local"))
                .region(Region::from_static("local"));
        }
    }
    Client::from_conf(config.build())
}
