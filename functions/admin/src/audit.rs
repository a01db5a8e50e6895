//! The audit trail: looking through it, taking it away, verifying it; and what is behind a reference.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::audit::{Anchor, Content, Entry, Head, Kind, Problem as Finding, is_reference, verify};
use shared::http::json;
use shared::oauth::Params;
use shared::policy::Role;
use utoipa::ToSchema;

use crate::App;
use crate::caller::Acting;
use crate::commit::Changing;
use crate::listing::{limit, number, open_cursor, params, seal_cursor};
use crate::problem::{AdminError, Problem};

/// Entries that one query looks at; a cursor goes on from there.
const LOOKED_AT_MAX: usize = 2000;

/// Entries of one chain that are read at a time.
const STEP: u64 = 50;

/// Entries of one export.
const EXPORT_MAX: u64 = 100_000;

/// One page of entries, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntryPage {
    /// The entries, as they were hashed.
    entries: Vec<Value>,
    /// Continues the listing, if there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// What verifying found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verification {
    /// Whether nothing is wrong.
    intact: bool,
    /// Entries that were read.
    entries: u64,
    /// Anchors that were compared.
    anchors: u64,
    /// What is wrong: kind, chain, and place.
    problems: Vec<FindingView>,
    /// Where the chains end: keep it elsewhere, and verify against it another time.
    heads: Vec<HeadView>,
}

/// Something wrong in the trail.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FindingView {
    /// `removed`, `altered`, or `cut_off`.
    problem: &'static str,
    /// The chain.
    shard: u8,
    /// The place in it.
    sequence: u64,
}

/// Where a chain ends.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct HeadView {
    /// The chain.
    shard: u8,
    /// Its newest entry.
    sequence: u64,
    /// That entry's hash.
    hash: String,
}

/// Where each chain has been read down to.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Place {
    query: String,
    next: Vec<(u8, u64)>,
}

/// What is looked for.
#[derive(Debug)]
struct Query {
    kind: Option<String>,
    target: Option<String>,
    actor: Option<String>,
    since: Option<u64>,
    until: Option<u64>,
}

impl Query {
    fn read(params: &Params) -> Result<Self, AdminError> {
        let text = |name: &str| params.get(name).map(str::to_owned);
        Ok(Self {
            kind: text("kind"),
            target: text("target"),
            actor: text("actor"),
            since: number(params, "since")?,
            until: number(params, "until")?,
        })
    }

    fn matches(&self, content: &Content) -> bool {
        let event = &content.event;
        let at = event.at.epoch_seconds();
        self.kind.as_deref().is_none_or(|kind| kind == event.kind.as_str())
            && self.target.as_deref().is_none_or(|target| {
                event.target == target || event.detail.values().any(|value| value == target)
            })
            && self.actor.as_deref().is_none_or(|actor| {
                serde_json::to_string(&event.actor).is_ok_and(|text| text.contains(actor))
            })
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
    }
}

/// A chain: its number, where it ends, and its entries with what they say.
type Chain = (u8, u64, Vec<(Content, Entry)>);

/// The entries of all chains, the newest first, read chain by chain from their ends.
pub(crate) struct Walk<'a> {
    app: &'a App,
    chains: Vec<Chain>,
}

impl<'a> Walk<'a> {
    pub(crate) async fn begin(app: &'a App, next: Option<Vec<(u8, u64)>>) -> Result<Self, AdminError> {
        let next = match next {
            Some(next) => next,
            None => {
                app.audit.heads().await?.into_iter().map(|(shard, head)| (shard, head.sequence)).collect()
            }
        };
        Ok(Self { app, chains: next.into_iter().map(|(shard, next)| (shard, next, Vec::new())).collect() })
    }

    /// Reads on in every chain that has nothing in hand.
    async fn fill(&mut self) -> Result<(), AdminError> {
        for (shard, next, in_hand) in &mut self.chains {
            while in_hand.is_empty() && *next > 0 {
                let from = next.saturating_sub(STEP - 1).max(1);
                let found = self.app.audit.range(*shard, from, *next).await?;
                // Older ones have been collected: nothing follows.
                let any = found.iter().any(|(_, entry)| entry.is_some());
                for (_, entry) in found {
                    let Some(entry) = entry else { continue };
                    // One that cannot be read is for `verify` to report.
                    if let Ok(content) = entry.content() {
                        in_hand.push((content, entry));
                    }
                }
                *next = if any { from - 1 } else { 0 };
            }
        }
        Ok(())
    }

