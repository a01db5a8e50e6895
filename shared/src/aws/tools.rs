//! Tools in DynamoDB: one item each; whatever is decided about a tool is one write to it, however many
//! people use it (DESIGN invariant 4).

use std::collections::HashSet;

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Put, ReturnValue, Select, TransactWriteItem, Update,
};
use serde::{Deserialize, Serialize};

use super::audit::Write;
use super::item::{Attributes, condition_failure, number, text, written};
use super::registrations::{self, RegistrationStore};
use super::table::{GRANTS, GRANTS_BY_TOOL, REGISTRATIONS, TOOLS, Table};
use super::{DynamoDb, StoreError};
use crate::client::registration::Registration;
use crate::clock::Timestamp;
use crate::tool::{Ceiling, Census, Introduced, Merged, Reviewed, Status, Tool, ToolId};

const ITEM_VERSION: u32 = 1;

/// Last use is written at most this often, in seconds.
pub(super) const LAST_USE_GRAIN_SECONDS: u64 = 3600;

/// What came of bringing in a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// This call brought it in.
    New,
    /// It, or its registration, was there already; nothing was changed.
    Existed,
}

/// A change that an administrator makes to a tool's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Approve or enable it.
    Enable(Reviewed),
    /// Disable it, or deny a pending one.
    Disable,
    /// Note that its publisher withdrew it.
    Withdraw,
    /// End all its grants.
    Revoke,
    /// Give it another name.
    Rename(String),
    /// Set its bounds.
    SetCeiling(Ceiling),
    /// Set its profile by hand, or leave it to the rules.
    SetProfile(Option<String>),
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It was made; this is the tool now.
    Made(Box<Tool>),
    /// The tool is not at the revision that the caller has seen, or does not exist.
    Conflict,
}

/// Stores tools.
#[derive(Clone, Debug)]
pub struct ToolStore {
    dynamodb: DynamoDb,
}

impl ToolStore {
    /// A store on `dynamodb`.
    pub fn new(dynamodb: DynamoDb) -> Self {
        Self { dynamodb }
    }

    /// Reads a tool, strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is not understood.
    pub async fn read(&self, id: &ToolId) -> Result<Option<Tool>, StoreError> {
        let item = self.dynamodb.get(TOOLS, id.as_str()).await?;
        item.map(tool).transpose()
    }

    /// Brings in a tool that has no registration yet.
    ///
    /// # Errors
    /// [`StoreError`]; calling again is safe.
    pub async fn add(&self, new: &Tool) -> Result<Introduction, StoreError> {
        let result = self
            .dynamodb
            .client
            .put_item()
            .table_name(self.dynamodb.name(TOOLS))
            .set_item(Some(item(new)?))
            .condition_expression("attribute_not_exists(id)")
            .send()
            .await;
        Ok(if written(result)? { Introduction::New } else { Introduction::Existed })
    }

    /// Brings in a tool together with its first registration: both or neither. Of any number of people
    /// who use an unknown tool at once, one gets [`Introduction::New`].
    ///
    /// # Errors
    /// [`StoreError`]; calling again is safe.
    pub async fn introduce(
        &self,
        new: &Tool,
        registration: &Registration,
    ) -> Result<Introduction, StoreError> {
        let writes = self.introducing(new, registration)?.into_iter().map(Write::into_item).collect();
        let sent = self.dynamodb.client.transact_write_items().set_transact_items(Some(writes)).send().await;
        Ok(if written(sent)? { Introduction::New } else { Introduction::Existed })
    }

    /// The writes of [`Self::introduce`], to be committed together with a record.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be written down.
    pub fn introducing(&self, new: &Tool, registration: &Registration) -> Result<Vec<Write>, StoreError> {
        Ok(vec![
            self.put_new(TOOLS, item(new)?)?,
            self.put_new(REGISTRATIONS, registrations::item(registration)?)?,
        ])
    }

