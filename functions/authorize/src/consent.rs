//! From the authorization request to the code: the walk through the checks, the consent page, and the
//! decision.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::audit::Event;
use shared::aws::{Approval, Commit, PolicyInForce, Write};
use shared::client::id::ClientId;
use shared::client::metadata::{AuthMethod, GrantType};
use shared::client::registration::Registration;
use shared::clock::Timestamp;
use shared::grant::{ClientProof, Code, Grant, PushedRequest, Stage};
use shared::http::log::Note;
use shared::http::page::{page, see_other};
use shared::metrics::UNGOVERNED;
use shared::oauth::scope::OFFLINE_ACCESS;
use shared::oauth::{AuthorizationErrorCode, Params};
use shared::policy::Authentication;
use shared::resolver::{Client, Refusal};
use shared::seal::Purpose;
use shared::tool::{Ceiling, Introduced, Mechanism, Status, Tool, ToolId};

use crate::App;
use crate::account;
use crate::approval;
use crate::ask::{evidence, present};
use crate::error::{PageError, refuse, refuse_as, refuse_client};
use crate::flow::{Flow, FlowId, Flows};
use crate::pages::{Frame, MessagePage};
use crate::record;
use crate::redirect::RedirectTarget;
use crate::remember::{Earlier, Same, union};
use crate::request::{AuthorizationRequest, RequestError};
use crate::session::Session;
use crate::sign_in;
use crate::words::{Language, Message};

/// The authentication methods that a profile leaves (GOV-03).
fn methods(authentication: Authentication) -> Vec<AuthMethod> {
    let proves = |method: &AuthMethod| match authentication {
        Authentication::Optional => true,
        Authentication::Required => *method != AuthMethod::None,
        Authentication::Keys => *method == AuthMethod::PrivateKeyJwt,
    };
    AuthMethod::SUPPORTED.iter().copied().filter(proves).collect()
}

/// `GET /authorize` (OAuth 2.1 §4.1.1). A stranger gets as far as the sign-in: no database, no fetch.
pub(crate) async fn authorize(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let begun = begin(&app, &headers, query.as_deref().unwrap_or_default());
    let (id, mut flows) = match begun {
        Ok(begun) => begun,
        Err(error) => return refuse(&app, error),
    };
    go_on(&app, &headers, &mut flows, id).await
}

fn begin(app: &App, headers: &HeaderMap, query: &str) -> Result<(FlowId, Flows), PageError> {
    let params = Params::parse(query)?;
    // Without exactly one client and one redirect URI there is nowhere to report an error to.
    let client_id = params.get("client_id").ok_or(PageError::ClientIdMissing)?;
    ClientId::parse(client_id)?;
    let (id, params) = match params.get("request_uri") {
        // What was pushed is the request; parameters beside it are ignored (RFC 9126 §4). Its id makes it
        // good for one grant.
        Some(request_uri) if PushedRequest::is_named_by(request_uri) => {
            let seal = &app.keys.current().seal;
            let pushed = PushedRequest::open(request_uri, client_id, app.clock.now(), seal)?;
            (FlowId::of(pushed.id), Params::from_decoded(pushed.params))
        }
        // A reference to somewhere else is refused once there is a redirect URI to say so at (CVE-2020-10770).
        Some(_) | None => (FlowId::new(app.random.as_ref())?, params),
    };
    params.get("redirect_uri").ok_or(PageError::RedirectUriMissing)?;
    let flow = Flow::begin(&params, app.clock.now());
    if !Flows::fits(app, id, &flow) {
        return Err(PageError::RequestTooLong);
    }
    let mut flows = Flows::read(app, headers);
    flows.add(id, flow);
    Ok((id, flows))
}

/// `GET /consent?flow=…`: goes on with a flow after sign-in.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let id = Params::parse(query.as_deref().unwrap_or_default())
        .ok()
        .and_then(|params| params.get("flow").and_then(FlowId::parse));
    let Some(id) = id else { return refuse(&app, PageError::FlowGone) };
    let mut flows = Flows::read(&app, &headers);
    go_on(&app, &headers, &mut flows, id).await
}

