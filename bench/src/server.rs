//! `local` as a server process over a database of another process: one, or several that share it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::client::host;
use crate::double::dynamodb::Database;
use crate::double::metadata_host::MetadataHost;
use crate::exchange::{Answer, Request, SignIn, Target};
use crate::failure::{Context as _, Failure};
use crate::http1::Connection;
use crate::lambda::{ISSUER, answer_of, policy};
use crate::process::Process;

/// Where its metadata documents are: a name that nobody can own.
const DOMAIN: &str = "example";

/// `local`, in as many processes as were asked for.
#[derive(Debug)]
pub struct Servers {
    /// The database that they share.
    pub database: Database,
    domain: String,
    servers: Vec<Server>,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Server {
    process: Process,
    addr: SocketAddr,
    /// Connections that nobody uses at the moment.
    idle: Mutex<Vec<Connection>>,
}

impl Servers {
    /// Starts `count` processes of `binaries/local`, which know the documents of `tools` tools. What they
    /// print goes to `logs`.
    ///
    /// # Errors
    /// [`Failure`] naming what did not start.
    pub fn start(binaries: &Path, logs: &Path, count: usize, tools: usize) -> Result<Self, Failure> {
        let local = binaries.join("local");
        let database = Database::start(&local, logs)?;
        let names: Vec<String> = (0..tools).map(|tool| host(DOMAIN, tool)).collect();
        let documents = MetadataHost::start(&names)?;
        let write = |name: &str, text: &str| {
            let path = logs.join(name);
            fs::write(&path, text).context(name)?;
            Ok::<_, Failure>(path.display().to_string())
        };
        let key = logs.join("wrapping.key");
        if key.exists() {
            fs::remove_file(&key).context("wrapping.key")?;
        }
        let mut arguments: Vec<String> = [
            ("--listen", "127.0.0.1:0".to_owned()),
            ("--issuer", ISSUER.to_owned()),
            ("--dynamodb", database.addr.to_string()),
            ("--key-file", key.display().to_string()),
            ("--seed", write("seed.json", &serde_json::json!({"policy": policy()}).to_string())?),
            ("--trust-ca", write("root.pem", &documents.root)?),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
        for name in &names {
            arguments.extend(["--resolve".to_owned(), format!("{name}:{}:127.0.0.1", documents.addr.port())]);
        }
        let mut servers = Vec::new();
        for number in 0..count {
            let log = logs.join(format!("local-{number}.log"));
            let mut process = Process::start(&local, &arguments, &[], log)?;
            let addr = process.wait_for_line("export NAMEPLATE_ENDPOINT=http://")?;
            let addr = addr.split(' ').next().unwrap_or_default();
            let addr = addr.parse().context(addr)?;
            servers.push(Server { process, addr, idle: Mutex::default() });
        }
        let domain = format!("{DOMAIN}:{}", documents.addr.port());
        Ok(Self { database, domain, servers, turn: AtomicUsize::new(0) })
    }
}

impl Server {
    fn send(&self, request: &Request) -> Result<Answer, Failure> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.addr).context("local")?,
        };
        let sent =
            connection.send(request.method, &request.target, &request.headers, request.body.as_bytes());
        let (message, took) = sent.context(&request.target)?;
        if message.header("connection").is_none_or(|value| value != "close") {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        Ok(answer_of(message, took))
    }
}

impl Target for Servers {
    fn send(&self, request: &Request) -> Result<Answer, Failure> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.servers.len();
        self.servers.get(turn).context("server")?.send(request)
    }

    fn cpu(&self) -> Result<Duration, Failure> {
        self.servers.iter().map(|server| server.process.cpu()).sum()
    }

    fn memory(&self) -> Result<Vec<(String, u64, u64)>, Failure> {
        self.servers
            .iter()
            .map(|server| Ok(("local".to_owned(), server.process.memory()?, server.process.peak_memory()?)))
            .collect()
    }

    fn sign_in(&self) -> SignIn {
        SignIn::Page
    }

    fn domain(&self) -> &str {
        &self.domain
    }
}
