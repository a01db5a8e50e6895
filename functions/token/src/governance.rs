//! Whether a grant whose credential is good may be honoured now: asked at every redemption and refresh
//! (DESIGN invariant 4, REF-09).

use shared::audit::{Actor, Event, Kind};
use shared::aws::{Records, Wanted};
use shared::client::id::ClientId;
use shared::client::metadata::AuthMethod;
use shared::client::registration::Registration;
use shared::clock::Timestamp;
use shared::grant::{Grant, GrantId};
use shared::http::log::chain;
use shared::oauth::Scope;
use shared::oauth::scope::OFFLINE_ACCESS;
use shared::policy::{Authentication, Lifetimes, Policy, Profile};
use shared::tool::{Ceiling, Mechanism, Status, Tool, ToolId, check_standing};
use url::Url;

use crate::App;
use crate::client_auth::{KeySource, OnRecord, Presented, Secrets, authenticate};
use crate::error::TokenError;

/// A grant that belongs to the authenticated client, of a tool in good standing.
pub(crate) struct Honoured {
    pub(crate) grant: Grant,
    /// How the client authenticated.
    pub(crate) method: AuthMethod,
    pub(crate) tool: Tool,
    registration: Option<Registration>,
}

/// Reads the grant with all that decides about it, and checks everything but its own stage. `good` are the
/// statuses of its tool in which it is honoured.
///
/// The client's identity comes first: whoever presents somebody else's credential learns nothing about
/// the tool it belongs to.
pub(crate) async fn honour(
    app: &App,
    grant: GrantId,
    tool: &ToolId,
    presented: &Presented,
    good: &[Status],
) -> Result<Honoured, TokenError> {
    let client_id = presented.client_id.as_str();
    let wanted = Wanted { grant: Some(grant), tool: Some(tool), client_id: Some(client_id) };
    let Records { grant, tools, registration } = app.records.read(wanted).await?;
    let mut grant = grant.ok_or(TokenError::GrantGone)?;
    let method = authenticate_for(app, &grant, registration.as_ref(), presented).await?;
    grant.proof.method = Some(method);
    if let Err(reason) = check_standing(&grant.tool, grant.tool_epoch, &tools, good) {
        let error = TokenError::from(reason);
        record_refusal(app, &grant, "tool_not_honoured", &error).await;
        return Err(error);
    }
    let tool = tools.into_iter().next_back().ok_or(TokenError::GrantGone)?;
    Ok(Honoured { grant, method, tool, registration })
}

/// Authenticates the client that `grant` belongs to, by what is on record about it.
pub(crate) async fn authenticate_for(
    app: &App,
    grant: &Grant,
    registration: Option<&Registration>,
    presented: &Presented,
) -> Result<AuthMethod, TokenError> {
    if grant.client_id != presented.client_id {
        return Err(TokenError::OtherClient);
    }
    let registration = registration.filter(|known| !known.has_ended(app.clock.now()));
    // A registration that was removed or has ended: the client is told to register anew (T15, REG-09).
    if grant.mechanism != Mechanism::MetadataDocument && registration.is_none() {
        return Err(TokenError::ClientGone);
    }
    let metadata = registration.and_then(|known| known.metadata.as_ref());
    let declared = metadata.map_or(grant.proof.declared.as_slice(), |known| known.auth_methods.declared());
    let record = OnRecord {
        methods: grant.proof.method.as_ref().map_or(declared, std::slice::from_ref),
        secrets: Secrets::of(registration),
        keys: metadata.map_or(KeySource::Document, KeySource::Registered),
        compatibility: registration.map(|known| known.compatibility).unwrap_or_default(),
    };
    authenticate(app, presented, &record).await
}

/// Records that the holder of a good credential was refused by governance (GOV-13): once an hour for the same
/// grant's person, client, and `outcome`. The refusal does not wait for it to succeed.
async fn record_refusal(app: &App, grant: &Grant, outcome: &str, error: &TokenError) {
    let actor = Actor::Client(grant.client_id.clone());
    let event = Event::new(app.clock.now(), Kind::RequestRefused, actor, grant.id.to_string())
        .with("subject", grant.subject.clone())
        .with("tool", grant.tool.as_str())
        .with("reason", chain(error));
    let recorded = match app.policies.current(app.clock.as_ref()).await {
        Ok(policy) => {
            let retention = policy.policy.administration.audit_retention();
            app.audit.refuse(&grant.subject, &grant.client_id, outcome, event, retention).await.map(drop)
        }
        Err(error) => Err(error),
    };
    if let Err(error) = recorded {
        tracing::warn!(grant = %grant.id, reason = chain(&error), "a refusal was not recorded");
    }
}

