//! What holds between processes: several servers, each a process of its own, on one database.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use shared::client::id::ClientId;
use shared::testing::metadata_host::{Answer, MetadataHost, Response};
use shared::tool::ToolId;
use tests::{
    Browser, Fleet, Process, RESOURCE, RESOURCE_SECRET, Request, Server as _, Tokens, document, form,
    token_request,
};
use tokio::task::JoinSet;

/// A host with the document of a web client at `/c`, and that client's identifier.
async fn vendor() -> (MetadataHost, String) {
    let host = MetadataHost::start("client.test").await.unwrap();
    let id = host.url("/c");
    host.set("/c", Response::json(document(&id)).header("Cache-Control", "max-age=3600"));
    (host, id)
}

async fn fleet(count: usize, host: &MetadataHost) -> Fleet {
    Fleet::start(env!("CARGO_BIN_EXE_server"), count, host).await
}

fn request(client_id: &str) -> Request {
    Request::default().with("client_id", client_id)
}

async fn tokens(browser: &mut Browser<Process>, client_id: &str) -> Tokens {
    let code = browser.authorize(&request(client_id)).await;
    Tokens::of(&token_request(&browser.instance, &code, &[("client_id", client_id)]).await)
}

/// FET-16, FET-18, F14: two hundred people with an unknown client at four processes at once, and a host that
/// takes its time: one request leaves the fleet, and everybody gets the page.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_people_at_four_processes_cause_one_fetch() {
    let (host, id) = vendor().await;
    let response = Response::json(document(&id)).header("Cache-Control", "max-age=3600");
    host.set("/c", Answer::Slow { response, every: Duration::from_millis(50) });
    let fleet = fleet(4, &host).await;
    let mut browsers = Vec::new();
    for (number, process) in fleet.processes.iter().enumerate() {
        browsers.push(Browser::signed_in(process, &format!("user{number}")).await);
    }
    assert_eq!(host.connections(), 0, "signing in is no reason to fetch");
    let mut people = JoinSet::new();
    for mut browser in browsers.iter().cycle().take(200).cloned() {
        let path = request(&id).path();
        people.spawn(async move { browser.get(&path).await });
    }
    let mut served = 0;
    while let Some(answer) = people.join_next().await {
        assert!(answer.unwrap().assert_page(200).body.contains("client.test"));
        served += 1;
    }
    assert_eq!((served, host.requests().len(), host.connections()), (200, 1, 1));
}

/// Invariant 4: disabled through one process, refused by every path of the other at its next request, without
/// a fetch; enabled again, what was not used up goes on.
#[tokio::test(flavor = "multi_thread")]
async fn disable_means_now_in_every_process() {
    let (host, id) = vendor().await;
    let fleet = fleet(2, &host).await;
    let [here, there] = &fleet.processes[..] else { panic!("two processes") };
    let mut browser = Browser::signed_in(there, "ada").await;
    let held = tokens(&mut browser, &id).await;
    let shown = browser.get(&request(&id).with("prompt", "consent").path()).await;
    let unredeemed = browser.authorize(&request(&id)).await;
    let active = |access: String| async move {
        let body = form(&[("token", &access)]);
        let answer = there.send(introspection(body)).await;
        answer.assert_status(200).json()["active"].clone()
    };
    assert_eq!(active(held.access.clone()).await, true);
    let fetched = host.requests().len();

    let tool = ToolId::of_metadata_document("client.test", ClientId::parse(&id).unwrap().as_str());
    let path = format!("/admin/v1/tools/{}", tool.as_str());
    here.administer(&format!("{path}/disable"), json!({"because": "a story"})).await.assert_status(200);

    let refused = browser.get(&request(&id).path()).await;
    assert!(refused.assert_page(403).body.contains("switched off"), "{}", refused.body);
    browser.decide(&shown, "approve").await.assert_page(403);
    let code = token_request(there, &unredeemed, &[("client_id", &id)]).await;
    assert_eq!(code.assert_status(400).error(), "invalid_grant");
    assert_eq!(held.refresh(there, &id).await.assert_status(400).error(), "invalid_grant");
    assert_eq!(active(held.access.clone()).await, false);
    assert_eq!(host.requests().len(), fetched, "a disabled tool is refused before any fetch");

    here.administer(&format!("{path}/enable"), json!({})).await.assert_status(200);
    Tokens::of(&held.refresh(there, &id).await);
}

