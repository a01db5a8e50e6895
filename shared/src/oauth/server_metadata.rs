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
    token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    pushed_authorization_request_endpoint: String,
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    dpop_signing_alg_values_supported: Vec<&'static str>,
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
    /// Pushed authorization request endpoint (RFC 9126).
    pub const PAR: &str = "/par";
    /// Revocation endpoint (RFC 7009).
    pub const REVOKE: &str = "/revoke";
    /// Introspection endpoint (RFC 7662).
    pub const INTROSPECT: &str = "/introspect";
    /// JSON Web Key Set.
    pub const JWKS: &str = "/jwks.json";
    /// Authorization server metadata (RFC 8414 §3).
    pub const METADATA: &str = "/.well-known/oauth-authorization-server";
}

impl ServerMetadata {
    /// The metadata of `issuer`, which serves tokens for `resources` with `scopes`. Clients authenticate
    /// with `auth_methods` and sign with `algorithms`.
    pub fn new(
        issuer: &Issuer,
        scopes: Vec<String>,
        resources: Vec<String>,
        auth_methods: &[&'static str],
        algorithms: &[&'static str],
    ) -> Self {
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
            token_endpoint_auth_methods_supported: auth_methods.to_vec(),
            token_endpoint_auth_signing_alg_values_supported: algorithms.to_vec(),
            pushed_authorization_request_endpoint: issuer.url(path::PAR),
            revocation_endpoint: issuer.url(path::REVOKE),
            revocation_endpoint_auth_methods_supported: auth_methods.to_vec(),
            revocation_endpoint_auth_signing_alg_values_supported: algorithms.to_vec(),
            introspection_endpoint: issuer.url(path::INTROSPECT),
            introspection_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
            dpop_signing_alg_values_supported: algorithms.to_vec(),
            code_challenge_methods_supported: ["S256"],
            client_id_metadata_document_supported: true,
            authorization_response_iss_parameter_supported: true,
            protected_resources: resources,
        }
    }

    /// The same of a server where clients can register themselves (REG-01).
    #[must_use]
    pub fn with_registration(mut self, issuer: &Issuer) -> Self {
        self.registration_endpoint = Some(issuer.url(path::REGISTER));
        self
    }
}
