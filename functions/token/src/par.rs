//! Pushed authorization requests (RFC 9126), for all clients.
//!
//! The answer is the request itself, sealed ([`PushedRequest`]), so nothing is stored. What can be checked
//! without a fetch is checked here; the rest is checked where every authorization request is, once a person
//! is signed in. Clients with a registration, or with a metadata document that we know, authenticate as
//! they would at the token endpoint. Nobody fetches a document or a key set for a push, which anybody can
//! send: a client whose document was never read here is believed as little as one whose request arrives in
//! a browser, which is where its document is read.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use shared::aws::{Records, Wanted};
use shared::client::id::ClientId;
use shared::client::metadata::{AuthMethod, ClientMetadata};
use shared::grant::{GrantId, PUSHED_REQUEST_BYTES_MAX, PUSHED_REQUEST_LIFETIME, PushedRequest};
use shared::http::json;
use shared::http::log::Note;
use shared::oauth::Params;

use crate::App;
use crate::client_auth::{ClientError, KeySource, OnRecord, Presented, Secrets, authenticate};
use crate::dpop::{DpopError, Proof};
use crate::error::TokenError;

/// Parameters that prove who pushes, and so are not part of the request.
const CREDENTIALS: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

#[derive(Serialize)]
struct Body<'a> {
    request_uri: &'a str,
    expires_in: u64,
}

pub(crate) async fn push(
    app: &App,
    params: &Params,
    presented: &Presented,
    proof: Option<&Proof>,
) -> Result<Response, TokenError> {
    if params.get("request_uri").is_some() || params.get("request").is_some() {
        return Err(TokenError::PushedReference);
    }
    if params.len_bytes() > PUSHED_REQUEST_BYTES_MAX {
        return Err(TokenError::PushedTooLong);
    }
    let redirect_uri = params.get("redirect_uri").ok_or(TokenError::Missing("redirect_uri"))?;
    params.get("code_challenge").ok_or(TokenError::Missing("code_challenge"))?;
    let known = known(app, presented).await?;
    if known.is_some_and(|known| known.matching_redirect_uri(redirect_uri).is_none()) {
        return Err(TokenError::PushedRedirectUri);
    }
    let mut pushed: Vec<(String, String)> = params
        .entries()
        .filter(|(name, _)| !CREDENTIALS.contains(name) && *name != "client_id")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    pushed.push(("client_id".to_owned(), presented.client_id.clone()));
    // RFC 9449 §10.1: a proof at this endpoint binds the code, and must agree with the parameter.
    if let Some(proof) = proof {
        match params.get("dpop_jkt") {
            Some(jkt) if jkt != proof.jkt => return Err(DpopError::OtherKey.into()),
            Some(_) => {}
            None => pushed.push(("dpop_jkt".to_owned(), proof.jkt.clone())),
        }
    }
    let request = PushedRequest {
        id: GrantId::new(app.random.bytes()?),
        client_id: presented.client_id.clone(),
        params: pushed,
        expires_at: app.clock.now().plus(PUSHED_REQUEST_LIFETIME),
    };
    let request_uri = request.seal(&app.keys.current().seal, app.random.as_ref())?;
    let body = Body { request_uri: &request_uri, expires_in: PUSHED_REQUEST_LIFETIME.as_secs() };
    Ok(Note::new("pushed").client(&presented.client_id).on(json(StatusCode::CREATED, &body)))
}

/// What is known about the client that pushes, authenticated; `None` if nothing is, and then it has proved
/// nothing.
async fn known(app: &App, presented: &Presented) -> Result<Option<ClientMetadata>, TokenError> {
    let client_id = presented.client_id.as_str();
    let wanted = Wanted { client_id: Some(client_id), ..Wanted::default() };
    let Records { registration, .. } = app.records.read(wanted).await?;
    let registration = registration.filter(|known| !known.has_ended(app.clock.now()));
    let registered = registration.as_ref().and_then(|known| known.metadata.as_ref());
    let metadata = match registered {
        Some(metadata) => Some(metadata.clone()),
        None => {
            let policy = app.policies.current(app.clock.as_ref()).await?;
            let id = ClientId::parse(client_id).map_err(|_| TokenError::ClientGone)?;
            app.resolver.document_at_hand(&id, &policy.policy).await.map_err(|_| TokenError::ClientGone)?
        }
    };
    let Some(metadata) = metadata else {
        // It may be anybody's. A proof cannot be checked, and one that was not checked must not seem to be.
        return match presented.method() {
            AuthMethod::None => Ok(None),
            method => Err(ClientError::Method(method).into()),
        };
    };
    let record = OnRecord {
        methods: metadata.auth_methods.declared(),
        secrets: Secrets::of(registration.as_ref()),
        keys: KeySource::AtHand(&metadata),
        compatibility: registration.as_ref().map(|known| known.compatibility).unwrap_or_default(),
    };
    authenticate(app, presented, &record).await?;
    Ok(Some(metadata))
}
