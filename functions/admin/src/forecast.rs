//! A policy before it is put in force: what it would have meant for what people allowed within the last thirty days,
//! tool by tool.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use shared::audit::{Actor, Event, Kind};
use shared::client::id::{ClientId, MetadataUrl};
use shared::client::metadata::ClientMetadata;
use shared::client::redirect::RedirectUri;
use shared::http::json;
use shared::oauth::Scope;
use shared::oauth::scope::OFFLINE_ACCESS;
use shared::policy::{
    Authentication, ClientFacts, DocumentDecision, DocumentRefusal, Policy, Profile, Resource,
};
use shared::tool::{Mechanism, Tool};
use utoipa::ToSchema;

use crate::App;
use crate::audit::Walk;
use crate::caller::Acting;
use crate::policy::parse;
use crate::problem::{AdminError, Problem};

/// How far back decisions count, in seconds: thirty days.
const WINDOW_SECONDS: u64 = 30 * 86_400;

/// Entries of the trail that are looked at: some seconds of reading.
const LOOKED_AT_MAX: usize = 20_000;

/// What the policy would have meant for one tool.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct ToolForecast {
    /// Its id.
    tool: String,
    /// Consents that were looked at.
    decisions: u64,
    /// Consents that would have been refused.
    refused: u64,
    /// People who gave one of these.
    refused_people: u64,
    /// Consents of which less scope would have been left.
    narrowed: u64,
    /// Why, and how often.
    reasons: BTreeMap<&'static str, u64>,
    #[serde(skip)]
    people: BTreeSet<String>,
}

/// What a policy would have meant. Nothing was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Forecast {
    /// Always true.
    dry_run: bool,
    /// Consents from this time on were looked at.
    since: u64,
    /// How many.
    decisions: u64,
    /// Whether there are more than could be looked at: then the newest were.
    truncated: bool,
    /// How many would have been refused.
    refused: u64,
    /// People who gave one of these.
    refused_people: u64,
    /// Of how many less scope would have been left.
    narrowed: u64,
    /// The tools that are affected, the most refused first.
    tools: Vec<ToolForecast>,
}

/// What the policy says to one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    Narrowed,
    Refused(&'static str),
}

/// Tries a policy on what people allowed within the last thirty days: who would have been refused, or got less, by
/// tool. What the trail does not hold is not tried: groups, and registrations that clients make themselves.
#[utoipa::path(post, path = "/admin/v1/policy/dry-run", tag = "policy", request_body = Value,
    responses((status = 200, body = Forecast), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn dry_run(
    State(app): State<Arc<App>>,
    _acting: Acting,
    body: Bytes,
) -> Result<Response, AdminError> {
    let policy = parse(&body)?;
    let since = app.clock.now().epoch_seconds().saturating_sub(WINDOW_SECONDS);
    let mut clients = Clients { app: &app, policy: &policy, known: HashMap::new() };
    let tools = app.catalogue.tools(&app.tools, app.clock.as_ref()).await?;
    let mut forecasts: BTreeMap<String, ToolForecast> = BTreeMap::new();
    let mut walk = Walk::begin(&app, None).await?;
    let (mut looked_at, mut truncated) = (0, false);
    while let Some((content, _)) = walk.next().await? {
        let event = content.event;
        if event.at.epoch_seconds() < since {
            break;
        }
        looked_at += 1;
        if looked_at > LOOKED_AT_MAX {
            truncated = true;
            break;
        }
        if event.kind != Kind::ConsentGiven {
            continue;
        }
        let id = event.detail.get("tool").cloned().unwrap_or_default();
        let tool = tools.iter().find(|tool| tool.id.as_str() == id);
        let verdict = judge(&mut clients, &event, tool).await?;
        let forecast = forecasts
            .entry(id.clone())
            .or_insert_with(|| ToolForecast { tool: id, ..ToolForecast::default() });
        forecast.count(verdict, &event);
    }
    Ok(json(StatusCode::OK, &sum(forecasts, since, truncated)))
}

impl ToolForecast {
    fn count(&mut self, verdict: Verdict, event: &Event) {
        self.decisions += 1;
        match verdict {
            Verdict::Same => {}
            Verdict::Narrowed => self.narrowed += 1,
            Verdict::Refused(reason) => {
                self.refused += 1;
                *self.reasons.entry(reason).or_default() += 1;
                if let Actor::Person(subject) = &event.actor {
                    self.people.insert(subject.clone());
                }
            }
        }
    }
}

fn sum(forecasts: BTreeMap<String, ToolForecast>, since: u64, truncated: bool) -> Forecast {
    let count = |set: &BTreeSet<String>| u64::try_from(set.len()).unwrap_or(u64::MAX);
    let all: Vec<ToolForecast> = forecasts.into_values().collect();
    let people: BTreeSet<String> = all.iter().flat_map(|tool| tool.people.iter().cloned()).collect();
    let total = |of: fn(&ToolForecast) -> u64| all.iter().map(of).sum();
    let (decisions, refused, narrowed) =
        (total(|tool| tool.decisions), total(|tool| tool.refused), total(|tool| tool.narrowed));
    let mut tools: Vec<ToolForecast> =
        all.into_iter().filter(|tool| tool.refused + tool.narrowed > 0).collect();
    for tool in &mut tools {
        tool.refused_people = count(&tool.people);
    }
    tools.sort_by(|a, b| b.refused.cmp(&a.refused).then_with(|| a.tool.cmp(&b.tool)));
    let refused_people = count(&people);
    Forecast { dry_run: true, since, decisions, truncated, refused, refused_people, narrowed, tools }
}

/// What clients say of themselves as last known, each looked up once.
struct Clients<'a> {
    app: &'a App,
    policy: &'a Policy,
    known: HashMap<String, Option<ClientMetadata>>,
}

