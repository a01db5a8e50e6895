//! Metadata documents: their versions and what differs between them, fetching one now, and deciding which
//! version is in force (CAC-17, GOV-07, GOV-14).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::audit::Kind;
use shared::cimd::document::DocumentDigest;
use shared::cimd::history::{Decision, GradedChange, History, SeenVersion, Summary};
use shared::cimd::ledger::Standing;
use shared::client::id::{ClientId, MetadataUrl};
use shared::http::json;
use shared::http::log::Note;
use shared::policy::change::Grade;
use shared::policy::{Policy, Role};
use shared::tool::{Tool, ToolId};
use utoipa::ToSchema;

use crate::App;
use crate::caller::Acting;
use crate::catalogue::{census, near_client_ids};
use crate::commit::{Answer, Changing, with_revision};
use crate::listing::{limit, open_cursor, params, seal_cursor};
use crate::problem::{AdminError, Problem};
use crate::tools::{Because, read, told};
use crate::view::{DryRun, Effect};

/// Documents of one page: with each goes a look at the tool it belongs to.
const PAGE_MAX: usize = 50;

/// Looks at the table for one page; a cursor goes on from there.
const SCANS_MAX: usize = 20;

/// One document, in a line.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentLine {
    /// Its URL, which is the client identifier.
    client_id: String,
    /// The tool it belongs to; missing if policy does not accept such a URL any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    /// `current`, `held`, or `pinned`.
    standing: &'static str,
    /// The digest of the version in force.
    in_force: String,
    /// The digest of the version that was fetched last.
    latest: String,
    /// How much that one differs: `cosmetic`, `material`, or `critical`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    grade: Option<Grade>,
    /// Versions there have been.
    versions: u32,
    /// When it was fetched last.
    fetched_at: u64,
    /// Why the latest fetch failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// One page of documents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentPage {
    /// The documents, in no order.
    documents: Vec<DocumentLine>,
    /// Continues the listing, if there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// A difference. The values are the publisher's: escape them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeView {
    /// What differs, such as `redirect_host_added`.
    #[schema(value_type = String)]
    kind: Value,
    /// How much it matters by the policy in force: `cosmetic`, `material`, or `critical`.
    #[schema(value_type = String)]
    grade: Grade,
    /// What is no longer said.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// What is said now.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

impl From<GradedChange> for ChangeView {
    fn from(GradedChange { change, grade }: GradedChange) -> Self {
        Self {
            kind: serde_json::to_value(change.kind).unwrap_or_default(),
            grade,
            before: change.unverified_before,
            after: change.unverified_after,
        }
    }
}

/// One version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentVersion {
    /// Counts up.
    number: u32,
    /// Which bytes.
    digest: String,
    /// When it was fetched first.
    first_seen: u64,
    /// When it was fetched last.
    last_seen: u64,
    /// The version that was in force when it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    /// How much it differs from that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    grade: Option<Grade>,
    /// How.
    changes: Vec<ChangeView>,
    /// Whether new authorizations are made on it.
    in_force: bool,
    /// Its bytes. They are the publisher's: escape them.
    text: String,
}

/// Why the latest fetch failed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureView {
    /// `transient`, `deterministic`, or `gone`.
    #[schema(value_type = String)]
    kind: Value,
    /// In words.
    reason: String,
    /// When.
    at: u64,
    /// It is not tried again before.
    retry_at: u64,
}

/// All that is known of a document.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentHistory {
    /// Its URL, which is the client identifier.
    client_id: String,
    /// The tool it belongs to.
    tool: String,
    /// `current`; `held`, while new authorizations wait for an administrator; or `pinned`.
    standing: &'static str,
    /// The digest of the version in force.
    in_force: String,
    /// Since when.
    in_force_since: u64,
    /// Consent that was given on this version or a later one is still good.
    consent_since: String,
    /// Whether its host has said often and long enough that there is none any more.
    withdrawn: bool,
    /// When it was fetched last.
    fetched_at: u64,
    /// Until when that copy may be used without asking again.
    fresh_until: u64,
    /// Why the latest fetch failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView>,
    /// The versions that are kept, the newest first.
    versions: Vec<DocumentVersion>,
    /// What `If-Match` takes.
    revision: u32,
}

