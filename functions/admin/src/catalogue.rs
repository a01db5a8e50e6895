//! All tools, read once in a while: what listings search and sort, and where near matches come from.
//!
//! Tools are few by design, however many installations there are; so a listing reads the table, and a
//! copy of some seconds serves the pages after the first one.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use shared::aws::{StoreError, ToolStore};
use shared::clock::{Clock, Timestamp};
use shared::grant::Grant;
use shared::tool::{Census, MERGES_MAX, Merged, Status, Tool, ToolId, check_standing};

use crate::App;

/// How old a listing may be.
const STALENESS: Duration = Duration::from_secs(5);

/// Items of one scan.
const SCAN_PAGE: i32 = 1000;

/// Tools that are listed: more than any organisation has, and a bound on memory.
const TOOLS_MAX: usize = 50_000;

/// Ids that are offered in place of one that does not exist.
const NEAR_MAX: usize = 3;

/// A likeness below this is no help.
const NEAR_LEAST: f64 = 0.8;

/// The tools as last read.
#[derive(Debug, Default)]
pub struct Catalogue(RwLock<Option<(Timestamp, Arc<Vec<Tool>>)>>);

impl Catalogue {
    /// All tools that are not forgotten, at most some seconds old.
    pub(crate) async fn tools(
        &self,
        store: &ToolStore,
        clock: &dyn Clock,
    ) -> Result<Arc<Vec<Tool>>, StoreError> {
        let now = clock.now();
        if let Some((read_at, tools)) = self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref()
            && now.since(*read_at) < STALENESS
            && *read_at <= now
        {
            return Ok(Arc::clone(tools));
        }
        let (mut tools, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = store.page(after.as_ref(), SCAN_PAGE).await?;
            tools.extend(page);
            after = next;
            if after.is_none() || tools.len() >= TOOLS_MAX {
                break;
            }
        }
        let tools = Arc::new(tools);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&tools)));
        Ok(tools)
    }

    /// The next listing reads anew.
    pub(crate) fn forget(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// `tool` and those that have become part of it, with the epochs in which their grants go on.
fn together(tools: &[Tool], tool: &Tool) -> Vec<(ToolId, u32)> {
    let mut found = vec![(tool.id.clone(), tool.epoch)];
    for _ in 0..MERGES_MAX {
        let is_part = |other: &&Tool| {
            let merged = other.merged.as_ref();
            let here = |merged: &Merged| found.contains(&(merged.into.clone(), merged.epoch));
            merged.is_some_and(here) && !found.iter().any(|(id, _)| *id == other.id)
        };
        let more: Vec<(ToolId, u32)> =
            tools.iter().filter(is_part).map(|other| (other.id.clone(), other.epoch)).collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found
}

/// The people and live grants of `tool`, counted now.
pub(crate) async fn census(app: &App, tool: &Tool) -> Result<Census, StoreError> {
    let tools = app.catalogue.tools(&app.tools, app.clock.as_ref()).await?;
    app.tools.count(&together(&tools, tool), app.clock.now()).await
}

/// Whether `grant` is honoured by its tool as it stands.
pub(crate) fn is_honoured(tools: &[Tool], grant: &Grant) -> bool {
    let mut records = Vec::new();
    let mut next = Some(grant.tool.clone());
    while let Some(id) = next.take().filter(|_| records.len() <= MERGES_MAX) {
        let Some(tool) = tools.iter().find(|tool| tool.id == id) else { break };
        next = tool.merged.as_ref().map(|merged| merged.into.clone());
        records.push(tool.clone());
    }
    check_standing(&grant.tool, grant.tool_epoch, &records, &[Status::Enabled]).is_ok()
}

/// Ids of tools that look like `wanted`, or whose name does; the likeliest first.
pub(crate) fn near(tools: &[Tool], wanted: &str) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let likeness = |text: &str| strsim::jaro_winkler(&text.to_lowercase(), &wanted);
    let mut found: Vec<(f64, &str)> = tools
        .iter()
        .map(|tool| {
            let id = tool.id.as_str();
            let host = id.split('~').next().unwrap_or(id);
            let by_name = tool.name.as_deref().map_or(0.0, likeness);
            (likeness(id).max(likeness(host)).max(by_name), id)
        })
        .filter(|(likeness, _)| *likeness >= NEAR_LEAST)
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    found.into_iter().take(NEAR_MAX).map(|(_, id)| id.to_owned()).collect()
}

/// Client identifiers that look like `wanted`, of the tools whose id or name does.
pub(crate) async fn near_client_ids(app: &App, wanted: &str) -> Result<Vec<String>, StoreError> {
    let tools = app.catalogue.tools(&app.tools, app.clock.as_ref()).await?;
    let host = wanted.strip_prefix("https://").and_then(|rest| rest.split(['/', ':', '?']).next());
    let mut found = Vec::new();
    for id in near(&tools, host.unwrap_or(wanted)) {
        let Some(id) = ToolId::parse(&id) else { continue };
        for registration in app.registrations.of_tool(&id).await? {
            let client_id = registration.client_id.as_str().to_owned();
            found.push((strsim::jaro_winkler(&client_id, wanted), client_id));
        }
    }
    found.retain(|(likeness, _)| *likeness >= NEAR_LEAST);
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Ok(found.into_iter().take(NEAR_MAX).map(|(_, client_id)| client_id).collect())
}
