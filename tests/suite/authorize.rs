//! The authorization endpoint: SPEC 2.6, vectors 4.6.

use shared::cimd::copies::{DETERMINISTIC_BACK_OFF, TRANSIENT_BACK_OFF};
use shared::fetch::FetchError;
use tests::{Browser, CLIENT_ID, ISSUER, LOOPBACK_CLIENT_ID, Request, World, document};

async fn world() -> (World, Browser) {
    let world = World::new().await;
    let browser = Browser::signed_in(&world.instance().await, "ada").await;
    (world, browser)
}

/// Q01, AUT-01, CON-01, CON-02, AUT-22, AUT-23: hosts on the page, then code, state, and iss, each once.
#[tokio::test]
async fn a_complete_request_leads_through_consent_to_a_code() {
    let (_world, mut browser) = world().await;
    let page = browser.get(&Request::default().path()).await;
    page.assert_page(200);
    for shown in
        ["app.example.com", "Example Agent", "mcp.example", "read your notes", "change your notes", "ada"]
    {
        assert!(page.body.contains(shown), "{shown} in {}", page.body);
    }
    let answer = browser.decide(&page, "approve").await;
    let (target, _) = answer.redirect();
    assert_eq!(target, "https://app.example.com/callback");
    assert_eq!(answer.redirect_param("state"), "the state");
    assert_eq!(answer.redirect_param("iss"), ISSUER);
    assert!(answer.redirect_param("code").starts_with("npc_"));
}

/// AUT-26, FET-01, Q15: a stranger sees the sign-in page first, whatever else is wrong, and goes on from
/// there.
#[tokio::test]
async fn a_stranger_signs_in_before_anything_is_fetched_or_redirected() {
    let world = World::new().await;
    let mut browser = Browser::new(&world.instance().await);
    let page = browser.get(&Request::default().with("scope", "\"").path()).await;
    page.assert_page(200);
    assert!(page.body.contains("user_name"), "{}", page.body);
    assert_eq!(world.fetcher.fetched(), Vec::<String>::new());
    let answer = browser.sign_in(&page, "ada").await;
    assert_eq!(answer.redirect_param("error"), "invalid_scope");
    assert_eq!(world.fetcher.fetched(), [CLIENT_ID]);
}

/// Q02 to Q06, Q12, AUT-10 to AUT-14, AUT-16, AUT-19, AUT-21, AUT-28, RFC 9207: errors of a proven client go there, with state and iss.
#[tokio::test]
async fn errors_after_the_redirect_uri_is_proved_go_to_the_client() {
    let (_world, mut browser) = world().await;
    let good = Request::default;
    let cases = [
        (good().without("code_challenge"), "invalid_request"),
        (good().with("code_challenge_method", "plain"), "invalid_request"),
        (good().without("code_challenge_method"), "invalid_request"),
        (good().with("code_challenge", &"a".repeat(42)), "invalid_request"),
        (good().with("code_challenge", &"a".repeat(129)), "invalid_request"),
        (good().with("response_type", "token"), "unsupported_response_type"),
        (good().with("response_type", "code token"), "unsupported_response_type"),
        (good().without("response_type"), "invalid_request"),
        (good().with("response_mode", "fragment"), "invalid_request"),
        (good().with("resource", "https://unknown.example"), "invalid_target"),
        (good().with("resource", "https://mcp.example/mcp#f"), "invalid_target"),
        (good().with("resource", "/mcp"), "invalid_target"),
        (good().and("resource", "https://mcp2.example"), "invalid_target"),
        (good().without("resource"), "invalid_target"),
        (good().with("scope", "notes:read \"x\""), "invalid_scope"),
        (good().with("scope", "files"), "invalid_scope"),
        (good().with("request_uri", "https://evil.example/r"), "invalid_request"),
        (good().and("scope", "notes:read"), "invalid_request"),
        (good().and("code_challenge", "x"), "invalid_request"),
    ];
    for (request, error) in cases {
        let answer = browser.get(&request.path()).await;
        assert_eq!(answer.redirect_param("error"), error, "{request:?}");
        assert_eq!(answer.redirect_param("state"), "the state", "{request:?}");
        assert_eq!(answer.redirect_param("iss"), ISSUER);
        assert_eq!(answer.redirect_param("code"), "");
    }
}

