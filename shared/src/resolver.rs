//! Who is this client? Asked in the mission's order (CID-01): pre-registered, metadata document, dynamic
//! registration; and if nobody knows it, the person is told what to do.

use std::pin::Pin;

use crate::audit::{Actor, Event, Kind};
use crate::aws::{AuditStore, Change, Commit, Governing, RecordReader, Records, StoreError, Wanted};
use crate::cimd::document::DocumentDigest;
use crate::cimd::documents::{Documents, NoDocument};
use crate::cimd::logo::Logos;
use crate::client::id::{ClientId, ClientUrlError, MetadataUrl, UrlRules};
use crate::client::metadata::ClientMetadata;
use crate::client::registration::Registration;
use crate::clock::{Clock, Timestamp};
use crate::fetch::FailureKind;
use crate::fetch::host::DevelopmentHost;
use crate::oauth::Issuer;
use crate::policy::{
    Block, ClientFacts, DocumentDecision, DocumentRefusal, Logos as LogoPolicy, Policy, Profile,
};
use crate::tool::{Mechanism, Status, Tool, ToolId};

/// A client, known well enough to ask a person about it.
#[derive(Clone, Debug)]
pub struct Client {
    /// The identifier, exactly as presented.
    pub id: ClientId,
    /// How it is known.
    pub mechanism: Mechanism,
    /// The tool it belongs to; the one that stands for it now, if that was merged.
    pub tool: ToolId,
    /// That tool's epoch.
    pub tool_epoch: u32,
    /// That tool's record; `None` until somebody consents for the first time.
    pub record: Option<Tool>,
    /// Its registration's record, if there is one.
    pub registration: Option<Registration>,
    /// What it says about itself.
    pub metadata: ClientMetadata,
    /// The host of its identifier, where that is a URL.
    pub host: Option<String>,
    /// Which document said it.
    pub digest: Option<String>,
    /// That document, so that a decision can be made on what was shown.
    pub document: Option<String>,
    /// The version of the document whose arrival last required asking people again: consent that was given
    /// on it or on a later one is still good (CAC-17). Compare consent with this, not with `digest`.
    pub consent_since: Option<String>,
    /// Since when the document is in force as it is.
    pub changed_at: Option<Timestamp>,
    /// The profile whose limits hold for it.
    pub profile: Profile,
    /// Whether an administrator has to approve the tool before its first use; it has no record yet.
    pub needs_approval: bool,
}

