//! Redirect URIs: what may be registered, and when a requested one is the same.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;
use url::form_urlencoded;

use super::id::{dot_segment, has_sound_triplets, is_uri_byte, parse_port};
use crate::fetch::host::{self, HostError};

/// Longest redirect URI in bytes. Browsers and proxies give up on `Location` headers not far above what
/// this plus `code`, `state`, and `iss` amounts to.
pub const REDIRECT_URI_MAX: usize = 2048;

/// Schemes that run code or reach files where they are followed. A document that lists one is hostile or
/// broken as a whole (DOC-22).
const DANGEROUS_SCHEMES: [&str; 12] = [
    "javascript",
    "data",
    "file",
    "vbscript",
    "blob",
    "about",
    "filesystem",
    "view-source",
    "jar",
    "mhtml",
    "chrome",
    "intent",
];

/// Parameters of an authorization response (RFC 6749 §4.1.2, RFC 9207 §2). A registered query must not
/// hold one: the client would receive it twice.
const RESPONSE_PARAMETERS: [&str; 7] =
    ["code", "state", "iss", "error", "error_description", "error_uri", "response"];

/// Why a redirect URI cannot be honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectUriError {
    /// DOC-22: its scheme is dangerous; whatever lists it is refused as a whole.
    #[error("the redirect URI has a dangerous scheme")]
    Dangerous,
    /// DOC-23: it is kept for administrators to see, and never matches.
    #[error("{0}")]
    Unusable(#[from] RedirectUriFault),
}

/// What makes a redirect URI unusable. One variant per rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectUriFault {
    /// More than [`REDIRECT_URI_MAX`] bytes.
    #[error("the redirect URI is too long")]
    TooLong,
    /// DOC-20: no scheme, so not an absolute URI.
    #[error("the redirect URI is not absolute")]
    NotAbsolute,
    /// RED-14: a character outside RFC 3986, or a broken percent-encoding.
    #[error("the redirect URI holds a character that RFC 3986 does not allow")]
    Character,
    /// DOC-20, RED-06: a fragment, even an empty one.
    #[error("the redirect URI has a fragment")]
    Fragment,
    /// RED-13: scheme or host in upper case.
    #[error("the scheme or host of the redirect URI is not in lower case")]
    UpperCase,
    /// RED-14: userinfo, even empty.
    #[error("the redirect URI has userinfo")]
    UserInfo,
    /// The host is neither a DNS name nor an address in its one usual spelling.
    #[error("the redirect URI has no usable host")]
    Host,
    /// RED-14: the port is empty, zero, too large, or not a plain number.
    #[error("the port of the redirect URI is malformed")]
    Port,
    /// DOC-21, RED-04, RED-11: `http` to anything but `127.0.0.1`, `[::1]`, or `localhost`.
    #[error("the redirect URI uses http and is not loopback")]
    HttpNotLoopback,
    /// RED-07: no path, so the URI is not complete.
    #[error("the redirect URI has no path")]
    PathMissing,
    /// A path segment `.` or `..`, plain or percent-encoded: a browser would go elsewhere than what was
    /// compared.
    #[error("the path of the redirect URI has a dot segment")]
    DotSegment,
    /// The query holds a parameter of the authorization response.
    #[error("the query of the redirect URI holds a response parameter")]
    ResponseParameter,
    /// RED-10: a private-use scheme that is not in reverse-domain form.
    #[error("the private-use scheme of the redirect URI is not a reversed domain name")]
    SchemeWithoutDot,
}

/// The three shapes of redirect URI that OAuth 2.1 §8.4 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectKind {
    /// `https`: whoever holds the host's certificate receives the code.
    Https,
    /// `http` on this machine's loopback interface: any local program may receive the code.
    Loopback,
    /// A reverse-domain scheme that an installed program claimed.
    PrivateUse,
}

/// A redirect URI (`redirect_uri`, RFC 6749 §3.1.2) in its exact spelling, registered or requested.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri {
    text: String,
    kind: RedirectKind,
    /// Lower-case host, brackets included; empty for [`RedirectKind::PrivateUse`].
    host: String,
    port: Option<u16>,
    /// Where path and query begin in `text`.
    path_at: usize,
}

