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
use shared::cimd::document::DocumentDigest;
use shared::cimd::history::Decision;
use shared::client::id::{ClientId, MetadataUrl};
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
use crate::catalogue::census;
use crate::commit::{Answer, Changing, with_revision};
use crate::inspection::{self, Inspection};
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
    /// For the URL of a metadata document: puts the version that is fetched now in force for good.
    #[serde(default, skip_serializing_if = "is_false")]
    pin: bool,
    /// For the URL of a metadata document: registers it even if there is nothing usable to be fetched now.
    #[serde(default, skip_serializing_if = "is_false")]
    unseen: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// A registration as made. The secret is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeRegistration {
    /// The registration.
    registration: RegistrationView,
    /// The secret, for a client that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    /// The metadata document, for a client that has one, with the checks it went through.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Inspection>,
}

/// What registering would do; nothing was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegistrationPlan {
    /// Always true.
    dry_run: bool,
    /// `add`.
    action: &'static str,
    /// The client identifier.
    target: String,
    /// What it adds.
    effect: Effect,
    /// The metadata document, for a client that has one, with the checks it went through.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Inspection>,
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
    url: Option<MetadataUrl>,
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
        let url = if client_id.is_url() {
            Some(app.metadata_url(client_id.as_str(), &acting.policy.policy)?)
        } else {
            client_id.check_issuable().map_err(malformed)?;
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
            if url.is_none() || confidential || !self.grant_types.is_empty() {
                return Err(malformed(
                    "redirect_uris is missing; only a metadata document can say it instead",
                ));
            }
            return Ok(Parts { client_id, url, metadata: None, confidential });
        }
        if self.pin || self.unseen {
            return Err(malformed("pin and unseen are for a metadata document that says its redirect_uris"));
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
        Ok(Parts { client_id, url, metadata: Some(metadata), confidential })
    }

    /// The document as it is now, and the write that pins it, if that is asked for and it is not in force so
    /// already. What is not usable is refused, unless the caller wants to register it unseen.
    async fn inspect(
        &self,
        app: &App,
        acting: &Acting,
        url: &MetadataUrl,
    ) -> Result<(Inspection, Option<Write>), AdminError> {
        let (document, unusable) = inspection::inspect(app, url, &acting.policy.policy).await?;
        if let Some(reason) = unusable.filter(|_| !self.unseen) {
            return Err(AdminError::document(url.as_str(), reason));
        }
        let digest = document.digest.as_deref().and_then(DocumentDigest::parse);
        let pin = match digest.filter(|_| self.pin) {
            None if self.pin => return Err(malformed("there is no version to pin")),
            None => None,
            Some(digest) => match app.documents.pin(url, &digest).await? {
                Decision::Change { write, .. } => Some(*write),
                Decision::Already => None,
                Decision::NoDocument | Decision::OtherVersion => {
                    return Err(AdminError::Changed { kind: "document", id: url.as_str().to_owned() });
                }
            },
        };
        Ok((document, pin))
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
        let id = match &parts.url {
            Some(url) => ToolId::of_metadata_document(url.host(), parts.client_id.as_str()),
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
pub(crate) fn secret(app: &App, now: Timestamp) -> Result<(Secret, SecretDigest), AdminError> {
    let bytes: [u8; 32] = app.random.bytes()?;
    let secret = Secret::new(format!("nps_{}", URL_SAFE_NO_PAD.encode(bytes)));
    let sha256 = URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.expose().as_bytes()));
    Ok((secret, SecretDigest { sha256, created_at: now, expires_at: None }))
}

/// The answer with the secret, and the one for whoever asks again, without.
fn shown_once(
    status: StatusCode,
    registration: &Registration,
    secret: Option<&Secret>,
    document: Option<&Inspection>,
) -> Answer {
    let body = |secret: Option<&Secret>| {
        let made = MadeRegistration {
            registration: registration.into(),
            client_secret: secret.map(|secret| secret.expose().to_owned()),
            document: document.cloned(),
        };
        serde_json::to_value(made).unwrap_or(Value::Null)
    };
    Answer { status, body: body(secret), again: body(None), revision: Some(registration.revision) }
}

/// Registers a client. A secret is shown once and kept as a digest (AD073). Of a metadata document's URL the
/// document is fetched and shown, with `dry_run` before anything is registered.
#[utoipa::path(post, path = "/admin/v1/registrations", tag = "registrations", request_body = NewRegistration,
    params(("dry_run" = Option<bool>, Query, description = "Only show what would be registered"), ("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe")),
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
    let inspected = match (&parts.url, &parts.metadata) {
        (Some(url), None) => Some(new.inspect(&app, &changing.acting, url).await?),
        (Some(_) | None, _) => None,
    };
    let (document, pin) = inspected.map_or((None, None), |(document, pin)| (Some(document), pin));
    if changing.dry_run {
        let effect = Effect { registrations: 1, ..Effect::default() };
        let target = parts.client_id.as_str().to_owned();
        let plan = RegistrationPlan { dry_run: true, action: "add", target, effect, document };
        return Ok(json(StatusCode::OK, &plan));
    }
    let (tool, bring_in) = new.tool(&app, &changing, &parts, now).await?;
    let introduced =
        Introduced { at: now, by: changing.acting.arn.clone(), mechanism: Mechanism::PreRegistered };
    let mut registration = Registration::new(parts.client_id, tool, introduced, parts.metadata);
    let made = if parts.confidential { Some(secret(&app, now)?) } else { None };
    registration.secrets.extend(made.iter().map(|(_, digest)| digest.clone()));
    let mut writes = vec![app.governing.add_registration(&registration, now)?];
    writes.extend(bring_in);
    let mut event = changing
        .event(now, Kind::RegistrationAdded, registration.client_id.as_str())
        .with("tool", registration.tool.as_str());
    if let Some(digest) = document.as_ref().and_then(|document| document.digest.as_deref()) {
        event = event.with("document", digest);
    }
    if new.pin {
        event = event.with("pinned", "true");
        writes.extend(pin);
    }
    let secret = made.as_ref().map(|(secret, _)| secret);
    let answer = shown_once(StatusCode::CREATED, &registration, secret, document.as_ref());
    let response = changing.commit(&app, &new, &event, &writes, answer).await?;
    if let Some(url) = &parts.url {
        app.documents.look_again(url).await;
    }
    Ok(response)
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
    let answer = shown_once(StatusCode::OK, &changed, Some(&fresh), None);
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
        let mut effect = Effect { registrations: 1, ..Effect::default() };
        if let Some(tool) = app.tools.read(&found.tool).await? {
            let census = census(&app, &tool).await?;
            (effect.users, effect.grants) = (census.users, census.grants);
        }
        let answer = DryRun { dry_run: true, action: "remove", target: client_id.to_owned(), effect };
        return Ok(json(StatusCode::OK, &answer));
    }
    let now = app.clock.now();
    let event = changing.event(now, Kind::RegistrationRemoved, client_id).with("tool", found.tool.as_str());
    let write = app.governing.remove_registration(&found.client_id, found.revision)?;
    let answer = Answer::ok(&RegistrationView::from(&found), None);
    changing.commit(&app, &(), &event, &[write], answer).await
}
