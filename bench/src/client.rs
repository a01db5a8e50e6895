//! A person with a browser and an MCP client, as far as they show on the wire.

use serde_json::{Value, json};

use crate::double::provider;
use crate::exchange::{Answer, Request, SignIn, Target, query_param};
use crate::failure::{Context as _, Failure};

/// The one resource that tokens are for.
pub const RESOURCE: &str = "https://notes.example.com/mcp";

/// With which it authenticates at introspection.
pub const RESOURCE_SECRET: &str = "a secret of the resource, 32 characters or more";

/// RFC 7636 appendix B.
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// The metadata document at `url`: an editor's, with a web and a loopback redirect URI.
pub fn document(url: &str) -> Value {
    let host = url.strip_prefix("https://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    json!({
        "client_id": url,
        "client_name": format!("Editor of {host}"),
        "client_uri": format!("https://{host}/"),
        "redirect_uris": [format!("https://{host}/callback"), "http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "notes:read notes:write",
    })
}

/// One installation of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The client identifier.
    pub client_id: String,
    /// Where its answers go.
    pub redirect_uri: String,
}

impl Installation {
    /// Number `installation` of the tool number `tool`, which has a metadata document below `domain`.
    pub fn of_document(domain: &str, tool: usize, installation: usize) -> Self {
        Self {
            client_id: format!("https://{}/client.json", host(domain, tool)),
            redirect_uri: loopback(installation),
        }
    }

    /// The tool number `tool` as a web application, at its own host.
    pub fn on_the_web(domain: &str, tool: usize) -> Self {
        let host = host(domain, tool);
        Self {
            client_id: format!("https://{host}/client.json"),
            redirect_uri: format!("https://{host}/callback"),
        }
    }

    /// Number `installation` of the tool number `tool`, which registers itself at `target`.
    ///
    /// # Errors
    /// [`Failure`] if it is not registered.
    pub fn register(target: &dyn Target, tool: usize, installation: usize) -> Result<Self, Failure> {
        let redirect_uri = loopback(installation);
        let answer = target.send(&registration(tool, &redirect_uri))?.expect(201, "register")?;
        let client_id = answer.json()?.get("client_id").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { client_id: client_id.context("client_id")?, redirect_uri })
    }

    /// The authorization request.
    pub fn authorize(&self) -> Request {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", &self.client_id),
                ("redirect_uri", &self.redirect_uri),
                ("state", "af0ifjsldkj"),
                ("scope", "notes:read notes:write"),
                ("resource", RESOURCE),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
            ])
            .finish();
        Request::get(format!("/authorize?{query}"))
    }

    /// The redemption of `code`.
    pub fn redeem(&self, code: &str) -> Request {
        self.redeem_with(code, VERIFIER)
    }

    /// The redemption of `code` with this `code_verifier`.
    pub fn redeem_with(&self, code: &str, verifier: &str) -> Request {
        Request::form(
            "/token",
            &[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("client_id", &self.client_id),
                ("redirect_uri", &self.redirect_uri),
                ("code_verifier", verifier),
                ("resource", RESOURCE),
            ],
        )
    }

    /// A refresh.
    pub fn refresh(&self, refresh_token: &str) -> Request {
        Request::form(
            "/token",
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh_token),
                ("client_id", &self.client_id),
                ("resource", RESOURCE),
            ],
        )
    }

    /// The revocation of a token.
    pub fn revoke(&self, token: &str) -> Request {
        Request::form("/revoke", &[("token", token), ("client_id", &self.client_id)])
    }
}

/// The registration of the tool number `tool`, by an installation with this redirect URI.
pub fn registration(tool: usize, redirect_uri: &str) -> Request {
    let metadata = json!({
        "client_name": format!("Shell {tool}"),
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    Request::post("/register", "application/json", metadata.to_string())
}

/// The resource's question about an access token.
pub fn introspect(access_token: &str) -> Request {
    let pairs = [("token", access_token), ("client_id", RESOURCE), ("client_secret", RESOURCE_SECRET)];
    Request::form("/introspect", &pairs)
}

/// Where the document of the tool number `tool` is.
pub fn host(domain: &str, tool: usize) -> String {
    format!("tool-{tool}.{domain}")
}

/// Every installation listens on a port of its own.
fn loopback(installation: usize) -> String {
    format!("http://127.0.0.1:{}/callback", 20_000 + installation % 40_000)
}

/// What a token request brought.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

impl Tokens {
    /// Those in `answer`.
    ///
    /// # Errors
    /// [`Failure`] with the answer, if it brings none.
    pub fn of(answer: Answer) -> Result<Self, Failure> {
        let body = answer.expect(200, "token")?.json()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned).context(name);
        Ok(Self { access: text("access_token")?, refresh: text("refresh_token")? })
    }
}

/// One browser.
pub struct Browser<'a> {
    target: &'a dyn Target,
    cookies: Vec<(String, String)>,
}

