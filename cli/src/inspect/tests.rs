use std::sync::Arc;

use serde_json::json;
use shared::testing::clock::TestClock;
use shared::testing::fetcher::ScriptedFetcher;

use super::*;
use crate::report::{Check, Verdict};

const CLAUDE_CODE: &str = include_str!("../../fixtures/claude-code.json");
const VS_CODE: &str = include_str!("../../fixtures/vscode.json");
const CHATGPT: &str = include_str!("../../fixtures/chatgpt.json");
const CLIENT_ID: &str = "https://app.example.com/oauth/client.json";

fn client_id(document: &str) -> String {
    let document: Value = serde_json::from_str(document).unwrap();
    document["client_id"].as_str().unwrap().to_owned()
}

fn good() -> Value {
    json!({
        "client_id": CLIENT_ID,
        "client_name": "Example",
        "redirect_uris": ["https://app.example.com/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut document = good();
    document[name] = value;
    document
}

fn of(report: &Report, verdict: Verdict) -> Vec<&Check> {
    report.checks.iter().filter(|check| check.verdict == verdict).collect()
}

fn fetcher() -> ScriptedFetcher {
    ScriptedFetcher::new(Arc::new(TestClock::default()))
}

/// The shapes of three deployed documents are accepted, and each gets the advice that is due.
#[test]
fn the_shapes_of_deployed_documents_are_accepted() {
    for (document, advice) in [(CLAUDE_CODE, &["DOC-36"][..]), (VS_CODE, &[]), (CHATGPT, &[])] {
        let report = file(&client_id(document), document.as_bytes());
        assert!(report.passed(), "{report}");
        let warned: Vec<&str> = of(&report, Verdict::Warned).iter().map(|check| check.requirement).collect();
        assert_eq!(warned, advice, "{report}");
    }
}

/// DOC-01, DOC-31: each fault is found under its own requirement, beside the checks that passed.
#[test]
fn each_fault_is_found_under_its_requirement_and_can_be_mended() {
    let private = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "d": "c"}]});
    let cases = [
        (with("client_id", json!("https://app.example.com/other.json")), "DOC-02"),
        (with("client_id", json!(null)), "DOC-02"),
        (with("client_name", json!("a\u{202e}b")), "DOC-03"),
        (with("redirect_uris", json!([])), "DOC-04"),
        (with("redirect_uris", json!(["javascript:alert(1)"])), "DOC-22"),
        (with("client_secret", json!("x")), "DOC-11"),
        (with("token_endpoint_auth_method", json!("client_secret_basic")), "DOC-10"),
        (with("token_endpoint_auth_method", json!("private_key_jwt")), "DOC-27"),
        (with("token_endpoint_auth_methods_supported", json!(["private_key_jwt"])), "DOC-25"),
        (with("jwks", private), "DOC-12"),
        (with("jwks_uri", json!("http://app.example.com/keys")), "DOC-29"),
        (with("response_types", json!([])), "DOC-31"),
        (with("grant_types", json!("authorization_code")), "DOC-07"),
        (with("scope", json!(["a"])), "DOC-07"),
        (with("token_endpoint_auth_method", json!("tls_client_auth")), "AUT-31"),
        (with("x_hidden", json!({"kty": "oct", "k": "secret"})), "DOC-12"),
    ];
    for (document, requirement) in cases {
        let report = file(CLIENT_ID, document.to_string().as_bytes());
        assert!(!report.passed(), "{requirement}: {report}");
        let failed = of(&report, Verdict::Failed);
        assert_eq!(failed.len(), 1, "{requirement}: {report}");
        assert_eq!(failed[0].requirement, requirement, "{report}");
        assert!(failed[0].mend.as_ref().is_some_and(|mend| !mend.is_empty()), "{report}");
        assert!(of(&report, Verdict::Passed).len() > 5, "{report}");
    }
}

