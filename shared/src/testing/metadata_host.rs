//! A client vendor's web server on loopback, with a certificate of its own authority and every misbehaviour
//! that a fetcher must survive.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::coding::Coding;
use crate::fetch::host::{DevelopmentHost, DevelopmentHostError};

/// Most bytes of a request's head; a test that sends more has a bug.
const REQUEST_HEAD_MAX: usize = 16 * 1024;

/// What a path answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// One whole response.
    Whole(Response),
    /// The head of a 200 with JSON, then a body of one byte per tick that never ends.
    DripBody {
        /// The tick.
        every: Duration,
    },
    /// The status line, then headers of one byte per tick that never end.
    DripHead {
        /// The tick.
        every: Duration,
    },
    /// The head of a 200 with JSON, then body as fast as it is read, without end.
    EndlessBody,
    /// The status line, then headers as fast as they are read, without end.
    EndlessHead,
    /// One whole response, its body in eight parts with a tick before each: slow, and nothing wrong with it.
    Slow {
        /// What is answered in the end.
        response: Response,
        /// The tick.
        every: Duration,
    },
    /// A 200 that promises more body than it sends before the connection closes.
    BreakOff(Response),
    /// A 200 whose connection is reset in the middle of the body (TCP RST).
    Reset(Response),
    /// Bytes that are no HTTP.
    Raw(Vec<u8>),
    /// The request is read and never answered.
    Silence,
    /// One after another, a request each; the last one stays: a document that changes, keys that rotate, a
    /// client that is withdrawn.
    InTurn(Vec<Answer>),
}

/// A response: status, header lines, body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header lines in order; `Content-Length` is added.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// 200 with a JSON body.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).header("Content-Type", "application/json").body(body)
    }

    /// An empty response with `status`.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// The same with one more header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn head(&self, content_length: Option<usize>) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(length) = content_length {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Whole(response)
    }
}

/// Which certificate the host shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerCertificate {
    /// For the host, by the authority of [`MetadataHost::ca_pem`], valid for decades.
    Valid,
    /// As valid, but ended in the year 2000.
    Expired,
    /// For the host, by nobody but itself.
    SelfSigned,
    /// By the authority, for another host.
    OtherHost,
}

/// A request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The path and query that were asked for.
    pub path: String,
    /// The head as sent, request line included.
    pub head: String,
    /// Whether the TLS session continued an earlier one instead of proving the certificate anew.
    pub resumed: bool,
}

/// The running host. Dropping it ends it.
pub struct MetadataHost {
    host: String,
    address: SocketAddr,
    ca_pem: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    connections: usize,
    seen: Vec<Seen>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MetadataHost {
    /// Starts a host named `host` with a valid certificate. Every path answers 404 until it is set.
    ///
    /// # Errors
    /// If no loopback port is free or the certificate cannot be made.
    pub async fn start(host: &str) -> io::Result<Self> {
        Self::start_with(host, ServerCertificate::Valid).await
    }

    /// Starts a host that shows `certificate`.
    ///
    /// # Errors
    /// If no loopback port is free or the certificate cannot be made.
    pub async fn start_with(host: &str, certificate: ServerCertificate) -> io::Result<Self> {
        let (ca_pem, tls) = tls(host, certificate)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), Arc::clone(&shared)));
        Ok(Self { host: host.to_owned(), address, ca_pem, shared, accepting })
    }

    /// The authority to trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The authority to trust, as the guard takes it.
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).into_iter().collect()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.host
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of `path` (which starts with a slash) by the host's name and port.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}:{}{path}", self.host, self.address.port())
    }

    /// The entry that lets the guard dial this host.
    ///
    /// # Errors
    /// If the host's name is not one reserved for development.
    pub fn development_host(&self) -> Result<DevelopmentHost, DevelopmentHostError> {
        DevelopmentHost::new(&self.host, self.address.port(), self.address.ip())
    }

    /// From now on `path` answers `answer`.
    pub fn set(&self, path: &str, answer: impl Into<Answer>) {
        self.shared.lock().answers.insert(path.to_owned(), answer.into());
    }

    /// How many connections were accepted, whatever came of them.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// The requests so far, in order.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }
}

