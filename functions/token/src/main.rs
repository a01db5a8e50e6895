//! Start-up of the token function on Lambda.

use std::process::ExitCode;
use std::sync::Arc;

use shared::aws::{
    AuditStore, DocumentStore, DynamoDb, GrantStore, KeyStore, Keyring, KmsWrap, PolicyStore, RecordReader, ReplayStore,
    ToolStore, connect,
};
use shared::cimd::copies::Copies;
use shared::cimd::documents::Documents;
use shared::cimd::keys::ClientKeySets;
use shared::clock::{Clock, SystemClock};
use shared::config::{Config, ConfigError};
use shared::fetch::dns::SystemResolver;
use shared::fetch::guard::{GuardError, GuardSettings, GuardedFetcher};
use shared::jose::KeyWrap;
use shared::random::{OsRandom, Random};
use shared::resolver::Resolver;
use token::{App, router};

/// Why the function does not start, in one line.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("fetcher: {0}")]
    Fetcher(#[from] GuardError),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::http::log::to_stdout();
    let app = match start().await {
        Ok(app) => app,
        Err(error) => {
            eprintln!("token: {error}");
            return ExitCode::FAILURE;
        }
    };
    match lambda_http::run(router(app)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("token: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the configuration and connects; nothing is sent yet, so an outage cannot stop the start (FM036).
async fn start() -> Result<App, StartError> {
    let config = Config::from_env()?;
    let kms_key_id = config.require_kms_key_id()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tables = DynamoDb::new(connect(config.dynamodb_endpoint.as_deref()).await, config.table_prefix);
    let wrap: Arc<dyn KeyWrap> = Arc::new(KmsWrap::connect(kms_key_id, config.kms_endpoint.as_deref()).await);
    let settings = GuardSettings::new(config.issuer.as_str());
    let fetcher = GuardedFetcher::new(settings, Arc::new(SystemResolver), Arc::clone(&clock))?;
    let random: Arc<dyn Random> = Arc::new(OsRandom);
    let documents = DocumentStore::new(tables.clone());
    let copies = Copies::new(Arc::clone(&clock), Arc::clone(&random), Arc::new(fetcher), documents);
    let records = RecordReader::new(tables.clone());
    let resolver = Resolver::new(
        config.issuer.clone(),
        Arc::clone(&clock),
        Documents::new(copies.clone()),
        records.clone(),
        ToolStore::new(tables.clone()),
        Vec::new(),
    );
    let store = KeyStore::new(tables.clone(), config.issuer.clone());
    // Without randomness all processes write to one chain, which is slower and nothing else.
    let [spread] = OsRandom.bytes().unwrap_or_default();
    Ok(App {
        issuer: config.issuer,
        clock: Arc::clone(&clock),
        random,
        keys: Arc::new(Keyring::new(store, wrap, clock)),
        grants: GrantStore::new(tables.clone()),
        records,
        tools: ToolStore::new(tables.clone()),
        policies: Arc::new(PolicyStore::new(tables.clone())),
        audit: AuditStore::new(tables.clone(), spread),
        replays: ReplayStore::new(tables),
        resolver: Arc::new(resolver),
        client_keys: ClientKeySets::new(copies),
    })
}
