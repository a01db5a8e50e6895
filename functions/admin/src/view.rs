//! What administrators see: the wire forms of the records. Times are seconds since the Unix epoch.

use serde::{Deserialize, Serialize};
use shared::client::registration::Registration;
use shared::clock::Timestamp;
use shared::grant::{Grant, Stage};
use shared::tool::{Ceiling, Introduced, Tool};
use utoipa::ToSchema;

/// How something came in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IntroducedView {
    /// When.
    at: u64,
    /// The subject of a person, the ARN of an administrator, or `registration`.
    by: String,
    /// `pre_registered`, `metadata_document`, or `dynamic`.
    mechanism: &'static str,
}

impl From<&Introduced> for IntroducedView {
    fn from(introduced: &Introduced) -> Self {
        Self {
            at: introduced.at.epoch_seconds(),
            by: introduced.by.clone(),
            mechanism: introduced.mechanism.as_str(),
        }
    }
}

/// Bounds on grants; a member that is left out sets none.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CeilingView {
    /// Scopes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scopes: Option<Vec<String>>,
    /// Resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resources: Option<Vec<String>>,
    /// Groups of which a person must be in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) groups: Option<Vec<String>>,
}

impl From<&Ceiling> for CeilingView {
    fn from(ceiling: &Ceiling) -> Self {
        Self {
            scopes: ceiling.scopes.clone(),
            resources: ceiling.resources.clone(),
            groups: ceiling.groups.clone(),
        }
    }
}

impl From<CeilingView> for Ceiling {
    fn from(view: CeilingView) -> Self {
        Self { scopes: view.scopes, resources: view.resources, groups: view.groups }
    }
}

/// People and live grants of a tool.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct CensusView {
    /// People with a live grant.
    pub(crate) users: u64,
    /// Live grants.
    pub(crate) grants: u64,
    /// When they were counted.
    pub(crate) counted_at: u64,
}

/// A tool.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ToolView {
    /// Its id.
    pub(crate) id: String,
    /// The name that administrators gave it, or that it brought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// `pending`, `enabled`, `disabled`, or `withdrawn`.
    status: &'static str,
    /// Whether an administrator has reviewed it, or entered it.
    governed: bool,
    /// A profile set by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    /// Bounds on its grants.
    ceiling: CeilingView,
    /// How it came in first.
    introduced: IntroducedView,
    /// When an administrator approved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reviewed_at: Option<u64>,
    /// Who did.
    #[serde(skip_serializing_if = "Option::is_none")]
    reviewed_by: Option<String>,
    /// What the person who asked for it wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When it was used last, to the hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<u64>,
    /// The tool that it has become part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    merged_into: Option<String>,
    /// People and grants, as last counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) census: Option<CensusView>,
    /// Raised to end all its grants.
    epoch: u32,
    /// What `If-Match` takes.
    pub(crate) revision: u64,
    /// Its client identifiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) registrations: Option<Vec<RegistrationView>>,
}

impl From<&Tool> for ToolView {
    fn from(tool: &Tool) -> Self {
        Self {
            id: tool.id.to_string(),
            name: tool.name.clone(),
            status: tool.status.as_str(),
            governed: tool.is_governed(),
            profile: tool.profile.clone(),
            ceiling: (&tool.ceiling).into(),
            introduced: (&tool.introduced).into(),
            reviewed_at: tool.reviewed.as_ref().map(|reviewed| reviewed.at.epoch_seconds()),
            reviewed_by: tool.reviewed.as_ref().map(|reviewed| reviewed.by.clone()),
            reason: tool.reason.clone(),
            last_used_at: tool.last_used_at.map(Timestamp::epoch_seconds),
            merged_into: tool.merged.as_ref().map(|merged| merged.into.to_string()),
            census: tool.census.map(|census| CensusView {
                users: census.users,
                grants: census.grants,
                counted_at: census.counted_at.epoch_seconds(),
            }),
            epoch: tool.epoch,
            revision: tool.revision,
            registrations: None,
        }
    }
}

/// A client secret, without the secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretView {
    /// When it was made.
    created_at: u64,
    /// When it stops working.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

