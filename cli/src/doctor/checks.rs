//! The checks, in the order in which a client would come to them.

use http::Method;
use serde_json::Value;
use shared::clock::{Clock as _, SystemClock};
use shared::oauth::server_metadata::path;
use url::{Host, Url};

use super::{Seen, Visitor};
use crate::admin::{ApiError, Client};
use crate::report::Report;

/// Seconds by which the clocks may differ before signed requests and tokens begin to be refused.
const CLOCK_SKEW_MAX: u64 = 60;

/// Seconds for which the metadata may be kept, so that what is switched on or off is seen soon.
const METADATA_AGE_MAX: u64 = 3600;

/// A client that exists nowhere (RFC 6761 §6.4), so that no answer depends on anybody's document.
const NOBODY: &str = "https://nobody.invalid/client.json";

/// MET-02.
pub(super) fn issuer(issuer: &str, report: &mut Report) -> Option<Url> {
    let mend = "Give the issuer as the server was configured: https, a host, and nothing after it.";
    let mut fail = |found: &str| {
        report.fail("issuer", "MET-02", found, mend);
        None
    };
    let Ok(url) = Url::parse(issuer) else { return fail("not a URL") };
    let on_this_machine = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return fail("a URL without a host"),
    };
    match url.scheme() {
        "https" => {}
        "http" if on_this_machine => {}
        _ => return fail("not https"),
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return fail("with a query, a fragment, or a user name");
    }
    if url.path() != "/" || issuer.ends_with('/') {
        return fail("with a path");
    }
    if url.scheme() == "http" {
        let found = "http, which is for this machine only";
        report.warn("issuer", "MET-02", found, "Use https for everybody else.");
    } else {
        report.pass("issuer", "MET-02", "https, without a path");
    }
    Some(url)
}

/// Whether the server answers at all; its certificate and its clock.
pub(super) async fn reach(visitor: &Visitor, report: &mut Report) -> bool {
    let seen = match visitor.get(path::METADATA).await {
        Ok(seen) => seen,
        Err(error) => {
            let mend = "See that the name resolves, that the certificate is valid for it and complete, and that the gateway is deployed.";
            report.fail("connection", "MET-02", error, mend);
            return false;
        }
    };
    let safety = if visitor.issuer.scheme() == "https" { ", its certificate is trusted" } else { "" };
    report.pass("connection", "MET-02", format!("the server answers{safety}"));
    match httpdate::parse_http_date(seen.header("date")) {
        Ok(date) => {
            let there = date.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let skew = there.abs_diff(SystemClock.now().epoch_seconds());
            let found = format!("{skew} s between its clock and the one here");
            if skew <= CLOCK_SKEW_MAX {
                report.pass("clock", "CAU-10", found);
            } else {
                report.fail("clock", "CAU-10", found, "Set the wrong one of the two by NTP.");
            }
        }
        Err(_) => {
            report.warn("clock", "CAU-10", "the answer has no Date", "Let the gateway send Date.");
        }
    }
    true
}

