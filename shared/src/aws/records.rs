//! Everything that decides about one request, read in one round trip (DESIGN section 9).

use super::dynamodb::Reading;
use super::grants;
use super::registrations;
use super::table::{GRANTS, REGISTRATIONS, TOOLS};
use super::tools;
use super::{DynamoDb, StoreError};
use crate::client::registration::Registration;
use crate::grant::{Grant, GrantId};
use crate::tool::{MERGES_MAX, Tool, ToolId};

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
        for (table, attributes) in self.dynamodb.batch_get(&keys, Reading::Consistent).await? {
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
            let found = self
                .dynamodb
                .batch_get(&[(TOOLS, merged.into.as_str().to_owned())], Reading::Consistent)
                .await?;
            let Some((_, attributes)) = found.into_iter().next() else { return Ok(()) };
            tools.push(tools::tool(attributes)?);
        }
        Ok(())
    }
}