impl<'a> Browser<'a> {
    /// A fresh one.
    pub fn new(target: &'a dyn Target) -> Self {
        Self { target, cookies: Vec::new() }
    }

    /// Sends `request` with its cookies, and keeps those that come back.
    ///
    /// # Errors
    /// [`Failure`] if there is no answer.
    pub fn send(&mut self, request: Request) -> Result<Answer, Failure> {
        let answer = self.target.send(&self.with_cookies(request))?;
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, rest) = cookie.split_once('=').context("cookie")?;
            let value = rest.split(';').next().unwrap_or_default();
            self.cookies.retain(|(known, _)| known != name);
            if !cookie.contains("Max-Age=0;") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(answer)
    }

    /// `request` as this browser sends it.
    pub fn with_cookies(&self, mut request: Request) -> Request {
        if !self.cookies.is_empty() {
            let pairs: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", pairs.join("; "));
        }
        if request.method == "POST" {
            request = request.header("sec-fetch-site", "same-origin");
        }
        request
    }

    /// From the answer to an authorization request: signs `person` in, as far as the way to the consent page.
    ///
    /// # Errors
    /// [`Failure`] if that is not where it ends.
    pub fn sign_in(&mut self, begun: &Answer, person: &str) -> Result<Answer, Failure> {
        let request = self.sign_in_request(begun, person)?;
        self.send(request)?.expect(303, "sign-in")
    }

    /// The request by which `person` comes back signed in.
    ///
    /// # Errors
    /// [`Failure`] if `begun` does not ask anybody to sign in.
    pub fn sign_in_request(&self, begun: &Answer, person: &str) -> Result<Request, Failure> {
        match self.target.sign_in() {
            SignIn::Page => {
                let flow = field(&begun.body, "flow").ok_or_else(|| begun.unexpected("no sign-in page"))?;
                Ok(Request::form("/sign-in/callback", &[("flow", flow), ("user_name", person)]))
            }
            SignIn::Provider => {
                let location = begun.header("location");
                let param =
                    |name: &str| query_param(location, name).ok_or_else(|| begun.unexpected("no redirect"));
                let (nonce, state) = (param("nonce")?, param("state")?);
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("code", &provider::code(person, &nonce))
                    .append_pair("state", &state)
                    .finish();
                Ok(Request::get(format!("/sign-in/callback?{query}")))
            }
        }
    }

    /// Follows the redirect in `answer` to a page of the server.
    ///
    /// # Errors
    /// [`Failure`] if it leads elsewhere.
    pub fn follow(&mut self, answer: &Answer) -> Result<Answer, Failure> {
        let location = answer.header("location").to_owned();
        let path = location.find("/consent").and_then(|at| location.get(at..));
        let path = path.ok_or_else(|| answer.unexpected("no way to the consent page"))?;
        self.send(Request::get(path))
    }

    /// The form that says yes on the consent page `page`.
    ///
    /// # Errors
    /// [`Failure`] if it is another page.
    pub fn approval(page: &Answer) -> Result<Request, Failure> {
        let fields = (field(&page.body, "flow"), field(&page.body, "form"));
        let (Some(flow), Some(form)) = fields else { return Err(page.unexpected("no consent page")) };
        Ok(Request::form("/consent", &[("flow", flow), ("form", form), ("decision", "approve")]))
    }

    /// Says yes on the consent page: the code.
    ///
    /// # Errors
    /// [`Failure`] if there is none.
    pub fn approve(&mut self, page: &Answer) -> Result<String, Failure> {
        let answer = self.send(Self::approval(page)?)?.expect(303, "consent")?;
        answer.redirect_param("code").ok_or_else(|| answer.unexpected("no code"))
    }

    /// The whole way of somebody who is not signed in yet: the code.
    ///
    /// # Errors
    /// [`Failure`] at the first answer that is not the expected one.
    pub fn code(&mut self, installation: &Installation, person: &str) -> Result<String, Failure> {
        let begun = self.send(installation.authorize())?;
        let signed_in = self.sign_in(&begun, person)?;
        let page = self.follow(&signed_in)?;
        self.approve(&page)
    }

    /// The whole way of somebody who is signed in: the code.
    ///
    /// # Errors
    /// [`Failure`] at the first answer that is not the expected one.
    pub fn another_code(&mut self, installation: &Installation) -> Result<String, Failure> {
        let page = self.send(installation.authorize())?;
        match page.redirect_param("code") {
            // The person allowed it before.
            Some(code) => Ok(code),
            None => self.approve(&page),
        }
    }
}

/// The value of the input `name` in a page of ours, whose values need no unescaping.
fn field<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_our_pages() {
        let page =
            r#"<input type="hidden" name="flow" value="a_b"><input type="hidden" name="form" value="">"#;
        assert_eq!(field(page, "flow"), Some("a_b"));
        assert_eq!(field(page, "form"), Some(""));
        assert_eq!(field(page, "decision"), None);
    }
}
