//! Signed requests to the administration API: AWS SigV4 with whatever credentials the machine has.

use std::time::SystemTime;

use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderValue, Method, Request, StatusCode};
use serde_json::Value;
use shared::clock::{Clock as _, SystemClock};
use shared::random::{OsRandom, Random};

/// The service that the gateway checks signatures for.
const SERVICE: &str = "execute-api";

/// Why a request was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No endpoint was named.
    #[error("name the server with --endpoint or NAMEPLATE_ENDPOINT, such as https://as.example")]
    NoEndpoint,
    /// The endpoint is no URL.
    #[error("--endpoint {0} is not a URL such as https://as.example")]
    Endpoint(String),
    /// The usual chain found no credentials.
    #[error(
        "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with AWS_PROFILE ({0})"
    )]
    Credentials(String),
    /// The request cannot be made or signed.
    #[error("the request cannot be signed: {0}")]
    Sign(String),
    /// The server cannot be reached.
    #[error("{0} does not answer: {1}")]
    Unreachable(String, String),
    /// The server refused: its problem (RFC 9457), in words.
    #[error("{0}")]
    Refused(String),
    /// The answer is not what it should be.
    #[error("the answer is not understood: {0}")]
    Answer(String),
}

/// An answer: its body, and the revision it is at.
#[derive(Debug)]
pub struct Answer {
    /// The body.
    pub body: Value,
    /// The body as it came.
    pub text: String,
    /// What `If-Match` takes.
    pub tag: Option<String>,
}

/// A server and the right to speak with it.
pub struct Client {
    http: reqwest::Client,
    endpoint: String,
    region: String,
    credentials: aws_credential_types::Credentials,
}

impl Client {
    /// Finds credentials and region by AWS's usual chain.
    ///
    /// # Errors
    /// [`ApiError`] if the endpoint is missing or no credentials are found.
    pub async fn connect(endpoint: Option<&str>) -> Result<Self, ApiError> {
        let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty()).ok_or(ApiError::NoEndpoint)?;
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).load().await;
        let provider = config
            .credentials_provider()
            .ok_or_else(|| ApiError::Credentials("none configured".to_owned()))?;
        let credentials =
            provider.provide_credentials().await.map_err(|error| ApiError::Credentials(error.to_string()))?;
        let region = config.region().map_or_else(|| "us-east-1".to_owned(), ToString::to_string);
        Self::with_credentials(endpoint, region, credentials)
    }

    /// Speaks with `endpoint` in `region` by these credentials.
    ///
    /// # Errors
    /// [`ApiError`] if the endpoint is no URL, or this machine cannot make a connection.
    pub fn with_credentials(
        endpoint: &str,
        region: String,
        credentials: aws_credential_types::Credentials,
    ) -> Result<Self, ApiError> {
        let url = url::Url::parse(endpoint).map_err(|_| ApiError::Endpoint(endpoint.to_owned()))?;
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
            return Err(ApiError::Endpoint(endpoint.to_owned()));
        }
        // One process-wide choice of cryptography; a second call finds it made.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| ApiError::Sign(error.to_string()))?;
        Ok(Self { http, endpoint: endpoint.trim_end_matches('/').to_owned(), region, credentials })
    }

    /// Sends one request.
    ///
    /// # Errors
    /// [`ApiError`]; a refusal says what is missing and what to do.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, ApiError> {
        let failed = |error: &dyn std::fmt::Display| ApiError::Sign(error.to_string());
        let url = format!("{}/admin/v1{path}", self.endpoint);
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let mut request = request.body(text).map_err(|error| failed(&error))?;
        self.sign(&mut request, SystemClock.now().epoch_seconds())?;
        let request = reqwest::Request::try_from(request).map_err(|error| failed(&error))?;
        let unreachable = |error: reqwest::Error| {
            ApiError::Unreachable(self.endpoint.clone(), error.without_url().to_string())
        };
        let answer = self.http.execute(request).await.map_err(unreachable)?;
        let status = answer.status();
        let tag =
            answer.headers().get("etag").and_then(|tag: &HeaderValue| tag.to_str().ok()).map(str::to_owned);
        let text = answer.text().await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(ApiError::Refused(in_words(status, &text)));
        }
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { body, text, tag })
    }

    fn sign(&self, request: &mut Request<String>, now: u64) -> Result<(), ApiError> {
        let failed = |error: &dyn std::fmt::Display| ApiError::Sign(error.to_string());
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let headers: Vec<(String, String)> = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        let signable = SignableRequest::new(
            request.method().as_str(),
            request.uri().to_string(),
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())),
            SignableBody::Bytes(request.body().as_bytes()),
        )
        .map_err(|error| failed(&error))?;
        let (instructions, _) = sign(signable, &params).map_err(|error| failed(&error))?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }

    /// `GET path`.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn get(&self, path: &str) -> Result<Answer, ApiError> {
        self.send(Method::GET, path, None, &[]).await
    }

    /// `POST path`, safe to repeat: under an idempotency key of its own.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, ApiError> {
        let bytes: [u8; 16] =
            (&OsRandom as &dyn Random).bytes().map_err(|error| ApiError::Sign(error.to_string()))?;
        let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.send(Method::POST, path, Some(body), &[("idempotency-key", &key)]).await
    }
}

/// A problem as one or two lines for a person.
fn in_words(status: StatusCode, text: &str) -> String {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    let member = |name: &str| problem.get(name).and_then(Value::as_str);
    let mut words = match (member("title"), member("detail")) {
        (_, Some(detail)) => detail.to_owned(),
        (Some(title), None) => title.to_owned(),
        (None, None) => format!("the server answered {status}"),
    };
    let near: Vec<&str> = problem
        .get("near")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !near.is_empty() {
        words.push_str(&format!("\nDid you mean {}?", near.join(", ")));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_becomes_words_with_what_was_meant() {
        let problem = r#"{"type":"not-found","title":"t","detail":"no tool claud","near":["claude.ai~x"]}"#;
        let words = in_words(StatusCode::NOT_FOUND, problem);
        assert_eq!(words, "no tool claud\nDid you mean claude.ai~x?");
        assert!(in_words(StatusCode::BAD_GATEWAY, "<html>").contains("502"));
    }
}