/// Ends a grant whose credential was used again, and records it. Ending comes first: it must not wait for
/// the record, whose failure is logged.
pub(crate) async fn end_replayed(
    app: &App,
    grant: &Grant,
    credential: &str,
    now: Timestamp,
) -> Result<(), TokenError> {
    app.grants.revoke(grant.id).await?;
    let actor = Actor::Client(grant.client_id.clone());
    let event = Event::new(now, Kind::CredentialReplayed, actor, grant.id.to_string())
        .with("credential", credential)
        .with("subject", grant.subject.clone())
        .with("tool", grant.tool.as_str());
    let recorded = match app.policies.current(app.clock.as_ref()).await {
        Ok(policy) => {
            app.audit.append(&event, policy.policy.administration.audit_retention()).await.map(drop)
        }
        Err(error) => Err(error),
    };
    if let Err(error) = recorded {
        tracing::warn!(grant = %grant.id, reason = chain(&error), "a replay was not recorded");
    }
    Ok(())
}

impl Honoured {
    /// The profile that held at approval, as policy has it today; `None` if policy has dropped it.
    fn profile<'a>(&self, policy: &'a Policy) -> Option<&'a Profile> {
        policy.profile_named(&self.grant.profile)
    }

    /// The lifetimes for clients of its profile.
    pub(crate) fn lifetimes(&self, policy: &Policy) -> Lifetimes {
        self.profile(policy).map_or_else(|| policy.lifetimes.clone(), |profile| policy.lifetimes_for(profile))
    }

    /// What policy says today, whatever it said at approval: the emergency brake (GOV-15), and what the
    /// client's profile demands of it (GOV-03).
    pub(crate) async fn check_policy(&self, app: &App, policy: &Policy) -> Result<(), TokenError> {
        let checked = self.checked(policy);
        if let Err(error) = &checked {
            record_refusal(app, &self.grant, "policy", error).await;
        }
        checked
    }

    fn checked(&self, policy: &Policy) -> Result<(), TokenError> {
        if is_blocked(&self.grant, policy) {
            return Err(TokenError::Blocked);
        }
        let proves = match self.profile(policy).map(|profile| profile.authentication) {
            None | Some(Authentication::Optional) => true,
            Some(Authentication::Required) => self.method != AuthMethod::None,
            Some(Authentication::Keys) => self.method == AuthMethod::PrivateKeyJwt,
        };
        if proves { Ok(()) } else { Err(TokenError::MethodNotAllowed) }
    }

    /// What may be issued now: what was granted, within what resource and tool allow today.
    pub(crate) fn narrow(&self, scope: &Scope, policy: &Policy) -> Result<Scope, TokenError> {
        let resource = policy.resource(&self.grant.resource).ok_or(TokenError::ResourceGone)?;
        if !self.tool.ceiling.allows_resource(&resource.resource) {
            return Err(TokenError::ResourceGone);
        }
        let by_profile = Ceiling {
            scopes: self.profile(policy).and_then(|profile| profile.scope_ceiling.clone()),
            ..Ceiling::default()
        };
        let left = by_profile
            .narrow(&self.tool.ceiling.narrow(scope))
            .filter(|token| token == OFFLINE_ACCESS || resource.has_scope(token));
        // Nothing left of something: a token without scope could mean anything to a resource.
        if left.filter(|token| token != OFFLINE_ACCESS).is_empty() && !scope.is_empty() {
            return Err(TokenError::ScopeGone);
        }
        Ok(left)
    }

    /// Notes the use. The tokens are issued already, so a failure is logged and nothing more.
    pub(crate) async fn note_use(&self, app: &App, policy: &Policy, now: Timestamp) {
        if let Some(known) = &self.registration
            && let Err(error) = app.registrations.note_use(known, now, policy.registration.idle()).await
        {
            tracing::warn!(tool = %self.tool.id, reason = chain(&error), "use of the registration not noted");
        }
        if let Err(error) = app.tools.note_use(&self.tool, now).await {
            tracing::warn!(tool = %self.tool.id, reason = chain(&error), "last use not noted");
        }
    }
}

/// Whether the client of `grant`, or where it is answered, is blocked now. What cannot be read counts as
/// blocked.
pub(crate) fn is_blocked(grant: &Grant, policy: &Policy) -> bool {
    let Ok(id) = ClientId::parse(&grant.client_id) else { return true };
    let hosts = [host(id.as_str()), host(&grant.redirect_uri)];
    policy.is_blocked(&id, None) || hosts.iter().flatten().any(|host| policy.blocked.host(host).is_some())
}

fn host(uri: &str) -> Option<String> {
    Url::parse(uri).ok()?.host_str().map(str::to_owned)
}
