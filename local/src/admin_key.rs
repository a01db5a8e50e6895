//! The administrator of a laptop: one key pair, and a real check of AWS SigV4 signatures made with it,
//! where production has the gateway's IAM authorizer.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use admin::{Caller, CallerError, CallerVerifier, Verifying};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use scratchstack_aws_signature::principal::User;
use scratchstack_aws_signature::{
    GetSigningKeyRequest, GetSigningKeyResponse, KSecretKey, NO_ADDITIONAL_SIGNED_HEADERS, SignatureOptions,
    service_for_signing_key_fn, sigv4_validate_request,
};
use shared::clock::Clock;
use shared::random::{Random, RandomError};
use shared::secret::Secret;
use tower::BoxError;

/// The region of requests to this machine.
pub const REGION: &str = "local";

/// The service that administration requests are signed for, as at the gateway.
pub const SERVICE: &str = "execute-api";

/// Who signs with the key.
pub const ARN: &str = "arn:aws:iam::000000000000:user/local-admin";

const ACCOUNT: &str = "000000000000";
const USER: &str = "local-admin";

/// An AWS key pair that means something on this machine only.
#[derive(Clone)]
pub struct AdminKey {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret: Secret,
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminKey").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// The key pair cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AdminKeyError {
    /// No random bytes for a new one.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The file is not one of ours.
    #[error("the administrator's key file {} is damaged: remove it, and a new one is made", .0.display())]
    Damaged(PathBuf),
    /// The system said no.
    #[error("the administrator's key file {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl AdminKey {
    /// A key pair that lives as long as this process.
    ///
    /// # Errors
    /// [`AdminKeyError::Random`].
    pub fn generate(random: &dyn Random) -> Result<Self, AdminKeyError> {
        let id: [u8; 10] = random.bytes()?;
        let id: String = id.iter().map(|byte| char::from(b'A' + byte % 26)).collect();
        // Thirty bytes make the forty characters that an AWS secret key has.
        let secret: [u8; 30] = random.bytes()?;
        Ok(Self {
            access_key_id: format!("LOCALADMIN{id}"),
            secret: Secret::new(URL_SAFE_NO_PAD.encode(secret)),
        })
    }

    /// The key pair in the file at `path`, which is made with mode 0600 if it is not there.
    ///
    /// # Errors
    /// [`AdminKeyError`].
    pub fn in_file(path: &Path, random: &dyn Random) -> Result<Self, AdminKeyError> {
        let io = |source| AdminKeyError::Io { path: path.to_owned(), source };
        let mut create = OpenOptions::new();
        create.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut create, 0o600);
        match create.open(path) {
            Ok(mut file) => {
                let key = Self::generate(random)?;
                let line = format!("{} {}\n", key.access_key_id, key.secret.expose());
                file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
                Ok(key)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mut text = String::new();
                std::fs::File::open(path)
                    .and_then(|file| file.take(256).read_to_string(&mut text))
                    .map_err(io)?;
                let damaged = || AdminKeyError::Damaged(path.to_owned());
                let (id, secret) = text.trim_end().split_once(' ').ok_or_else(damaged)?;
                if secret.len() != 40 || !id.starts_with("LOCALADMIN") {
                    return Err(damaged());
                }
                Ok(Self { access_key_id: id.to_owned(), secret: Secret::new(secret.to_owned()) })
            }
            Err(source) => Err(io(source)),
        }
    }
}

/// Checks SigV4 signatures made with one [`AdminKey`].
pub struct LocalCaller {
    key: AdminKey,
    clock: Arc<dyn Clock>,
}

impl LocalCaller {
    /// Lets in whoever signs with `key`.
    pub fn new(key: AdminKey, clock: Arc<dyn Clock>) -> Self {
        Self { key, clock }
    }

    async fn check(&self, parts: &Parts, body: &[u8]) -> Result<Caller, CallerError> {
        let refused = |reason: &dyn fmt::Display| CallerError(reason.to_string());
        let seconds = i64::try_from(self.clock.now().epoch_seconds()).map_err(|error| refused(&error))?;
        let now: DateTime<Utc> =
            DateTime::from_timestamp(seconds, 0).ok_or_else(|| refused(&"the clock is out of range"))?;
        let mut request = http::Request::new(body.to_vec());
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.headers_mut() = parts.headers.clone();
        let key = self.key.clone();
        let find = move |asked: GetSigningKeyRequest| {
            let key = key.clone();
            async move {
                if asked.access_key() != key.access_key_id || asked.session_token().is_some() {
                    return Err::<GetSigningKeyResponse, BoxError>(
                        "the access key is not the one of this server".into(),
                    );
                }
                let secret = KSecretKey::from_str(key.secret.expose())?;
                let signing_key = secret.to_ksigning(asked.request_date(), asked.region(), asked.service());
                let user = User::new("aws", ACCOUNT, "/", USER)?;
                Ok(GetSigningKeyResponse::builder().principal(user).signing_key(signing_key).build()?)
            }
        };
        // Bound to a name before it is handed over: the parameter asks for less than the service needs.
        let mut find = service_for_signing_key_fn(find);
        sigv4_validate_request(
            request,
            REGION,
            SERVICE,
            &mut find,
            now,
            &NO_ADDITIONAL_SIGNED_HEADERS,
            SignatureOptions::default(),
        )
        .await
        .map_err(|error| refused(&error))?;
        Ok(Caller { arn: ARN.to_owned() })
    }
}

impl CallerVerifier for LocalCaller {
    fn verify<'a>(&'a self, parts: &'a Parts, body: &'a [u8]) -> Verifying<'a> {
        Box::pin(self.check(parts, body))
    }
}
