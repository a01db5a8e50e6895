//! Registrations in DynamoDB: one item per client identifier.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::item::{Attributes, condition_failure, number, text, written};
use super::table::{REGISTRATIONS, REGISTRATIONS_BY_TOOL};
use super::tools::LAST_USE_GRAIN_SECONDS;
use super::{DynamoDb, StoreError};
use crate::client::id::ClientId;
use crate::client::metadata::ClientMetadata;
use crate::client::registration::{Compatibility, Registration, SecretDigest};
use crate::clock::Timestamp;
use crate::tool::{Introduced, Mechanism, ToolId};

const ITEM_VERSION: u32 = 1;

/// What came of adding a registration.
#[derive(Clone, Debug, PartialEq)]
pub enum Addition {
    /// It was added.
    Added,
    /// There is one for this client identifier; here it is.
    Existed(Box<Registration>),
}

/// Stores registrations.
#[derive(Clone, Debug)]
pub struct RegistrationStore {
    dynamodb: DynamoDb,
}

impl RegistrationStore {
    /// A store on `dynamodb`.
    pub fn new(dynamodb: DynamoDb) -> Self {
        Self { dynamodb }
    }

    /// Reads the registration of `client_id`, strongly consistent. It may have ended: TTL only collects
    /// garbage, so the caller asks [`Registration::has_ended`].
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is not understood.
    pub async fn read(&self, client_id: &ClientId) -> Result<Option<Registration>, StoreError> {
        let item = self.dynamodb.get(REGISTRATIONS, &key(client_id.as_str())).await?;
        item.map(|item| registration(item, client_id.as_str())).transpose()
    }

    /// Adds a registration, unless its client identifier has one. One that has ended is replaced.
    ///
    /// # Errors
    /// [`StoreError`]; calling again is safe.
    pub async fn add(&self, new: &Registration, now: Timestamp) -> Result<Addition, StoreError> {
        let result = self
            .dynamodb
            .client
            .put_item()
            .table_name(self.dynamodb.name(REGISTRATIONS))
            .set_item(Some(item(new)?))
            .condition_expression("attribute_not_exists(id) OR ends_at <= :now")
            .expression_attribute_values(":now", number(now.epoch_seconds()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match result {
            Ok(_) => Ok(Addition::Added),
            Err(error) => match condition_failure(&error).flatten() {
                Some(existing) => {
                    Ok(Addition::Existed(Box::new(registration(existing, new.client_id.as_str())?)))
                }
                None => Err(StoreError::from_sdk(error)),
            },
        }
    }

    /// Puts `changed` in place of a registration that still is at `revision`. `Ok(false)` if it is not.
    ///
    /// # Errors
    /// [`StoreError`]; whether the change was made must then be read again.
    pub async fn replace(&self, changed: &Registration, revision: u64) -> Result<bool, StoreError> {
        let mut next = changed.clone();
        next.revision = revision.saturating_add(1);
        let result = self
            .dynamodb
            .client
            .put_item()
            .table_name(self.dynamodb.name(REGISTRATIONS))
            .set_item(Some(item(&next)?))
            .condition_expression("revision = :revision")
            .expression_attribute_values(":revision", number(revision))
            .send()
            .await;
        written(result)
    }

    /// Lets a registration belong to another tool. Moving it where it is changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]; calling again is safe.
    pub async fn move_to(&self, client_id: &ClientId, tool: &ToolId) -> Result<(), StoreError> {
        let result = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(REGISTRATIONS))
            .key(REGISTRATIONS.key, text(&key(client_id.as_str())))
            .condition_expression("attribute_exists(id)")
            .update_expression("SET tool = :tool, revision = revision + :one")
            .expression_attribute_values(":tool", text(tool.as_str()))
            .expression_attribute_values(":one", number(1))
            .send()
            .await;
        written(result).map(drop)
    }

    /// Notes that a registration that ends was used at `now`, and lets it live for `idle` from then; at most
    /// once an hour, and not at all for one that does not end.
    ///
    /// # Errors
    /// [`StoreError`]; the request that used it need not fail for that.
    pub async fn note_use(
        &self,
        used: &Registration,
        now: Timestamp,
        idle: Duration,
    ) -> Result<(), StoreError> {
        let noted = used
            .last_used_at
            .is_some_and(|last| now.epoch_seconds() < last.epoch_seconds() + LAST_USE_GRAIN_SECONDS);
        if noted || used.ends_at.is_none() {
            return Ok(());
        }
        let result = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(REGISTRATIONS))
            .key(REGISTRATIONS.key, text(&key(used.client_id.as_str())))
            .condition_expression("attribute_exists(id)")
            .update_expression("SET last_used_at = :now, ends_at = :ends, expires_at = :ends")
            .expression_attribute_values(":now", number(now.epoch_seconds()))
            .expression_attribute_values(":ends", number(now.plus(idle).epoch_seconds()))
            .send()
            .await;
        written(result).map(drop)
    }

