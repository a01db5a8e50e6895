//! Pushed authorization requests (RFC 9126): SPEC 2.14, vector T36.

use std::time::Duration;

use serde_json::json;
use shared::clock::Clock as _;
use shared::tool::Mechanism;
use tests::{
    Answer, Browser, CHALLENGE, CLIENT_ID, ISSUER, Instance, LOOPBACK_CLIENT_ID, RESOURCE, Signer, Tokens,
    World, form, token_request,
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn pairs<'a>(client_id: &'a str, redirect_uri: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("client_id", client_id),
        ("response_type", "code"),
        ("redirect_uri", redirect_uri),
        ("scope", "notes:read"),
        ("resource", RESOURCE),
        ("state", "pushed"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

async fn push(instance: &Instance, more: &[(&str, &str)]) -> Answer {
    let pairs = [&pairs(CLIENT_ID, "https://app.example.com/callback")[..], more].concat();
    instance.post("/par", form(&pairs)).await
}

#[track_caller]
fn request_uri(answer: &Answer) -> String {
    answer.assert_status(201);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.json()["expires_in"], 60);
    answer.json()["request_uri"].as_str().unwrap().to_owned()
}

fn path(client_id: &str, request_uri: &str) -> String {
    format!("/authorize?{}", form(&[("client_id", client_id), ("request_uri", request_uri)]))
}

/// RFC 9126 §2.2, §4: what was pushed is what is asked; parameters beside the reference mean nothing.
#[tokio::test]
async fn a_pushed_request_leads_to_tokens() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let pushed = request_uri(&push(&instance, &[]).await);
    let beside = format!("{}&state=other&scope=notes%3Awrite&prompt=none", path(CLIENT_ID, &pushed));
    let page = browser.get(&beside).await;
    let answer = browser.decide(&page, "approve").await;
    assert_eq!(answer.redirect_param("state"), "pushed");
    assert_eq!(answer.redirect_param("iss"), ISSUER);
    let code = answer.redirect_param("code");
    let tokens = Tokens::of(&token_request(&instance, &code, &[]).await);
    assert_eq!(tokens.scope, "notes:read");
}

/// Invariant 1: a stranger's push writes nothing and fetches nothing, whoever it claims to come from.
#[tokio::test]
async fn a_strangers_push_leaves_nothing_behind() {
    let world = World::new().await;
    let instance = world.instance().await;
    for client_id in [CLIENT_ID, "https://invented.example/c.json", "invented"] {
        let body = form(&pairs(client_id, "https://evil.example/callback"));
        instance.post("/par", body).await.assert_status(201);
    }
    let calls = instance.calls.take();
    assert!(calls.iter().all(|call| call.contains("Get")), "{calls:?}");
    assert_eq!(world.fetcher.fetched(), Vec::<String>::new());
    // It gets no further than any other request: a page, once the document has been read.
    let pushed = instance.post("/par", form(&pairs(CLIENT_ID, "https://evil.example/callback"))).await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    browser.get(&path(CLIENT_ID, &request_uri(&pushed))).await.assert_page(400);
}

/// RFC 9126 §2.2, §7: a reference is its client's, for a minute, and for one grant.
#[tokio::test]
async fn a_reference_is_its_clients_for_its_time_and_for_one_grant() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut ada = Browser::signed_in(&instance, "ada").await;
    let mut bob = Browser::signed_in(&instance, "bob").await;
    let pushed = request_uri(&push(&instance, &[]).await);
    ada.get(&path(LOOPBACK_CLIENT_ID, &pushed)).await.assert_page(400);
    ada.get(&path(CLIENT_ID, &format!("{pushed}A"))).await.assert_page(400);
    let pages = [ada.get(&path(CLIENT_ID, &pushed)).await, bob.get(&path(CLIENT_ID, &pushed)).await];
    assert!(!ada.decide(&pages[0], "approve").await.redirect_param("code").is_empty());
    bob.decide(&pages[1], "approve").await.assert_page(400);
    world.clock.advance(Duration::from_secs(60));
    bob.get(&path(CLIENT_ID, &pushed)).await.assert_page(400);
}

/// RFC 9126 §2.1: what cannot be pushed.
#[tokio::test]
async fn a_push_that_cannot_become_a_request_is_refused() {
    let world = World::new().await;
    let instance = world.instance().await;
    let long = "x".repeat(2_500);
    for more in [
        &[("request_uri", "urn:ietf:params:oauth:request_uri:x")][..],
        &[("request", "a.b.c")],
        &[("state", "twice")],
        &[("nonce", long.as_str())],
    ] {
        let refused = push(&instance, more).await;
        assert_eq!((refused.status.as_u16(), refused.error().as_str()), (400, "invalid_request"), "{more:?}");
    }
    let refused = instance.post("/par", form(&[("client_id", CLIENT_ID)])).await;
    assert_eq!(refused.error(), "invalid_request");
}

/// RFC 9126 §2, T36, RFC 10070: a registered client authenticates as at the token endpoint, its redirect
/// URI is checked at once, and the audience is the issuer alone.
#[tokio::test]
async fn a_registered_client_authenticates_when_it_pushes() {
    let world = World::new().await;
    let signer = Signer::new("ES256", "k");
    let metadata = json!({
        "redirect_uris": ["https://app.example.com/callback"],
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "auth_methods": ["private_key_jwt"],
        "keys": {"inline": {"keys": [signer.jwk()]}},
    });
    world.register("service", Mechanism::PreRegistered, metadata, None).await;
    let instance = world.instance().await;
    let now = world.clock.now().epoch_seconds();
    let with = |jti: &str, aud: &str, redirect_uri: &str| {
        let claims = json!({"iss": "service", "sub": "service", "aud": aud, "exp": now + 60, "jti": jti});
        let assertion = signer.sign(json!({}), &claims);
        let proof = [("client_assertion_type", JWT_BEARER), ("client_assertion", assertion.as_str())];
        form(&[&pairs("service", redirect_uri)[..], &proof].concat())
    };
    let good = "https://app.example.com/callback";
    let unproved = instance.post("/par", form(&pairs("service", good))).await;
    assert_eq!((unproved.status.as_u16(), unproved.error().as_str()), (401, "invalid_client"));
    let endpoint = instance.post("/par", with("1", &format!("{ISSUER}/par"), good)).await;
    assert_eq!((endpoint.status.as_u16(), endpoint.error().as_str()), (401, "invalid_client"));
    let elsewhere = instance.post("/par", with("2", ISSUER, "https://evil.example/callback")).await;
    assert_eq!((elsewhere.status.as_u16(), elsewhere.error().as_str()), (400, "invalid_request"));
    request_uri(&instance.post("/par", with("3", ISSUER, good)).await);
}
