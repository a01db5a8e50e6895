//! A publisher takes a document back: 404 or 410, often and for long enough (CAC-17, FM068; FIELD idea 16).

use std::time::Duration;

use serde_json::json;
use shared::aws::{Change, Changed, ToolStore};
use shared::fetch::FetchError;
use shared::policy::Policy;
use shared::tool::{Reviewed, Status, ToolId};
use tests::{Answer, Browser, CLIENT_ID, RESOURCE, Request, Tokens, World, document, token_request};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn tool_id() -> ToolId {
    ToolId::of_metadata_document("app.example.com", CLIENT_ID)
}

async fn world(documents: serde_json::Value) -> World {
    let policy = json!({
        "resources": [{
            "resource": RESOURCE,
            "scopes": [{"name": "notes:read"}, {"name": "notes:write"}],
        }],
        "metadata_documents": documents,
    });
    World::with_policy(&Policy::from_json(&policy.to_string()).unwrap()).await
}

/// A visit of a person whose session has run out meanwhile.
async fn visit(browser: &Browser, user: &str) -> Answer {
    Browser::signed_in(&browser.instance, user).await.get(&Request::default().path()).await
}

/// Lets the document be gone until the tool is withdrawn: three sightings over a day.
async fn withdraw(world: &World, browser: &Browser) {
    world.fetcher.fail(CLIENT_ID, FetchError::Gone(410));
    world.clock.advance(HOUR);
    visit(browser, "alice").await.assert_page(400);
    world.clock.advance(DAY / 2);
    visit(browser, "alice").await.assert_page(400);
    world.clock.advance(DAY / 2);
    assert_eq!(visit(browser, "alice").await.assert_page(410).note.outcome, "tool_withdrawn");
}

async fn status(browser: &Browser) -> Status {
    let store = ToolStore::new(browser.instance.tables.clone());
    store.read(&tool_id()).await.unwrap().unwrap().status
}

/// FM068: a document that is gone stops new authorizations at once; after a day the tool is withdrawn, and
/// its grants end with it.
#[tokio::test]
async fn a_tool_whose_document_is_gone_is_withdrawn_after_a_day() {
    let world = World::new().await;
    let mut alice = Browser::signed_in(&world.instance().await, "alice").await;
    let tokens = alice.tokens().await;
    world.clock.advance(HOUR);
    world.fetcher.fail(CLIENT_ID, FetchError::Gone(404));
    alice.get(&Request::default().path()).await.assert_page(400);
    let tokens = Tokens::of(&tokens.refresh(&alice.instance, CLIENT_ID).await);
    for _ in 0..2 {
        world.clock.advance(DAY / 2);
        visit(&alice, "alice").await;
    }
    assert_eq!(visit(&alice, "alice").await.assert_page(410).note.outcome, "tool_withdrawn");
    tokens.refresh(&alice.instance, CLIENT_ID).await.assert_status(400);
}

/// Idea 16: where policy says so, those who use a tool go on with it after its withdrawal; nobody new gets in,
/// not even with a code that waited; disabling it ends the rest.
#[tokio::test]
async fn where_policy_says_so_grants_outlive_a_withdrawal_and_nobody_new_gets_in() {
    let world = world(json!({"refresh_after_withdrawal": true})).await;
    let mut alice = Browser::signed_in(&world.instance().await, "alice").await;
    let tokens = alice.tokens().await;
    let elsewhere = world.instance().await;
    withdraw(&world, &alice).await;
    assert_eq!(status(&alice).await, Status::Withdrawn);

    let tokens = Tokens::of(&tokens.refresh(&elsewhere, CLIENT_ID).await);
    visit(&alice, "grace").await.assert_page(410);
    visit(&alice, "alice").await.assert_page(410);

    let store = ToolStore::new(alice.instance.tables.clone());
    let changed = store.change(&tool_id(), &Change::Disable, None).await.unwrap();
    assert!(matches!(changed, Changed::Made(_)));
    tokens.refresh(&elsewhere, CLIENT_ID).await.assert_status(400);
}

/// A code is a new authorization: one that waited when the tool was withdrawn brings nothing, whatever policy
/// says about the grants there are.
#[tokio::test]
async fn a_code_that_waited_for_a_withdrawn_tool_brings_nothing() {
    for goes_on in [false, true] {
        let world = world(json!({"refresh_after_withdrawal": goes_on})).await;
        let mut alice = Browser::signed_in(&world.instance().await, "alice").await;
        let code = alice.authorize(&Request::default()).await;
        let store = ToolStore::new(alice.instance.tables.clone());
        let changed = store.change(&tool_id(), &Change::Withdraw, None).await.unwrap();
        assert!(matches!(changed, Changed::Made(_)));
        let refused = token_request(&alice.instance, &code, &[]).await;
        assert_eq!(refused.assert_status(400).error(), "invalid_grant");
    }
}

/// Two sightings, or three within a day, are an accident of the host and withdraw nothing.
#[tokio::test]
async fn a_short_absence_withdraws_nothing() {
    let world = World::new().await;
    let mut alice = Browser::signed_in(&world.instance().await, "alice").await;
    let tokens = alice.tokens().await;
    world.fetcher.fail(CLIENT_ID, FetchError::Gone(404));
    for _ in 0..5 {
        world.clock.advance(HOUR);
        visit(&alice, "alice").await.assert_page(400);
    }
    assert_eq!(status(&alice).await, Status::Enabled);
    let tokens = Tokens::of(&tokens.refresh(&alice.instance, CLIENT_ID).await);
    // Back again: as if nothing had been, and the count begins anew.
    world.fetcher.answer(CLIENT_ID, &document(CLIENT_ID), None);
    world.clock.advance(DAY);
    visit(&alice, "grace").await.assert_page(200);
    world.fetcher.fail(CLIENT_ID, FetchError::Gone(404));
    world.clock.advance(HOUR);
    visit(&alice, "alice").await.assert_page(400);
    assert_eq!(status(&alice).await, Status::Enabled);
    Tokens::of(&tokens.refresh(&alice.instance, CLIENT_ID).await);
}

/// The document comes back after the withdrawal: an administrator lets the tool in again, nobody else.
#[tokio::test]
async fn a_withdrawn_tool_comes_back_by_an_administrator_only() {
    let world = World::new().await;
    let mut alice = Browser::signed_in(&world.instance().await, "alice").await;
    alice.tokens().await;
    withdraw(&world, &alice).await;
    world.fetcher.answer(CLIENT_ID, &document(CLIENT_ID), None);
    world.clock.advance(HOUR);
    visit(&alice, "alice").await.assert_page(410);
    let store = ToolStore::new(alice.instance.tables.clone());
    let reviewed = Reviewed { at: shared::clock::Timestamp::default(), by: "an administrator".to_owned() };
    let changed = store.change(&tool_id(), &Change::Enable(reviewed), None).await.unwrap();
    assert!(matches!(changed, Changed::Made(_)));
    visit(&alice, "grace").await.assert_page(200);
}
