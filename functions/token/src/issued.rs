//! Finding out what a token is that somebody presents to ask about or to revoke: by its own proof, without
//! a question to the database.

use shared::grant::{GrantId, RefreshToken};
use shared::jose::{AccessToken, KeySet};

use crate::App;

/// The claims of `token`, if it is an access token of ours and its key is still honoured.
pub(crate) async fn access_token(app: &App, token: &str) -> Option<AccessToken> {
    let kid = KeySet::kid_of(token)?;
    app.keys.look_for_signing_key(&kid).await;
    let claims = app.keys.current().verify_access_token(token)?;
    (claims.iss == app.issuer.as_str()).then_some(claims)
}

/// The grant that an access token belongs to.
pub(crate) fn grant_id(claims: &AccessToken) -> Option<GrantId> {
    GrantId::parse(claims.jti.split('.').next()?)
}

/// The grant of a refresh or access token of ours, whatever a hint said about its type (REV-03).
pub(crate) async fn grant_of(app: &App, token: &str) -> Option<GrantId> {
    let keys = app.keys_for(token).await;
    if let Ok(refresh_token) = RefreshToken::parse(token, &keys.seal) {
        return Some(refresh_token.grant);
    }
    grant_id(&access_token(app, token).await?)
}