async fn go_on(app: &App, headers: &HeaderMap, flows: &mut Flows, id: FlowId) -> Response {
    let Some(flow) = flows.get(id).cloned() else { return refuse(app, PageError::FlowGone) };
    if flow.is_to_account() {
        flows.end(id);
        return flows.attach(app, see_other(account::PATH));
    }
    let session = Session::read(app, headers).filter(|session| flow.accepts_session(session.signed_in_at));
    let Some(session) = session else {
        if flow.prompts("none") {
            // AUT-26: nobody is signed in, so no redirect either.
            return refuse_client(app, PageError::NobodySignedIn, flow.get("client_id"));
        }
        return sign_in::begin(app, flows, id).await;
    };
    let response = match Walk::through(app, &flow, &session, None).await {
        Ok(walk) => answer_or_ask(app, id, &flow, &session, &walk).await,
        Err(stop) => stop.answer(app, &session, flow.get("client_id")).await,
    };
    flows.attach(app, response)
}

/// Answers for the person if they have said yes to the very same before (AUT-29), or asks them.
async fn answer_or_ask(app: &App, id: FlowId, flow: &Flow, session: &Session, walk: &Walk) -> Response {
    let may = walk.policy.policy.consent.remember && walk.client.profile.remember_consent;
    if may && !flow.prompts("consent") {
        match walk.earlier.covers(app, session, &walk.client, &walk.request.scope).await {
            Ok(Some(grant)) => {
                let approved = approve(app, id, session, walk, Some(&grant)).await;
                return approved.unwrap_or_else(|error| refuse(app, error));
            }
            Ok(None) => {}
            Err(error) => return refuse(app, error),
        }
    }
    if flow.prompts("none") {
        let (code, description) = RequestError::ConsentRequired.wire();
        return walk.target.fail(code, description);
    }
    present(app, id, flow, session, walk, false)
}

/// Where the walk through a request's checks ended early.
enum Stop {
    Page(PageError),
    Redirect(RedirectTarget, RequestError),
}

impl<E: Into<PageError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Page(error.into())
    }
}

impl Stop {
    async fn answer(self, app: &App, session: &Session, client_id: Option<&str>) -> Response {
        match self {
            Self::Page(PageError::Refused(Refusal::Pending(tool))) => approval::pending(app, session, &tool),
            Self::Page(error) => {
                let reference = record::refused(app, session, &error, client_id).await;
                refuse_as(app, error, client_id, reference)
            }
            Self::Redirect(target, error) => {
                let (code, description) = error.wire();
                record::refused_by_redirect(app, session, &error, code, client_id).await;
                target.fail(code, description)
            }
        }
    }
}

/// Everything that is known once every check has passed.
pub(crate) struct Walk {
    pub(crate) policy: Arc<PolicyInForce>,
    pub(crate) client: Client,
    pub(crate) target: RedirectTarget,
    pub(crate) request: AuthorizationRequest,
    /// What the person allowed this client before.
    pub(crate) earlier: Earlier,
    /// Digest of the client's logo, where it is to be shown.
    pub(crate) logo: Option<String>,
}

