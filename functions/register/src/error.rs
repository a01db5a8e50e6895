//! Refusals of the registration endpoint (RFC 7591 §3.2.2): a registered code and a fixed description.

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use shared::aws::StoreError;
use shared::cimd::json::JsonError;
use shared::client::members::MemberError;
use shared::client::redirect::RedirectUriError;
use shared::http::json;
use shared::http::log::Note;
use shared::oauth::scope::ScopeError;
use shared::policy::Block;
use shared::seal::SealError;

const INVALID_REDIRECT_URI: &str = "invalid_redirect_uri";
const INVALID_CLIENT_METADATA: &str = "invalid_client_metadata";
const ACCESS_DENIED: &str = "access_denied";

/// Why nothing was registered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegisterError {
    #[error("dynamic registration is turned off")]
    Off,
    #[error("there is no initial access token")]
    TokenMissing,
    #[error("the initial access token is not known")]
    TokenWrong,
    #[error("the body is not application/json")]
    MediaType,
    #[error("the body is too large")]
    TooLarge,
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error(transparent)]
    Member(#[from] MemberError),
    #[error(transparent)]
    RedirectUri(#[from] RedirectUriError),
    #[error("all redirect URIs have private-use schemes")]
    PrivateUseScheme,
    #[error("the profile honours none of the redirect URIs")]
    RedirectKind,
    #[error("the authentication method is not offered to such clients")]
    AuthMethod,
    #[error("the authorization code grant is not among what was asked for")]
    NoCode,
    #[error(transparent)]
    Scope(#[from] ScopeError),
    #[error(transparent)]
    Blocked(Block),
    #[error("the tool is disabled or withdrawn")]
    ToolStatus,
    #[error("there were too many new registrations in this hour")]
    TooMany { seconds: u64 },
    #[error("the metadata has no digest")]
    Digest,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Seal(#[from] SealError),
}

#[derive(Serialize)]
struct Body {
    error: &'static str,
    error_description: &'static str,
}

impl RegisterError {
    fn wire(&self) -> (StatusCode, &'static str, &'static str) {
        let metadata = |words| (StatusCode::BAD_REQUEST, INVALID_CLIENT_METADATA, words);
        let redirect_uri = |words| (StatusCode::BAD_REQUEST, INVALID_REDIRECT_URI, words);
        let denied = |words| (StatusCode::FORBIDDEN, ACCESS_DENIED, words);
        match self {
            Self::Off => denied(
                "clients cannot register themselves here; use a client that publishes a client ID metadata document, \
                 or ask your administrator to register this one",
            ),
            Self::TokenMissing | Self::TokenWrong => (
                StatusCode::UNAUTHORIZED,
                "invalid_token",
                "registration needs an initial access token; ask your administrator for one",
            ),
            Self::MediaType => metadata("the body must be application/json"),
            Self::TooLarge => metadata("the body is too large"),
            Self::Json(_) => metadata("the body is not one well-formed JSON object"),
            Self::Member(MemberError::RedirectUrisMissing) => {
                redirect_uri("redirect_uris is missing or empty")
            }
            Self::Member(MemberError::TooManyRedirectUris) => {
                redirect_uri("there are too many redirect_uris")
            }
            Self::Member(MemberError::WrongType("redirect_uris")) => {
                redirect_uri("redirect_uris must be a list of strings")
            }
            Self::Member(MemberError::WrongType(_)) => metadata("a member has the wrong JSON type"),
            Self::Member(MemberError::ClientName) => {
                metadata("client_name is empty, too long, or holds control characters")
            }
            Self::Member(MemberError::PrivateKey) => metadata("the metadata holds private key material"),
            Self::Member(MemberError::KeysTwice) => metadata("jwks and jwks_uri exclude each other"),
            Self::Member(MemberError::Jwks(_)) => metadata("jwks is malformed"),
            Self::Member(MemberError::JwksUri) => metadata("jwks_uri must be an https URL"),
            Self::Member(MemberError::ResponseTypes) => {
                metadata("grant_types and response_types contradict each other")
            }
            Self::RedirectUri(_) => redirect_uri(
                "a redirect URI must be https, or http on 127.0.0.1, [::1], or localhost, with a path and no fragment",
            ),
            Self::PrivateUseScheme => redirect_uri(
                "private-use schemes are for clients that an administrator registered; use a loopback redirect URI",
            ),
            Self::RedirectKind => redirect_uri("redirect URIs of this kind are not allowed by policy"),
            Self::AuthMethod => metadata(
                "token_endpoint_auth_method must be none, client_secret_basic, or client_secret_post, as far as policy allows",
            ),
            Self::NoCode => metadata("grant_types must include authorization_code, and response_types code"),
            Self::Scope(_) => metadata("the scope is malformed"),
            Self::Blocked(_) => denied("an administrator has blocked this client"),
            Self::ToolStatus => denied("an administrator has disabled this client"),
            Self::TooMany { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "temporarily_unavailable",
                "too many new clients have registered; try again later",
            ),
            Self::Digest | Self::Store(_) | Self::Seal(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "try again in a moment")
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> &'static str {
        self.wire().1
    }

    pub(crate) fn into_response(self) -> Response {
        let (status, error, error_description) = self.wire();
        let mut response = json(status, &Body { error, error_description });
        let headers = response.headers_mut();
        if let Self::TooMany { seconds } = &self {
            headers.insert(RETRY_AFTER, HeaderValue::from(*seconds));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if matches!(self, Self::TokenMissing) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self, Self::TokenWrong) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
        }
        Note::new(error).because(&self).on(response)
    }
}
