//! Client identifiers: any `client_id`, and those that may name a metadata document.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::fetch::host::{self, DevelopmentHost, HostError};

/// Longest `client_id` in bytes (URL-14): room for every document URL seen in the field, small enough for a
/// key, a log line, and a page.
pub const CLIENT_ID_MAX: usize = 1024;

const SCHEME: &str = "https://";
const DEFAULT_PORT: u16 = 443;

/// Why a string is no client identifier at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientIdError {
    /// Nothing was sent.
    #[error("the client identifier is empty")]
    Empty,
    /// More than [`CLIENT_ID_MAX`] bytes (URL-14).
    #[error("the client identifier is too long")]
    TooLong,
    /// A byte outside printable ASCII (`VSCHAR`, RFC 6749 appendix A.1).
    #[error("the client identifier holds a character outside printable ASCII")]
    Character,
}

/// What the identifiers of clients begin with that registered themselves.
pub const DYNAMIC_PREFIX: &str = "dyn~";

/// An identifier that an administrator cannot give to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a client_id is an https URL, or uses only A-Z a-z 0-9 . _ ~ - and does not begin with {DYNAMIC_PREFIX}"
)]
pub struct NotIssuable;

/// A client identifier (`client_id`, RFC 6749 §2.2), spelled exactly as received.
///
/// Equality is that of the bytes: no case folding, no port elision, no slash or percent normalization
/// (URL-10, URL-11).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(String);

impl ClientId {
    /// Accepts 1 to [`CLIENT_ID_MAX`] bytes of printable ASCII.
    ///
    /// # Errors
    /// [`ClientIdError`] for anything else.
    pub fn parse(received: &str) -> Result<Self, ClientIdError> {
        if received.is_empty() {
            return Err(ClientIdError::Empty);
        }
        if received.len() > CLIENT_ID_MAX {
            return Err(ClientIdError::TooLong);
        }
        if !received.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
            return Err(ClientIdError::Character);
        }
        Ok(Self(received.to_owned()))
    }

    /// Whether the identifier is a URL, which says who the client is by itself.
    pub fn is_url(&self) -> bool {
        self.0.starts_with(SCHEME)
    }

    /// Refuses what an administrator cannot give to a client as its identifier: neither a URL, which its host
    /// gives, nor one that could be confused with a client that registered itself.
    ///
    /// # Errors
    /// [`NotIssuable`].
    pub fn check_issuable(&self) -> Result<(), NotIssuable> {
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        if self.0.starts_with(DYNAMIC_PREFIX) || !self.0.bytes().all(is_unreserved) {
            return Err(NotIssuable);
        }
        Ok(())
    }

    /// The identifier as received.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ClientId {
    type Error = ClientIdError;

    fn try_from(received: String) -> Result<Self, Self::Error> {
        Self::parse(&received)
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> Self {
        id.0
    }
}

/// Which document URLs this server accepts, beyond what the draft demands.
#[derive(Clone, Debug)]
pub struct UrlRules {
    /// Ports a URL may name (URL-09); `443` covers the URL that names none.
    pub ports: Vec<u16>,
    /// Whether a query is accepted (URL-08). An echoing endpoint of a trusted host could otherwise serve
    /// an attacker's document.
    pub query: bool,
    /// Our own issuer and the issuers of identity providers: never a client (SPEC 2.15, mix-up).
    pub forbidden: Vec<String>,
    /// Names that stand outside the host and port rules, on the developer's own machine only.
    pub development: Vec<DevelopmentHost>,
}

impl Default for UrlRules {
    fn default() -> Self {
        Self { ports: vec![DEFAULT_PORT], query: false, forbidden: Vec::new(), development: Vec::new() }
    }
}

impl UrlRules {
    fn is_development(&self, host: &str, port: u16) -> bool {
        self.development.iter().any(|entry| entry.is(host, port))
    }

    /// Compared as a parser reads both, without trailing slashes: here two spellings of one issuer must
    /// both be refused, and no identity is decided.
    fn forbids(&self, url: &Url) -> bool {
        let bare = |url: &str| url.trim_end_matches('/').to_owned();
        self.forbidden.iter().any(|forbidden| {
            let forbidden = Url::parse(forbidden).map_or_else(|_| forbidden.clone(), String::from);
            bare(&forbidden) == bare(url.as_str())
        })
    }
}

