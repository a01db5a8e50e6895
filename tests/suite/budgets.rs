//! Invariant 1 and DESIGN section 9: what each request costs, counted.

use tests::{Browser, CLIENT_ID, Request, Tokens, World, token_request};

fn writes(calls: &[String]) -> usize {
    calls
        .iter()
        .filter(|call| !matches!(call.as_str(), "GetItem" | "BatchGetItem" | "Query" | "Scan"))
        .count()
}

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

/// DESIGN section 9: authorize ≤ 2 reads and no write, consent 1 write, token 1 read + 1 write; the whole
/// flow at most 5 round trips, a refresh adds no item.
#[tokio::test]
async fn the_code_flow_keeps_its_budget() {
    let world = World::new().await;
    let warm = world.instance().await;
    Browser::signed_in(&warm, "grace").await.get(&Request::default().path()).await.assert_page(200);
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let mut whole = instance.calls.take().len();
    assert!(whole <= 2, "sign-in and first page: {whole}");

    let page = browser.get(&Request::default().path()).await;
    let calls = instance.calls.take();
    assert!(calls.len() <= 2 && writes(&calls) == 0, "page: {calls:?}");
    whole += calls.len();

    let code = browser.decide(&page, "approve").await.redirect_param("code");
    let calls = instance.calls.take();
    assert_eq!((calls.len(), writes(&calls)), (1, 1), "consent: {calls:?}");
    whole += calls.len();

    let tokens = Tokens::of(&token_request(&instance, &code, &[]).await);
    let calls = instance.calls.take();
    assert_eq!((calls.len(), writes(&calls)), (2, 1), "code: {calls:?}");
    whole += calls.len();
    assert!(whole <= 5, "whole flow: {whole}");

    tokens.refresh(&instance, CLIENT_ID).await.assert_status(200);
    let calls = instance.calls.take();
    assert_eq!(calls, ["GetItem", "UpdateItem"], "refresh");
}