/// A registration.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegistrationView {
    /// The client identifier, exactly.
    pub(crate) client_id: String,
    /// The tool it belongs to.
    tool: String,
    /// How it came in.
    introduced: IntroducedView,
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<String>,
    /// Where codes may go; empty if its metadata document says that.
    redirect_uris: Vec<String>,
    /// How it authenticates; empty if its metadata document says that.
    token_endpoint_auth_methods: Vec<&'static str>,
    /// Its secrets, the newest first.
    secrets: Vec<SecretView>,
    /// When it was used last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<u64>,
    /// When it ends unless it is used before.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<u64>,
    /// What `If-Match` takes.
    pub(crate) revision: u64,
}

impl From<&Registration> for RegistrationView {
    fn from(registration: &Registration) -> Self {
        let metadata = registration.metadata.as_ref();
        Self {
            client_id: registration.client_id.as_str().to_owned(),
            tool: registration.tool.to_string(),
            introduced: (&registration.introduced).into(),
            client_name: metadata.and_then(|metadata| metadata.client_name.clone()),
            redirect_uris: metadata
                .map(|metadata| metadata.redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect())
                .unwrap_or_default(),
            token_endpoint_auth_methods: metadata
                .map(|metadata| {
                    metadata.auth_methods.declared().iter().map(|method| method.as_str()).collect()
                })
                .unwrap_or_default(),
            secrets: registration
                .secrets
                .iter()
                .map(|secret| SecretView {
                    created_at: secret.created_at.epoch_seconds(),
                    expires_at: secret.expires_at.map(Timestamp::epoch_seconds),
                })
                .collect(),
            last_used_at: registration.last_used_at.map(Timestamp::epoch_seconds),
            ends_at: registration.ends_at.map(Timestamp::epoch_seconds),
            revision: registration.revision,
        }
    }
}

/// A grant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantView {
    /// Its id. It is no credential.
    id: String,
    /// The person.
    subject: String,
    /// The client identifier.
    client_id: String,
    /// The tool.
    tool: String,
    /// The MCP server.
    resource: String,
    /// What was approved.
    scope: String,
    /// `approved`, `active`, or `revoked`.
    stage: &'static str,
    /// Whether it is honoured: its stage aside, the tool may be disabled, or its grants ended.
    honoured: bool,
    /// When the person approved.
    approved_at: u64,
    /// The host that the page showed for the redirect.
    redirect_host: String,
    /// The metadata document that was in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    document_digest: Option<String>,
    /// When it ends if it is not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_expires_at: Option<u64>,
    /// When it ends at last.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<u64>,
}

impl GrantView {
    pub(crate) fn of(grant: &Grant, honoured: bool) -> Self {
        let (stage, active) = match &grant.stage {
            Stage::Approved { .. } => ("approved", None),
            Stage::Active(active) => ("active", Some(active)),
            Stage::Revoked => ("revoked", None),
        };
        Self {
            id: grant.id.to_string(),
            subject: grant.subject.clone(),
            client_id: grant.client_id.clone(),
            tool: grant.tool.to_string(),
            resource: grant.resource.clone(),
            scope: grant.scope.to_string(),
            stage,
            honoured: honoured && grant.stage != Stage::Revoked,
            approved_at: grant.approved_at.epoch_seconds(),
            redirect_host: grant.evidence.redirect_host.clone(),
            document_digest: grant.document_digest.clone(),
            idle_expires_at: active.map(|active| active.idle_expires_at.epoch_seconds()),
            ends_at: active.map(|active| active.ends_at.epoch_seconds()),
        }
    }
}

/// What a change would take away, or has taken away.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Effect {
    /// People who would have to connect again, or could not any more.
    pub(crate) users: u64,
    /// Live grants that end.
    pub(crate) grants: u64,
    /// Client identifiers that are affected.
    pub(crate) registrations: u64,
}

/// The answer to a dry run: nothing was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DryRun {
    /// Always true.
    pub(crate) dry_run: bool,
    /// What would be done.
    pub(crate) action: &'static str,
    /// To what.
    pub(crate) target: String,
    /// What it would take away.
    pub(crate) effect: Effect,
}
