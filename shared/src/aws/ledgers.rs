//! What is kept beside the copies of documents: replaced when somebody decides, and looked through.

use aws_sdk_dynamodb::types::Update;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::audit::Write;
use super::documents::{CopyKey, DocumentStore, Shared, corrupt, shared};
use super::item::{Attributes, number, text, written};
use super::table::DOCUMENTS;
use crate::fetch::FetchKind;

/// What must be true of an item whose ledger is replaced: nobody has fetched or decided since it was read.
const AMENDABLE: &str = "body.fetched_by = :seen AND revision = :revision";

const AMENDED: &str = "SET ledger = :ledger, revision = :next";

fn amendment<L: Serialize>(ledger: &L, fetched_by: &str, revision: u32) -> Result<Attributes, StoreError> {
    let ledger = serde_dynamo::to_attribute_value(ledger).map_err(corrupt)?;
    let values = [
        (":seen", text(fetched_by)),
        (":revision", number(u64::from(revision))),
        (":next", number(u64::from(revision) + 1)),
        (":ledger", ledger),
    ];
    Ok(values.map(|(name, value)| (name.to_owned(), value)).into())
}

impl DocumentStore {
    /// Replaces the ledger beside a copy if nobody else has since `revision`. `Ok(false)` means that
    /// somebody has, and nothing changed.
    ///
    /// # Errors
    /// [`StoreError`]; whether the change took effect must then be read again.
    pub async fn amend<L: Serialize>(
        &self,
        key: CopyKey<'_>,
        ledger: &L,
        fetched_by: &str,
        revision: u32,
    ) -> Result<bool, StoreError> {
        let update = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(DOCUMENTS))
            .key(DOCUMENTS.key, text(&key.id()))
            .condition_expression(AMENDABLE)
            .update_expression(AMENDED)
            .set_expression_attribute_values(Some(amendment(ledger, fetched_by, revision)?));
        written(update.send().await)
    }

    /// As [`Self::amend`], to be committed together with an entry of the audit trail.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down.
    pub fn amending<L: Serialize>(
        &self,
        key: CopyKey<'_>,
        ledger: &L,
        fetched_by: &str,
        revision: u32,
    ) -> Result<Write, StoreError> {
        Update::builder()
            .table_name(self.dynamodb.name(DOCUMENTS))
            .key(DOCUMENTS.key, text(&key.id()))
            .condition_expression(AMENDABLE)
            .update_expression(AMENDED)
            .set_expression_attribute_values(Some(amendment(ledger, fetched_by, revision)?))
            .build()
            .map(Write::update)
            .map_err(corrupt)
    }

    /// One page of all documents that were ever fetched, by URL, and where the next page begins. With
    /// `standing`, of those whose ledger says so. Pages may hold fewer than `limit`, even none.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read or are not understood.
    pub async fn page<L>(
        &self,
        standing: Option<&str>,
        after: Option<&str>,
        limit: i32,
    ) -> Result<(Vec<(String, Shared<L>)>, Option<String>), StoreError>
    where
        L: for<'de> Deserialize<'de>,
    {
        let scan = self
            .dynamodb
            .client
            .scan()
            .table_name(self.dynamodb.name(DOCUMENTS))
            .limit(limit)
            .set_exclusive_start_key(after.map(|id| [(DOCUMENTS.key.to_owned(), text(id))].into()));
        let scan = match standing {
            Some(standing) => scan
                .filter_expression("ledger.standing = :standing")
                .expression_attribute_values(":standing", text(standing)),
            None => scan.filter_expression("attribute_exists(ledger.standing)"),
        };
        let answer = scan.send().await.map_err(StoreError::from_sdk)?;
        let id = |item: &Attributes| item.get(DOCUMENTS.key).and_then(|id| id.as_s().ok()).cloned();
        let next = answer.last_evaluated_key().and_then(id);
        let mut found = Vec::new();
        for item in answer.items.unwrap_or_default() {
            let url = item.get("url").and_then(|url| url.as_s().ok()).cloned();
            let url = url.ok_or_else(|| corrupt("url"))?;
            let read = shared(CopyKey { kind: FetchKind::Document, url: &url }, item)?;
            found.push((url, read));
        }
        Ok((found, next))
    }
}
