//! Registrations that administrators make: pre-registered clients, by an id of ours or the URL of a
//! metadata document (GOV-14), and their secrets.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::audit::Kind;
use shared::aws::Write;
use shared::client::id::{ClientId, MetadataUrl, UrlRules};
use shared::client::metadata::{
    AuthMethod, AuthMethods, ClientKeys, ClientMetadata, GrantType, ResponseType,
};
use shared::client::redirect::RedirectUri;
use shared::client::registration::{Registration, SECRETS_MAX, SecretDigest};
use shared::clock::Timestamp;
use shared::http::json;
use shared::policy::Role;
use shared::secret::Secret;
use shared::tool::{Introduced, Mechanism, Reviewed, Status, Tool, ToolId};
use utoipa::ToSchema;

use crate::App;
use crate::caller::Acting;
use crate::commit::{Answer, Changing, with_revision};
use crate::listing::params;
use crate::problem::{AdminError, Problem};
use crate::tools::{read, registration, tool};
use crate::view::{DryRun, Effect, RegistrationView};

/// Redirect URIs of one client.
const REDIRECT_URIS_MAX: usize = 20;

/// How long the secret before the new one goes on working unless the request says otherwise, in seconds.
const OVERLAP_DEFAULT: u64 = 86_400;

/// How long it may go on working at most, in seconds.
const OVERLAP_MAX: u64 = 30 * 86_400;

/// A client to be registered.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRegistration {
    /// The client identifier; the URL of a metadata document, or any other string. Made by us if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// The tool it belongs to; a new one if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Where codes may go. Left out for a metadata document that says it.
    #[serde(default)]
    redirect_uris: Vec<String>,
    /// `none`, `client_secret_basic`, or `client_secret_post`; `none` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_endpoint_auth_method: Option<String>,
    /// `authorization_code` and `refresh_token` if left out.
    #[serde(default)]
    grant_types: Vec<String>,
}

/// A registration as made. The secret is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeRegistration {
    /// The registration.
    registration: RegistrationView,
    /// The secret, for a client that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

/// A secret to be replaced.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateSecret {
    /// The client identifier, exactly.
    client_id: String,
    /// For how long the secret before goes on working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    overlap_seconds: Option<u64>,
}

/// What a registration is made of.
struct Parts {
    client_id: ClientId,
    host: Option<String>,
    metadata: Option<ClientMetadata>,
    confidential: bool,
}

fn malformed(error: impl std::fmt::Display) -> AdminError {
    AdminError::Malformed(error.to_string())
}

impl NewRegistration {
    fn parts(&self, app: &App, acting: &Acting) -> Result<Parts, AdminError> {
        let client_id = match &self.client_id {
            Some(text) => text.clone(),
            None => {
                let bytes: [u8; 16] = app.random.bytes()?;
                format!("np_{}", URL_SAFE_NO_PAD.encode(bytes))
            }
        };
        let client_id = ClientId::parse(&client_id).map_err(malformed)?;
        let host = if client_id.as_str().starts_with("https://") {
            let mut rules = UrlRules {
                query: acting.policy.policy.documents.allow_query,
                forbidden: vec![app.issuer.as_str().to_owned()],
                ..UrlRules::default()
            };
            rules.ports.extend_from_slice(&acting.policy.policy.documents.ports);
            Some(MetadataUrl::parse(&client_id, &rules).map_err(malformed)?.host().to_owned())
        } else {
            None
        };
        let name = self.token_endpoint_auth_method.as_deref().unwrap_or("none");
        let method = AuthMethod::from_name(name)
            .filter(|method| *method != AuthMethod::PrivateKeyJwt)
            .ok_or_else(|| {
                malformed("token_endpoint_auth_method is none, client_secret_basic, or client_secret_post")
            })?;
        let confidential = method != AuthMethod::None;
        if self.redirect_uris.is_empty() {
            if host.is_none() || confidential || !self.grant_types.is_empty() {
                return Err(malformed(
                    "redirect_uris is missing; only a metadata document can say it instead",
                ));
            }
            return Ok(Parts { client_id, host, metadata: None, confidential });
        }
        if self.redirect_uris.len() > REDIRECT_URIS_MAX {
            return Err(malformed(format!("redirect_uris has {REDIRECT_URIS_MAX} entries at most")));
        }
        let redirect_uris: Vec<RedirectUri> = self
            .redirect_uris
            .iter()
            .map(|uri| RedirectUri::parse(uri).map_err(|error| malformed(format!("{uri}: {error}"))))
            .collect::<Result<_, _>>()?;
        let grant_types = if self.grant_types.is_empty() {
            vec![GrantType::AuthorizationCode, GrantType::RefreshToken]
        } else {
            self.grant_types
                .iter()
                .map(|name| {
                    GrantType::from_name(name).ok_or_else(|| malformed(format!("unknown grant type {name}")))
                })
                .collect::<Result<_, _>>()?
        };
        let auth_methods =
            AuthMethods::from_declared(Some(name), None, AuthMethod::None).map_err(malformed)?;
        let metadata = ClientMetadata {
            client_name: self.name.clone(),
            client_uri: None,
            logo_uri: None,
            tos_uri: None,
            policy_uri: None,
            redirect_uris,
            unusable_redirect_uris: Vec::new(),
            grant_types,
            response_types: vec![ResponseType::Code],
            auth_methods,
            keys: ClientKeys::None,
            scope: None,
            application_type: None,
            software_id: None,
            software_version: None,
            dpop_bound_access_tokens: false,
        };
        Ok(Parts { client_id, host, metadata: Some(metadata), confidential })
    }

