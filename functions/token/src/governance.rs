//! Whether a grant whose credential is good may be honoured now: asked at every redemption and refresh
//! (DESIGN invariant 4, REF-09).

use shared::aws::{Records, Wanted};
use shared::clock::Timestamp;
use shared::grant::{Grant, GrantId};
use shared::http::log::chain;
use shared::oauth::Scope;
use shared::oauth::scope::OFFLINE_ACCESS;
use shared::policy::Policy;
use shared::tool::{Mechanism, Tool, ToolId, check_standing};

use crate::App;
use crate::error::TokenError;

/// A grant that belongs to the client, of a tool in good standing.
pub(crate) struct Honoured {
    pub(crate) grant: Grant,
    tool: Tool,
}

/// Reads the grant with all that decides about it, and checks everything but its own stage.
///
/// The client's identity comes first: whoever presents somebody else's credential learns nothing about
/// the tool it belongs to.
pub(crate) async fn honour(
    app: &App,
    grant: GrantId,
    tool: &ToolId,
    client_id: &str,
) -> Result<Honoured, TokenError> {
    let wanted = Wanted { grant: Some(grant), tool: Some(tool), client_id: Some(client_id) };
    let Records { grant, tools, registration } = app.records.read(wanted).await?;
    let grant = grant.ok_or(TokenError::GrantGone)?;
    if grant.client_id != client_id {
        return Err(TokenError::OtherClient);
    }
    // A registration that was removed or has ended: the client is told to register anew (T15, REG-09).
    let known = registration.is_some_and(|known| !known.has_ended(app.clock.now()));
    if grant.mechanism != Mechanism::MetadataDocument && !known {
        return Err(TokenError::ClientGone);
    }
    check_standing(&grant.tool, grant.tool_epoch, &tools)?;
    let tool = tools.into_iter().next_back().ok_or(TokenError::GrantGone)?;
    Ok(Honoured { grant, tool })
}

impl Honoured {
    /// What may be issued now: what was granted, within what resource and tool allow today.
    pub(crate) fn narrow(&self, scope: &Scope, policy: &Policy) -> Result<Scope, TokenError> {
        let resource = policy.resource(&self.grant.resource).ok_or(TokenError::ResourceGone)?;
        if !self.tool.ceiling.allows_resource(&resource.resource) {
            return Err(TokenError::ResourceGone);
        }
        let left = self
            .tool
            .ceiling
            .narrow(scope)
            .filter(|token| token == OFFLINE_ACCESS || resource.has_scope(token));
        // Nothing left of something: a token without scope could mean anything to a resource.
        if left.filter(|token| token != OFFLINE_ACCESS).is_empty() && !scope.is_empty() {
            return Err(TokenError::ScopeGone);
        }
        Ok(left)
    }

    /// Notes the use. The tokens are issued already, so a failure is logged and nothing more.
    pub(crate) async fn note_use(&self, app: &App, now: Timestamp) {
        if let Err(error) = app.tools.note_use(&self.tool, now).await {
            tracing::warn!(tool = %self.tool.id, reason = chain(&error), "last use not noted");
        }
    }
}
