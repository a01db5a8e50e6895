//! Everything that decides about one request, read in one round trip (DESIGN section 9).

use aws_sdk_dynamodb::types::KeysAndAttributes;

use super::grants;
use super::item::{Attributes, text};
use super::registrations;
use super::table::{GRANTS, REGISTRATIONS, TOOLS, Table};
use super::tools;
use super::{DynamoDb, StoreError};
use crate::client::registration::Registration;
use crate::grant::{Grant, GrantId};
use crate::tool::{MERGES_MAX, Tool, ToolId};

/// Rounds of asking again for keys that DynamoDB did not get to (FM029).
const ROUNDS_MAX: usize = 3;

/// What is wanted; each is optional.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// A grant.
    pub grant: Option<GrantId>,
    /// A tool; if it was merged, the tools that it has become part of come along.
    pub tool: Option<&'a ToolId>,
    /// The registration of a client identifier.
    pub client_id: Option<&'a str>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// The grant.
    pub grant: Option<Grant>,
    /// The tool, then the tools it was merged into, in order. Empty if there is none.
    pub tools: Vec<Tool>,
    /// The registration. It may have ended.
    pub registration: Option<Registration>,
}

/// Reads records, all strongly consistent, because credentials are honoured by them (FM020).
#[derive(Clone, Debug)]
pub struct RecordReader {
    dynamodb: DynamoDb,
}

impl RecordReader {
    /// A reader on `dynamodb`.
    pub fn new(dynamodb: DynamoDb) -> Self {
        Self { dynamodb }
    }

    /// Reads what is wanted: one round trip, and one more per merge.
    ///
    /// # Errors
    /// [`StoreError`] if anything wanted cannot be read or is not understood.
    pub async fn read(&self, wanted: Wanted<'_>) -> Result<Records, StoreError> {
        let mut keys = Vec::new();
        keys.extend(wanted.grant.map(|id| (GRANTS, id.to_string())));
        keys.extend(wanted.tool.map(|id| (TOOLS, id.as_str().to_owned())));
        keys.extend(wanted.client_id.map(|id| (REGISTRATIONS, registrations::key(id))));
        let mut records = Records::default();
        for (table, attributes) in self.get(keys).await? {
            if table == GRANTS {
                records.grant = Some(grants::grant(attributes)?);
            } else if table == TOOLS {
                records.tools.push(tools::tool(attributes)?);
            } else if let Some(client_id) = wanted.client_id {
                records.registration = Some(registrations::registration(attributes, client_id)?);
            }
        }
        self.follow_merges(&mut records.tools).await?;
        Ok(records)
    }

    /// Reads a tool and, if it was merged, the tools it has become part of.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn tools(&self, id: &ToolId) -> Result<Vec<Tool>, StoreError> {
        Ok(self.read(Wanted { tool: Some(id), ..Wanted::default() }).await?.tools)
    }

    async fn follow_merges(&self, tools: &mut Vec<Tool>) -> Result<(), StoreError> {
        for _ in 0..MERGES_MAX {
            let Some(merged) = tools.last().and_then(|tool| tool.merged.clone()) else { return Ok(()) };
            let found = self.get(vec![(TOOLS, merged.into.as_str().to_owned())]).await?;
            let Some((_, attributes)) = found.into_iter().next() else { return Ok(()) };
            tools.push(tools::tool(attributes)?);
        }
        Ok(())
    }

    async fn get(&self, keys: Vec<(Table, String)>) -> Result<Vec<(Table, Attributes)>, StoreError> {
        let mut found = Vec::new();
        let mut request = std::collections::HashMap::new();
        for (table, key) in &keys {
            let keys = KeysAndAttributes::builder()
                .keys([(table.key.to_owned(), text(key))].into())
                .consistent_read(true)
                .build()
                .map_err(|error| StoreError::corrupt(*table, error))?;
            request.insert(self.dynamodb.name(*table), keys);
        }
        for _ in 0..ROUNDS_MAX {
            if request.is_empty() {
                return Ok(found);
            }
            let answer = self
                .dynamodb
                .client
                .batch_get_item()
                .set_request_items(Some(request))
                .send()
                .await
                .map_err(StoreError::from_sdk)?;
            for (name, items) in answer.responses.unwrap_or_default() {
                let table =
                    keys.iter().map(|(table, _)| *table).find(|table| self.dynamodb.name(*table) == name);
                found.extend(
                    table.into_iter().flat_map(|table| items.iter().cloned().map(move |item| (table, item))),
                );
            }
            request = answer.unprocessed_keys.unwrap_or_default();
        }
        if request.is_empty() {
            Ok(found)
        } else {
            Err(StoreError::Unavailable("keys stayed unprocessed".to_owned()))
        }
    }
}
