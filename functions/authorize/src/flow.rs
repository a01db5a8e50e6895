//! The state of a flow before consent: sealed in cookies of the browser that began it, so that a
//! stranger's request leaves nothing with us (DESIGN invariant 1) and nobody else's browser can go on
//! with it (CVE-2026-27124).

use std::fmt;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::grant::GrantId;
use shared::oauth::Params;
use shared::random::{Random, RandomError};
use shared::seal::Purpose;

use crate::App;
use crate::request::KNOWN_PARAMS;

/// How long a person may take from the first page to the decision.
const FLOW_LIFETIME: Duration = Duration::from_secs(600);

/// Flows side by side in one browser; the oldest makes room. Keeps the `Cookie` header within what the
/// gateway passes on (10,240 bytes for all headers).
const FLOWS_MAX: usize = 5;

/// Sealed characters of one flow: browsers keep cookies of up to 4,096 bytes.
const FLOW_CHARS_MAX: usize = 3_900;

/// Sealed characters of all flows of one browser.
const FLOWS_CHARS_MAX: usize = 7_500;

const PREFIX: &str = "flow-";

/// Names a flow; becomes the id of the grant it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowId(GrantId);

impl FlowId {
    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        GrantId::parse(text).map(Self)
    }

    pub(crate) fn new(random: &dyn Random) -> Result<Self, RandomError> {
        Ok(Self(GrantId::new(random.bytes()?)))
    }

    pub(crate) const fn of(grant: GrantId) -> Self {
        Self(grant)
    }

    pub(crate) fn grant(self) -> GrantId {
        self.0
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Flow {
    /// The request's parameters that we know, in order; others mean nothing to us and are dropped.
    params: Vec<(String, String)>,
    /// The first parameter that was repeated: reported to the client once there is a proven redirect.
    repeated: Option<String>,
    began_at: Timestamp,
    /// What the sign-in asked to remember; present while a sign-in is under way.
    remembered: Option<String>,
    /// When the person said that they are somebody else: only a later sign-in will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    again_since: Option<Timestamp>,
    /// Leads to the account page instead of to a client.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    account: bool,
}

impl Flow {
    pub(crate) fn begin(params: &Params, now: Timestamp) -> Self {
        let known = KNOWN_PARAMS
            .iter()
            .flat_map(|name| params.all(name).map(|value| ((*name).to_owned(), value.to_owned())))
            .collect();
        let repeated = params.refuse_repeated().err().map(|repeated| repeated.0);
        Self { params: known, repeated, began_at: now, remembered: None, again_since: None, account: false }
    }

    /// A sign-in that leads to the account page.
    pub(crate) fn to_account(now: Timestamp) -> Self {
        Self {
            params: Vec::new(),
            repeated: None,
            began_at: now,
            remembered: None,
            again_since: None,
            account: true,
        }
    }

    /// Whether it leads to the account page.
    pub(crate) fn is_to_account(&self) -> bool {
        self.account
    }

    /// The value of `name`, unless absent or ambiguous.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut found = None;
        for (entry, value) in &self.params {
            if entry == name && found.replace(value.as_str()).is_some() {
                return None;
            }
        }
        found
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.params.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn repeated(&self) -> Option<&str> {
        self.repeated.as_deref()
    }

    pub(crate) fn remembered(&self) -> Option<&str> {
        self.remembered.as_deref()
    }

    /// `prompt=login` (OpenID Connect Core §3.1.2.1).
    pub(crate) fn needs_fresh_sign_in(&self) -> bool {
        self.again_since.is_some() || self.prompts("login")
    }

    pub(crate) fn prompts(&self, value: &str) -> bool {
        self.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|word| word == value))
    }

    /// Whether a session that began at `signed_in_at` will do for this flow.
    pub(crate) fn accepts_session(&self, signed_in_at: Timestamp) -> bool {
        !self.needs_fresh_sign_in() || signed_in_at >= self.again_since.unwrap_or(self.began_at)
    }
}

/// The flows of one browser.
pub(crate) struct Flows {
    flows: Vec<(FlowId, Flow)>,
    /// Cookies to set or, where the flow is gone, to remove.
    changed: Vec<FlowId>,
}

