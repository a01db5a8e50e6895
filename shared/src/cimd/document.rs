//! From the bytes at a client's URL to [`ClientMetadata`] (CIMD §4; SPEC 2.3).

use aws_lc_rs::digest::{self, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::json::{self, JsonError};
use crate::client::id::MetadataUrl;
use crate::client::metadata::{
    ApplicationType, AuthMethod, AuthMethods, ClientKeys, ClientMetadata, ContradictoryAuthMethods,
    GrantType, JwksError, PublicJwks, ResponseType, UnusableRedirectUri, is_private_key,
};
use crate::client::redirect::{RedirectKind, RedirectUri, RedirectUriError};

/// Most redirect URIs in one document (DOC-20): the largest seen in the field lists ten ports on two hosts.
pub const REDIRECT_URIS_MAX: usize = 20;

/// Longest `client_name` in characters (DOC-03): it has to fit on a consent page beside the host.
pub const CLIENT_NAME_MAX: usize = 100;

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

/// SHA-256 of a document's bytes, base64url: which version was trusted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentDigest(String);

impl DocumentDigest {
    /// The digest of `body`.
    pub fn of(body: &[u8]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(digest::digest(&SHA256, body)))
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
        let members = Members(json::parse_object(body)?);
        members.check_identity(url)?;
        members.check_secrets()?;
        let auth_methods = members.auth_methods()?;
        let keys = members.keys()?;
        if auth_methods.contains(AuthMethod::PrivateKeyJwt) && keys.is_none() {
            return Err(DocumentError::KeysMissing);
        }
        let (redirect_uris, unusable_redirect_uris) = members.redirect_uris(rules)?;
        let (grant_types, response_types) = members.grants()?;
        let metadata = ClientMetadata {
            client_name: members.client_name(rules)?,
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

/// The members of the document. What we do not understand is never looked at, except for secrets (DOC-05).
struct Members(Map<String, Value>);

impl Members {
    fn check_identity(&self, url: &MetadataUrl) -> Result<(), DocumentError> {
        let client_id =
            self.0.get("client_id").and_then(Value::as_str).ok_or(DocumentError::ClientIdMissing)?;
        if client_id == url.as_str() { Ok(()) } else { Err(DocumentError::ClientIdMismatch) }
    }

    fn check_secrets(&self) -> Result<(), DocumentError> {
        if self.0.contains_key("client_secret") || self.0.contains_key("client_secret_expires_at") {
            return Err(DocumentError::ClientSecret);
        }
        if is_private_key(&self.0) || self.0.values().any(holds_private_key) {
            return Err(DocumentError::PrivateKey);
        }
        Ok(())
    }

    fn auth_methods(&self) -> Result<AuthMethods, DocumentError> {
        let singular = self.string("token_endpoint_auth_method")?;
        let plural = self.strings("token_endpoint_auth_methods_supported")?;
        let is_shared_secret = |method: &str| method.starts_with("client_secret");
        if singular.is_some_and(is_shared_secret)
            || plural.iter().flatten().any(|method| is_shared_secret(method))
        {
            return Err(DocumentError::SharedSecretMethod);
        }
        // DOC-24: RFC 7591's default is a shared secret, which a document cannot have.
        Ok(AuthMethods::from_declared(singular, plural.as_deref(), AuthMethod::None)?)
    }

    fn keys(&self) -> Result<ClientKeys, DocumentError> {
        match (self.0.get("jwks"), self.string("jwks_uri")?) {
            (None, None) => Ok(ClientKeys::None),
            (Some(_), Some(_)) => Err(DocumentError::KeysTwice),
            (Some(set), None) => Ok(ClientKeys::Inline(PublicJwks::try_from(set.clone())?)),
            (None, Some(uri)) if is_https(uri) => Ok(ClientKeys::Uri(uri.to_owned())),
            (None, Some(_)) => Err(DocumentError::JwksUri),
        }
    }

    fn redirect_uris(
        &self,
        rules: &DocumentRules,
    ) -> Result<(Vec<RedirectUri>, Vec<UnusableRedirectUri>), DocumentError> {
        let listed = self.strings("redirect_uris")?.unwrap_or_default();
        if listed.is_empty() {
            return Err(DocumentError::RedirectUrisMissing);
        }
        if listed.len() > REDIRECT_URIS_MAX {
            return Err(DocumentError::TooManyRedirectUris);
        }
        let (mut usable, mut unusable) = (Vec::new(), Vec::new());
        for text in listed {
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

    fn grants(&self) -> Result<(Vec<GrantType>, Vec<ResponseType>), DocumentError> {
        let grant_names = self.strings("grant_types")?;
        let response_names = self.strings("response_types")?;
        // Only what was stated can contradict: a machine client that lists `client_credentials` alone says
        // nothing about response types (D23).
        if let (Some(grants), Some(responses)) = (&grant_names, &response_names) {
            let has_grant = grants.iter().any(|name| name == GrantType::AuthorizationCode.as_str());
            let has_response = responses.iter().any(|name| name == "code");
            if has_grant != has_response {
                return Err(DocumentError::ResponseTypes);
            }
        }
        let grant_types = match grant_names {
            None => vec![GrantType::AuthorizationCode],
            Some(names) => names.iter().filter_map(|name| GrantType::from_name(name)).collect(),
        };
        let is_code = response_names.is_none_or(|names| names.iter().any(|name| name == "code"));
        Ok((grant_types, if is_code { vec![ResponseType::Code] } else { Vec::new() }))
    }

    fn client_name(&self, rules: &DocumentRules) -> Result<Option<String>, DocumentError> {
        let Some(name) = self.string("client_name")? else {
            return if rules.client_name_required { Err(DocumentError::ClientNameMissing) } else { Ok(None) };
        };
        let name = name.trim();
        if name.is_empty() || name.chars().count() > CLIENT_NAME_MAX || name.chars().any(rearranges_text) {
            return Err(DocumentError::ClientName);
        }
        Ok(Some(name.to_owned()))
    }

    fn application_type(&self) -> Result<Option<ApplicationType>, DocumentError> {
        Ok(match self.string("application_type")? {
            Some("native") => Some(ApplicationType::Native),
            Some("web") => Some(ApplicationType::Web),
            Some(_) | None => None,
        })
    }

    /// DOC-32, DOC-33: a link that is not https is no link.
    fn web_page(&self, name: &'static str) -> Result<Option<String>, DocumentError> {
        Ok(self.string(name)?.filter(|uri| is_https(uri)).map(str::to_owned))
    }

    fn string(&self, name: &'static str) -> Result<Option<&str>, DocumentError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or(DocumentError::WrongType(name))
    }

    fn boolean(&self, name: &'static str) -> Result<Option<bool>, DocumentError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or(DocumentError::WrongType(name))
    }

    fn strings(&self, name: &'static str) -> Result<Option<Vec<String>>, DocumentError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let wrong = DocumentError::WrongType(name);
        let elements = value.as_array().ok_or(wrong)?;
        elements
            .iter()
            .map(|element| element.as_str().map(str::to_owned).ok_or(wrong))
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

/// Looks through every level: a key hidden in an extension member is leaked all the same. The depth is
/// bounded by [`json::JSON_DEPTH_MAX`].
fn holds_private_key(value: &Value) -> bool {
    match value {
        Value::Object(members) => is_private_key(members) || members.values().any(holds_private_key),
        Value::Array(elements) => elements.iter().any(holds_private_key),
        Value::String(text) => text.contains("PRIVATE KEY-----"),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_https(uri: &str) -> bool {
    uri.starts_with("https://")
        && !uri.contains(|character: char| character.is_control() || character.is_whitespace())
        && Url::parse(uri)
            .is_ok_and(|url| url.has_host() && url.username().is_empty() && url.password().is_none())
}

/// Control characters, line and paragraph separators, bidirectional controls, and invisible characters
/// that are no part of any script: they let a name look like another text than it is.
fn rearranges_text(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests;