fn introspection(body: String) -> http::Request<axum::body::Body> {
    http::Request::post("/introspect")
        .header("content-type", "application/x-www-form-urlencoded")
        .header(
            "authorization",
            format!("Basic {}", STANDARD.encode(format!("{RESOURCE}:{RESOURCE_SECRET}"))),
        )
        .body(body.into())
        .unwrap()
}

/// Invariant 7, TR300: of twenty redemptions of one code over two processes, one wins.
#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_redemptions_at_two_processes_one_wins() {
    let (host, id) = vendor().await;
    let fleet = fleet(2, &host).await;
    let mut browser = Browser::signed_in(&fleet.processes[0], "ada").await;
    for _ in 0..5 {
        let code = browser.authorize(&request(&id).with("prompt", "consent")).await;
        let mut attempts = JoinSet::new();
        for process in fleet.processes.iter().cycle().take(20) {
            let (process, code, id) = (process.clone(), code.clone(), id.clone());
            attempts.spawn(async move { token_request(&process, &code, &[("client_id", &id)]).await });
        }
        let mut won = 0;
        while let Some(answer) = attempts.join_next().await {
            let answer = answer.unwrap();
            if answer.status == 200 {
                won += 1;
            } else {
                assert_eq!(answer.assert_status(400).error(), "invalid_grant");
            }
        }
        assert_eq!(won, 1);
    }
}

/// Invariant 7, TR302, REF-08: twenty refreshes of one token over two processes have one successor, which works.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_refreshes_at_two_processes_have_one_successor() {
    let (host, id) = vendor().await;
    let fleet = fleet(2, &host).await;
    let mut held = tokens(&mut Browser::signed_in(&fleet.processes[0], "ada").await, &id).await;
    for _ in 0..5 {
        let mut attempts = JoinSet::new();
        for process in fleet.processes.iter().cycle().take(20) {
            let (process, held, id) = (process.clone(), held.clone(), id.clone());
            attempts.spawn(async move { held.refresh(&process, &id).await });
        }
        let (mut told, mut successors) = (0, BTreeSet::new());
        while let Some(answer) = attempts.join_next().await {
            let answer = answer.unwrap();
            if answer.status == 200 {
                told += 1;
                held = Tokens::of(&answer);
                successors.insert(held.refresh.clone());
            } else {
                assert_eq!(answer.assert_status(400).error(), "invalid_grant");
            }
        }
        // The one that rotated, and the one that the retry window lets through.
        assert!((1..=2).contains(&told), "{told}");
        assert_eq!(successors.len(), 1);
    }
    Tokens::of(&held.refresh(&fleet.processes[1], &id).await);
}

/// ARCHITECTURE, keys: a process that is asked for a credential of another one knows its keys: sessions, codes,
/// and refresh tokens work everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_flow_may_touch_a_different_process_at_each_step() {
    let (host, id) = vendor().await;
    let fleet = fleet(3, &host).await;
    let [first, second, third] = &fleet.processes[..] else { panic!("three processes") };
    let mut browser = Browser::signed_in(first, "ada").await;
    browser.instance = second.clone();
    let page = browser.get(&request(&id).path()).await;
    browser.instance = third.clone();
    let code = browser.decide(&page, "approve").await.redirect_param("code");
    let held = Tokens::of(&token_request(first, &code, &[("client_id", &id)]).await);
    let held = Tokens::of(&held.refresh(second, &id).await);
    Tokens::of(&held.refresh(third, &id).await);
}