impl Flows {
    /// Reads the flows of a request. What cannot be opened or has ended is treated as not there.
    pub(crate) fn read(app: &App, headers: &HeaderMap) -> Self {
        let (keys, now) = (app.keys.current(), app.clock.now());
        let mut this = Self { flows: Vec::new(), changed: Vec::new() };
        for (name, value) in app.cookies().read(headers) {
            let Some(id) = name.strip_prefix(PREFIX).and_then(FlowId::parse) else { continue };
            let flow = keys
                .seal
                .open(Purpose::Flow, value)
                .ok()
                .and_then(|plain| serde_json::from_slice::<(String, Flow)>(&plain).ok())
                .filter(|(sealed_id, flow)| {
                    *sealed_id == id.to_string() && now.since(flow.began_at) < FLOW_LIFETIME
                });
            match flow {
                Some((_, flow)) => this.flows.push((id, flow)),
                None => this.changed.push(id),
            }
        }
        this.flows.sort_by_key(|(_, flow)| flow.began_at);
        this
    }

    pub(crate) fn get(&self, id: FlowId) -> Option<&Flow> {
        self.flows.iter().find(|(found, _)| *found == id).map(|(_, flow)| flow)
    }

    pub(crate) fn add(&mut self, id: FlowId, flow: Flow) {
        self.flows.push((id, flow));
        self.changed.push(id);
        while self.flows.len() > FLOWS_MAX {
            let (oldest, _) = self.flows.remove(0);
            self.changed.push(oldest);
        }
    }

    /// Keeps what a sign-in asked to remember.
    pub(crate) fn remember(&mut self, id: FlowId, remembered: String) {
        self.change(id, |flow| flow.remembered = Some(remembered));
    }

    /// The sign-in is over; its answer cannot be given a second time.
    pub(crate) fn forget(&mut self, id: FlowId) {
        self.change(id, |flow| flow.remembered = None);
    }

    /// Asks for another sign-in, whoever is signed in now.
    pub(crate) fn ask_again(&mut self, id: FlowId, now: Timestamp) {
        self.change(id, |flow| flow.again_since = Some(now));
    }

    /// The flow is over.
    pub(crate) fn end(&mut self, id: FlowId) {
        self.flows.retain(|(found, _)| *found != id);
        self.changed.push(id);
    }

    fn change(&mut self, id: FlowId, change: impl FnOnce(&mut Flow)) {
        if let Some((_, flow)) = self.flows.iter_mut().find(|(found, _)| *found == id) {
            change(flow);
            self.changed.push(id);
        }
    }

    /// Whether the flow fits into a cookie.
    pub(crate) fn fits(app: &App, id: FlowId, flow: &Flow) -> bool {
        seal(app, id, flow).is_some_and(|sealed| sealed.len() <= FLOW_CHARS_MAX)
    }

    /// Sets and removes cookies on `response` as the flows have changed.
    pub(crate) fn attach(&mut self, app: &App, mut response: Response) -> Response {
        let sealed: Vec<(FlowId, Option<String>)> =
            self.flows.iter().map(|(id, flow)| (*id, seal(app, *id, flow))).collect();
        let mut total: usize = sealed.iter().filter_map(|(_, text)| text.as_ref()).map(String::len).sum();
        for (id, text) in &sealed {
            // The newest stands last and always stays.
            if total <= FLOWS_CHARS_MAX || sealed.last().is_some_and(|(newest, _)| newest == id) {
                break;
            }
            total -= text.as_ref().map_or(0, String::len);
            self.flows.retain(|(found, _)| found != id);
            self.changed.push(*id);
        }
        let cookies = app.cookies();
        let mut done: Vec<FlowId> = Vec::new();
        for id in std::mem::take(&mut self.changed) {
            if done.contains(&id) {
                continue;
            }
            done.push(id);
            let name = format!("{PREFIX}{id}");
            let cookie = match self.get(id).and_then(|flow| seal(app, id, flow)) {
                Some(sealed) => cookies.set(&name, &sealed, FLOW_LIFETIME),
                None => cookies.remove(&name),
            };
            if let Some(cookie) = cookie {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
        }
        response
    }
}

fn seal(app: &App, id: FlowId, flow: &Flow) -> Option<String> {
    // The id is inside as well: a cookie moved under another flow's name must not open as that flow.
    let plain = serde_json::to_vec(&(id.to_string(), flow)).ok()?;
    app.keys.current().seal.seal(Purpose::Flow, &plain, app.random.as_ref()).ok()
}
