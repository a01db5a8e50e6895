//! What an administrator writes into the policy is what happens: modes, blocks, approval, profiles
//! (SPEC 2.13), seen through the front door.

use std::time::Duration;

use serde_json::{Value, json};
use shared::aws::{Change, Changed, ToolStore};
use shared::clock::{Clock as _, Timestamp};
use shared::policy::Policy;
use shared::tool::{Reviewed, Status, ToolId};
use tests::{
    Browser, CLIENT_ID, Instance, LOOPBACK_CLIENT_ID, RESOURCE, Request, Tokens, World, form, token_request,
};

/// The stories' policy with `changes` merged into its top level.
fn policy(changes: Value) -> Policy {
    let mut policy = json!({
        "resources": [{
            "resource": RESOURCE,
            "scopes": [{"name": "notes:read"}, {"name": "notes:write"}],
        }],
    });
    for (name, value) in changes.as_object().unwrap() {
        policy[name] = value.clone();
    }
    Policy::from_json(&policy.to_string()).unwrap()
}

async fn world(changes: Value) -> (World, Browser) {
    let world = World::with_policy(&policy(changes)).await;
    let browser = Browser::signed_in(&world.instance().await, "ada").await;
    (world, browser)
}

async fn set(world: &World, instance: &Instance, changes: Value) {
    let current = instance.policies.current(world.clock.as_ref()).await.unwrap();
    let changed = policy(changes);
    let replaced = instance.policies.replace(current.version, &changed, "tests", world.clock.now()).await;
    assert!(replaced.unwrap());
}

fn tool() -> ToolId {
    ToolId::of_metadata_document("app.example.com", CLIENT_ID)
}

/// GOV-04, Q19: a host that is not listed, or denied, or documents turned off: a page, and no fetch.
#[tokio::test]
async fn modes_decide_before_anything_is_fetched() {
    for (documents, status) in [
        (json!({"mode": "listed", "allow": ["*.example.com"]}), 200),
        (json!({"mode": "listed", "allow": ["app.example.com"]}), 200),
        (json!({"mode": "listed", "allow": ["example.com"]}), 400),
        (json!({"mode": "listed", "allow": ["*.example.com"], "deny": ["app.example.com"]}), 403),
        (json!({"mode": "open", "deny": ["*.example.com"]}), 403),
        (json!({"mode": "approval", "allow": ["app.example.com"]}), 200),
        (json!({"mode": "off"}), 400),
    ] {
        let (world, mut browser) = world(json!({"metadata_documents": documents})).await;
        let page = browser.get(&Request::default().path()).await;
        page.assert_page(status);
        assert_eq!(world.fetcher.fetched().len(), usize::from(status == 200), "{documents}");
    }
}

/// GOV-06: first use parks the tool; the person is told and says why; the administrator decides; then it
/// works.
#[tokio::test]
async fn an_unknown_tool_waits_for_approval() {
    let (world, mut browser) = world(json!({"metadata_documents": {"mode": "approval"}})).await;
    let instance = browser.instance.clone();
    let page = browser.get(&Request::default().path()).await;
    page.assert_page(403);
    assert!(page.body.contains("waiting for approval"), "{}", page.body);
    let parked = ToolStore::new(instance.tables.clone()).read(&tool()).await.unwrap().unwrap();
    assert_eq!((parked.status, parked.introduced.by.as_str()), (Status::Pending, "ada"));

    let body = form(&[("form", &page.field("form")), ("reason", "release notes\u{7}")]);
    let thanks = browser.post("/reason", body.clone()).await;
    assert!(thanks.assert_page(403).body.contains("Thank you"), "{}", thanks.body);
    let parked = ToolStore::new(instance.tables.clone()).read(&tool()).await.unwrap().unwrap();
    assert_eq!(parked.reason.as_deref(), Some("release notes"));
    // The form belongs to one session, and comes from our own page.
    Browser::signed_in(&instance, "mallory").await.post("/reason", body.clone()).await.assert_page(403);
    browser.post_with("/reason", body, &[("sec-fetch-site", "cross-site")]).await.assert_page(403);

    // A second person finds the same pending tool, without another fetch.
    let fetched = world.fetcher.fetched().len();
    let mut other = Browser::signed_in(&world.instance().await, "grace").await;
    other.get(&Request::default().path()).await.assert_page(403);
    assert_eq!(world.fetcher.fetched().len(), fetched);

    let reviewed = Reviewed { at: Timestamp::default(), by: "an administrator".to_owned() };
    let store = ToolStore::new(instance.tables.clone());
    let changed = store.change(&tool(), &Change::Enable(reviewed), None).await.unwrap();
    assert!(matches!(changed, Changed::Made(_)));
    let code = browser.authorize(&Request::default()).await;
    token_request(&instance, &code, &[]).await.assert_status(200);
}

