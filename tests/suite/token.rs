//! The token endpoint: SPEC 2.7, vectors 4.7.

use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use tests::{
    Answer, Browser, CLIENT_ID, ISSUER, Instance, LOOPBACK_CLIENT_ID, RESOURCE, Request, Tokens, VERIFIER,
    World, form, token_request,
};

async fn world() -> (World, Browser) {
    let world = World::new().await;
    let browser = Browser::signed_in(&world.instance().await, "ada").await;
    (world, browser)
}

async fn code(browser: &mut Browser) -> String {
    browser.authorize(&Request::default()).await
}

/// Verifies an access token as a resource does (JWT-08), with somebody else's code.
async fn verify(instance: &Instance, token: &str) -> serde_json::Value {
    let jwks: JwkSet = serde_json::from_str(&instance.get("/jwks.json").await.body).unwrap();
    let header = decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    let key = jwks.find(&header.kid.unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[RESOURCE]);
    // The stories run on their own clock.
    validation.validate_exp = false;
    decode::<serde_json::Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
}

/// T01, T02, JWT-01, JWT-03, JWT-04, JWT-05, JWT-07, JWT-09, TOK-16: a code becomes an access token for the resource that was asked for.
#[tokio::test]
async fn a_code_is_redeemed_for_a_token_that_verifies() {
    let (_world, mut browser) = world().await;
    for changes in [&[][..], &[("redirect_uri", "")], &[("resource", "")]] {
        let code = code(&mut browser).await;
        let tokens = Tokens::of(&token_request(&browser.instance, &code, changes).await);
        let claims = verify(&browser.instance, &tokens.access).await;
        assert_eq!(claims["sub"], "ada");
        assert_eq!(claims["client_id"], CLIENT_ID);
        assert_eq!(claims["aud"], RESOURCE);
        assert_eq!(claims["scope"], "notes:read notes:write");
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);
        assert!(claims["jti"].is_string());
        assert!(tokens.refresh.starts_with("npr_"));
    }
}

