//! The authorization request (OAuth 2.1 §4.1.1), read in a fixed order once errors may redirect.

use shared::client::metadata::{AuthMethod, ClientMetadata, GrantType};
use shared::oauth::pkce::PkceError;
use shared::oauth::scope::OFFLINE_ACCESS;
use shared::oauth::{AuthorizationErrorCode, CodeChallenge, Scope};
use shared::policy::{Policy, Resource};
use shared::tool::Ceiling;

use crate::flow::Flow;

/// Parameters that mean something here; all others are ignored (AUT-02).
pub(crate) const KNOWN_PARAMS: [&str; 13] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "state",
    "scope",
    "resource",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "dpop_jkt",
    "request",
    "request_uri",
];

/// Why a request is refused at the client's redirect URI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("a parameter is given more than once: {0}")]
    Repeated(String),
    #[error("request objects are not supported")]
    RequestObject,
    #[error("response_type is missing")]
    ResponseTypeMissing,
    #[error("response_type must be code")]
    ResponseType,
    #[error("response_mode must be query")]
    ResponseMode,
    #[error("the client's metadata does not list the authorization_code grant")]
    GrantType,
    #[error("no authentication method of the client's metadata is supported")]
    AuthMethod,
    #[error(transparent)]
    Pkce(#[from] PkceError),
    #[error("more than one resource")]
    SeveralResources,
    #[error("the resource is unknown")]
    Resource,
    #[error("resource is missing and there is no single default")]
    ResourceMissing,
    #[error("the scope is malformed")]
    ScopeMalformed,
    #[error("none of the scopes is known to the resource")]
    ScopeUnknown,
    #[error("the tool may not be used for this resource")]
    ResourceCeiling,
    #[error("the tool may have none of these scopes")]
    ScopeCeiling,
    #[error("dpop_jkt is not a SHA-256 thumbprint")]
    DpopKey,
    #[error("nobody can be asked, because prompt is none")]
    ConsentRequired,
}

impl RequestError {
    /// The registered code and a fixed description (AUT-25).
    pub(crate) fn wire(&self) -> (AuthorizationErrorCode, &'static str) {
        use AuthorizationErrorCode as Code;
        match self {
            Self::Repeated(_) => (Code::InvalidRequest, "a parameter is given more than once"),
            Self::RequestObject => (
                Code::InvalidRequest,
                "request objects are not supported, and request_uri only for pushed requests",
            ),
            Self::ResponseTypeMissing => (Code::InvalidRequest, "response_type is missing"),
            Self::ResponseType => (Code::UnsupportedResponseType, "response_type must be code"),
            Self::ResponseMode => (Code::InvalidRequest, "response_mode must be query"),
            Self::GrantType => {
                (Code::UnauthorizedClient, "the client may not use the authorization_code grant")
            }
            Self::AuthMethod => {
                (UNSUPPORTED_AUTH_METHOD, "no authentication method of the client is supported")
            }
            Self::Pkce(PkceError::ChallengeMissing) => (Code::InvalidRequest, "code_challenge is missing"),
            Self::Pkce(PkceError::Method) => (Code::InvalidRequest, "code_challenge_method must be S256"),
            Self::Pkce(PkceError::Challenge | PkceError::Verifier) => {
                (Code::InvalidRequest, "code_challenge is not an S256 challenge")
            }
            Self::SeveralResources => (Code::InvalidTarget, "only one resource at a time"),
            Self::Resource => (Code::InvalidTarget, "the resource is unknown to this authorization server"),
            Self::ResourceMissing => (Code::InvalidTarget, "resource is missing"),
            Self::ScopeMalformed => (Code::InvalidScope, "the scope is malformed"),
            Self::ScopeUnknown => (Code::InvalidScope, "the resource knows none of these scopes"),
            Self::ResourceCeiling => {
                (Code::InvalidTarget, "the client may not be used for this resource here")
            }
            Self::ScopeCeiling => (Code::InvalidScope, "the client may have none of these scopes here"),
            Self::DpopKey => (Code::InvalidRequest, "dpop_jkt is not a thumbprint"),
            Self::ConsentRequired => (Code::ConsentRequired, "the person must be asked"),
        }
    }
}

/// AUT-31: the editors of the draft were undecided about this code, so it stands in one place.
const UNSUPPORTED_AUTH_METHOD: AuthorizationErrorCode = AuthorizationErrorCode::UnauthorizedClient;

