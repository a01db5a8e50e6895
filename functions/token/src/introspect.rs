//! Introspection (RFC 7662), for the resources that tokens are made for, and for nobody else.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use shared::aws::{Records, Wanted};
use shared::clock::Timestamp;
use shared::grant::{Assurance, Stage};
use shared::http::json;
use shared::http::log::Note;
use shared::jose::{AccessToken, Confirmation};
use shared::oauth::Params;
use shared::policy::{Policy, Resource};
use shared::tool::{Mechanism, ToolId, check_standing};

use crate::App;
use crate::client_auth::{Envelope, Presented};
use crate::error::TokenError;
use crate::governance::is_blocked;
use crate::issued;

/// An answer about a token that may be used (RFC 7662 §2.2; RFC 9449 §6.2).
#[derive(Serialize)]
struct Active<'a> {
    active: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    client_id: &'a str,
    token_type: &'static str,
    exp: Timestamp,
    iat: Timestamp,
    sub: &'a str,
    aud: &'a str,
    iss: &'a str,
    jti: &'a str,
    tool_id: &'a str,
    registration: Mechanism,
    #[serde(skip_serializing_if = "Option::is_none")]
    document_digest: Option<&'a str>,
    assurance: Assurance,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<&'a Confirmation>,
}

/// An answer about any other token. It does not say why (INT-02).
#[derive(Serialize)]
struct Inactive {
    active: bool,
}

/// Answers a resource's question about a token.
///
/// Refresh tokens are none of a resource's business, so they are as unknown as anything else (INT-04).
pub(crate) async fn introspect(
    app: &App,
    request: &Envelope,
    params: &Params,
) -> Result<Response, TokenError> {
    let policy = app.policies.current(app.clock.as_ref()).await?;
    let resource = caller(app, &policy.policy, request, params).await?;
    let token = params.get("token").ok_or(TokenError::Missing("token"))?;
    let claims = issued::access_token(app, token).await;
    let Some(claims) = claims.filter(|claims| claims.aud == resource.resource) else {
        return Ok(inactive());
    };
    if app.clock.now() >= claims.exp || !is_live(app, &claims, &policy.policy).await? {
        return Ok(inactive());
    }
    let body = Active {
        active: true,
        scope: &claims.scope,
        client_id: &claims.client_id,
        token_type: if claims.cnf.is_some() { "DPoP" } else { "Bearer" },
        exp: claims.exp,
        iat: claims.iat,
        sub: &claims.sub,
        aud: &claims.aud,
        iss: &claims.iss,
        jti: &claims.jti,
        tool_id: &claims.tool_id,
        registration: claims.registration,
        document_digest: claims.document_digest.as_deref(),
        assurance: claims.assurance,
        cnf: claims.cnf.as_ref(),
    };
    Ok(Note::new("introspected").client(&claims.client_id).on(json(StatusCode::OK, &body)))
}

/// The resource that asks, proved by its secret.
async fn caller<'a>(
    app: &App,
    policy: &'a Policy,
    request: &Envelope,
    params: &Params,
) -> Result<&'a Resource, TokenError> {
    let presented = Presented::read(request, params).map_err(|error| match error {
        TokenError::Missing(_) => TokenError::CallerUnknown,
        error => error,
    })?;
    // One answer for an unknown resource, one without secrets, and a wrong secret.
    let resource = policy.resources.iter().find(|resource| resource.resource == presented.client_id);
    let resource = resource.ok_or(TokenError::CallerUnknown)?;
    let now = app.clock.now();
    app.failures.check(&presented.client_id, &presented.source, now)?;
    if presented.holds_one_of(resource.introspection_secrets.iter().map(String::as_str)) {
        return Ok(resource);
    }
    app.failures.count(&presented.client_id, &presented.source, now).await?;
    Err(TokenError::CallerUnknown)
}

/// Whether the grant behind a token is still good: a revoked grant or a disabled tool ends it at once,
/// whatever the token itself says (invariant 4).
async fn is_live(app: &App, claims: &AccessToken, policy: &Policy) -> Result<bool, TokenError> {
    let (Some(id), Some(tool)) = (issued::grant_id(claims), ToolId::parse(&claims.tool_id)) else {
        return Ok(false);
    };
    let wanted = Wanted { grant: Some(id), tool: Some(&tool), client_id: Some(&claims.client_id) };
    let Records { grant, tools, registration } = app.records.read(wanted).await?;
    let Some(grant) = grant else { return Ok(false) };
    let known = registration.is_some_and(|known| !known.has_ended(app.clock.now()));
    Ok(matches!(grant.stage, Stage::Active(_))
        && (known || grant.mechanism == Mechanism::MetadataDocument)
        && check_standing(&grant.tool, grant.tool_epoch, &tools, policy.documents.continuing()).is_ok()
        && !is_blocked(&grant, policy))
}

fn inactive() -> Response {
    Note::new("introspected_inactive").on(json(StatusCode::OK, &Inactive { active: false }))
}
