//! Where the public keys of a client come from: its registration, or its metadata document. Never the
//! request.

use shared::aws::StoreError;
use shared::client::metadata::{ClientKeys, ClientMetadata, PublicJwks};

use crate::App;

/// Why there are no keys.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NoKeys {
    #[error("the client has published none")]
    None,
    #[error("they are not usable: {0}")]
    Unusable(String),
    #[error("they are out of reach: {0}")]
    Unavailable(String),
    #[error(transparent)]
    Ours(#[from] StoreError),
}

/// Where the keys of a client are.
#[derive(Clone, Copy)]
pub(crate) enum KeySource<'a> {
    /// In what is registered here.
    Registered(&'a ClientMetadata),
    /// In the metadata document at this client identifier, which a stored grant has named.
    Document(&'a str),
    /// Nowhere: no such client authenticates with keys.
    Nowhere,
}

impl KeySource<'_> {
    /// The key set, and if possible one that holds `kid`.
    pub(crate) async fn find(&self, app: &App, kid: Option<&str>) -> Result<PublicJwks, NoKeys> {
        match self {
            Self::Registered(metadata) => app.keys_of(metadata, kid).await,
            Self::Document(client_id) => {
                let metadata = app.document_of(client_id).await?;
                app.keys_of(&metadata, kid).await
            }
            Self::Nowhere => Err(NoKeys::None),
        }
    }
}