/// Why there is no client.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The identifier is a URL that cannot name a metadata document.
    #[error("the client identifier breaks a rule: {0}")]
    Url(#[from] ClientUrlError),
    /// The identifier, its host, or its domain is blocked (GOV-15).
    #[error(transparent)]
    Blocked(#[from] Block),
    /// Policy does not let metadata documents of this host in.
    #[error(transparent)]
    NotAllowed(#[from] DocumentRefusal),
    /// No source knows the identifier.
    #[error("the client identifier is not known")]
    Unknown,
    /// There is no usable metadata document.
    #[error(transparent)]
    Document(#[from] NoDocument),
    /// The tool waits for an administrator's decision.
    #[error("the tool {0} is pending")]
    Pending(ToolId),
    /// An administrator has disabled the tool.
    #[error("the tool {0} is disabled")]
    Disabled(ToolId),
    /// The tool's publisher has withdrawn it.
    #[error("the tool {0} is withdrawn")]
    Withdrawn(ToolId),
    /// Our own store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a refusal means to the person in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The identifier itself is wrong.
    Malformed,
    /// Nobody knows the client.
    Unknown,
    /// The client's document is wrong; trying again will not help.
    Invalid,
    /// An administrator has yet to decide.
    Pending,
    /// An administrator has decided against it, or against its host.
    Disabled,
    /// Its publisher took it back.
    Withdrawn,
    /// The client's document is out of reach for now.
    Temporary,
    /// An administrator has to look at the client first.
    Held,
    /// We failed.
    Ours,
}

impl Refusal {
    /// What this means to the person.
    pub const fn kind(&self) -> RefusalKind {
        match self {
            Self::Url(_) => RefusalKind::Malformed,
            Self::Unknown => RefusalKind::Unknown,
            Self::Document(NoDocument::Document(_)) => RefusalKind::Invalid,
            Self::Document(NoDocument::Fetch(error)) => match error.kind() {
                FailureKind::Transient => RefusalKind::Temporary,
                FailureKind::Deterministic | FailureKind::Gone => RefusalKind::Invalid,
            },
            Self::Document(NoDocument::Busy { .. }) => RefusalKind::Temporary,
            Self::Document(NoDocument::Held) => RefusalKind::Held,
            Self::Document(NoDocument::Withdrawn) | Self::Withdrawn(_) => RefusalKind::Withdrawn,
            Self::Pending(_) => RefusalKind::Pending,
            Self::Disabled(_) | Self::Blocked(_) | Self::NotAllowed(DocumentRefusal::Denied) => {
                RefusalKind::Disabled
            }
            Self::NotAllowed(DocumentRefusal::NotListed | DocumentRefusal::Off) => RefusalKind::Unknown,
            Self::Document(NoDocument::Store(_) | NoDocument::Random(_)) | Self::Store(_) => {
                RefusalKind::Ours
            }
        }
    }
}

/// What a source is asked.
pub struct Asked<'a> {
    id: &'a ClientId,
    url: &'a Result<MetadataUrl, ClientUrlError>,
    registration: Option<&'a Registration>,
    policy: &'a Policy,
    shown: Option<&'a str>,
    /// Whether the tool has a record: somebody here has consented to it, so this is no first contact.
    is_known: bool,
    /// Whether an administrator has approved it.
    is_reviewed: bool,
}

/// What a source knows about a client.
pub struct Found {
    mechanism: Mechanism,
    tool: ToolId,
    metadata: ClientMetadata,
    host: Option<String>,
    digest: Option<String>,
    document: Option<String>,
    consent_since: Option<String>,
    changed_at: Option<Timestamp>,
    revocation_due: Option<DocumentDigest>,
    needs_approval: bool,
}

/// A source's answer: this client, not mine (`None`), or refused, because.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Option<Found>, Refusal>> + Send + 'a>>;

/// One way in which clients are known. A new way is a new source; the others need not change.
pub trait ClientSource: Send + Sync {
    /// Answers for one client identifier.
    fn find<'a>(&'a self, asked: &'a Asked<'a>) -> Answering<'a>;
}

/// Clients that an administrator entered. Their record always wins over a document of the same URL.
struct PreRegistered {
    documents: std::sync::Arc<Documents>,
}

impl ClientSource for PreRegistered {
    fn find<'a>(&'a self, asked: &'a Asked<'a>) -> Answering<'a> {
        Box::pin(async move {
            let Some(registration) =
                asked.registration.filter(|known| known.mechanism == Mechanism::PreRegistered)
            else {
                return Ok(None);
            };
            if let Some(metadata) = &registration.metadata {
                let host = asked.url.as_ref().ok().map(|url| url.host().to_owned());
                return Ok(Some(Found {
                    mechanism: Mechanism::PreRegistered,
                    tool: registration.tool.clone(),
                    metadata: metadata.clone(),
                    host,
                    digest: None,
                    document: None,
                    consent_since: None,
                    changed_at: None,
                    revocation_due: None,
                    needs_approval: false,
                }));
            }
            let url = asked.url.as_ref().map_err(|error| Refusal::Url(*error))?;
            let found = document(&self.documents, url, asked).await?;
            Ok(Some(Found { mechanism: Mechanism::PreRegistered, tool: registration.tool.clone(), ..found }))
        })
    }
}

/// Clients whose identifier is the URL of their metadata document.
struct MetadataDocuments {
    documents: std::sync::Arc<Documents>,
}

impl ClientSource for MetadataDocuments {
    fn find<'a>(&'a self, asked: &'a Asked<'a>) -> Answering<'a> {
        Box::pin(async move {
            let url = match asked.url {
                Ok(url) => url,
                Err(ClientUrlError::NotHttps) => return Ok(None),
                Err(error) => return Err(Refusal::Url(*error)),
            };
            // Deny beats everything, and an administrator's word on the tool beats a missing listing; both
            // before any fetch.
            let needs_approval = match asked.policy.decide_metadata_document(url.host()) {
                DocumentDecision::Allowed => false,
                DocumentDecision::NeedsApproval => !asked.is_known,
                DocumentDecision::Refused(DocumentRefusal::NotListed) if asked.is_reviewed => false,
                DocumentDecision::Refused(reason) => return Err(reason.into()),
            };
            let found = document(&self.documents, url, asked).await?;
            let tool = asked.registration.map_or(found.tool, |known| known.tool.clone());
            Ok(Some(Found { tool, needs_approval, ..found }))
        })
    }
}

