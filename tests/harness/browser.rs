//! A browser: keeps cookies, follows our own redirects, fills in our own forms.

use axum::body::Body;
use http::Request as HttpRequest;

use crate::client::{Request, Tokens, form, token_request};
use crate::response::Answer;
use crate::server::Server;
use crate::world::Instance;

/// One browser of one person.
#[derive(Clone)]
pub struct Browser<S = Instance> {
    /// The server that its requests reach.
    pub instance: S,
    cookies: Vec<(String, String)>,
}

impl<S: Server> Browser<S> {
    /// A fresh browser.
    pub fn new(instance: &S) -> Self {
        Self { instance: instance.clone(), cookies: Vec::new() }
    }

    /// A browser in which `user` has signed in.
    pub async fn signed_in(instance: &S, user: &str) -> Self {
        let mut browser = Self::new(instance);
        let page = browser.get(&Request::default().path()).await;
        // Not followed: the client is not resolved yet, so no document is fetched or remembered.
        let body = form(&[("flow", &page.field("flow")), ("user_name", user)]);
        browser.post("/sign-in/callback", body).await.assert_status(303);
        browser
    }

    /// Its cookies, as it sends them.
    pub fn cookies(&self) -> Vec<String> {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// The names of its cookies.
    pub fn cookie_names(&self) -> Vec<String> {
        self.cookies.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Takes over the cookies of another browser whose name contains `part`, as a thief would.
    pub fn steal_cookies(&mut self, other: &Self, part: &str) {
        self.cookies.extend(other.cookies.iter().filter(|(name, _)| name.contains(part)).cloned());
    }

    /// `GET path`.
    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(HttpRequest::get(path), String::new(), &[]).await
    }

    /// `POST path` with a form, as a page of ours sends it.
    pub async fn post(&mut self, path: &str, body: String) -> Answer {
        self.post_with(path, body, &[("sec-fetch-site", "same-origin")]).await
    }

    /// `POST path` with a form and these headers.
    pub async fn post_with(&mut self, path: &str, body: String, headers: &[(&str, &str)]) -> Answer {
        let request = HttpRequest::post(path).header("content-type", "application/x-www-form-urlencoded");
        self.send(request, body, headers).await
    }

    async fn send(
        &mut self,
        mut request: http::request::Builder,
        body: String,
        headers: &[(&str, &str)],
    ) -> Answer {
        if !self.cookies.is_empty() {
            request = request.header("cookie", self.cookies().join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.instance.send(request.body(Body::from(body)).unwrap()).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !cookie.contains("Max-Age=0;") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    /// Fills in the sign-in page and follows on to what comes after it.
    pub async fn sign_in(&mut self, page: &Answer, user: &str) -> Answer {
        let body = form(&[("flow", &page.field("flow")), ("user_name", user)]);
        let answer = self.post("/sign-in/callback", body).await;
        self.follow(answer).await
    }

    /// Follows a redirect to a page of ours.
    pub async fn follow(&mut self, answer: Answer) -> Answer {
        let location = answer.header("location").to_owned();
        if answer.status != 303
            || !(location.starts_with('/') || location.starts_with(self.instance.issuer()))
        {
            return answer;
        }
        let path = location.strip_prefix(self.instance.issuer()).unwrap_or(&location).to_owned();
        self.get(&path).await
    }

    /// Answers the consent page with `approve` or `deny`.
    pub async fn decide(&mut self, page: &Answer, decision: &str) -> Answer {
        page.assert_page(200);
        let body =
            form(&[("flow", &page.field("flow")), ("form", &page.field("form")), ("decision", decision)]);
        self.post("/consent", body).await
    }

    /// Goes with `request` as far as the code, signed in already, approving if it is asked.
    pub async fn authorize(&mut self, request: &Request) -> String {
        let page = self.get(&request.path()).await;
        let answer = if page.status == 303 { page } else { self.decide(&page, "approve").await };
        let code = answer.redirect_param("code");
        assert!(!code.is_empty(), "{answer:?}");
        code
    }

    /// The whole flow of the web client.
    pub async fn tokens(&mut self) -> Tokens {
        let code = self.authorize(&Request::default()).await;
        Tokens::of(&token_request(&self.instance, &code, &[]).await)
    }
}
