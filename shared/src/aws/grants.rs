//! Grants in DynamoDB: one item each, every change one conditional write (DESIGN invariant 7).
//!
//! The SDK repeats a write whose answer was lost, and the repetition then meets the effect of the first
//! try as a failed condition (FM010 to FM012). So every write leaves a random mark of its own, and a
//! failed condition hands back the item: our mark in it means that we won.

use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure};
use serde::{Deserialize, Serialize};

use super::audit::Write;
use super::item::{Attributes, Once, has_mark, number, once, text, written};
use super::table::GRANTS;
use super::{DynamoDb, StoreError};
use crate::client::metadata::AuthMethod;
use crate::clock::Timestamp;
use crate::grant::{Active, ClientProof, Evidence, Grant, GrantId, Stage};
use crate::oauth::{CodeChallenge, Scope};
use crate::policy::Lifetimes;
use crate::tool::{Mechanism, ToolId};

/// Version of the item form. An item of another version is not honoured (FM028).
const ITEM_VERSION: u32 = 1;

/// How much longer than its credentials an item is kept, in seconds: long enough to recognise a late
/// replay, and for clocks that disagree (FM023).
const KEEP_AFTER_END_SECONDS: u64 = 86_400;

/// What a flow was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// The grant is stored.
    Stored,
    /// This flow was already answered; here is the grant that it led to.
    AlreadyAnswered(Box<Grant>),
}

/// What came of [`GrantStore::redeem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redemption {
    /// This call redeemed the code; nobody else can.
    Redeemed,
    /// The code was no longer there to be redeemed.
    Lost,
}

/// What came of [`GrantStore::rotate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// This call rotated; the next generation is the good one.
    Rotated,
    /// The grant had moved on; here it is now, if it still exists.
    Lost(Option<Box<Grant>>),
}

/// What came of [`GrantStore::retry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// This call took the one retry that a rotation allows.
    Taken,
    /// Somebody else took it, or the grant moved on.
    Lost,
}

/// Stores grants.
#[derive(Clone, Debug)]
pub struct GrantStore {
    pub(super) dynamodb: DynamoDb,
}

impl GrantStore {
    /// A store on `dynamodb`.
    pub fn new(dynamodb: DynamoDb) -> Self {
        Self { dynamodb }
    }

    /// Reads a grant with a strongly consistent read, because a credential is about to be honoured (FM020).
    ///
    /// # Errors
    /// [`StoreError`] if the grant cannot be read or is not understood.
    pub async fn read(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        let item = self.dynamodb.get(GRANTS, &id.to_string()).await?;
        item.map(grant).transpose()
    }

    /// Stores an approved grant, once per flow: to be committed with its record. Whether a commit that found
    /// a conflict is about this is what [`Self::answered`] says.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down.
    pub fn approving(&self, approved: &Grant, mark: &str) -> Result<Write, StoreError> {
        let item = serde_dynamo::to_item(Item::of(approved, mark))
            .map_err(|error| StoreError::corrupt(GRANTS, error))?;
        Put::builder()
            .table_name(self.dynamodb.name(GRANTS))
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(id)")
            .build()
            .map(Write::put)
            .map_err(|error| StoreError::corrupt(GRANTS, error))
    }

    /// What a flow was answered with; `None` if it was not. A grant with our own `mark` is the one that we
    /// stored: its answer was lost, and the write repeated (FM010).
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is not understood.
    pub async fn answered(&self, id: GrantId, mark: &str) -> Result<Option<Approval>, StoreError> {
        let item = self.dynamodb.get(GRANTS, &id.to_string()).await?;
        Ok(match item {
            Some(existing) if has_mark(&existing, mark) => Some(Approval::Stored),
            Some(existing) => Some(Approval::AlreadyAnswered(Box::new(grant(existing)?))),
            None => None,
        })
    }

