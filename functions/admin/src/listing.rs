//! Listing tools: search, filters, order, and pages that a cursor continues.

use std::cmp::Ordering;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::http::json;
use shared::oauth::Params;
use shared::seal::Purpose;
use shared::tool::Tool;
use utoipa::ToSchema;

use crate::App;
use crate::caller::Acting;
use crate::problem::AdminError;
use crate::view::ToolView;

/// Entries of one page (AD078).
pub(crate) const PAGE_MAX: usize = 200;

/// Entries of a page that names no size.
const PAGE_DEFAULT: usize = 50;

/// One page of tools.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ToolPage {
    /// The tools.
    tools: Vec<ToolView>,
    /// How many match in all.
    total: usize,
    /// Continues the listing, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// What is asked for.
#[derive(Debug, Default)]
struct Query {
    text: Option<String>,
    status: Option<String>,
    mechanism: Option<String>,
    profile: Option<String>,
    host: Option<String>,
    used_since: Option<u64>,
    unused_since: Option<u64>,
    governed: Option<bool>,
    sort: Sort,
    descending: bool,
    limit: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sort {
    #[default]
    Name,
    Id,
    Status,
    LastUsed,
    Introduced,
    Users,
}

/// Where the page before ended; sealed, so that nobody can make one up (AD078).
#[derive(Serialize, Deserialize)]
struct Place {
    query: String,
    offset_id: String,
}

/// The page size that `limit` asks for.
pub(crate) fn limit(params: &Params) -> Result<usize, AdminError> {
    let Some(text) = params.get("limit") else { return Ok(PAGE_DEFAULT) };
    text.parse()
        .ok()
        .filter(|limit| (1..=PAGE_MAX).contains(limit))
        .ok_or_else(|| AdminError::Malformed(format!("limit is a number from 1 to {PAGE_MAX}")))
}

/// A number of a query.
pub(crate) fn number(params: &Params, name: &str) -> Result<Option<u64>, AdminError> {
    params
        .get(name)
        .map(|text| text.parse().map_err(|_| AdminError::Malformed(format!("{name} is a number of seconds"))))
        .transpose()
}

/// Reads a query string, whose parameters must be among `known` and stand once.
pub(crate) fn params(query: Option<&str>, known: &[&str]) -> Result<Params, AdminError> {
    let malformed = |error: &dyn std::fmt::Display| AdminError::Malformed(error.to_string());
    let query = query.unwrap_or_default();
    let params = Params::parse(query).map_err(|error| malformed(&error))?;
    params.refuse_repeated().map_err(|error| malformed(&error))?;
    let unknown = query
        .split('&')
        .filter_map(|pair| pair.split('=').next())
        .find(|name| !name.is_empty() && !known.contains(name));
    match unknown {
        Some(name) => {
            Err(AdminError::Malformed(format!("unknown parameter {name}; there are {}", known.join(", "))))
        }
        None => Ok(params),
    }
}

impl Query {
    fn read(params: &Params) -> Result<Self, AdminError> {
        let text = |name: &str| params.get(name).map(str::to_lowercase);
        let sort = match params.get("sort") {
            None | Some("name") => Sort::Name,
            Some("id") => Sort::Id,
            Some("status") => Sort::Status,
            Some("last_used") => Sort::LastUsed,
            Some("introduced") => Sort::Introduced,
            Some("users") => Sort::Users,
            Some(_) => {
                return Err(AdminError::Malformed(
                    "sort is one of name, id, status, last_used, introduced, users".to_owned(),
                ));
            }
        };
        let flag = |name: &str| match params.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(AdminError::Malformed(format!("{name} is true or false"))),
        };
        Ok(Self {
            text: text("q"),
            status: text("status"),
            mechanism: text("mechanism"),
            profile: text("profile"),
            host: text("host"),
            used_since: number(params, "used_since")?,
            unused_since: number(params, "unused_since")?,
            governed: flag("governed")?,
            sort,
            descending: flag("descending")?.unwrap_or(false),
            limit: limit(params)?,
        })
    }

    fn matches(&self, tool: &Tool) -> bool {
        let same =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let name = tool.name.as_deref().unwrap_or_default().to_lowercase();
        let host = tool.id.as_str().split_once('~').map_or("", |(host, _)| host);
        let used = tool.last_used_at.map(Timestamp::epoch_seconds);
        self.text.as_deref().is_none_or(|text| name.contains(text) || tool.id.as_str().contains(text))
            && same(&self.status, tool.status.as_str())
            && same(&self.mechanism, tool.introduced.mechanism.as_str())
            && same(&self.profile, tool.profile.as_deref().unwrap_or_default())
            && same(&self.host, host)
            && self.used_since.is_none_or(|since| used.is_some_and(|used| used >= since))
            && self.unused_since.is_none_or(|since| used.is_none_or(|used| used < since))
            && self.governed.is_none_or(|governed| tool.is_governed() == governed)
    }

