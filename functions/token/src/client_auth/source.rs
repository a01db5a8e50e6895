//! Where the public keys of a client come from: its registration, or its metadata document. Never the
//! request.

use shared::cimd::keys::NoKeys;
use shared::client::id::ClientId;
use shared::client::metadata::{ClientMetadata, PublicJwks};
use shared::resolver::{Refusal, RefusalKind};

use crate::App;

/// Where the keys of a client are.
#[derive(Clone, Copy)]
pub(crate) enum KeySource<'a> {
    /// In what is registered here.
    Registered(&'a ClientMetadata),
    /// In the metadata document that the client identifier, which a stored grant has named, is the URL of.
    Document,
    /// In this metadata, and nothing may be fetched: the request could be a stranger's.
    AtHand(&'a ClientMetadata),
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
            Self::Registered(metadata) => app.client_keys.keys_of(metadata, kid).await,
            Self::AtHand(metadata) => app.client_keys.known_without_fetch(metadata).await,
            Self::Document => {
                let policy = app.policies.current(app.clock.as_ref()).await?;
                let id = ClientId::parse(client_id).map_err(|error| NoKeys::Unusable(error.to_string()))?;
                let metadata = app.resolver.document_of(&id, &policy.policy).await.map_err(no_document)?;
                app.client_keys.keys_of(&metadata, kid).await
            }
        }
    }
}

fn no_document(refusal: Refusal) -> NoKeys {
    match refusal.kind() {
        RefusalKind::Temporary | RefusalKind::Ours => NoKeys::Unavailable(refusal.to_string()),
        RefusalKind::Malformed
        | RefusalKind::Unknown
        | RefusalKind::Invalid
        | RefusalKind::Held
        | RefusalKind::Pending
        | RefusalKind::Disabled
        | RefusalKind::Withdrawn => NoKeys::Unusable(refusal.to_string()),
    }
}
