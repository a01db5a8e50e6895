//! Who is this client? Asked in the mission's order (CID-01): pre-registered, metadata document, dynamic
//! registration; and if nobody knows it, the person is told what to do.

use std::pin::Pin;

use crate::aws::{RecordReader, Records, StoreError, Wanted};
use crate::cimd::documents::{Documents, NoDocument};
use crate::client::id::{ClientId, ClientUrlError, MetadataUrl, UrlRules};
use crate::client::metadata::ClientMetadata;
use crate::client::registration::Registration;
use crate::clock::Clock;
use crate::fetch::FailureKind;
use crate::fetch::host::DevelopmentHost;
use crate::oauth::Issuer;
use crate::policy::Policy;
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
}

/// Why there is no client.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The identifier is a URL that cannot name a metadata document.
    #[error("the client identifier breaks a rule: {0}")]
    Url(#[from] ClientUrlError),
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
    /// An administrator has decided against it.
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
            Self::Pending(_) => RefusalKind::Pending,
            Self::Disabled(_) => RefusalKind::Disabled,
            Self::Withdrawn(_) | Self::Document(NoDocument::Withdrawn) => RefusalKind::Withdrawn,
            Self::Document(NoDocument::Busy { .. }) => RefusalKind::Temporary,
            Self::Document(NoDocument::Held) => RefusalKind::Held,
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
}

/// What a source knows about a client.
pub struct Found {
    mechanism: Mechanism,
    tool: ToolId,
    metadata: ClientMetadata,
    host: Option<String>,
    digest: Option<String>,
    document: Option<String>,
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
            let found = document(&self.documents, url, asked).await?;
            let tool = asked.registration.map_or(found.tool, |known| known.tool.clone());
            Ok(Some(Found { tool, ..found }))
        })
    }
}

async fn document(documents: &Documents, url: &MetadataUrl, asked: &Asked<'_>) -> Result<Found, Refusal> {
    let known = documents.find(url, asked.policy, asked.shown).await?;
    Ok(Found {
        mechanism: Mechanism::MetadataDocument,
        tool: ToolId::of_metadata_document(url.host(), asked.id.as_str()),
        metadata: known.document.metadata.clone(),
        host: Some(url.host().to_owned()),
        digest: Some(known.document.digest.as_str().to_owned()),
        document: Some(known.body.clone()),
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
            });
        Box::pin(std::future::ready(Ok(found)))
    }
}

/// Resolves client identifiers.
pub struct Resolver {
    issuer: Issuer,
    clock: std::sync::Arc<dyn Clock>,
    records: RecordReader,
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
        development: Vec<DevelopmentHost>,
    ) -> Self {
        let documents = std::sync::Arc::new(documents);
        let sources: Vec<Box<dyn ClientSource>> = vec![
            Box::new(PreRegistered { documents: std::sync::Arc::clone(&documents) }),
            Box::new(MetadataDocuments { documents }),
            Box::new(Dynamic),
        ];
        Self { issuer, clock, records, sources, development }
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
        let wanted = Wanted { tool: derived.as_ref(), client_id: Some(id.as_str()), ..Wanted::default() };
        let Records { mut tools, registration, .. } = self.records.read(wanted).await?;
        let registration = registration.filter(|known| !known.has_ended(self.clock.now()));
        if let Some(known) = &registration
            && derived.as_ref() != Some(&known.tool)
        {
            tools = self.records.tools(&known.tool).await?;
        }
        let record = tools.pop().filter(|tool| !tool.forgotten);
        refuse_by_status(record.as_ref())?;
        let asked = Asked { id, url: &url, registration: registration.as_ref(), policy, shown };
        for source in &self.sources {
            if let Some(found) = source.find(&asked).await? {
                return Ok(Client {
                    id: id.clone(),
                    mechanism: found.mechanism,
                    tool: record.as_ref().map_or(found.tool, |tool| tool.id.clone()),
                    tool_epoch: record.as_ref().map_or(0, |tool| tool.epoch),
                    record,
                    registration,
                    metadata: found.metadata,
                    host: found.host,
                    digest: found.digest,
                    document: found.document,
                });
            }
        }
        Err(Refusal::Unknown)
    }

    fn url_rules(&self, policy: &Policy) -> UrlRules {
        let mut ports = UrlRules::default().ports;
        ports.extend_from_slice(&policy.documents.ports);
        UrlRules {
            ports,
            query: policy.documents.allow_query,
            forbidden: vec![self.issuer.as_str().to_owned()],
            development: self.development.clone(),
        }
    }
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