async fn document(documents: &Documents, url: &MetadataUrl, asked: &Asked<'_>) -> Result<Found, Refusal> {
    let known = match documents.find(url, asked.policy, asked.shown).await {
        Ok(known) => known,
        Err(reason) if asked.is_known => {
            documents.last_good(url, asked.policy, &reason).await?.ok_or(reason)?
        }
        Err(reason) => return Err(reason.into()),
    };
    Ok(Found {
        mechanism: Mechanism::MetadataDocument,
        tool: ToolId::of_metadata_document(url.host(), asked.id.as_str()),
        metadata: known.document.metadata.clone(),
        host: Some(url.host().to_owned()),
        digest: Some(known.document.digest.as_str().to_owned()),
        document: Some(known.body.clone()),
        consent_since: Some(known.consent_since.as_str().to_owned()),
        changed_at: Some(known.in_force_since),
        revocation_due: known.revocation_due.clone(),
        needs_approval: false,
    })
}

/// Clients that registered themselves (RFC 7591).
struct Dynamic;

impl ClientSource for Dynamic {
    fn find<'a>(&'a self, asked: &'a Asked<'a>) -> Answering<'a> {
        let found = asked
            .registration
            .filter(|known| known.mechanism == Mechanism::Dynamic)
            .and_then(|known| Some((known, known.metadata.clone()?)))
            .map(|(known, metadata)| Found {
                mechanism: Mechanism::Dynamic,
                tool: known.tool.clone(),
                metadata,
                host: None,
                digest: None,
                document: None,
                consent_since: None,
                changed_at: None,
                revocation_due: None,
                needs_approval: false,
            });
        Box::pin(std::future::ready(Ok(found)))
    }
}

/// Resolves client identifiers.
pub struct Resolver {
    issuer: Issuer,
    clock: std::sync::Arc<dyn Clock>,
    records: RecordReader,
    governing: Governing,
    audit: AuditStore,
    documents: std::sync::Arc<Documents>,
    logos: Logos,
    sources: Vec<Box<dyn ClientSource>>,
    development: Vec<DevelopmentHost>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver over `documents` and the records behind `records`. `development` lists names that stand
    /// outside the host rules; a deployment has none.
    pub fn new(
        issuer: Issuer,
        clock: std::sync::Arc<dyn Clock>,
        documents: Documents,
        records: RecordReader,
        governing: Governing,
        audit: AuditStore,
        development: Vec<DevelopmentHost>,
    ) -> Self {
        let logos = Logos::new(documents.copies().clone());
        let documents = std::sync::Arc::new(documents);
        let sources: Vec<Box<dyn ClientSource>> = vec![
            Box::new(PreRegistered { documents: std::sync::Arc::clone(&documents) }),
            Box::new(MetadataDocuments { documents: std::sync::Arc::clone(&documents) }),
            Box::new(Dynamic),
        ];
        Self { issuer, clock, records, governing, audit, documents, logos, sources, development }
    }