/// One member of the JSON that differs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberDifference {
    /// Its name.
    member: String,
    /// Its value before, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    /// Its value after, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
}

/// What differs between two versions. The values are the publisher's: escape them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentDiff {
    /// The document.
    client_id: String,
    /// The digest of the one version.
    from: String,
    /// The digest of the other.
    to: String,
    /// How much it matters in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    grade: Option<Grade>,
    /// What it means.
    changes: Vec<ChangeView>,
    /// What reads differently, whether it means anything to us or not.
    members: Vec<MemberDifference>,
}

/// Which document.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshDocument {
    /// Its URL, exactly.
    client_id: String,
}

/// A decision about a version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecideDocument {
    /// The document's URL, exactly.
    client_id: String,
    /// The version that the caller has seen.
    digest: String,
    /// Why, in a sentence; kept in the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    because: Option<String>,
}

fn malformed(error: impl std::fmt::Display) -> AdminError {
    AdminError::Malformed(error.to_string())
}

impl App {
    /// The URL of a metadata document that `client_id` is.
    pub(crate) fn metadata_url(&self, client_id: &str, policy: &Policy) -> Result<MetadataUrl, AdminError> {
        let id = ClientId::parse(client_id).map_err(malformed)?;
        let rules = policy.documents.url_rules(&self.issuer, &self.development);
        MetadataUrl::parse(&id, &rules).map_err(malformed)
    }

    /// The tool that the document belongs to, by its registration or by its URL.
    async fn tool_of(&self, url: &MetadataUrl) -> Result<ToolId, AdminError> {
        let id = ClientId::parse(url.as_str()).map_err(malformed)?;
        let known = self.registrations.read(&id).await?;
        Ok(known.map_or_else(|| ToolId::of_metadata_document(url.host(), url.as_str()), |known| known.tool))
    }

    async fn history(&self, url: &MetadataUrl, policy: &Policy) -> Result<History, AdminError> {
        match self.documents.history(url, policy).await? {
            Some(history) => Ok(history),
            None => Err(self.no_document(url.as_str()).await?),
        }
    }

    async fn no_document(&self, client_id: &str) -> Result<AdminError, AdminError> {
        let near = near_client_ids(self, client_id).await?;
        Ok(AdminError::NotFound { kind: "document", id: client_id.to_owned(), near })
    }
}

fn line(summary: &Summary, tool: Option<&ToolId>) -> DocumentLine {
    let ledger = &summary.ledger;
    DocumentLine {
        client_id: summary.client_id.clone(),
        tool: tool.map(ToolId::to_string),
        standing: ledger.standing.as_str(),
        in_force: ledger.in_force.as_str().to_owned(),
        latest: ledger.latest.digest.as_str().to_owned(),
        grade: ledger.latest.grade,
        versions: ledger.versions,
        fetched_at: summary.fetched_at.epoch_seconds(),
        failure: summary.failure.as_ref().map(|failure| failure.reason.clone()),
    }
}

fn version(seen: &SeenVersion, history: &History, policy: &Policy) -> DocumentVersion {
    let version = &seen.version;
    let graded = |change: &shared::cimd::change::Change| {
        let grade = policy.documents.changes.grade(change.kind);
        GradedChange { change: change.clone(), grade }.into()
    };
    DocumentVersion {
        number: version.number,
        digest: version.digest.as_str().to_owned(),
        first_seen: version.first_seen.epoch_seconds(),
        last_seen: seen.last_seen.epoch_seconds(),
        previous: version.previous.as_ref().map(|digest| digest.as_str().to_owned()),
        grade: version.grade,
        changes: version.changes.iter().map(graded).collect(),
        in_force: version.digest == history.ledger.in_force,
        text: seen.text.clone(),
    }
}

