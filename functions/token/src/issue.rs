//! What is issued: the access token and the answer that carries it.

use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use shared::clock::Timestamp;
use shared::grant::{Grant, RefreshToken};
use shared::http::json;
use shared::http::log::Note;
use shared::jose::{AccessToken, Confirmation, KeySet};
use shared::oauth::scope::OFFLINE_ACCESS;
use shared::oauth::{Params, Scope};
use shared::policy::Lifetimes;
use shared::secret::Secret;
use shared::tool::Tool;

use crate::App;
use crate::error::TokenError;

/// A successful answer (OAuth 2.1 §3.2.3).
pub(crate) struct TokenResponse {
    pub(crate) outcome: &'static str,
    pub(crate) client_id: String,
    pub(crate) tool: Tool,
    pub(crate) access_token: Secret,
    /// Whether it is bound to a DPoP key (RFC 9449 §5).
    pub(crate) bound: bool,
    pub(crate) expires_in: u64,
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) scope: Scope,
}

#[derive(Serialize)]
struct Body<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    // Deployed clients reject `null` here.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
}

impl TokenResponse {
    pub(crate) fn into_response(self) -> Response {
        let body = Body {
            access_token: self.access_token.expose(),
            token_type: if self.bound { "DPoP" } else { "Bearer" },
            expires_in: self.expires_in,
            refresh_token: self.refresh_token.as_ref().map(Secret::expose),
            scope: self.scope.to_string(),
        };
        Note::new(self.outcome).client(&self.client_id).tool(&self.tool).on(json(StatusCode::OK, &body))
    }
}

/// Signs an access token for `grant` with `scope`, bound to the DPoP key `jkt` if there is one.
pub(crate) fn access_token(
    app: &App,
    keys: &KeySet,
    grant: &Grant,
    scope: &Scope,
    jkt: Option<&str>,
    now: Timestamp,
    lifetimes: &Lifetimes,
) -> Result<Secret, TokenError> {
    let unique: [u8; 9] = app.random.bytes()?;
    let claims = AccessToken {
        iss: app.issuer.as_str().to_owned(),
        sub: grant.subject.clone(),
        aud: grant.resource.clone(),
        client_id: grant.client_id.clone(),
        scope: scope.filter(|token| token != OFFLINE_ACCESS).to_string(),
        iat: now,
        exp: now.plus(lifetimes.access_token()),
        jti: format!("{}.{}", grant.id, URL_SAFE_NO_PAD.encode(unique)),
        tool_id: grant.tool.to_string(),
        registration: grant.mechanism,
        document_digest: grant.document_digest.clone(),
        assurance: grant.assurance(),
        cnf: jkt.map(|jkt| Confirmation { jkt: jkt.to_owned() }),
    };
    Ok(keys.sign_access_token(&claims)?)
}

/// The refresh token of `generation`.
pub(crate) fn refresh_token(keys: &KeySet, grant: &Grant, generation: u32) -> Result<Secret, TokenError> {
    Ok(RefreshToken { grant: grant.id, generation, tool: grant.tool.clone() }.mint(&keys.seal)?)
}

/// TOK-16, REF-05: a `resource` in the request must be the granted one.
pub(crate) fn check_resource(params: &Params, grant: &Grant) -> Result<(), TokenError> {
    let granted = shared::oauth::ResourceId::parse(&grant.resource).map_err(|_| TokenError::OtherResource)?;
    if params.all("resource").all(|requested| granted.matches(requested)) {
        Ok(())
    } else {
        Err(TokenError::OtherResource)
    }
}