impl Walk {
    /// Resolves the client, proves the redirect URI, reads the rest: in this order, for the page and
    /// again for the decision. `shown` is the document that the page was made from; the decision uses
    /// it where the document may not be kept, and fetches nothing.
    async fn through(app: &App, flow: &Flow, session: &Session, shown: Option<&str>) -> Result<Self, Stop> {
        let client_id = ClientId::parse(flow.get("client_id").ok_or(PageError::ClientIdMissing)?)
            .map_err(PageError::from)?;
        let redirect_uri = flow.get("redirect_uri").ok_or(PageError::RedirectUriMissing)?;
        let policy = app.policies.current(app.clock.as_ref()).await.map_err(PageError::from)?;
        // Side by side: together they take one round trip.
        let (client, connections) = tokio::join!(
            app.resolver.resolve(&client_id, &policy.policy, shown),
            app.grants.connections_with(&session.subject, client_id.as_str()),
        );
        let client = client.map_err(PageError::from)?;
        let target =
            RedirectTarget::prove(session, &client.metadata, redirect_uri, flow.get("state"), &app.issuer)
                .ok_or(PageError::RedirectUriUnknown)?;
        if let Some(block) = policy.policy.blocked.host(target.host()) {
            return Err(PageError::from(Refusal::Blocked(block)).into());
        }
        // Before anything is parked: there is nothing to approve in a client that does not want this.
        if !client.metadata.may_use(GrantType::AuthorizationCode) {
            return Err(Stop::Redirect(target, RequestError::GrantType));
        }
        if client.needs_approval {
            approval::park(app, session, &client).await?;
            return Err(PageError::from(Refusal::Pending(client.tool)).into());
        }
        if !client.profile.redirect_kinds.contains(&target.kind()) {
            return Err(PageError::RedirectKind.into());
        }
        let ceiling = client.record.as_ref().map(|tool| tool.ceiling.clone()).unwrap_or_default();
        if !ceiling.allows_groups(&session.groups) {
            return Err(PageError::GroupNotAllowed.into());
        }
        let by_profile = Ceiling { scopes: client.profile.scope_ceiling.clone(), ..Ceiling::default() };
        let ceilings = [&ceiling, &by_profile];
        let request = AuthorizationRequest::read(
            flow,
            &client.metadata,
            &policy.policy,
            &ceilings,
            &methods(client.profile.authentication),
        );
        let request = match request {
            Ok(request) => request,
            Err(error) => return Err(Stop::Redirect(target, error)),
        };
        // Only the page shows it; a decision does not wait for it.
        let logo = match shown {
            None => app.resolver.logo(&client, &policy.policy).await,
            Some(_) => None,
        };
        let same = Same {
            redirect_uri: target.uri(),
            resource: &request.resource.resource,
            document_digest: client.digest.as_deref(),
        };
        let earlier = Earlier::new(connections?, same);
        Ok(Self {
            policy,
            client,
            target,
            request: keep_what_was_granted(request, &earlier, &ceilings),
            earlier,
            logo,
        })
    }

    /// What the person is asked to approve, in a form that can be compared.
    pub(crate) fn question(&self) -> Question {
        Question {
            client_id: self.client.id.as_str().to_owned(),
            document_digest: self.client.digest.clone(),
            redirect_uri: self.target.uri().to_owned(),
            resource: self.request.resource.resource.clone(),
            scope: self.request.scope.to_string(),
        }
    }

    /// CON-10: whether the client may be told at once that the person said no. A program on the person's own
    /// device waits for it and nobody is lured anywhere. A web site gets it if an administrator or the
    /// person knows the application; from any other the person goes back by a link, if they want to.
    fn trusts_redirect(&self) -> bool {
        !self.target.is_web()
            || self.client.mechanism == Mechanism::PreRegistered
            || self.client.record.as_ref().is_some_and(|tool| tool.reviewed.is_some())
            || self.earlier.is_known_here()
    }

    /// What the client will have to prove at the token endpoint.
    fn proof(&self) -> ClientProof {
        let metadata = &self.client.metadata;
        let allowed = methods(self.client.profile.authentication);
        ClientProof {
            declared: metadata.auth_methods.usable(&allowed).unwrap_or_default(),
            method: None,
            dpop_required: metadata.dpop_bound_access_tokens,
            dpop_jkt: self.request.dpop_jkt.clone(),
        }
    }
}

/// Step-up: who asks for more gets the more on top of what there is. The token of the new grant is then good
/// for everything that the one it replaces was good for.
fn keep_what_was_granted(
    mut request: AuthorizationRequest,
    earlier: &Earlier,
    ceilings: &[&Ceiling],
) -> AuthorizationRequest {
    let granted = ceilings
        .iter()
        .fold(earlier.scope(), |scope, ceiling| ceiling.narrow(&scope))
        .filter(|token| token == OFFLINE_ACCESS || request.resource.has_scope(token));
    if !request.scope.is_subset(&granted) {
        request.scope = union([&request.scope, &granted]);
    }
    request
}

