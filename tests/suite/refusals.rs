//! The pages of refusals: each status has words of its own, in the person's language (CON-*, SPEC 2.6).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use shared::aws::{Change, ToolStore};
use shared::fetch::FetchError;
use shared::tool::ToolId;
use tests::{Answer, Browser, CLIENT_ID, Request, World};

/// A visit with a language.
async fn visit(browser: &Browser, path: &str, language: &str) -> Answer {
    let request = http::Request::get(path)
        .header("accept-language", language)
        .header("cookie", browser.cookies().join("; "))
        .body(Body::empty())
        .unwrap();
    browser.instance.send(request).await
}

fn title(page: &Answer) -> String {
    let (_, rest) = page.body.split_once("<h1>").unwrap_or_else(|| panic!("no heading in {}", page.body));
    rest.split("</h1>").next().unwrap().trim().to_owned()
}

/// What happened, what to do, and a reference; for what passes by itself, when to come back. No two statuses
/// say the same, in either language, and no page sends anybody anywhere (RED-12).
#[tokio::test]
async fn each_refusal_has_its_own_words_in_both_languages() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world.instance().await, "ada").await;
    let path_of = |client_id: &str| Request::default().with("client_id", client_id).path();

    // Held by nobody, and found to be so, until no more is tried.
    world.fetcher.fail("https://busy.example.com/0", FetchError::Gone(404));
    for number in 0..20 {
        let id = format!("https://busy.example.com/{number}");
        world.fetcher.fail(&id, FetchError::Gone(404));
        visit(&browser, &path_of(&id), "en").await.assert_page(400);
    }
    world.fetcher.fail("https://down.example.com/c", FetchError::Deadline);
    let mut withdrawn = browser.clone();
    withdrawn.tokens().await;
    let tool = ToolId::of_metadata_document("app.example.com", CLIENT_ID);
    let store = ToolStore::new(browser.instance.tables.clone());
    store.change(&tool, &Change::Withdraw, None).await.unwrap();

    let cases = [
        (400, "/authorize?client_id=https%3A%2F%2Fapp.example.com".to_owned()),
        (404, "/nothing".to_owned()),
        (410, path_of(CLIENT_ID)),
        (429, path_of("https://busy.example.com/once-more")),
        (503, path_of("https://down.example.com/c")),
    ];
    let mut titles = BTreeMap::new();
    let mut seen = |status: u16, language: &'static str, page: &Answer| {
        page.assert_page(status);
        assert!(page.body.contains(&format!("lang=\"{language}\"")), "{}", page.body);
        let reference = page.note.reference.clone().unwrap_or_default();
        assert!(!reference.is_empty() && page.body.contains(&reference), "{status}: {}", page.body);
        let retry = page.header("retry-after");
        if matches!(status, 429 | 503) {
            assert!((1..=60).contains(&retry.parse::<u64>().unwrap()), "{status}: {retry}");
        } else {
            assert_eq!(retry, "", "{status}");
        }
        let other = titles.insert((language, title(page)), status);
        assert_eq!(other, None, "{}", title(page));
    };
    for (status, path) in &cases {
        for language in ["en", "de"] {
            seen(*status, language, &visit(&browser, path, language).await);
        }
    }
    store.change(&tool, &Change::Disable, None).await.unwrap();
    for language in ["en", "de"] {
        seen(403, language, &visit(&browser, &path_of(CLIENT_ID), language).await);
    }
    assert_eq!(titles.len(), 12);
}

/// A URL that rests after a failure is not called crowded: the page says what is the matter, and when its rest
/// is over.
#[tokio::test]
async fn a_page_says_when_it_makes_sense_to_come_back() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world.instance().await, "ada").await;
    let request = Request::default().with("client_id", "https://down.example.com/c");
    world.fetcher.fail("https://down.example.com/c", FetchError::Deadline);
    let first = browser.get(&request.path()).await;
    world.clock.advance(Duration::from_secs(4));
    let second = browser.get(&request.path()).await;
    assert_eq!(first.assert_page(503).header("retry-after"), "10");
    assert_eq!(second.assert_page(503).header("retry-after"), "6");
    assert_eq!(title(&first), title(&second));
    assert_eq!(world.fetcher.fetched(), ["https://down.example.com/c"]);
}
