//! Who signed the request, and what they may do.

use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use lambda_http::request::RequestContext;
use shared::audit::Actor;
use shared::aws::PolicyInForce;
use shared::http::BODY_BYTES_MAX;
use shared::policy::Role;

use crate::App;
use crate::problem::AdminError;

/// A caller whose signature was verified: an ARN. Only a [`CallerVerifier`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The ARN.
    pub arn: String,
}

/// The request is not signed as it must be. The text is for the log; callers learn no more than that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the caller is not verified: {0}")]
pub struct CallerError(pub String);

/// A verifier's answer.
pub type Verifying<'a> = Pin<Box<dyn Future<Output = Result<Caller, CallerError>> + Send + 'a>>;

/// Finds out who signed a request: the gateway's word on Lambda, a signature check in `local`.
pub trait CallerVerifier: Send + Sync {
    /// Verifies the request with these parts and this body, as received.
    fn verify<'a>(&'a self, parts: &'a Parts, body: &'a [u8]) -> Verifying<'a>;
}

/// Behind API Gateway with its IAM authorizer, which has checked the signature (AWS SigV4): the caller
/// stands in the request context, which no client can write. Without it nobody is let in, whatever the
/// headers say (AD058, AD059).
#[derive(Clone, Copy, Debug, Default)]
pub struct GatewayCaller;

impl CallerVerifier for GatewayCaller {
    fn verify<'a>(&'a self, parts: &'a Parts, _: &'a [u8]) -> Verifying<'a> {
        let arn = match parts.extensions.get::<RequestContext>() {
            Some(RequestContext::ApiGatewayV2(context)) => context
                .authorizer
                .as_ref()
                .and_then(|authorizer| authorizer.iam.as_ref())
                .and_then(|iam| iam.user_arn.clone())
                .filter(|arn| arn.starts_with("arn:")),
            _ => None,
        };
        let caller = arn
            .map(|arn| Caller { arn })
            .ok_or_else(|| CallerError("no IAM identity in the request context".to_owned()));
        Box::pin(std::future::ready(caller))
    }
}

/// What a handler knows about who asks: extracted from the request, so none can forget to ask.
#[derive(Clone, Debug)]
pub(crate) struct Acting {
    pub(crate) arn: String,
    pub(crate) role: Role,
    pub(crate) policy: Arc<PolicyInForce>,
}

impl Acting {
    /// Refuses whoever has a lesser role.
    pub(crate) fn must_be(&self, role: Role) -> Result<(), AdminError> {
        if self.role >= role { Ok(()) } else { Err(AdminError::Role { needed: role, arn: self.arn.clone() }) }
    }

    pub(crate) fn actor(&self) -> Actor {
        Actor::Administrator(self.arn.clone())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Acting {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or(AdminError::Caller(CallerError("not asked".to_owned())))
    }
}

/// Stands before every route: verifies the caller, then looks for a role, and refuses without one.
pub(crate) async fn verify(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match admit(&app, request).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn admit(app: &App, request: Request) -> Result<Request, AdminError> {
    let (mut parts, body) = request.into_parts();
    let body = http_body_util::Limited::new(body, BODY_BYTES_MAX)
        .collect()
        .await
        .map_err(|_| AdminError::BodyTooLong)?
        .to_bytes();
    let Caller { arn } = app.callers.verify(&parts, &body).await.map_err(AdminError::Caller)?;
    let policy = app.policies.current(app.clock.as_ref()).await?;
    let founder = app.founders.iter().any(|pattern| pattern.matches(&arn));
    let listed = policy.policy.administration.role(&arn);
    let role = if founder { Some(Role::Owner) } else { listed };
    let role = role.ok_or_else(|| AdminError::Role { needed: Role::Viewer, arn: arn.clone() })?;
    parts.extensions.insert(Acting { arn, role, policy });
    Ok(Request::from_parts(parts, Body::from(body)))
}
