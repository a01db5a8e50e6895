//! What people are asked, what is remembered, and what they can end: AUT-29, CON-*, SECURITY section 3.

use serde_json::json;
use shared::grant::{GrantId, Warning};
use shared::policy::Policy;
use tests::{Answer, Browser, CLIENT_ID, Instance, Request, Tokens, World, document, form, token_request};

async fn signed_in(world: &World) -> Browser {
    Browser::signed_in(&world.instance().await, "ada").await
}

/// Allows `request` and redeems the code, as the web client.
async fn connect(browser: &mut Browser, request: &Request) -> Tokens {
    let code = browser.authorize(request).await;
    Tokens::of(&token_request(&browser.instance, &code, &[]).await)
}

fn read_only() -> Request {
    Request::default().with("scope", "notes:read")
}

fn asked(answer: &Answer) -> bool {
    answer.status == 200 && answer.body.contains("name=\"decision\"")
}

async fn policy_with(change: impl FnOnce(&mut Policy)) -> World {
    let world = World::new().await;
    let instance = world.instance().await;
    let current = instance.policies.current(world.clock.as_ref()).await.unwrap();
    let mut policy = current.policy.clone();
    change(&mut policy);
    let now = shared::clock::Clock::now(world.clock.as_ref());
    assert!(instance.policies.replace(current.version, &policy, "tests", now).await.unwrap());
    world
}

/// The revocation that a person performs on the account page.
async fn disconnect(browser: &mut Browser, choice: (&str, &str)) -> Answer {
    let page = browser.get("/account").await;
    browser.post("/account", form(&[("form", &page.field("form")), choice])).await
}

/// AUT-29, GHSA-7w2c-w47h-789w: the same again for a web site is answered without a page.
#[tokio::test]
async fn consent_is_remembered_for_the_same_web_site_resource_scope_and_document() {
    let world = World::new().await;
    let mut browser = signed_in(&world).await;
    connect(&mut browser, &Request::default()).await;
    for request in [Request::default(), read_only(), Request::default().with("prompt", "none")] {
        let answer = browser.get(&request.path()).await;
        assert!(!answer.redirect_param("code").is_empty(), "{request:?}");
    }
    let code = browser.get(&read_only().path()).await.redirect_param("code");
    let tokens = Tokens::of(&token_request(&browser.instance, &code, &[]).await);
    assert_eq!(tokens.scope, "notes:read");
    // `prompt=consent` is an order (AUT-27).
    assert!(asked(&browser.get(&Request::default().with("prompt", "consent").path()).await));
    // Another person, and the same person for another resource, are asked.
    let mut grace = Browser::signed_in(&browser.instance, "grace").await;
    assert!(asked(&grace.get(&Request::default().path()).await));
    let other = Request::default().with("resource", "https://mcp2.example").with("scope", "files");
    assert!(asked(&browser.get(&other.path()).await));
}

/// AUT-29, Q16, CVE-2023-34246, AR170: on loopback anybody could be asking, so nothing is remembered.
#[tokio::test]
async fn consent_is_never_remembered_on_loopback() {
    let world = World::new().await;
    let mut browser = signed_in(&world).await;
    let request = Request::loopback(4000);
    let code = browser.authorize(&request).await;
    let changes =
        [("client_id", tests::LOOPBACK_CLIENT_ID), ("redirect_uri", "http://localhost:4000/callback")];
    token_request(&browser.instance, &code, &changes).await.assert_status(200);
    assert!(asked(&browser.get(&request.path()).await));
    let silent = browser.get(&request.with("prompt", "none").path()).await;
    assert_eq!(silent.redirect_param("error"), "consent_required");
}

/// AUT-29, AR251: what was approved was that document; another one is asked about, with a warning.
#[tokio::test]
async fn a_changed_document_is_asked_about_again_and_called_changed() {
    let world = World::new().await;
    world.fetcher.answer(CLIENT_ID, &document(CLIENT_ID), Some("no-store"));
    let mut browser = signed_in(&world).await;
    connect(&mut browser, &Request::default()).await;
    let renamed = document(CLIENT_ID).replace("Example Agent", "Another Agent");
    world.fetcher.answer(CLIENT_ID, &renamed, Some("no-store"));
    let page = browser.get(&Request::default().path()).await;
    assert!(asked(&page));
    assert!(page.body.contains("has changed since you last allowed it"), "{}", page.body);
    let code = browser.decide(&page, "approve").await.redirect_param("code");
    let grant = grant_of(&browser.instance, &code).await;
    assert_eq!(grant.evidence.warnings, [Warning::DocumentChanged]);
}

