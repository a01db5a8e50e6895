//! The demo's protected resource: a small MCP server that trusts Nameplate's tokens.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::oauth::server_metadata;

use super::browser::{Wire, WireError};

/// The scope its one tool needs.
pub const SCOPE: &str = "mcp:read";

/// Path of the MCP endpoint; with the origin it is the resource identifier.
pub const PATH: &str = "/mcp";

/// Where its metadata is: the well-known name goes in front of the path (RFC 9728 §3.1).
pub const METADATA_PATH: &str = "/.well-known/oauth-protected-resource/mcp";

/// A resource that knows its own identifier and the one issuer it trusts.
#[derive(Debug)]
pub struct DemoResource {
    /// Its origin, such as `http://127.0.0.1:3000`.
    pub origin: String,
    /// The issuer identifier of the authorization server.
    pub issuer: String,
    /// For reading the issuer's keys.
    pub wire: Wire,
}

/// Why a token was refused.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error("no access token")]
    Missing,
    #[error("the header says {0:?} instead of at+jwt")]
    Type(Option<String>),
    #[error("no such key at the issuer")]
    Key,
    #[error("the issuer's keys cannot be read: {0}")]
    Keys(#[from] WireError),
    #[error("{0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error("the scope {SCOPE} is missing")]
    Scope,
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    client_id: String,
    #[serde(default)]
    scope: String,
}

impl DemoResource {
    /// Its routes.
    pub fn router(self) -> Router {
        Router::new().route(METADATA_PATH, get(metadata)).route(PATH, post(call)).with_state(Arc::new(self))
    }

    fn identifier(&self) -> String {
        format!("{}{PATH}", self.origin)
    }

    /// RFC 9068 §4: type, signature by a key of the issuer, `iss`, `aud`, `exp`; then our own scope.
    async fn check(&self, headers: &HeaderMap) -> Result<Claims, TokenError> {
        let token = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or(TokenError::Missing)?;
        let header = jsonwebtoken::decode_header(token)?;
        if header.typ.as_deref() != Some("at+jwt") {
            return Err(TokenError::Type(header.typ));
        }
        let metadata = self.wire.get(&format!("{}{}", self.issuer, server_metadata::path::METADATA)).await?;
        let jwks_uri = metadata.member("jwks_uri")?;
        let keys: JwkSet =
            serde_json::from_str(&self.wire.get(&jwks_uri).await?.body).map_err(|_| TokenError::Key)?;
        let key = header.kid.as_deref().and_then(|kid| keys.find(kid)).ok_or(TokenError::Key)?;

        let mut validation = Validation::new(Algorithm::ES256);
        validation.leeway = 0;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[self.identifier()]);
        validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
        let claims = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_jwk(key)?, &validation)?.claims;
        if !claims.scope.split(' ').any(|scope| scope == SCOPE) {
            return Err(TokenError::Scope);
        }
        Ok(claims)
    }

    /// RFC 6750 §3, RFC 9728 §5.1.
    fn refusal(&self, error: &TokenError) -> Response {
        let metadata = format!("resource_metadata=\"{}{METADATA_PATH}\"", self.origin);
        let (status, challenge) = match error {
            TokenError::Missing => {
                (StatusCode::UNAUTHORIZED, format!("Bearer {metadata}, scope=\"{SCOPE}\""))
            }
            TokenError::Scope => (
                StatusCode::FORBIDDEN,
                format!("Bearer error=\"insufficient_scope\", scope=\"{SCOPE}\", {metadata}"),
            ),
            TokenError::Type(_) | TokenError::Key | TokenError::Token(_) => {
                (StatusCode::UNAUTHORIZED, format!("Bearer error=\"invalid_token\", {metadata}"))
            }
            TokenError::Keys(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        };
        let mut response = (status, error.to_string()).into_response();
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Protected resource metadata (RFC 9728 §2).
async fn metadata(State(resource): State<Arc<DemoResource>>) -> Json<Value> {
    Json(json!({
        "resource": resource.identifier(),
        "authorization_servers": [resource.issuer],
        "scopes_supported": [SCOPE],
        "bearer_methods_supported": ["header"],
        "resource_name": "Demo notes",
    }))
}

/// The MCP endpoint, as far as the demo needs one: `tools/call` of `whoami`.
async fn call(State(resource): State<Arc<DemoResource>>, headers: HeaderMap, body: Bytes) -> Response {
    let claims = match resource.check(&headers).await {
        Ok(claims) => claims,
        Err(error) => return resource.refusal(&error),
    };
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = request.get("id").cloned().unwrap_or_default();
    if request.pointer("/params/name").and_then(Value::as_str) != Some("whoami") {
        let error = json!({ "code": -32601, "message": "there is only the tool whoami" });
        return Json(json!({ "jsonrpc": "2.0", "id": id, "error": error })).into_response();
    }
    let text = format!("You are {}, and {} may act for you.", claims.sub, claims.client_id);
    let result = json!({ "content": [{ "type": "text", "text": text }] });
    Json(json!({ "jsonrpc": "2.0", "id": id, "result": result })).into_response()
}
