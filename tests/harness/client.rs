//! An MCP client, as far as it shows on the wire.

use crate::response::Answer;
use crate::server::Server;
use crate::world::RESOURCE;

/// The web client of the stories.
pub const CLIENT_ID: &str = "https://app.example.com/oauth/client.json";

/// The command-line client of the stories.
pub const LOOPBACK_CLIENT_ID: &str = "https://cli.example.com/oauth/client.json";

/// RFC 7636 appendix B.
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// Form-encodes `pairs`.
pub fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// An authorization request under construction.
#[derive(Clone, Debug)]
pub struct Request(Vec<(String, String)>);

impl Default for Request {
    /// Q01: complete and correct, from the web client.
    fn default() -> Self {
        let pairs = [
            ("response_type", "code"),
            ("client_id", CLIENT_ID),
            ("redirect_uri", "https://app.example.com/callback"),
            ("state", "the state"),
            ("scope", "notes:read notes:write"),
            ("resource", RESOURCE),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}

impl Request {
    /// A correct request from the command-line client on `port`.
    pub fn loopback(port: u16) -> Self {
        Self::default()
            .with("client_id", LOOPBACK_CLIENT_ID)
            .with("redirect_uri", &format!("http://localhost:{port}/callback"))
    }

    /// With `name` set to `value`.
    #[must_use]
    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).and(name, value)
    }

    /// Without `name`.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(found, _)| found != name);
        self
    }

    /// With one more `name`, whether or not it is there.
    #[must_use]
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Path and query.
    pub fn path(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish();
        format!("/authorize?{query}")
    }
}

/// What a token request brought.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The refresh token, empty if there is none.
    pub refresh: String,
    /// The scope.
    pub scope: String,
}

impl Tokens {
    /// Reads a successful token answer (TOK-02, TOK-03).
    #[track_caller]
    pub fn of(answer: &Answer) -> Self {
        answer.assert_status(200);
        assert_eq!(answer.header("cache-control"), "no-store");
        let body = answer.json();
        assert!(body["expires_in"].is_u64(), "{body}");
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token"), scope: text("scope") }
    }

    /// The claims of the access token, unverified.
    pub fn claims(&self) -> serde_json::Value {
        use base64::Engine as _;
        let payload = self.access.split('.').nth(1).unwrap();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Refreshes as `client_id` at `instance`.
    pub async fn refresh(&self, instance: &impl Server, client_id: &str) -> Answer {
        let body = form(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", &self.refresh),
            ("client_id", client_id),
        ]);
        instance.post("/token", body).await
    }
}

/// Redeems `code` as the web client, with `changes` to an otherwise correct request. An empty value
/// removes the parameter.
pub async fn token_request(instance: &impl Server, code: &str, changes: &[(&str, &str)]) -> Answer {
    let mut pairs = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("client_id", CLIENT_ID),
        ("code_verifier", VERIFIER),
        ("redirect_uri", "https://app.example.com/callback"),
        ("resource", RESOURCE),
    ];
    for (name, value) in changes {
        pairs.retain(|(found, _)| found != name);
        pairs.push((name, value));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    instance.post("/token", form(&pairs)).await
}