fn view(client_id: &str, tool: &ToolId, history: &History, policy: &Policy) -> DocumentHistory {
    let ledger = &history.ledger;
    DocumentHistory {
        client_id: client_id.to_owned(),
        tool: tool.to_string(),
        standing: ledger.standing.as_str(),
        in_force: ledger.in_force.as_str().to_owned(),
        in_force_since: ledger.in_force_since.epoch_seconds(),
        consent_since: ledger.consent_since.as_str().to_owned(),
        withdrawn: history.withdrawn,
        fetched_at: history.fetched_at.epoch_seconds(),
        fresh_until: history.fresh_until.epoch_seconds(),
        failure: history.failure.as_ref().map(|failure| FailureView {
            kind: serde_json::to_value(failure.kind).unwrap_or_default(),
            reason: failure.reason.clone(),
            at: failure.at.epoch_seconds(),
            retry_at: failure.retry_at.epoch_seconds(),
        }),
        versions: history.versions.iter().map(|seen| version(seen, history, policy)).collect(),
        revision: history.revision,
    }
}

/// Where the page before ended.
#[derive(Serialize, Deserialize)]
struct Place {
    standing: Option<String>,
    after: String,
}

/// All documents that were ever fetched, or those that stand in one way: `held` are the changes that wait.
#[utoipa::path(get, path = "/admin/v1/documents", tag = "documents",
    params(
        ("standing" = Option<String>, Query, description = "current, held, or pinned"),
        ("limit" = Option<u64>, Query, description = "Documents per page, 50 at most are given"),
        ("cursor" = Option<String>, Query, description = "Continues a listing"),
    ),
    responses((status = 200, body = DocumentPage), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    acting: Acting,
    RawQuery(query): RawQuery,
) -> Result<Response, AdminError> {
    let params = params(query.as_deref(), &["standing", "limit", "cursor"])?;
    let limit = limit(&params)?.min(PAGE_MAX);
    let asked = params.get("standing");
    let standing = match asked {
        None => None,
        Some("current") => Some(Standing::Current),
        Some("held") => Some(Standing::Held),
        Some("pinned") => Some(Standing::Pinned),
        Some(_) => return Err(malformed("standing is current, held, or pinned")),
    };
    let mut after = match params.get("cursor") {
        None => None,
        Some(cursor) => {
            let place: Place = open_cursor(&app, cursor)?;
            if place.standing.as_deref() != asked {
                return Err(malformed("the cursor belongs to another query"));
            }
            Some(place.after)
        }
    };
    let mut documents = Vec::new();
    for _ in 0..SCANS_MAX {
        let left = i32::try_from(limit.saturating_sub(documents.len())).unwrap_or(1);
        let (found, next) = app.documents.page(standing, after.as_deref(), left).await?;
        for summary in found {
            let tool = match app.metadata_url(&summary.client_id, &acting.policy.policy) {
                Ok(url) => Some(app.tool_of(&url).await?),
                Err(_) => None,
            };
            documents.push(line(&summary, tool.as_ref()));
        }
        after = next;
        if after.is_none() || documents.len() >= limit {
            break;
        }
    }
    let cursor = after
        .map(|after| seal_cursor(&app, &Place { standing: asked.map(str::to_owned), after }))
        .transpose()?;
    Ok(json(StatusCode::OK, &DocumentPage { documents, cursor }))
}

/// A document with its versions.
#[utoipa::path(get, path = "/admin/v1/documents/history", tag = "documents",
    params(("client_id" = String, Query, description = "The document's URL, exactly")),
    responses((status = 200, body = DocumentHistory), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    acting: Acting,
    RawQuery(query): RawQuery,
) -> Result<Response, AdminError> {
    let params = params(query.as_deref(), &["client_id"])?;
    let client_id = params.get("client_id").ok_or_else(|| malformed("client_id is missing"))?;
    shown(&app, client_id, &acting.policy.policy).await
}

async fn shown(app: &App, client_id: &str, policy: &Policy) -> Result<Response, AdminError> {
    let url = app.metadata_url(client_id, policy)?;
    let history = app.history(&url, policy).await?;
    let view = view(client_id, &app.tool_of(&url).await?, &history, policy);
    Ok(with_revision(json(StatusCode::OK, &view), Some(u64::from(history.revision))))
}