    fn compare(&self, a: &Tool, b: &Tool) -> Ordering {
        let name = |tool: &Tool| tool.name.as_deref().unwrap_or(tool.id.as_str()).to_lowercase();
        let users = |tool: &Tool| tool.census.map_or(0, |census| census.users);
        let order = match self.sort {
            Sort::Name => name(a).cmp(&name(b)),
            Sort::Id => Ordering::Equal,
            Sort::Status => a.status.as_str().cmp(b.status.as_str()),
            Sort::LastUsed => a.last_used_at.cmp(&b.last_used_at),
            Sort::Introduced => a.introduced.at.cmp(&b.introduced.at),
            Sort::Users => users(a).cmp(&users(b)),
        };
        let order = order.then_with(|| a.id.cmp(&b.id));
        if self.descending { order.reverse() } else { order }
    }
}

/// All tools, a page at a time.
#[utoipa::path(get, path = "/admin/v1/tools", tag = "tools",
    params(
        ("q" = Option<String>, Query, description = "Part of a name or id"),
        ("status" = Option<String>, Query, description = "pending, enabled, disabled, or withdrawn"),
        ("mechanism" = Option<String>, Query, description = "How it came in: pre_registered, metadata_document, or dynamic"),
        ("profile" = Option<String>, Query, description = "A profile set by hand"),
        ("host" = Option<String>, Query, description = "The host of its metadata document"),
        ("used_since" = Option<u64>, Query, description = "Used at this time or later"),
        ("unused_since" = Option<u64>, Query, description = "Not used since this time"),
        ("governed" = Option<bool>, Query, description = "Whether an administrator has decided about it"),
        ("sort" = Option<String>, Query, description = "name, id, status, last_used, introduced, or users"),
        ("descending" = Option<bool>, Query, description = "Turns the order round"),
        ("limit" = Option<u64>, Query, description = "Tools per page, 200 at most"),
        ("cursor" = Option<String>, Query, description = "Continues a listing"),
    ),
    responses((status = 200, body = ToolPage), (status = "4XX", body = crate::problem::Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    _acting: Acting,
    RawQuery(query): RawQuery,
) -> Result<Response, AdminError> {
    const KNOWN: [&str; 12] = [
        "q",
        "status",
        "mechanism",
        "profile",
        "host",
        "used_since",
        "unused_since",
        "governed",
        "sort",
        "descending",
        "limit",
        "cursor",
    ];
    let params = params(query.as_deref(), &KNOWN)?;
    let asked = Query::read(&params)?;
    let tools = app.catalogue.tools(&app.tools, app.clock.as_ref()).await?;
    let mut found: Vec<&Tool> = tools.iter().filter(|tool| asked.matches(tool)).collect();
    found.sort_by(|a, b| asked.compare(a, b));
    let total = found.len();
    let named = format!("{asked:?}");
    let start = match params.get("cursor") {
        None => 0,
        Some(cursor) => {
            let place: Place = open_cursor(&app, cursor)?;
            if place.query != named {
                return Err(AdminError::Malformed("the cursor belongs to another query".to_owned()));
            }
            // Where the last tool of the page before is now; if it is gone, the order has changed.
            found
                .iter()
                .position(|tool| tool.id.as_str() == place.offset_id)
                .map(|at| at + 1)
                .ok_or_else(|| AdminError::Malformed("the listing has changed: begin anew".to_owned()))?
        }
    };
    let page: Vec<ToolView> =
        found.iter().skip(start).take(asked.limit).map(|tool| ToolView::from(*tool)).collect();
    let more = start + page.len() < total;
    let cursor = match page.last().filter(|_| more) {
        Some(last) => Some(seal_cursor(&app, &Place { query: named, offset_id: last.id.clone() })?),
        None => None,
    };
    Ok(json(StatusCode::OK, &ToolPage { tools: page, total, cursor }))
}

/// Seals where a listing goes on.
pub(crate) fn seal_cursor(app: &App, place: &impl Serialize) -> Result<String, AdminError> {
    let plain = serde_json::to_vec(place).unwrap_or_default();
    Ok(app.keys.current().seal.seal(Purpose::Cursor, &plain, app.random.as_ref())?)
}

/// Opens what [`seal_cursor`] made.
pub(crate) fn open_cursor<T: serde::de::DeserializeOwned>(app: &App, cursor: &str) -> Result<T, AdminError> {
    let refused =
        || AdminError::Malformed("the cursor is not one of ours, or too old: begin anew".to_owned());
    let plain = app.keys.current().seal.open(Purpose::Cursor, cursor).map_err(|_| refused())?;
    serde_json::from_slice(&plain).map_err(|_| refused())
}