    /// The tool it belongs to, and the write that brings it in if there is none yet.
    async fn tool(
        &self,
        app: &App,
        changing: &Changing,
        parts: &Parts,
        now: Timestamp,
    ) -> Result<(ToolId, Option<Write>), AdminError> {
        if let Some(id) = &self.tool {
            let known = tool(app, id).await?;
            let into = known.merged.map_or(known.id, |merged| merged.into);
            return Ok((into, None));
        }
        let id = match &parts.host {
            Some(host) => ToolId::of_metadata_document(host, parts.client_id.as_str()),
            None => new_tool_id(app, self.name.as_deref().unwrap_or("tool"))?,
        };
        let arn = &changing.acting.arn;
        let introduced = Introduced { at: now, by: arn.clone(), mechanism: Mechanism::PreRegistered };
        let mut new = Tool::new(id.clone(), self.name.clone(), Status::Enabled, introduced);
        new.reviewed = Some(Reviewed { at: now, by: arn.clone() });
        match app.tools.read(&id).await? {
            None => Ok((id, Some(app.governing.add_tool(&new)?))),
            Some(forgotten) if forgotten.forgotten => {
                Ok((id, Some(app.governing.revive_tool(&forgotten, &new)?)))
            }
            Some(known) => Ok((known.merged.map_or(known.id, |merged| merged.into), None)),
        }
    }
}

/// A readable id for a tool without a document: its name in plain letters, and something random.
fn new_tool_id(app: &App, name: &str) -> Result<ToolId, AdminError> {
    let mut slug = String::new();
    for letter in name.to_lowercase().chars().take(40) {
        match letter {
            'a'..='z' | '0'..='9' => slug.push(letter),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-');
    let slug = if slug.is_empty() { "tool" } else { slug };
    let bytes: [u8; 5] = app.random.bytes()?;
    let suffix: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    ToolId::parse(&format!("{slug}~{suffix}")).ok_or_else(|| malformed("the name makes no tool id"))
}

/// A fresh secret and what is kept of it.
fn secret(app: &App, now: Timestamp) -> Result<(Secret, SecretDigest), AdminError> {
    let bytes: [u8; 32] = app.random.bytes()?;
    let secret = Secret::new(format!("nps_{}", URL_SAFE_NO_PAD.encode(bytes)));
    let sha256 = URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.expose().as_bytes()));
    Ok((secret, SecretDigest { sha256, created_at: now, expires_at: None }))
}

/// The answer with the secret, and the one for whoever asks again, without.
fn shown_once(status: StatusCode, registration: &Registration, secret: Option<&Secret>) -> Answer {
    let body = |secret: Option<&Secret>| {
        let made = MadeRegistration {
            registration: registration.into(),
            client_secret: secret.map(|secret| secret.expose().to_owned()),
        };
        serde_json::to_value(made).unwrap_or(Value::Null)
    };
    Answer { status, body: body(secret), again: body(None), revision: Some(registration.revision) }
}

/// Registers a client. A secret is shown once and kept as a digest (AD073).
#[utoipa::path(post, path = "/admin/v1/registrations", tag = "registrations", request_body = NewRegistration,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe")),
    responses((status = 201, body = MadeRegistration), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    changing: Changing,
    body: Bytes,
) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Operator)?;
    let new: NewRegistration = read(&body)?;
    if let Some(response) = changing.answered(&app, &new).await? {
        return Ok(response);
    }
    let now = app.clock.now();
    let parts = new.parts(&app, &changing.acting)?;
    if let Some(existing) =
        app.registrations.read(&parts.client_id).await?.filter(|known| !known.has_ended(now))
    {
        return Err(AdminError::NotNow(format!(
            "{} is registered already, for tool {}: map it, or remove it first",
            existing.client_id.as_str(),
            existing.tool
        )));
    }
    let (tool, bring_in) = new.tool(&app, &changing, &parts, now).await?;
    let introduced =
        Introduced { at: now, by: changing.acting.arn.clone(), mechanism: Mechanism::PreRegistered };
    let mut registration = Registration::new(parts.client_id, tool, introduced, parts.metadata);
    let made = if parts.confidential { Some(secret(&app, now)?) } else { None };
    registration.secrets.extend(made.iter().map(|(_, digest)| digest.clone()));
    let mut writes = vec![app.governing.add_registration(&registration, now)?];
    writes.extend(bring_in);
    let event = changing
        .event(now, Kind::RegistrationAdded, registration.client_id.as_str())
        .with("tool", registration.tool.as_str());
    let answer = shown_once(StatusCode::CREATED, &registration, made.as_ref().map(|(secret, _)| secret));
    changing.commit(&app, &new, &event, &writes, answer).await
}

