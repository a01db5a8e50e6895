//! The demo's side of the wire: a plain HTTP client, and a browser with cookies and forms on top.

use std::collections::BTreeMap;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, LOCATION, ORIGIN, SET_COOKIE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::form::Form;

/// Redirects a browser of ours follows in a row; the longest chain of our pages is shorter.
const REDIRECTS_MAX: usize = 8;

/// Something did not answer, or not as it should.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No answer.
    #[error("{url} did not answer: {source}")]
    NoAnswer {
        /// Who was asked.
        url: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The HTTP client could not be built.
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// Not a URL.
    #[error("{0:?} is not a URL")]
    Url(String),
    /// An answer without the form, header, or JSON that was due.
    #[error("{url} answered {status} without {missing}")]
    Missing {
        /// Who was asked.
        url: String,
        /// The status.
        status: StatusCode,
        /// What should have been there.
        missing: String,
    },
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whose answer it is.
    pub url: Url,
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// A header field as text.
    pub fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// [`WireError::Missing`] if it is not JSON.
    pub fn json(&self) -> Result<Value, WireError> {
        serde_json::from_str(&self.body).map_err(|_| self.without("a JSON body"))
    }

    /// A string member of the JSON body.
    ///
    /// # Errors
    /// [`WireError::Missing`] if it is not there.
    pub fn member(&self, name: &str) -> Result<String, WireError> {
        let value = self.json()?.get(name).and_then(Value::as_str).map(str::to_owned);
        value.ok_or_else(|| self.without(&format!("the member {name}")))
    }

    /// Where it redirects to.
    ///
    /// # Errors
    /// [`WireError::Missing`] if it does not redirect.
    pub fn location(&self) -> Result<Url, WireError> {
        let location = self.header(LOCATION).ok_or_else(|| self.without("a Location"))?;
        self.url.join(location).map_err(|_| WireError::Url(location.to_owned()))
    }

    /// The form that `wanted` recognises.
    ///
    /// # Errors
    /// [`WireError::Missing`] if the page has no such form.
    pub fn form(&self, purpose: &str, wanted: impl Fn(&Form) -> bool) -> Result<Form, WireError> {
        let form = Form::all(&self.body).into_iter().find(wanted);
        form.ok_or_else(|| self.without(&format!("a form to {purpose}")))
    }

    fn without(&self, missing: &str) -> WireError {
        WireError::Missing { url: self.url.to_string(), status: self.status, missing: missing.to_owned() }
    }
}

/// A plain client: no cookies, no redirects, no proxy, loopback http only.
#[derive(Clone, Debug)]
pub struct Wire(reqwest::Client);

impl Wire {
    /// A client without any root certificate, so that it can speak to nobody but this machine's plain http.
    ///
    /// # Errors
    /// [`WireError::Client`] if it cannot be built.
    pub fn new() -> Result<Self, WireError> {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        // Only an empty list of protocol versions can fail here; then reqwest reports the missing backend.
        let mut builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        if let Ok(tls) =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
        {
            let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
            builder = builder.tls_backend_preconfigured(tls);
        }
        Ok(Self(builder.build()?))
    }

    /// GET.
    ///
    /// # Errors
    /// [`WireError`] if there is no answer.
    pub async fn get(&self, url: &str) -> Result<Answer, WireError> {
        self.send(Method::GET, &parse(url)?, HeaderMap::new(), String::new()).await
    }

    /// POST of a form.
    ///
    /// # Errors
    /// [`WireError`] if there is no answer.
    pub async fn post_form(&self, url: &str, fields: &[(&str, &str)]) -> Result<Answer, WireError> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(Method::POST, &parse(url)?, form_headers(), body).await
    }

    /// POST of JSON, with an access token if there is one.
    ///
    /// # Errors
    /// [`WireError`] if there is no answer.
    pub async fn post_json(&self, url: &str, body: &Value, token: Option<&str>) -> Result<Answer, WireError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if let Some(bearer) = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok()) {
            headers.insert(AUTHORIZATION, bearer);
        }
        self.send(Method::POST, &parse(url)?, headers, body.to_string()).await
    }

    /// Any request.
    ///
    /// # Errors
    /// [`WireError`] if there is no answer.
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: String,
    ) -> Result<Answer, WireError> {
        let no_answer = |source| WireError::NoAnswer { url: url.to_string(), source };
        let request = self.0.request(method, url.clone()).headers(headers).body(body);
        let response = request.send().await.map_err(no_answer)?;
        Ok(Answer {
            url: url.clone(),
            status: response.status(),
            headers: response.headers().clone(),
            body: response.text().await.map_err(no_answer)?,
        })
    }
}

/// A person's browser: keeps cookies, follows redirects within one origin, fills in forms.
#[derive(Clone, Debug)]
pub struct Browser {
    wire: Wire,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// A browser that has been nowhere yet.
    pub fn new(wire: Wire) -> Self {
        Self { wire, cookies: BTreeMap::new() }
    }

    /// Opens `url` and follows redirects until a page comes or another origin takes over.
    ///
    /// # Errors
    /// [`WireError`] if there is no answer.
    pub async fn open(&mut self, url: &str) -> Result<Answer, WireError> {
        let answer = self.request(Method::GET, &parse(url)?, String::new()).await?;
        self.follow(answer).await
    }

    /// Sends `form` of `page` as a browser does when the person typed `typed` and pressed `button`.
    ///
    /// # Errors
    /// [`WireError`] if there is no answer.
    pub async fn submit(
        &mut self,
        page: &Answer,
        form: &Form,
        typed: &[(&str, &str)],
        button: Option<&(String, String)>,
    ) -> Result<Answer, WireError> {
        let action = page.url.join(&form.action).map_err(|_| WireError::Url(form.action.clone()))?;
        let answer = self.request(Method::POST, &action, form.filled(typed, button)).await?;
        self.follow(answer).await
    }

    async fn follow(&mut self, mut answer: Answer) -> Result<Answer, WireError> {
        for _ in 0..REDIRECTS_MAX {
            if !answer.status.is_redirection() {
                return Ok(answer);
            }
            let next = answer.location()?;
            if next.origin() != answer.url.origin() {
                return Ok(answer);
            }
            answer = self.request(Method::GET, &next, String::new()).await?;
        }
        Ok(answer)
    }

    async fn request(&mut self, method: Method, url: &Url, body: String) -> Result<Answer, WireError> {
        let mut headers = if method == Method::POST { form_headers() } else { HeaderMap::new() };
        headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
        if method == Method::POST
            && let Ok(origin) = HeaderValue::try_from(url.origin().ascii_serialization())
        {
            headers.insert(ORIGIN, origin);
        }
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if let (false, Ok(cookies)) = (cookies.is_empty(), HeaderValue::try_from(cookies.join("; "))) {
            headers.insert(COOKIE, cookies);
        }
        let answer = self.wire.send(method, url, headers, body).await?;
        for cookie in answer.headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            self.keep(cookie);
        }
        Ok(answer)
    }

    /// One server, one path: of all attributes only the one that deletes matters.
    fn keep(&mut self, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        if parts.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0")) {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

fn parse(url: &str) -> Result<Url, WireError> {
    url.parse().map_err(|_| WireError::Url(url.to_owned()))
}

fn form_headers() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))])
}
