//! Start-up of the token function on Lambda.

use std::process::ExitCode;
use std::sync::Arc;

use shared::aws::{
    DynamoDb, GrantStore, KeyStore, Keyring, KmsWrap, PolicyStore, RecordReader, ToolStore, connect,
};
use shared::clock::{Clock, SystemClock};
use shared::config::{Config, ConfigError};
use shared::jose::KeyWrap;
use shared::random::OsRandom;
use token::{App, router};

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
async fn start() -> Result<App, ConfigError> {
    let config = Config::from_env()?;
    let kms_key_id = config.require_kms_key_id()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tables = DynamoDb::new(connect(config.dynamodb_endpoint.as_deref()).await, config.table_prefix);
    let wrap: Arc<dyn KeyWrap> = Arc::new(KmsWrap::connect(kms_key_id, config.kms_endpoint.as_deref()).await);
    let store = KeyStore::new(tables.clone(), config.issuer.clone());
    Ok(App {
        issuer: config.issuer,
        clock: Arc::clone(&clock),
        random: Arc::new(OsRandom),
        keys: Arc::new(Keyring::new(store, wrap, clock)),
        grants: GrantStore::new(tables.clone()),
        records: RecordReader::new(tables.clone()),
        tools: ToolStore::new(tables.clone()),
        policies: Arc::new(PolicyStore::new(tables)),
    })
}
