//! Revocation (RFC 7009). What is revoked is the grant, never a client: every installation of a tool
//! shares one client identifier (REV-07).

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use shared::aws::{Records, Wanted};
use shared::grant::GrantId;
use shared::http::log::Note;
use shared::oauth::Params;

use crate::App;
use crate::client_auth::Presented;
use crate::error::TokenError;
use crate::governance::authenticate_for;
use crate::issued;

/// Ends the grant that a refresh or access token belongs to. A token that is none of ours, or whose grant
/// is gone, is as good as revoked (REV-03); that is found out by arithmetic, so inventing tokens or
/// clients costs us nothing.
///
/// Ending a grant on behalf of its access token too is deliberate: a self-contained token cannot be ended
/// alone, and the grant's end is what introspection sees (REV-04, REV-06).
pub(crate) async fn revoke(
    app: &App,
    params: &Params,
    presented: &Presented,
) -> Result<Response, TokenError> {
    let token = params.get("token").ok_or(TokenError::Missing("token"))?;
    let done = |outcome| Note::new(outcome).client(&presented.client_id).on(StatusCode::OK.into_response());
    let Some(id) = issued::grant_of(app, token).await else { return Ok(done("nothing_to_revoke")) };
    let Some((grant, registration)) = read(app, id, presented).await? else {
        return Ok(done("nothing_to_revoke"));
    };
    authenticate_for(app, &grant, registration.as_ref(), presented).await?;
    // A write that failed is an error, and the token may still be live (GHSA-7mqr-2v3q-v2wm).
    app.grants.revoke(grant.id).await?;
    Ok(done("revoked"))
}

async fn read(
    app: &App,
    id: GrantId,
    presented: &Presented,
) -> Result<Option<(shared::grant::Grant, Option<shared::client::registration::Registration>)>, TokenError> {
    let wanted = Wanted { grant: Some(id), client_id: Some(&presented.client_id), ..Wanted::default() };
    let Records { grant, registration, .. } = app.records.read(wanted).await?;
    Ok(grant.map(|grant| (grant, registration)))
}
