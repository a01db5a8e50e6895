//! Start-up of the administration function on Lambda.

use std::process::ExitCode;
use std::sync::Arc;

use admin::{App, Catalogue, GatewayCaller, router};
use shared::aws::{
    AuditStore, DynamoDb, Governing, GrantStore, KeyStore, Keyring, KmsWrap, PolicyStore, RegistrationStore,
    ToolStore, connect,
};
use shared::clock::{Clock, SystemClock};
use shared::config::{Config, ConfigError};
use shared::jose::KeyWrap;
use shared::policy::{ArnPattern, ArnPatternError};
use shared::random::{OsRandom, Random as _};

/// Why the function does not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("ADMIN_OWNERS: {0}")]
    Owners(#[from] ArnPatternError),
    #[error(transparent)]
    Random(#[from] shared::random::RandomError),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::http::log::to_stdout();
    let app = match start().await {
        Ok(app) => app,
        Err(error) => {
            eprintln!("admin: {error}");
            return ExitCode::FAILURE;
        }
    };
    match lambda_http::run(router(app)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("admin: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the configuration and connects; nothing is sent yet, so an outage cannot stop the start (FM036).
async fn start() -> Result<App, StartError> {
    let config = Config::from_env()?;
    let kms_key_id = config.require_kms_key_id()?;
    let founders = founders(&std::env::var("ADMIN_OWNERS").unwrap_or_default())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tables = DynamoDb::new(connect(config.dynamodb_endpoint.as_deref()).await, config.table_prefix);
    let wrap: Arc<dyn KeyWrap> = Arc::new(KmsWrap::connect(kms_key_id, config.kms_endpoint.as_deref()).await);
    let key_store = KeyStore::new(tables.clone(), config.issuer.clone());
    let [spread] = OsRandom.bytes()?;
    Ok(App {
        issuer: config.issuer,
        clock: Arc::clone(&clock),
        random: Arc::new(OsRandom),
        callers: Arc::new(GatewayCaller),
        founders,
        keys: Arc::new(Keyring::new(key_store.clone(), Arc::clone(&wrap), clock)),
        key_store,
        wrap,
        tools: ToolStore::new(tables.clone()),
        catalogue: Arc::new(Catalogue::default()),
        registrations: RegistrationStore::new(tables.clone()),
        grants: GrantStore::new(tables.clone()),
        governing: Governing::new(tables.clone()),
        policies: Arc::new(PolicyStore::new(tables.clone())),
        audit: AuditStore::new(tables, spread),
    })
}

/// `ADMIN_OWNERS`: ARN patterns, separated by commas.
fn founders(text: &str) -> Result<Vec<ArnPattern>, ArnPatternError> {
    text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).map(ArnPattern::parse).collect()
}
