//! Start-up of a function on Lambda: what all of them have in common, so that each `main.rs` only names the
//! parts it works with.
//!
//! Nothing is sent while a function starts: an outage elsewhere must not keep it from starting and saying
//! so (FM036, FM054). A function whose configuration is missing or wrong does not start at all (FM055).

use std::error::Error;
use std::future::Future;
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::map_request;
use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::request::RequestContext;
use lambda_http::service_fn;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aws::{self, DynamoDb, InvokeFetcher, KeyStore, Keyring, KmsWrap};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::fetch::Fetcher;
use crate::http::log;
use crate::http::source::Source;
use crate::jose::KeyWrap;
use crate::random::{OsRandom, Random};

/// Why a function refuses to start. Only its text matters, and only to the log.
pub type StartError = Box<dyn Error>;

/// What a function starts from.
#[derive(Clone)]
pub struct Start {
    /// The environment, read once.
    pub config: Config,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
}

impl Start {
    /// With `config`, the system's time, and the system's randomness.
    pub fn new(config: Config) -> Self {
        Self { config, clock: Arc::new(SystemClock), random: Arc::new(OsRandom) }
    }

    /// The tables of this deployment.
    pub async fn tables(&self) -> DynamoDb {
        let client = aws::connect(self.config.dynamodb_endpoint.as_deref()).await;
        DynamoDb::new(client, self.config.table_prefix.clone())
    }

    /// A number by which processes spread over the chains of the audit trail. Without randomness all of them
    /// write to one, which is slower and nothing else.
    pub fn spread(&self) -> u8 {
        let [spread] = self.random.bytes().unwrap_or_default();
        spread
    }

    /// What wraps the keys.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] without `KMS_KEY_ID`.
    pub async fn key_wrap(&self) -> Result<Arc<dyn KeyWrap>, ConfigError> {
        let key_id = self.config.require_kms_key_id()?;
        Ok(Arc::new(KmsWrap::connect(key_id, self.config.kms_endpoint.as_deref()).await))
    }

    /// The keys in `tables`, read and unwrapped when they are first needed.
    ///
    /// # Errors
    /// As [`Self::key_wrap`].
    pub async fn keyring(&self, tables: &DynamoDb) -> Result<Arc<Keyring>, ConfigError> {
        let wrap = self.key_wrap().await?;
        let store = KeyStore::new(tables.clone(), self.config.issuer.clone());
        Ok(Arc::new(Keyring::new(store, wrap, Arc::clone(&self.clock))))
    }

    /// The function that fetches strangers' URLs for this one.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] without `FETCH_FUNCTION`. There is no second door: a function that may
    /// read tables fetches nothing itself.
    pub async fn fetcher(&self) -> Result<Arc<dyn Fetcher>, ConfigError> {
        let function = self.config.require_fetch_function()?;
        Ok(Arc::new(InvokeFetcher::connect(function, Arc::clone(&self.clock)).await))
    }
}

/// Runs a function that answers API Gateway, until Lambda ends the process.
///
/// `name` is the function's; it begins the line that says why it did not start.
pub fn serve<S>(name: &'static str, start: S) -> ExitCode
where
    S: AsyncFnOnce(Start) -> Result<Router, StartError>,
{
    run(name, async move |config| {
        let router = start(config).await?;
        Ok(async move { lambda_http::run(router.layer(map_request(with_source))).await })
    })
}

/// Notes the address that the gateway saw; whatever a header says about it is a stranger's word.
async fn with_source(mut request: Request) -> Request {
    if let Some(RequestContext::ApiGatewayV2(context)) = request.extensions().get()
        && let Some(address) = context.http.source_ip.as_deref().and_then(|text| text.parse().ok())
    {
        request.extensions_mut().insert(Source::of(address));
    }
    request
}

/// Runs a function that is invoked with one JSON event and answers with JSON, until Lambda ends the process.
pub fn answer<S, H, E, A, F>(name: &'static str, start: S) -> ExitCode
where
    S: AsyncFnOnce(Start) -> Result<H, StartError>,
    H: Fn(E) -> F,
    E: DeserializeOwned,
    F: Future<Output = A>,
    A: Serialize,
{
    run(name, async move |config| {
        let handle = start(config).await?;
        Ok(async move {
            let handler = |event: LambdaEvent<E>| {
                let answering = handle(event.payload);
                async move { Ok::<A, lambda_runtime::Error>(answering.await) }
            };
            lambda_runtime::run(service_fn(handler)).await
        })
    })
}

fn run<S, L>(name: &'static str, start: S) -> ExitCode
where
    S: AsyncFnOnce(Start) -> Result<L, StartError>,
    L: Future<Output = Result<(), lambda_runtime::Error>>,
{
    log::to_stdout();
    std::panic::set_hook(Box::new(log_panic));
    // Lambda gives an instance one request at a time.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(name, &error),
    };
    runtime.block_on(async {
        let started = match Config::from_env() {
            Ok(config) => start(Start::new(config)).await,
            Err(error) => Err(error.into()),
        };
        match started {
            Ok(running) => match running.await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => refuse(name, error.as_ref()),
            },
            Err(error) => refuse(name, error.as_ref()),
        }
    })
}

/// One clear line, naming the setting.
fn refuse(name: &'static str, error: &(dyn Error + 'static)) -> ExitCode {
    let reason = log::chain(error);
    tracing::error!(function = name, reason, "start refused");
    ExitCode::FAILURE
}

/// Where it happened, and not a word of the message, which may quote what a client sent (FM093).
fn log_panic(panic: &PanicHookInfo<'_>) {
    let (file, line) = panic.location().map_or(("", 0), |location| (location.file(), location.line()));
    tracing::error!(file, line, "panicked");
}
