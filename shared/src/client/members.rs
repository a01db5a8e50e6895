//! The members of client metadata as JSON (RFC 7591 §2), whether a document or a registration brought them.

use serde_json::{Map, Value};
use url::Url;

use super::metadata::{
    ApplicationType, ClientKeys, GrantType, JwksError, PublicJwks, ResponseType, is_private_key,
};

/// Most redirect URIs of one client (DOC-20): the largest list seen in the field has ten ports on two hosts.
pub const REDIRECT_URIS_MAX: usize = 20;

/// Longest `client_name` in characters (DOC-03): it has to fit on a consent page beside the host.
pub const CLIENT_NAME_MAX: usize = 100;

/// What is wrong with a member. One variant per rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// DOC-07: a member that we understand has another JSON type than its definition.
    #[error("the member {0} has the wrong JSON type")]
    WrongType(&'static str),
    /// DOC-03: empty, too long, or with characters that rearrange what a person reads.
    #[error("the client_name is empty, too long, or holds control characters")]
    ClientName,
    /// DOC-04: no `redirect_uris`, or an empty list.
    #[error("there are no redirect_uris")]
    RedirectUrisMissing,
    /// DOC-20: more than [`REDIRECT_URIS_MAX`].
    #[error("there are too many redirect_uris")]
    TooManyRedirectUris,
    /// DOC-12.
    #[error("there is private key material")]
    PrivateKey,
    /// DOC-28: both `jwks` and `jwks_uri`.
    #[error("there are both jwks and jwks_uri")]
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

/// Client metadata as received. What we do not understand is never looked at, except for keys (DOC-05).
#[derive(Clone, Debug)]
pub struct Members(Map<String, Value>);

impl Members {
    /// Wraps an object that was read strictly.
    pub fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// The member `name`, whatever it is.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Refuses private keys, wherever they hide.
    ///
    /// # Errors
    /// [`MemberError::PrivateKey`].
    pub fn check_no_private_key(&self) -> Result<(), MemberError> {
        if is_private_key(&self.0) || self.0.values().any(holds_private_key) {
            return Err(MemberError::PrivateKey);
        }
        Ok(())
    }

    /// Where the client's keys are.
    ///
    /// # Errors
    /// [`MemberError`].
    pub fn keys(&self) -> Result<ClientKeys, MemberError> {
        match (self.0.get("jwks"), self.string("jwks_uri")?) {
            (None, None) => Ok(ClientKeys::None),
            (Some(_), Some(_)) => Err(MemberError::KeysTwice),
            (Some(set), None) => Ok(ClientKeys::Inline(PublicJwks::try_from(set.clone())?)),
            (None, Some(uri)) if is_https(uri) => Ok(ClientKeys::Uri(uri.to_owned())),
            (None, Some(_)) => Err(MemberError::JwksUri),
        }
    }

    /// The texts of `redirect_uris`, at least one.
    ///
    /// # Errors
    /// [`MemberError`].
    pub fn redirect_uris(&self) -> Result<Vec<String>, MemberError> {
        let listed = self.strings("redirect_uris")?.unwrap_or_default();
        if listed.is_empty() {
            return Err(MemberError::RedirectUrisMissing);
        }
        if listed.len() > REDIRECT_URIS_MAX {
            return Err(MemberError::TooManyRedirectUris);
        }
        Ok(listed)
    }

    /// The grant types and response types that we know.
    ///
    /// # Errors
    /// [`MemberError`].
    pub fn grants(&self) -> Result<(Vec<GrantType>, Vec<ResponseType>), MemberError> {
        let grant_names = self.strings("grant_types")?;
        let response_names = self.strings("response_types")?;
        // Only what was stated can contradict: a machine client that lists `client_credentials` alone says
        // nothing about response types (D23).
        if let (Some(grants), Some(responses)) = (&grant_names, &response_names) {
            let has_grant = grants.iter().any(|name| name == GrantType::AuthorizationCode.as_str());
            let has_response = responses.iter().any(|name| name == "code");
            if has_grant != has_response {
                return Err(MemberError::ResponseTypes);
            }
        }
        let grant_types = match grant_names {
            None => vec![GrantType::AuthorizationCode],
            Some(names) => names.iter().filter_map(|name| GrantType::from_name(name)).collect(),
        };
        let is_code = response_names.is_none_or(|names| names.iter().any(|name| name == "code"));
        Ok((grant_types, if is_code { vec![ResponseType::Code] } else { Vec::new() }))
    }

    /// `client_name`, trimmed.
    ///
    /// # Errors
    /// [`MemberError`] if it is not fit for a page.
    pub fn client_name(&self) -> Result<Option<String>, MemberError> {
        let Some(name) = self.string("client_name")? else { return Ok(None) };
        let name = name.trim();
        if name.is_empty() || name.chars().count() > CLIENT_NAME_MAX || name.chars().any(rearranges_text) {
            return Err(MemberError::ClientName);
        }
        Ok(Some(name.to_owned()))
    }

    /// `application_type`, if it is one that we know.
    ///
    /// # Errors
    /// [`MemberError`].
    pub fn application_type(&self) -> Result<Option<ApplicationType>, MemberError> {
        Ok(match self.string("application_type")? {
            Some("native") => Some(ApplicationType::Native),
            Some("web") => Some(ApplicationType::Web),
            Some(_) | None => None,
        })
    }

    /// DOC-32, DOC-33: a link that is not https is no link.
    ///
    /// # Errors
    /// [`MemberError`].
    pub fn web_page(&self, name: &'static str) -> Result<Option<String>, MemberError> {
        Ok(self.string(name)?.filter(|uri| is_https(uri)).map(str::to_owned))
    }

    /// A string.
    ///
    /// # Errors
    /// [`MemberError::WrongType`].
    pub fn string(&self, name: &'static str) -> Result<Option<&str>, MemberError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or(MemberError::WrongType(name))
    }

    /// A boolean.
    ///
    /// # Errors
    /// [`MemberError::WrongType`].
    pub fn boolean(&self, name: &'static str) -> Result<Option<bool>, MemberError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or(MemberError::WrongType(name))
    }

    /// A list of strings.
    ///
    /// # Errors
    /// [`MemberError::WrongType`].
    pub fn strings(&self, name: &'static str) -> Result<Option<Vec<String>>, MemberError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let wrong = MemberError::WrongType(name);
        let elements = value.as_array().ok_or(wrong)?;
        elements
            .iter()
            .map(|element| element.as_str().map(str::to_owned).ok_or(wrong))
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

/// Looks through every level: a key hidden in an extension member is leaked all the same. The depth is
/// bounded by the strict reader's.
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
