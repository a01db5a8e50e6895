//! `doctor`: looks at a deployment from outside, as its clients, browsers, and administrators will.
//!
//! Everything that is asked leaves nothing behind: no check signs anybody in, registers a client, or fetches a document.

mod checks;

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use url::Url;

use crate::admin::{ApiError, Client};
use crate::report::{Report, Subject};

/// How long one answer may take: longer than the gateway in front of the server would wait for it.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Bytes of an answer that are read: several times the longest honest one.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// The examination cannot even begin.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// No HTTP client.
    #[error("no connection can be made from this machine: {0}")]
    Client(reqwest::Error),
}

/// Examines the server of `issuer`, and whether it lets in the administrator of this machine, if there is one.
///
/// # Errors
/// [`DoctorError`] if this machine cannot make a connection at all; what is wrong with the server is in the report.
pub async fn examine(issuer: &str, administrator: Result<Client, ApiError>) -> Result<Report, DoctorError> {
    let mut report = Report::new(Subject::Server(issuer.to_owned()));
    let Some(url) = checks::issuer(issuer, &mut report) else { return Ok(report) };
    let visitor = Visitor::new(url)?;
    if !checks::reach(&visitor, &mut report).await {
        return Ok(report);
    }
    let Some(metadata) = checks::metadata(&visitor, issuer, &mut report).await else { return Ok(report) };
    checks::other_forms(&visitor, &mut report).await;
    checks::keys(&visitor, &metadata, &mut report).await;
    checks::browser_access(&visitor, &metadata, &mut report).await;
    checks::pages(&visitor, &metadata, &mut report).await;
    checks::endpoints(&visitor, &metadata, &mut report).await;
    checks::registration(&visitor, &metadata, &mut report).await;
    checks::administration(&visitor, &mut report).await;
    match administrator {
        Ok(client) => checks::administrator(&client, &mut report).await,
        Err(error) => report.warn(
            "administrator",
            "GOV-01",
            error.to_string(),
            "With credentials of an administrator this checks that they are let in, too.",
        ),
    }
    Ok(report)
}

/// Somebody who asks and never follows a redirect.
struct Visitor {
    http: reqwest::Client,
    issuer: Url,
}

/// What came back.
struct Seen {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn is_json(&self) -> bool {
        self.header("content-type").split(';').next().unwrap_or_default().trim() == "application/json"
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl Visitor {
    fn new(issuer: Url) -> Result<Self, DoctorError> {
        // One process-wide choice of cryptography; a second call finds it made.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_MAX)
            .user_agent("nameplate doctor")
            .build()
            .map_err(DoctorError::Client)?;
        Ok(Self { http, issuer })
    }

    /// Asks for `path` below the origin of the issuer.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Seen, String> {
        let url = self.issuer.join(path).map_err(|error| error.to_string())?;
        let mut request = self.http.request(method, url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.send().await.map_err(|error| in_words(&error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| in_words(&error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Seen { status, headers, body })
    }

    async fn get(&self, path: &str) -> Result<Seen, String> {
        self.ask(Method::GET, path, &[], "").await
    }

    async fn post_form(&self, path: &str, form: &str) -> Result<Seen, String> {
        let form_type = [("content-type", "application/x-www-form-urlencoded")];
        self.ask(Method::POST, path, &form_type, form).await
    }
}

/// The innermost cause says what happened; the outer ones only that something did.
fn in_words(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