/// URL-01 to URL-15: the URL is checked before anything else.
#[test]
fn a_url_that_cannot_name_a_document_ends_the_inspection() {
    for (url, requirement) in [
        ("http://app.example.com/c", "URL-01"),
        ("https://app.example.com", "URL-02"),
        ("https://app.example.com/", "URL-03"),
        ("https://app.example.com/a/../c", "URL-04"),
        ("https://app.example.com/c?x=1", "URL-08"),
        ("https://127.0.0.1/c", "URL-13"),
        ("", "URL-01"),
    ] {
        let report = file(url, good().to_string().as_bytes());
        assert_eq!(report.checks.len(), 1, "{report}");
        assert_eq!(report.checks[0].requirement, requirement, "{report}");
    }
}

/// DOC-01, FET-06: bytes that are no document.
#[test]
fn bytes_that_are_no_document_are_told_apart() {
    for body in ["", "[]", "{", "{\"a\":1,\"a\":1}", "\u{feff}{}", "<html></html>"] {
        let report = file(CLIENT_ID, body.as_bytes());
        assert_eq!(of(&report, Verdict::Failed)[0].requirement, "DOC-01", "{body:?}: {report}");
    }
    let long = with("client_uri", json!("x".repeat(DOCUMENT_BYTES_MAX)));
    let report = file(CLIENT_ID, long.to_string().as_bytes());
    assert_eq!(of(&report, Verdict::Failed)[0].requirement, "FET-06", "{report}");
}

/// What is published is fetched with its keys and its logo, and the headers are read.
#[tokio::test]
async fn a_published_document_is_checked_with_its_keys_and_logo() {
    let fetcher = fetcher();
    let mut document: Value = serde_json::from_str(CHATGPT).unwrap();
    document["logo_uri"] = json!("https://chatgpt.example.com/logo.svg");
    let id = client_id(CHATGPT);
    fetcher.answer(&id, &document.to_string(), Some("no-store"));
    fetcher.answer("https://chatgpt.example.com/oauth/jwks.json", r#"{"keys":[]}"#, None);
    fetcher.fail("https://chatgpt.example.com/logo.svg", FetchError::MediaType);
    let report = published(&id, &fetcher).await;
    assert!(report.passed(), "{report}");
    let warned: Vec<&str> = of(&report, Verdict::Warned).iter().map(|check| check.requirement).collect();
    assert_eq!(warned, ["CAC-08", "DOC-42"]);

    fetcher.answer("https://chatgpt.example.com/oauth/jwks.json", "<html>", None);
    let report = published(&id, &fetcher).await;
    assert_eq!(of(&report, Verdict::Failed)[0].requirement, "DOC-29");
}

/// FET-02, FET-13: what a host does wrong is named with its requirement.
#[tokio::test]
async fn what_a_host_does_wrong_is_named() {
    let fetcher = fetcher();
    for (error, requirement) in [
        (FetchError::Redirect(302), "FET-03"),
        (FetchError::Gone(404), "FET-02"),
        (FetchError::Status(403), "FET-02"),
        (FetchError::MediaType, "FET-05"),
        (FetchError::TooLarge, "FET-06"),
        (FetchError::Deadline, "FET-07"),
        (FetchError::Certificate, "FET-09"),
    ] {
        fetcher.fail(CLIENT_ID, error);
        let report = published(CLIENT_ID, &fetcher).await;
        let failed = of(&report, Verdict::Failed);
        assert_eq!((failed.len(), failed[0].requirement), (1, requirement), "{report}");
    }
}

/// A document is a stranger's text: it cannot steer the terminal.
#[test]
fn a_report_prints_nothing_that_steers_a_terminal() {
    let hostile = with("redirect_uris", json!(["https://app.example.com/cb", "x\u{1b}[2J\u{202e}:"]));
    let report = file(CLIENT_ID, hostile.to_string().as_bytes());
    let text = report.to_string();
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
    assert!(text.contains('✓') && text.contains('!'), "{text}");
    assert_eq!(report.to_json()["passed"], true);
}