impl Drop for MetadataHost {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.lock().connections += 1;
        connections.spawn(serve(stream, tls.clone(), Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// One request per connection. A client that hangs up ends it; that is what many tests are about.
async fn serve(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) -> io::Result<()> {
    let mut stream = tls.accept(stream).await?;
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    let head = read_head(&mut stream).await?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = {
        let mut state = shared.lock();
        state.seen.push(Seen { path: path.clone(), head, resumed });
        match state.answers.get_mut(&path) {
            Some(Answer::InTurn(answers)) if answers.len() > 1 => Some(answers.remove(0)),
            Some(Answer::InTurn(answers)) => answers.first().cloned(),
            other => other.cloned(),
        }
    };
    write_answer(&mut stream, answer.unwrap_or(Answer::Whole(Response::status(404)))).await
}

async fn read_head(stream: &mut TlsStream<TcpStream>) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > REQUEST_HEAD_MAX {
            return Err(io::Error::other("the request's head is too large"));
        }
        head.push(stream.read_u8().await?);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

async fn write_answer(stream: &mut TlsStream<TcpStream>, answer: Answer) -> io::Result<()> {
    match answer {
        Answer::Whole(response) => {
            stream.write_all(&response.head(Some(response.body.len()))).await?;
            stream.write_all(&response.body).await?;
            stream.shutdown().await
        }
        Answer::DripBody { every } => {
            stream.write_all(&Response::json("").head(None)).await?;
            drip(stream, every).await
        }
        Answer::DripHead { every } => {
            stream.write_all(b"HTTP/1.1 200 X\r\nX-Drip: ").await?;
            drip(stream, every).await
        }
        Answer::EndlessBody => {
            stream.write_all(&Response::json("").head(None)).await?;
            repeat(stream, &[b' '; 1024]).await
        }
        Answer::EndlessHead => {
            stream.write_all(b"HTTP/1.1 200 X\r\n").await?;
            repeat(stream, b"X-More: and more\r\n").await
        }
        Answer::Slow { response, every } => {
            stream.write_all(&response.head(Some(response.body.len()))).await?;
            let mut ticks = tokio::time::interval(every);
            for part in response.body.chunks(response.body.len().div_ceil(8).max(1)) {
                ticks.tick().await;
                stream.write_all(part).await?;
                stream.flush().await?;
            }
            stream.shutdown().await
        }
        Answer::BreakOff(response) => {
            stream.write_all(&response.head(Some(response.body.len() + 1))).await?;
            stream.write_all(&response.body).await?;
            stream.flush().await
        }
        Answer::Reset(response) => {
            stream.write_all(&response.head(Some(response.body.len() * 2))).await?;
            stream.write_all(&response.body).await?;
            stream.flush().await?;
            // Closing now sends a reset instead of an end, and TLS gets no chance to say goodbye.
            stream.get_ref().0.set_zero_linger()
        }
        Answer::Raw(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
        Answer::Silence => std::future::pending().await,
        // Taken apart where the request is read; nested ones give their first.
        Answer::InTurn(answers) => match answers.into_iter().next() {
            Some(answer) => Box::pin(write_answer(stream, answer)).await,
            None => stream.shutdown().await,
        },
    }
}

/// Everything that a host can do wrong with the document at `client_id`, each by its name. `good` is the
/// document that it ought to serve.
pub fn misbehaviours(client_id: &str, good: &str) -> Vec<(&'static str, Answer)> {
    const TICK: Duration = Duration::from_millis(20);
    let json = |body: Vec<u8>| Answer::from(Response::json(body));
    let coded = |coding: Coding, body: Vec<u8>| {
        Answer::from(Response::json(body).header("Content-Encoding", coding.name()))
    };
    let packed = |coding: Coding| coded(coding, coding.pack(good.as_bytes()));
    let bomb = |coding: Coding| coded(coding, coding.bomb(good.as_bytes()));
    let status = |status| {
        Answer::from(
            Response { status, ..Response::json(good) }.header("Location", "https://elsewhere.test/c"),
        )
    };
    let other_id = good.replace(client_id, "https://elsewhere.test/c");
    let utf_16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let repeated = good.replacen('{', "{\"client_id\":\"https://elsewhere.test/c\",", 1);
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let challenge =
        Response::status(403).header("Content-Type", "text/html").body("<html>Are you human?</html>");
    let page = Response::status(200).header("Content-Type", "text/html").body(good);
    vec![
        ("slow headers", Answer::DripHead { every: TICK }),
        ("drip-fed body", Answer::DripBody { every: TICK }),
        ("endless body", Answer::EndlessBody),
        ("endless headers", Answer::EndlessHead),
        ("silence", Answer::Silence),
        ("oversized", json(format!("{good}{}", " ".repeat(64 * 1024)).into_bytes())),
        ("gzip", packed(Coding::Gzip)),
        ("br", packed(Coding::Brotli)),
        ("zstd", packed(Coding::Zstd)),
        ("gzip bomb", bomb(Coding::Gzip)),
        ("br bomb", bomb(Coding::Brotli)),
        ("zstd bomb", bomb(Coding::Zstd)),
        ("301", status(301)),
        ("302", status(302)),
        ("307", status(307)),
        ("308", status(308)),
        ("304", Response::status(304).into()),
        ("201", status(201)),
        ("204", Response::status(204).into()),
        ("206", status(206)),
        ("404", Response::status(404).into()),
        ("410", Response::status(410).into()),
        ("500", status(500)),
        ("bot challenge", challenge.into()),
        ("wrong media type", page.into()),
        ("UTF-16", json(utf_16)),
        ("byte order mark", json(format!("\u{feff}{good}").into_bytes())),
        ("duplicate member", json(repeated.into_bytes())),
        ("deep nesting", json(nested.into_bytes())),
        ("wrong client_id", json(other_id.into_bytes())),
        ("broken off", Answer::BreakOff(Response::json(good))),
        ("reset", Answer::Reset(Response::json(good))),
        ("no HTTP", Answer::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec())),
    ]
}

async fn drip(stream: &mut TlsStream<TcpStream>, every: Duration) -> io::Result<()> {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        stream.write_all(b" ").await?;
        stream.flush().await?;
    }
}

async fn repeat(stream: &mut TlsStream<TcpStream>, bytes: &[u8]) -> io::Result<()> {
    loop {
        stream.write_all(bytes).await?;
    }
}

/// The authority's certificate as PEM, and what the host shows.
fn tls(host: &str, certificate: ServerCertificate) -> io::Result<(String, ServerConfig)> {
    let mut ca = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().map_err(io::Error::other)?;
    let ca_certificate = ca.self_signed(&ca_key).map_err(io::Error::other)?;
    let issuer = Issuer::new(ca, ca_key);

    let name = if certificate == ServerCertificate::OtherHost { "other.test" } else { host };
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).map_err(io::Error::other)?;
    if certificate == ServerCertificate::Expired {
        leaf.not_before = rcgen::date_time_ymd(1999, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(2000, 1, 1);
    }
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let leaf = match certificate {
        ServerCertificate::SelfSigned => leaf.self_signed(&key),
        ServerCertificate::Valid | ServerCertificate::Expired | ServerCertificate::OtherHost => {
            leaf.signed_by(&key, &issuer)
        }
    };
    let chain: Vec<CertificateDer<'static>> = vec![leaf.map_err(io::Error::other)?.der().clone()];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(io::Error::other)?;
    Ok((ca_certificate.pem(), config))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::TlsConnector;

    use super::*;

    /// How reading `/c` ends for a client that reads all there is.
    async fn end_of(answer: Answer) -> io::Result<Vec<u8>> {
        let host = MetadataHost::start("client.test").await.unwrap();
        host.set("/c", answer);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(host.roots());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(host.address()).await.unwrap();
        let name = ServerName::try_from("client.test").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        stream.write_all(b"GET /c HTTP/1.1\r\n\r\n").await.unwrap();
        let mut body = Vec::new();
        stream.read_to_end(&mut body).await.map(|_| body)
    }

    #[tokio::test]
    async fn a_reset_is_one_and_a_break_off_is_none() {
        let response = || Response::json("{\"half\": ");
        let reset = end_of(Answer::Reset(response())).await.unwrap_err();
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
        let broken_off = end_of(Answer::BreakOff(response())).await.unwrap_err();
        assert_eq!(broken_off.kind(), io::ErrorKind::UnexpectedEof);
        assert!(end_of(response().into()).await.unwrap().ends_with(b"{\"half\": "));
    }
}