    /// Lets a registration live until `ends_at` at least, if it is there and would end before. Nothing counts
    /// as use by this.
    ///
    /// # Errors
    /// [`StoreError`]; calling again is safe.
    pub async fn keep_until(&self, client_id: &ClientId, ends_at: Timestamp) -> Result<(), StoreError> {
        let result = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(REGISTRATIONS))
            .key(REGISTRATIONS.key, text(&key(client_id.as_str())))
            .condition_expression("attribute_exists(id) AND ends_at < :ends")
            .update_expression("SET ends_at = :ends, expires_at = :ends")
            .expression_attribute_values(":ends", number(ends_at.epoch_seconds()))
            .send()
            .await;
        written(result).map(drop)
    }

    /// Removes a registration. Removing one that is gone changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]; calling again is safe.
    pub async fn remove(&self, client_id: &ClientId) -> Result<(), StoreError> {
        self.dynamodb
            .client
            .delete_item()
            .table_name(self.dynamodb.name(REGISTRATIONS))
            .key(REGISTRATIONS.key, text(&key(client_id.as_str())))
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        Ok(())
    }

    /// All registrations of a tool, as the index has them: for listings, never for honouring a credential.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of_tool(&self, tool: &ToolId) -> Result<Vec<Registration>, StoreError> {
        let mut pages = self
            .dynamodb
            .client
            .query()
            .table_name(self.dynamodb.name(REGISTRATIONS))
            .index_name(REGISTRATIONS_BY_TOOL)
            .key_condition_expression("tool = :tool")
            .expression_attribute_values(":tool", text(tool.as_str()))
            .into_paginator()
            .send();
        let mut registrations = Vec::new();
        while let Some(page) = pages.next().await {
            for attributes in page.map_err(StoreError::from_sdk)?.items.unwrap_or_default() {
                let client_id = attributes.get("client_id").and_then(|value| value.as_s().ok()).cloned();
                registrations.push(registration(attributes, &client_id.unwrap_or_default())?);
            }
        }
        Ok(registrations)
    }
}

/// The key of a client identifier: a digest, because identifiers may be longer than a key should be.
pub(super) fn key(client_id: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, client_id.as_bytes()))
}

/// The stored form. `metadata` is JSON text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    v: u32,
    id: String,
    client_id: String,
    tool: ToolId,
    mechanism: Mechanism,
    introduced: Introduced,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
    secrets: Vec<SecretDigest>,
    epoch: u32,
    compatibility: Compatibility,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    revision: u64,
}

pub(super) fn item(registration: &Registration) -> Result<Attributes, StoreError> {
    let metadata = registration
        .metadata
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(|error| StoreError::corrupt(REGISTRATIONS, error))?;
    serde_dynamo::to_item(Item {
        v: ITEM_VERSION,
        id: key(registration.client_id.as_str()),
        client_id: registration.client_id.as_str().to_owned(),
        tool: registration.tool.clone(),
        mechanism: registration.mechanism,
        introduced: registration.introduced.clone(),
        metadata,
        secrets: registration.secrets.clone(),
        epoch: registration.epoch,
        compatibility: registration.compatibility,
        last_used_at: registration.last_used_at,
        ends_at: registration.ends_at,
        expires_at: registration.ends_at,
        revision: registration.revision,
    })
    .map_err(|error| StoreError::corrupt(REGISTRATIONS, error))
}

/// Reads an item that must be the registration of `client_id`: the key is a digest, the exact string
/// decides (URL-10).
pub(super) fn registration(attributes: Attributes, client_id: &str) -> Result<Registration, StoreError> {
    let corrupt = |reason: &str| StoreError::corrupt(REGISTRATIONS, reason);
    let item: Item =
        serde_dynamo::from_item(attributes).map_err(|error| StoreError::corrupt(REGISTRATIONS, error))?;
    if item.v != ITEM_VERSION || item.client_id != client_id {
        return Err(corrupt("v or client_id"));
    }
    let metadata: Option<ClientMetadata> = item
        .metadata
        .map(|json| serde_json::from_str(&json))
        .transpose()
        .map_err(|error| StoreError::corrupt(REGISTRATIONS, error))?;
    // A client without a document is nothing without its metadata (FM027).
    if metadata.is_none() && item.mechanism == Mechanism::Dynamic {
        return Err(corrupt("metadata"));
    }
    Ok(Registration {
        client_id: ClientId::parse(&item.client_id).map_err(|_| corrupt("client_id"))?,
        tool: item.tool,
        mechanism: item.mechanism,
        introduced: item.introduced,
        metadata,
        secrets: item.secrets,
        epoch: item.epoch,
        compatibility: item.compatibility,
        last_used_at: item.last_used_at,
        ends_at: item.ends_at,
        revision: item.revision,
    })
}