/// What differs between two versions; from the one in force to the latest unless others are named.
#[utoipa::path(get, path = "/admin/v1/documents/diff", tag = "documents",
    params(
        ("client_id" = String, Query, description = "The document's URL, exactly"),
        ("from" = Option<String>, Query, description = "The digest of the one version"),
        ("to" = Option<String>, Query, description = "The digest of the other"),
    ),
    responses((status = 200, body = DocumentDiff), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn diff(
    State(app): State<Arc<App>>,
    acting: Acting,
    RawQuery(query): RawQuery,
) -> Result<Response, AdminError> {
    let params = params(query.as_deref(), &["client_id", "from", "to"])?;
    let client_id = params.get("client_id").ok_or_else(|| malformed("client_id is missing"))?;
    let policy = &acting.policy.policy;
    let url = app.metadata_url(client_id, policy)?;
    let history = app.history(&url, policy).await?;
    let ledger = &history.ledger;
    // While they are the same there is nothing newer, so what came before is compared.
    let before = match &ledger.latest.previous {
        Some(previous) if ledger.in_force == ledger.latest.digest => previous,
        _ => &ledger.in_force,
    };
    let from = params.get("from").unwrap_or_else(|| before.as_str());
    let to = params.get("to").unwrap_or_else(|| ledger.latest.digest.as_str());
    let (one, other) = (text_of(&history, from)?, text_of(&history, to)?);
    let changes = app.documents.compare(&url, policy, one, other);
    let diff = DocumentDiff {
        client_id: client_id.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        grade: changes.iter().map(|change| change.grade).max(),
        changes: changes.into_iter().map(ChangeView::from).collect(),
        members: members(one, other),
    };
    Ok(json(StatusCode::OK, &diff))
}

fn text_of<'a>(history: &'a History, digest: &str) -> Result<&'a str, AdminError> {
    let kept = history.versions.iter().find(|seen| seen.version.digest.as_str() == digest);
    let in_force = history.ledger.in_force_text.as_deref();
    kept.map(|seen| seen.text.as_str())
        .or_else(|| in_force.filter(|_| history.ledger.in_force.as_str() == digest))
        .ok_or_else(|| AdminError::NotFound {
            kind: "document version",
            id: digest.to_owned(),
            near: history.versions.iter().map(|seen| seen.version.digest.as_str().to_owned()).collect(),
        })
}

fn members(before: &str, after: &str) -> Vec<MemberDifference> {
    let read = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
    let (before, after) = (read(before), read(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| MemberDifference {
            member: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        })
        .collect()
}

/// Fetches a document now. A host that failed moments ago is left alone for a while.
#[utoipa::path(post, path = "/admin/v1/documents/refresh", tag = "documents", request_body = RefreshDocument,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe")),
    responses((status = 200, body = DocumentHistory), (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = 503, body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn refresh(
    State(app): State<Arc<App>>,
    changing: Changing,
    body: Bytes,
) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Operator)?;
    let asked: RefreshDocument = read(&body)?;
    if let Some(response) = changing.answered(&app, &asked).await? {
        return Ok(response);
    }
    let policy = &changing.acting.policy.policy;
    let url = app.metadata_url(&asked.client_id, policy)?;
    // Blocked means that nothing is asked of it, by anybody.
    if let Some(block) = policy.block(&ClientId::parse(url.as_str()).map_err(malformed)?, Some(url.host())) {
        return Err(AdminError::NotNow(block.to_string()));
    }
    let before = app.history(&url, policy).await?.ledger.latest.digest;
    let refreshed = app.documents.refresh(&url, policy).await;
    refreshed.map_err(|reason| AdminError::document(&asked.client_id, reason))?;
    let history = app.history(&url, policy).await?;
    let tool = app.tool_of(&url).await?;
    let answer = Answer::ok(&view(&asked.client_id, &tool, &history, policy), None);
    if history.ledger.latest.digest == before {
        return Ok(answer.into_response());
    }
    let event = changing
        .event(app.clock.now(), Kind::DocumentChanged, &asked.client_id)
        .with("action", "refresh")
        .with("tool", tool.as_str())
        .with("from", before.as_str())
        .with("to", history.ledger.latest.digest.as_str());
    changing.commit(&app, &asked, &event, &[], answer).await
}

/// A decision about a version of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Approve,
    Pin,
    Unpin,
}

impl Verb {
    const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Pin => "pin",
            Self::Unpin => "unpin",
        }
    }
}

