//! A vendor's web server with every metadata document, over TLS, for a server that fetches by itself.

use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::invoke::DOCUMENT_LIFETIME;
use crate::client::document;
use crate::failure::{Context as _, Failure};
use crate::http1::Message;

/// The running host.
#[derive(Debug)]
pub struct MetadataHost {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The certificate of the authority that its own is from, in PEM.
    pub root: String,
}

impl MetadataHost {
    /// Starts it for all `names`.
    ///
    /// # Errors
    /// [`Failure`] if there is no certificate or no port.
    pub fn start(names: &[String]) -> Result<Self, Failure> {
        let authority_key = KeyPair::generate().context("key")?;
        let mut authority = CertificateParams::new(Vec::new()).context("certificate")?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).context("certificate")?.pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().context("key")?;
        let leaf = CertificateParams::new(names).and_then(|leaf| leaf.signed_by(&key, &issuer));
        let leaf = leaf.context("certificate")?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(vec![leaf], key))
            .context("TLS")?;
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("metadata host")?;
        let addr = listener.local_addr().context("metadata host")?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                // Whoever does not finish the handshake gets no document.
                thread::spawn(move || answer(stream, config).ok());
            }
        });
        Ok(Self { addr, root })
    }
}

/// One request, one document, and the connection ends.
fn answer(stream: TcpStream, config: Arc<ServerConfig>) -> Result<(), Failure> {
    let connection = ServerConnection::new(config).context("TLS")?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let request = Message::read(&mut stream).context("request")?.context("request")?;
    let host = request.header("host").unwrap_or_default();
    let body = document(&format!("https://{host}{}", request.target())).to_string();
    let mut answer = Message::answer(200, "application/json", body);
    let lifetime = format!("max-age={}", DOCUMENT_LIFETIME.as_secs());
    answer.headers.push(("cache-control".to_owned(), lifetime));
    answer.headers.push(("connection".to_owned(), "close".to_owned()));
    answer.write(stream.get_mut()).context("answer")?;
    stream.get_mut().conn.send_close_notify();
    stream.get_mut().flush().context("answer")
}