    /// Finds the client of `id`. With `shown`, the document that a person has just been asked about,
    /// nothing is fetched: it serves if no fresher one is known.
    ///
    /// Call it only once a person is signed in (FET-01). What is refused for good is refused before
    /// anything is fetched.
    ///
    /// # Errors
    /// [`Refusal`]; nothing is remembered of it (CAC-02, CAC-03).
    pub async fn resolve(
        &self,
        id: &ClientId,
        policy: &Policy,
        shown: Option<&str>,
    ) -> Result<Client, Refusal> {
        let url = MetadataUrl::parse(id, &self.url_rules(policy));
        let derived = url.as_ref().ok().map(|url| ToolId::of_metadata_document(url.host(), id.as_str()));
        if let Some(block) = policy.block(id, url.as_ref().ok().map(MetadataUrl::host)) {
            return Err(block.into());
        }
        let wanted = Wanted { tool: derived.as_ref(), client_id: Some(id.as_str()), ..Wanted::default() };
        let Records { mut tools, registration, .. } = self.records.read(wanted).await?;
        let registration = registration.filter(|known| !known.has_ended(self.clock.now()));
        if let Some(known) = &registration
            && derived.as_ref() != Some(&known.tool)
        {
            tools = self.records.tools(&known.tool).await?;
        }
        let mut record = tools.pop().filter(|tool| !tool.forgotten);
        refuse_by_status(record.as_ref())?;
        let asked = Asked {
            id,
            url: &url,
            registration: registration.as_ref(),
            policy,
            shown,
            is_known: record.is_some(),
            is_reviewed: record.as_ref().is_some_and(|tool| tool.reviewed.is_some()),
        };
        for source in &self.sources {
            let found = match source.find(&asked).await {
                Err(Refusal::Document(NoDocument::Withdrawn)) => {
                    return Err(self.withdraw(record.as_ref(), id, policy).await?);
                }
                answer => answer?,
            };
            if let Some(found) = found {
                if let (Some(digest), Ok(url)) = (&found.revocation_due, &url) {
                    self.revoke(&mut record, url, digest, policy).await?;
                }
                let profile = profile(policy, record.as_ref(), &found).clone();
                return Ok(Client {
                    id: id.clone(),
                    needs_approval: record.is_none() && (found.needs_approval || profile.approval_needed),
                    profile,
                    mechanism: found.mechanism,
                    tool: record.as_ref().map_or(found.tool, |tool| tool.id.clone()),
                    tool_epoch: record.as_ref().map_or(0, |tool| tool.epoch),
                    record,
                    registration,
                    metadata: found.metadata,
                    host: found.host,
                    digest: found.digest,
                    document: found.document,
                    consent_since: found.consent_since,
                    changed_at: found.changed_at,
                });
            }
        }
        Err(Refusal::Unknown)
    }

    /// The digest of the client's logo, if the policy lets a page show it (DOC-43) and there is one.
    pub async fn logo(&self, client: &Client, policy: &Policy) -> Option<String> {
        let is_approved = client.mechanism == Mechanism::PreRegistered
            || client.record.as_ref().is_some_and(|tool| tool.reviewed.is_some());
        let is_shown = match policy.documents.logos {
            LogoPolicy::Off => false,
            LogoPolicy::Approved => is_approved,
            LogoPolicy::All => true,
        };
        let logo_uri = client.metadata.logo_uri.as_deref().filter(|_| is_shown)?;
        Some(self.logos.digest(logo_uri).await?.to_string())
    }

    /// The re-encoded logo with `digest`; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or is not understood.
    pub async fn logo_png(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.logos.png(digest).await
    }

    /// What the metadata document at `id` said when it was last seen, without fetching; `None` if it never
    /// was, or if `id` cannot be the URL of one.
    ///
    /// # Errors
    /// [`Refusal`] if our own store fails or the document is no longer acceptable.
    pub async fn document_at_hand(
        &self,
        id: &ClientId,
        policy: &Policy,
    ) -> Result<Option<ClientMetadata>, Refusal> {
        let Ok(url) = MetadataUrl::parse(id, &self.url_rules(policy)) else { return Ok(None) };
        let known = self.documents.known_without_fetch(&url, policy).await?;
        Ok(known.map(|known| known.document.metadata.clone()))
    }

    /// What the metadata document at `id` says now. For the token endpoint, which has read the client's
    /// records already.
    ///
    /// Call it only for a client that a stored grant names, whose code or refresh token is genuine: the
    /// fetch must not be a stranger's to cause (FET-01).
    ///
    /// # Errors
    /// [`Refusal`]; nothing is remembered of it.
    pub async fn document_of(&self, id: &ClientId, policy: &Policy) -> Result<ClientMetadata, Refusal> {
        let url = MetadataUrl::parse(id, &self.url_rules(policy))?;
        let known = match self.documents.find(&url, policy, None).await {
            Ok(known) => known,
            // What is held back for an administrator does not touch grants: they go on as they were.
            Err(NoDocument::Held) => {
                self.documents.known_without_fetch(&url, policy).await?.ok_or(NoDocument::Held)?
            }
            Err(reason) => self.documents.last_good(&url, policy, &reason).await?.ok_or(reason)?,
        };
        Ok(known.document.metadata.clone())
    }

