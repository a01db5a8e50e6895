//! The guarded fetcher (SPEC 2.2; SECURITY 2): refuses by the URL, then by every address, then by the
//! answer, and dials nothing that it has not checked.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, DATE, EXPIRES, HeaderMap,
    HeaderName, HeaderValue,
};
use reqwest::dns::{Name, Resolving};
use reqwest::{Client, Response, redirect, retry};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::address::PublicAddress;
use super::dns::Resolve;
use super::host::{self, DevelopmentHost, HostError};
use super::{CacheHeaders, FetchError, FetchKind, FetchRequest, Fetched, Fetcher, Fetching};
use crate::clock::{Clock, Timestamp};

/// The deadline over name look-up, connection, TLS, headers, and body together (FET-07): a person waits.
pub const FETCH_MAX: Duration = Duration::from_secs(5);

/// Share of the deadline that connecting may take (FET-07), so that a second address gets its turn.
pub const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Most addresses of one name: content networks answer with eight or fewer of each family.
pub const ADDRESSES_MAX: usize = 32;

/// Most header lines of an answer; the HTTP library stops reading there.
pub const HEADER_LINES_MAX: usize = 64;

/// Most bytes of an answer's headers, names and values together. Nothing we read needs more, and it is
/// what a careful web server accepts itself.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// How the guard is set up.
#[derive(Clone, Debug)]
pub struct GuardSettings {
    /// Our issuer, named in the `User-Agent` so that a publisher knows whom to ask.
    pub issuer: String,
    /// Ports that may be dialled (URL-09).
    pub ports: Vec<u16>,
    /// The one deadline; [`FETCH_MAX`] unless a test is in a hurry.
    pub deadline: Duration,
    /// Loopback names of the developer's own machine (FET-11). Empty wherever the program is deployed.
    pub development: Vec<DevelopmentHost>,
    /// Roots trusted besides the public ones, for the `development` names alone: whoever lets a root of their
    /// own be trusted for a test host has not agreed to it speaking for every host there is. Empty wherever
    /// the program is deployed.
    pub development_roots: Vec<CertificateDer<'static>>,
}

impl GuardSettings {
    /// The settings of a deployed program.
    pub fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            ports: vec![443],
            deadline: FETCH_MAX,
            development: Vec::new(),
            development_roots: Vec::new(),
        }
    }
}

/// Why the guard cannot be set up. Without it nothing is fetched.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// TLS could not be configured.
    #[error("TLS could not be configured")]
    Tls(#[from] rustls::Error),
    /// The issuer cannot stand in a header.
    #[error("the issuer cannot be named in a User-Agent header")]
    UserAgent,
}

/// Fetches strangers' URLs from this process.
pub struct GuardedFetcher {
    settings: GuardSettings,
    tls: ClientConfig,
    development_tls: ClientConfig,
    user_agent: HeaderValue,
    resolver: Arc<dyn Resolve>,
    clock: Arc<dyn Clock>,
}

impl GuardedFetcher {
    /// Prepares the guard; dials nothing.
    ///
    /// # Errors
    /// [`GuardError`] if TLS or the `User-Agent` cannot be set up.
    pub fn new(
        settings: GuardSettings,
        resolver: Arc<dyn Resolve>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, GuardError> {
        let tls = tls_config(&[])?;
        let development_tls = tls_config(&settings.development_roots)?;
        let user_agent = format!("Nameplate/{} (+{})", env!("CARGO_PKG_VERSION"), settings.issuer);
        let user_agent = HeaderValue::try_from(user_agent).map_err(|_| GuardError::UserAgent)?;
        Ok(Self { settings, tls, development_tls, user_agent, resolver, clock })
    }

    async fn fetch_unhurried(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let requested_at = self.clock.now();
        let target = self.target(&request.url)?;
        let checked = self.checked_addresses(&target).await?;
        self.exchange(request, &target, &checked, requested_at).await
    }

    /// What the URL alone decides, before anybody is asked anything.
    fn target<'a>(&'a self, url: &'a Url) -> Result<Target<'a>, FetchError> {
        let is_plain = url.scheme() == "https"
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        let (Some(host), Some(port), true) = (url.host_str(), url.port_or_known_default(), is_plain) else {
            return Err(FetchError::Url);
        };
        let development = self.settings.development.iter().find(|entry| entry.is(host, port));
        match (host::check_public_name(host), development) {
            (Ok(()), _) | (Err(HostError::SpecialUse), Some(_)) => {}
            (Err(error), _) => return Err(error.into()),
        }
        if development.is_none() && !self.settings.ports.contains(&port) {
            return Err(FetchError::PortNotListed);
        }
        Ok(Target { host, port, development: development.map(DevelopmentHost::address) })
    }

    /// Asks once and takes all or nothing (FET-13): a name with one bad address is a bad name.
    async fn checked_addresses(&self, target: &Target<'_>) -> Result<Vec<SocketAddr>, FetchError> {
        if let Some(address) = target.development {
            return Ok(vec![SocketAddr::new(address, target.port)]);
        }
        let answers =
            self.resolver.resolve(target.host, target.port).await.map_err(|_| FetchError::Resolve)?;
        if answers.is_empty() {
            return Err(FetchError::NoAddress);
        }
        if answers.len() > ADDRESSES_MAX {
            return Err(FetchError::TooManyAddresses);
        }
        let check = |address| Ok(SocketAddr::new(PublicAddress::check(address)?.get(), target.port));
        answers.into_iter().map(check).collect()
    }

    /// Connects to one of the `checked` addresses and reads the answer.
    async fn exchange(
        &self,
        request: &FetchRequest,
        target: &Target<'_>,
        checked: &[SocketAddr],
        requested_at: Timestamp,
    ) -> Result<Fetched, FetchError> {
        let client = self.client(target, checked)?;
        let sent = client.get(request.url.clone()).headers(self.request_headers(request.kind)).send().await;
        let response = sent.map_err(|error| connection_error(&error))?;
        let peer = response.remote_addr().filter(|peer| checked.contains(peer)).ok_or(FetchError::Peer)?;
        let media_type = check_head(&response, request.kind)?;
        let cache = cache_headers(response.headers());
        let body = read_body(response, request.kind.body_bytes_max()).await?;
        let received_at = self.clock.now();
        Ok(Fetched { body, media_type, cache, address: peer.ip(), requested_at, received_at })
    }

    /// A client for this one fetch: it knows the checked addresses of this one host and has no other way to
    /// find any, keeps no connection, and leaves nothing behind for the next.
    fn client(&self, target: &Target<'_>, checked: &[SocketAddr]) -> Result<Client, FetchError> {
        let tls = if target.development.is_some() { &self.development_tls } else { &self.tls };
        Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .https_only(true)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .http1_only()
            .http1_max_headers(HEADER_LINES_MAX)
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_MAX)
            .dns_resolver(NoResolver)
            .resolve_to_addrs(target.host, checked)
            .build()
            .map_err(|_| FetchError::Guard)
    }

