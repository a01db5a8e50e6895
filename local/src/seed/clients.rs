//! The tools and pre-registered clients of a seed file, and how they are entered.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use shared::aws::{Addition, Change, Changed, Introduction, RegistrationStore, StoreError, ToolStore};
use shared::client::id::{ClientId, NotIssuable};
use shared::client::metadata::{
    AuthMethod, AuthMethods, ClientKeys, ClientMetadata, GrantType, ResponseType,
};
use shared::client::redirect::RedirectUri;
use shared::client::registration::{Registration, SecretDigest};
use shared::clock::Timestamp;
use shared::oauth::scope::OFFLINE_ACCESS;
use shared::policy::{Place, Policy};
use shared::tool::{Ceiling, Introduced, Mechanism, Reviewed, Status, Tool, ToolId};

use super::Seed;

/// Characters of a tool's name: more does not fit into a line of a listing.
pub const TOOL_NAME_CHARS_MAX: usize = 80;

/// Characters of a secret: its digest is stored without a slow hash, which only suits what nobody can guess.
const SECRET_CHARS_MIN: usize = 32;

/// Who is written down as the one who entered these.
const BY: &str = "local";

/// A tool as the file states it. What is left out stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedTool {
    /// Its id.
    pub id: ToolId,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether it may be used; a new one may, unless this says otherwise. `pending` is for new ones alone.
    #[serde(default)]
    pub status: Option<Status>,
    /// Bounds on its grants.
    #[serde(default)]
    pub ceiling: Option<Ceiling>,
    /// Its profile, in place of the one that the rules give.
    #[serde(default)]
    pub profile: Option<String>,
}

/// A pre-registered client as the file states it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedClient {
    /// An identifier that we issue, or the URL of a metadata document.
    pub client_id: ClientId,
    /// The tool it belongs to, which the file has to list.
    pub tool: ToolId,
    /// Its name for people.
    #[serde(default)]
    pub client_name: Option<String>,
    /// Its secret; a client without one is public.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// Its redirect URIs; private-use schemes as well.
    #[serde(default)]
    pub redirect_uris: Vec<RedirectUri>,
    /// Its grant types: `authorization_code` and `refresh_token`, if left out.
    #[serde(default)]
    pub grant_types: Option<Vec<GrantType>>,
}

/// A client secret, of which the digest alone is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Secret {
    sha256: String,
}

/// Too short, or with a character that RFC 6749 appendix A.2 does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret has at least {SECRET_CHARS_MIN} characters of printable ASCII, made at random")]
pub struct SecretError;

impl TryFrom<String> for Secret {
    type Error = SecretError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() < SECRET_CHARS_MIN || !text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
            return Err(SecretError);
        }
        Ok(Self { sha256: URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes())) })
    }
}

/// What is wrong with a tool or a client. One variant per rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// A tool id twice.
    #[error("the tool {0} is listed twice")]
    ToolTwice(ToolId),
    /// A name that is none.
    #[error("a name has 1 to {TOOL_NAME_CHARS_MAX} characters and no control characters")]
    Name,
    /// No profile of this name.
    #[error("the policy has no profile {0:?}")]
    Profile(String),
    /// A ceiling names a scope that no resource defines.
    #[error("the ceiling names the scope {0:?}, which no resource of the file defines")]
    Scope(String),
    /// A ceiling names a resource that is not registered.
    #[error("the ceiling names {0:?}, which is no resource of the file")]
    Resource(String),
    /// A client identifier twice.
    #[error("the client {0} is listed twice")]
    ClientTwice(ClientId),
    /// Not an identifier that we would issue.
    #[error(transparent)]
    ClientId(#[from] NotIssuable),
    /// A tool that the file does not list.
    #[error("the tool {0} is not among the tools of the file")]
    Tool(ToolId),
    /// Something that a metadata document says.
    #[error("the metadata document says this; leave it out")]
    InDocument,
    /// A grant type that sends codes without anywhere to send them.
    #[error("authorization_code needs at least one redirect URI")]
    NoRedirectUri,
    /// Redirect URIs without a grant type that uses them.
    #[error("without authorization_code no redirect URI is used")]
    UnusedRedirectUri,
    /// No grant type that starts anything.
    #[error("must hold authorization_code or client_credentials")]
    NoGrantType,
    /// A client that proves nothing, with a grant type that asks nobody.
    #[error("{} needs a secret", .0.as_str())]
    NoSecret(GrantType),
}

type Checked = Result<(), (Place, ClientFault)>;

