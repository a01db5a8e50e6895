//! The writes of administrators, each made to be committed together with its audit entry (FM008).

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, Put, Update};

use super::audit::Write;
use super::dynamodb::Reading;
use super::grants;
use super::item::{Attributes, number, text};
use super::registrations;
use super::table::{GRANTS, GRANTS_BY_SUBJECT, GRANTS_BY_TOOL, REGISTRATIONS, TOOLS, Table};
use super::tools::{self, CHANGEABLE, Change, Expression};
use super::{DynamoDb, StoreError};
use crate::client::id::ClientId;
use crate::client::registration::Registration;
use crate::clock::Timestamp;
use crate::grant::{Grant, GrantId};
use crate::tool::{Merged, Tool, ToolId};

/// Makes writes, and sends none; reads what administrators look through.
#[derive(Clone, Debug)]
pub struct Governing {
    dynamodb: DynamoDb,
}

impl Governing {
    /// Writes for the tables of `dynamodb`.
    pub fn new(dynamodb: DynamoDb) -> Self {
        Self { dynamodb }
    }

    /// A change of a tool that still is at `revision`.
    ///
    /// # Errors
    /// [`StoreError`] if the change cannot be written down.
    pub fn change_tool(&self, id: &ToolId, change: &Change, revision: u64) -> Result<Write, StoreError> {
        let Expression { update, names, values } = tools::expression(change)?;
        let mut builder =
            self.update_tool(id, update, &format!("{CHANGEABLE} AND revision = :revision"), revision);
        for (name, attribute) in names {
            builder = builder.expression_attribute_names(name, attribute);
        }
        for (name, value) in values {
            builder = builder.expression_attribute_values(name, value);
        }
        builder.build().map(Write::update).map_err(|error| StoreError::corrupt(TOOLS, error))
    }

    /// Makes the tool `from`, which still is at `revision`, part of `into`, which still has its epoch.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down.
    pub fn merge_tool(&self, from: &ToolId, revision: u64, into: &Tool) -> Result<[Write; 2], StoreError> {
        let merged = Merged { into: into.id.clone(), epoch: into.epoch };
        let merged =
            serde_dynamo::to_attribute_value(merged).map_err(|error| StoreError::corrupt(TOOLS, error))?;
        let update = self
            .update_tool(
                from,
                "SET merged = :merged, revision = revision + :one",
                &format!("{CHANGEABLE} AND revision = :revision"),
                revision,
            )
            .expression_attribute_values(":merged", merged)
            .build()
            .map_err(|error| StoreError::corrupt(TOOLS, error))?;
        let check = ConditionCheck::builder()
            .table_name(self.dynamodb.name(TOOLS))
            .key(TOOLS.key, text(into.id.as_str()))
            .condition_expression(format!("{CHANGEABLE} AND epoch = :epoch"))
            .expression_attribute_values(":epoch", number(u64::from(into.epoch)))
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .build()
            .map_err(|error| StoreError::corrupt(TOOLS, error))?;
        Ok([Write::update(update), Write::check(check)])
    }

    /// Forgets a tool that still is at `revision`: its id and raised epoch remain, so that no old grant
    /// comes back to life when the tool is met again.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down.
    pub fn forget_tool(&self, id: &ToolId, revision: u64) -> Result<Write, StoreError> {
        self.update_tool(
            id,
            "SET forgotten = :true, epoch = epoch + :one, revision = revision + :one REMOVE merged, reviewed, census",
            "attribute_exists(id) AND forgotten = :false AND revision = :revision",
            revision,
        )
        .expression_attribute_values(":true", AttributeValue::Bool(true))
        .build()
        .map(Write::update)
        .map_err(|error| StoreError::corrupt(TOOLS, error))
    }