/// Q09: a state that cannot be told is not echoed.
#[tokio::test]
async fn a_repeated_state_is_refused_and_not_echoed() {
    let (_world, mut browser) = world().await;
    let answer = browser.get(&Request::default().and("state", "other").path()).await;
    assert_eq!(answer.redirect_param("error"), "invalid_request");
    assert_eq!(answer.redirect_param("state"), "");
}

/// Q10, RED-08, RED-12, AUT-30: without one client and one redirect URI of its own there is a page and no redirect.
#[tokio::test]
async fn a_request_without_a_proven_target_ends_on_a_page() {
    let (_world, mut browser) = world().await;
    let good = Request::default;
    let cases = [
        good().and("client_id", "x"),
        good().and("redirect_uri", "https://evil.example/"),
        good().without("client_id"),
        good().without("redirect_uri"),
        good().with("client_id", "http://app.example.com/c"),
        good().with("client_id", "unregistered"),
        good().with("client_id", "https://app.example.com/a/../c"),
        good().with("client_id", ISSUER),
        good().with("client_id", &format!("{ISSUER}/")),
        good().with("redirect_uri", "https://app.example.com/callback/"),
        good().with("redirect_uri", "https://app.example.com/CALLBACK"),
        good().with("redirect_uri", "https://app.example.com/callback?x=1"),
        good().with("redirect_uri", "https://evil.example/callback"),
        good().with("redirect_uri", "javascript:alert(1)"),
    ];
    for request in cases {
        let answer = browser.get(&request.path()).await;
        answer.assert_page(400);
        let reference = answer.note.reference.clone().unwrap();
        assert!(answer.body.contains(&reference), "{request:?}");
        assert!(answer.note.reason.is_some(), "{request:?}");
    }
}

/// FET-04, FET-20, AR034: blocked, closed, and malformed hosts look the same to the browser; the log knows.
#[tokio::test]
async fn a_document_that_cannot_be_had_is_a_page_that_tells_nothing() {
    let (world, mut browser) = world().await;
    let mut pages = Vec::new();
    for (error, status) in [
        (FetchError::Redirect(302), 400),
        (FetchError::MediaType, 400),
        (FetchError::TooLarge, 400),
        (FetchError::Gone(404), 400),
        (FetchError::Connect, 503),
        (FetchError::Deadline, 503),
    ] {
        // Past the pause that follows a failure, which would be the answer otherwise.
        world.clock.advance(DETERMINISTIC_BACK_OFF);
        world.fetcher.fail(CLIENT_ID, error);
        let answer = browser.get(&Request::default().path()).await;
        answer.assert_page(status);
        let reason = answer.note.reason.clone().unwrap();
        assert!(reason.contains(&error.to_string()), "{reason}");
        assert!(!answer.body.contains(&error.to_string()));
        assert_eq!(answer.header("retry-after").is_empty(), status == 400);
        pages.push((status, answer.body.replace(answer.note.reference.as_deref().unwrap(), "")));
    }
    pages.dedup();
    assert_eq!(pages.len(), 2, "one page for each status");
}

/// CAC-02, CAC-03, DOC-08, F03, K15, K16: neither an error nor an invalid document is remembered, whatever its
/// headers say; only the next fetch waits a moment, and the page says so.
#[tokio::test]
async fn a_failed_fetch_is_not_cached() {
    let (world, mut browser) = world().await;
    world.fetcher.fail(CLIENT_ID, FetchError::Gone(404));
    browser.get(&Request::default().path()).await.assert_page(400);
    let wrong = document("https://app.example.com/other");
    world.fetcher.answer(CLIENT_ID, &wrong, Some("max-age=600"));
    let busy = browser.get(&Request::default().path()).await;
    busy.assert_page(503);
    assert!(!busy.header("retry-after").is_empty());
    assert_eq!(world.fetcher.fetched().len(), 1);
    world.clock.advance(DETERMINISTIC_BACK_OFF);
    browser.get(&Request::default().path()).await.assert_page(400);
    world.clock.advance(DETERMINISTIC_BACK_OFF);
    world.fetcher.fail(CLIENT_ID, FetchError::Status(500));
    browser.get(&Request::default().path()).await.assert_page(503);
    world.clock.advance(TRANSIENT_BACK_OFF);
    world.fetcher.answer(CLIENT_ID, &document(CLIENT_ID), None);
    browser.get(&Request::default().path()).await.assert_page(200);
}