async fn grant_of(instance: &Instance, code: &str) -> shared::grant::Grant {
    let keys = instance.keys.current();
    let code = shared::grant::Code::parse(code, &keys.seal).unwrap();
    shared::aws::GrantStore::new(instance.tables.clone()).read(code.grant).await.unwrap().unwrap()
}

/// Step-up: the page asks for what is new, and the token has what was there as well.
#[tokio::test]
async fn more_is_asked_for_alone_and_what_was_granted_stays() {
    let world = World::new().await;
    let mut browser = signed_in(&world).await;
    connect(&mut browser, &read_only()).await;
    let page = browser.get(&Request::default().with("scope", "notes:write").path()).await;
    assert!(asked(&page));
    let (new, kept) = page.body.split_once("It keeps what you allowed before").unwrap();
    assert!(new.contains("change your notes") && !new.contains("read your notes"), "{}", page.body);
    assert!(kept.contains("read your notes"), "{}", page.body);
    let code = browser.decide(&page, "approve").await.redirect_param("code");
    let tokens = Tokens::of(&token_request(&browser.instance, &code, &[]).await);
    let mut scope: Vec<&str> = tokens.scope.split(' ').collect();
    scope.sort_unstable();
    assert_eq!(scope, ["notes:read", "notes:write"]);
}

