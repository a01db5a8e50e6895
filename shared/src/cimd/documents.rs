//! Metadata documents by their URL: from memory, from the cache that all instances share, or fetched.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::document::{DocumentError, DocumentRules, MetadataDocument};
use super::freshness::{Freshness, FreshnessRules, Lifetime};
use crate::aws::{DocumentStore, StoreError, StoredDocument};
use crate::client::id::MetadataUrl;
use crate::clock::{Clock, Timestamp};
use crate::fetch::{FetchError, FetchKind, FetchRequest, Fetcher};
use crate::policy::Policy;

/// Documents that one process keeps in memory; the least used ones make room (CAC-19).
const MEMORY_DOCUMENTS_MAX: u64 = 1_000;

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDocument {
    /// It could not be fetched.
    #[error("the metadata document could not be fetched: {0}")]
    Fetch(#[from] FetchError),
    /// It is not acceptable.
    #[error("the metadata document is not acceptable: {0}")]
    Document(#[from] DocumentError),
    /// Our own store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A document in force.
#[derive(Debug)]
pub struct Known {
    /// What it says.
    pub document: MetadataDocument,
    /// Its bytes, so that a decision can be made on what was shown.
    pub body: String,
    fresh_until: Timestamp,
}

/// Why a look-up gave nothing that may be kept; shared by all who waited for it.
#[derive(Clone, Debug)]
enum Unkept {
    None(NoDocument),
    /// Valid, but its host forbids keeping it (CAC-08).
    ThisFlowOnly(Arc<Known>),
}

/// Finds metadata documents.
pub struct Documents {
    clock: Arc<dyn Clock>,
    fetcher: Arc<dyn Fetcher>,
    store: DocumentStore,
    memory: Cache<String, Arc<Known>>,
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").finish_non_exhaustive()
    }
}

impl Documents {
    /// Fetches with `fetcher` and shares what may be kept through `store`.
    pub fn new(clock: Arc<dyn Clock>, fetcher: Arc<dyn Fetcher>, store: DocumentStore) -> Self {
        let memory = Cache::builder().max_capacity(MEMORY_DOCUMENTS_MAX).build();
        Self { clock, fetcher, store, memory }
    }

    /// The document of `url`. With `shown`, the document that a person has just been asked about, nothing
    /// is fetched: it serves if no fresher one is known.
    ///
    /// Call it only once a person is signed in (FET-01).
    ///
    /// # Errors
    /// [`NoDocument`]; nothing is remembered of it (CAC-02, CAC-03).
    pub async fn find(
        &self,
        url: &MetadataUrl,
        policy: &Policy,
        shown: Option<&str>,
    ) -> Result<Arc<Known>, NoDocument> {
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
            Unkept::None(reason) => Err(reason.clone()),
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
            Err(reason) => return Err(Unkept::None(reason)),
        }
        self.fetch(url, policy, rules).await.unwrap_or_else(|reason| Err(Unkept::None(reason)))
    }

    /// The document in the shared cache, while it is fresh and still passes the rules.
    async fn stored(&self, url: &MetadataUrl, rules: &DocumentRules) -> Result<Option<Known>, NoDocument> {
        let Some(stored) = self.store.read(url.as_str()).await? else { return Ok(None) };
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
    ) -> Result<Result<Arc<Known>, Unkept>, NoDocument> {
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
                if let Err(error) = self.store.write(&stored).await {
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