impl Seed {
    /// Checks tools and clients against each other and against the file's own policy.
    pub(super) fn check_clients(&self, policy: &Policy) -> Checked {
        let list = Place::top().member("tools");
        for (index, tool) in self.tools.iter().enumerate() {
            let here = list.element(index);
            if self.tools.iter().take(index).any(|other| other.id == tool.id) {
                return Err((here.member("id"), ClientFault::ToolTwice(tool.id.clone())));
            }
            tool.check(&here, policy)?;
        }
        let list = Place::top().member("clients");
        for (index, client) in self.clients.iter().enumerate() {
            let here = list.element(index);
            if self.clients.iter().take(index).any(|other| other.client_id == client.client_id) {
                return Err((here.member("client_id"), ClientFault::ClientTwice(client.client_id.clone())));
            }
            if !self.tools.iter().any(|tool| tool.id == client.tool) {
                return Err((here.member("tool"), ClientFault::Tool(client.tool.clone())));
            }
            client.check(&here)?;
        }
        Ok(())
    }
}

fn check_name(place: Place, name: Option<&String>) -> Checked {
    let sound = |name: &String| {
        (1..=TOOL_NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control)
    };
    if name.is_none_or(sound) { Ok(()) } else { Err((place, ClientFault::Name)) }
}

impl SeedTool {
    fn check(&self, here: &Place, policy: &Policy) -> Checked {
        check_name(here.member("name"), self.name.as_ref())?;
        if let Some(profile) = self.profile.as_ref().filter(|name| policy.profile_named(name).is_none()) {
            return Err((here.member("profile"), ClientFault::Profile(profile.clone())));
        }
        let Some(ceiling) = &self.ceiling else { return Ok(()) };
        let here = here.member("ceiling");
        for (index, name) in ceiling.scopes.iter().flatten().enumerate() {
            let is_known = policy.resources.iter().any(|resource| resource.has_scope(name));
            if name != OFFLINE_ACCESS && !is_known {
                let place = here.member("scopes").element(index);
                return Err((place, ClientFault::Scope(name.clone())));
            }
        }
        for (index, name) in ceiling.resources.iter().flatten().enumerate() {
            if !policy.resources.iter().any(|resource| resource.resource == *name) {
                let place = here.member("resources").element(index);
                return Err((place, ClientFault::Resource(name.clone())));
            }
        }
        Ok(())
    }

    fn as_new(&self, now: Timestamp) -> Tool {
        let introduced = introduced(now);
        let status = self.status.unwrap_or(Status::Enabled);
        let mut tool = Tool::new(self.id.clone(), self.name.clone(), status, introduced);
        tool.ceiling = self.ceiling.clone().unwrap_or_default();
        tool.profile.clone_from(&self.profile);
        tool.reviewed = (status == Status::Enabled).then(|| reviewed(now));
        tool
    }

    /// What makes `known` what the file says. Empty when it is that already.
    fn changes(&self, known: &Tool, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some(name) = self.name.as_ref().filter(|name| known.name.as_ref() != Some(name)) {
            changes.push(Change::Rename(name.clone()));
        }
        if let Some(ceiling) = self.ceiling.as_ref().filter(|ceiling| known.ceiling != **ceiling) {
            changes.push(Change::SetCeiling(ceiling.clone()));
        }
        if self.profile.is_some() && known.profile != self.profile {
            changes.push(Change::SetProfile(self.profile.clone()));
        }
        match self.status.filter(|status| *status != known.status) {
            Some(Status::Enabled) => changes.push(Change::Enable(reviewed(now))),
            Some(Status::Disabled) => changes.push(Change::Disable),
            Some(Status::Withdrawn) => changes.push(Change::Withdraw),
            // Whoever decided about it meanwhile is not overruled by "nobody has decided yet".
            Some(Status::Pending) | None => {}
        }
        changes
    }
}

impl SeedClient {
    fn is_document(&self) -> bool {
        self.client_id.is_url()
    }

    fn grant_types(&self) -> Vec<GrantType> {
        self.grant_types
            .clone()
            .unwrap_or_else(|| vec![GrantType::AuthorizationCode, GrantType::RefreshToken])
    }

    fn check(&self, here: &Place) -> Checked {
        if self.is_document() {
            let said = [
                ("client_name", self.client_name.is_some()),
                ("secret", self.secret.is_some()),
                ("redirect_uris", !self.redirect_uris.is_empty()),
                ("grant_types", self.grant_types.is_some()),
            ];
            return match said.iter().find(|(_, is_said)| *is_said) {
                Some((name, _)) => Err((here.member(name), ClientFault::InDocument)),
                None => Ok(()),
            };
        }
        if let Err(fault) = self.client_id.check_issuable() {
            return Err((here.member("client_id"), fault.into()));
        }
        check_name(here.member("client_name"), self.client_name.as_ref())?;
        let grant_types = self.grant_types();
        let asks = grant_types.contains(&GrantType::AuthorizationCode);
        let acts_alone = grant_types
            .iter()
            .find(|kind| matches!(kind, GrantType::ClientCredentials | GrantType::JwtBearer))
            .copied();
        match (acts_alone, asks) {
            (Some(kind), _) if self.secret.is_none() => {
                Err((here.member("grant_types"), ClientFault::NoSecret(kind)))
            }
            (None, false) => Err((here.member("grant_types"), ClientFault::NoGrantType)),
            (_, true) if self.redirect_uris.is_empty() => {
                Err((here.member("redirect_uris"), ClientFault::NoRedirectUri))
            }
            (Some(_), false) if !self.redirect_uris.is_empty() => {
                Err((here.member("redirect_uris"), ClientFault::UnusedRedirectUri))
            }
            (_, true) | (Some(_), false) => Ok(()),
        }
    }

