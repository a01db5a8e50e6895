//! Patterns that stand for hosts (GOV-04).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fetch::host::{self, HostError};

/// A host, or `*.` and a host: every host below it, at any depth, but not the host itself.
///
/// Compared label by label in lower case, never by substring: `*.example.com` covers `a.example.com` and
/// `a.b.example.com`, and neither `example.com` nor `evilexample.com`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    below: bool,
    host: String,
}

/// Why a text is no host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// A `*` anywhere but in front of the first dot.
    #[error("a host pattern has its * in front, as in *.example.com, and nowhere else")]
    Star,
    /// What is left is no host.
    #[error("not a host pattern: {0}")]
    Host(#[from] HostError),
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`HostPatternError`] for anything but a lower-case DNS name, with or without `*.` in front.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        let (below, host) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if host.contains('*') {
            return Err(HostPatternError::Star);
        }
        match host::check_name(host) {
            // Special-use names are for development; a suffix of one label is refused where it matters.
            Ok(()) | Err(HostError::SpecialUse) => {}
            Err(HostError::SingleLabel) if below => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self { below, host: host.to_owned() })
    }

    /// Whether `host` is one of those that the pattern stands for.
    pub fn matches(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        if !self.below {
            return host == self.host;
        }
        host.strip_suffix(self.host.as_str())
            .and_then(|labels| labels.strip_suffix('.'))
            .is_some_and(|labels| !labels.is_empty())
    }

    /// Whether the hosts it stands for belong to many owners, as those below `*.co.uk` or `*.github.io` do.
    pub fn spans_owners(&self) -> bool {
        self.below && is_public_suffix(&self.host)
    }

    /// A host that the pattern stands for and that no narrower pattern is likely to name: if an earlier
    /// pattern covers this one as a whole, it covers this host, and the other way round.
    pub(super) fn witness(&self) -> String {
        if self.below { format!("{UNNAMED_LABEL}.{}", self.host) } else { self.host.clone() }
    }
}

/// A label that [`HostPattern::parse`] cannot produce, so that no exact pattern names it.
pub(super) const UNNAMED_LABEL: &str = "_";

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.below {
            f.write_str("*.")?;
        }
        f.write_str(&self.host)
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostPatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

/// Whether names directly below `host` belong to different owners, by the public suffix list: a top-level
/// domain, `co.uk`, or shared hosting such as `github.io`.
fn is_public_suffix(host: &str) -> bool {
    psl::suffix_str(host).is_some_and(|suffix| suffix == host)
}

/// A registrable domain: what one owner registered directly below a public suffix, and all below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistrableDomain(String);

/// Not a registrable domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrableDomainError {
    /// No DNS name.
    #[error("not a domain: {0}")]
    Host(#[from] HostError),
    /// More or less than one owner's domain.
    #[error("not a registrable domain: it is a public suffix, or a name below a registrable domain")]
    NotRegistrable,
}

impl RegistrableDomain {
    /// Whether `host` lies in this domain.
    pub fn contains(&self, host: &str) -> bool {
        psl::domain_str(&host.to_ascii_lowercase()).is_some_and(|domain| domain == self.0)
    }
}

impl TryFrom<String> for RegistrableDomain {
    type Error = RegistrableDomainError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match host::check_name(&text) {
            Ok(()) | Err(HostError::SpecialUse) => {}
            Err(error) => return Err(error.into()),
        }
        if psl::domain_str(&text) != Some(text.as_str()) {
            return Err(RegistrableDomainError::NotRegistrable);
        }
        Ok(Self(text))
    }
}

impl From<RegistrableDomain> for String {
    fn from(domain: RegistrableDomain) -> Self {
        domain.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, host: &str) -> bool {
        HostPattern::parse(pattern).unwrap().matches(host)
    }

    /// GOV-04: label by label, never by substring.
    #[test]
    fn a_pattern_stands_for_whole_labels() {
        for (pattern, host) in [
            ("example.com", "example.com"),
            ("example.com", "EXAMPLE.com"),
            ("*.example.com", "a.example.com"),
            ("*.example.com", "a.b.example.com"),
            ("*.example.com", "A.Example.COM"),
        ] {
            assert!(matches(pattern, host), "{pattern} {host}");
        }
        for (pattern, host) in [
            ("example.com", "a.example.com"),
            ("example.com", "example.com.evil.test"),
            ("example.com", "example.com."),
            ("*.example.com", "example.com"),
            ("*.example.com", ".example.com"),
            ("*.example.com", "evilexample.com"),
            ("*.example.com", "a.example.com.evil.test"),
            ("*.example.com", ""),
        ] {
            assert!(!matches(pattern, host), "{pattern} {host}");
        }
    }

    #[test]
    fn a_text_that_is_no_pattern_is_refused() {
        for text in ["a*.example.com", "a.*.example.com", "**.example.com", "*example.com", "*", "*.*"] {
            assert_eq!(HostPattern::parse(text), Err(HostPatternError::Star), "{text}");
        }
        for text in
            ["", "*.", "Example.com", "example.com.", "https://example.com", "10.0.0.1", "a_b.example"]
        {
            assert!(matches!(HostPattern::parse(text), Err(HostPatternError::Host(_))), "{text}");
        }
    }

    /// GOV-04: shared hosting is not one trust unit.
    #[test]
    fn patterns_that_span_owners_are_known() {
        for text in ["*.com", "*.co.uk", "*.github.io", "*.s3.amazonaws.com", "*.example"] {
            assert!(HostPattern::parse(text).unwrap().spans_owners(), "{text}");
        }
        for text in ["*.example.com", "*.tools.example", "github.io", "*.someone.github.io"] {
            assert!(!HostPattern::parse(text).unwrap().spans_owners(), "{text}");
        }
    }

    /// GOV-15: a registrable domain is one owner's, whole.
    #[test]
    fn a_registrable_domain_contains_what_its_owner_has() {
        let domain = |text: &str| RegistrableDomain::try_from(text.to_owned());
        let owned = domain("example.co.uk").unwrap();
        assert!(owned.contains("example.co.uk") && owned.contains("a.b.Example.co.uk"));
        assert!(!owned.contains("other.co.uk") && !owned.contains("notexample.co.uk"));
        assert!(!domain("github.io").is_ok_and(|domain| domain.contains("someone.github.io")));
        for text in ["co.uk", "a.example.co.uk", "github.io", "com", "*.example.com", ""] {
            assert!(domain(text).is_err(), "{text}");
        }
    }
}