    /// FET-08: fixed but for the kind; nothing in it comes from a person or a client.
    fn request_headers(&self, kind: FetchKind) -> HeaderMap {
        HeaderMap::from_iter([
            (http::header::USER_AGENT, self.user_agent.clone()),
            (ACCEPT, HeaderValue::from_static(kind.accept())),
            (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        ])
    }
}

impl Fetcher for GuardedFetcher {
    fn fetch<'a>(&'a self, request: &'a FetchRequest) -> Fetching<'a> {
        Box::pin(async move {
            let fetched = tokio::time::timeout(self.settings.deadline, self.fetch_unhurried(request)).await;
            fetched.unwrap_or(Err(FetchError::Deadline))
        })
    }
}

/// Host and port of a URL that passed the guard's first rules.
struct Target<'a> {
    host: &'a str,
    port: u16,
    /// Where a development host is; such a name is never looked up.
    development: Option<IpAddr>,
}

/// Refuses to look up anything: whatever asks has slipped past the checked addresses.
struct NoResolver;

impl reqwest::dns::Resolve for NoResolver {
    fn resolve(&self, _name: Name) -> Resolving {
        Box::pin(std::future::ready(Err("only checked addresses are dialled".into())))
    }
}

/// TLS that trusts the public roots and `more`.
fn tls_config(more: &[CertificateDer<'static>]) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in more {
        roots.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session skips the certificate, and would let a host recognise us between fetches.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Everything that the head of the answer decides (FET-02, FET-03, FET-05, FET-06).
fn check_head(response: &Response, kind: FetchKind) -> Result<String, FetchError> {
    match response.status().as_u16() {
        200 => {}
        status @ 300..=399 => return Err(FetchError::Redirect(status)),
        status @ (404 | 410) => return Err(FetchError::Gone(status)),
        status => return Err(FetchError::Status(status)),
    }
    let headers = response.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > HEADER_BYTES_MAX {
        return Err(FetchError::HeadersTooLarge);
    }
    if headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(FetchError::ContentEncoding);
    }
    let media_type = media_type(headers).ok_or(FetchError::MediaType)?;
    if !kind.accepts(&media_type) {
        return Err(FetchError::MediaType);
    }
    // Only a hint: the body is counted all the same.
    if response.content_length().is_some_and(|length| length > kind.body_bytes_max() as u64) {
        return Err(FetchError::TooLarge);
    }
    Ok(media_type)
}

/// The one media type of the answer, without parameters, in lower case.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let essence = value.to_str().ok()?.split(';').next()?.trim();
    Some(essence.to_ascii_lowercase())
}

fn cache_headers(headers: &HeaderMap) -> CacheHeaders {
    // A value that is no text reads as one that is not understood, never as absent.
    let all = |name: HeaderName| -> Vec<String> {
        headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    };
    CacheHeaders {
        cache_control: all(CACHE_CONTROL),
        expires: all(EXPIRES),
        date: all(DATE).into_iter().next(),
        age: all(AGE).into_iter().next(),
    }
}

/// Counts while reading (FET-06): one byte over the limit ends it, whatever `Content-Length` said.
async fn read_body(mut response: Response, bytes_max: usize) -> Result<Bytes, FetchError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| FetchError::Interrupted)? {
        if chunk.len() > bytes_max.saturating_sub(body.len()) {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The library's error by what it means to us. Its text holds the URL, so nothing of it is kept.
fn connection_error(error: &reqwest::Error) -> FetchError {
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            FetchError::Certificate
        }
        Some(_) => FetchError::Tls,
        None if error.is_connect() => FetchError::Connect,
        None => FetchError::Interrupted,
    }
}

/// The TLS library's error somewhere below `error`; I/O errors carry it inside, not as their source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests;