    /// Brings in the tool of a client that registered itself before anybody used it, and lets its registration
    /// live until `ends_at`.
    ///
    /// # Errors
    /// [`StoreError`] if the writes cannot be written down.
    pub fn introducing_registered(
        &self,
        new: &Tool,
        registration: &Registration,
        ends_at: Timestamp,
    ) -> Result<Vec<Write>, StoreError> {
        let used = Update::builder()
            .table_name(self.dynamodb.name(REGISTRATIONS))
            .key(REGISTRATIONS.key, text(&registrations::key(registration.client_id.as_str())))
            .condition_expression("tool = :tool")
            .update_expression("SET last_used_at = :now, ends_at = :ends, expires_at = :ends")
            .expression_attribute_values(":tool", text(new.id.as_str()))
            .expression_attribute_values(":now", number(new.introduced.at.epoch_seconds()))
            .expression_attribute_values(":ends", number(ends_at.epoch_seconds()))
            .build()
            .map_err(|error| StoreError::corrupt(REGISTRATIONS, error))?;
        Ok(vec![self.put_new(TOOLS, item(new)?)?, Write::update(used)])
    }

    fn put_new(&self, table: Table, item: Attributes) -> Result<Write, StoreError> {
        Put::builder()
            .table_name(self.dynamodb.name(table))
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(id)")
            .build()
            .map(Write::put)
            .map_err(|error| StoreError::corrupt(table, error))
    }