    /// A change of the document that revokes: every grant of the tool ends, by its epoch, before anybody is
    /// asked anew. Two instances that do this at once raise it once: the revision decides.
    async fn revoke(
        &self,
        record: &mut Option<Tool>,
        url: &MetadataUrl,
        digest: &DocumentDigest,
        policy: &Policy,
    ) -> Result<(), StoreError> {
        // What this process remembers may be a minute old, and the revocation done since.
        if !self.documents.is_revocation_due(url, digest).await? {
            return Ok(());
        }
        if let Some(tool) = record {
            let event = self
                .event(Kind::ToolRevoked, tool)
                .with("because", "a change of its metadata document revokes")
                .with("client_id", url.as_str())
                .with("document", digest.as_str());
            if !self.change(&event, tool, &Change::Revoke, policy).await? {
                // Somebody else changed the tool; it stays due, and the next request sees to it.
                return Ok(());
            }
            tracing::warn!(tool = tool.id.as_str(), "grants revoked: the metadata document changed");
            tool.epoch = tool.epoch.saturating_add(1);
            tool.revision = tool.revision.saturating_add(1);
        }
        self.documents.revoked(url, digest).await?;
        Ok(())
    }

    /// Its host has said for long enough that there is no document: the tool is withdrawn until an
    /// administrator enables it again.
    async fn withdraw(
        &self,
        record: Option<&Tool>,
        id: &ClientId,
        policy: &Policy,
    ) -> Result<Refusal, StoreError> {
        let Some(tool) = record else { return Ok(NoDocument::Withdrawn.into()) };
        let event = self.event(Kind::ToolWithdrawn, tool).with("client_id", id.as_str());
        if self.change(&event, tool, &Change::Withdraw, policy).await? {
            tracing::warn!(tool = tool.id.as_str(), "withdrawn by its publisher");
        }
        Ok(Refusal::Withdrawn(tool.id.clone()))
    }

    fn event(&self, kind: Kind, tool: &Tool) -> Event {
        Event::new(self.clock.now(), kind, Actor::System, tool.id.as_str())
    }

    /// Changes a tool, with its record; `Ok(false)` if it is not as it was read.
    async fn change(
        &self,
        event: &Event,
        tool: &Tool,
        change: &Change,
        policy: &Policy,
    ) -> Result<bool, StoreError> {
        let write = self.governing.change_tool(&tool.id, change, tool.revision)?;
        let retention = policy.administration.audit_retention();
        match self.audit.commit(event, &[write], None, retention).await? {
            Commit::Made(_) => Ok(true),
            Commit::Conflict | Commit::Seen => Ok(false),
        }
    }

    fn url_rules(&self, policy: &Policy) -> UrlRules {
        policy.documents.url_rules(&self.issuer, &self.development)
    }
}

/// The profile set by hand, while it exists; otherwise the first whose rules fit.
fn profile<'a>(policy: &'a Policy, record: Option<&Tool>, found: &Found) -> &'a Profile {
    record
        .and_then(|tool| tool.profile.as_deref())
        .and_then(|name| policy.profile_named(name))
        .unwrap_or_else(|| {
            let facts = ClientFacts::new(found.mechanism, found.host.as_deref(), &found.metadata);
            policy.profile(&facts)
        })
}

/// Before anything is fetched: a tool that may not be used costs its publisher's host nothing.
fn refuse_by_status(record: Option<&Tool>) -> Result<(), Refusal> {
    match record.map(|tool| (tool.status, &tool.id)) {
        None | Some((Status::Enabled, _)) => Ok(()),
        Some((Status::Pending, id)) => Err(Refusal::Pending(id.clone())),
        Some((Status::Disabled, id)) => Err(Refusal::Disabled(id.clone())),
        Some((Status::Withdrawn, id)) => Err(Refusal::Withdrawn(id.clone())),
    }
}
