//! `nameplate doctor`: a good deployment passes, and each thing that deployments get wrong is found and named.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use cli::admin::{ApiError, Client};
use cli::doctor::examine;
use cli::report::{Report, Verdict};
use http::{HeaderValue, StatusCode};
use local::admin_key::{AdminKey, REGION};
use local::start::{Config, Outside, Running, start};
use shared::oauth::Issuer;
use tokio::net::TcpListener;

fn administrator(issuer: &str, key: &AdminKey) -> Result<Client, ApiError> {
    let credentials =
        Credentials::new(key.access_key_id.clone(), key.secret.expose().to_owned(), None, None, "test");
    Client::with_credentials(issuer, REGION.to_owned(), credentials)
}

fn verdict<'a>(report: &'a Report, name: &str) -> (Verdict, &'a str) {
    let check = report.checks.iter().find(|check| check.name == name);
    let check = check.unwrap_or_else(|| panic!("no check {name}:\n{report}"));
    (check.verdict, &check.found)
}

/// MET-01 to MET-09, AUT-07, AUT-26: what a client, a browser, and an administrator rely on is there.
#[tokio::test]
async fn a_good_server_passes_every_check() {
    let server = start(Config::default(), Outside::default()).await.unwrap();
    let issuer = server.issuer().as_str().to_owned();
    let report = examine(&issuer, administrator(&issuer, server.admin_key())).await.unwrap();
    assert!(report.passed(), "{report}");
    let warned: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Warned)
        .map(|check| check.name)
        .collect();
    assert_eq!(warned, ["issuer"], "http on this machine, and nothing else:\n{report}");
    assert!(verdict(&report, "administrator").1.ends_with("is owner"), "{report}");
    let text = report.to_string();
    assert!(text.contains("\nin order: 0 errors, 1 warnings"), "{text}");
    assert_eq!(report.to_json()["issuer"], issuer.as_str());
    server.stop().await;
}

/// What a deployment gets wrong: applied to a request's path and its answer.
type Fault = fn(&str, &mut http::response::Parts, &mut Vec<u8>);

struct Behind {
    server: Running,
    fault: Arc<Mutex<Fault>>,
}

/// A server behind something that spoils its answers.
async fn behind_a_fault() -> Behind {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let outside = listener.local_addr().unwrap();
    let issuer = Issuer::parse(&format!("http://{outside}")).unwrap();
    let config = Config { issuer: Some(issuer), ..Config::default() };
    let server = start(config, Outside::default()).await.unwrap();
    let fault: Arc<Mutex<Fault>> = Arc::new(Mutex::new(|_, _, _| {}));
    let inside = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let state = (inside, server.addr(), Arc::clone(&fault));
    let router = Router::new().layer(from_fn_with_state(state, pass_on));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Behind { server, fault }
}

async fn pass_on(
    State((http, inside, fault)): State<(reqwest::Client, SocketAddr, Arc<Mutex<Fault>>)>,
    request: Request,
    _: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 * 1024).await.unwrap();
    let path = parts.uri.path().to_owned();
    let url = format!("http://{inside}{}", parts.uri);
    let answer = http.request(parts.method, url).headers(parts.headers).body(body).send().await;
    let answer: http::Response<reqwest::Body> = answer.unwrap().into();
    let (mut parts, body) = answer.into_parts();
    let mut body = axum::body::to_bytes(Body::new(body), 1024 * 1024).await.unwrap().to_vec();
    let fault = *fault.lock().unwrap();
    fault(&path, &mut parts, &mut body);
    parts.headers.remove("content-length");
    Response::from_parts(parts, Body::from(body))
}