    /// Makes a change, in one write. With `revision`, only if the tool still is at it.
    ///
    /// # Errors
    /// [`StoreError`]; whether the change was made must then be read again.
    pub async fn change(
        &self,
        id: &ToolId,
        change: &Change,
        revision: Option<u64>,
    ) -> Result<Changed, StoreError> {
        let mut condition = CHANGEABLE.to_owned();
        let Expression { update, names, values } = expression(change)?;
        let mut update = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(TOOLS))
            .key(TOOLS.key, text(id.as_str()))
            .update_expression(update)
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":false", AttributeValue::Bool(false));
        for (name, attribute) in names {
            update = update.expression_attribute_names(name, attribute);
        }
        for (name, value) in values {
            update = update.expression_attribute_values(name, value);
        }
        if let Some(revision) = revision {
            condition.push_str(" AND revision = :revision");
            update = update.expression_attribute_values(":revision", number(revision));
        }
        let result = update.condition_expression(condition).return_values(ReturnValue::AllNew).send().await;
        match result {
            Ok(answer) => {
                let attributes =
                    answer.attributes.ok_or_else(|| StoreError::corrupt(TOOLS, "no attributes came back"))?;
                Ok(Changed::Made(Box::new(tool(attributes)?)))
            }
            Err(error) if condition_failure(&error).is_some() => Ok(Changed::Conflict),
            Err(error) => Err(StoreError::from_sdk(error)),
        }
    }

    /// Keeps why somebody wants a pending tool. The first reason stays.
    ///
    /// # Errors
    /// [`StoreError`]; calling again is safe.
    pub async fn give_reason(&self, id: &ToolId, reason: &str) -> Result<(), StoreError> {
        let result = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(TOOLS))
            .key(TOOLS.key, text(id.as_str()))
            .condition_expression("#status = :pending AND attribute_not_exists(reason)")
            .update_expression("SET reason = :reason")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":pending", text(Status::Pending.as_str()))
            .expression_attribute_values(":reason", text(reason))
            .send()
            .await;
        written(result).map(drop)
    }

    /// Makes `from` part of `into`: its registrations belong to `into` from now on, its grants go on.
    ///
    /// The one write that decides comes first; moving the registrations is repeated safely by calling
    /// again.
    ///
    /// # Errors
    /// [`StoreError`]; calling again is safe.
    pub async fn merge(&self, from: &ToolId, into: &Tool) -> Result<Changed, StoreError> {
        if *from == into.id {
            return Ok(Changed::Conflict);
        }
        let merged = Merged { into: into.id.clone(), epoch: into.epoch };
        let merged =
            serde_dynamo::to_attribute_value(merged).map_err(|error| StoreError::corrupt(TOOLS, error))?;
        let update = Update::builder()
            .table_name(self.dynamodb.name(TOOLS))
            .key(TOOLS.key, text(from.as_str()))
            .condition_expression(
                "attribute_exists(id) AND forgotten = :false AND (attribute_not_exists(merged) OR merged = :merged)",
            )
            .update_expression("SET merged = :merged, revision = revision + :one")
            .expression_attribute_values(":merged", merged)
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .build()
            .map_err(|error| StoreError::corrupt(TOOLS, error))?;
        let check = ConditionCheck::builder()
            .table_name(self.dynamodb.name(TOOLS))
            .key(TOOLS.key, text(into.id.as_str()))
            .condition_expression(
                "attribute_exists(id) AND forgotten = :false AND attribute_not_exists(merged) AND epoch = :epoch",
            )
            .expression_attribute_values(":epoch", number(u64::from(into.epoch)))
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .build()
            .map_err(|error| StoreError::corrupt(TOOLS, error))?;
        let result = self
            .dynamodb
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().update(update).build())
            .transact_items(TransactWriteItem::builder().condition_check(check).build())
            .send()
            .await;
        if !written(result)? {
            return Ok(Changed::Conflict);
        }
        let registrations = RegistrationStore::new(self.dynamodb.clone());
        for registration in registrations.of_tool(from).await? {
            registrations.move_to(&registration.client_id, &into.id).await?;
        }
        Ok(Changed::Made(Box::new(into.clone())))
    }

    /// Forgets a tool: ends its grants in one write, then removes its registrations. What remains is its
    /// id and epoch, so that no old grant can come back to life when the tool is met again.
    ///
    /// # Errors
    /// [`StoreError`]; calling again is safe.
    pub async fn forget(&self, id: &ToolId) -> Result<Changed, StoreError> {
        let result = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(TOOLS))
            .key(TOOLS.key, text(id.as_str()))
            .condition_expression("attribute_exists(id)")
            .update_expression(
                "SET forgotten = :true, epoch = epoch + :one, revision = revision + :one REMOVE merged, reviewed, census",
            )
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":one", number(1))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        let forgotten = match result {
            Ok(answer) => tool(answer.attributes.unwrap_or_default())?,
            Err(error) if condition_failure(&error).is_some() => return Ok(Changed::Conflict),
            Err(error) => return Err(StoreError::from_sdk(error)),
        };
        let registrations = RegistrationStore::new(self.dynamodb.clone());
        for registration in registrations.of_tool(id).await? {
            registrations.remove(&registration.client_id).await?;
        }
        Ok(Changed::Made(Box::new(forgotten)))
    }

    /// Brings a forgotten tool back as `tool` describes it, in its next epoch.
    ///
    /// # Errors
    /// [`StoreError`]; calling again is safe.
    pub async fn revive(&self, forgotten: &Tool, as_new: &Tool) -> Result<Changed, StoreError> {
        let mut revived = as_new.clone();
        revived.epoch = forgotten.epoch;
        revived.revision = forgotten.revision.saturating_add(1);
        let result = self
            .dynamodb
            .client
            .put_item()
            .table_name(self.dynamodb.name(TOOLS))
            .set_item(Some(item(&revived)?))
            .condition_expression("forgotten = :true AND revision = :revision")
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":revision", number(forgotten.revision))
            .send()
            .await;
        Ok(if written(result)? { Changed::Made(Box::new(revived)) } else { Changed::Conflict })
    }

    /// The write of [`Self::revive`], to be committed together with a record.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down.
    pub fn reviving(&self, forgotten: &Tool, as_new: &Tool) -> Result<Write, StoreError> {
        super::Governing::new(self.dynamodb.clone()).revive_tool(forgotten, as_new)
    }

    /// Notes that the tool was used at `now`, unless that was noted within the last hour.
    ///
    /// # Errors
    /// [`StoreError`]; the request that used it need not fail for that.
    pub async fn note_use(&self, used: &Tool, now: Timestamp) -> Result<(), StoreError> {
        if used
            .last_used_at
            .is_some_and(|last| now.epoch_seconds() < last.epoch_seconds() + LAST_USE_GRAIN_SECONDS)
        {
            return Ok(());
        }
        self.dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(TOOLS))
            .key(TOOLS.key, text(used.id.as_str()))
            .condition_expression("attribute_exists(id)")
            .update_expression("SET last_used_at = :now")
            .expression_attribute_values(":now", number(now.epoch_seconds()))
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        Ok(())
    }

    /// Counts the people and live grants of tools that count as one, each with its present epoch: grants of
    /// an earlier one have ended. Reads the index page by page.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count(&self, tools: &[(ToolId, u32)], now: Timestamp) -> Result<Census, StoreError> {
        let mut census = Census { counted_at: now, ..Census::default() };
        // Only across tools does somebody show up again: within one, the index is sorted by subject.
        let mut people = HashSet::new();
        for (id, epoch) in tools {
            let mut last = None;
            let mut pages = self
                .dynamodb
                .client
                .query()
                .table_name(self.dynamodb.name(GRANTS))
                .index_name(GRANTS_BY_TOOL)
                .select(Select::SpecificAttributes)
                .projection_expression("subject, stage, idle_expires_at, tool_epoch")
                .key_condition_expression("tool = :tool")
                .expression_attribute_values(":tool", text(id.as_str()))
                .into_paginator()
                .send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(StoreError::from_sdk)?;
                for grant in page.items().iter().filter(|grant| is_live(grant, *epoch, now)) {
                    census.grants += 1;
                    let subject = grant.get("subject").and_then(|value| value.as_s().ok()).cloned();
                    if subject != last {
                        let is_new = tools.len() == 1 || people.insert(subject.clone());
                        census.users += u64::from(is_new);
                        last = subject;
                    }
                }
            }
        }
        Ok(census)
    }

    /// Keeps a count for the pages that show it.
    ///
    /// # Errors
    /// [`StoreError`]; the next count replaces it anyway.
    pub async fn keep_census(&self, id: &ToolId, census: &Census) -> Result<(), StoreError> {
        let census =
            serde_dynamo::to_attribute_value(census).map_err(|error| StoreError::corrupt(TOOLS, error))?;
        self.dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(TOOLS))
            .key(TOOLS.key, text(id.as_str()))
            .condition_expression("attribute_exists(id)")
            .update_expression("SET census = :census")
            .expression_attribute_values(":census", census)
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        Ok(())
    }

    /// One page of all tools, forgotten ones left out, and where the next page begins.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page(
        &self,
        after: Option<&ToolId>,
        limit: i32,
    ) -> Result<(Vec<Tool>, Option<ToolId>), StoreError> {
        let answer = self
            .dynamodb
            .client
            .scan()
            .table_name(self.dynamodb.name(TOOLS))
            .limit(limit)
            .set_exclusive_start_key(after.map(|id| [(TOOLS.key.to_owned(), text(id.as_str()))].into()))
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        let next = answer
            .last_evaluated_key()
            .and_then(|key| key.get(TOOLS.key))
            .and_then(|value| value.as_s().ok())
            .and_then(|id| ToolId::parse(id));
        let tools: Result<Vec<Tool>, StoreError> =
            answer.items.unwrap_or_default().into_iter().map(tool).collect();
        Ok((tools?.into_iter().filter(|tool| !tool.forgotten).collect(), next))
    }
}