/// MET-05 to MET-07, MET-09.
pub(super) async fn metadata(visitor: &Visitor, issuer: &str, report: &mut Report) -> Option<Value> {
    let name = "metadata";
    let seen = match visitor.get(path::METADATA).await {
        Ok(seen) => seen,
        Err(error) => {
            report.fail(name, "MET-05", error, "Look into the log of authorize.");
            return None;
        }
    };
    let mend = "Route /.well-known/oauth-authorization-server to authorize, and look into its log.";
    let Some(metadata) = seen.json().filter(|_| seen.status == 200 && seen.is_json()) else {
        let found = format!("{} {}", seen.status, seen.header("content-type"));
        report.fail(name, "MET-05", found, mend);
        return None;
    };
    report.pass(name, "MET-05", "200, application/json");

    let named = metadata.get("issuer").and_then(Value::as_str).unwrap_or_default();
    if named == issuer {
        report.pass("issuer in the metadata", "MET-06", "the same, character by character");
    } else {
        let mend = "Clients compare the two as strings and stop here: set the issuer of the functions to the address that people use.";
        report.fail("issuer in the metadata", "MET-06", named, mend);
    }

    let lists = |member: &str, value: &str| {
        metadata
            .get(member)
            .and_then(Value::as_array)
            .is_some_and(|list| list.iter().any(|item| item.as_str() == Some(value)))
    };
    let holds = |member: &str| metadata.get(member) == Some(&Value::Bool(true));
    let mut missing = Vec::new();
    for (present, member) in [
        (lists("response_types_supported", "code"), "response_types_supported: code"),
        (lists("grant_types_supported", "authorization_code"), "grant_types_supported: authorization_code"),
        (lists("grant_types_supported", "refresh_token"), "grant_types_supported: refresh_token"),
        (lists("code_challenge_methods_supported", "S256"), "code_challenge_methods_supported: S256"),
        (
            lists("token_endpoint_auth_methods_supported", "none"),
            "token_endpoint_auth_methods_supported: none",
        ),
        (holds("client_id_metadata_document_supported"), "client_id_metadata_document_supported: true"),
        (
            holds("authorization_response_iss_parameter_supported"),
            "authorization_response_iss_parameter_supported: true",
        ),
    ] {
        if !present {
            missing.push(member);
        }
    }
    for (member, value) in metadata.as_object().into_iter().flatten() {
        if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
            missing.push(member.as_str());
        }
    }
    if missing.is_empty() {
        report.pass("members", "MET-07", "all that clients decide by");
    } else {
        let mend = "Deploy the functions of one version, and nothing in front that rewrites the metadata.";
        report.fail("members", "MET-07", format!("missing or empty: {}", missing.join(", ")), mend);
    }

    match max_age(&seen) {
        Some(seconds) if seconds <= METADATA_AGE_MAX => {
            report.pass("caching", "MET-09", format!("kept for {seconds} s"));
        }
        found => {
            let found =
                found.map_or_else(|| "no max-age".to_owned(), |seconds| format!("kept for {seconds} s"));
            let mend = "Let nothing in front of the server lengthen Cache-Control: switching a way in off would take that long.";
            report.warn("caching", "MET-09", found, mend);
        }
    }
    Some(metadata)
}

fn max_age(seen: &Seen) -> Option<u64> {
    seen.header("cache-control")
        .split(',')
        .find_map(|part| part.trim().strip_prefix("max-age="))
        .and_then(|seconds| seconds.parse().ok())
}

/// MET-01, MET-04: what clients probe besides, and a 5xx stops some of them.
pub(super) async fn other_forms(visitor: &Visitor, report: &mut Report) {
    let name = "other forms of discovery";
    let mut wrong = Vec::new();
    for form in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration/mcp",
        "/mcp/.well-known/openid-configuration",
    ] {
        match visitor.get(form).await {
            Ok(seen) if seen.status == 404 => {}
            Ok(seen) => wrong.push(format!("{form} answers {}", seen.status)),
            Err(error) => wrong.push(format!("{form}: {error}")),
        }
    }
    if wrong.is_empty() {
        report.pass(name, "MET-04", "404, so clients go on to the right one");
    } else {
        let mend =
            "Answer 404 to what is not offered: clients take another answer for an error or for metadata.";
        report.fail(name, "MET-04", wrong.join("; "), mend);
    }
}

/// The path of an endpoint, if it is below the issuer.
fn endpoint<'a>(visitor: &Visitor, metadata: &'a Value, member: &str) -> Option<&'a str> {
    let url = metadata.get(member)?.as_str()?;
    let rest = url.strip_prefix(visitor.issuer.as_str().trim_end_matches('/'))?;
    rest.starts_with('/').then_some(rest)
}

/// The key set: public, usable, and named.
pub(super) async fn keys(visitor: &Visitor, metadata: &Value, report: &mut Report) {
    let name = "keys";
    let mend =
        "Route /jwks.json to token, and look into its log; `nameplate keys list` shows what it should hold.";
    let Some(path) = endpoint(visitor, metadata, "jwks_uri") else {
        report.fail(name, "MET-07", "jwks_uri is missing or not below the issuer", mend);
        return;
    };
    let seen = match visitor.get(path).await {
        Ok(seen) => seen,
        Err(error) => {
            report.fail(name, "MET-07", error, mend);
            return;
        }
    };
    let set = seen.json().unwrap_or_default();
    let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if seen.status != 200 || keys.is_empty() {
        report.fail(name, "MET-07", format!("{}, {} keys", seen.status, keys.len()), mend);
        return;
    }
    if keys.iter().any(|key| ["d", "p", "q", "k"].iter().any(|member| key.get(*member).is_some())) {
        let mend =
            "Count these keys as known to everybody: `nameplate keys rotate`, and find out what serves them.";
        report.fail(name, "JWT-02", "private members are published", mend);
        return;
    }
    if keys.iter().any(|key| key.get("kid").is_none() || key.get("alg").is_none()) {
        report.fail(name, "JWT-02", "a key without kid or alg", mend);
        return;
    }
    report.pass(name, "JWT-02", format!("{} public, each with kid and alg", keys.len()));
}