    /// What is stored about it. `None` for a client whose document says it.
    fn metadata(&self) -> Option<ClientMetadata> {
        if self.is_document() {
            return None;
        }
        let names: &[AuthMethod] = match self.secret {
            Some(_) => &[AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost],
            None => &[AuthMethod::None],
        };
        let names: Vec<String> = names.iter().map(|method| method.as_str().to_owned()).collect();
        let grant_types = self.grant_types();
        let asks = grant_types.contains(&GrantType::AuthorizationCode);
        Some(ClientMetadata {
            client_name: self.client_name.clone(),
            client_uri: None,
            logo_uri: None,
            tos_uri: None,
            policy_uri: None,
            redirect_uris: self.redirect_uris.clone(),
            unusable_redirect_uris: Vec::new(),
            grant_types,
            response_types: if asks { vec![ResponseType::Code] } else { Vec::new() },
            // Contradictory only where both forms are given.
            auth_methods: AuthMethods::from_declared(None, Some(&names), AuthMethod::None).ok()?,
            keys: ClientKeys::None,
            scope: None,
            application_type: None,
            software_id: None,
            software_version: None,
            dpop_bound_access_tokens: false,
        })
    }

    fn as_new(&self, now: Timestamp) -> Registration {
        let (id, tool) = (self.client_id.clone(), self.tool.clone());
        let mut new = Registration::new(id, tool, introduced(now), self.metadata());
        new.secrets.extend(self.secret.iter().map(|secret| SecretDigest {
            sha256: secret.sha256.clone(),
            created_at: now,
            expires_at: None,
        }));
        new
    }

    /// `known` as the file says; the same if it is that already.
    fn over(&self, known: &Registration, now: Timestamp) -> Registration {
        let new = self.as_new(now);
        let mut changed = known.clone();
        changed.tool = new.tool;
        changed.mechanism = new.mechanism;
        changed.metadata = new.metadata;
        changed.ends_at = None;
        let digests = |secrets: &[SecretDigest]| -> Vec<String> {
            secrets.iter().map(|secret| secret.sha256.clone()).collect()
        };
        if digests(&new.secrets) != digests(&known.secrets) {
            changed.secrets = new.secrets;
        }
        changed
    }
}

fn introduced(at: Timestamp) -> Introduced {
    Introduced { at, by: BY.to_owned(), mechanism: Mechanism::PreRegistered }
}

fn reviewed(at: Timestamp) -> Reviewed {
    Reviewed { at, by: BY.to_owned() }
}

/// Tools or clients cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The database.
    #[error("tools and clients: {0}")]
    Store(#[from] StoreError),
    /// A tool that has become part of another one cannot be changed by itself.
    #[error("--seed: the tool {0} was merged into another one; take it out of the file")]
    Merged(ToolId),
    /// Somebody else changed it at the same time.
    #[error("--seed: {0} was changed by somebody else at the same time; start again")]
    Conflict(String),
}

/// Enters tools and clients. Entering them again changes nothing.
///
/// # Errors
/// [`WriteError`]; calling again is safe.
pub async fn write(
    seed: &Seed,
    tools: &ToolStore,
    registrations: &RegistrationStore,
    now: Timestamp,
) -> Result<(), WriteError> {
    for tool in &seed.tools {
        write_tool(tool, tools, now).await?;
    }
    for client in &seed.clients {
        let new = client.as_new(now);
        let Addition::Existed(known) = registrations.add(&new, now).await? else { continue };
        let changed = client.over(&known, now);
        if changed != *known && !registrations.replace(&changed, known.revision).await? {
            return Err(WriteError::Conflict(client.client_id.to_string()));
        }
    }
    Ok(())
}

async fn write_tool(tool: &SeedTool, tools: &ToolStore, now: Timestamp) -> Result<(), WriteError> {
    let new = tool.as_new(now);
    if tools.add(&new).await? == Introduction::New {
        return Ok(());
    }
    let conflict = || WriteError::Conflict(tool.id.to_string());
    let known = tools.read(&tool.id).await?.ok_or_else(conflict)?;
    if known.forgotten {
        return match tools.revive(&known, &new).await? {
            Changed::Made(_) => Ok(()),
            Changed::Conflict => Err(conflict()),
        };
    }
    if known.merged.is_some() {
        return Err(WriteError::Merged(tool.id.clone()));
    }
    for change in tool.changes(&known, now) {
        if tools.change(&tool.id, &change, None).await? == Changed::Conflict {
            return Err(conflict());
        }
    }
    Ok(())
}