async fn decide(app: &App, changing: &Changing, body: &[u8], verb: Verb) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Operator)?;
    let asked: DecideDocument = read(body)?;
    if let Some(response) = changing.answered(app, &asked).await? {
        return Ok(response);
    }
    let policy = &changing.acting.policy.policy;
    let url = app.metadata_url(&asked.client_id, policy)?;
    let digest = DocumentDigest::parse(&asked.digest).ok_or_else(|| malformed("digest is not one"))?;
    let before = app.history(&url, policy).await?;
    changing.must_have_seen("document", &asked.client_id, u64::from(before.revision))?;
    if verb == Verb::Unpin && before.ledger.standing != Standing::Pinned {
        return Err(AdminError::NotNow(format!("{} is not pinned", asked.client_id)));
    }
    let decision = match verb {
        Verb::Approve | Verb::Unpin => app.documents.approve(&url, &digest).await?,
        Verb::Pin => app.documents.pin(&url, &digest).await?,
    };
    let tool = app.tool_of(&url).await?;
    let (write, asks_again) = match decision {
        Decision::Change { write, asks_again } => (write, asks_again),
        Decision::Already => {
            let answer = Answer::ok(&view(&asked.client_id, &tool, &before, policy), None);
            return Ok(answer.into_response());
        }
        Decision::NoDocument => return Err(app.no_document(&asked.client_id).await?),
        Decision::OtherVersion => {
            return Err(AdminError::Changed { kind: "document", id: asked.client_id });
        }
    };
    if changing.dry_run {
        let known = app.tools.read(&tool).await?.filter(|_| asks_again);
        let effect = match &known {
            Some(tool) => asked_again(app, tool).await?,
            None => Effect::default(),
        };
        let answer = DryRun { dry_run: true, action: verb.name(), target: asked.client_id, effect };
        return Ok(json(StatusCode::OK, &answer));
    }
    let because = Because { because: asked.because.clone() };
    let event = changing
        .event(app.clock.now(), Kind::DocumentChanged, &asked.client_id)
        .with("action", verb.name())
        .with("tool", tool.as_str())
        .with("from", before.ledger.in_force.as_str())
        .with("to", digest.as_str());
    let event = told(event, &because)?;
    // What is answered again under the idempotency key is the decision, not what became of the document.
    let answer = Answer::ok(&asked, None);
    changing.commit(app, &asked, &event, &[*write], answer).await?;
    app.documents.look_again(&url).await;
    Ok(Note::new(Kind::DocumentChanged.as_str()).on(shown(app, &asked.client_id, policy).await?))
}

/// Whose consent no longer counts: they are asked at their next authorization, and their grants go on.
async fn asked_again(app: &App, tool: &Tool) -> Result<Effect, AdminError> {
    let census = census(app, tool).await?;
    Ok(Effect { users: census.users, grants: census.grants, registrations: 1 })
}

macro_rules! decision {
    ($name:ident, $verb:expr, $path:literal, $words:literal) => {
        #[doc = $words]
        #[utoipa::path(post, path = $path, tag = "documents", request_body = DecideDocument,
            params(
                ("dry_run" = Option<bool>, Query, description = "Only say who would be asked again"),
                ("If-Match" = Option<String>, Header, description = "The ETag that the caller has seen"),
                ("Idempotency-Key" = Option<String>, Header, description = "Makes repeating safe"),
            ),
            responses((status = 200, description = "The document as it is now, or for a dry run the effect", body = DocumentHistory), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
        pub(crate) async fn $name(
            State(app): State<Arc<App>>,
            changing: Changing,
            body: Bytes,
        ) -> Result<Response, AdminError> {
            decide(&app, &changing, &body, $verb).await
        }
    };
}

decision!(
    approve,
    Verb::Approve,
    "/admin/v1/documents/approve",
    "Lets the latest version take force, if it is still the one named. People are asked again."
);
decision!(
    pin,
    Verb::Pin,
    "/admin/v1/documents/pin",
    "Puts a version in force, whatever is published from now on."
);
decision!(
    unpin,
    Verb::Unpin,
    "/admin/v1/documents/unpin",
    "Ends a pin: the latest version, which is named, takes force, and what is published later follows."
);
