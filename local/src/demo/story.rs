//! The story itself: an MCP client meets a resource, and a person lets it in.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use serde_json::{Value, json};
use shared::oauth::CodeVerifier;
use shared::oauth::pkce::PkceError;
use shared::oauth::server_metadata;
use shared::random::{Random, RandomError};
use url::Url;

use super::browser::{Answer, Browser, Wire, WireError};
use super::narration::{Narrator, shortened};
use crate::sign_in::USER_NAME;

/// Who signs in.
const PERSON: &str = "ada";

/// The value of the consent form's button that means yes.
const YES: &str = "approve";

/// Where the story plays.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The resource identifier, which is also the MCP endpoint.
    pub resource: String,
    /// The client identifier: the URL of its metadata document.
    pub client_id: String,
    /// Where the client waits for the person to come back.
    pub redirect_uri: String,
}

/// A step went wrong.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// Nobody answered, or the answer lacks something.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// An answer other than the one that was due.
    #[error("expected {expected}, but got {got}")]
    Unexpected {
        /// What was due.
        expected: String,
        /// What came.
        got: String,
    },
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The verifier we made is not one.
    #[error(transparent)]
    Pkce(#[from] PkceError),
    /// Nobody listens to the story any more.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// The two tokens of an answer.
struct Tokens {
    access: String,
    refresh: String,
}

/// An MCP client and the person in front of it.
pub struct Story<'a, W> {
    stage: &'a Stage,
    narrator: &'a mut Narrator<W>,
    wire: Wire,
    browser: Browser,
    random: &'a dyn Random,
    fetches: &'a (dyn Fn() -> usize + Sync),
}

impl<'a, W: Write> Story<'a, W> {
    /// A story about `stage`, told by `narrator`. `fetches` counts how often the document was asked for.
    pub fn new(
        stage: &'a Stage,
        narrator: &'a mut Narrator<W>,
        wire: Wire,
        random: &'a dyn Random,
        fetches: &'a (dyn Fn() -> usize + Sync),
    ) -> Self {
        Self { stage, narrator, browser: Browser::new(wire.clone()), wire, random, fetches }
    }

    /// Plays it from the first knock to the refused refresh token.
    ///
    /// # Errors
    /// [`StoryError`] of the first step that goes wrong.
    pub async fn play(mut self) -> Result<(), StoryError> {
        let metadata_url = self.knock().await?;
        let issuer = self.read_resource_metadata(&metadata_url).await?;
        let server = self.read_server_metadata(&issuer).await?;
        let (verifier, callback) = self.authorize(&issuer, &server).await?;
        let first = self.redeem(&server, &verifier, &callback).await?;
        self.call_resource("Call the resource with the access token", &first).await?;
        let second = self.refresh(&server, &first, "Refresh: a new pair of tokens").await?;
        self.call_resource("Call the resource with the new access token", &second).await?;
        let third = self.refresh(&server, &second, "Refresh once more").await?;
        self.reuse(&server, &first, &third).await
    }

    async fn knock(&mut self) -> Result<String, StoryError> {
        self.narrator.step("Call the MCP server without a token")?;
        let answer = self.call(None).await?;
        self.expect(&answer, StatusCode::UNAUTHORIZED)?;
        let challenge = answer.header(WWW_AUTHENTICATE).unwrap_or_default().to_owned();
        self.narrator.got(&format!("WWW-Authenticate: {challenge}"))?;
        let quoted = challenge.split_once("resource_metadata=\"").and_then(|(_, rest)| rest.split_once('"'));
        let (url, _) = quoted.ok_or_else(|| unexpected("resource_metadata in the challenge", &challenge))?;
        Ok(url.to_owned())
    }

    async fn read_resource_metadata(&mut self, url: &str) -> Result<String, StoryError> {
        self.narrator.step("Ask the MCP server whom it trusts (RFC 9728)")?;
        let answer = self.get(url).await?;
        same("resource", &self.stage.resource, &answer.member("resource")?)?;
        let metadata = answer.json()?;
        let issuer = metadata.pointer("/authorization_servers/0").and_then(Value::as_str);
        let issuer =
            issuer.ok_or_else(|| unexpected("an authorization server", &metadata.to_string()))?.to_owned();
        self.narrator.say(&format!("authorization server: {issuer}"))?;
        Ok(issuer)
    }

    async fn read_server_metadata(&mut self, issuer: &str) -> Result<Answer, StoryError> {
        self.narrator.step("Ask Nameplate what it can do (RFC 8414)")?;
        let answer = self.get(&format!("{issuer}{}", server_metadata::path::METADATA)).await?;
        same("issuer", issuer, &answer.member("issuer")?)?;
        let metadata = answer.json()?;
        let documents = metadata.get("client_id_metadata_document_supported");
        if documents != Some(&Value::Bool(true)) {
            return Err(unexpected("client_id_metadata_document_supported", &metadata.to_string()));
        }
        self.narrator.say("it takes client identifiers that are URLs: no registration is needed")?;
        Ok(answer)
    }