/// Invariant 4, AUT-29: what a person ended is over at once, and is not remembered.
#[tokio::test]
async fn what_is_disconnected_ends_at_once_and_is_not_remembered() {
    let world = World::new().await;
    let mut browser = signed_in(&world).await;
    let tokens = connect(&mut browser, &Request::default()).await;
    let page = browser.get("/account").await;
    page.assert_page(200);
    for shown in ["app.example.com", "Example Agent", "Notes", "read your notes", "today"] {
        assert!(page.body.contains(shown), "{shown} in {}", page.body);
    }
    let grant =
        page.body.split("name=\"grant\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let answer = disconnect(&mut browser, ("grant", &grant)).await;
    assert_eq!(answer.header("location"), "/account?revoked");
    tokens.refresh(&browser.instance, CLIENT_ID).await.assert_status(400);
    assert!(browser.get("/account").await.body.contains("No application is connected"));
    assert!(asked(&browser.get(&Request::default().path()).await));
}

/// A person ends their own grants, one tool's or all; an id of somebody else's ends nothing.
#[tokio::test]
async fn nobody_disconnects_what_belongs_to_somebody_else() {
    let world = World::new().await;
    let mut ada = signed_in(&world).await;
    let mut grace = Browser::signed_in(&ada.instance, "grace").await;
    let (hers, theirs) =
        (connect(&mut ada, &Request::default()).await, connect(&mut grace, &Request::default()).await);
    let page = grace.get("/account").await;
    let grant = page.body.split("name=\"grant\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(GrantId::parse(grant).is_some());
    disconnect(&mut ada, ("grant", grant)).await.assert_status(303);
    theirs.refresh(&ada.instance, CLIENT_ID).await.assert_status(200);
    // A form of another session is nobody's.
    let foreign = form(&[("form", &page.field("form")), ("all", "yes")]);
    ada.post("/account", foreign.clone()).await.assert_page(403);
    ada.post_with("/account", foreign, &[("sec-fetch-site", "cross-site")]).await.assert_page(403);
    disconnect(&mut ada, ("all", "yes")).await.assert_status(303);
    hers.refresh(&ada.instance, CLIENT_ID).await.assert_status(400);
}

/// CON-10, AUT-26: a no to a web site that nobody vouches for stays here, with a link that tells it.
#[tokio::test]
async fn after_a_no_to_an_unknown_web_site_the_person_stays_here() {
    let world = World::new().await;
    let mut browser = signed_in(&world).await;
    let page = browser.get(&Request::default().path()).await;
    let answer = browser.decide(&page, "deny").await;
    answer.assert_page(200);
    let link =
        answer.body.split("href=\"https://app.example.com/").nth(1).unwrap().split('"').next().unwrap();
    for part in ["error=access_denied", "state=the+state", "iss=https%3A%2F%2Fas.example"] {
        assert!(link.contains(part), "{part} in {link}");
    }
    browser.decide(&page, "approve").await.assert_page(400);
    // Whom the person knows is told at once.
    connect(&mut browser, &Request::default()).await;
    let page = browser.get(&Request::default().with("prompt", "consent").path()).await;
    assert_eq!(browser.decide(&page, "deny").await.redirect_param("error"), "access_denied");
}

/// CON-08, FIELD idea 11: an impostor is called one, and the grant says that the person was told.
#[tokio::test]
async fn a_host_that_looks_like_a_known_one_is_called_by_its_name() {
    let world = World::new().await;
    let id = "https://claude.example/c.json";
    world.fetcher.answer(id, &document(id), None);
    let mut browser = signed_in(&world).await;
    let page = browser.get(&Request::default().with("client_id", id).path()).await;
    assert!(page.body.contains("This is not claude.ai"), "{}", page.body);
    let code = browser.decide(&page, "approve").await.redirect_param("code");
    assert_eq!(grant_of(&browser.instance, &code).await.evidence.warnings, [Warning::LookAlike]);
}

/// FIELD idea 12: a name that nobody has looked at is not shown where policy says so, and not kept as seen.
#[tokio::test]
async fn a_self_asserted_name_is_withheld_until_the_tool_is_approved() {
    let world = policy_with(|policy| policy.consent.withhold_names = true).await;
    let mut browser = signed_in(&world).await;
    let page = browser.get(&Request::default().path()).await;
    assert!(asked(&page) && !page.body.contains("Example Agent"), "{}", page.body);
    let code = browser.decide(&page, "approve").await.redirect_param("code");
    assert_eq!(grant_of(&browser.instance, &code).await.evidence.client_name, None);
}

/// Remembering can be switched off for everybody.
#[tokio::test]
async fn policy_can_have_every_request_asked_about() {
    let world = policy_with(|policy| policy.consent.remember = false).await;
    let mut browser = signed_in(&world).await;
    connect(&mut browser, &Request::default()).await;
    assert!(asked(&browser.get(&Request::default().path()).await));
}

/// CID-04, login CSRF: "not you?" changes nothing until somebody else has signed in, and then the form of the first
/// person is void.
#[tokio::test]
async fn not_you_leads_to_another_sign_in_for_the_same_request() {
    let world = World::new().await;
    let mut browser = signed_in(&world).await;
    let page = browser.get(&Request::default().path()).await;
    world.clock.advance(std::time::Duration::from_secs(2));
    let login = browser.get(&format!("/sign-in/again?flow={}", page.field("flow"))).await;
    let second = browser.sign_in(&login, "grace").await;
    assert!(second.body.contains("<bdi>grace</bdi>"), "{}", second.body);
    browser.decide(&page, "approve").await.assert_page(403);
    assert!(!browser.decide(&second, "approve").await.redirect_param("code").is_empty());
}

/// The account page asks a stranger to sign in and leads back to itself.
#[tokio::test]
async fn a_stranger_reaches_the_account_page_by_signing_in() {
    let world = World::new().await;
    let mut browser = Browser::new(&world.instance().await);
    let login = browser.get("/account").await;
    let answer = browser.sign_in(&login, "ada").await;
    let page = browser.follow(answer).await;
    assert!(page.body.contains("No application is connected"), "{}", page.body);
    let page = disconnect(&mut browser, ("sign_out", "yes")).await;
    page.assert_page(200);
    assert!(browser.get("/account").await.body.contains("user_name"));
}

/// `Accept-Language`: questions and refusals in the person's language.
#[tokio::test]
async fn pages_speak_the_language_of_the_browser() {
    let world = World::new().await;
    let instance = world.instance().await;
    for (path, german) in [("/nowhere", "Diese Seite gibt es nicht"), ("/authorize", "Anmeldelink")] {
        let request = http::Request::get(path).header("accept-language", "de-CH, en;q=0.5");
        let answer = instance.send(request.body(axum::body::Body::empty()).unwrap()).await;
        assert!(answer.body.contains(german) && answer.body.contains("<html lang=\"de\""), "{}", answer.body);
    }
    instance.get("/nowhere").await.assert_page(404);
}

/// The operator's name, colours, logo, and address come from the policy document.
#[tokio::test]
async fn pages_carry_the_operators_name_and_colours() {
    let branding = json!({
        "name": "Example <GmbH>",
        "accent_light": "#7a1fa2",
        "support": "help@example.com",
        "logo_png": "iVBORw0KGgo=",
    });
    let branding: shared::policy::branding::Branding = serde_json::from_value(branding).unwrap();
    let world = policy_with(|policy| policy.branding = branding).await;
    let mut browser = signed_in(&world).await;
    let page = browser.get(&Request::default().path()).await;
    for shown in ["Example &#60;GmbH&#62;", "mailto:help@example.com", "/logo.png"] {
        assert!(page.body.contains(shown), "{shown} in {}", page.body);
    }
    assert!(browser.get("/style.css").await.body.contains("--accent: #7a1fa2"));
    let request = http::Request::get("/logo.png").body(axum::body::Body::empty()).unwrap();
    let logo = browser.instance.raw(request).await;
    assert_eq!(logo.headers()["content-type"], "image/png");
}
