//! Who is this client? (CID-01 to CID-07)

use crate::aws::StoreError;
use crate::cimd::documents::{Documents, NoDocument};
use crate::client::id::{ClientId, ClientUrlError, MetadataUrl, UrlRules};
use crate::client::metadata::ClientMetadata;
use crate::fetch::FailureKind;
use crate::fetch::host::DevelopmentHost;
use crate::grant::Mechanism;
use crate::oauth::Issuer;
use crate::policy::Policy;
use crate::tool::ToolId;

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
    /// There is no usable metadata document.
    #[error(transparent)]
    Document(#[from] NoDocument),
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
            Self::Document(NoDocument::Withdrawn) => RefusalKind::Invalid,
            Self::Document(NoDocument::Store(_) | NoDocument::Random(_)) | Self::Store(_) => {
                RefusalKind::Ours
            }
        }
    }
}

/// Resolves client identifiers.
pub struct Resolver {
    issuer: Issuer,
    documents: Documents,
    development: Vec<DevelopmentHost>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver over `documents`. `development` lists names that stand outside the host rules; a
    /// deployment has none.
    pub fn new(issuer: Issuer, documents: Documents, development: Vec<DevelopmentHost>) -> Self {
        Self { issuer, documents, development }
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
        let known = self.documents.find(&url, policy, shown).await?;
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
}
