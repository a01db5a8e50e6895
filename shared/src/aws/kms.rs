//! Key material wrapped by KMS: a symmetric key that never leaves it, and an encryption context that ties
//! each blob to its issuer and key id.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::Builder;
use aws_sdk_kms::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;

use super::Sdk;
use crate::jose::{KeyWrap, WrapContext, WrapError, Wrapping};

/// Tries per call, the first one included.
const ATTEMPTS_MAX: u32 = 2;
/// One try.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1500);
/// A call with its retry: a cold instance must still answer 503 before the gateway gives up (FM037).
const CALL_TIMEOUT: Duration = Duration::from_millis(2500);

/// Wraps with one KMS key.
#[derive(Clone, Debug)]
pub struct KmsWrap {
    client: Client,
    key_id: String,
}

impl KmsWrap {
    /// Connects to the region's KMS with the function's own role, or to `endpoint`, and wraps with the key
    /// `key_id` (an id or ARN; not an alias, which could be moved to another key). Nothing is sent yet.
    pub fn connect(sdk: &Sdk, key_id: String, endpoint: Option<&str>) -> Self {
        let retry = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS_MAX)
            .with_initial_backoff(Duration::from_millis(25))
            .with_max_backoff(Duration::from_millis(250));
        let timeout = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT)
            .build();
        let mut config = Builder::from(sdk.config()).retry_config(retry).timeout_config(timeout);
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        Self { client: Client::from_conf(config.build()), key_id }
    }

    /// Wraps with the key `key_id` of `client`.
    pub fn new(client: Client, key_id: String) -> Self {
        Self { client, key_id }
    }

    async fn wrap_now(&self, material: &[u8], context: WrapContext<'_>) -> Result<Vec<u8>, WrapError> {
        let answer = self
            .client
            .encrypt()
            .key_id(&self.key_id)
            .encryption_context("issuer", context.issuer)
            .encryption_context("kid", context.kid)
            .plaintext(Blob::new(material))
            .send()
            .await
            .map_err(|error| sorted(context, error))?;
        answer.ciphertext_blob.map(Blob::into_inner).ok_or(WrapError::Refused)
    }

    async fn unwrap_now(&self, wrapped: &[u8], context: WrapContext<'_>) -> Result<Vec<u8>, WrapError> {
        let answer = self
            .client
            .decrypt()
            // Named, so that a blob made with some other key this role may use is refused.
            .key_id(&self.key_id)
            .encryption_context("issuer", context.issuer)
            .encryption_context("kid", context.kid)
            .ciphertext_blob(Blob::new(wrapped))
            .send()
            .await
            .map_err(|error| sorted(context, error))?;
        answer.plaintext.map(Blob::into_inner).ok_or(WrapError::Refused)
    }
}

impl KeyWrap for KmsWrap {
    fn wrap<'a>(&'a self, material: &'a [u8], context: WrapContext<'a>) -> Wrapping<'a> {
        Box::pin(self.wrap_now(material, context))
    }

    fn unwrap<'a>(&'a self, wrapped: &'a [u8], context: WrapContext<'a>) -> Wrapping<'a> {
        Box::pin(self.unwrap_now(wrapped, context))
    }
}

/// A clear no is told from everything else, which may pass. Logged here, because the caller sees two words.
fn sorted<E, R>(context: WrapContext<'_>, error: SdkError<E, R>) -> WrapError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let refused = matches!(
        error.as_service_error().and_then(|service| service.code()),
        Some(
            "InvalidCiphertextException"
                | "IncorrectKeyException"
                | "DisabledException"
                | "KMSInvalidStateException"
                | "NotFoundException"
                | "InvalidKeyUsageException"
                | "AccessDeniedException"
                | "ValidationException"
        )
    );
    tracing::error!(kid = context.kid, reason = %DisplayErrorContext(&error), "KMS");
    if refused { WrapError::Refused } else { WrapError::Unavailable }
}