/// An update as DynamoDB wants it said, whether it is sent alone or in a transaction.
pub(super) struct Expression {
    pub(super) update: &'static str,
    pub(super) names: Vec<(&'static str, &'static str)>,
    pub(super) values: Vec<(&'static str, AttributeValue)>,
}

/// What is true of every tool that can be changed: it exists, stands for itself, and is not forgotten.
pub(super) const CHANGEABLE: &str =
    "attribute_exists(id) AND forgotten = :false AND attribute_not_exists(merged)";

pub(super) fn expression(change: &Change) -> Result<Expression, StoreError> {
    const STATUS: (&str, &str) = ("#status", "status");
    let value = |value: Result<AttributeValue, serde_dynamo::Error>| {
        value.map_err(|error| StoreError::corrupt(TOOLS, error))
    };
    let status = |status: Status| (":status", text(status.as_str()));
    let set_status = "SET #status = :status, revision = revision + :one";
    let (update, names, values) = match change {
        Change::Enable(reviewed) => (
            "SET #status = :status, reviewed = :reviewed, revision = revision + :one",
            vec![STATUS],
            vec![status(Status::Enabled), (":reviewed", value(serde_dynamo::to_attribute_value(reviewed))?)],
        ),
        Change::Disable => (set_status, vec![STATUS], vec![status(Status::Disabled)]),
        Change::Withdraw => (set_status, vec![STATUS], vec![status(Status::Withdrawn)]),
        Change::Revoke => ("SET epoch = epoch + :one, revision = revision + :one", vec![], vec![]),
        Change::Rename(name) => (
            "SET #name = :name, revision = revision + :one",
            vec![("#name", "name")],
            vec![(":name", text(name))],
        ),
        Change::SetCeiling(ceiling) => (
            "SET ceiling = :ceiling, revision = revision + :one",
            vec![],
            vec![(":ceiling", value(serde_dynamo::to_attribute_value(ceiling))?)],
        ),
        Change::SetProfile(Some(profile)) => {
            ("SET profile = :profile, revision = revision + :one", vec![], vec![(":profile", text(profile))])
        }
        Change::SetProfile(None) => ("SET revision = revision + :one REMOVE profile", vec![], vec![]),
    };
    Ok(Expression { update, names, values })
}

/// Redeemed, not expired, and of the tool's present epoch. Approved ones count once they are redeemed, revoked
/// ones never.
fn is_live(grant: &Attributes, epoch: u32, now: Timestamp) -> bool {
    let number = |name: &str| -> Option<u64> { grant.get(name)?.as_n().ok()?.parse().ok() };
    let stage = grant.get("stage").and_then(|value| value.as_s().ok()).map(String::as_str);
    stage == Some("active")
        && number("tool_epoch") == Some(u64::from(epoch))
        && number("idle_expires_at").is_some_and(|expires| now.epoch_seconds() < expires)
}

/// The stored form.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    v: u32,
    id: ToolId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    status: Status,
    epoch: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    ceiling: Ceiling,
    introduced: Introduced,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reviewed: Option<Reviewed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    merged: Option<Merged>,
    forgotten: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    census: Option<Census>,
    revision: u64,
}

