//! Signing people in: the port to whoever knows them, and the way back from there.

use std::pin::Pin;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use shared::client::redirect::RedirectUri;
use shared::clock::Timestamp;
use shared::http::log::Note;
use shared::http::page::{page, see_other};
use shared::oauth::Params;

use crate::App;
use crate::error::{PageError, refuse};
use crate::flow::{FlowId, Flows};
use crate::session::Session;

/// A person whom the authenticator vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// What tokens carry as `sub`: stable, never an e-mail address, never a URL (CID-04).
    pub subject: String,
    /// How pages address the person.
    pub name: String,
    /// The groups they belong to, for policy.
    pub groups: Vec<String>,
}

/// What a sign-in begins with.
#[derive(Clone, Debug)]
pub struct SignInRequest {
    /// The flow it is for. Comes back as the parameter `flow`, or as what `state` begins with up to a dot.
    pub flow: FlowId,
    /// Whether the person must show themselves again even if the other side remembers them.
    pub fresh: bool,
    /// Absolute URL of the page that takes the answer.
    pub callback: String,
    /// The time.
    pub now: Timestamp,
}

/// How a sign-in goes on.
#[derive(Clone, Debug)]
pub enum SignInStep {
    /// With a page of ours; its form leads to the callback.
    Page(String),
    /// At another server.
    Redirect {
        /// Where the browser goes.
        location: String,
        /// What must be remembered until the answer comes; kept sealed in the browser's flow cookie.
        remember: String,
    },
}

/// The answer to a sign-in.
#[derive(Clone, Debug)]
pub struct SignInAnswer {
    /// Its parameters.
    pub params: Params,
    /// What [`SignInStep::Redirect`] asked to remember; empty for a page.
    pub remembered: String,
    /// Absolute URL that the answer came to.
    pub callback: String,
    /// The time.
    pub now: Timestamp,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The person gave up, or the provider said no.
    #[error("sign-in was refused: {0}")]
    Denied(String),
    /// What the form or the provider sent cannot be accepted; the text is shown with the form.
    #[error("{0}")]
    Invalid(&'static str),
    /// The provider's answer is not for this flow, not from the provider, or not genuine.
    #[error("the sign-in answer is not genuine: {0}")]
    NotGenuine(String),
    /// The provider cannot be reached.
    #[error("the sign-in provider is unavailable: {0}")]
    Unavailable(String),
}

/// What an authenticator's call gives back.
pub type SignInFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SignInError>> + Send + 'a>>;

/// Whoever knows the people: the organisation's OpenID provider, or `local`'s page.
pub trait UserAuthenticator: Send + Sync {
    /// Begins a sign-in.
    fn begin<'a>(&'a self, request: &'a SignInRequest) -> SignInFuture<'a, SignInStep>;

    /// Ends a sign-in with the answer that came back.
    fn complete<'a>(&'a self, answer: &'a SignInAnswer) -> SignInFuture<'a, User>;
}

/// Begins a sign-in for the flow with the id `flow`; sets the flow's cookie.
pub(crate) async fn begin(app: &App, flows: &mut Flows, flow: FlowId) -> Response {
    let Some(current) = flows.get(flow) else { return refuse(app, PageError::FlowGone) };
    let request = SignInRequest {
        flow,
        fresh: current.needs_fresh_sign_in(),
        callback: app.issuer.url("/sign-in/callback"),
        now: app.clock.now(),
    };
    // An error, or a consent that is remembered, goes on to the client without another page. Nothing is
    // proved about the redirect URI yet: this names where the form may lead, and sends nobody there.
    let leads_to =
        current.get("redirect_uri").and_then(|uri| RedirectUri::parse(uri).ok()).map(|uri| uri.form_action());
    let response = match app.authenticator.begin(&request).await {
        Ok(SignInStep::Page(html)) => {
            flows.remember(flow, String::new());
            page(StatusCode::OK, html, leads_to.as_deref())
        }
        Ok(SignInStep::Redirect { location, remember }) => {
            flows.remember(flow, remember);
            see_other(&location)
        }
        // The flow stays: the page leads back to this attempt (FM083).
        Err(error) => return flows.attach(app, refuse(app, PageError::SignIn { error, flow })),
    };
    flows.attach(app, Note::new("sign_in_begun").on(response))
}

/// `GET /sign-in/again?flow=…`: "not you?". Changes nothing until somebody else has signed in.
pub(crate) async fn again(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::parse(query.as_deref().unwrap_or_default()).ok();
    let Some(id) = params.and_then(|params| params.get("flow").and_then(FlowId::parse)) else {
        return refuse(&app, PageError::FlowGone);
    };
    let mut flows = Flows::read(&app, &headers);
    flows.ask_again(id, app.clock.now());
    begin(&app, &mut flows, id).await
}

/// `GET /sign-in/callback`: the answer of a provider.
pub(crate) async fn callback(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    end(&app, &headers, query.as_deref().unwrap_or_default())
        .await
        .unwrap_or_else(|error| refuse(&app, error))
}

/// `POST /sign-in/callback`: a form of ours, or a provider's `form_post`.
pub(crate) async fn submit(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(body) = std::str::from_utf8(&body) else { return refuse(&app, PageError::FormInvalid) };
    end(&app, &headers, body).await.unwrap_or_else(|error| refuse(&app, error))
}

async fn end(app: &App, headers: &HeaderMap, encoded: &str) -> Result<Response, PageError> {
    let params = Params::parse(encoded)?;
    params.refuse_repeated()?;
    let id = params
        .get("flow")
        .or_else(|| params.get("state").and_then(|state| state.split('.').next()))
        .and_then(FlowId::parse)
        .ok_or(PageError::FlowGone)?;
    let mut flows = Flows::read(app, headers);
    let flow = flows.get(id).ok_or(PageError::FlowGone)?;
    let Some(remembered) = flow.remembered().map(str::to_owned) else {
        // A reload, or the way back from a later page: the person is signed in, so nothing is redeemed twice
        // (FM085).
        let session =
            Session::read(app, headers).filter(|session| flow.accepts_session(session.signed_in_at));
        return session.map(|_| see_other(&format!("/consent?flow={id}"))).ok_or(PageError::FlowGone);
    };
    let now = app.clock.now();
    let answer = SignInAnswer { params, remembered, callback: app.issuer.url("/sign-in/callback"), now };
    let user = match app.authenticator.complete(&answer).await {
        Ok(user) => user,
        // A form with a mistake in it is shown again, for the same flow.
        Err(SignInError::Invalid(_)) => return Ok(begin(app, &mut flows, id).await),
        Err(error) => {
            // This attempt is over; the next one has a state of its own.
            flows.forget(id);
            return Ok(flows.attach(app, refuse(app, PageError::SignIn { error, flow: id })));
        }
    };
    let policy = app.policies.current(app.clock.as_ref()).await?;
    // A new session id at each sign-in: a session that was fixed before is worth nothing after.
    let session = Session::new(user, now, policy.policy.lifetimes.session(), app.random.as_ref())?;
    flows.forget(id);
    let response = see_other(&format!("/consent?flow={id}"));
    let response = session.attach(app, Note::new("signed_in").on(response))?;
    Ok(flows.attach(app, response))
}