    pub(crate) async fn next(&mut self) -> Result<Option<(Content, Entry)>, AdminError> {
        self.fill().await?;
        let newest = self
            .chains
            .iter_mut()
            .filter(|(_, _, in_hand)| !in_hand.is_empty())
            .max_by_key(|(_, _, in_hand)| in_hand.last().map(|(content, _)| content.event.at));
        Ok(newest.and_then(|(_, _, in_hand)| in_hand.pop()))
    }

    fn place(&self) -> Vec<(u8, u64)> {
        self.chains
            .iter()
            .map(|(shard, next, in_hand)| {
                (*shard, in_hand.last().map_or(*next, |(content, _)| content.sequence))
            })
            .collect()
    }
}

fn entry_view(content: &Content, entry: &Entry) -> Value {
    let mut view = serde_json::to_value(content).unwrap_or_default();
    if let Some(members) = view.as_object_mut() {
        members.insert("hash".to_owned(), entry.hash.to_string().into());
        members.insert("previous".to_owned(), entry.previous.to_string().into());
    }
    view
}

/// What happened, the newest first.
#[utoipa::path(get, path = "/admin/v1/audit", tag = "audit",
    params(
        ("kind" = Option<String>, Query, description = "What happened, such as tool_disabled"),
        ("target" = Option<String>, Query, description = "A tool's id, a grant's id, a client identifier, exactly"),
        ("actor" = Option<String>, Query, description = "Part of an ARN or subject"),
        ("since" = Option<u64>, Query, description = "From this time on"),
        ("until" = Option<u64>, Query, description = "Before this time"),
        ("limit" = Option<u64>, Query, description = "Entries per page, 200 at most"),
        ("cursor" = Option<String>, Query, description = "Continues a listing"),
    ),
    responses((status = 200, body = EntryPage), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn query(
    State(app): State<Arc<App>>,
    _acting: Acting,
    RawQuery(query): RawQuery,
) -> Result<Response, AdminError> {
    let params = params(query.as_deref(), &["kind", "target", "actor", "since", "until", "limit", "cursor"])?;
    let (asked, limit) = (Query::read(&params)?, limit(&params)?);
    let named = format!("{asked:?}");
    let next = match params.get("cursor") {
        None => None,
        Some(cursor) => {
            let place: Place = open_cursor(&app, cursor)?;
            if place.query != named {
                return Err(AdminError::Malformed("the cursor belongs to another query".to_owned()));
            }
            Some(place.next)
        }
    };
    let mut walk = Walk::begin(&app, next).await?;
    let (mut entries, mut looked_at, mut more) = (Vec::new(), 0, true);
    while entries.len() < limit && looked_at < LOOKED_AT_MAX {
        let Some((content, entry)) = walk.next().await? else {
            more = false;
            break;
        };
        looked_at += 1;
        if asked.since.is_some_and(|since| content.event.at.epoch_seconds() < since) {
            more = false;
            break;
        }
        if asked.matches(&content) {
            entries.push(entry_view(&content, &entry));
        }
    }
    let cursor =
        if more { Some(seal_cursor(&app, &Place { query: named, next: walk.place() })?) } else { None };
    Ok(json(StatusCode::OK, &EntryPage { entries, cursor }))
}

/// All entries as JSON lines, chain by chain, for keeping elsewhere.
#[utoipa::path(get, path = "/admin/v1/audit/export", tag = "audit",
    responses((status = 200, description = "One entry per line", body = String, content_type = "application/x-ndjson"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn export(State(app): State<Arc<App>>, _acting: Acting) -> Result<Response, AdminError> {
    let mut lines = String::new();
    let mut left = EXPORT_MAX;
    for (shard, Head { sequence, .. }) in app.audit.heads().await? {
        let from = sequence.saturating_sub(left.saturating_sub(1)).max(1);
        left = left.saturating_sub(sequence);
        for (_, entry) in app.audit.range(shard, from, sequence).await? {
            let Some(entry) = entry else { continue };
            if let Ok(content) = entry.content() {
                lines.push_str(&entry_view(&content, &entry).to_string());
                lines.push('\n');
            }
        }
    }
    let mut response = Response::new(Body::from(lines));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

/// Reads all chains and checks them against themselves and their anchors, and against one kept elsewhere.
#[utoipa::path(get, path = "/admin/v1/audit/verify", tag = "audit",
    params(("anchor" = Option<String>, Query, description = "Heads kept elsewhere: SHARD:SEQUENCE:HASH, separated by commas")),
    responses((status = 200, body = Verification), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn check(
    State(app): State<Arc<App>>,
    acting: Acting,
    RawQuery(query): RawQuery,
) -> Result<Response, AdminError> {
    let params = params(query.as_deref(), &["anchor"])?;
    let kept: Vec<Anchor> = params.get("anchor").map(parse_anchor).transpose()?.into_iter().collect();
    let chains = app.audit.chains().await?;
    let kept_since = app.clock.now().minus(acting.policy.policy.administration.audit_retention());
    let report = verify(&chains, &kept, kept_since);
    let problems: Vec<FindingView> = report
        .problems
        .iter()
        .map(|problem| {
            let (problem, shard, sequence) = match problem {
                Finding::Removed { shard, sequence } => ("removed", *shard, *sequence),
                Finding::Altered { shard, sequence } => ("altered", *shard, *sequence),
                Finding::CutOff { shard, sequence } => ("cut_off", *shard, *sequence),
            };
            FindingView { problem, shard, sequence }
        })
        .collect();
    let heads = chains
        .iter()
        .filter(|chain| chain.head.sequence > 0)
        .map(|chain| head_view(chain.shard, chain.head.sequence, chain.head.hash.to_string()))
        .collect();
    let verification = Verification {
        intact: problems.is_empty(),
        entries: report.entries,
        anchors: report.anchors,
        problems,
        heads,
    };
    Ok(json(StatusCode::OK, &verification))
}

fn head_view(shard: u8, sequence: u64, hash: String) -> HeadView {
    HeadView { shard, sequence, hash }
}

fn parse_anchor(text: &str) -> Result<Anchor, AdminError> {
    let refused = || AdminError::Malformed("anchor is SHARD:SEQUENCE:HASH, separated by commas".to_owned());
    text.split(',')
        .map(|head| {
            let mut parts = head.splitn(3, ':');
            let shard = parts.next().and_then(|text| text.parse().ok()).ok_or_else(refused)?;
            let sequence = parts.next().and_then(|text| text.parse().ok()).ok_or_else(refused)?;
            let hash = parts.next().and_then(shared::audit::ChainHash::parse).ok_or_else(refused)?;
            Ok((shard, (sequence, hash)))
        })
        .collect()
}

/// Writes down where all chains end, in one of them, and answers with it.
#[utoipa::path(post, path = "/admin/v1/audit/anchors", tag = "audit",
    responses((status = 200, description = "The heads", body = Vec<HeadView>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn anchor(State(app): State<Arc<App>>, changing: Changing) -> Result<Response, AdminError> {
    changing.acting.must_be(Role::Operator)?;
    let event = changing.event(app.clock.now(), Kind::Anchored, "audit");
    let retention = changing.acting.policy.policy.administration.audit_retention();
    let heads: Vec<HeadView> = app
        .audit
        .anchor(event, retention)
        .await?
        .into_iter()
        .filter(|(_, (sequence, _))| *sequence > 0)
        .map(|(shard, (sequence, hash))| head_view(shard, sequence, hash.to_string()))
        .collect();
    tracing::info!(anchor = serde_json::to_string(&heads).unwrap_or_default(), "audit anchored");
    Ok(json(StatusCode::OK, &heads))
}

/// What is behind the reference on a person's page: which checks the request went through, and which one
/// refused it.
#[utoipa::path(get, path = "/admin/v1/references/{reference}", tag = "audit",
    params(("reference" = String, Path, description = "As the page shows it")),
    responses((status = 200, description = "The entry", body = Value), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn explain(
    State(app): State<Arc<App>>,
    _acting: Acting,
    Path(reference): Path<String>,
) -> Result<Response, AdminError> {
    let reference = reference.trim().to_uppercase();
    let missing = || AdminError::NotFound { kind: "reference", id: reference.clone(), near: Vec::new() };
    if !is_reference(&reference) {
        return Err(missing());
    }
    let entry = app.audit.explained(&reference, app.clock.now()).await?.ok_or_else(missing)?;
    let content = entry.content().map_err(|_| missing())?;
    Ok(json(StatusCode::OK, &entry_view(&content, &entry)))
}
