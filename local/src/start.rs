//! Starting and stopping the whole server in one process.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use authorize::sign_in::UserAuthenticator;
use axum::Router;
use axum::middleware::from_fn;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use shared::aws::table::DEFAULT_PREFIX;
use shared::aws::{
    self, AuditStore, DocumentStore, FailureStore, Governing, GrantStore, KeyStore, KeyStoreError, Keyring,
    PolicyStore, RateStore, RecordReader, RegistrationStore, ReplayStore, StoreError, ToolStore,
};
use shared::cimd::copies::Copies;
use shared::cimd::documents::Documents;
use shared::cimd::keys::ClientKeySets;
use shared::clock::{Clock, SystemClock};
use shared::fetch::Fetcher;
use shared::fetch::dns::SystemResolver;
use shared::fetch::guard::{GuardError, GuardSettings, GuardedFetcher};
use shared::fetch::host::DevelopmentHost;
use shared::jose::{KeyWrap, WrapError};
use shared::oauth::Issuer;
use shared::oauth::issuer::IssuerError;
use shared::policy::ArnPattern;
use shared::random::{OsRandom, Random};
use shared::resolver::Resolver;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::admin_key::{self, AdminKey, AdminKeyError, LocalCaller};
use crate::args::Args;
use crate::data::{DataFile, DataFileError, admin_key_beside};
use crate::dynamodb::{ANY_PORT, DynamoDb, DynamoDbError};
use crate::front_door::{self, Functions};
use crate::key_wrap::{KeyFileError, LocalKeyWrap};
use crate::metrics;
use crate::seed::{self, PolicyChanges, Seed, SeedError};
use crate::sign_in::{LocalSignIn, Upstream, UpstreamError};
use crate::table::{self, TableError};

/// For how long a stop waits for requests that run: the longest honest one waits five seconds for a
/// document, and a connection that sent half a request must not hold the process for ever.
const STOP_MAX: Duration = Duration::from_secs(6);

/// How to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes any.
    pub listen: SocketAddr,
    /// The issuer identifier; `http://` and the address listened on, if missing.
    pub issuer: Option<Issuer>,
    /// The data file; in memory, if missing.
    pub data: Option<PathBuf>,
    /// A database that other processes use too, instead of one of this process's own.
    pub shared: Option<SharedDatabase>,
    /// Changes to the policy in force.
    pub policy: PolicyChanges,
    /// Roots trusted besides the public ones.
    pub roots: Vec<CertificateDer<'static>>,
    /// Names on this machine that documents may be fetched from.
    pub development: Vec<DevelopmentHost>,
    /// Where people sign in; by user name alone, if missing.
    pub upstream: Option<Upstream>,
}

/// A DynamoDB that another process serves, for several servers of one issuer.
#[derive(Clone, Debug)]
pub struct SharedDatabase {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The key that protects the keys in it, shared by all of them.
    pub key_file: PathBuf,
}

impl Default for Config {
    /// Any free port, in memory, without resources.
    fn default() -> Self {
        Self {
            listen: ANY_PORT,
            issuer: None,
            data: None,
            shared: None,
            policy: PolicyChanges::default(),
            roots: Vec::new(),
            development: Vec::new(),
            upstream: None,
        }
    }
}

impl Config {
    /// What the switches ask for; reads the files that they name.
    ///
    /// # Errors
    /// [`StartError::Seed`], [`StartError::Root`] or [`StartError::Upstream`] naming the switch.
    pub fn from_args(args: &Args) -> Result<Self, StartError> {
        let seed = args.seed.as_deref().map(Seed::read).transpose()?.unwrap_or_default();
        let mut roots = Vec::new();
        for path in &args.trust_ca {
            let refused = |reason: String| StartError::Root { path: path.clone(), reason };
            let found: Result<Vec<_>, pem::Error> =
                CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            match found {
                Ok(found) if found.is_empty() => return Err(refused("no certificate in it".to_owned())),
                Ok(found) => roots.extend(found),
                Err(pem::Error::Io(error)) => return Err(refused(error.to_string())),
                Err(error) => return Err(refused(format!("{error:?}"))),
            }
        }
        Ok(Self {
            listen: args.listen,
            issuer: args.issuer.clone(),
            data: args.data.clone(),
            shared: args
                .dynamodb
                .zip(args.key_file.clone())
                .map(|(addr, key_file)| SharedDatabase { addr, key_file }),
            policy: PolicyChanges { seed, resources: args.resource.clone(), settings: args.set.clone() },
            roots,
            development: args.resolve.iter().map(|resolve| resolve.development_host().clone()).collect(),
            upstream: Upstream::from_args(args)?,
        })
    }
}

