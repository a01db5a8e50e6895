//! Registered error codes, spelled as on the wire (IANA OAuth Extensions Error registry).

/// Codes that an authorization response may carry (OAuth 2.1 §4.1.2.1; RFC 8707 §2; OpenID Connect
/// Core §3.1.2.6 for `prompt=none`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationErrorCode {
    /// A parameter is missing, malformed, or repeated.
    InvalidRequest,
    /// The client may not use this way of asking.
    UnauthorizedClient,
    /// The person, or the policy on their behalf, said no.
    AccessDenied,
    /// `response_type` is not `code`.
    UnsupportedResponseType,
    /// The scope is malformed or empty after narrowing.
    InvalidScope,
    /// The resource is unknown, malformed, or not allowed.
    InvalidTarget,
    /// We failed.
    ServerError,
    /// We failed for now.
    TemporarilyUnavailable,
    /// `prompt=none`, and nobody is signed in freshly enough.
    LoginRequired,
    /// `prompt=none`, and a person would have to consent.
    ConsentRequired,
}

impl AuthorizationErrorCode {
    /// The registered spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
        }
    }
}

/// Codes that the token, revocation, and introspection endpoints answer with (OAuth 2.1 §3.2.4;
/// RFC 8707 §2; RFC 7009 §2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenErrorCode {
    /// A parameter is missing, malformed, or repeated.
    InvalidRequest,
    /// The client is unknown or did not authenticate.
    InvalidClient,
    /// The code or refresh token is not good (any more, or for this client).
    InvalidGrant,
    /// The client may not use this grant type.
    UnauthorizedClient,
    /// We do not know this grant type.
    UnsupportedGrantType,
    /// The scope is malformed or wider than what was granted.
    InvalidScope,
    /// The resource is outside the grant.
    InvalidTarget,
    /// The DPoP proof is missing where it is required, or not acceptable (RFC 9449 §5).
    InvalidDpopProof,
    /// We failed.
    ServerError,
    /// We failed for now.
    TemporarilyUnavailable,
}

impl TokenErrorCode {
    /// The registered spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}