/// MET-08: programs in browsers reach what is meant for them, and only that.
pub(super) async fn browser_access(visitor: &Visitor, metadata: &Value, report: &mut Report) {
    let name = "browser-based clients";
    let mut wrong = Vec::new();
    let token = endpoint(visitor, metadata, "token_endpoint").unwrap_or(path::TOKEN);
    let jwks = endpoint(visitor, metadata, "jwks_uri").unwrap_or(path::JWKS);
    for (path, method) in [(path::METADATA, "GET"), (jwks, "GET"), (token, "POST")] {
        let preflight = [
            ("origin", "https://nobody.invalid"),
            ("access-control-request-method", method),
            ("access-control-request-headers", "mcp-protocol-version"),
        ];
        match visitor.ask(Method::OPTIONS, path, &preflight, "").await {
            Ok(seen) => {
                let headers = seen.header("access-control-allow-headers").to_ascii_lowercase();
                if seen.header("access-control-allow-origin") != "*"
                    || !headers.contains("mcp-protocol-version")
                {
                    wrong.push(format!("{path} does not let them in"));
                }
            }
            Err(error) => wrong.push(format!("{path}: {error}")),
        }
    }
    let origin = [("origin", "https://nobody.invalid")];
    if let Ok(seen) = visitor.ask(Method::GET, "/consent", &origin, "").await
        && !seen.header("access-control-allow-origin").is_empty()
    {
        wrong.push("/consent lets other sites' programs read it".to_owned());
    }
    if wrong.is_empty() {
        report.pass(name, "MET-08", "metadata, keys, and tokens are open to them, pages are not");
    } else {
        let mend = "Leave CORS to the functions: switch it off in the gateway and whatever stands in front.";
        report.fail(name, "MET-08", wrong.join("; "), mend);
    }
}

