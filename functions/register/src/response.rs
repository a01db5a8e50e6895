//! The answer to a registration (RFC 7591 §3.2.1).

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use shared::client::metadata::{ApplicationType, GrantType, ResponseType};
use shared::client::registration::Registration;
use shared::clock::Timestamp;
use shared::http::json;
use shared::http::log::Note;
use shared::secret::Secret;

use crate::metadata::Requested;

/// A secret and how long it works.
pub(crate) struct IssuedSecret {
    pub(crate) secret: Secret,
    pub(crate) expires_at: Timestamp,
}

/// Client information: what is registered, nothing null, nothing empty.
#[derive(Serialize)]
pub(crate) struct Information {
    client_id: String,
    client_id_issued_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u64>,
    redirect_uris: Vec<String>,
    token_endpoint_auth_method: &'static str,
    grant_types: Vec<GrantType>,
    response_types: Vec<ResponseType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logo_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tos_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_type: Option<ApplicationType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    software_id: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dpop_bound_access_tokens: bool,
}

impl Information {
    /// What `requested` came to. Its metadata is that of `registration`: the identifier is the digest of it.
    /// Redirect URIs are answered as this installation wrote them, because a client reads its port from
    /// there; with any port they are the registered ones.
    pub(crate) fn new(
        registration: &Registration,
        requested: Requested,
        secret: Option<IssuedSecret>,
    ) -> Self {
        let metadata = requested.metadata;
        let method = metadata.auth_methods.declared().first().map_or("none", |method| method.as_str());
        Self {
            client_id: requested.client_id.as_str().to_owned(),
            client_id_issued_at: registration.introduced.at.epoch_seconds(),
            client_secret_expires_at: secret.as_ref().map(|secret| secret.expires_at.epoch_seconds()),
            client_secret: secret.map(|secret| secret.secret.expose().to_owned()),
            redirect_uris: requested.redirect_uris.into_iter().map(String::from).collect(),
            token_endpoint_auth_method: method,
            grant_types: metadata.grant_types,
            response_types: metadata.response_types,
            client_name: metadata.client_name,
            client_uri: metadata.client_uri,
            logo_uri: metadata.logo_uri,
            tos_uri: metadata.tos_uri,
            policy_uri: metadata.policy_uri,
            scope: metadata.scope,
            application_type: metadata.application_type,
            software_id: metadata.software_id,
            dpop_bound_access_tokens: metadata.dpop_bound_access_tokens,
        }
    }

    pub(crate) fn into_response(self) -> Response {
        let note = Note::new("client_registered").client(&self.client_id);
        note.on(json(StatusCode::CREATED, &self))
    }
}
