//! Start-up of the authorize function on Lambda.

use std::process::ExitCode;
use std::sync::Arc;

use authorize::upstream::{OpenIdProvider, ProviderSetupError, SettingsError, UpstreamSettings};
use authorize::{App, router};
use shared::aws::{
    DocumentStore, DynamoDb, GrantStore, KeyStore, Keyring, KmsWrap, PolicyStore, RecordReader,
    RegistrationStore, ToolStore, connect,
};
use shared::cimd::copies::Copies;
use shared::cimd::documents::Documents;
use shared::clock::{Clock, SystemClock};
use shared::config::{Config, ConfigError};
use shared::fetch::dns::SystemResolver;
use shared::fetch::guard::{GuardError, GuardSettings, GuardedFetcher};
use shared::jose::KeyWrap;
use shared::random::{OsRandom, Random};
use shared::resolver::Resolver;

/// Why the function does not start. One line; where a variable is at fault, with its name.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Upstream(#[from] SettingsError),
    #[error(transparent)]
    Provider(#[from] ProviderSetupError),
    #[error(transparent)]
    Guard(#[from] GuardError),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::http::log::to_stdout();
    let app = match start().await {
        Ok(app) => app,
        Err(error) => {
            eprintln!("authorize: {error}");
            return ExitCode::FAILURE;
        }
    };
    match lambda_http::run(router(app)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("authorize: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the configuration and connects; nothing is sent yet, so an outage cannot stop the start (FM036).
async fn start() -> Result<App, StartError> {
    let config = Config::from_env()?;
    let kms_key_id = config.require_kms_key_id()?;
    let upstream = UpstreamSettings::read(|name| std::env::var(name).ok(), &config.issuer)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(OsRandom);
    let tables = DynamoDb::new(connect(config.dynamodb_endpoint.as_deref()).await, config.table_prefix);
    let wrap: Arc<dyn KeyWrap> = Arc::new(KmsWrap::connect(kms_key_id, config.kms_endpoint.as_deref()).await);
    let keys = Keyring::new(KeyStore::new(tables.clone(), config.issuer.clone()), wrap, Arc::clone(&clock));
    let settings = GuardSettings::new(config.issuer.as_str());
    let fetcher = GuardedFetcher::new(settings, Arc::new(SystemResolver), Arc::clone(&clock))?;
    let documents = DocumentStore::new(tables.clone());
    let copies = Copies::new(Arc::clone(&clock), Arc::clone(&random), Arc::new(fetcher), documents);
    let (records, tools) = (RecordReader::new(tables.clone()), ToolStore::new(tables.clone()));
    let resolver = Resolver::new(
        config.issuer.clone(),
        Arc::clone(&clock),
        Documents::new(copies),
        records.clone(),
        tools.clone(),
        Vec::new(),
    );
    Ok(App {
        issuer: config.issuer,
        clock,
        random: Arc::clone(&random),
        keys: Arc::new(keys),
        grants: GrantStore::new(tables.clone()),
        records,
        tools,
        registrations: RegistrationStore::new(tables.clone()),
        policies: Arc::new(PolicyStore::new(tables)),
        resolver: Arc::new(resolver),
        authenticator: Arc::new(OpenIdProvider::new(upstream, random)?),
    })
}
