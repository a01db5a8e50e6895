//! Where the public keys of a client come from: its registration, or its metadata document. Never the
//! request.

use shared::aws::StoreError;
use shared::client::id::ClientId;
use shared::client::metadata::{ClientKeys, ClientMetadata, PublicJwks};
use shared::resolver::{Refusal, RefusalKind};

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
    /// In the metadata document that the client identifier, which a stored grant has named, is the URL of.
    Document,
}

impl KeySource<'_> {
    /// The key set of `client_id`, and if possible one that holds `kid`.
    pub(crate) async fn find(
        &self,
        app: &App,
        client_id: &str,
        kid: Option<&str>,
    ) -> Result<PublicJwks, NoKeys> {
        match self {
            Self::Registered(metadata) => keys_of(app, metadata, kid).await,
            Self::Document => {
                let policy = app.policies.current(app.clock.as_ref()).await?;
                let id = ClientId::parse(client_id).map_err(|error| NoKeys::Unusable(error.to_string()))?;
                let metadata = app.resolver.document_of(&id, &policy.policy).await.map_err(no_document)?;
                keys_of(app, &metadata, kid).await
            }
        }
    }
}

async fn keys_of(app: &App, metadata: &ClientMetadata, kid: Option<&str>) -> Result<PublicJwks, NoKeys> {
    let _ = (app, kid);
    match &metadata.keys {
        ClientKeys::None => Err(NoKeys::None),
        ClientKeys::Inline(keys) => Ok(keys.clone()),
        ClientKeys::Uri(_) => Err(NoKeys::Unavailable("jwks_uri".to_owned())),
    }
}

fn no_document(refusal: Refusal) -> NoKeys {
    match refusal.kind() {
        RefusalKind::Temporary | RefusalKind::Ours => NoKeys::Unavailable(refusal.to_string()),
        RefusalKind::Malformed
        | RefusalKind::Unknown
        | RefusalKind::Invalid
        | RefusalKind::Pending
        | RefusalKind::Disabled
        | RefusalKind::Withdrawn => NoKeys::Unusable(refusal.to_string()),
    }
}
