//! Redeeming an authorization code (OAuth 2.1 §4.1.3).
//!
//! The order matters: client, redirect URI, and verifier are checked before anything reacts to a replay,
//! or whoever saw a code in a log could sign its owner out (TOK-13). Everything is signed before the code
//! is spent, so a failure to sign burns nothing (invariant 7).

use shared::aws::Redemption;
use shared::client::metadata::AuthMethod;
use shared::grant::{Code, Stage};
use shared::oauth::{CodeVerifier, Params};
use shared::tool::Status;

use crate::App;
use crate::client_auth::Presented;
use crate::dpop::{self, Proof};
use crate::error::TokenError;
use crate::governance::{end_replayed, honour};
use crate::issue::{TokenResponse, access_token, check_resource, refresh_token};

pub(crate) async fn redeem(
    app: &App,
    params: &Params,
    presented: &Presented,
    proof: Option<&Proof>,
) -> Result<TokenResponse, TokenError> {
    let code = params.get("code").ok_or(TokenError::Missing("code"))?;
    let verifier = params.get("code_verifier").ok_or(TokenError::Missing("code_verifier"))?;
    let verifier = CodeVerifier::parse(verifier).map_err(TokenError::VerifierMalformed)?;
    let keys = app.keys_for(code).await;
    // An invented code ends here, without a question to the database (invariant 1).
    let code = Code::parse(code, &keys.seal)?;
    let honoured = honour(app, code.grant, &code.tool, presented, &[Status::Enabled]).await?;
    let grant = &honoured.grant;
    if params.get("redirect_uri").is_some_and(|redirect_uri| redirect_uri != grant.redirect_uri) {
        return Err(TokenError::OtherRedirectUri);
    }
    if !grant.code_challenge.accepts(&verifier) {
        return Err(TokenError::VerifierMismatch);
    }
    dpop::check_binding(&grant.proof, proof)?;
    check_resource(params, grant)?;
    let now = app.clock.now();
    match &grant.stage {
        Stage::Approved { code_expires_at } if now >= *code_expires_at => {
            return Err(TokenError::CodeExpired);
        }
        Stage::Approved { .. } => {}
        Stage::Active(_) => {
            end_replayed(app, grant, "code", now).await?;
            return Err(TokenError::CodeReplayed);
        }
        Stage::Revoked => return Err(TokenError::Revoked),
    }
    let policy = app.policies.current(app.clock.as_ref()).await?;
    honoured.check_policy(app, &policy.policy).await?;
    let lifetimes = &honoured.lifetimes(&policy.policy);
    let scope = honoured.narrow(&grant.scope, &policy.policy)?;
    if let Some(proof) = proof {
        proof.spend(app).await?;
    }
    let jkt = proof.map(|proof| proof.jkt.as_str());
    let access_token = access_token(app, &keys, grant, &scope, jkt, now, lifetimes)?;
    let refresh_token = if grant.refreshable { Some(refresh_token(&keys, grant, 1)?) } else { None };
    // The refresh token of a client that proves nothing else is bound to the key (RFC 9449 §5).
    let bound = jkt.filter(|_| honoured.method == AuthMethod::None);
    match app.grants.redeem(grant, honoured.method, bound, now, lifetimes, &app.mark()?).await? {
        Redemption::Redeemed => {
            honoured.note_use(app, &policy.policy, now).await;
            Ok(TokenResponse {
                outcome: "code_redeemed",
                client_id: grant.client_id.clone(),
                tool: honoured.tool.clone(),
                access_token,
                bound: proof.is_some(),
                expires_in: lifetimes.access_token_seconds,
                refresh_token,
                scope,
            })
        }
        // Lost to a request of the same client with the same verifier at the same moment: refused, but no
        // reason to end what the other one has just got.
        Redemption::Lost => Err(TokenError::CodeRaced),
    }
}