/// Why a client identifier does not name a metadata document. One variant per rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientUrlError {
    /// URL-01: the scheme is not `https`.
    #[error("the client identifier is not an https URL")]
    NotHttps,
    /// URL-15: the scheme is spelled with upper-case letters.
    #[error("the scheme is not in lower case")]
    SchemeCase,
    /// URL-12: a character outside RFC 3986, or outside its place there.
    #[error("the URL holds a character that RFC 3986 does not allow there")]
    Character,
    /// URL-12: a `%` without two hexadecimal digits.
    #[error("the URL holds a broken percent-encoding")]
    PercentEncoding,
    /// URL-06: a fragment, even an empty one.
    #[error("the URL has a fragment")]
    Fragment,
    /// URL-07: userinfo, even empty.
    #[error("the URL has userinfo")]
    UserInfo,
    /// URL-12, URL-13, URL-15: the host breaks a rule.
    #[error("{0}")]
    Host(#[from] HostError),
    /// URL-09: the port is empty, zero, too large, or not written as a plain number.
    #[error("the port is malformed")]
    PortSyntax,
    /// URL-09: a port that is not listed.
    #[error("the port is not one we connect to")]
    PortNotListed,
    /// URL-02: no path.
    #[error("the URL has no path")]
    PathMissing,
    /// URL-03: the path is `/` alone.
    #[error("the URL's path is the root")]
    RootPath,
    /// URL-04: a path segment `.` or `..`.
    #[error("the URL's path has a dot segment")]
    DotSegment,
    /// URL-05: a percent-encoded dot segment.
    #[error("the URL's path has a percent-encoded dot segment")]
    EncodedDotSegment,
    /// URL-08: a query, even an empty one.
    #[error("the URL has a query")]
    Query,
    /// A URL parser would write the URL another way than it was sent.
    #[error("the URL is not spelled as a URL parser would write it")]
    Respelled,
    /// SPEC 2.15: our own issuer, or that of an identity provider.
    #[error("the URL is the issuer of an authorization server")]
    Issuer,
}

/// A client identifier that may name a metadata document: proof that it passed URL-01 to URL-15.
///
/// The string is the identity; the parsed copy serves policy and dialling only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetadataUrl {
    id: ClientId,
    url: Url,
}

impl MetadataUrl {
    /// Checks the raw string by our own grammar before a URL library touches it, then demands that the
    /// library agrees byte for byte: it would otherwise quietly repair what the rules refuse.
    ///
    /// # Errors
    /// [`ClientUrlError`], the first rule that the identifier breaks.
    pub fn parse(id: &ClientId, rules: &UrlRules) -> Result<Self, ClientUrlError> {
        let raw = id.as_str();
        let parts = RawUrl::split(raw)?;
        let port = parts.port()?;
        match host::check_public_name(parts.host) {
            Ok(()) => {}
            Err(HostError::SpecialUse) if rules.is_development(parts.host, port.unwrap_or(DEFAULT_PORT)) => {}
            Err(error) => return Err(error.into()),
        }
        let dialled = port.unwrap_or(DEFAULT_PORT);
        if !rules.ports.contains(&dialled) && !rules.is_development(parts.host, dialled) {
            return Err(ClientUrlError::PortNotListed);
        }
        check_path(parts.path)?;
        if parts.query.is_some() && !rules.query {
            return Err(ClientUrlError::Query);
        }

        let url = Url::parse(raw).map_err(|_| ClientUrlError::Respelled)?;
        // The parser drops an explicit default port, which URL-11 makes part of the identity.
        let respelled = match port {
            Some(DEFAULT_PORT) => format!("{SCHEME}{}{}", parts.host, parts.after_authority),
            _ => raw.to_owned(),
        };
        if url.as_str() != respelled {
            return Err(ClientUrlError::Respelled);
        }
        if rules.forbids(&url) {
            return Err(ClientUrlError::Issuer);
        }
        Ok(Self { id: id.clone(), url })
    }