/// The authorization endpoint: a page for people, safe headers, and no way to be sent elsewhere by a stranger.
pub(super) async fn pages(visitor: &Visitor, metadata: &Value, report: &mut Report) {
    let mend = "Route /authorize to authorize, and look into its log.";
    let Some(path) = endpoint(visitor, metadata, "authorization_endpoint") else {
        report.fail("authorization endpoint", "MET-07", "missing or not below the issuer", mend);
        return;
    };
    let seen = match visitor.get(path).await {
        Ok(seen) => seen,
        Err(error) => {
            report.fail("authorization endpoint", "MET-07", error, mend);
            return;
        }
    };
    if seen.status == 400 && seen.header("content-type").starts_with("text/html") {
        report.pass("authorization endpoint", "AUT-30", "an incomplete request gets a page that says so");
    } else {
        let found = format!("{} {} for an incomplete request", seen.status, seen.header("content-type"));
        report.fail("authorization endpoint", "AUT-30", found, mend);
    }

    let policy = seen.header("content-security-policy");
    let mut wrong = Vec::new();
    if !policy.contains("frame-ancestors 'none'") || policy.contains("unsafe-") {
        wrong.push("content-security-policy");
    }
    for (header, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        if !seen.header(header).contains(value) {
            wrong.push(header);
        }
    }
    if wrong.is_empty() {
        report.pass("headers of pages", "AUT-07", "no framing, no sniffing, no referrer, no copy kept");
    } else {
        let mend = "Let nothing in front of the server remove or rewrite these headers.";
        report.fail("headers of pages", "AUT-07", wrong.join(", "), mend);
    }

    let question = format!(
        "{path}?response_type=code&client_id={}&redirect_uri={}",
        encoded(NOBODY),
        encoded("https://nobody.invalid/callback")
    );
    match visitor.get(&question).await {
        Ok(seen) if seen.header("location").contains("nobody.invalid/callback") => {
            let mend = "This server sends people wherever a stranger says. Take it off the network.";
            report.fail("no open redirect", "AUT-26", "an unknown client's redirect URI is followed", mend);
        }
        Ok(_) => {
            report.pass("no open redirect", "AUT-26", "an unknown client's redirect URI is not followed")
        }
        Err(error) => report.fail("no open redirect", "AUT-26", error, mend),
    }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Every advertised endpoint is there and refuses what it must.
pub(super) async fn endpoints(visitor: &Visitor, metadata: &Value, report: &mut Report) {
    let wanted: [(&'static str, &'static str, &[u16]); 4] = [
        ("token_endpoint", "TOK-05", &[400]),
        ("pushed_authorization_request_endpoint", "RFC 9126", &[400, 401]),
        ("revocation_endpoint", "REV-01", &[400, 401]),
        ("introspection_endpoint", "INT-01", &[400, 401]),
    ];
    for (member, requirement, statuses) in wanted {
        let mend = "Route it to token, and look into its log.";
        let Some(path) = endpoint(visitor, metadata, member) else {
            report.fail(member, requirement, "missing or not below the issuer", mend);
            continue;
        };
        match visitor.post_form(path, "").await {
            Ok(seen) => {
                let error = seen.json().and_then(|body| body.get("error").cloned());
                let stored = seen.header("cache-control").contains("no-store");
                if statuses.contains(&seen.status.as_u16()) && error.is_some() && stored {
                    report.pass(
                        member,
                        requirement,
                        format!("there, and refuses an empty request with {}", seen.status),
                    );
                } else {
                    let found = format!("{} for an empty request, no-store: {stored}", seen.status);
                    report.fail(member, requirement, found, mend);
                }
            }
            Err(error) => report.fail(member, requirement, error, mend),
        }
    }
}

/// Registration is there if and only if it is advertised.
pub(super) async fn registration(visitor: &Visitor, metadata: &Value, report: &mut Report) {
    let name = "registration endpoint";
    let advertised = metadata.get("registration_endpoint").is_some();
    let path = endpoint(visitor, metadata, "registration_endpoint").unwrap_or(path::REGISTER);
    let body = visitor.ask(Method::POST, path, &[("content-type", "application/json")], "{}").await;
    let mend = "Wait for half a minute after a change of the policy; then route /register to register, and look into its log.";
    match body {
        Ok(seen) => match (advertised, seen.status.as_u16()) {
            (true, 400 | 401) => report.pass(name, "REG-01", "advertised, and there"),
            (false, 403) => report.pass(name, "REG-01", "off, and says so"),
            (_, 429) => report.warn(name, "REG-01", "busy: 429", "Try again in a minute."),
            (true, status) => {
                report.fail(name, "REG-01", format!("advertised, and answers {status}"), mend);
            }
            (false, status) => {
                report.fail(name, "REG-01", format!("not advertised, and answers {status}"), mend);
            }
        },
        Err(error) => report.fail(name, "REG-01", error, mend),
    }
}

/// Nobody administers without a signature.
pub(super) async fn administration(visitor: &Visitor, report: &mut Report) {
    let name = "administration without a signature";
    match visitor.get("/admin/v1/whoami").await {
        Ok(seen) if matches!(seen.status.as_u16(), 401 | 403) => {
            report.pass(name, "GOV-01", format!("refused with {}", seen.status));
        }
        Ok(seen) => {
            let mend = if seen.status.is_success() {
                "Anybody can administer this server: put the IAM authorizer on its route at once."
            } else {
                "Route /admin/v1/{proxy+} to admin with the IAM authorizer."
            };
            report.fail(name, "GOV-01", seen.status.to_string(), mend);
        }
        Err(error) => report.fail(name, "GOV-01", error, "Route /admin/v1/{proxy+} to admin."),
    }
}

/// Whoever has the credentials of this machine is let in, and by this very server.
pub(super) async fn administrator(client: &Client, report: &mut Report) {
    let name = "administrator";
    match client.get("/whoami").await {
        Ok(answer) => {
            let member = |name: &str| answer.body.get(name).and_then(Value::as_str).unwrap_or_default();
            report.pass(name, "GOV-01", format!("{} is {}", member("arn"), member("role")));
        }
        Err(error @ ApiError::Refused(_)) => {
            let mend = "Name the ARN of this machine's credentials under administration in the policy, and allow it execute-api:Invoke.";
            report.warn(name, "GOV-01", error.to_string(), mend);
        }
        Err(error) => report.fail(name, "GOV-01", error.to_string(), "Look into the log of admin."),
    }
}