/// CAC-01, FET-18: a fresh document is used again, by every instance.
#[tokio::test]
async fn a_document_is_fetched_once_while_it_is_fresh() {
    let (world, mut browser) = world().await;
    browser.get(&Request::default().path()).await.assert_page(200);
    browser.get(&Request::default().path()).await.assert_page(200);
    browser.instance = world.instance().await;
    browser.get(&Request::default().path()).await.assert_page(200);
    assert_eq!(world.fetcher.fetched(), [CLIENT_ID]);
    world.clock.advance(std::time::Duration::from_secs(3600));
    browser.get(&Request::default().path()).await.assert_page(200);
    assert_eq!(world.fetcher.fetched(), [CLIENT_ID, CLIENT_ID]);
}

/// CAC-08, K06: a document that must not be stored still serves the flow that fetched it, and only that.
#[tokio::test]
async fn a_no_store_document_serves_one_flow() {
    let (world, mut browser) = world().await;
    world.fetcher.answer(CLIENT_ID, &document(CLIENT_ID), Some("no-store"));
    let page = browser.get(&Request::default().path()).await;
    let answer = browser.decide(&page, "approve").await;
    assert!(!answer.redirect_param("code").is_empty());
    assert_eq!(world.fetcher.fetched().len(), 1);
    browser.get(&Request::default().path()).await.assert_page(200);
    assert_eq!(world.fetcher.fetched().len(), 2);
}

/// RED-02, RED-03, R04 to R09: a port-less loopback document matches any port on the same host and path.
#[tokio::test]
async fn a_command_line_client_may_listen_on_any_port() {
    let (_world, mut browser) = world().await;
    for (redirect_uri, status) in [
        ("http://localhost:3118/callback", 200),
        ("http://127.0.0.1:49152/callback", 200),
        ("http://127.0.0.1:80/callback", 200),
        ("http://[::1]:49152/callback", 400),
        ("http://localhost:3118/other", 400),
        ("http://localhost:3118/callback?x=1", 400),
        ("http://localhost:80@evil.example/callback", 400),
        ("http://localhost.evil.example:3118/callback", 400),
        ("https://localhost:3118/callback", 400),
        ("http://localhost:0/callback", 400),
        ("http://localhost:65536/callback", 400),
        ("http://LOCALHOST:3118/callback", 400),
    ] {
        let request = Request::loopback(1).with("redirect_uri", redirect_uri);
        browser.get(&request.path()).await.assert_page(status);
    }
    let code_at = browser.get(&Request::loopback(3118).path()).await;
    let answer = browser.decide(&code_at, "approve").await;
    assert_eq!(answer.redirect().0, "http://localhost:3118/callback");
}

/// R13, RED-06: the query of a registered redirect URI is kept.
#[tokio::test]
async fn a_redirect_uri_keeps_its_query() {
    let (_world, mut browser) = world().await;
    let request = Request::default().with("redirect_uri", "https://app.example.com/other?tenant=1");
    let page = browser.get(&request.path()).await;
    let answer = browser.decide(&page, "approve").await;
    assert!(answer.header("location").starts_with("https://app.example.com/other?tenant=1&code="));
}

/// Q18, AUT-22: a state of two kilobytes comes back letter for letter.
#[tokio::test]
async fn a_long_state_comes_back_exactly() {
    let (_world, mut browser) = world().await;
    let state = "a+b %25&=é/?#".repeat(140);
    assert!(state.len() > 1900);
    let page = browser.get(&Request::default().with("state", &state).path()).await;
    let answer = browser.decide(&page, "approve").await;
    assert_eq!(answer.redirect_param("state"), state);
    let too_long = Request::default().with("state", &"x".repeat(4000));
    browser.get(&too_long.path()).await.assert_page(400);
}

/// Q11, CLIENTS 7: unknown parameters are ignored, empty ones count as absent, white space is folded.
#[tokio::test]
async fn odd_but_legal_requests_work() {
    let (_world, mut browser) = world().await;
    for request in [
        Request::default().and("foo", "1").and("login_hint", ""),
        Request::default().with("state", ""),
        Request::default().without("state"),
        Request::default().with("scope", " notes:read  offline_access"),
        Request::default().without("scope"),
        Request::default().with("scope", "notes:read unknown:scope"),
        Request::default().with("resource", "HTTPS://MCP.example/mcp"),
        Request::default().with("resource", "https://mcp2.example/").with("scope", "files"),
        Request::default().with("prompt", "consent"),
        Request::default().with("response_mode", "query"),
    ] {
        let page = browser.get(&request.path()).await;
        page.assert_page(200);
        let answer = browser.decide(&page, "approve").await;
        assert!(!answer.redirect_param("code").is_empty(), "{request:?}");
    }
}

