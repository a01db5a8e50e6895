//! Resource indicators (RFC 8707): the identifiers of MCP servers.

use std::fmt;

use url::Url;

/// Bytes of a resource identifier.
pub const RESOURCE_BYTES_MAX: usize = 1024;

/// Why a resource identifier was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// Not an absolute URI (RFC 8707 §2).
    #[error("the resource is not an absolute URI")]
    NotAbsolute,
    /// It has a fragment (RFC 8707 §2).
    #[error("the resource has a fragment")]
    Fragment,
    /// It has user information, which no server identifier needs.
    #[error("the resource has user information")]
    UserInfo,
    /// The scheme is not `https`, or `http` on a loopback host where that is allowed.
    #[error("the resource is not an https URL")]
    Scheme,
    /// Longer than [`RESOURCE_BYTES_MAX`].
    #[error("the resource is too long")]
    TooLong,
}

/// A registered resource identifier, spelled as its server states it. It is the `aud` of its tokens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(String);

impl ResourceId {
    /// Reads the identifier of a resource that is to be registered. `http` is accepted for loopback
    /// hosts only, for a server on the developer's own machine.
    ///
    /// # Errors
    /// [`ResourceError`] naming what is wrong.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        let url = parse(text)?;
        let loopback = crate::oauth::issuer::is_loopback_host(url.host_str().unwrap_or_default());
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            _ => return Err(ResourceError::Scheme),
        }
        Ok(Self(text.to_owned()))
    }

    /// The identifier as registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `requested` names this resource: equal as strings, or equal once scheme and host are in
    /// lower case and a root path has lost its slash (AUT-17; RFC 3986 §6.2.2.1, §6.2.3).
    pub fn matches(&self, requested: &str) -> bool {
        self.0 == requested
            || matches!((canonical(&self.0), canonical(requested)), (Ok(ours), Ok(theirs)) if ours == theirs)
    }

    /// Host and, if not the default, port: what a person is shown.
    pub fn host(&self) -> String {
        Url::parse(&self.0).map_or_else(
            |_| self.0.clone(),
            |url| {
                let host = url.host_str().unwrap_or_default().to_owned();
                url.port().map_or(host.clone(), |port| format!("{host}:{port}"))
            },
        )
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn parse(text: &str) -> Result<Url, ResourceError> {
    if text.len() > RESOURCE_BYTES_MAX {
        return Err(ResourceError::TooLong);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(ResourceError::NotAbsolute);
    }
    if text.contains('#') {
        return Err(ResourceError::Fragment);
    }
    let url = Url::parse(text).map_err(|_| ResourceError::NotAbsolute)?;
    if url.host_str().is_none_or(str::is_empty) || !text.contains("://") {
        return Err(ResourceError::NotAbsolute);
    }
    if text
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split(['/', '?']).next().unwrap_or("").contains('@'))
    {
        return Err(ResourceError::UserInfo);
    }
    Ok(url)
}

/// Scheme and authority in lower case, a path of `/` alone dropped, everything else untouched.
fn canonical(text: &str) -> Result<String, ResourceError> {
    parse(text)?;
    let (scheme, rest) = text.split_once("://").ok_or(ResourceError::NotAbsolute)?;
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let path = if path == "/" { "" } else { path };
    Ok(format!("{}://{}{path}", scheme.to_ascii_lowercase(), authority.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AUT-17; vectors Q07, Q08.
    #[test]
    fn case_of_scheme_and_host_and_a_root_slash_do_not_matter() {
        let resource = ResourceId::parse("https://mcp.example/mcp").unwrap();
        assert!(resource.matches("HTTPS://MCP.example/mcp"));
        for other in [
            "https://mcp.example/mcp/",
            "https://mcp.example/MCP",
            "https://mcp.example",
            "https://mcp.example:8443/mcp",
            "https://mcp.example/mcp?x=1",
            "https://mcp.example/mcp#f",
            "https://a@mcp.example/mcp",
            "http://mcp.example/mcp",
            "mcp.example/mcp",
            "",
        ] {
            assert!(!resource.matches(other), "{other}");
        }
        let root = ResourceId::parse("https://mcp2.example").unwrap();
        assert!(root.matches("https://mcp2.example/"));
        assert!(ResourceId::parse("https://mcp2.example/").unwrap().matches("https://mcp2.example"));
        assert_eq!(root.as_str(), "https://mcp2.example");
    }

    #[test]
    fn only_https_or_loopback_http_can_be_registered() {
        assert!(ResourceId::parse("http://127.0.0.1:8000/mcp").is_ok());
        assert!(ResourceId::parse("http://localhost:8000/mcp").is_ok());
        let check = |text: &str, error| assert_eq!(ResourceId::parse(text), Err(error), "{text}");
        check("http://mcp.example/mcp", ResourceError::Scheme);
        check("urn:mcp", ResourceError::NotAbsolute);
        check("/mcp", ResourceError::NotAbsolute);
        check("https://mcp.example/#", ResourceError::Fragment);
        check("https://a:b@mcp.example/", ResourceError::UserInfo);
        check(&format!("https://mcp.example/{}", "a".repeat(1100)), ResourceError::TooLong);
    }

    #[test]
    fn a_person_is_shown_host_and_port() {
        assert_eq!(ResourceId::parse("https://mcp.example/mcp").unwrap().host(), "mcp.example");
        assert_eq!(ResourceId::parse("http://127.0.0.1:8000/mcp").unwrap().host(), "127.0.0.1:8000");
    }
}