/// T03 to T05, T08, T11, T12, TOK-01, TOK-05, TOK-11, TOK-16, AUT-15: each thing wrong has its own code, and burns nothing.
#[tokio::test]
async fn a_wrong_token_request_burns_nothing() {
    let (_world, mut browser) = world().await;
    let code = code(&mut browser).await;
    let wrong: &[(&str, &str, &str)] = &[
        ("redirect_uri", "https://app.example.com:1234/callback", "invalid_grant"),
        ("code_verifier", &"a".repeat(43), "invalid_grant"),
        ("code_verifier", "short", "invalid_grant"),
        ("code_verifier", "", "invalid_request"),
        ("client_id", LOOPBACK_CLIENT_ID, "invalid_grant"),
        ("client_id", "https://app.example.com:443/oauth/client.json", "invalid_grant"),
        ("client_id", "", "invalid_request"),
        ("resource", "https://mcp2.example", "invalid_target"),
        ("grant_type", "password", "unsupported_grant_type"),
        ("grant_type", "", "invalid_request"),
        ("code", "npc_AAAA", "invalid_grant"),
        ("code", "", "invalid_request"),
    ];
    for (name, value, error) in wrong {
        let answer = token_request(&browser.instance, &code, &[(name, value)]).await;
        answer.assert_status(400);
        assert_eq!(answer.error(), *error, "{name}={value}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    token_request(&browser.instance, &code, &[]).await.assert_status(200);
}

/// TOK-01: repeated parameters and other bodies than forms.
#[tokio::test]
async fn a_malformed_body_is_an_invalid_request() {
    let (_world, mut browser) = world().await;
    let code = code(&mut browser).await;
    let good = form(&[
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("client_id", CLIENT_ID),
        ("code_verifier", VERIFIER),
    ]);
    for body in [format!("{good}&code={code}"), format!("{good}&foo=1&foo=2"), "%ff=1".to_owned()] {
        let answer = browser.instance.post("/token", body).await;
        assert_eq!(answer.assert_status(400).error(), "invalid_request");
    }
    let request = http::Request::post("/token")
        .header("content-type", "application/json")
        .body(axum::body::Body::from("{}"))
        .unwrap();
    assert_eq!(browser.instance.send(request).await.assert_status(400).error(), "invalid_request");
    browser.instance.post("/token", good).await.assert_status(200);
}

/// T06, TOK-13: the right client with the right verifier repeats itself: whoever has the tokens loses them.
#[tokio::test]
async fn a_replayed_code_ends_the_grant() {
    let (_world, mut browser) = world().await;
    let code = code(&mut browser).await;
    let tokens = Tokens::of(&token_request(&browser.instance, &code, &[]).await);
    let replay = token_request(&browser.instance, &code, &[]).await;
    assert_eq!(replay.assert_status(400).error(), "invalid_grant");
    let refresh = tokens.refresh(&browser.instance, CLIENT_ID).await;
    assert_eq!(refresh.assert_status(400).error(), "invalid_grant");
}

/// T07, TR010, TOK-13: whoever only saw the code cannot sign its owner out.
#[tokio::test]
async fn a_replay_with_wrong_parameters_harms_nobody() {
    let (_world, mut browser) = world().await;
    let code = code(&mut browser).await;
    let tokens = Tokens::of(&token_request(&browser.instance, &code, &[]).await);
    for (name, value) in [
        ("code_verifier", "a".repeat(43)),
        ("client_id", LOOPBACK_CLIENT_ID.to_owned()),
        ("redirect_uri", "https://app.example.com/other?tenant=1".to_owned()),
        ("resource", "https://mcp2.example".to_owned()),
    ] {
        token_request(&browser.instance, &code, &[(name, &value)]).await.assert_status(400);
    }
    tokens.refresh(&browser.instance, CLIENT_ID).await.assert_status(200);
}

/// T09, AUT-24, FM022: sixty seconds, by the clock, not by the database's clean-up.
#[tokio::test]
async fn a_code_lives_sixty_seconds() {
    let (world, mut browser) = world().await;
    let early = code(&mut browser).await;
    world.clock.advance(Duration::from_secs(59));
    token_request(&browser.instance, &early, &[]).await.assert_status(200);
    let late = code(&mut browser).await;
    world.clock.advance(Duration::from_secs(60));
    let answer = token_request(&browser.instance, &late, &[]).await;
    assert_eq!(answer.assert_status(400).error(), "invalid_grant");
}

/// T10, TOK-15, invariant 7: of many at once, over two instances, exactly one redeems the code.
#[tokio::test]
async fn of_many_concurrent_redemptions_one_wins() {
    let (world, mut browser) = world().await;
    let instances = [browser.instance.clone(), world.instance().await];
    let code = code(&mut browser).await;
    let tasks: Vec<_> = (0..20)
        .map(|number: usize| {
            let (instance, code) = (instances[number % 2].clone(), code.clone());
            tokio::spawn(async move { token_request(&instance, &code, &[]).await })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        let answer: Answer = task.await.unwrap();
        if answer.status == 200 {
            won += 1;
        } else {
            assert_eq!(answer.assert_status(400).error(), "invalid_grant");
        }
    }
    assert_eq!(won, 1);
}

/// T16, REF-01, REF-03: rotation for everyone.
#[tokio::test]
async fn a_refresh_yields_a_new_refresh_token() {
    let (_world, mut browser) = world().await;
    let first = browser.tokens().await;
    let second = Tokens::of(&first.refresh(&browser.instance, CLIENT_ID).await);
    assert_ne!(first.refresh, second.refresh);
    assert_ne!(first.access, second.access);
    assert_eq!(second.scope, first.scope);
    verify(&browser.instance, &second.access).await;
    let third = Tokens::of(&second.refresh(&browser.instance, CLIENT_ID).await);
    assert_ne!(third.refresh, second.refresh);
}

/// T17, REF-02: a refresh token that was replaced ends the grant when it comes back.
#[tokio::test]
async fn a_reused_refresh_token_ends_the_grant() {
    let (world, mut browser) = world().await;
    let first = browser.tokens().await;
    let second = Tokens::of(&first.refresh(&browser.instance, CLIENT_ID).await);
    world.clock.advance(Duration::from_secs(31));
    let replay = first.refresh(&browser.instance, CLIENT_ID).await;
    assert_eq!(replay.assert_status(400).error(), "invalid_grant");
    second.refresh(&browser.instance, CLIENT_ID).await.assert_status(400);
}

/// REF-02: two generations back is a replay at once, window or not.
#[tokio::test]
async fn an_older_refresh_token_is_a_replay_even_within_the_window() {
    let (_world, mut browser) = world().await;
    let first = browser.tokens().await;
    let second = Tokens::of(&first.refresh(&browser.instance, CLIENT_ID).await);
    let third = Tokens::of(&second.refresh(&browser.instance, CLIENT_ID).await);
    first.refresh(&browser.instance, CLIENT_ID).await.assert_status(400);
    third.refresh(&browser.instance, CLIENT_ID).await.assert_status(400);
}

/// REF-08: an answer that got lost can be asked for again, once, and is the same.
#[tokio::test]
async fn a_lost_answer_can_be_repeated_once() {
    let (_world, mut browser) = world().await;
    let first = browser.tokens().await;
    let lost = Tokens::of(&first.refresh(&browser.instance, CLIENT_ID).await);
    let again = Tokens::of(&first.refresh(&browser.instance, CLIENT_ID).await);
    assert_eq!(lost.refresh, again.refresh);
    first.refresh(&browser.instance, CLIENT_ID).await.assert_status(400);
    // The third presentation got nothing and harmed nobody.
    again.refresh(&browser.instance, CLIENT_ID).await.assert_status(200);
}

/// T08, REF-03: somebody else's refresh token.
#[tokio::test]
async fn a_refresh_token_belongs_to_its_client() {
    let (_world, mut browser) = world().await;
    let tokens = browser.tokens().await;
    for other in [LOOPBACK_CLIENT_ID, "https://app.example.com/oauth/client.json/"] {
        let answer = tokens.refresh(&browser.instance, other).await;
        assert_eq!(answer.assert_status(400).error(), "invalid_grant");
    }
    tokens.refresh(&browser.instance, CLIENT_ID).await.assert_status(200);
}

/// T18, T19, REF-04, REF-05: narrower is fine, wider is not, and the grant keeps all of it.
#[tokio::test]
async fn a_refresh_may_narrow_the_access_token_only() {
    let (_world, mut browser) = world().await;
    let tokens = browser.tokens().await;
    let refresh = async |tokens: &Tokens, extra: (&str, &str)| {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens.refresh.as_str()),
            ("client_id", CLIENT_ID),
            extra,
        ];
        browser.instance.post("/token", form(&pairs)).await
    };
    let wider = refresh(&tokens, ("scope", "notes:read files")).await;
    assert_eq!(wider.assert_status(400).error(), "invalid_scope");
    let elsewhere = refresh(&tokens, ("resource", "https://mcp2.example")).await;
    assert_eq!(elsewhere.assert_status(400).error(), "invalid_target");
    let narrow = Tokens::of(&refresh(&tokens, ("scope", "notes:read")).await);
    assert_eq!((narrow.scope.as_str(), &narrow.claims()["scope"]), ("notes:read", &"notes:read".into()));
    let full = Tokens::of(&refresh(&narrow, ("resource", RESOURCE)).await);
    assert_eq!(full.scope, "notes:read notes:write");
}

/// REF-06: idle and absolute ends.
#[tokio::test]
async fn a_refresh_token_ends_when_idle_and_at_last_in_any_case() {
    let (world, mut browser) = world().await;
    let day = Duration::from_secs(86_400);
    let mut tokens = browser.tokens().await;
    for _ in 0..3 {
        world.clock.advance(day * 29);
        tokens = Tokens::of(&tokens.refresh(&browser.instance, CLIENT_ID).await);
    }
    world.clock.advance(day * 3);
    let ended = tokens.refresh(&browser.instance, CLIENT_ID).await;
    assert_eq!(ended.assert_status(400).error(), "invalid_grant");

    let mut browser = Browser::signed_in(&browser.instance, "ada").await;
    let idle = browser.tokens().await;
    world.clock.advance(day * 30);
    idle.refresh(&browser.instance, CLIENT_ID).await.assert_status(400);
}

/// REF-10, FM067: the metadata host is not needed for redeeming and refreshing.
#[tokio::test]
async fn tokens_go_on_while_the_metadata_host_is_down() {
    let (world, mut browser) = world().await;
    let code = code(&mut browser).await;
    world.fetcher.fail(CLIENT_ID, shared::fetch::FetchError::Connect);
    let fetched = world.fetcher.fetched().len();
    let tokens = Tokens::of(&token_request(&browser.instance, &code, &[]).await);
    tokens.refresh(&browser.instance, CLIENT_ID).await.assert_status(200);
    assert_eq!(world.fetcher.fetched().len(), fetched);
}

/// FM031: a table older than the token refuses, and does not take the token for a replay.
#[tokio::test]
async fn a_code_presented_as_refresh_token_and_the_other_way_round_is_nothing() {
    let (_world, mut browser) = world().await;
    let code = code(&mut browser).await;
    let tokens = Tokens::of(&token_request(&browser.instance, &code, &[]).await);
    let crossed = Tokens { refresh: code, ..tokens.clone() };
    crossed.refresh(&browser.instance, CLIENT_ID).await.assert_status(400);
    token_request(&browser.instance, &tokens.refresh, &[]).await.assert_status(400);
    tokens.refresh(&browser.instance, CLIENT_ID).await.assert_status(200);
}

/// TOK-06, M04: browsers may call the token endpoint, without credentials.
#[tokio::test]
async fn the_token_endpoint_has_cors() {
    let (_world, browser) = world().await;
    let preflight = http::Request::options("/token")
        .header("origin", "https://inspector.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,mcp-protocol-version,authorization,dpop")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = browser.instance.send(preflight).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(answer.header("access-control-allow-headers").contains("mcp-protocol-version"));
    assert_eq!(answer.header("access-control-allow-credentials"), "");
}

/// FM003, FM004, promise 2: without a database there is 503 and nothing is burned.
#[tokio::test]
async fn a_database_that_is_down_is_a_503_with_retry_after() {
    let (world, mut browser) = world().await;
    let code = code(&mut browser).await;
    let tokens = browser.tokens().await;
    let world_clock = std::sync::Arc::clone(&world.clock);
    world.stop_database().await;
    for answer in [
        token_request(&browser.instance, &code, &[]).await,
        tokens.refresh(&browser.instance, CLIENT_ID).await,
    ] {
        answer.assert_status(503);
        assert_eq!(answer.error(), "temporarily_unavailable");
        assert!(!answer.header("retry-after").is_empty());
    }
    world_clock.advance(Duration::from_secs(10));
    let page = browser.get(&Request::default().path()).await;
    page.assert_page(503);
    assert!(!page.header("retry-after").is_empty());
}

/// TR057, TR367, invariant 1: an invented client or code costs neither a fetch nor a round trip.
#[tokio::test]
async fn an_invented_client_or_code_costs_nothing() {
    let (world, browser) = world().await;
    let before = world.fetcher.fetched().len();
    browser.instance.calls.take();
    for client_id in ["https://invented.example/client.json", "unknown"] {
        let answer = token_request(&browser.instance, "npc_invented", &[("client_id", client_id)]).await;
        answer.assert_status(400);
    }
    assert_eq!(world.fetcher.fetched().len(), before);
    assert_eq!(browser.instance.calls.take(), Vec::<String>::new());
}
