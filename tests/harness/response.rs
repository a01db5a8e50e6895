//! An answer, read whole.

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use shared::http::log::Note;

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
    /// What the log line would say.
    pub note: Note,
}

impl Answer {
    /// Reads `response` to its end.
    pub async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(bytes.to_vec()).unwrap(),
            note: parts.extensions.get::<Note>().cloned().unwrap_or_default(),
        }
    }

    /// Checks the status; a failure shows the body and the log's reason.
    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}\n{:?}", self.body, self.note);
        self
    }

    /// The header `name`, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }

    /// The `error` member of a JSON body.
    #[track_caller]
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    /// Where a redirect leads, with its parameters. Every parameter must stand once.
    #[track_caller]
    pub fn redirect(&self) -> (String, Vec<(String, String)>) {
        self.assert_status(303);
        let location = self.header("location");
        let url = url::Url::parse(location).expect(location);
        let pairs: Vec<(String, String)> =
            url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        for (name, _) in &pairs {
            assert_eq!(pairs.iter().filter(|(other, _)| other == name).count(), 1, "{name} in {location}");
        }
        (location.split('?').next().unwrap().to_owned(), pairs)
    }

    /// One parameter of a redirect, empty if it is not there.
    #[track_caller]
    pub fn redirect_param(&self, name: &str) -> String {
        let (_, pairs) = self.redirect();
        pairs.into_iter().find(|(found, _)| found == name).map(|(_, value)| value).unwrap_or_default()
    }

    /// The value of the hidden field `name` of the page's form.
    #[track_caller]
    pub fn field(&self, name: &str) -> String {
        let forms = local::demo::form::Form::all(&self.body);
        let field = forms.iter().flat_map(|form| &form.fields).find(|(found, _)| found == name);
        field.map(|(_, value)| value.clone()).unwrap_or_else(|| panic!("no field {name} in {}", self.body))
    }

    /// Checks that this is a page that sends nobody anywhere (RED-12).
    #[track_caller]
    pub fn assert_page(&self, status: u16) -> &Self {
        self.assert_status(status);
        assert_eq!(self.header("location"), "");
        assert!(self.header("content-type").starts_with("text/html"), "{}", self.body);
        self
    }
}