    async fn authorize(&mut self, issuer: &str, server: &Answer) -> Result<(String, Callback), StoryError> {
        let state = self.secret()?;
        let verifier = self.secret()?;
        let challenge = CodeVerifier::parse(&verifier)?.challenge();
        let endpoint = server.member("authorization_endpoint")?;
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.stage.client_id)
            .append_pair("redirect_uri", &self.stage.redirect_uri)
            .append_pair("resource", &self.stage.resource)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("state", &state)
            .finish();
        self.narrator.step("Open the person's browser at the authorization endpoint")?;
        self.narrator.sent(&format!("GET {endpoint}"))?;
        self.narrator.say(&format!("client_id = {}", self.stage.client_id))?;
        self.narrator.say(&format!("redirect_uri = {}", self.stage.redirect_uri))?;
        self.narrator.say(&format!("code_challenge = {}, S256", shortened(&challenge)))?;
        let page = self.browser.open(&format!("{endpoint}?{query}")).await?;
        self.expect(&page, StatusCode::OK)?;
        let sign_in = page.form("sign in", |form| form.has_field(USER_NAME))?;
        self.fetched(0)?;
        self.narrator.say("a sign-in page: Nameplate fetches nothing for a stranger")?;

        self.narrator.step(&format!("Sign in as {PERSON}"))?;
        self.narrator.sent(&format!("POST {} with the user name {PERSON}", page.url.path()))?;
        let button = sign_in.buttons.first().cloned();
        let page = self.browser.submit(&page, &sign_in, &[(USER_NAME, PERSON)], button.as_ref()).await?;
        self.expect(&page, StatusCode::OK)?;
        let says_yes = |button: &&(String, String)| button.1 == YES;
        let consent = page.form("consent", |form| form.buttons.iter().any(|button| says_yes(&button)))?;
        self.fetched(1)?;
        self.narrator.say("the consent page: Nameplate has now read the client's metadata document")?;

