//! The decision: CON-*, SECURITY section 3 "Login and consent pages".

use std::time::Duration;

use tests::{Browser, CLIENT_ID, ISSUER, Request, World, document, form, token_request};

/// Q14, CON-10: no is an answer, and the program that waits for it gets it.
#[tokio::test]
async fn a_denial_reaches_the_client_and_ends_the_flow() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world.instance().await, "ada").await;
    let page = browser.get(&Request::loopback(4000).path()).await;
    let answer = browser.decide(&page, "deny").await;
    assert_eq!(answer.redirect_param("error"), "access_denied");
    assert_eq!(answer.redirect_param("iss"), ISSUER);
    browser.decide(&page, "approve").await.assert_page(400);
}

/// FM079, invariant 7: a form sent twice leads to one code, not two.
#[tokio::test]
async fn approving_twice_yields_one_code() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world.instance().await, "ada").await;
    let page = browser.get(&Request::default().path()).await;
    let mut other_tab = browser.clone();
    let first = browser.decide(&page, "approve").await.redirect_param("code");
    let second = other_tab.clone().decide(&page, "approve").await.redirect_param("code");
    assert_eq!(first, second);
    token_request(&browser.instance, &first, &[]).await.assert_status(200);
    other_tab.decide(&page, "approve").await.assert_page(400);
    // The late submission changed nothing for the client that has its tokens.
    token_request(&browser.instance, &first, &[("code_verifier", &"a".repeat(43))]).await.assert_status(400);
}

/// AR239, AR255, CVE-2026-27124: a flow that one browser began cannot be approved in another.
#[tokio::test]
async fn a_flow_belongs_to_the_browser_that_began_it() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut attacker = Browser::signed_in(&instance, "mallory").await;
    let mut victim = Browser::signed_in(&instance, "ada").await;
    let page = attacker.get(&Request::default().path()).await;
    let (flow, sealed) = (page.field("flow"), page.field("form"));
    let body = form(&[("flow", &flow), ("form", &sealed), ("decision", "approve")]);
    victim.post("/consent", body.clone()).await.assert_page(400);
    victim.get(&format!("/consent?flow={flow}")).await.assert_page(400);
    // Even with the flow's cookie planted: the form is bound to the attacker's session.
    victim.steal_cookies(&attacker, "-flow-");
    victim.post("/consent", body).await.assert_page(403);
}

/// CON-05, AR225 to AR231: forms from elsewhere, or without our seal, or altered, are refused.
#[tokio::test]
async fn a_forged_consent_is_refused() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world.instance().await, "ada").await;
    let page = browser.get(&Request::default().path()).await;
    let (flow, sealed) = (page.field("flow"), page.field("form"));
    let good = form(&[("flow", &flow), ("form", &sealed), ("decision", "approve")]);
    for headers in [
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
        [("sec-fetch-site", "none")],
        [("origin", "https://evil.example")],
    ] {
        browser.post_with("/consent", good.clone(), &headers).await.assert_page(403);
    }
    for (name, value) in [("form", "AAAA"), ("form", ""), ("decision", "maybe"), ("decision", "")] {
        let mut pairs = vec![("flow", flow.as_str()), ("form", &sealed), ("decision", "approve")];
        pairs.retain(|(found, _)| *found != name);
        pairs.push((name, value));
        browser.post("/consent", form(&pairs)).await.assert_page(403);
    }
    // A form of another flow of the same person does not fit either.
    let other = browser.get(&Request::loopback(4000).path()).await;
    let mixed = form(&[("flow", &flow), ("form", &other.field("form")), ("decision", "approve")]);
    browser.post("/consent", mixed).await.assert_page(403);
    browser.post("/consent", good).await.assert_status(303);
}

/// The flow lives ten minutes, then there is a way out and nothing else.
#[tokio::test]
async fn an_expired_flow_says_start_again() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world.instance().await, "ada").await;
    let page = browser.get(&Request::default().path()).await;
    world.clock.advance(Duration::from_secs(600));
    let answer = browser.decide(&page, "approve").await;
    answer.assert_page(400);
    assert!(answer.body.contains("start again"), "{}", answer.body);
}

/// AR251, RU: what was approved is what was shown; a document that changed meanwhile is shown again.
#[tokio::test]
async fn a_document_that_changed_since_the_page_is_shown_again() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world.instance().await, "ada").await;
    let page = browser.get(&Request::default().path()).await;
    world.clock.advance(Duration::from_secs(590));
    let renamed = document(CLIENT_ID).replace("Example Agent", "Someone Else");
    world.fetcher.answer(CLIENT_ID, &renamed, Some("max-age=60"));
    // Another person's request brings the new version into the shared cache.
    let instance = world.instance().await;
    let mut other = Browser::signed_in(&instance, "grace").await;
    other.get(&Request::default().path()).await.assert_page(200);
    world.clock.advance(Duration::from_secs(5));
    let answer = browser.decide(&page, "approve").await;
    assert!(answer.status == 303 || answer.body.contains("Example Agent"), "{answer:?}");
}

/// SECURITY, session fixation: signing in makes a new session, and a form of the old one is void.
#[tokio::test]
async fn a_new_sign_in_voids_the_forms_of_the_old_one() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world.instance().await, "ada").await;
    let page = browser.get(&Request::default().path()).await;
    let login = browser.get(&Request::default().with("prompt", "login").path()).await;
    // The clock has not moved: the session counts as fresh enough, so the consent page comes at once.
    assert!(login.body.contains("Example Agent"));
    world.clock.advance(Duration::from_secs(2));
    let login = browser.get(&Request::default().with("prompt", "login").path()).await;
    browser.sign_in(&login, "ada").await.assert_page(200);
    browser.decide(&page, "approve").await.assert_page(403);
}

/// CON-03: loopback is called by its name.
#[tokio::test]
async fn the_page_warns_about_loopback() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world.instance().await, "ada").await;
    let loopback = browser.get(&Request::loopback(4000).path()).await;
    assert!(loopback.body.contains("Any program on this computer"), "{}", loopback.body);
    let web = browser.get(&Request::default().path()).await;
    assert!(!web.body.contains("Any program on this computer"));
}

/// CON-06, D22, AR276: what the document says about itself is text, whatever it contains.
#[tokio::test]
async fn markup_in_a_name_stays_text() {
    let world = World::new().await;
    let named = document(CLIENT_ID).replace("Example Agent", "<b>Claude</b><script>alert(1)</script>");
    world.fetcher.answer(CLIENT_ID, &named, None);
    let mut browser = Browser::signed_in(&world.instance().await, "ada").await;
    let page = browser.get(&Request::default().path()).await;
    assert!(!page.body.contains("<script>") && !page.body.contains("<b>"), "{}", page.body);
}
