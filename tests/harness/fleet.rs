//! Servers in processes of their own, over one database: what a fleet of Lambda instances is, on one machine.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use local::admin_key::{AdminKey, REGION, SERVICE};
use local::demo::browser::Wire;
use local::dynamodb::{ANY_PORT, DynamoDb};
use serde_json::Value;
use shared::clock::{Clock as _, SystemClock};
use shared::http::log::Note;
use shared::secret::Secret;
use shared::testing::metadata_host::MetadataHost;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::administrator::sign_at;
use crate::response::Answer;
use crate::server::Server;
use crate::world::{RESOURCE, RESOURCE_SECRET, sha256};

/// The issuer of every fleet. Nobody listens there: each process answers at its own address too.
const FLEET_ISSUER: &str = "http://localhost:1";

/// Several processes of `local` on one database, and the folder with the files that they share.
pub struct Fleet {
    /// The servers.
    pub processes: Vec<Process>,
    // Dropped after the processes that use them.
    _database: DynamoDb,
    _folder: Folder,
}

impl Fleet {
    /// Starts `count` processes of `program`, which fetch documents from `host`, and waits until each says that
    /// it runs. The first one makes tables, keys, and policy.
    pub async fn start(program: &str, count: usize, host: &MetadataHost) -> Self {
        let folder = Folder::new();
        let root = folder.file("root.pem", host.ca_pem());
        let seed = folder.file("seed.json", &seed().to_string());
        let key_file = folder.0.join("key");
        let database = DynamoDb::start(ANY_PORT, None).await.unwrap();
        let resolve = format!("{}:{}:{}", host.name(), host.address().port(), host.address().ip());
        let command = || {
            let mut command = Command::new(program);
            command
                .args(["--listen", "127.0.0.1:0", "--issuer", FLEET_ISSUER, "--resolve", &resolve])
                .args(["--dynamodb", &database.addr().to_string()])
                .arg("--key-file")
                .arg(&key_file)
                .arg("--trust-ca")
                .arg(&root)
                .env("RUST_LOG", "error")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .kill_on_drop(true);
            command
        };
        let mut first = command();
        first.arg("--seed").arg(&seed);
        let mut processes = vec![Process::run(first, &key_file).await];
        // All at once from here on, as instances start.
        let others: Vec<_> = (1..count)
            .map(|_| {
                let (command, key_file) = (command(), key_file.clone());
                tokio::spawn(async move { Process::run(command, &key_file).await })
            })
            .collect();
        for other in others {
            processes.push(other.await.unwrap());
        }
        Self { processes, _database: database, _folder: folder }
    }
}

fn seed() -> Value {
    serde_json::json!({"resources": [{
        "resource": RESOURCE,
        "name": "Notes",
        "scopes": [{"name": "notes:read"}, {"name": "notes:write"}],
        "introspection_secrets": [sha256(RESOURCE_SECRET)],
    }]})
}

/// One of them.
#[derive(Clone)]
pub struct Process {
    authority: String,
    wire: Wire,
    admin_key: AdminKey,
    /// Ends with its last clone.
    _child: std::sync::Arc<Running>,
}

struct Running {
    _child: Child,
    /// Kept open: a process that cannot write is another process than the one we mean.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    async fn run(mut command: Command, key_file: &Path) -> Self {
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut authority = None;
        loop {
            let line = output.next_line().await.unwrap().expect("the server ended instead of running");
            let endpoint = line.split("NAMEPLATE_ENDPOINT=http://").nth(1);
            authority = endpoint.and_then(|rest| rest.split(' ').next()).map(str::to_owned).or(authority);
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let admin = std::fs::read_to_string(key_file.with_extension("admin")).unwrap();
        let (id, secret) = admin.trim().split_once(' ').unwrap();
        let admin_key = AdminKey { access_key_id: id.to_owned(), secret: Secret::new(secret.to_owned()) };
        let running = Running { _child: child, _output: output };
        Self {
            authority: authority.expect("where it listens"),
            wire: Wire::new().unwrap(),
            admin_key,
            _child: std::sync::Arc::new(running),
        }
    }

    /// `POST path` with a JSON body, signed by the administrator.
    pub async fn administer(&self, path: &str, body: Value) -> Answer {
        let now = SystemClock.now().epoch_seconds();
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(body.to_string()).unwrap();
        let signed = sign_at(&self.authority, request, &self.admin_key, REGION, SERVICE, now);
        self.send(signed.map(Body::from)).await
    }
}

impl Server for Process {
    fn issuer(&self) -> &str {
        FLEET_ISSUER
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let (mut parts, body) = request.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        parts.headers.remove("host");
        let url = format!("http://{}{}", self.authority, parts.uri).parse().unwrap();
        let answer = self.wire.send(parts.method, &url, parts.headers, body).await.unwrap();
        Answer { status: answer.status, headers: answer.headers, body: answer.body, note: Note::default() }
    }
}

/// A folder of one test, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nameplate-fleet-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A leftover folder under the system's temporary folder fails no test.
        std::fs::remove_dir_all(&self.0).ok();
    }
}
