//! Who is this client? (CID-01 to CID-07)

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use crate::aws::{DocumentStore, StoreError, StoredDocument};
use crate::cimd::document::{DocumentError, DocumentRules, MetadataDocument};
use crate::cimd::freshness::{Freshness, FreshnessRules, Lifetime};
use crate::client::id::{ClientId, ClientUrlError, MetadataUrl, UrlRules};
use crate::client::metadata::ClientMetadata;
use crate::clock::{Clock, Timestamp};
use crate::fetch::host::DevelopmentHost;
use crate::fetch::{FailureKind, FetchError, FetchKind, FetchRequest, Fetcher};
use crate::grant::Mechanism;
use crate::oauth::Issuer;
use crate::policy::Policy;
use crate::tool::ToolId;

/// Documents that one process keeps in memory; the least used ones make room (CAC-19).
const MEMORY_DOCUMENTS_MAX: u64 = 1_000;

/// A client, known well enough to ask a person about it.
#[derive(Clone, Debug)]
pub struct Client {
    /// The identifier, exactly as presented.
    pub id: ClientId,
    /// How it is known.
    pub mechanism: Mechanism,
    /// The tool it belongs to.
    pub tool: ToolId,
    /// That tool's epoch.
    pub tool_epoch: u32,
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The identifier is a URL that cannot name a metadata document.
    #[error("the client identifier breaks a rule: {0}")]
    Url(#[from] ClientUrlError),
    /// The identifier is not known, and is not a URL that could be looked up.
    #[error("the client identifier is not known")]
    Unknown,
    /// The document could not be fetched.
    #[error("the metadata document could not be fetched: {0}")]
    Fetch(#[from] FetchError),
    /// The document is not acceptable.
    #[error("the metadata document is not acceptable: {0}")]
    Document(#[from] DocumentError),
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
    /// The client's document is out of reach for now.
    Temporary,
    /// We failed.
    Ours,
}

impl Refusal {
    /// What this means to the person.
    pub const fn kind(&self) -> RefusalKind {
        match self {
            Self::Url(_) => RefusalKind::Malformed,
            Self::Unknown => RefusalKind::Unknown,
            Self::Document(_) => RefusalKind::Invalid,
            Self::Fetch(error) => match error.kind() {
                FailureKind::Transient => RefusalKind::Temporary,
                FailureKind::Deterministic | FailureKind::Gone => RefusalKind::Invalid,
            },
            Self::Store(_) => RefusalKind::Ours,
        }
    }
}

#[derive(Debug)]
struct Known {
    document: MetadataDocument,
    body: String,
    fresh_until: Timestamp,
}

/// Why a look-up gave nothing that may be kept; shared by all who waited for it.
#[derive(Clone, Debug)]
enum Unkept {
    Refused(Refusal),
    /// Valid, but its host forbids keeping it (CAC-08).
    ThisFlowOnly(Arc<Known>),
}

/// Resolves client identifiers.
pub struct Resolver {
    issuer: Issuer,
    clock: Arc<dyn Clock>,
    fetcher: Arc<dyn Fetcher>,
    documents: DocumentStore,
    development: Vec<DevelopmentHost>,
    memory: Cache<String, Arc<Known>>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver that fetches with `fetcher` and shares documents through `documents`. `development`
    /// lists names that stand outside the host rules; a deployment has none.
    pub fn new(
        issuer: Issuer,
        clock: Arc<dyn Clock>,
        fetcher: Arc<dyn Fetcher>,
        documents: DocumentStore,
        development: Vec<DevelopmentHost>,
    ) -> Self {
        let memory = Cache::builder().max_capacity(MEMORY_DOCUMENTS_MAX).build();
        Self { issuer, clock, fetcher, documents, development, memory }
    }

    /// Finds the client of `id`. With `shown`, the document that a person has just been asked about,
    /// nothing is fetched: it serves if no fresher one is known.
    ///
    /// Call it only once a person is signed in (FET-01).
    ///
    /// # Errors
    /// [`Refusal`]; nothing is remembered of it (CAC-02, CAC-03).
    pub async fn resolve(
        &self,
        id: &ClientId,
        policy: &Policy,
        shown: Option<&str>,
    ) -> Result<Client, Refusal> {
        let url = match MetadataUrl::parse(id, &self.url_rules(policy)) {
            Ok(url) => url,
            Err(ClientUrlError::NotHttps) => return Err(Refusal::Unknown),
            Err(error) => return Err(error.into()),
        };
        let known = self.document(&url, policy, shown).await?;
        Ok(Client {
            id: id.clone(),
            mechanism: Mechanism::MetadataDocument,
            tool: ToolId::of_metadata_document(url.host(), id.as_str()),
            tool_epoch: 0,
            metadata: known.document.metadata.clone(),
            host: Some(url.host().to_owned()),
            digest: Some(known.document.digest.as_str().to_owned()),
            document: Some(known.body.clone()),
        })
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

    async fn document(
        &self,
        url: &MetadataUrl,
        policy: &Policy,
        shown: Option<&str>,
    ) -> Result<Arc<Known>, Refusal> {
        let key = url.as_str();
        if let Some(known) = self.memory.get(key).await {
            if self.clock.now() < known.fresh_until {
                return Ok(known);
            }
            self.memory.invalidate(key).await;
        }
        let rules = document_rules(policy);
        if let Some(body) = shown {
            if let Some(stored) = self.stored(url, &rules).await? {
                return Ok(Arc::new(stored));
            }
            let document = MetadataDocument::parse(url, body.as_bytes(), &rules)?;
            return Ok(Arc::new(Known { document, body: body.to_owned(), fresh_until: self.clock.now() }));
        }
        // Everybody who asks for the same document at once waits for one look-up.
        let found = self.memory.try_get_with_by_ref(key, self.look_up(url, policy, rules)).await;
        found.or_else(|unkept| match &*unkept {
            Unkept::Refused(refusal) => Err(refusal.clone()),
            Unkept::ThisFlowOnly(known) => Ok(Arc::clone(known)),
        })
    }

    async fn look_up(
        &self,
        url: &MetadataUrl,
        policy: &Policy,
        rules: DocumentRules,
    ) -> Result<Arc<Known>, Unkept> {
        match self.stored(url, &rules).await {
            Ok(Some(known)) => return Ok(Arc::new(known)),
            Ok(None) => {}
            Err(refusal) => return Err(Unkept::Refused(refusal)),
        }
        self.fetch(url, policy, rules).await.unwrap_or_else(|refusal| Err(Unkept::Refused(refusal)))
    }

    /// The document in the shared cache, while it is fresh and still passes the rules.
    async fn stored(&self, url: &MetadataUrl, rules: &DocumentRules) -> Result<Option<Known>, Refusal> {
        let Some(stored) = self.documents.read(url.as_str()).await? else { return Ok(None) };
        if self.clock.now() >= stored.fresh_until {
            return Ok(None);
        }
        let document = MetadataDocument::parse(url, stored.body.as_bytes(), rules)?;
        Ok(Some(Known { document, body: stored.body, fresh_until: stored.fresh_until }))
    }

    async fn fetch(
        &self,
        url: &MetadataUrl,
        policy: &Policy,
        rules: DocumentRules,
    ) -> Result<Result<Arc<Known>, Unkept>, Refusal> {
        let request = FetchRequest { url: url.url().clone(), kind: FetchKind::Document };
        let fetched = self.fetcher.fetch(&request).await?;
        let document = MetadataDocument::parse(url, &fetched.body, &rules)?;
        let body = String::from_utf8_lossy(&fetched.body).into_owned();
        let bounds = FreshnessRules {
            floor: Duration::from_secs(policy.cache.floor_seconds),
            default: Duration::from_secs(policy.cache.default_seconds),
            ceiling: Duration::from_secs(policy.cache.ceiling_seconds),
        };
        match Freshness::of(&fetched, &bounds).lifetime {
            Lifetime::OnlyThisFlow => {
                let known = Known { document, body, fresh_until: fetched.received_at };
                Ok(Err(Unkept::ThisFlowOnly(Arc::new(known))))
            }
            Lifetime::Reusable(lifetime) => {
                let fresh_until = fetched.received_at.plus(lifetime);
                let stored = StoredDocument {
                    client_id: url.as_str().to_owned(),
                    body: body.clone(),
                    fetched_at: fetched.received_at,
                    fresh_until,
                };
                if let Err(error) = self.documents.write(&stored).await {
                    // The flow goes on with what is in memory (FM007).
                    tracing::warn!(client_id = url.as_str(), reason = %error, "document not shared");
                }
                Ok(Ok(Arc::new(Known { document, body, fresh_until })))
            }
        }
    }
}

fn document_rules(policy: &Policy) -> DocumentRules {
    DocumentRules { client_name_required: policy.documents.require_client_name, private_use_schemes: false }
}