/// GOV-15: a block by exact id, host, or registrable domain stops every path at once, within the few
/// seconds that a process works with its copy of the policy.
#[tokio::test]
async fn a_block_stops_every_path() {
    for blocked in [
        json!({"client_ids": [CLIENT_ID]}),
        json!({"hosts": ["app.example.com"]}),
        json!({"domains": ["example.com"]}),
    ] {
        let (world, mut browser) = world(json!({})).await;
        let instance = browser.instance.clone();
        let tokens = browser.tokens().await;
        let code = browser.authorize(&Request::default()).await;
        let shown = browser.get(&Request::default().with("prompt", "consent").path()).await;
        set(&world, &instance, json!({"blocked": blocked})).await;
        world.clock.advance(Duration::from_secs(6));
        let fetched = world.fetcher.fetched().len();
        browser.get(&Request::default().path()).await.assert_page(403);
        browser.decide(&shown, "approve").await.assert_page(403);
        token_request(&instance, &code, &[]).await.assert_status(400);
        assert_eq!(tokens.refresh(&instance, CLIENT_ID).await.assert_status(400).error(), "invalid_grant");
        assert_eq!(world.fetcher.fetched().len(), fetched);
    }
}

/// Idea 23, GOV-03: a new class of clients with its own limits, by editing the document alone.
#[tokio::test]
async fn a_new_class_of_clients_is_data() {
    let guests = json!({
        "name": "guest",
        "match": {"hosts": ["cli.example.com"]},
        "scope_ceiling": ["notes:read"],
        "lifetimes": {"access_token_seconds": 120},
    });
    let (world, mut browser) = world(json!({"profiles": [guests]})).await;
    let instance = browser.instance.clone();
    let request = Request::loopback(4000);
    let code = browser.authorize(&request).await;
    let changes = [("client_id", LOOPBACK_CLIENT_ID), ("redirect_uri", "http://localhost:4000/callback")];
    let tokens = Tokens::of(&token_request(&instance, &code, &changes).await);
    let claims = tokens.claims();
    assert_eq!(claims["scope"], "notes:read");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 120);
    // Everybody else is in the class that they were in.
    let code = browser.authorize(&Request::default()).await;
    let others = Tokens::of(&token_request(&instance, &code, &[]).await);
    assert_eq!(others.claims()["scope"], "notes:read notes:write");

    // The class is asked again at each refresh.
    let closed = json!({
        "name": "guest",
        "match": {"hosts": ["cli.example.com"]},
        "redirect_kinds": ["https"],
        "authentication": "keys",
    });
    set(&world, &instance, json!({"profiles": [closed]})).await;
    world.clock.advance(Duration::from_secs(6));
    let refused = tokens.refresh(&instance, LOOPBACK_CLIENT_ID).await;
    assert_eq!(refused.assert_status(400).error(), "unauthorized_client");
    browser.get(&request.path()).await.assert_page(403);
}

/// GOV-05: a class that needs approval parks its tools although documents are open to all others.
#[tokio::test]
async fn a_class_can_need_approval() {
    let careful =
        json!({"name": "careful", "match": {"redirect_kinds": ["loopback"]}, "approval_needed": true});
    let (_world, mut browser) = world(json!({"profiles": [careful]})).await;
    browser.get(&Request::loopback(4000).path()).await.assert_page(403);
    browser.get(&Request::default().path()).await.assert_page(200);
}
