//! From the bytes at a client's URL to [`ClientMetadata`] (CIMD §4; SPEC 2.3).

use aws_lc_rs::digest::{self, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json::{self, JsonError};
use crate::client::id::MetadataUrl;
pub use crate::client::members::{CLIENT_NAME_MAX, REDIRECT_URIS_MAX};
use crate::client::members::{MemberError, Members};
use crate::client::metadata::{
    AuthMethod, AuthMethods, ClientMetadata, ContradictoryAuthMethods, JwksError, UnusableRedirectUri,
};
use crate::client::redirect::{RedirectKind, RedirectUri, RedirectUriError};

/// Which documents are accepted, beyond what the draft demands.
#[derive(Clone, Copy, Debug, Default)]
pub struct DocumentRules {
    /// Whether a document without `client_name` is refused (DOC-03). MCP demands the name, but a large
    /// vendor's per-connector documents lack it; without one, pages show the host.
    pub client_name_required: bool,
    /// Whether redirect URIs with a private-use scheme are honoured (RED-09).
    pub private_use_schemes: bool,
}

/// Why a document is not accepted. One variant per rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// DOC-01.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// DOC-02: no `client_id`, or not a string.
    #[error("the document has no client_id")]
    ClientIdMissing,
    /// DOC-02, FET-17: another `client_id` than the URL it was fetched from.
    #[error("the document is for another client_id")]
    ClientIdMismatch,
    /// DOC-03, under the strict rule.
    #[error("the document has no client_name")]
    ClientNameMissing,
    /// DOC-03: empty, too long, or with characters that rearrange what a person reads.
    #[error("the client_name is empty, too long, or holds control characters")]
    ClientName,
    /// DOC-04: no `redirect_uris`, or an empty list.
    #[error("the document has no redirect_uris")]
    RedirectUrisMissing,
    /// DOC-20: more than [`REDIRECT_URIS_MAX`].
    #[error("the document lists too many redirect_uris")]
    TooManyRedirectUris,
    /// DOC-22.
    #[error("the document lists a redirect URI with a dangerous scheme")]
    DangerousRedirectUri,
    /// DOC-07: a member that we understand has another JSON type than its definition.
    #[error("the member {0} has the wrong JSON type")]
    WrongType(&'static str),
    /// DOC-10, DOC-13: a method built on a shared secret. A document is public, so there can be none.
    #[error("the document declares an authentication method with a shared secret")]
    SharedSecretMethod,
    /// DOC-11.
    #[error("the document holds a client secret")]
    ClientSecret,
    /// DOC-12.
    #[error("the document holds private key material")]
    PrivateKey,
    /// DOC-25.
    #[error("{0}")]
    AuthMethods(#[from] ContradictoryAuthMethods),
    /// DOC-27: `private_key_jwt` without keys.
    #[error("the document declares private_key_jwt and publishes no keys")]
    KeysMissing,
    /// DOC-28: both `jwks` and `jwks_uri`.
    #[error("the document has both jwks and jwks_uri")]
    KeysTwice,
    /// RFC 7517 §5.
    #[error("{0}")]
    Jwks(#[from] JwksError),
    /// DOC-29: `jwks_uri` is not an https URL.
    #[error("jwks_uri is not an https URL")]
    JwksUri,
    /// DOC-31: `grant_types` and `response_types` contradict each other.
    #[error("grant_types and response_types contradict each other")]
    ResponseTypes,
}

impl From<MemberError> for DocumentError {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::WrongType(name) => Self::WrongType(name),
            MemberError::ClientName => Self::ClientName,
            MemberError::RedirectUrisMissing => Self::RedirectUrisMissing,
            MemberError::TooManyRedirectUris => Self::TooManyRedirectUris,
            MemberError::PrivateKey => Self::PrivateKey,
            MemberError::KeysTwice => Self::KeysTwice,
            MemberError::Jwks(error) => Self::Jwks(error),
            MemberError::JwksUri => Self::JwksUri,
            MemberError::ResponseTypes => Self::ResponseTypes,
        }
    }
}

/// SHA-256 of a document's bytes, base64url: which version was trusted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentDigest(String);

impl DocumentDigest {
    /// The digest of `body`.
    pub fn of(body: &[u8]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(digest::digest(&SHA256, body)))
    }

    /// Reads the text form; `None` if it cannot be a digest.
    pub fn parse(text: &str) -> Option<Self> {
        Self::is_well_formed(text).then(|| Self(text.to_owned()))
    }

    /// Whether `text` has the form of a digest.
    pub fn is_well_formed(text: &str) -> bool {
        URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
    }

    /// The digest in base64url without padding, 43 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A document that passed every rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetadataDocument {
    /// What it says.
    pub metadata: ClientMetadata,
    /// Which bytes said it.
    pub digest: DocumentDigest,
}

