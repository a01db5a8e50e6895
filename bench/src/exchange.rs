//! Requests and answers as a client sees them, whatever carries them to the server.

use std::time::Duration;

use crate::failure::Failure;

/// A request to the server.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Request {
    /// `GET target`.
    pub fn get(target: impl Into<String>) -> Self {
        Self { method: "GET", target: target.into(), headers: Vec::new(), body: String::new() }
    }

    /// `POST target` with a form.
    pub fn form(target: impl Into<String>, pairs: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        Self::post(target, "application/x-www-form-urlencoded", body)
    }

    /// `POST target` with a body.
    pub fn post(target: impl Into<String>, media_type: &str, body: String) -> Self {
        let headers = vec![("content-type".to_owned(), media_type.to_owned())];
        Self { method: "POST", target: target.into(), headers, body }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers, names in lower case; one `set-cookie` for each cookie.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
    /// From the last byte sent to the last byte received.
    pub took: Duration,
}

impl Answer {
    /// The first header `name`, empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// Itself, if the status is the expected one.
    ///
    /// # Errors
    /// [`Failure`] with the answer.
    pub fn expect(self, status: u16, what: &str) -> Result<Self, Failure> {
        if self.status == status { Ok(self) } else { Err(self.unexpected(what)) }
    }

    /// That this is not the answer that was hoped for.
    pub fn unexpected(&self, what: &str) -> Failure {
        let body: String = self.body.chars().take(600).collect();
        Failure::new(what, format!("{} {} {body}", self.status, self.header("location")))
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// [`Failure`] with the body.
    pub fn json(&self) -> Result<serde_json::Value, Failure> {
        serde_json::from_str(&self.body).map_err(|_| self.unexpected("no JSON"))
    }

    /// A parameter of the query in `location`.
    pub fn redirect_param(&self, name: &str) -> Option<String> {
        query_param(self.header("location"), name)
    }
}

/// A parameter of a URL's query.
pub fn query_param(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    form_urlencoded::parse(query.as_bytes())
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
}

/// A server that is measured.
pub trait Target: Send + Sync {
    /// Sends `request`, as one of many clients at once.
    ///
    /// # Errors
    /// [`Failure`] if no answer comes.
    fn send(&self, request: &Request) -> Result<Answer, Failure>;

    /// What all its processes have used of the processors so far.
    ///
    /// # Errors
    /// [`Failure`] if one has ended.
    fn cpu(&self) -> Result<Duration, Failure>;

    /// Names of its processes with the memory that each holds now and has held at most.
    ///
    /// # Errors
    /// [`Failure`] if one has ended.
    fn memory(&self) -> Result<Vec<(String, u64, u64)>, Failure>;

    /// How a person signs in there.
    fn sign_in(&self) -> SignIn;

    /// The domain, with a port if it needs one, below which metadata documents can be fetched.
    fn domain(&self) -> &str;
}

/// How a person signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// With a user name on a page.
    Page,
    /// At an OpenID provider, whose double takes any name.
    Provider,
}