        self.narrator.step("Allow it")?;
        self.narrator.sent(&format!("POST {}", page.url.path()))?;
        let yes = consent.buttons.iter().find(says_yes).cloned();
        let answer = self.browser.submit(&page, &consent, &[], yes.as_ref()).await?;
        self.expect(&answer, StatusCode::SEE_OTHER)?;
        let callback = Callback::read(&answer.location()?)?;
        self.narrator.got(&format!(
            "Location: {}?code={}&state={}&iss={}",
            self.stage.redirect_uri,
            shortened(&callback.code),
            shortened(&callback.state),
            callback.iss,
        ))?;
        same("redirect URI", &self.stage.redirect_uri, &callback.target)?;
        same("state", &state, &callback.state)?;
        same("iss", issuer, &callback.iss)?;
        Ok((verifier, callback))
    }

    fn fetched(&self, times: usize) -> Result<(), StoryError> {
        match (self.fetches)() {
            found if found == times => Ok(()),
            found => Err(unexpected(&format!("{times} fetches of the document"), &found.to_string())),
        }
    }

    async fn redeem(
        &mut self,
        server: &Answer,
        verifier: &str,
        callback: &Callback,
    ) -> Result<Tokens, StoryError> {
        self.narrator.step("Exchange the code for tokens")?;
        let stage = self.stage;
        let answer = self
            .token_request(
                server,
                &format!("code={}, code_verifier={}", shortened(&callback.code), shortened(verifier)),
                &[
                    ("grant_type", "authorization_code"),
                    ("code", &callback.code),
                    ("code_verifier", verifier),
                    ("redirect_uri", &stage.redirect_uri),
                    ("client_id", &stage.client_id),
                    ("resource", &stage.resource),
                ],
            )
            .await?;
        self.tokens(&answer)
    }

    async fn refresh(&mut self, server: &Answer, tokens: &Tokens, title: &str) -> Result<Tokens, StoryError> {
        self.narrator.step(title)?;
        let answer = self.refresh_request(server, tokens).await?;
        let renewed = self.tokens(&answer)?;
        if renewed.refresh == tokens.refresh || renewed.access == tokens.access {
            return Err(unexpected("new tokens", "the old ones again"));
        }
        Ok(renewed)
    }

    /// RFC 9700 §4.14.2: a refresh token that comes a second time was stolen, from the client or by it.
    async fn reuse(&mut self, server: &Answer, first: &Tokens, newest: &Tokens) -> Result<(), StoryError> {
        self.narrator.step("Present the first refresh token again, as a thief would")?;
        let answer = self.refresh_request(server, first).await?;
        self.refused(&answer)?;
        self.narrator.step("Try the newest refresh token: the reuse has revoked the whole grant")?;
        let answer = self.refresh_request(server, newest).await?;
        self.refused(&answer)
    }

    async fn call_resource(&mut self, title: &str, tokens: &Tokens) -> Result<(), StoryError> {
        self.narrator.step(title)?;
        let answer = self.call(Some(&tokens.access)).await?;
        self.expect(&answer, StatusCode::OK)?;
        let result = answer.json()?;
        let text = result.pointer("/result/content/0/text").and_then(Value::as_str);
        let text = text.ok_or_else(|| unexpected("the tool's result", &result.to_string()))?;
        self.narrator.say(&format!("whoami: {text}"))?;
        Ok(())
    }

    async fn call(&mut self, token: Option<&str>) -> Result<Answer, StoryError> {
        let authorization =
            token.map_or("no token".to_owned(), |token| format!("Bearer {}", shortened(token)));
        self.narrator.sent(&format!("POST {} tools/call whoami, {authorization}", self.stage.resource))?;
        let request =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "whoami" } });
        Ok(self.wire.post_json(&self.stage.resource, &request, token).await?)
    }

    async fn get(&mut self, url: &str) -> Result<Answer, StoryError> {
        self.narrator.sent(&format!("GET {url}"))?;
        let answer = self.wire.get(url).await?;
        self.expect(&answer, StatusCode::OK)?;
        Ok(answer)
    }

    async fn refresh_request(&mut self, server: &Answer, tokens: &Tokens) -> Result<Answer, StoryError> {
        let stage = self.stage;
        self.token_request(
            server,
            &format!("refresh_token={}", shortened(&tokens.refresh)),
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", &tokens.refresh),
                ("client_id", &stage.client_id),
                ("resource", &stage.resource),
            ],
        )
        .await
    }

    async fn token_request(
        &mut self,
        server: &Answer,
        shown: &str,
        fields: &[(&str, &str)],
    ) -> Result<Answer, StoryError> {
        let endpoint = server.member("token_endpoint")?;
        self.narrator.sent(&format!("POST {endpoint} {shown}"))?;
        Ok(self.wire.post_form(&endpoint, fields).await?)
    }

    fn tokens(&mut self, answer: &Answer) -> Result<Tokens, StoryError> {
        self.expect(answer, StatusCode::OK)?;
        let tokens =
            Tokens { access: answer.member("access_token")?, refresh: answer.member("refresh_token")? };
        let body = answer.json()?;
        let lifetime = body.get("expires_in").and_then(Value::as_u64).unwrap_or_default();
        self.narrator.say(&format!("access_token {}, good for {lifetime} s", shortened(&tokens.access)))?;
        self.narrator.say(&format!("refresh_token {}", shortened(&tokens.refresh)))?;
        Ok(tokens)
    }

    fn refused(&mut self, answer: &Answer) -> Result<(), StoryError> {
        self.expect(answer, StatusCode::BAD_REQUEST)?;
        let error = answer.member("error")?;
        self.narrator.say(&format!("error: {error}"))?;
        same("error", "invalid_grant", &error)
    }

    fn expect(&mut self, answer: &Answer, status: StatusCode) -> Result<(), StoryError> {
        self.narrator.got(&answer.status.to_string())?;
        if answer.status == status {
            Ok(())
        } else {
            Err(unexpected(&status.to_string(), &format!("{}: {}", answer.status, gist(&answer.body))))
        }
    }

    /// 32 unpredictable bytes as 43 characters: a `state`, or a `code_verifier` (RFC 7636 §4.1).
    fn secret(&self) -> Result<String, StoryError> {
        let bytes: [u8; 32] = self.random.bytes()?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// What the browser brings back.
struct Callback {
    target: String,
    code: String,
    state: String,
    iss: String,
}

impl Callback {
    fn read(location: &Url) -> Result<Self, StoryError> {
        let get = |name: &str| {
            let found = location.query_pairs().find(|(key, _)| key == name);
            found
                .map(|(_, value)| value.into_owned())
                .ok_or_else(|| unexpected(&format!("{name} in the redirect"), location.path()))
        };
        if let Ok(error) = get("error") {
            return Err(unexpected("a code", &format!("the error {error}")));
        }
        let mut target = location.clone();
        target.set_query(None);
        Ok(Self { target: target.into(), code: get("code")?, state: get("state")?, iss: get("iss")? })
    }
}

fn same(what: &str, expected: &str, got: &str) -> Result<(), StoryError> {
    if expected == got { Ok(()) } else { Err(unexpected(&format!("{what} {expected}"), got)) }
}

fn unexpected(expected: &str, got: &str) -> StoryError {
    StoryError::Unexpected { expected: expected.to_owned(), got: got.to_owned() }
}

/// The words of a page or body that a person can read: no markup, not too many.
fn gist(body: &str) -> String {
    const WORDS_MAX: usize = 40;
    let text = match body.split_once("<body") {
        Some((_, body)) => body
            .split('<')
            .filter_map(|part| part.split_once('>').map(|(_, text)| text))
            .collect::<Vec<_>>()
            .join(" "),
        None => body.to_owned(),
    };
    text.split_whitespace().take(WORDS_MAX).collect::<Vec<_>>().join(" ")
}