impl MetadataDocument {
    /// Reads the `body` that was fetched from `url`.
    ///
    /// # Errors
    /// [`DocumentError`], the first rule that the document breaks. Such a document must not be cached
    /// (DOC-08).
    pub fn parse(url: &MetadataUrl, body: &[u8], rules: &DocumentRules) -> Result<Self, DocumentError> {
        let members = Members::new(json::parse_object(body)?);
        check_identity(&members, url)?;
        check_secrets(&members)?;
        let auth_methods = auth_methods(&members)?;
        let keys = members.keys()?;
        if auth_methods.contains(AuthMethod::PrivateKeyJwt) && keys.is_none() {
            return Err(DocumentError::KeysMissing);
        }
        let (redirect_uris, unusable_redirect_uris) = redirect_uris(&members, rules)?;
        let (grant_types, response_types) = members.grants()?;
        let metadata = ClientMetadata {
            client_name: client_name(&members, rules)?,
            client_uri: members.web_page("client_uri")?,
            logo_uri: members.web_page("logo_uri")?,
            tos_uri: members.web_page("tos_uri")?,
            policy_uri: members.web_page("policy_uri")?,
            redirect_uris,
            unusable_redirect_uris,
            grant_types,
            response_types,
            auth_methods,
            keys,
            scope: members.string("scope")?.map(str::to_owned),
            application_type: members.application_type()?,
            software_id: members.string("software_id")?.map(str::to_owned),
            software_version: members.string("software_version")?.map(str::to_owned),
            dpop_bound_access_tokens: members.boolean("dpop_bound_access_tokens")?.unwrap_or(false),
        };
        Ok(Self { metadata, digest: DocumentDigest::of(body) })
    }
}

fn check_identity(members: &Members, url: &MetadataUrl) -> Result<(), DocumentError> {
    let client_id = members.get("client_id").and_then(Value::as_str).ok_or(DocumentError::ClientIdMissing)?;
    if client_id == url.as_str() { Ok(()) } else { Err(DocumentError::ClientIdMismatch) }
}

fn check_secrets(members: &Members) -> Result<(), DocumentError> {
    if members.get("client_secret").is_some() || members.get("client_secret_expires_at").is_some() {
        return Err(DocumentError::ClientSecret);
    }
    Ok(members.check_no_private_key()?)
}

fn auth_methods(members: &Members) -> Result<AuthMethods, DocumentError> {
    let singular = members.string("token_endpoint_auth_method")?;
    let plural = members.strings("token_endpoint_auth_methods_supported")?;
    let is_shared_secret = |method: &str| method.starts_with("client_secret");
    if singular.is_some_and(is_shared_secret)
        || plural.iter().flatten().any(|method| is_shared_secret(method))
    {
        return Err(DocumentError::SharedSecretMethod);
    }
    // DOC-24: RFC 7591's default is a shared secret, which a document cannot have.
    Ok(AuthMethods::from_declared(singular, plural.as_deref(), AuthMethod::None)?)
}

fn redirect_uris(
    members: &Members,
    rules: &DocumentRules,
) -> Result<(Vec<RedirectUri>, Vec<UnusableRedirectUri>), DocumentError> {
    let (mut usable, mut unusable) = (Vec::new(), Vec::new());
    for text in members.redirect_uris()? {
        match RedirectUri::parse(&text) {
            Ok(uri) if uri.kind() == RedirectKind::PrivateUse && !rules.private_use_schemes => {
                let reason = "private-use schemes are not accepted from metadata documents".to_owned();
                unusable.push(UnusableRedirectUri { unverified_uri: text, reason });
            }
            Ok(uri) => usable.push(uri),
            Err(RedirectUriError::Dangerous) => return Err(DocumentError::DangerousRedirectUri),
            Err(RedirectUriError::Unusable(fault)) => {
                unusable.push(UnusableRedirectUri { unverified_uri: text, reason: fault.to_string() });
            }
        }
    }
    Ok((usable, unusable))
}

fn client_name(members: &Members, rules: &DocumentRules) -> Result<Option<String>, DocumentError> {
    let name = members.client_name()?;
    if name.is_none() && rules.client_name_required {
        return Err(DocumentError::ClientNameMissing);
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
