//! The issuer identifier (RFC 8414 §2): one string, the same everywhere it is sent.

use std::fmt;

use url::Url;

/// Why an issuer identifier was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// Not an absolute `https` URL (or `http` on a loopback host, for development).
    #[error("the issuer must be an https URL")]
    Scheme,
    /// It has a path, a trailing slash, a query, a fragment, or user information (MET-02).
    #[error("the issuer must be scheme and host only, without a trailing slash")]
    Extra,
    /// It is not spelled as a parser would write it back: upper case, a default port, odd characters.
    #[error("the issuer must be spelled in its normal form")]
    Spelling,
}

/// The issuer identifier, an origin without a trailing slash. Compared as a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    /// Reads an issuer identifier. `http` is accepted on loopback hosts only, where nobody can listen in.
    ///
    /// # Errors
    /// [`IssuerError`] naming what is wrong.
    pub fn parse(text: &str) -> Result<Self, IssuerError> {
        let url = Url::parse(text).map_err(|_| IssuerError::Scheme)?;
        let host = url.host_str().unwrap_or_default();
        match url.scheme() {
            "https" if !host.is_empty() => {}
            "http" if is_loopback_host(host) => {}
            _ => return Err(IssuerError::Scheme),
        }
        if url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || text.contains('@')
            || text.ends_with('/')
        {
            return Err(IssuerError::Extra);
        }
        if url.as_str().strip_suffix('/') != Some(text) {
            return Err(IssuerError::Spelling);
        }
        Ok(Self(text.to_owned()))
    }

    /// The identifier, letter for letter.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The absolute URL of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Whether browsers reach us over TLS, so that cookies can carry the `__Host-` prefix.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Whether the host is this very machine.
    pub fn is_loopback(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| is_loopback_host(url.host_str().unwrap_or_default()))
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `host` (as a URL spells it) can only be this machine: a loopback literal or `localhost`.
pub fn is_loopback_host(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || literal.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MET-02.
    /// AUT-05, MET-02, MET-03: https but on this machine, and without a path that a well-known path would have to go around.
    #[test]
    fn an_issuer_is_an_origin_in_its_normal_form() {
        for good in [
            "https://as.example",
            "https://as.example:8443",
            "http://127.0.0.1:9000",
            "http://localhost:9000",
        ] {
            assert!(Issuer::parse(good).is_ok(), "{good}");
        }
        let check = |text: &str, error| assert_eq!(Issuer::parse(text), Err(error), "{text}");
        check("http://as.example", IssuerError::Scheme);
        check("", IssuerError::Scheme);
        check("as.example", IssuerError::Scheme);
        check("https://as.example/", IssuerError::Extra);
        check("https://as.example/t", IssuerError::Extra);
        check("https://as.example?x", IssuerError::Extra);
        check("https://as.example#", IssuerError::Extra);
        check("https://u@as.example", IssuerError::Extra);
        check("https://AS.example", IssuerError::Spelling);
        check("https://as.example:443", IssuerError::Spelling);
    }
}
