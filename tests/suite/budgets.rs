//! Invariant 1 and DESIGN section 9: what each request costs, counted.

use tests::{Browser, CLIENT_ID, Request, Tokens, World, token_request};

/// Invariant 1, GOV idea 18: strangers cost nothing, wherever they knock.
#[tokio::test]
async fn a_stranger_reads_nothing_writes_nothing_and_fetches_nothing() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::new(&instance);
    for request in [
        Request::default(),
        Request::loopback(4000),
        Request::default().with("client_id", "https://invented.example/c.json"),
        Request::default().with("prompt", "none"),
    ] {
        browser.get(&request.path()).await;
        assert_eq!(instance.calls.take(), Vec::<String>::new(), "{request:?}");
    }
    browser.get("/consent?flow=AAAAAAAAAAAAAAAAAAAAAA").await.assert_page(400);
    browser.post("/consent", "flow=x&form=y".to_owned()).await.assert_page(400);
    assert_eq!(instance.calls.take(), Vec::<String>::new());
    assert_eq!(world.fetcher.fetched(), Vec::<String>::new());
}

/// What goes out side by side with the records: what the person allowed before. It takes no trip of its own.
const BESIDE: &str = "Query";

/// Side by side, either may be first.
fn sorted(calls: &[String]) -> Vec<String> {
    let mut sorted = calls.to_vec();
    sorted.sort();
    sorted
}

fn round_trips(calls: &[String]) -> usize {
    calls.iter().filter(|call| *call != BESIDE).count()
}

/// DESIGN section 9, for a tool that is known and a document that is cached: authorize ≤ 2 reads and no
/// write, consent 1 write, token 1 read + 1 write; the whole flow at most 5 round trips, a refresh adds no
/// item. The policy, read at most every five seconds, is shared by all requests of an instance.
#[tokio::test]
async fn the_code_flow_keeps_its_budget() {
    let world = World::new().await;
    let instance = world.instance().await;
    Browser::signed_in(&instance, "grace").await.tokens().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    instance.calls.take();

    let page = browser.get(&Request::default().path()).await;
    let calls = instance.calls.take();
    assert_eq!(sorted(&calls), ["BatchGetItem", BESIDE], "page");
    let mut whole = round_trips(&calls);

    let code = browser.decide(&page, "approve").await.redirect_param("code");
    let calls = instance.calls.take();
    assert_eq!(sorted(&calls), ["BatchGetItem", BESIDE, "TransactWriteItems"], "consent");
    whole += round_trips(&calls);

    let tokens = Tokens::of(&token_request(&instance, &code, &[]).await);
    let calls = instance.calls.take();
    assert_eq!(calls, ["BatchGetItem", "UpdateItem"], "code");
    whole += calls.len();
    assert!(whole <= 5, "whole flow: {whole}");

    tokens.refresh(&instance, CLIENT_ID).await.assert_status(200);
    let calls = instance.calls.take();
    assert_eq!(calls, ["BatchGetItem", "UpdateItem"], "refresh");
}

/// GOV-13: the first consent of all to a tool brings in tool and registration in the very same write, and both
/// have their entries in it; a process that has not written to the trail yet looks where its chain ends.
#[tokio::test]
async fn the_first_consent_to_a_tool_is_still_one_write() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let page = browser.get(&Request::default().path()).await;
    instance.calls.take();
    browser.decide(&page, "approve").await.assert_status(303);
    let calls = sorted(&instance.calls.take());
    assert_eq!(calls, ["BatchGetItem", "BatchGetItem", BESIDE, "TransactWriteItems"]);
}
