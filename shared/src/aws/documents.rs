//! Metadata documents in DynamoDB, shared by all instances for as long as they may be reused.

use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::table::DOCUMENTS;
use super::{DynamoDb, StoreError};
use crate::clock::Timestamp;

const ITEM_VERSION: u32 = 1;

/// The bytes of a valid document and for how long they may be reused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDocument {
    /// The client identifier, exactly.
    pub client_id: String,
    /// The body as received. It is parsed again on every read, so that rules which were tightened since
    /// apply at once and nothing invalid can be served from here (CAC-03).
    pub body: String,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// Until when it may be used for new authorizations.
    pub fresh_until: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    v: u32,
    id: String,
    client_id: String,
    body: String,
    fetched_at: Timestamp,
    fresh_until: Timestamp,
    expires_at: Timestamp,
}

/// Stores metadata documents.
#[derive(Clone, Debug)]
pub struct DocumentStore {
    dynamodb: DynamoDb,
}

impl DocumentStore {
    /// A store on `dynamodb`.
    pub fn new(dynamodb: DynamoDb) -> Self {
        Self { dynamodb }
    }

    /// The document of `client_id`, if one is stored. It may have outlived `fresh_until`: TTL only
    /// collects garbage, so the caller compares with the clock.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is not understood.
    pub async fn read(&self, client_id: &str) -> Result<Option<StoredDocument>, StoreError> {
        let answer = self
            .dynamodb
            .client
            .get_item()
            .table_name(self.dynamodb.name(DOCUMENTS))
            .key(DOCUMENTS.key, AttributeValue::S(key(client_id)))
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        let Some(attributes) = answer.item else { return Ok(None) };
        let item: Item =
            serde_dynamo::from_item(attributes).map_err(|error| StoreError::corrupt(DOCUMENTS, error))?;
        // The key is a digest; the exact string decides whose document it is (URL-10).
        if item.v != ITEM_VERSION || item.client_id != client_id {
            return Err(StoreError::corrupt(DOCUMENTS, "v or client_id"));
        }
        Ok(Some(StoredDocument {
            client_id: item.client_id,
            body: item.body,
            fetched_at: item.fetched_at,
            fresh_until: item.fresh_until,
        }))
    }

    /// Stores a valid document in place of an earlier one.
    ///
    /// # Errors
    /// [`StoreError`]; the flow can go on without the cache (FM007).
    pub async fn write(&self, document: &StoredDocument) -> Result<(), StoreError> {
        let item = Item {
            v: ITEM_VERSION,
            id: key(&document.client_id),
            client_id: document.client_id.clone(),
            body: document.body.clone(),
            fetched_at: document.fetched_at,
            fresh_until: document.fresh_until,
            expires_at: document.fresh_until,
        };
        let item = serde_dynamo::to_item(item).map_err(|error| StoreError::corrupt(DOCUMENTS, error))?;
        self.dynamodb
            .client
            .put_item()
            .table_name(self.dynamodb.name(DOCUMENTS))
            .set_item(Some(item))
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        Ok(())
    }
}

fn key(client_id: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, client_id.as_bytes()))
}
