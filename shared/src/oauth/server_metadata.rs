//! Authorization server metadata (RFC 8414 §2).

use serde::Serialize;

use super::Issuer;

/// What this server can do. Members stand only while they are true, and none is ever null or empty
/// (RFC 8414 §3.2; `null` breaks deployed clients).
#[derive(Clone, Debug, Serialize)]
pub struct ServerMetadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    scopes_supported: Vec<String>,
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: Vec<&'static str>,
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    code_challenge_methods_supported: [&'static str; 1],
    client_id_metadata_document_supported: bool,
    authorization_response_iss_parameter_supported: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    protected_resources: Vec<String>,
}

/// Paths of our endpoints below the issuer.
pub mod path {
    /// Authorization endpoint.
    pub const AUTHORIZE: &str = "/authorize";
    /// Token endpoint.
    pub const TOKEN: &str = "/token";
    /// Client registration endpoint (RFC 7591 §3).
    pub const REGISTER: &str = "/register";
    /// JSON Web Key Set.
    pub const JWKS: &str = "/jwks.json";
    /// Authorization server metadata (RFC 8414 §3).
    pub const METADATA: &str = "/.well-known/oauth-authorization-server";
}

impl ServerMetadata {
    /// The metadata of `issuer`, which serves tokens for `resources` with `scopes`.
    pub fn new(issuer: &Issuer, scopes: Vec<String>, resources: Vec<String>) -> Self {
        Self {
            issuer: issuer.as_str().to_owned(),
            authorization_endpoint: issuer.url(path::AUTHORIZE),
            token_endpoint: issuer.url(path::TOKEN),
            jwks_uri: issuer.url(path::JWKS),
            registration_endpoint: None,
            scopes_supported: scopes,
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: vec!["authorization_code", "refresh_token"],
            token_endpoint_auth_methods_supported: vec!["none"],
            code_challenge_methods_supported: ["S256"],
            client_id_metadata_document_supported: true,
            authorization_response_iss_parameter_supported: true,
            protected_resources: resources,
        }
    }

    /// The same of a server where clients can register themselves: where, and the methods with a secret that
    /// they can then use (REG-01).
    #[must_use]
    pub fn with_registration(mut self, issuer: &Issuer) -> Self {
        self.registration_endpoint = Some(issuer.url(path::REGISTER));
        for method in ["client_secret_basic", "client_secret_post"] {
            if !self.token_endpoint_auth_methods_supported.contains(&method) {
                self.token_endpoint_auth_methods_supported.push(method);
            }
        }
        self
    }
}