/// What was asked; a decision on anything else does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Question {
    client_id: String,
    document_digest: Option<String>,
    redirect_uri: String,
    resource: String,
    scope: String,
}

/// The hidden part of the consent form, sealed: bound to flow, session, and question.
#[derive(Serialize, Deserialize)]
pub(crate) struct ConsentForm {
    pub(crate) flow: String,
    pub(crate) session: String,
    pub(crate) question: Question,
    /// The metadata document, which may be one that must not be stored (CAC-08).
    pub(crate) document: Option<String>,
}

/// `POST /consent`: the decision.
pub(crate) async fn submit(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    decide(&app, &headers, &body).await.unwrap_or_else(|error| refuse(&app, error))
}

async fn decide(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<Response, PageError> {
    refuse_cross_site(app, headers)?;
    let body = std::str::from_utf8(body).map_err(|_| PageError::FormInvalid)?;
    let params = Params::parse(body)?;
    params.refuse_repeated()?;
    let id = params.get("flow").and_then(FlowId::parse).ok_or(PageError::FlowGone)?;
    let mut flows = Flows::read(app, headers);
    let flow = flows.get(id).cloned().ok_or(PageError::FlowGone)?;
    let session = Session::read(app, headers)
        .filter(|session| flow.accepts_session(session.signed_in_at))
        .ok_or(PageError::FormInvalid)?;
    let form: ConsentForm = params
        .get("form")
        .and_then(|sealed| app.keys.current().seal.open(Purpose::Form, sealed).ok())
        .and_then(|plain| serde_json::from_slice(&plain).ok())
        .ok_or(PageError::FormInvalid)?;
    if form.flow != id.to_string() || form.session != session.id {
        return Err(PageError::FormInvalid);
    }
    let walk = match Walk::through(app, &flow, &session, form.document.as_deref()).await {
        Ok(walk) => walk,
        Err(stop) => return Ok(stop.answer(app, &session, flow.get("client_id")).await),
    };
    let response = match params.get("decision") {
        Some("approve") if walk.question() != form.question => {
            return Ok(flows.attach(app, present(app, id, &flow, &session, &walk, true)));
        }
        Some("approve") => approve(app, id, &session, &walk, None).await?,
        Some("deny") if walk.trusts_redirect() => {
            record::denied(app, &session, walk.client.id.as_str(), walk.client.tool.as_str()).await;
            walk.target.fail(AuthorizationErrorCode::AccessDenied, DENIED)
        }
        Some("deny") => {
            record::denied(app, &session, walk.client.id.as_str(), walk.client.tool.as_str()).await;
            stay(app, &walk)
        }
        _ => return Err(PageError::FormInvalid),
    };
    flows.end(id);
    Ok(flows.attach(app, response))
}

const DENIED: &str = "the person said no";

/// The page after a no to an application that nobody here vouches for.
fn stay(app: &App, walk: &Walk) -> Response {
    let (title, text) = Language::current().message(Message::Denied);
    let link = walk.target.failure_link(AuthorizationErrorCode::AccessDenied, DENIED);
    let html = MessagePage {
        frame: Frame::current(app),
        title,
        text,
        reference: None,
        client_id: None,
        retry: None,
        back: Some((walk.target.host(), &link)),
    }
    .html();
    Note::new("access_denied").client(walk.client.id.as_str()).on(page(StatusCode::OK, html, None))
}

/// A form of ours comes from our own page. The sealed part already proves it; the browser's own word
/// is a second wall. Our pages send no referrer, so `Origin` may be `null`.
pub(crate) fn refuse_cross_site(app: &App, headers: &HeaderMap) -> Result<(), PageError> {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("malformed"));
    let site_is_ours = match header("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => {
            header(ORIGIN.as_str()).is_none_or(|origin| origin == "null" || origin == app.issuer.as_str())
        }
    };
    if site_is_ours { Ok(()) } else { Err(PageError::CrossSite) }
}

