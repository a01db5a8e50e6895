//! Refreshing (OAuth 2.1 §4.3): every refresh token is used once, its reuse ends the grant.
//!
//! One exception, documented: for a short time after a rotation the previous token may be presented once
//! more and yields the very same successor (REF-08). Answers get lost, and two processes of one editor
//! race; neither must sign a person out.

use shared::aws::{Retry, Rotation};
use shared::clock::Timestamp;
use shared::grant::{Active, Grant, RefreshToken, Stage};
use shared::oauth::{Params, Scope};
use shared::policy::Lifetimes;

use crate::App;
use crate::client_auth::Presented;
use crate::dpop::{self, Proof};
use crate::error::TokenError;
use crate::governance::{end_replayed, honour};
use crate::issue::{TokenResponse, access_token, check_resource, refresh_token};

pub(crate) async fn rotate(
    app: &App,
    params: &Params,
    presented: &Presented,
    proof: Option<&Proof>,
) -> Result<TokenResponse, TokenError> {
    let token = params.get("refresh_token").ok_or(TokenError::Missing("refresh_token"))?;
    let keys = app.keys_for(token).await;
    let token = RefreshToken::parse(token, &keys.seal)?;
    let policy = app.policies.current(app.clock.as_ref()).await?;
    let good = policy.policy.documents.continuing();
    let honoured = honour(app, token.grant, &token.tool, presented, good).await?;
    let grant = &honoured.grant;
    dpop::check_binding(&grant.proof, proof)?;
    check_resource(params, grant)?;
    let scope = narrowed_scope(params, grant)?;
    honoured.check_policy(app, &policy.policy).await?;
    let lifetimes = &honoured.lifetimes(&policy.policy);
    let scope = honoured.narrow(&scope, &policy.policy)?;
    let now = app.clock.now();
    let active = active(grant)?;
    if let Some(proof) = proof {
        proof.spend(app).await?;
    }
    let jkt = proof.map(|proof| proof.jkt.as_str());
    let access_token = access_token(app, &keys, grant, &scope, jkt, now, lifetimes)?;
    let generation = match next_step(&token, &active, now, lifetimes)? {
        Step::Rotate => rotate_or_retry(app, grant, &token, &active, now, lifetimes).await?,
        Step::Retry => retry(app, grant, active.generation).await?,
        Step::Replayed => {
            end_replayed(app, grant, "refresh_token", now).await?;
            return Err(TokenError::RefreshReplayed);
        }
    };
    honoured.note_use(app, &policy.policy, now).await;
    Ok(TokenResponse {
        outcome: "refreshed",
        access_token,
        expires_in: lifetimes.access_token_seconds,
        refresh_token: Some(refresh_token(&keys, grant, generation)?),
        client_id: grant.client_id.clone(),
        tool: honoured.tool.clone(),
        bound: proof.is_some(),
        scope,
    })
}

/// REF-04: the same scope, or part of it; the refresh token keeps all of it.
fn narrowed_scope(params: &Params, grant: &Grant) -> Result<Scope, TokenError> {
    let requested =
        Scope::parse(params.get("scope").unwrap_or_default()).map_err(|_| TokenError::ScopeMalformed)?;
    if requested.is_empty() {
        Ok(grant.scope.clone())
    } else if requested.is_subset(&grant.scope) {
        Ok(requested)
    } else {
        Err(TokenError::ScopeWider)
    }
}

fn active(grant: &Grant) -> Result<Active, TokenError> {
    match grant.stage {
        Stage::Active(active) if active.generation > 0 => Ok(active),
        Stage::Active(_) => Err(TokenError::NotRefreshable),
        // A refresh token exists only after redemption: this table is older than the token (FM031).
        Stage::Approved { .. } => Err(TokenError::RefreshFromTheFuture),
        Stage::Revoked => Err(TokenError::Revoked),
    }
}

enum Step {
    Rotate,
    Retry,
    Replayed,
}

fn next_step(
    token: &RefreshToken,
    active: &Active,
    now: Timestamp,
    lifetimes: &Lifetimes,
) -> Result<Step, TokenError> {
    if token.generation > active.generation {
        return Err(TokenError::RefreshFromTheFuture);
    }
    if now >= active.idle_expires_at || now >= active.ends_at {
        return Err(TokenError::RefreshExpired);
    }
    if token.generation == active.generation {
        return Ok(Step::Rotate);
    }
    let previous = token.generation.checked_add(1) == Some(active.generation);
    if !previous || now.since(active.rotated_at) >= lifetimes.refresh_retry() {
        return Ok(Step::Replayed);
    }
    // Within the window a third presentation is refused but harmless: it can only be a crowd of one
    // client's own processes, or a thief who got nothing.
    if active.retried { Err(TokenError::RefreshRaced) } else { Ok(Step::Retry) }
}

async fn rotate_or_retry(
    app: &App,
    grant: &Grant,
    token: &RefreshToken,
    active: &Active,
    now: Timestamp,
    lifetimes: &Lifetimes,
) -> Result<u32, TokenError> {
    let mark = app.mark()?;
    match app.grants.rotate(grant.id, token.generation, now, lifetimes, active.ends_at, &mark).await? {
        Rotation::Rotated => Ok(token.generation.saturating_add(1)),
        Rotation::Lost(None) => Err(TokenError::GrantGone),
        Rotation::Lost(Some(current)) => {
            // Somebody rotated between our read and our write; the rules for a previous token apply.
            let active = self::active(&current)?;
            match next_step(token, &active, now, lifetimes)? {
                Step::Retry => retry(app, &current, active.generation).await,
                Step::Rotate => Err(TokenError::RefreshRaced),
                Step::Replayed => {
                    end_replayed(app, grant, "refresh_token", now).await?;
                    Err(TokenError::RefreshReplayed)
                }
            }
        }
    }
}

async fn retry(app: &App, grant: &Grant, generation: u32) -> Result<u32, TokenError> {
    match app.grants.retry(grant.id, generation, &app.mark()?).await? {
        Retry::Taken => Ok(generation),
        Retry::Lost => Err(TokenError::RefreshRaced),
    }
}