impl RedirectUri {
    /// Reads a redirect URI strictly; what is registered and what is requested obey the same rules.
    ///
    /// # Errors
    /// [`RedirectUriError`], the first rule that `received` breaks.
    pub fn parse(received: &str) -> Result<Self, RedirectUriError> {
        if has_dangerous_scheme(received) {
            return Err(RedirectUriError::Dangerous);
        }
        Ok(Self::parse_harmless(received)?)
    }

    fn parse_harmless(received: &str) -> Result<Self, RedirectUriFault> {
        if received.len() > REDIRECT_URI_MAX {
            return Err(RedirectUriFault::TooLong);
        }
        if !received.bytes().all(is_uri_byte) || !has_sound_triplets(received) {
            return Err(RedirectUriFault::Character);
        }
        if received.contains('#') {
            return Err(RedirectUriFault::Fragment);
        }
        let (scheme, rest) = split_scheme(received).ok_or(RedirectUriFault::NotAbsolute)?;
        if scheme.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(RedirectUriFault::UpperCase);
        }
        let kind = match scheme {
            "https" => RedirectKind::Https,
            "http" => RedirectKind::Loopback,
            _ if scheme.contains('.') => RedirectKind::PrivateUse,
            _ => return Err(RedirectUriFault::SchemeWithoutDot),
        };
        let (host, port, path_and_query) = match kind {
            RedirectKind::PrivateUse => (String::new(), None, rest),
            RedirectKind::Https | RedirectKind::Loopback => {
                let rest = rest.strip_prefix("//").ok_or(RedirectUriFault::NotAbsolute)?;
                let (authority, path_and_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                let (host, port) = split_authority(authority)?;
                if kind == RedirectKind::Loopback && !is_loopback(host) {
                    return Err(RedirectUriFault::HttpNotLoopback);
                }
                (host.to_owned(), port, path_and_query)
            }
        };
        check_path_and_query(path_and_query)?;
        // What a browser will make of the string must have the host and port that were compared.
        if kind != RedirectKind::PrivateUse {
            let url = Url::parse(received).map_err(|_| RedirectUriFault::Host)?;
            let default = if kind == RedirectKind::Https { 443 } else { 80 };
            if url.host_str() != Some(host.as_str())
                || url.port_or_known_default() != Some(port.unwrap_or(default))
            {
                return Err(RedirectUriFault::Host);
            }
        }
        let path_at = received.len() - path_and_query.len();
        Ok(Self { text: received.to_owned(), kind, host, port, path_at })
    }

    /// The exact string.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which of the three shapes this is.
    pub fn kind(&self) -> RedirectKind {
        self.kind
    }

    /// Whether a request for `requested` may be sent to this registered URI (RED-01 to RED-05).
    ///
    /// Byte for byte, except that a loopback URI matches with any port, or none: a native program listens
    /// where the system lets it (RFC 8252 §7.3; OAuth 2.1 §8.4.2; BCP 240 §2.1 for `localhost`). One
    /// loopback host never stands for another.
    pub fn matches(&self, requested: &str) -> bool {
        match self.kind {
            RedirectKind::Https | RedirectKind::PrivateUse => self.text == requested,
            RedirectKind::Loopback => Self::parse(requested).is_ok_and(|requested| {
                requested.kind == RedirectKind::Loopback
                    && requested.host == self.host
                    && requested.path_and_query() == self.path_and_query()
            }),
        }
    }

    /// What a person should read when asked where the answer goes (CON-01): the host, or the scheme where
    /// there is none.
    pub fn host_for_display(&self) -> &str {
        match self.kind {
            RedirectKind::Https | RedirectKind::Loopback => &self.host,
            RedirectKind::PrivateUse => self.scheme(),
        }
    }

    /// Scheme and host, with the port of an `https` URI that names one. Without the port for loopback,
    /// where each run of the same program listens on another; the scheme alone for a private-use URI.
    pub fn origin(&self) -> String {
        match (self.kind, self.port) {
            (RedirectKind::PrivateUse, _) => format!("{}:", self.scheme()),
            (RedirectKind::Https, Some(port)) if port != 443 => format!("https://{}:{port}", self.host),
            (RedirectKind::Https | RedirectKind::Loopback, _) => format!("{}://{}", self.scheme(), self.host),
        }
    }