    /// Redeems the code of an approved grant, whose client proved itself with `method` and binds what it
    /// gets to the DPoP key `dpop_jkt`, if any. Of any number of concurrent calls one gets
    /// [`Redemption::Redeemed`].
    ///
    /// # Errors
    /// [`StoreError`]; the code is then still good unless a later read says otherwise.
    pub async fn redeem(
        &self,
        approved: &Grant,
        method: AuthMethod,
        dpop_jkt: Option<&str>,
        now: Timestamp,
        lifetimes: &Lifetimes,
        mark: &str,
    ) -> Result<Redemption, StoreError> {
        let ends_at = now.plus(lifetimes.refresh_absolute());
        let idle = now.plus(lifetimes.refresh_idle()).min(ends_at);
        let last_use = if approved.refreshable { idle } else { now.plus(lifetimes.access_token()) };
        let mut update = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(GRANTS))
            .key(GRANTS.key, key(approved.id))
            .condition_expression("stage = :approved AND code_expires_at > :now");
        let set = "SET stage = :active, generation = :generation, retried = :false, rotated_at = :now, \
                   idle_expires_at = :idle, ends_at = :ends, expires_at = :expires, mark = :mark, \
                   auth_method = :method";
        update = match dpop_jkt {
            Some(jkt) => update
                .update_expression(format!("{set}, dpop_jkt = :jkt"))
                .expression_attribute_values(":jkt", text(jkt)),
            None => update.update_expression(format!("{set} REMOVE dpop_jkt")),
        };
        let result = update
            .expression_attribute_values(":method", text(method.as_str()))
            .expression_attribute_values(":approved", text(StageName::Approved.as_str()))
            .expression_attribute_values(":active", text(StageName::Active.as_str()))
            .expression_attribute_values(":generation", number(u64::from(approved.refreshable)))
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .expression_attribute_values(":now", number(now.epoch_seconds()))
            .expression_attribute_values(":idle", number(idle.epoch_seconds()))
            .expression_attribute_values(":ends", number(ends_at.epoch_seconds()))
            .expression_attribute_values(
                ":expires",
                number(last_use.epoch_seconds() + KEEP_AFTER_END_SECONDS),
            )
            .expression_attribute_values(":mark", text(mark))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        Ok(match once(result, mark)? {
            Once::Made => Redemption::Redeemed,
            Once::Lost(_) => Redemption::Lost,
        })
    }

    /// Rotates the refresh token of generation `from` to the next one. Of any number of concurrent calls
    /// one gets [`Rotation::Rotated`].
    ///
    /// # Errors
    /// [`StoreError`]; the presented token is then still good unless a later read says otherwise.
    pub async fn rotate(
        &self,
        id: GrantId,
        from: u32,
        now: Timestamp,
        lifetimes: &Lifetimes,
        ends_at: Timestamp,
        mark: &str,
    ) -> Result<Rotation, StoreError> {
        let idle = now.plus(lifetimes.refresh_idle()).min(ends_at);
        let result = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(GRANTS))
            .key(GRANTS.key, key(id))
            .condition_expression("stage = :active AND generation = :from AND idle_expires_at > :now")
            .update_expression(
                "SET generation = :to, retried = :false, rotated_at = :now, idle_expires_at = :idle, \
                 expires_at = :expires, mark = :mark",
            )
            .expression_attribute_values(":active", text(StageName::Active.as_str()))
            .expression_attribute_values(":from", number(u64::from(from)))
            .expression_attribute_values(":to", number(u64::from(from) + 1))
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .expression_attribute_values(":now", number(now.epoch_seconds()))
            .expression_attribute_values(":idle", number(idle.epoch_seconds()))
            .expression_attribute_values(":expires", number(idle.epoch_seconds() + KEEP_AFTER_END_SECONDS))
            .expression_attribute_values(":mark", text(mark))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        Ok(match once(result, mark)? {
            Once::Made => Rotation::Rotated,
            Once::Lost(item) => Rotation::Lost(item.map(grant).transpose()?.map(Box::new)),
        })
    }

    /// Takes the one retry that the rotation to `generation` allows (REF-08).
    ///
    /// # Errors
    /// [`StoreError`]; nothing is lost, the retry can be tried again.
    pub async fn retry(&self, id: GrantId, generation: u32, mark: &str) -> Result<Retry, StoreError> {
        let result = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(GRANTS))
            .key(GRANTS.key, key(id))
            .condition_expression("stage = :active AND generation = :generation AND retried = :false")
            .update_expression("SET retried = :true, mark = :mark")
            .expression_attribute_values(":active", text(StageName::Active.as_str()))
            .expression_attribute_values(":generation", number(u64::from(generation)))
            .expression_attribute_values(":false", AttributeValue::Bool(false))
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .expression_attribute_values(":mark", text(mark))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        Ok(match once(result, mark)? {
            Once::Made => Retry::Taken,
            Once::Lost(_) => Retry::Lost,
        })
    }

    /// Ends a grant for good. Ending one that has ended or is gone changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]; the grant may still be live, and the caller must not report success.
    pub async fn revoke(&self, id: GrantId) -> Result<(), StoreError> {
        let result = self
            .dynamodb
            .client
            .update_item()
            .table_name(self.dynamodb.name(GRANTS))
            .key(GRANTS.key, key(id))
            .condition_expression("attribute_exists(id)")
            .update_expression("SET stage = :revoked")
            .expression_attribute_values(":revoked", text(StageName::Revoked.as_str()))
            .send()
            .await;
        written(result).map(drop)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StageName {
    Approved,
    Active,
    Revoked,
}

impl StageName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Active => "active",
            Self::Revoked => "revoked",
        }
    }
}

