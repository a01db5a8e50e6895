//! The fetcher of a deployed function: another function, which has no rights, fetches for it.

use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::Builder;
use aws_sdk_lambda::error::{DisplayErrorContext, ProvideErrorMetadata as _, SdkError};
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;

use super::Sdk;
use crate::clock::Clock;
use crate::fetch::guard::FETCH_MAX;
use crate::fetch::wire::{ANSWER_BYTES_MAX, AnswerForm, RequestForm};
use crate::fetch::{FetchError, FetchRequest, Fetched, Fetcher, Fetching};

/// What an invocation may take besides the fetch itself: a new instance, and the way there and back.
const INVOCATION_EXTRA: Duration = Duration::from_millis(1500);

/// Fetches by invoking the `fetch` function.
#[derive(Clone)]
pub struct InvokeFetcher {
    client: Client,
    function: String,
    clock: Arc<dyn Clock>,
}

impl InvokeFetcher {
    /// Invokes `function` (its name or ARN) in the region with the caller's own role, or at
    /// `AWS_ENDPOINT_URL_LAMBDA`. Nothing is sent yet.
    pub fn connect(sdk: &Sdk, function: String, clock: Arc<dyn Clock>) -> Self {
        let timeout = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_timeout(FETCH_MAX.saturating_add(INVOCATION_EXTRA))
            .build();
        let config = Builder::from(sdk.config())
            // A second try would be a second fetch from a stranger, and there is no time for one.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeout)
            .build();
        Self::new(Client::from_conf(config), function, clock)
    }

    /// Invokes `function` by way of `client`.
    pub fn new(client: Client, function: String, clock: Arc<dyn Clock>) -> Self {
        Self { client, function, clock }
    }

    async fn fetch_now(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let requested_at = self.clock.now();
        let payload = serde_json::to_vec(&RequestForm::from(request)).map_err(|_| FetchError::Function)?;
        let invoked =
            self.client.invoke().function_name(&self.function).payload(Blob::new(payload)).send().await;
        let output = invoked.map_err(|error| sorted(&error))?;
        let payload = output.payload.map(Blob::into_inner).unwrap_or_default();
        if let Some(error) = output.function_error {
            // A crash or a timeout over there. What it said stays unread: it may quote the document.
            tracing::error!(error, "the fetch function failed");
            return Err(FetchError::Function);
        }
        if payload.len() > ANSWER_BYTES_MAX {
            return Err(FetchError::TooLarge);
        }
        let form: AnswerForm = serde_json::from_slice(&payload).map_err(|_| FetchError::Function)?;
        form.check(request, requested_at, self.clock.now())
    }
}

impl Fetcher for InvokeFetcher {
    fn fetch<'a>(&'a self, request: &'a FetchRequest) -> Fetching<'a> {
        Box::pin(self.fetch_now(request))
    }
}

/// The reserved concurrency of the function is the fleet's cap on fetches, so being throttled is ordinary
/// and passes. Everything else is ours to mend, and logged.
fn sorted(error: &SdkError<InvokeError>) -> FetchError {
    let code = error.as_service_error().and_then(|service| service.code());
    match (code, error) {
        (Some("TooManyRequestsException"), _) => FetchError::Busy,
        (None, SdkError::TimeoutError(_)) => FetchError::Deadline,
        _ => {
            tracing::error!(reason = %DisplayErrorContext(error), "the fetch function could not be invoked");
            FetchError::Function
        }
    }
}
