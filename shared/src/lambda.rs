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
use axum::http::header::HOST;
use axum::middleware::{map_request, map_response};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{Adapter, service_fn};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use tower::ServiceBuilder;

use crate::aws::{
    self, AuditStore, DocumentStore, DynamoDb, Governing, InvokeFetcher, KeyStore, Keyring, KmsWrap,
    RecordReader, Sdk,
};
use crate::cimd::copies::Copies;
use crate::cimd::documents::Documents;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::fetch::Fetcher;
use crate::http::log;
use crate::http::source::Source;
use crate::jose::KeyWrap;
use crate::metrics;
use crate::random::{OsRandom, Random};
use crate::resolver::Resolver;

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
    /// Found out by the first part that asks AWS for something; `fetch` has none.
    sdk: Arc<OnceCell<Sdk>>,
}

impl Start {
    /// With `config`, the system's time, and the system's randomness.
    pub fn new(config: Config) -> Self {
        Self { config, clock: Arc::new(SystemClock), random: Arc::new(OsRandom), sdk: Arc::default() }
    }

    async fn sdk(&self) -> &Sdk {
        self.sdk.get_or_init(Sdk::load).await
    }

    /// The tables of this deployment.
    pub async fn tables(&self) -> DynamoDb {
        let client = aws::connect(self.sdk().await, self.config.dynamodb_endpoint.as_deref());
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
        Ok(Arc::new(KmsWrap::connect(self.sdk().await, key_id, self.config.kms_endpoint.as_deref())))
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
        Ok(Arc::new(InvokeFetcher::connect(self.sdk().await, function, Arc::clone(&self.clock))))
    }

    /// What is known of strangers' URLs, and the way to know more.
    ///
    /// # Errors
    /// As [`Self::fetcher`].
    pub async fn copies(&self, tables: &DynamoDb) -> Result<Copies, ConfigError> {
        let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
        Ok(Copies::new(clock, random, self.fetcher().await?, DocumentStore::new(tables.clone())))
    }

    /// Finds out who a client is. No development host is one here.
    pub fn resolver(&self, tables: &DynamoDb, copies: &Copies) -> Resolver {
        Resolver::new(
            self.config.issuer.clone(),
            Arc::clone(&self.clock),
            Documents::new(copies.clone()),
            RecordReader::new(tables.clone()),
            Governing::new(tables.clone()),
            AuditStore::new(tables.clone(), self.spread()),
            Vec::new(),
        )
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
        let service = ServiceBuilder::new()
            .map_request(|event: LambdaEvent<ApiGatewayV2httpRequest>| {
                LambdaEvent::new(from_gateway(event.payload), event.context)
            })
            .service(Adapter::from(router.layer(map_request(with_source)).layer(map_response(counted))));
        Ok(async move { lambda_runtime::run(service).await })
    })
}

/// Writes down what was counted while the process is sure to run.
async fn counted(response: Response) -> Response {
    metrics::flush();
    response
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

/// What `http` refuses in a query; everything outside ASCII is encoded anyway.
const NOT_IN_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// Makes an event fit for the conversion that follows, which would panic over what a stranger can send: a
/// query with characters that no query may have, or a host or scheme that make no URL. No answer depends on
/// what we are called, so the request gets a path and no host. What only a broken gateway would send, a path
/// that makes no URL or a body that is not the base64 it is said to be, is left out: the request is then
/// refused for what it lacks (FM062).
pub fn from_gateway(mut event: ApiGatewayV2httpRequest) -> LambdaRequest {
    if let Some(query) = &mut event.raw_query_string {
        *query = utf8_percent_encode(query, NOT_IN_QUERY).to_string();
    }
    if event.is_base64_encoded {
        event.body = event.body.filter(|body| STANDARD.decode(body).is_ok());
    }
    event.raw_path = event.raw_path.filter(|path| path.starts_with('/'));
    event.request_context.domain_name = None;
    event.headers.remove(HOST);
    LambdaRequest::ApiGatewayV2(event)
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
            let handler = |event: LambdaEvent<Value>| {
                let answering = serde_json::from_value(event.payload).map(&handle);
                async move {
                    match answering {
                        Ok(answering) => {
                            let answer = answering.await;
                            metrics::flush();
                            Ok::<A, lambda_runtime::Error>(answer)
                        }
                        // The error would quote the event, and the runtime would log it (FM093).
                        Err(_) => Err("the event is not understood".into()),
                    }
                }
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
    metrics::for_cloudwatch();
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
