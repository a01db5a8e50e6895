//! The description of this API, made from the code that serves it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use shared::http::json;
use utoipa::{OpenApi, ToSchema};

use crate::caller::Acting;
use crate::problem::{AdminError, Problem};
use crate::{
    App, audit, documents, forecast, grants, keys, listing, policy, registrations, report, rotation, tools,
};

/// Who asks, and what they may do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Whoami {
    /// The ARN.
    arn: String,
    /// `viewer`, `operator`, or `owner`.
    role: &'static str,
    /// The issuer that is administered.
    issuer: String,
}

/// Who asks, and what they may do.
#[utoipa::path(get, path = "/admin/v1/whoami", tag = "report",
    responses((status = 200, body = Whoami), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn whoami(State(app): State<Arc<App>>, acting: Acting) -> Result<Response, AdminError> {
    let whoami =
        Whoami { arn: acting.arn, role: acting.role.as_str(), issuer: app.issuer.as_str().to_owned() };
    Ok(json(StatusCode::OK, &whoami))
}

/// This document.
#[utoipa::path(get, path = "/admin/v1/openapi.json", tag = "report",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn serve(_acting: Acting) -> Response {
    json(StatusCode::OK, &Description::openapi())
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nameplate administration",
        description = "Tools, registrations, grants, policy, keys, and the audit trail. Every request is signed with AWS Signature Version 4 for the service execute-api. Times are seconds since the Unix epoch.",
        license(name = "Apache-2.0"),
    ),
    paths(
        audit::query,
        audit::anchor,
        audit::export,
        audit::check,
        audit::explain,
        documents::list,
        documents::history,
        documents::diff,
        documents::refresh,
        documents::approve,
        documents::pin,
        documents::unpin,
        grants::list,
        grants::revoke,
        keys::list,
        keys::rotate,
        serve,
        whoami,
        policy::show,
        policy::replace,
        policy::history,
        policy::earlier,
        policy::roll_back,
        policy::validate,
        forecast::dry_run,
        policy::resources,
        registrations::show,
        registrations::add,
        registrations::remove,
        registrations::rotate_secret,
        report::adoption,
        listing::list,
        tools::show,
        tools::edit,
        tools::delete,
        tools::approve,
        tools::deny,
        tools::disable,
        tools::enable,
        tools::map,
        tools::merge,
        tools::revoke,
        rotation::rotate,
    )
)]
struct Description;

/// The document as `docs/openapi.json` holds it.
///
/// # Errors
/// If it cannot be written, which no version of this code causes.
pub fn document() -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(&Description::openapi())?;
    text.push('\n');
    Ok(text)
}