/// A request of which every part was understood.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationRequest {
    pub(crate) challenge: CodeChallenge,
    pub(crate) resource: Resource,
    /// What the client asks for, narrowed to what the resource defines.
    pub(crate) scope: Scope,
    /// Whether a refresh token will be issued (REF-07).
    pub(crate) refreshable: bool,
    /// The DPoP key that the code is bound to (RFC 9449 §10).
    pub(crate) dpop_jkt: Option<String>,
}

impl AuthorizationRequest {
    /// Reads what is left of a request once its redirect URI is proved, in the order of SPEC 2.6.
    pub(crate) fn read(
        flow: &Flow,
        client: &ClientMetadata,
        policy: &Policy,
        ceilings: &[&Ceiling],
        methods: &[AuthMethod],
    ) -> Result<Self, RequestError> {
        if let Some(name) = flow.repeated() {
            return Err(RequestError::Repeated(name.to_owned()));
        }
        if flow.all("request").chain(flow.all("request_uri")).next().is_some() {
            return Err(RequestError::RequestObject);
        }
        match flow.get("response_type") {
            None => return Err(RequestError::ResponseTypeMissing),
            Some("code") => {}
            Some(_) => return Err(RequestError::ResponseType),
        }
        if flow.get("response_mode").is_some_and(|mode| mode != "query") {
            return Err(RequestError::ResponseMode);
        }
        client.auth_methods.usable(methods).map_err(|_| RequestError::AuthMethod)?;
        let challenge = CodeChallenge::parse(flow.get("code_challenge"), flow.get("code_challenge_method"))?;
        let resource = resource(flow, policy)?.clone();
        if !ceilings.iter().all(|ceiling| ceiling.allows_resource(&resource.resource)) {
            return Err(RequestError::ResourceCeiling);
        }
        let requested = scope(flow, &resource)?;
        let scope = ceilings.iter().fold(requested, |scope, ceiling| ceiling.narrow(&scope));
        if scope.filter(|token| token != OFFLINE_ACCESS).is_empty() {
            return Err(RequestError::ScopeCeiling);
        }
        let refreshable = client.may_use(GrantType::RefreshToken) || scope.contains(OFFLINE_ACCESS);
        let dpop_jkt = flow.get("dpop_jkt").map(str::to_owned);
        if dpop_jkt.as_ref().is_some_and(|jkt| !is_sha256(jkt)) {
            return Err(RequestError::DpopKey);
        }
        Ok(Self { challenge, resource, scope, refreshable, dpop_jkt })
    }
}

/// Whether `text` is a SHA-256 digest in base64url, as every thumbprint is.
fn is_sha256(text: &str) -> bool {
    /// Characters of 32 bytes.
    const CHARS: usize = 43;
    text.len() == CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn resource<'a>(flow: &Flow, policy: &'a Policy) -> Result<&'a Resource, RequestError> {
    let mut requested = flow.all("resource");
    match (requested.next(), requested.next()) {
        (None, _) => policy.default_resource().ok_or(RequestError::ResourceMissing),
        (Some(one), None) => policy.resource(one).ok_or(RequestError::Resource),
        (Some(_), Some(_)) => Err(RequestError::SeveralResources),
    }
}

/// AUT-20, AUT-21: absent means the resource's default; tokens that the resource does not know are
/// dropped, and the token response says what is left.
fn scope(flow: &Flow, resource: &Resource) -> Result<Scope, RequestError> {
    let requested =
        Scope::parse(flow.get("scope").unwrap_or_default()).map_err(|_| RequestError::ScopeMalformed)?;
    let offline = requested.contains(OFFLINE_ACCESS);
    if requested.filter(|token| token != OFFLINE_ACCESS).is_empty() {
        let mut scope = resource.default_scope().to_string();
        if offline {
            scope.push(' ');
            scope.push_str(OFFLINE_ACCESS);
        }
        return Scope::parse(&scope).map_err(|_| RequestError::ScopeMalformed);
    }
    let known = requested.filter(|token| token == OFFLINE_ACCESS || resource.has_scope(token));
    if known.filter(|token| token != OFFLINE_ACCESS).is_empty() {
        return Err(RequestError::ScopeUnknown);
    }
    Ok(known)
}