    fn update_tool(
        &self,
        id: &ToolId,
        update: &str,
        condition: &str,
        revision: u64,
    ) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        Update::builder()
            .table_name(self.dynamodb.name(TOOLS))
            .key(TOOLS.key, text(id.as_str()))
            .update_expression(update)
            .condition_expression(condition)
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .expression_attribute_values(":revision", number(revision))
    }

    /// Brings in a tool, unless there is one with its id.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down.
    pub fn add_tool(&self, new: &Tool) -> Result<Write, StoreError> {
        self.put(TOOLS, tools::item(new)?, "attribute_not_exists(id)", &[])
    }

    /// Puts a tool in place of a forgotten one, in its next epoch.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down.
    pub fn revive_tool(&self, forgotten: &Tool, as_new: &Tool) -> Result<Write, StoreError> {
        let mut revived = as_new.clone();
        revived.epoch = forgotten.epoch;
        revived.revision = forgotten.revision.saturating_add(1);
        let values = [(":true", AttributeValue::Bool(true)), (":revision", number(forgotten.revision))];
        self.put(TOOLS, tools::item(&revived)?, "forgotten = :true AND revision = :revision", &values)
    }

    /// Adds a registration, unless its client identifier has one that has not ended.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down.
    pub fn add_registration(&self, new: &Registration, now: Timestamp) -> Result<Write, StoreError> {
        let values = [(":now", number(now.epoch_seconds()))];
        let condition = "attribute_not_exists(id) OR ends_at <= :now";
        self.put(REGISTRATIONS, registrations::item(new)?, condition, &values)
    }

    /// Puts `changed` in place of a registration that still is at the revision before.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down.
    pub fn replace_registration(&self, changed: &Registration) -> Result<Write, StoreError> {
        let mut next = changed.clone();
        next.revision = changed.revision.saturating_add(1);
        let values = [(":revision", number(changed.revision))];
        self.put(REGISTRATIONS, registrations::item(&next)?, "revision = :revision", &values)
    }

    /// Removes a registration that still is at `revision`.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down.
    pub fn remove_registration(&self, client_id: &ClientId, revision: u64) -> Result<Write, StoreError> {
        Delete::builder()
            .table_name(self.dynamodb.name(REGISTRATIONS))
            .key(REGISTRATIONS.key, text(&registrations::key(client_id.as_str())))
            .condition_expression("revision = :revision")
            .expression_attribute_values(":revision", number(revision))
            .build()
            .map(Write::delete)
            .map_err(|error| StoreError::corrupt(REGISTRATIONS, error))
    }

    /// Ends a grant that exists.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down.
    pub fn revoke_grant(&self, id: GrantId) -> Result<Write, StoreError> {
        Update::builder()
            .table_name(self.dynamodb.name(GRANTS))
            .key(GRANTS.key, text(&id.to_string()))
            .condition_expression("attribute_exists(id)")
            .update_expression("SET stage = :revoked")
            .expression_attribute_values(":revoked", text("revoked"))
            .build()
            .map(Write::update)
            .map_err(|error| StoreError::corrupt(GRANTS, error))
    }

    fn put(
        &self,
        table: Table,
        item: Attributes,
        condition: &str,
        values: &[(&str, AttributeValue)],
    ) -> Result<Write, StoreError> {
        let put = Put::builder()
            .table_name(self.dynamodb.name(table))
            .set_item(Some(item))
            .condition_expression(condition);
        values
            .iter()
            .fold(put, |put, (name, value)| put.expression_attribute_values(*name, value.clone()))
            .build()
            .map(Write::put)
            .map_err(|error| StoreError::corrupt(table, error))
    }

    /// One page of the grants of a tool, sorted by subject, and where the next page begins. With `subject`,
    /// of that person only.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grants_of_tool(
        &self,
        tool: &ToolId,
        subject: Option<&str>,
        after: Option<&GrantPlace>,
        limit: i32,
    ) -> Result<(Vec<Grant>, Option<GrantPlace>), StoreError> {
        let query = self
            .query(GRANTS_BY_TOOL, limit)
            .key_condition_expression(match subject {
                Some(_) => "tool = :tool AND subject = :subject",
                None => "tool = :tool",
            })
            .expression_attribute_values(":tool", text(tool.as_str()))
            .set_exclusive_start_key(after.map(|place| {
                let start = [("tool", tool.as_str()), ("subject", &place.subject), (GRANTS.key, &place.id)];
                start.map(|(name, value)| (name.to_owned(), text(value))).into()
            }));
        let query = match subject {
            Some(subject) => query.expression_attribute_values(":subject", text(subject)),
            None => query,
        };
        self.page(query).await
    }

    /// One page of the grants of a person, and where the next page begins.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grants_of_person(
        &self,
        subject: &str,
        after: Option<&GrantPlace>,
        limit: i32,
    ) -> Result<(Vec<Grant>, Option<GrantPlace>), StoreError> {
        let query = self
            .query(GRANTS_BY_SUBJECT, limit)
            .key_condition_expression("subject = :subject")
            .expression_attribute_values(":subject", text(subject))
            .set_exclusive_start_key(after.map(|place| {
                let start = [("subject", subject), (GRANTS.key, &place.id)];
                start.map(|(name, value)| (name.to_owned(), text(value))).into()
            }));
        self.page(query).await
    }

    fn query(&self, index: &str, limit: i32) -> QueryFluentBuilder {
        self.dynamodb.client.query().table_name(self.dynamodb.name(GRANTS)).index_name(index).limit(limit)
    }

    async fn page(&self, query: QueryFluentBuilder) -> Result<(Vec<Grant>, Option<GrantPlace>), StoreError> {
        let answer = query.send().await.map_err(StoreError::from_sdk)?;
        let field =
            |item: &Attributes, name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        let next = answer.last_evaluated_key().and_then(|key| {
            Some(GrantPlace { subject: field(key, "subject")?, id: field(key, GRANTS.key)? })
        });
        let ids: Vec<GrantId> =
            answer.items().iter().filter_map(|item| GrantId::parse(&field(item, GRANTS.key)?)).collect();
        Ok((self.grants(&ids).await?, next))
    }

    /// Reads grants, in the order of `ids`; those that are gone are left out.
    async fn grants(&self, ids: &[GrantId]) -> Result<Vec<Grant>, StoreError> {
        let keys: Vec<_> = ids.iter().map(|id| (GRANTS, id.to_string())).collect();
        let mut found: HashMap<GrantId, Grant> = HashMap::new();
        for (_, item) in self.dynamodb.batch_get(&keys, Reading::Eventual).await? {
            let grant = grants::grant(item)?;
            found.insert(grant.id, grant);
        }
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }
}

/// Where a page of grants ends.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GrantPlace {
    /// The person.
    pub subject: String,
    /// The grant.
    pub id: String,
}