/// The outside world, which a test can hold in its own hands.
#[derive(Clone)]
pub struct Outside {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// Fetches strangers' URLs; the guarded fetcher, if missing.
    pub fetcher: Option<Arc<dyn Fetcher>>,
}

impl Default for Outside {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(OsRandom), fetcher: None }
    }
}

/// The server does not start. Every text is one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there.
    #[error("--listen {addr} is already in use: stop the other process or choose another port")]
    PortTaken {
        /// Where.
        addr: SocketAddr,
    },
    /// The system does not let us listen there.
    #[error("--listen {addr}: {source}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The address listened on makes no issuer.
    #[error("{addr} cannot stand in the issuer identifier ({source}): name one with --issuer")]
    Issuer {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: IssuerError,
    },
    /// A root certificate cannot be read.
    #[error("--trust-ca {}: {reason}", .path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The data file cannot be used.
    #[error(transparent)]
    Data(#[from] DataFileError),
    /// The embedded database does not start.
    #[error(transparent)]
    DynamoDb(#[from] DynamoDbError),
    /// The tables cannot be made.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The wrapping key cannot be had.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The administrator's key pair cannot be had.
    #[error(transparent)]
    AdminKey(#[from] AdminKeyError),
    /// The keys in the data file are not for this issuer and this key file.
    #[error(
        "the keys in the data file belong to another issuer than {0}, or to another key file: use the --issuer and --listen it was made with, or a new --data file"
    )]
    ForeignKeys(Issuer),
    /// The keys cannot be read or made.
    #[error("keys: {0}")]
    Keys(#[source] KeyStoreError),
    /// The policy that was asked for is not one.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// Tools and clients of the seed file cannot be entered.
    #[error(transparent)]
    SeedWrite(#[from] seed::WriteError),
    /// The policy cannot be read or stored.
    #[error("policy: {0}")]
    Policy(#[from] StoreError),
    /// The system's signals cannot be listened for.
    #[error("signals: {0}")]
    Signal(#[source] io::Error),
    /// The provider that signs people in cannot be used.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The fetcher cannot be made.
    #[error("document fetcher: {0}")]
    Fetcher(#[from] GuardError),
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    issuer: Issuer,
    addr: SocketAddr,
    admin_key: AdminKey,
    dynamodb: DynamoDb,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

impl Running {
    /// The issuer identifier.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The key pair that administration requests are signed with.
    pub fn admin_key(&self) -> &AdminKey {
        &self.admin_key
    }

    /// Its DynamoDB.
    pub fn dynamodb(&self) -> &DynamoDb {
        &self.dynamodb
    }

    /// Stops accepting, finishes the requests that run, closes the data file.
    pub async fn stop(mut self) {
        // The receiver is gone only if serving has ended already.
        self.stop.send(()).ok();
        if tokio::time::timeout(STOP_MAX, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
        self.dynamodb.stop().await;
    }
}

/// Starts everything: database, tables, keys, policy, functions.
///
/// # Errors
/// [`StartError`], one line that says what to do.
pub async fn start(config: Config, outside: Outside) -> Result<Running, StartError> {
    // First of all: a second start fails here and touches nothing.
    let (listener, addr) = listen(config.listen).await?;
    let issuer = match &config.issuer {
        Some(issuer) => issuer.clone(),
        None => {
            Issuer::parse(&format!("http://{addr}")).map_err(|source| StartError::Issuer { addr, source })?
        }
    };

    metrics::record();
    let data = config.data.as_deref().map(DataFile::open).transpose()?;
    let key_files = match (&data, &config.shared) {
        (Some(data), _) => Some((data.key_path(), data.admin_key_path())),
        (None, Some(shared)) => Some((shared.key_file.clone(), admin_key_beside(&shared.key_file))),
        (None, None) => None,
    };
    let random = outside.random.as_ref();
    let (wrap, admin_key) = match &key_files {
        Some((key, admin)) => (LocalKeyWrap::in_file(key, random)?, AdminKey::in_file(admin, random)?),
        None => (LocalKeyWrap::in_memory(random)?, AdminKey::generate(random)?),
    };
    let wrap = Arc::new(wrap);
    let dynamodb = match &config.shared {
        Some(shared) => DynamoDb::at(shared.addr),
        None => DynamoDb::start(ANY_PORT, data).await?,
    };
    let started = router(&config, &outside, &issuer, addr, &dynamodb, &wrap, &admin_key).await;
    let router = match started {
        Ok(router) => router,
        Err(error) => {
            dynamodb.stop().await;
            return Err(error);
        }
    };

    let (stop, stopped) = oneshot::channel::<()>();
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async {
        // Sent or dropped: either way the owner wants no more.
        stopped.await.ok();
    });
    let serving = tokio::spawn(async move { serving.await });
    Ok(Running { issuer, addr, admin_key, dynamodb, stop, serving })
}

async fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = async {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    };
    bound.await.map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortTaken { addr },
        _ => StartError::Listen { addr, source },
    })
}

async fn router(
    config: &Config,
    outside: &Outside,
    issuer: &Issuer,
    addr: SocketAddr,
    dynamodb: &DynamoDb,
    wrap: &Arc<LocalKeyWrap>,
    admin_key: &AdminKey,
) -> Result<Router, StartError> {
    let authenticator: Arc<dyn UserAuthenticator> = match &config.upstream {
        Some(upstream) => Arc::new(upstream.open(issuer, Arc::clone(&outside.random))?),
        None => Arc::new(LocalSignIn),
    };
    let tables = table::create(dynamodb.client(), DEFAULT_PREFIX).await?;
    let policies = Arc::new(PolicyStore::new(tables.clone()));
    change_policy(&policies, &config.policy, outside.clock.as_ref()).await?;
    let tools = ToolStore::new(tables.clone());
    let registrations = RegistrationStore::new(tables.clone());
    seed::write(&config.policy.seed, &tools, &registrations, outside.clock.now()).await?;
    // After what a wrong switch can fail at: the first keys bind a data file to its issuer for good.
    let keys = Arc::new(keys(&tables, issuer, wrap, outside).await?);

    let fetcher = match &outside.fetcher {
        Some(fetcher) => Arc::clone(fetcher),
        None => guarded_fetcher(config, issuer, &outside.clock)?,
    };
    let copies = Copies::new(
        Arc::clone(&outside.clock),
        Arc::clone(&outside.random),
        fetcher,
        DocumentStore::new(tables.clone()),
    );
    let client_keys = ClientKeySets::new(copies.clone());
    let records = RecordReader::new(tables.clone());
    let documents = Documents::new(copies);
    let [spread] = outside.random.bytes().unwrap_or_default();
    let audit = AuditStore::new(tables.clone(), spread);
    let resolver = Resolver::new(
        issuer.clone(),
        Arc::clone(&outside.clock),
        documents.clone(),
        records.clone(),
        Governing::new(tables.clone()),
        audit.clone(),
        config.development.clone(),
    );
    let resolver = Arc::new(resolver);
    let replays = ReplayStore::new(tables.clone());
    let failures = token::Failures::new(FailureStore::new(tables.clone()));
    let rates = Arc::new(register::Rates::new(RateStore::new(tables.clone())));
    let grants = GrantStore::new(tables.clone());
    let admin = admin::router(admin::App {
        issuer: issuer.clone(),
        clock: Arc::clone(&outside.clock),
        random: Arc::clone(&outside.random),
        callers: Arc::new(LocalCaller::new(admin_key.clone(), Arc::clone(&outside.clock))),
        founders: ArnPattern::parse(admin_key::ARN).into_iter().collect(),
        keys: Arc::clone(&keys),
        key_store: KeyStore::new(tables.clone(), issuer.clone()),
        wrap: Arc::clone(wrap) as Arc<dyn KeyWrap>,
        tools: tools.clone(),
        catalogue: Arc::default(),
        registrations: registrations.clone(),
        documents,
        client_keys: client_keys.clone(),
        development: config.development.clone(),
        grants: grants.clone(),
        governing: Governing::new(tables),
        policies: Arc::clone(&policies),
        audit: audit.clone(),
    });
    let authorize = authorize::router(authorize::App {
        issuer: issuer.clone(),
        clock: Arc::clone(&outside.clock),
        random: Arc::clone(&outside.random),
        keys: Arc::clone(&keys),
        grants: grants.clone(),
        records: records.clone(),
        tools: tools.clone(),
        registrations: registrations.clone(),
        policies: Arc::clone(&policies),
        resolver: Arc::clone(&resolver),
        authenticator,
        audit: audit.clone(),
    });
    let register = register::router(register::App {
        issuer: issuer.clone(),
        clock: Arc::clone(&outside.clock),
        random: Arc::clone(&outside.random),
        keys: Arc::clone(&keys),
        records: records.clone(),
        registrations: registrations.clone(),
        rates,
        policies: Arc::clone(&policies),
    })
    .layer(from_fn(register::of_connection));
    let token = token::router(token::App {
        issuer: issuer.clone(),
        clock: Arc::clone(&outside.clock),
        random: Arc::clone(&outside.random),
        keys,
        grants,
        records,
        tools,
        registrations,
        policies,
        audit,
        replays,
        failures,
        resolver,
        client_keys,
    });
    Ok(front_door::router(Functions { admin, authorize, register, token }, issuer, addr))
}

async fn keys(
    tables: &aws::DynamoDb,
    issuer: &Issuer,
    wrap: &Arc<LocalKeyWrap>,
    outside: &Outside,
) -> Result<Keyring, StartError> {
    let store = KeyStore::new(tables.clone(), issuer.clone());
    let explained = |error| match error {
        KeyStoreError::Wrap(WrapError::Refused) => StartError::ForeignKeys(issuer.clone()),
        error => StartError::Keys(error),
    };
    let (clock, random) = (outside.clock.as_ref(), outside.random.as_ref());
    store.rotate_keys(wrap.as_ref(), clock, random).await.map_err(explained)?;
    let wrap = Arc::clone(wrap) as Arc<dyn KeyWrap>;
    Keyring::open(store, wrap, Arc::clone(&outside.clock)).await.map_err(explained)
}

/// Whoever shares the database may change the policy at the same moment: then this is done again on top of it.
async fn change_policy(
    policies: &PolicyStore,
    changes: &PolicyChanges,
    clock: &dyn Clock,
) -> Result<(), StartError> {
    loop {
        let current = policies.current(clock).await?;
        let changed = changes.apply(&current.policy)?;
        if changed == current.policy
            || policies.replace(current.version, &changed, "local", clock.now()).await?
        {
            return Ok(());
        }
        policies.forget_copy();
    }
}

fn guarded_fetcher(
    config: &Config,
    issuer: &Issuer,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Fetcher>, StartError> {
    let mut settings = GuardSettings::new(issuer.as_str());
    settings.development.clone_from(&config.development);
    settings.development_roots.clone_from(&config.roots);
    let fetcher = GuardedFetcher::new(settings, Arc::new(SystemResolver), Arc::clone(clock))?;
    Ok(Arc::new(fetcher))
}

#[cfg(test)]
mod tests {
    use shared::oauth::server_metadata::path;

    use super::*;
    use crate::demo::browser::Wire;
    use crate::testing::Folder;

    async fn get(running: &Running, path: &str) -> String {
        let url = format!("http://{}{path}", running.addr());
        Wire::new().unwrap().get(&url).await.unwrap().body
    }

    async fn run(config: &Config) -> Result<Running, StartError> {
        start(config.clone(), Outside::default()).await
    }

    fn with_resource(resource: &str) -> PolicyChanges {
        PolicyChanges { resources: vec![resource.to_owned()], ..PolicyChanges::default() }
    }

    /// Tools and clients of the seed are entered once; a start that says the same changes nothing, one that says
    /// something else changes that alone.
    #[tokio::test]
    async fn tools_and_clients_of_the_seed_are_entered_once() {
        const SECRET: &str = "0123456789abcdef0123456789abcdef";
        let folder = Folder::new();
        let seed = |status: &str| {
            let path = folder.path().join("seed.yaml");
            let text = format!(
                "tools: [{{id: files, name: Files, status: {status}}}]\nclients:\n  - {{client_id: files, tool: files, \
                 redirect_uris: ['com.example.files:/cb'], secret: {SECRET}}}\n  \
                 - {{client_id: 'https://vendor.example/client.json', tool: files}}\n"
            );
            std::fs::write(&path, text).unwrap();
            PolicyChanges { seed: Seed::read(&path).unwrap(), ..PolicyChanges::default() }
        };
        let mut config = Config {
            data: Some(folder.path().join("nameplate.db")),
            issuer: Some(Issuer::parse("http://localhost:9000").unwrap()),
            ..Config::default()
        };
        let mut seen = Vec::new();
        for status in ["enabled", "enabled", "disabled"] {
            config.policy = seed(status);
            let running = run(&config).await.unwrap();
            let tables = aws::DynamoDb::new(running.dynamodb().client(), DEFAULT_PREFIX.to_owned());
            let id = shared::tool::ToolId::parse("files").unwrap();
            let tool = ToolStore::new(tables.clone()).read(&id).await.unwrap().unwrap();
            let mut clients = RegistrationStore::new(tables).of_tool(&id).await.unwrap();
            clients.sort_by(|a, b| a.client_id.cmp(&b.client_id));
            running.stop().await;
            seen.push((tool, clients));
        }
        let [(first, clients), (again, clients_again), (disabled, _)] = seen.try_into().unwrap();
        assert_eq!((first.status, first.revision), (shared::tool::Status::Enabled, 0));
        assert_eq!((&again, &clients_again), (&first, &clients));
        assert_eq!((disabled.status, disabled.revision), (shared::tool::Status::Disabled, 1));
        let [issued, document] = clients.try_into().unwrap();
        assert_eq!(issued.secrets.len(), 1);
        assert!(!format!("{issued:?}").contains(SECRET), "stored as it is");
        assert_eq!(document.metadata, None, "the document says it");
    }

    #[tokio::test]
    async fn keys_and_policy_outlive_a_restart_with_a_data_file() {
        let folder = Folder::new();
        let mut config = Config {
            data: Some(folder.path().join("nameplate.db")),
            issuer: Some(Issuer::parse("http://localhost:9000").unwrap()),
            policy: with_resource("https://a.example/mcp"),
            ..Config::default()
        };
        let first = run(&config).await.unwrap();
        let keys = get(&first, path::JWKS).await;
        assert!(keys.contains("\"ES256\""), "{keys}");
        first.stop().await;

        config.policy = with_resource("https://b.example/mcp");
        let second = run(&config).await.unwrap();
        assert_eq!(get(&second, path::JWKS).await, keys);
        let metadata = get(&second, path::METADATA).await;
        assert!(metadata.contains("https://a.example/mcp") && metadata.contains("https://b.example/mcp"));

        let in_use = run(&config).await.unwrap_err();
        assert!(matches!(in_use, StartError::Data(DataFileError::InUse(_))), "{in_use}");
        second.stop().await;

        config.issuer = Some(Issuer::parse("http://localhost:9001").unwrap());
        let foreign = run(&config).await.unwrap_err();
        assert!(matches!(foreign, StartError::ForeignKeys(_)), "{foreign}");
        config.issuer = Some(Issuer::parse("http://localhost:9000").unwrap());
        std::fs::remove_file(folder.path().join("nameplate.db.key")).unwrap();
        let foreign = run(&config).await.unwrap_err();
        assert!(matches!(foreign, StartError::ForeignKeys(_)), "{foreign}");
    }

    #[tokio::test]
    async fn without_a_data_file_every_start_has_keys_of_its_own() {
        let (first, second) =
            (run(&Config::default()).await.unwrap(), run(&Config::default()).await.unwrap());
        assert_ne!(get(&first, path::JWKS).await, get(&second, path::JWKS).await);
        first.stop().await;
        second.stop().await;
    }

    #[tokio::test]
    async fn a_taken_port_is_said_plainly_and_a_stopped_server_lets_go_of_it() {
        let first = run(&Config::default()).await.unwrap();
        let config = Config { listen: first.addr(), ..Config::default() };
        let taken = run(&config).await.unwrap_err();
        assert!(matches!(taken, StartError::PortTaken { addr } if addr == first.addr()), "{taken}");
        first.stop().await;
        run(&config).await.unwrap().stop().await;
    }

    #[tokio::test]
    async fn an_unusable_policy_stops_the_start_and_leaves_the_data_file_usable() {
        let folder = Folder::new();
        let mut config = Config {
            data: Some(folder.path().join("nameplate.db")),
            policy: with_resource("http://a.example/mcp"),
            ..Config::default()
        };
        let refused = run(&config).await.unwrap_err();
        assert!(matches!(refused, StartError::Seed(SeedError::Resource(_))), "{refused}");
        let line = refused.to_string();
        assert!(line.starts_with("--resource") && !line.contains('\n'), "{line}");
        config.policy = PolicyChanges::default();
        config.issuer = Some(Issuer::parse("http://localhost:9000").unwrap());
        run(&config).await.unwrap().stop().await;
    }

    #[test]
    fn a_root_that_is_no_certificate_is_refused_by_the_name_of_the_switch() {
        let folder = Folder::new();
        let path = folder.path().join("root.pem");
        let read = || {
            let file = path.to_str().unwrap();
            Config::from_args(&Args::from_command_line(["local", "--trust-ca", file]).unwrap())
        };
        for content in [None, Some(""), Some("nonsense"), Some("-----BEGIN CERTIFICATE-----\n!\n")] {
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let refused = read().unwrap_err().to_string();
            assert!(refused.starts_with("--trust-ca ") && !refused.contains('\n'), "{refused}");
        }
    }
}