/// A registration.
#[utoipa::path(get, path = "/admin/v1/registrations", tag = "registrations",
    params(("client_id" = String, Query, description = "The client identifier, exactly")),
    responses((status = 200, body = RegistrationView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    _acting: Acting,
    RawQuery(query): RawQuery,
) -> Result<Response, AdminError> {
    let params = params(query.as_deref(), &["client_id"])?;
    let client_id = params.get("client_id").ok_or_else(|| malformed("client_id is missing"))?;
    let found = registration(&app, client_id).await?;
    Ok(with_revision(json(StatusCode::OK, &RegistrationView::from(&found)), Some(found.revision)))
}

/// Replaces a client's secret. The one before goes on working for a while, so that nobody is cut off.
#[utoipa::path(post, path = "/admin/v1/registrations/rotate-secret", tag = "registrations", request_body = RotateSecret,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe")),
    responses((status = 200, body = MadeRegistration), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn rotate_secret(
    State(app): State<Arc<App>>,
    changing: Changing,
    body: Bytes,
) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Operator)?;
    let rotate: RotateSecret = read(&body)?;
    if let Some(response) = changing.answered(&app, &rotate).await? {
        return Ok(response);
    }
    let overlap = rotate.overlap_seconds.unwrap_or(OVERLAP_DEFAULT);
    if overlap > OVERLAP_MAX {
        return Err(malformed(format!("overlap_seconds is {OVERLAP_MAX} at most")));
    }
    let mut changed = registration(&app, &rotate.client_id).await?;
    changing.must_have_seen("registration", &rotate.client_id, changed.revision)?;
    if changed.secrets.is_empty() {
        return Err(AdminError::NotNow(format!("{} has no secret", rotate.client_id)));
    }
    let now = app.clock.now();
    let until = Timestamp::from_epoch_seconds(now.epoch_seconds().saturating_add(overlap));
    let (fresh, digest) = secret(&app, now)?;
    for earlier in &mut changed.secrets {
        earlier.expires_at = Some(earlier.expires_at.map_or(until, |ends| ends.min(until)));
    }
    changed.secrets.insert(0, digest);
    changed.secrets.truncate(SECRETS_MAX);
    let write = app.governing.replace_registration(&changed)?;
    let event = changing
        .event(now, Kind::SecretRotated, &rotate.client_id)
        .with("previous_works_until", until.epoch_seconds().to_string());
    changed.revision = changed.revision.saturating_add(1);
    let answer = shown_once(StatusCode::OK, &changed, Some(&fresh));
    changing.commit(&app, &rotate, &event, &[write], answer).await
}

/// Removes a registration: its client is unknown from the next request on.
#[utoipa::path(delete, path = "/admin/v1/registrations", tag = "registrations",
    params(("client_id" = String, Query, description = "The client identifier, exactly"), ("dry_run" = Option<bool>, Query, description = "Only say what it would take away")),
    responses((status = 200, body = RegistrationView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    changing: Changing,
    RawQuery(query): RawQuery,
) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Operator)?;
    let params = params(query.as_deref(), &["client_id", "dry_run"])?;
    let client_id = params.get("client_id").ok_or_else(|| malformed("client_id is missing"))?;
    let found = registration(&app, client_id).await?;
    changing.must_have_seen("registration", client_id, found.revision)?;
    if changing.dry_run {
        // Grants are counted per tool, so this is what it takes away at most.
        let census = app.tools.count(&found.tool, app.clock.now()).await?;
        let effect = Effect { users: census.users, grants: census.grants, registrations: 1 };
        let answer = DryRun { dry_run: true, action: "remove", target: client_id.to_owned(), effect };
        return Ok(json(StatusCode::OK, &answer));
    }
    let now = app.clock.now();
    let event = changing.event(now, Kind::RegistrationRemoved, client_id).with("tool", found.tool.as_str());
    let write = app.governing.remove_registration(&found.client_id, found.revision)?;
    let answer = Answer::ok(&RegistrationView::from(&found), None);
    changing.commit(&app, &(), &event, &[write], answer).await
}
