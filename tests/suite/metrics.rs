//! What is counted: authorizations, refusals, fetches, where copies came from, refreshes, replays; and that
//! nobody can make it count endlessly many things.

use metrics::set_default_local_recorder;
use serde_json::json;
use shared::metrics::{TOOLS_MAX, answered_for};
use tests::{Administrator, Browser, CLIENT_ID, Request, Tokens, World, token_request};

/// The value behind `series` in Prometheus text.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn requests(outcome: &str) -> String {
    format!("nameplate_requests_total{{outcome=\"{outcome}\"}}")
}

/// GOV-13, FET-20: an operator sees how often people got in, were refused and why, and what the metadata
/// hosts did; by tool for those that an administrator has decided about.
#[tokio::test]
async fn what_happens_is_counted_by_outcome_and_by_tool() {
    let recorder = local::metrics::recorder().unwrap();
    let numbers = recorder.handle();
    let _counting = set_default_local_recorder(&recorder);
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let code = browser.authorize(&Request::default()).await;
    let tokens = Tokens::of(&token_request(&instance, &code, &[]).await);
    tokens.refresh(&instance, CLIENT_ID).await.assert_status(200);
    token_request(&instance, &code, &[]).await.assert_status(400);
    browser.get(&Request::default().with("redirect_uri", "https://evil.example/cb").path()).await;
    world.fetcher.fail("https://gone.example/c.json", shared::fetch::FetchError::Gone(404));
    browser.get(&Request::default().with("client_id", "https://gone.example/c.json").path()).await;

    let text = numbers.render();
    assert!(value(&text, &requests("approved")) >= 1.0, "{text}");
    assert!(value(&text, &requests("code_redeemed")) >= 1.0);
    assert!(value(&text, &requests("refreshed")) >= 1.0);
    assert!(value(&text, &requests("invalid_redirect_uri")) >= 1.0);
    assert!(value(&text, &requests("code_replayed")) >= 1.0, "{text}");
    assert!(value(&text, "nameplate_fetches_total{kind=\"document\",outcome=\"fetched\"}") >= 1.0);
    assert!(value(&text, "nameplate_fetches_total{kind=\"document\",outcome=\"gone\"}") >= 1.0);
    assert!(value(&text, "nameplate_copies_total{kind=\"document\",source=\"fetched\"}") >= 1.0);
    assert!(value(&text, "nameplate_copies_total{kind=\"document\",source=\"memory\"}") >= 1.0);
    assert!(value(&text, "nameplate_fetch_seconds_count{kind=\"document\"}") >= 2.0);
    let of_tool = |tool: &str, outcome: &str| {
        format!("nameplate_tool_requests_total{{tool=\"{tool}\",outcome=\"{outcome}\"}}")
    };
    assert!(value(&text, &of_tool("ungoverned", "approved")) >= 1.0, "{text}");

    let admin = Administrator::new(&world, &instance);
    let id = admin.get("/admin/v1/tools").await.json()["tools"][0]["id"].as_str().unwrap().to_owned();
    admin.post(&format!("/admin/v1/tools/{id}/enable"), json!({})).await.assert_status(200);
    Browser::signed_in(&instance, "grace").await.authorize(&Request::default()).await;
    assert!(value(&numbers.render(), &of_tool(&id, "approved")) >= 1.0);
}

/// A number of labels is a number of bills: beyond the bound tools are counted together.
#[test]
fn tools_beyond_the_bound_are_counted_together() {
    let recorder = local::metrics::recorder().unwrap();
    let numbers = recorder.handle();
    let _counting = set_default_local_recorder(&recorder);
    for number in 0..TOOLS_MAX + 20 {
        answered_for(&format!("tool-{number}"), "approved");
    }
    let text = numbers.render();
    let series = text.lines().filter(|line| line.starts_with("nameplate_tool_requests_total{")).count();
    assert!(series <= TOOLS_MAX + 1, "{series}");
    assert!(text.contains("tool=\"other\""), "{text}");
}
