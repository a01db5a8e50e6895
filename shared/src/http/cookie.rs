//! Cookies of our own origin: `__Host-`, `Secure`, `HttpOnly`, `SameSite=Lax` (CON-05).

use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use crate::oauth::Issuer;

/// Cookies in one request that are looked at; a browser with more is not one that we filled.
const COOKIES_MAX: usize = 50;

/// Names and writes cookies for one issuer.
#[derive(Clone, Debug)]
pub struct Cookies {
    secure: bool,
}

impl Cookies {
    /// For the pages of `issuer`. Only on http loopback, where `__Host-` cannot work, the plain names stand.
    pub fn new(issuer: &Issuer) -> Self {
        Self { secure: issuer.is_https() }
    }

    fn prefix(&self) -> &'static str {
        if self.secure { "__Host-nameplate-" } else { "nameplate-" }
    }

    /// All cookies of ours in a request, as (name without prefix, value).
    pub fn read<'a>(&self, headers: &'a HeaderMap) -> Vec<(&'a str, &'a str)> {
        let prefix = self.prefix();
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|line| line.split(';'))
            .take(COOKIES_MAX)
            .filter_map(|pair| pair.trim().split_once('='))
            .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)))
            .collect()
    }

    /// The value of cookie `name`, unless absent or given twice.
    pub fn get<'a>(&self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        let mut values = self.read(headers).into_iter().filter(|(found, _)| *found == name);
        let first = values.next();
        if values.next().is_some() { None } else { first.map(|(_, value)| value) }
    }

    /// A `Set-Cookie` value. `value` is base64url or empty, so nothing in it needs escaping.
    pub fn set(&self, name: &str, value: &str, lifetime: Duration) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!(
            "{}{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
            self.prefix(),
            lifetime.as_secs(),
        );
        HeaderValue::from_str(&text).ok()
    }

    /// A `Set-Cookie` value that removes cookie `name`.
    pub fn remove(&self, name: &str) -> Option<HeaderValue> {
        self.set(name, "", Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_carry_the_host_prefix_wherever_it_can_work() {
        let https = Cookies::new(&Issuer::parse("https://as.example").unwrap());
        let set = https.set("session", "x", Duration::from_secs(60)).unwrap();
        assert_eq!(set, "__Host-nameplate-session=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        let http = Cookies::new(&Issuer::parse("http://127.0.0.1:9000").unwrap());
        assert_eq!(http.remove("a").unwrap(), "nameplate-a=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn only_our_own_cookies_are_read_and_a_doubled_one_counts_as_absent() {
        let cookies = Cookies::new(&Issuer::parse("https://as.example").unwrap());
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("nameplate-a=0; __Host-nameplate-a=1; x"));
        headers.append(COOKIE, HeaderValue::from_static("__Host-nameplate-b=2;__Host-nameplate-b=3"));
        assert_eq!(cookies.get(&headers, "a"), Some("1"));
        assert_eq!(cookies.get(&headers, "b"), None);
        assert_eq!(cookies.get(&headers, "c"), None);
    }
}