/// The stored form. A missing attribute makes the item unreadable; none has a permissive default (FM027).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    v: u32,
    id: String,
    stage: StageName,
    subject: String,
    client_id: String,
    mechanism: Mechanism,
    tool: String,
    tool_epoch: u32,
    redirect_uri: String,
    resource: String,
    scope: String,
    code_challenge: String,
    auth_methods: Vec<AuthMethod>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_method: Option<AuthMethod>,
    dpop_required: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dpop_jkt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    document_digest: Option<String>,
    refreshable: bool,
    profile: String,
    approved_at: Timestamp,
    evidence: Evidence,
    code_expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rotated_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retried: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idle_expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<Timestamp>,
    expires_at: Timestamp,
    mark: String,
}

impl Item {
    fn of(grant: &Grant, mark: &str) -> Self {
        let (stage, code_expires_at, active) = match &grant.stage {
            Stage::Approved { code_expires_at } => (StageName::Approved, *code_expires_at, None),
            Stage::Active(active) => (StageName::Active, grant.approved_at, Some(*active)),
            Stage::Revoked => (StageName::Revoked, grant.approved_at, None),
        };
        let end = active.map_or(code_expires_at, |active| active.idle_expires_at);
        Self {
            v: ITEM_VERSION,
            id: grant.id.to_string(),
            stage,
            subject: grant.subject.clone(),
            client_id: grant.client_id.clone(),
            mechanism: grant.mechanism,
            tool: grant.tool.to_string(),
            tool_epoch: grant.tool_epoch,
            redirect_uri: grant.redirect_uri.clone(),
            resource: grant.resource.clone(),
            scope: grant.scope.to_string(),
            code_challenge: grant.code_challenge.as_str().to_owned(),
            auth_methods: grant.proof.declared.clone(),
            auth_method: grant.proof.method,
            dpop_required: grant.proof.dpop_required,
            dpop_jkt: grant.proof.dpop_jkt.clone(),
            document_digest: grant.document_digest.clone(),
            refreshable: grant.refreshable,
            profile: grant.profile.clone(),
            approved_at: grant.approved_at,
            evidence: grant.evidence.clone(),
            code_expires_at,
            generation: active.map(|active| active.generation),
            rotated_at: active.map(|active| active.rotated_at),
            retried: active.map(|active| active.retried),
            idle_expires_at: active.map(|active| active.idle_expires_at),
            ends_at: active.map(|active| active.ends_at),
            expires_at: Timestamp::from_epoch_seconds(end.epoch_seconds() + KEEP_AFTER_END_SECONDS),
            mark: mark.to_owned(),
        }
    }

    fn into_grant(self) -> Result<Grant, StoreError> {
        let corrupt = |attribute: &str| StoreError::corrupt(GRANTS, attribute);
        if self.v != ITEM_VERSION {
            return Err(corrupt("v"));
        }
        let stage = match self.stage {
            StageName::Approved => Stage::Approved { code_expires_at: self.code_expires_at },
            StageName::Active => Stage::Active(Active {
                generation: self.generation.ok_or_else(|| corrupt("generation"))?,
                rotated_at: self.rotated_at.ok_or_else(|| corrupt("rotated_at"))?,
                retried: self.retried.ok_or_else(|| corrupt("retried"))?,
                idle_expires_at: self.idle_expires_at.ok_or_else(|| corrupt("idle_expires_at"))?,
                ends_at: self.ends_at.ok_or_else(|| corrupt("ends_at"))?,
            }),
            StageName::Revoked => Stage::Revoked,
        };
        Ok(Grant {
            id: GrantId::parse(&self.id).ok_or_else(|| corrupt("id"))?,
            subject: self.subject,
            client_id: self.client_id,
            mechanism: self.mechanism,
            tool: ToolId::parse(&self.tool).ok_or_else(|| corrupt("tool"))?,
            tool_epoch: self.tool_epoch,
            redirect_uri: self.redirect_uri,
            resource: self.resource,
            scope: Scope::parse(&self.scope).map_err(|_| corrupt("scope"))?,
            code_challenge: CodeChallenge::from_stored(self.code_challenge),
            proof: ClientProof {
                declared: self.auth_methods,
                method: self.auth_method,
                dpop_required: self.dpop_required,
                dpop_jkt: self.dpop_jkt,
            },
            document_digest: self.document_digest,
            refreshable: self.refreshable,
            profile: self.profile,
            approved_at: self.approved_at,
            evidence: self.evidence,
            stage,
        })
    }
}

pub(super) fn grant(attributes: Attributes) -> Result<Grant, StoreError> {
    let item: Item =
        serde_dynamo::from_item(attributes).map_err(|error| StoreError::corrupt(GRANTS, error))?;
    item.into_grant()
}

fn key(id: GrantId) -> AttributeValue {
    AttributeValue::S(id.to_string())
}