/// Q20, AUT-27: nobody can be asked.
#[tokio::test]
async fn prompt_none_never_gets_a_code() {
    let (world, mut browser) = world().await;
    let request = Request::default().with("prompt", "none");
    let answer = browser.get(&request.path()).await;
    assert_eq!(answer.redirect_param("error"), "consent_required");
    // AUT-26: without a signed-in person there is no redirect either.
    Browser::new(&world.instance().await).get(&request.path()).await.assert_page(400);
}

/// AUT-27: `prompt=login` asks again even if somebody is signed in.
#[tokio::test]
async fn prompt_login_asks_for_a_fresh_sign_in() {
    let (world, mut browser) = world().await;
    world.clock.advance(std::time::Duration::from_secs(5));
    let page = browser.get(&Request::default().with("prompt", "login").path()).await;
    assert!(page.body.contains("user_name"), "{}", page.body);
    let consent = browser.sign_in(&page, "grace").await;
    assert!(consent.body.contains("grace"));
}

/// AUT-03, Q17: no CORS at the authorization endpoint.
#[tokio::test]
async fn the_authorization_endpoint_has_no_cors() {
    let (_world, mut browser) = world().await;
    let answer = browser.get(&Request::default().path()).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

/// AUT-07, SECURITY: every page is harmless in a frame, a cache, or a referrer.
#[tokio::test]
async fn pages_carry_their_protective_headers() {
    let (_world, mut browser) = world().await;
    let consent = browser.get(&Request::default().path()).await;
    let error = browser.get(&Request::default().without("client_id").path()).await;
    let sign_in = Browser::new(&browser.instance).get(&Request::default().path()).await;
    for page in [consent, error, sign_in] {
        let policy = page.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("x-frame-options"), "DENY");
    }
}

/// D23, AUT-31, DOC-30: a client that may not do this is told so.
#[tokio::test]
async fn a_client_without_the_grant_or_a_usable_method_is_unauthorized() {
    let (world, mut browser) = world().await;
    let no_grant = document(CLIENT_ID)
        .replace(r#"["authorization_code","refresh_token"]"#, r#"["client_credentials"]"#)
        .replace(r#""response_types":["code"],"#, r#""response_types":[],"#);
    let no_method = document(CLIENT_ID).replace(
        r#""token_endpoint_auth_method":"none""#,
        r#""token_endpoint_auth_method":"tls_client_auth""#,
    );
    for body in [no_grant, no_method] {
        world.clock.advance(std::time::Duration::from_secs(4000));
        world.fetcher.answer(CLIENT_ID, &body, None);
        let answer = browser.get(&Request::default().path()).await;
        assert_eq!(answer.redirect_param("error"), "unauthorized_client", "{body}");
    }
}

/// FM079, CLIENTS 8: the same request twice in a row works, and so do two side by side.
#[tokio::test]
async fn flows_run_side_by_side_in_one_browser() {
    let (_world, mut browser) = world().await;
    let first = browser.get(&Request::default().with("state", "1").path()).await;
    let second = browser.get(&Request::loopback(4000).with("state", "2").path()).await;
    let answer = browser.decide(&first, "approve").await;
    assert_eq!(answer.redirect_param("state"), "1");
    let answer = browser.decide(&second, "approve").await;
    assert_eq!(answer.redirect_param("state"), "2");
    assert_eq!(answer.redirect().0, "http://localhost:4000/callback");
    assert_eq!(LOOPBACK_CLIENT_ID, "https://cli.example.com/oauth/client.json");
}

/// AR224: many tabs do not fill the browser with cookies.
#[tokio::test]
async fn the_number_of_flow_cookies_is_bounded() {
    let (_world, mut browser) = world().await;
    for number in 0..20 {
        browser.get(&Request::default().with("state", &number.to_string()).path()).await.assert_page(200);
    }
    let flows = browser.cookie_names().iter().filter(|name| name.contains("-flow-")).count();
    assert!(flows <= 5, "{flows}");
}
