//! Refusals of the token endpoint (OAuth 2.1 §3.2.4): a registered code and a fixed description.

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use shared::aws::{KeyStoreError, StoreError};
use shared::cimd::keys::NoKeys;
use shared::grant::CredentialError;
use shared::http::json;
use shared::http::log::Note;
use shared::jose::SignError;
use shared::oauth::TokenErrorCode as Code;
use shared::oauth::params::{ParamsError, Repeated};
use shared::oauth::pkce::PkceError;
use shared::random::RandomError;
use shared::seal::SealError;
use shared::tool::NotHonoured;

use crate::client_auth::{AssertionError, ClientError, TooMany};
use crate::dpop::DpopError;
use crate::jws::JwsError;

/// Why no token was issued. What a thief could learn from differs in the log only.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the body is not application/x-www-form-urlencoded")]
    MediaType,
    #[error(transparent)]
    Params(#[from] ParamsError),
    #[error(transparent)]
    Repeated(#[from] Repeated),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("the grant type is not supported")]
    UnsupportedGrantType,
    #[error("the code_verifier is malformed")]
    VerifierMalformed(#[source] PkceError),
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error("the grant is gone")]
    GrantGone,
    #[error("the client's registration is gone")]
    ClientGone,
    #[error("the client identifier or one of its hosts is blocked")]
    Blocked,
    #[error("policy demands a stronger authentication method of this kind of client")]
    MethodNotAllowed,
    #[error(transparent)]
    NotHonoured(#[from] NotHonoured),
    #[error("nothing is left of the scope")]
    ScopeGone,
    #[error("the grant belongs to another client")]
    OtherClient,
    #[error("the redirect_uri is not that of the authorization request")]
    OtherRedirectUri,
    #[error("the code_verifier does not match")]
    VerifierMismatch,
    #[error("the code has expired")]
    CodeExpired,
    #[error("the code was redeemed before; the grant is revoked")]
    CodeReplayed,
    #[error("somebody else redeemed the code at this moment")]
    CodeRaced,
    #[error("the grant was revoked")]
    Revoked,
    #[error("the refresh token has expired")]
    RefreshExpired,
    #[error("a refresh token was used again; the grant is revoked")]
    RefreshReplayed,
    #[error("the refresh token was rotated moments ago and its retry is used")]
    RefreshRaced,
    #[error("the refresh token is of a generation that was never issued")]
    RefreshFromTheFuture,
    #[error("the grant has no refresh token")]
    NotRefreshable,
    #[error("the scope is malformed")]
    ScopeMalformed,
    #[error("the scope is wider than what was granted")]
    ScopeWider,
    #[error("the resource is not the granted one")]
    OtherResource,
    #[error("the resource is not served any more")]
    ResourceGone,
    #[error("a pushed request refers to another request")]
    PushedReference,
    #[error("the pushed request is too long")]
    PushedTooLong,
    #[error("the redirect_uri of the pushed request is not one of the client's")]
    PushedRedirectUri,
    #[error("whoever asks is no resource of ours, or did not prove it")]
    CallerUnknown,
    #[error("too many failed authentications from this source; {} s to go", .0.0.as_secs())]
    TooMany(TooMany),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the client's keys are out of reach: {0}")]
    ClientKeysUnavailable(String),
    #[error(transparent)]
    Dpop(#[from] DpopError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("this process has no keys: {0}")]
    Keys(#[from] KeyStoreError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl From<TooMany> for TokenError {
    fn from(too_many: TooMany) -> Self {
        Self::TooMany(too_many)
    }
}

impl From<AssertionError> for TokenError {
    fn from(error: AssertionError) -> Self {
        Self::Client(error.into())
    }
}

impl From<JwsError> for TokenError {
    fn from(error: JwsError) -> Self {
        AssertionError::from(error).into()
    }
}

impl From<NoKeys> for TokenError {
    fn from(error: NoKeys) -> Self {
        match error {
            NoKeys::Store(error) => Self::Store(error),
            NoKeys::Random(error) => Self::Random(error),
            NoKeys::Unavailable(reason) => Self::ClientKeysUnavailable(reason),
            NoKeys::None | NoKeys::Unusable(_) => Self::Client(ClientError::Keys(error)),
        }
    }
}

#[derive(Serialize)]
struct Body {
    error: &'static str,
    error_description: &'static str,
}

impl TokenError {
    /// What came of the request, for the log and for counting: finer than the wire where an operator wants to
    /// know and a thief must not.
    fn outcome(&self, code: Code) -> &'static str {
        match self {
            Self::CodeReplayed => "code_replayed",
            Self::RefreshReplayed => "refresh_replayed",
            Self::NotHonoured(_) => "tool_not_honoured",
            Self::Blocked => "client_blocked",
            Self::Revoked => "grant_revoked",
            _ => code.as_str(),
        }
    }

    fn wire(&self) -> (Code, &'static str) {
        match self {
            Self::MediaType => (Code::InvalidRequest, "the body must be form-encoded"),
            Self::Params(_) => (Code::InvalidRequest, "the parameters cannot be read"),
            Self::Repeated(_) => (Code::InvalidRequest, "a parameter is given more than once"),
            Self::Missing(name) => (Code::InvalidRequest, missing(name)),
            Self::UnsupportedGrantType => (Code::UnsupportedGrantType, "the grant type is not supported"),
            Self::VerifierMalformed(_) => (Code::InvalidGrant, "the code_verifier is malformed"),
            Self::MethodNotAllowed => {
                (Code::UnauthorizedClient, "the client must authenticate in another way here")
            }
            Self::ClientGone => (Code::InvalidClient, "the client is not registered any more"),
            Self::ScopeGone => (Code::InvalidScope, "nothing is left of what was granted"),
            Self::Credential(_)
            | Self::NotHonoured(_)
            | Self::Blocked
            | Self::GrantGone
            | Self::OtherClient
            | Self::CodeExpired
            | Self::CodeReplayed
            | Self::CodeRaced
            | Self::Revoked
            | Self::RefreshExpired
            | Self::RefreshReplayed
            | Self::RefreshRaced
            | Self::RefreshFromTheFuture
            | Self::NotRefreshable => {
                (Code::InvalidGrant, "the code or refresh token is unknown, expired, used, or revoked")
            }
            Self::OtherRedirectUri => {
                (Code::InvalidGrant, "the redirect_uri is not that of the authorization request")
            }
            Self::VerifierMismatch => (Code::InvalidGrant, "the code_verifier does not match"),
            Self::ScopeMalformed => (Code::InvalidScope, "the scope is malformed"),
            Self::ScopeWider => (Code::InvalidScope, "the scope is wider than what was granted"),
            Self::OtherResource => (Code::InvalidTarget, "the resource is not the granted one"),
            Self::ResourceGone => (Code::InvalidTarget, "the resource is not served any more"),
            Self::PushedReference => (Code::InvalidRequest, "a pushed request cannot refer to another one"),
            Self::PushedTooLong => (Code::InvalidRequest, "the pushed request is too long"),
            Self::PushedRedirectUri => (Code::InvalidRequest, "redirect_uri is not one of the client's"),
            Self::CallerUnknown => (Code::InvalidClient, "only registered resources may ask"),
            Self::TooMany(_) => (Code::TemporarilyUnavailable, "too many failed attempts; wait a minute"),
            Self::Client(error) => client_wire(error),
            Self::Dpop(DpopError::OtherKey) => {
                (Code::InvalidGrant, "the code or refresh token is bound to another DPoP key")
            }
            Self::Dpop(DpopError::Missing) => (Code::InvalidDpopProof, "a DPoP proof is required"),
            Self::Dpop(_) => (Code::InvalidDpopProof, "the DPoP proof is not acceptable"),
            Self::ClientKeysUnavailable(_) => {
                (Code::TemporarilyUnavailable, "the client's keys are out of reach; nothing was used up")
            }
            Self::Store(_) | Self::Keys(_) | Self::Sign(_) | Self::Seal(_) | Self::Random(_) => {
                (Code::TemporarilyUnavailable, "try again in a moment; nothing was used up")
            }
        }
    }

    pub(crate) fn into_response(self) -> Response {
        let (code, error_description) = self.wire();
        let status = match code {
            Code::TemporarilyUnavailable if matches!(self, Self::TooMany(_)) => StatusCode::TOO_MANY_REQUESTS,
            Code::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Code::InvalidClient => StatusCode::UNAUTHORIZED,
            Code::InvalidRequest
            | Code::InvalidGrant
            | Code::InvalidDpopProof
            | Code::UnauthorizedClient
            | Code::UnsupportedGrantType
            | Code::InvalidScope
            | Code::InvalidTarget => StatusCode::BAD_REQUEST,
        };
        let mut response = json(status, &Body { error: code.as_str(), error_description });
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6749 §5.2: names the scheme that the client may have used. Browsers that call us by
            // script show no dialog for it, and pages of ours never lead here.
            let challenge = HeaderValue::from_static("Basic realm=\"nameplate\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if let Self::TooMany(TooMany(wait)) = &self {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        Note::new(self.outcome(code)).because(&self).on(response)
    }
}

fn client_wire(error: &ClientError) -> (Code, &'static str) {
    match error {
        ClientError::SeveralMethods => {
            (Code::InvalidRequest, "use one way to authenticate the client, not several")
        }
        ClientError::InUri => (Code::InvalidRequest, "client credentials must not stand in the request URI"),
        ClientError::AssertionIncomplete => {
            (Code::InvalidRequest, "client_assertion and client_assertion_type must come together")
        }
        ClientError::AssertionType => (Code::InvalidClient, "the client_assertion_type is not supported"),
        ClientError::Authorization => (Code::InvalidClient, "the Authorization header is not Basic"),
        ClientError::Contradiction => (Code::InvalidClient, "client_id is not the client that authenticates"),
        ClientError::Method(_) => {
            (Code::InvalidClient, "the client must authenticate with a method that it declared")
        }
        // What exactly is wrong is the log's: whoever guesses must not learn how close they are.
        ClientError::Secret | ClientError::Assertion(_) | ClientError::Keys(_) => {
            (Code::InvalidClient, "client authentication failed")
        }
    }
}

fn missing(name: &str) -> &'static str {
    match name {
        "grant_type" => "grant_type is missing",
        "code" => "code is missing",
        "client_id" => "client_id is missing",
        "code_verifier" => "code_verifier is missing",
        "refresh_token" => "refresh_token is missing",
        "token" => "token is missing",
        "redirect_uri" => "redirect_uri is missing",
        "code_challenge" => "code_challenge is missing",
        _ => "a parameter is missing",
    }
}
