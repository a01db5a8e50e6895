//! Why a policy document is refused.

use std::fmt;

use super::branding::BrandingError;
use super::place::Place;
use crate::fetch::host::HostError;
use crate::oauth::resource::ResourceError;
use crate::oauth::scope::ScopeError;

/// Why a policy was refused, and where. It is refused whole; the one in force stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// What is wrong.
    pub fault: PolicyFault,
    /// Where it is.
    pub place: Place,
    /// On which line of the text, counted from 1, where that could be told.
    pub line: Option<u64>,
}

impl PolicyError {
    /// A text that is no policy document; `reason` is the parser's and names the line.
    pub fn malformed(reason: impl fmt::Display) -> Self {
        Self { fault: PolicyFault::Malformed(reason.to_string()), place: Place::top(), line: None }
    }

    pub(super) fn at(place: Place, fault: PolicyFault) -> Self {
        Self { fault, place, line: None }
    }

    /// The same with the line that `line` finds for the place, unless the parser has named it already.
    #[must_use]
    pub fn with_line(mut self, line: impl FnOnce(&Place) -> Option<u64>) -> Self {
        if self.line.is_none() && !matches!(self.fault, PolicyFault::Malformed(_)) {
            self.line = line(&self.place);
        }
        self
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if self.place != Place::top() {
            write!(f, "{}: ", self.place)?;
        }
        self.fault.fmt(f)
    }
}

impl std::error::Error for PolicyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.fault)
    }
}

/// What is wrong with a policy document. One variant per rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// Not the shape of a policy: unknown member, wrong type, bad pattern.
    #[error("the policy is malformed: {0}")]
    Malformed(String),
    /// More than [`super::POLICY_BYTES_MAX`].
    #[error("the policy is larger than {} bytes", super::POLICY_BYTES_MAX)]
    TooLarge,
    /// A resource identifier is not acceptable.
    #[error("resource {0}: {1}")]
    Resource(String, ResourceError),
    /// The same resource twice, or two that a request could not tell apart.
    #[error("resource {0} is listed twice")]
    ResourceTwice(String),
    /// A digest of an introspection secret that can be none: nothing would ever match it, or the secret itself
    /// stands in its place.
    #[error("must be the SHA-256 digest of the secret, in base64url without padding: 43 characters")]
    SecretDigest,
    /// A scope name is not acceptable.
    #[error("scope {0:?}: {1}")]
    Scope(String, ScopeError),
    /// A default scope that the resource does not define.
    #[error("default scope {0:?} is not among the scopes of the resource")]
    UnknownDefaultScope(String),
    /// A ceiling names a scope that no resource defines.
    #[error("the ceiling names the scope {0:?}, which no resource defines")]
    UnknownScope(String),
    /// The operator's name, mark, colours, or address.
    #[error(transparent)]
    Branding(#[from] BrandingError),
    /// Not a list of hosts that others could be taken for.
    #[error("must be at most {} lower-case host names", super::consent::KNOWN_HOSTS_MAX)]
    KnownHosts,
    /// A number outside its sensible range.
    #[error("must be between {least} and {most}")]
    OutOfRange {
        /// Least value.
        least: u64,
        /// Greatest value.
        most: u64,
    },
    /// `floor_seconds` ≤ `default_seconds` ≤ `ceiling_seconds` does not hold.
    #[error("cache bounds must rise: floor, default, ceiling")]
    CacheBounds,
    /// A pattern that gives many owners what only one should have.
    #[error("{0} covers hosts of different owners, by the public suffix list; name the hosts")]
    SpansOwners(String),
    /// A list without entries where one would never hold.
    #[error("an empty list matches nothing; leave the rule out")]
    EmptyRule,
    /// More than [`super::PROFILES_MAX`].
    #[error("there are more than {} profiles", super::PROFILES_MAX)]
    TooManyProfiles,
    /// More than [`super::PATTERNS_MAX`].
    #[error("there are more than {} patterns for one role", super::PATTERNS_MAX)]
    TooManyPatterns,
    /// Two profiles of one name.
    #[error("the profile {0:?} is listed twice")]
    ProfileTwice(String),
    /// No client can ever get as far as this profile.
    #[error("the profile {name:?} can never match: {earlier} before it covers every such client")]
    Unreachable {
        /// The profile.
        name: String,
        /// Those before it.
        earlier: String,
    },
    /// The shipped fallback was replaced by something narrower.
    #[error(
        "some clients match no profile; end the list with one that has no match, or give {0:?} back its name"
    )]
    NoFallback(String),
    /// The mode `token` without a token.
    #[error("the mode \"token\" needs at least one digest of an initial access token")]
    NoInitialAccessToken,
    /// None, half, or more than one kind of evidence.
    #[error("give exactly one of redirect_hosts, software_id together with redirect_uris, client_id")]
    AdoptionEvidence,
    /// A host that is none.
    #[error("{0:?} is no host: {1}")]
    Host(String, HostError),
}