pub(super) fn item(tool: &Tool) -> Result<Attributes, StoreError> {
    let tool = tool.clone();
    serde_dynamo::to_item(Item {
        v: ITEM_VERSION,
        id: tool.id,
        name: tool.name,
        status: tool.status,
        epoch: tool.epoch,
        profile: tool.profile,
        ceiling: tool.ceiling,
        introduced: tool.introduced,
        reviewed: tool.reviewed,
        reason: tool.reason,
        last_used_at: tool.last_used_at,
        merged: tool.merged,
        forgotten: tool.forgotten,
        census: tool.census,
        revision: tool.revision,
    })
    .map_err(|error| StoreError::corrupt(TOOLS, error))
}

pub(super) fn tool(attributes: Attributes) -> Result<Tool, StoreError> {
    let item: Item =
        serde_dynamo::from_item(attributes).map_err(|error| StoreError::corrupt(TOOLS, error))?;
    if item.v != ITEM_VERSION {
        return Err(StoreError::corrupt(TOOLS, "v"));
    }
    Ok(Tool {
        id: item.id,
        name: item.name,
        status: item.status,
        epoch: item.epoch,
        profile: item.profile,
        ceiling: item.ceiling,
        introduced: item.introduced,
        reviewed: item.reviewed,
        reason: item.reason,
        last_used_at: item.last_used_at,
        merged: item.merged,
        forgotten: item.forgotten,
        census: item.census,
        revision: item.revision,
    })
}
