//! How far the move from sprawl to tools has come.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use shared::http::json;
use utoipa::ToSchema;

use crate::App;
use crate::caller::Acting;
use crate::problem::{AdminError, Problem};

/// Tools in use are those used within this many seconds: thirty days.
const IN_USE_SECONDS: u64 = 30 * 86_400;

/// Counts of tools.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Adoption {
    /// All tools.
    tools: u64,
    /// Those an administrator has decided about.
    governed: u64,
    /// Those that wait for a decision.
    pending: u64,
    /// Used within thirty days.
    in_use: u64,
    /// By how they came in.
    by_mechanism: BTreeMap<&'static str, u64>,
    /// By status.
    by_status: BTreeMap<&'static str, u64>,
    /// People, added up over tools, as last counted: somebody with two tools counts twice.
    users: u64,
    /// Live grants, as last counted.
    grants: u64,
    /// People by how their tool came in: the share that has left dynamic registration behind.
    users_by_mechanism: BTreeMap<&'static str, u64>,
}

/// How many tools there are, of which kind, and how many people use them.
#[utoipa::path(get, path = "/admin/v1/report", tag = "report",
    responses((status = 200, body = Adoption), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn adoption(State(app): State<Arc<App>>, _acting: Acting) -> Result<Response, AdminError> {
    let tools = app.catalogue.tools(&app.tools, app.clock.as_ref()).await?;
    let now = app.clock.now().epoch_seconds();
    let mut report = Adoption::default();
    for tool in tools.iter().filter(|tool| tool.merged.is_none()) {
        let mechanism = tool.introduced.mechanism.as_str();
        let census = tool.census.unwrap_or_default();
        report.tools += 1;
        report.governed += u64::from(tool.is_governed());
        report.pending += u64::from(tool.status == shared::tool::Status::Pending);
        report.in_use +=
            u64::from(tool.last_used_at.is_some_and(|used| used.epoch_seconds() + IN_USE_SECONDS > now));
        *report.by_mechanism.entry(mechanism).or_default() += 1;
        *report.by_status.entry(tool.status.as_str()).or_default() += 1;
        report.users += census.users;
        report.grants += census.grants;
        *report.users_by_mechanism.entry(mechanism).or_default() += census.users;
    }
    Ok(json(StatusCode::OK, &report))
}