/// Makes the grant. `remembered` is the earlier grant that stands for an answer, if the person was not asked.
async fn approve(
    app: &App,
    id: FlowId,
    session: &Session,
    walk: &Walk,
    remembered: Option<&Grant>,
) -> Result<Response, PageError> {
    let now = app.clock.now();
    let Entrance { tool, tool_epoch, writes, event } = enter(app, session, &walk.client, now).await?;
    let lifetimes = walk.policy.policy.lifetimes_for(&walk.client.profile);
    let mut grant = Grant {
        id: id.grant(),
        subject: session.subject.clone(),
        client_id: walk.client.id.as_str().to_owned(),
        mechanism: walk.client.mechanism,
        tool,
        tool_epoch,
        redirect_uri: walk.target.uri().to_owned(),
        resource: walk.request.resource.resource.clone(),
        scope: walk.request.scope.clone(),
        code_challenge: walk.request.challenge.clone(),
        proof: walk.proof(),
        document_digest: walk.client.digest.clone(),
        refreshable: walk.request.refreshable,
        profile: walk.client.profile.name.clone(),
        approved_at: now,
        evidence: evidence(walk, remembered),
        stage: Stage::Approved { code_expires_at: now.plus(lifetimes.code()) },
    };
    // Minted before the write: a failure here leaves no grant that nobody can redeem.
    Code { grant: grant.id, tool: grant.tool.clone() }.mint(&app.keys.current().seal)?;
    let mark: [u8; 9] = app.random.bytes()?;
    let mark = URL_SAFE_NO_PAD.encode(mark);
    let events: Vec<Event> = event.into_iter().collect();
    let retention = walk.policy.policy.administration.audit_retention();
    let approval = match store(app, &grant, remembered, &mark, writes, events, retention).await? {
        Some(approval) => approval,
        // Somebody else brought in the tool at this moment: what is there counts.
        None => {
            let met = met_meanwhile(app, session, &walk.client, now).await?;
            (grant.tool, grant.tool_epoch) = (met.tool, met.tool_epoch);
            let events = met.event.into_iter().collect();
            store(app, &grant, remembered, &mark, met.writes, events, retention)
                .await?
                .ok_or(PageError::FormInvalid)?
        }
    };
    let code = Code { grant: grant.id, tool: grant.tool.clone() }.mint(&app.keys.current().seal)?;
    let note = |outcome| {
        let note = Note::new(outcome).client(&grant.client_id);
        match &walk.client.record {
            Some(tool) => note.tool(tool),
            None => Note { tool: Some(UNGOVERNED.to_owned()), ..note },
        }
    };
    match approval {
        Approval::Stored => Ok(note("approved").on(walk.target.succeed(&code))),
        // A form sent twice leads to the one code that the flow has (FM079).
        Approval::AlreadyAnswered(earlier)
            if matches!(earlier.stage, Stage::Approved { .. })
                && earlier.subject == grant.subject
                && earlier.client_id == grant.client_id
                && earlier.redirect_uri == grant.redirect_uri =>
        {
            Ok(note("approved_again").on(walk.target.succeed(&code)))
        }
        Approval::AlreadyAnswered(_) => Err(PageError::AlreadyAnswered),
    }
}

/// For how long a registration that made itself lives on from now.
async fn idle(app: &App) -> Result<Duration, PageError> {
    Ok(app.policies.current(app.clock.as_ref()).await?.policy.registration.idle())
}