    /// The client identifier as received.
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// The exact string.
    pub fn as_str(&self) -> &str {
        self.id.as_str()
    }

    /// The parsed copy, for dialling.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The host in lower case and A-label form.
    pub fn host(&self) -> &str {
        // A `MetadataUrl` always has a host; an empty string would match no policy rule.
        self.url.host_str().unwrap_or_default()
    }

    /// The port that is dialled.
    pub fn port(&self) -> u16 {
        self.url.port().unwrap_or(DEFAULT_PORT)
    }

    /// The part of the host that one organisation registered, by the public suffix list; the whole host
    /// where the list knows none (a public suffix itself).
    pub fn registrable_domain(&self) -> &str {
        psl::domain_str(self.host()).unwrap_or(self.host())
    }
}

impl fmt::Display for MetadataUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// The raw string cut at its delimiters, every byte checked, nothing decoded.
struct RawUrl<'a> {
    host: &'a str,
    port: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
    after_authority: &'a str,
}

impl<'a> RawUrl<'a> {
    fn split(raw: &'a str) -> Result<Self, ClientUrlError> {
        let Some(rest) = raw.strip_prefix(SCHEME) else {
            let is_https = raw.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME));
            return Err(if is_https { ClientUrlError::SchemeCase } else { ClientUrlError::NotHttps });
        };
        check_characters(rest)?;
        if rest.contains('#') {
            return Err(ClientUrlError::Fragment);
        }
        let (authority, after_authority) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(ClientUrlError::UserInfo);
        }
        let (host, port) = match authority.rsplit_once(':') {
            _ if authority.starts_with('[') => return Err(HostError::AddressLiteral.into()),
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let (path, query) = match after_authority.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (after_authority, None),
        };
        if path.contains(['[', ']']) || query.is_some_and(|query| query.contains(['[', ']'])) {
            return Err(ClientUrlError::Character);
        }
        Ok(Self { host, port, path, query, after_authority })
    }

    fn port(&self) -> Result<Option<u16>, ClientUrlError> {
        let Some(digits) = self.port else { return Ok(None) };
        parse_port(digits).map(Some).ok_or(ClientUrlError::PortSyntax)
    }
}

/// A port written as a plain decimal number from 1 to 65535, without leading zeros.
pub(super) fn parse_port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if plain { digits.parse().ok() } else { None }
}

/// Every byte is one that RFC 3986 knows, every `%` starts a triplet (URL-12).
fn check_characters(text: &str) -> Result<(), ClientUrlError> {
    if !text.bytes().all(is_uri_byte) {
        return Err(ClientUrlError::Character);
    }
    if has_sound_triplets(text) { Ok(()) } else { Err(ClientUrlError::PercentEncoding) }
}

/// Unreserved, reserved, and `%` (RFC 3986 §2).
pub(super) fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

/// Whether every `%` is followed by two hexadecimal digits (RFC 3986 §2.1).
pub(super) fn has_sound_triplets(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|after| after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

fn check_path(path: &str) -> Result<(), ClientUrlError> {
    if path.is_empty() {
        return Err(ClientUrlError::PathMissing);
    }
    if path == "/" {
        return Err(ClientUrlError::RootPath);
    }
    for segment in path.split('/') {
        match dot_segment(segment) {
            None => {}
            Some(Spelling::Plain) => return Err(ClientUrlError::DotSegment),
            Some(Spelling::Encoded) => return Err(ClientUrlError::EncodedDotSegment),
        }
    }
    Ok(())
}

/// How a dot segment is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Plain,
    Encoded,
}

/// Whether `segment` is `.` or `..`, in either spelling (RFC 3986 §3.3, §6.2.2.3).
pub(super) fn dot_segment(segment: &str) -> Option<Spelling> {
    if segment == "." || segment == ".." {
        return Some(Spelling::Plain);
    }
    let decoded = segment.to_ascii_lowercase().replace("%2e", ".");
    (decoded == "." || decoded == "..").then_some(Spelling::Encoded)
}

#[cfg(test)]
mod tests;