    /// The CSP source that covers a redirect to this URI (CSP level 3 §2.3.1), for the `form-action` of a
    /// page whose form may end there: Chrome and Safari apply the directive to every redirect that
    /// answers a form.
    pub fn form_action(&self) -> String {
        match (self.kind, self.port) {
            // CSP's grammar has no IPv6 literals; a source that names one matches nothing.
            (RedirectKind::Loopback, _) if self.host.starts_with('[') => "http:".to_owned(),
            (RedirectKind::Loopback, Some(port)) => format!("http://{}:{port}", self.host),
            (RedirectKind::Loopback, None) | (RedirectKind::Https | RedirectKind::PrivateUse, _) => {
                self.origin()
            }
        }
    }

    /// The URI with `pairs` appended to its query; a registered query is kept (RED-06).
    pub fn with_query<'a>(&self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
        let appended = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let separator = match self.text.split_once('?') {
            _ if appended.is_empty() => "",
            None => "?",
            Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
            Some(_) => "&",
        };
        format!("{}{separator}{appended}", self.text)
    }

    /// The same URI as it is registered: a loopback one without its port, which is never compared.
    #[must_use]
    pub fn without_loopback_port(&self) -> Self {
        if self.kind != RedirectKind::Loopback {
            return self.clone();
        }
        let text = format!("http://{}{}", self.host, self.path_and_query());
        let path_at = text.len() - self.path_and_query().len();
        Self { text, kind: self.kind, host: self.host.clone(), port: None, path_at }
    }

    fn scheme(&self) -> &str {
        self.text.split(':').next().unwrap_or_default()
    }

    fn path_and_query(&self) -> &str {
        self.text.get(self.path_at..).unwrap_or_default()
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for RedirectUri {
    type Error = RedirectUriError;

    fn try_from(received: String) -> Result<Self, Self::Error> {
        Self::parse(&received)
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.text
    }
}

/// Browsers drop control characters and white space in front of and inside a scheme, so this looks through
/// them before anything else is judged.
fn has_dangerous_scheme(received: &str) -> bool {
    let scheme: String = received
        .chars()
        .filter(|character| !character.is_control() && !character.is_whitespace())
        .take_while(|character| *character != ':')
        .collect();
    let has_colon = received.contains(':');
    has_colon && DANGEROUS_SCHEMES.iter().any(|dangerous| scheme.eq_ignore_ascii_case(dangerous))
}

fn split_scheme(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let sound = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    (sound && !rest.is_empty()).then_some((scheme, rest))
}

/// Host and port of an authority. The port is looked for behind the bracket of an IPv6 literal.
fn split_authority(authority: &str) -> Result<(&str, Option<u16>), RedirectUriFault> {
    if authority.contains('@') {
        return Err(RedirectUriFault::UserInfo);
    }
    let host_end = match authority.find(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, after) = authority.split_at(host_end);
    let port = match after.strip_prefix(':') {
        None if after.is_empty() => None,
        None => return Err(RedirectUriFault::Host),
        Some(digits) => Some(parse_port(digits).ok_or(RedirectUriFault::Port)?),
    };
    match host::check_name(host) {
        // An address literal is compared with the parser's spelling of it, a name of one label is
        // somebody's intranet: neither is looked up by us.
        Ok(()) | Err(HostError::SingleLabel | HostError::SpecialUse | HostError::AddressLiteral) => {
            Ok((host, port))
        }
        Err(HostError::UpperCase) => Err(RedirectUriFault::UpperCase),
        Err(HostError::NotAName | HostError::TrailingDot) => Err(RedirectUriFault::Host),
    }
}

/// RED-04: exactly these three, not the rest of `127/8`, not `foo.localhost`.
fn is_loopback(host: &str) -> bool {
    matches!(host, "127.0.0.1" | "[::1]" | "localhost")
}

fn check_path_and_query(path_and_query: &str) -> Result<(), RedirectUriFault> {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    if path.is_empty() {
        return Err(RedirectUriFault::PathMissing);
    }
    if path_and_query.contains(['[', ']']) {
        return Err(RedirectUriFault::Character);
    }
    if path.split('/').any(|segment| dot_segment(segment).is_some()) {
        return Err(RedirectUriFault::DotSegment);
    }
    let names_response = |(name, _): (std::borrow::Cow<'_, str>, _)| RESPONSE_PARAMETERS.contains(&&*name);
    if form_urlencoded::parse(query.as_bytes()).any(names_response) {
        return Err(RedirectUriFault::ResponseParameter);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