/// Stores a grant with its record, and with what brings in its tool: all or nothing. `None` if the tool was
/// brought in, or changed, by somebody else meanwhile.
async fn store(
    app: &App,
    grant: &Grant,
    remembered: Option<&Grant>,
    mark: &str,
    mut writes: Vec<Write>,
    mut events: Vec<Event>,
    retention: Duration,
) -> Result<Option<Approval>, PageError> {
    events.push(record::consent(grant, remembered));
    writes.push(app.grants.approving(grant, mark)?);
    match app.audit.commit_all(&events, &writes, None, retention).await? {
        Commit::Made(_) => Ok(Some(Approval::Stored)),
        Commit::Conflict | Commit::Seen => Ok(app.grants.answered(grant.id, mark).await?),
    }
}

/// The tool and epoch that a grant is made under, and what brings them in together with it.
struct Entrance {
    tool: ToolId,
    tool_epoch: u32,
    writes: Vec<Write>,
    event: Option<Event>,
}

impl Entrance {
    /// Of a tool that is there.
    fn of(tool: &Tool) -> Self {
        Self { tool: tool.id.clone(), tool_epoch: tool.epoch, writes: Vec::new(), event: None }
    }
}

/// The writes that bring in a tool with the client's registration: the one that the client made itself before, or
/// a new one.
pub(crate) async fn bringing_in(
    app: &App,
    client: &Client,
    new: &Tool,
    registration: &Registration,
) -> Result<Vec<Write>, PageError> {
    Ok(match &client.registration {
        Some(known) if known.mechanism == Mechanism::Dynamic => {
            let ends_at = new.introduced.at.plus(idle(app).await?);
            app.tools.introducing_registered(new, known, ends_at)?
        }
        Some(_) | None => app.tools.introducing(new, registration)?,
    })
}

fn as_new(session: &Session, client: &Client, now: Timestamp) -> (Tool, Registration) {
    let introduced = Introduced { at: now, by: session.subject.clone(), mechanism: client.mechanism };
    let registration = Registration::new(client.id.clone(), client.tool.clone(), introduced.clone(), None);
    let mut new =
        Tool::new(client.tool.clone(), client.metadata.client_name.clone(), Status::Enabled, introduced);
    new.last_used_at = Some(now);
    (new, registration)
}

/// The first consent to an unknown tool brings in tool and registration.
async fn enter(app: &App, session: &Session, client: &Client, now: Timestamp) -> Result<Entrance, PageError> {
    let (new, registration) = as_new(session, client, now);
    if let Some(record) = &client.record {
        if client.registration.is_none() {
            app.registrations.add(&registration, now).await?;
        }
        app.tools.note_use(record, now).await?;
        if let Some(known) = &client.registration {
            app.registrations.note_use(known, now, idle(app).await?).await?;
        }
        return Ok(Entrance::of(record));
    }
    Ok(Entrance {
        writes: bringing_in(app, client, &new, &registration).await?,
        event: Some(record::introduction(session, &new, client.id.as_str(), now)),
        ..Entrance::of(&new)
    })
}

/// A tool that was there after all: somebody else has just brought it in, an administrator may have disabled it
/// meanwhile, or it was forgotten and comes back.
async fn met_meanwhile(
    app: &App,
    session: &Session,
    client: &Client,
    now: Timestamp,
) -> Result<Entrance, PageError> {
    let (new, registration) = as_new(session, client, now);
    let mut found = app.records.tools(&client.tool).await?;
    match found.pop() {
        Some(forgotten) if forgotten.forgotten => {
            app.registrations.add(&registration, now).await?;
            let event = record::introduction(session, &new, client.id.as_str(), now);
            let writes = vec![app.tools.reviving(&forgotten, &new)?];
            Ok(Entrance { tool_epoch: forgotten.epoch, writes, event: Some(event), ..Entrance::of(&new) })
        }
        Some(tool) => match tool.status {
            Status::Enabled => Ok(Entrance::of(&tool)),
            Status::Pending => Err(Refusal::Pending(tool.id).into()),
            Status::Disabled => Err(Refusal::Disabled(tool.id).into()),
            Status::Withdrawn => Err(Refusal::Withdrawn(tool.id).into()),
        },
        None => Err(Refusal::Unknown.into()),
    }
}