impl Clients<'_> {
    async fn metadata(
        &mut self,
        id: &ClientId,
        url: Option<&MetadataUrl>,
    ) -> Result<Option<&ClientMetadata>, AdminError> {
        if !self.known.contains_key(id.as_str()) {
            let registered = self.app.registrations.read(id).await?.and_then(|known| known.metadata);
            let found = match (registered, url) {
                (Some(metadata), _) => Some(metadata),
                (None, Some(url)) => {
                    // One that today's rules refuse cannot say which profile it would get.
                    let known = self.app.documents.known_without_fetch(url, self.policy).await.ok().flatten();
                    known.map(|known| known.document.metadata.clone())
                }
                (None, None) => None,
            };
            self.known.insert(id.as_str().to_owned(), found);
        }
        Ok(self.known.get(id.as_str()).and_then(Option::as_ref))
    }
}

/// The checks of an authorization request, as far as the trail holds what they are about.
async fn judge(clients: &mut Clients<'_>, event: &Event, tool: Option<&Tool>) -> Result<Verdict, AdminError> {
    let policy = clients.policy;
    let detail = |name: &str| event.detail.get(name).map_or("", String::as_str);
    let Ok(id) = ClientId::parse(detail("client_id")) else { return Ok(Verdict::Same) };
    let redirect = RedirectUri::parse(detail("redirect_uri")).ok();
    let rules = policy.documents.url_rules(&clients.app.issuer, &clients.app.development);
    let url = if id.is_url() { Some(MetadataUrl::parse(&id, &rules)) } else { None };
    let url = match url.transpose() {
        Ok(url) => url,
        Err(_) => return Ok(Verdict::Refused("url")),
    };
    let host = url.as_ref().map(MetadataUrl::host);
    let redirect_host = redirect.as_ref().map(RedirectUri::host_for_display);
    if policy.is_blocked(&id, host) || redirect_host.is_some_and(|host| policy.blocked.host(host).is_some()) {
        return Ok(Verdict::Refused("blocked"));
    }
    let mechanism = match detail("mechanism") {
        "pre_registered" => Mechanism::PreRegistered,
        "dynamic" => Mechanism::Dynamic,
        _ => Mechanism::MetadataDocument,
    };
    if let (Mechanism::MetadataDocument, Some(host)) = (mechanism, host) {
        let is_reviewed = tool.is_some_and(|tool| tool.reviewed.is_some());
        match policy.decide_metadata_document(host) {
            // Somebody has used it, so it is known, and known ones are not parked.
            DocumentDecision::Allowed | DocumentDecision::NeedsApproval => {}
            DocumentDecision::Refused(DocumentRefusal::NotListed) if is_reviewed => {}
            DocumentDecision::Refused(DocumentRefusal::NotListed) => {
                return Ok(Verdict::Refused("host_not_listed"));
            }
            DocumentDecision::Refused(DocumentRefusal::Denied) => return Ok(Verdict::Refused("host_denied")),
            DocumentDecision::Refused(DocumentRefusal::Off) => return Ok(Verdict::Refused("documents_off")),
        }
    }
    let Some(resource) = policy.resource(detail("resource")) else {
        return Ok(Verdict::Refused("resource"));
    };
    let metadata = clients.metadata(&id, url.as_ref()).await?;
    let by_hand = tool.and_then(|tool| tool.profile.as_deref()).and_then(|name| policy.profile_named(name));
    let by_rules = metadata.map(|metadata| policy.profile(&ClientFacts::new(mechanism, host, metadata)));
    let profile = by_hand.or(by_rules).or_else(|| policy.profile_named(detail("profile")));
    Ok(within(profile, metadata, redirect.as_ref(), resource, detail("scope")))
}

/// What profile and resource leave of it.
fn within(
    profile: Option<&Profile>,
    metadata: Option<&ClientMetadata>,
    redirect: Option<&RedirectUri>,
    resource: &Resource,
    scope: &str,
) -> Verdict {
    if let (Some(profile), Some(redirect)) = (profile, redirect)
        && !profile.redirect_kinds.contains(&redirect.kind())
    {
        return Verdict::Refused("redirect_kind");
    }
    if let (Some(profile), Some(metadata)) = (profile, metadata) {
        let proves = match profile.authentication {
            Authentication::Optional => true,
            Authentication::Required => !metadata.auth_methods.is_public(),
            Authentication::Keys => !metadata.keys.is_none(),
        };
        if !proves {
            return Verdict::Refused("authentication");
        }
    }
    let Ok(scope) = Scope::parse(scope) else { return Verdict::Same };
    let ceiling = profile.and_then(|profile| profile.scope_ceiling.as_ref());
    let left = scope.filter(|token| {
        token == OFFLINE_ACCESS
            || (resource.has_scope(token)
                && ceiling.is_none_or(|allowed| allowed.iter().any(|name| name == token)))
    });
    let gone = left.filter(|token| token != OFFLINE_ACCESS).is_empty();
    if gone && !scope.is_empty() {
        Verdict::Refused("scope")
    } else if scope.is_subset(&left) {
        Verdict::Same
    } else {
        Verdict::Narrowed
    }
}