fn replace(body: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8(body.clone()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    *body = text.replace(from, to).into_bytes();
}

const METADATA: &str = "/.well-known/oauth-authorization-server";

/// Each fault, the check that finds it, and what it says.
const FAULTS: &[(Fault, &str, &str)] = &[
    (
        |path, _, body| {
            if path == METADATA {
                replace(body, r#""issuer":"http://"#, r#""issuer":"http://api."#);
            }
        },
        "issuer in the metadata",
        "http://api.",
    ),
    (
        |path, _, body| {
            if path == METADATA {
                replace(body, r#""S256""#, r#""plain""#);
            }
        },
        "members",
        "code_challenge_methods_supported: S256",
    ),
    (
        |path, _, body| {
            if path == METADATA {
                replace(
                    body,
                    r#""scopes_supported":["#,
                    r#""service_documentation":null,"scopes_supported":["#,
                );
            }
        },
        "members",
        "service_documentation",
    ),
    (
        |path, parts, _| {
            if path == METADATA {
                parts.headers.insert("cache-control", HeaderValue::from_static("max-age=604800"));
            }
        },
        "caching",
        "604800",
    ),
    (
        |path, parts, _| {
            if path.contains("openid-configuration") {
                parts.status = StatusCode::BAD_GATEWAY;
            }
        },
        "other forms of discovery",
        "502",
    ),
    (
        |path, _, body| {
            if path == "/jwks.json" {
                replace(body, r#""kty""#, r#""d":"c2VjcmV0","kty""#);
            }
        },
        "keys",
        "private",
    ),
    (
        |path, parts, _| {
            if path == "/jwks.json" {
                parts.headers.remove("access-control-allow-origin");
            }
        },
        "browser-based clients",
        "/jwks.json",
    ),
    (
        |path, parts, _| {
            if path == "/consent" {
                parts.headers.insert("access-control-allow-origin", HeaderValue::from_static("*"));
            }
        },
        "browser-based clients",
        "/consent",
    ),
    (
        |path, parts, _| {
            if path == "/authorize" {
                parts.headers.remove("content-security-policy");
            }
        },
        "headers of pages",
        "content-security-policy",
    ),
    (
        |path, parts, _| {
            if path == "/authorize" {
                let there = HeaderValue::from_static("https://nobody.invalid/callback?error=x");
                parts.headers.insert("location", there);
            }
        },
        "no open redirect",
        "is followed",
    ),
    (
        |path, parts, _| {
            if path == "/introspect" {
                parts.status = StatusCode::NOT_FOUND;
            }
        },
        "introspection_endpoint",
        "404",
    ),
    (
        |path, parts, _| {
            if path == "/register" {
                parts.status = StatusCode::NOT_FOUND;
            }
        },
        "registration endpoint",
        "not advertised",
    ),
    (
        |path, parts, _| {
            if path == "/admin/v1/whoami" {
                parts.status = StatusCode::OK;
            }
        },
        "administration without a signature",
        "200",
    ),
    (
        |_, parts, _| {
            parts.headers.insert("date", HeaderValue::from_static("Mon, 01 Jan 2024 00:00:00 GMT"));
        },
        "clock",
        "between its clock",
    ),
];

/// MET-01 to MET-09, AUT-07, AUT-26: each mistake is found by the check that is meant for it, with a way to mend it.
#[tokio::test]
async fn each_thing_that_is_wrong_is_found_and_named() {
    let behind = behind_a_fault().await;
    let issuer = behind.server.issuer().as_str().to_owned();
    let sound = examine(&issuer, Err(ApiError::NoEndpoint)).await.unwrap();
    assert!(sound.passed(), "{sound}");
    assert_eq!(verdict(&sound, "administrator").0, Verdict::Warned);
    for (fault, name, found) in FAULTS {
        *behind.fault.lock().unwrap() = *fault;
        let report = examine(&issuer, Err(ApiError::NoEndpoint)).await.unwrap();
        let (verdict, said) = verdict(&report, name);
        assert!(said.contains(found), "{name}: {said}");
        let wanted = if *name == "caching" { Verdict::Warned } else { Verdict::Failed };
        assert_eq!(verdict, wanted, "{report}");
        let check = report.checks.iter().find(|check| check.name == *name);
        assert!(check.and_then(|check| check.mend.as_ref()).is_some(), "{name} does not say what to do");
    }
    behind.server.stop().await;
}

/// MET-02: what is no issuer, or does not answer, is said in one line, and nothing more is asked.
#[tokio::test]
async fn what_is_no_server_is_said_at_once() {
    for (issuer, found) in [
        ("as.example", "not a URL"),
        ("http://as.example", "not https"),
        ("https://as.example/", "with a path"),
        ("https://as.example/t", "with a path"),
        ("https://as.example?x=1", "with a query"),
    ] {
        let report = examine(issuer, Err(ApiError::NoEndpoint)).await.unwrap();
        assert_eq!(report.checks.len(), 1, "{report}");
        let (verdict, said) = verdict(&report, "issuer");
        assert_eq!(verdict, Verdict::Failed);
        assert!(said.contains(found), "{said}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let report = examine(&issuer, Err(ApiError::NoEndpoint)).await.unwrap();
    assert!(!report.passed());
    assert_eq!(verdict(&report, "connection").0, Verdict::Failed);
}
