//! Revocation (RFC 7009) and introspection (RFC 7662): SPEC 2.10, 2.11, vectors M05 to M09.

use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request as HttpRequest;
use serde_json::json;
use shared::tool::ToolId;
use tests::{
    Answer, Browser, CLIENT_ID, ISSUER, Instance, LOOPBACK_CLIENT_ID, RESOURCE, RESOURCE_SECRET, Request,
    Tokens, VERIFIER, World, form,
};

async fn signed_in() -> (World, Instance, Browser) {
    let world = World::new().await;
    let instance = world.instance().await;
    let browser = Browser::signed_in(&instance, "ada").await;
    (world, instance, browser)
}

async fn revoke(instance: &Instance, token: &str, client_id: &str) -> Answer {
    instance.post("/revoke", form(&[("token", token), ("client_id", client_id)])).await
}

async fn introspect_as(instance: &Instance, credentials: &str, token: &str) -> Answer {
    let request = HttpRequest::post("/introspect")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", format!("Basic {}", STANDARD.encode(credentials)))
        .body(Body::from(form(&[("token", token)])))
        .unwrap();
    instance.send(request).await
}

async fn introspect(instance: &Instance, token: &str) -> serde_json::Value {
    let answer = introspect_as(instance, &format!("{RESOURCE}:{RESOURCE_SECRET}"), token).await;
    answer.assert_status(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

/// M07, REV-01 to REV-04: by its refresh or its access token, with a right, wrong, or no hint, a client ends
/// its grant: nothing refreshes and nothing introspects any more.
#[tokio::test]
async fn a_client_ends_its_grant_by_either_token() {
    let (_world, instance, mut browser) = signed_in().await;
    for (by_refresh, hint) in
        [(true, None), (true, Some("access_token")), (false, Some("refresh_token")), (false, Some("other"))]
    {
        let tokens = browser.tokens().await;
        let token = if by_refresh { &tokens.refresh } else { &tokens.access };
        let mut pairs = vec![("token", token.as_str()), ("client_id", CLIENT_ID)];
        pairs.extend(hint.map(|hint| ("token_type_hint", hint)));
        let answer = instance.post("/revoke", form(&pairs)).await;
        answer.assert_status(200);
        assert_eq!(answer.note.outcome, "revoked");
        assert_eq!(tokens.refresh(&instance, CLIENT_ID).await.error(), "invalid_grant");
        assert_eq!(introspect(&instance, &tokens.access).await, json!({"active": false}));
        revoke(&instance, token, CLIENT_ID).await.assert_status(200);
    }
}

/// M06, REV-02, CVE-2026-115472: another client's revocation changes nothing.
#[tokio::test]
async fn a_client_cannot_end_the_grant_of_another() {
    let (_world, instance, mut browser) = signed_in().await;
    let tokens = browser.tokens().await;
    for token in [&tokens.refresh, &tokens.access] {
        let refused = revoke(&instance, token, LOOPBACK_CLIENT_ID).await;
        assert_eq!((refused.status.as_u16(), refused.error().as_str()), (400, "invalid_grant"));
    }
    assert_eq!(introspect(&instance, &tokens.access).await["active"], true);
    Tokens::of(&tokens.refresh(&instance, CLIENT_ID).await);
}

/// M05, REV-03, invariant 1: what is none of ours is as good as revoked, and costs nothing.
#[tokio::test]
async fn revoking_an_unknown_token_succeeds_and_costs_nothing() {
    let (world, instance, mut browser) = signed_in().await;
    let tokens = browser.tokens().await;
    let (fetched, _) = (world.fetcher.fetched().len(), instance.calls.take());
    let (message, _) = tokens.access.rsplit_once('.').unwrap();
    let bent = format!("{message}.{}", "A".repeat(86));
    for token in ["x", "npr_AAAA", "a.b.c", bent.as_str()] {
        for client_id in [CLIENT_ID, "https://invented.example/c.json", "nobody"] {
            revoke(&instance, token, client_id).await.assert_status(200);
        }
    }
    assert_eq!(instance.calls.take(), Vec::<String>::new());
    assert_eq!(world.fetcher.fetched().len(), fetched);
    for (pairs, error) in [
        (vec![("client_id", CLIENT_ID)], "invalid_request"),
        (vec![("token", "x")], "invalid_request"),
        (vec![("token", "x"), ("token", "y"), ("client_id", CLIENT_ID)], "invalid_request"),
    ] {
        let refused = instance.post("/revoke", form(&pairs)).await;
        assert_eq!((refused.status.as_u16(), refused.error().as_str()), (400, error));
    }
}

/// REV-05, GHSA-7mqr-2v3q-v2wm: a write that failed is not reported as success.
#[tokio::test]
async fn a_revocation_that_was_not_stored_is_an_error() {
    let (world, instance, mut browser) = signed_in().await;
    let tokens = browser.tokens().await;
    world.stop_database().await;
    let answer = revoke(&instance, &tokens.refresh, CLIENT_ID).await;
    answer.assert_status(503);
    assert!(!answer.header("retry-after").is_empty());
}

/// REV-07, workers-oauth-provider 299: installations are apart. Revoking, or authorizing again, on one
/// device leaves the others signed in.
#[tokio::test]
async fn one_installation_never_signs_out_another() {
    let (_world, instance, mut laptop) = signed_in().await;
    let mut desktop = Browser::signed_in(&instance, "ada").await;
    let loopback = |code: String| {
        form(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("client_id", LOOPBACK_CLIENT_ID),
            ("code_verifier", VERIFIER),
        ])
    };
    let code = laptop.authorize(&Request::loopback(4000)).await;
    let first = Tokens::of(&instance.post("/token", loopback(code)).await);
    let code = desktop.authorize(&Request::loopback(5000)).await;
    let second = Tokens::of(&instance.post("/token", loopback(code)).await);
    let first = Tokens::of(&first.refresh(&instance, LOOPBACK_CLIENT_ID).await);
    revoke(&instance, &second.refresh, LOOPBACK_CLIENT_ID).await.assert_status(200);
    Tokens::of(&first.refresh(&instance, LOOPBACK_CLIENT_ID).await);
    assert_eq!(second.refresh(&instance, LOOPBACK_CLIENT_ID).await.error(), "invalid_grant");
}

/// INT-02, INT-03: what a resource learns about a token that is good, and nothing about any other.
#[tokio::test]
async fn a_resource_learns_about_its_own_good_tokens_only() {
    let (world, instance, mut browser) = signed_in().await;
    let tokens = browser.tokens().await;
    let answer = introspect(&instance, &tokens.access).await;
    let claims = tokens.claims();
    for member in [
        "sub",
        "client_id",
        "scope",
        "aud",
        "iss",
        "exp",
        "iat",
        "jti",
        "tool_id",
        "registration",
        "assurance",
    ] {
        assert_eq!(answer[member], claims[member], "{member}");
    }
    assert_eq!((&answer["active"], &answer["token_type"]), (&json!(true), &json!("Bearer")));
    assert_eq!(answer["iss"], ISSUER);
    assert!(!answer.to_string().contains("null"), "{answer}");

    let (message, _) = tokens.access.rsplit_once('.').unwrap();
    let bent = format!("{message}.{}", "A".repeat(86));
    let code = browser.authorize(&Request::default()).await;
    for unknown in [tokens.refresh.as_str(), code.as_str(), "x", "a.b.c", bent.as_str()] {
        assert_eq!(introspect(&instance, unknown).await, json!({"active": false}), "{unknown}");
    }
    world.clock.advance(Duration::from_secs(600));
    assert_eq!(introspect(&instance, &tokens.access).await, json!({"active": false}));
}

/// M09, INT-04: a token for another resource is unknown here.
#[tokio::test]
async fn a_token_for_another_resource_is_inactive() {
    let (_world, instance, mut browser) = signed_in().await;
    let request = Request::default().with("resource", "https://mcp2.example").with("scope", "files");
    let code = browser.authorize(&request).await;
    let answer = tests::token_request(&instance, &code, &[("resource", "")]).await;
    let tokens = Tokens::of(&answer);
    assert_eq!(introspect(&instance, &tokens.access).await, json!({"active": false}));
}

/// M08, INT-01, INT-04: without the secret of a registered resource nobody is told anything, clients least.
#[tokio::test]
async fn only_a_registered_resource_may_ask() {
    let (world, instance, mut browser) = signed_in().await;
    let tokens = browser.tokens().await;
    let fetched = world.fetcher.fetched().len();
    let pairs = [("token", tokens.access.as_str())];
    let mut refused = vec![
        instance.post("/introspect", form(&pairs)).await,
        instance.post("/introspect", form(&[&pairs[..], &[("client_id", CLIENT_ID)]].concat())).await,
    ];
    for credentials in [
        format!("{RESOURCE}:wrong"),
        format!("{RESOURCE}:"),
        format!("https://mcp2.example:{RESOURCE_SECRET}"),
        "https://mcp2.example:".to_owned(),
        format!("https://invented.example/c:{RESOURCE_SECRET}"),
        RESOURCE_SECRET.to_owned(),
    ] {
        refused.push(introspect_as(&instance, &credentials, &tokens.access).await);
    }
    for answer in refused {
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (401, "invalid_client"), "{answer:?}");
        assert!(answer.header("www-authenticate").starts_with("Basic"));
        assert!(!answer.body.contains("active"));
    }
    assert_eq!(world.fetcher.fetched().len(), fetched);
    // Encoded as RFC 6749 says, or in the body.
    let encoded: String = form_urlencoded::byte_serialize(RESOURCE.as_bytes()).collect();
    let answer = introspect_as(&instance, &format!("{encoded}:{RESOURCE_SECRET}"), &tokens.access).await;
    assert_eq!(answer.json()["active"], true);
    let body = form(&[&pairs[..], &[("client_id", RESOURCE), ("client_secret", RESOURCE_SECRET)]].concat());
    assert_eq!(instance.post("/introspect", body).await.json()["active"], true);
}

/// REV-06, invariant 4: a disabled tool is inactive at once, on every instance, though its token lives on.
#[tokio::test]
async fn a_disabled_tool_is_inactive_at_once() {
    let (world, instance, mut browser) = signed_in().await;
    let tokens = browser.tokens().await;
    let elsewhere = world.instance().await;
    assert_eq!(introspect(&elsewhere, &tokens.access).await["active"], true);
    let tools = shared::aws::ToolStore::new(instance.tables.clone());
    let tool = ToolId::parse(tokens.claims()["tool_id"].as_str().unwrap()).unwrap();
    tools.change(&tool, &shared::aws::Change::Disable, None).await.unwrap();
    assert_eq!(introspect(&elsewhere, &tokens.access).await, json!({"active": false}));
}
