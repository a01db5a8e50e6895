//! The one door out: every request to a stranger's URL (DESIGN invariant 2).

pub mod address;
pub mod dns;
pub mod guard;
pub mod host;
pub mod wire;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::clock::Timestamp;
use address::SpecialUse;
use host::HostError;

/// Most bytes of a metadata document (CIMD §8.7 recommends 5 kB).
pub const DOCUMENT_BYTES_MAX: usize = 5 * 1024;

/// Most bytes of a key set: some twenty RSA keys with their certificate chains.
pub const KEYS_BYTES_MAX: usize = 64 * 1024;

/// Most bytes of a logo before it is decoded.
pub const LOGO_BYTES_MAX: usize = 256 * 1024;

/// What is fetched: decides the byte limit and the media types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FetchKind {
    /// A metadata document.
    Document,
    /// A `jwks_uri`.
    Keys,
    /// A `logo_uri`.
    Logo,
}

impl FetchKind {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Keys => "keys",
            Self::Logo => "logo",
        }
    }

    /// Most bytes of the body.
    pub const fn body_bytes_max(self) -> usize {
        match self {
            Self::Document => DOCUMENT_BYTES_MAX,
            Self::Keys => KEYS_BYTES_MAX,
            Self::Logo => LOGO_BYTES_MAX,
        }
    }

    /// The `Accept` header (FET-08).
    pub const fn accept(self) -> &'static str {
        match self {
            Self::Document | Self::Keys => "application/json",
            Self::Logo => "image/png, image/jpeg, image/gif, image/webp",
        }
    }

    /// Whether a body of this media type (without parameters, lower case) is read at all (FET-05, DOC-42).
    pub fn accepts(self, media_type: &str) -> bool {
        match self {
            Self::Document | Self::Keys => {
                let subtype = media_type.strip_prefix("application/");
                subtype.is_some_and(|subtype| {
                    subtype == "json" || subtype.strip_suffix("+json").is_some_and(|name| !name.is_empty())
                })
            }
            // Raster only: an SVG is a program.
            Self::Logo => matches!(media_type, "image/png" | "image/jpeg" | "image/gif" | "image/webp"),
        }
    }
}

/// One fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// Where from. It is fetched as it is; nothing is followed (FET-03, FET-17).
    pub url: Url,
    /// What is expected there.
    pub kind: FetchKind,
}

/// What came back: status 200, an accepted media type, no coding, within the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The whole body.
    pub body: Bytes,
    /// The media type without parameters, in lower case.
    pub media_type: String,
    /// The headers that decide about reuse.
    pub cache: CacheHeaders,
    /// The address that answered. For the log, never for a page (FET-20).
    pub address: IpAddr,
    /// When the fetch began, name look-up included.
    pub requested_at: Timestamp,
    /// When the last byte had arrived.
    pub received_at: Timestamp,
}

/// The headers of an answer that decide about reuse (RFC 9111 §5), as received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheHeaders {
    /// Every `Cache-Control` line.
    pub cache_control: Vec<String>,
    /// Every `Expires` line; more than one contradicts itself.
    pub expires: Vec<String>,
    /// `Date`.
    pub date: Option<String>,
    /// `Age`.
    pub age: Option<String>,
}

/// What a failure says about the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// It may pass by itself: nobody answered, or the host is unwell or turned us away.
    Transient,
    /// The same fetch will fail again until somebody changes something.
    Deterministic,
    /// The host says that there is nothing (any more): the publisher's way to withdraw.
    Gone,
}

impl FailureKind {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Deterministic => "deterministic",
            Self::Gone => "gone",
        }
    }
}

/// Why nothing was fetched. One variant per refusal; the text names neither URL nor body (FET-20).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The URL is not https, or has userinfo or a fragment.
    #[error("the URL is not a plain https URL")]
    Url,
    /// The host is one we do not look up.
    #[error("{0}")]
    Host(#[from] HostError),
    /// The port is not one we connect to.
    #[error("the port is not one we connect to")]
    PortNotListed,
    /// The name could not be looked up.
    #[error("the name could not be resolved")]
    Resolve,
    /// The name has no address.
    #[error("the name has no address")]
    NoAddress,
    /// The name has more addresses than anybody needs.
    #[error("the name has too many addresses")]
    TooManyAddresses,
    /// FET-10, FET-13: one of the addresses is not public, so none is used.
    #[error("{0}")]
    SpecialUse(#[from] SpecialUse),
    /// Nobody listened.
    #[error("no connection could be made")]
    Connect,
    /// FET-09: the certificate is not valid for the host.
    #[error("the certificate is not valid for the host")]
    Certificate,
    /// The TLS handshake failed for another reason.
    #[error("the TLS handshake failed")]
    Tls,
    /// The connection goes to an address that was not checked, or cannot be told.
    #[error("the peer is not an address that was checked")]
    Peer,
    /// The connection broke, or did not speak HTTP.
    #[error("the answer was broken off or malformed")]
    Interrupted,
    /// FET-07: the one deadline over everything.
    #[error("the deadline passed")]
    Deadline,
    /// FET-03.
    #[error("the answer is a redirect (status {0})")]
    Redirect(u16),
    /// FET-02: 404 or 410.
    #[error("there is nothing at the URL (status {0})")]
    Gone(u16),
    /// FET-02: any other status than 200.
    #[error("the answer has status {0}")]
    Status(u16),
    /// The answer's headers are too large.
    #[error("the headers of the answer are too large")]
    HeadersTooLarge,
    /// FET-05: no, several, or another media type.
    #[error("the answer has no accepted media type")]
    MediaType,
    /// FET-06: a content coding, though `identity` was asked for.
    #[error("the answer has a content coding")]
    ContentEncoding,
    /// FET-06.
    #[error("the body is too large")]
    TooLarge,
    /// The guard itself could not be set up; nothing is fetched without it.
    #[error("the guarded client could not be built")]
    Guard,
    /// All that may fetch at a time do.
    #[error("too many fetches are under way; try again shortly")]
    Busy,
    /// The function that fetches for us failed, or gave an answer that makes no sense.
    #[error("the fetch function gave no usable answer")]
    Function,
}

impl FetchError {
    /// What this says about the next attempt.
    pub const fn kind(self) -> FailureKind {
        match self {
            Self::Resolve
            | Self::NoAddress
            | Self::Connect
            | Self::Tls
            | Self::Interrupted
            | Self::Deadline
            | Self::Guard
            | Self::Busy
            | Self::Function
            // A bot challenge or a rate limit answers 403 or 429; 408, 425, and 5xx say "later" themselves.
            | Self::Status(403 | 408 | 425 | 429 | 500..=599) => FailureKind::Transient,
            Self::Gone(_) => FailureKind::Gone,
            Self::Url
            | Self::Host(_)
            | Self::PortNotListed
            | Self::TooManyAddresses
            | Self::SpecialUse(_)
            | Self::Certificate
            | Self::Peer
            | Self::Redirect(_)
            | Self::Status(_)
            | Self::HeadersTooLarge
            | Self::MediaType
            | Self::ContentEncoding
            | Self::TooLarge => FailureKind::Deterministic,
        }
    }
}

/// The fetch to come.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + 'a>>;

/// Whoever fetches strangers' URLs: this process, or a function that has no other rights.
pub trait Fetcher: Send + Sync {
    /// Fetches one URL under every rule of SPEC 2.2. Nothing is retried, followed, or remembered.
    ///
    /// # Errors
    /// [`FetchError`], the first rule that was broken.
    fn fetch<'a>(&'a self, request: &'a FetchRequest) -> Fetching<'a>;
}
