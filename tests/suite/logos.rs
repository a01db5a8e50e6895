//! Logos on the consent page (DOC-40 to DOC-43, D20).

use std::time::Duration;

use shared::clock::Clock as _;
use shared::fetch::FetchError;
use shared::policy::Logos;
use tests::{Browser, CLIENT_ID, Request, World, document};

const LOGO: &str = "https://app.example.com/logo";

fn png() -> Vec<u8> {
    // A 1 × 1 pixel PNG.
    const PIXEL: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(PIXEL).unwrap()
}

async fn world(logos: Logos) -> (World, Browser) {
    let world = World::new().await;
    let browser = Browser::signed_in(&world.instance().await, "alice").await;
    let policies = &browser.instance.policies;
    let current = policies.current(world.clock.as_ref()).await.unwrap();
    let mut policy = current.policy.clone();
    policy.documents.logos = logos;
    assert!(policies.replace(current.version, &policy, "tests", world.clock.now()).await.unwrap());
    let mut document: serde_json::Value = serde_json::from_str(&document(CLIENT_ID)).unwrap();
    document["logo_uri"] = LOGO.into();
    world.fetcher.answer(CLIENT_ID, &document.to_string(), None);
    (world, browser)
}

fn logo_path(page: &str) -> Option<String> {
    let start = page.find("/logo/")?;
    page[start..].split('"').next().map(str::to_owned)
}

/// DOC-40, DOC-42: a logo comes from our own origin, re-encoded, by the digest of its bytes, and is an
/// image whatever its reader thinks.
#[tokio::test]
async fn a_logo_is_served_from_our_own_origin() {
    let (world, mut browser) = world(Logos::All).await;
    let mut hostile = png();
    hostile.extend_from_slice(b"<script>alert(1)</script>");
    world.fetcher.answer_bytes(LOGO, hostile, "image/png");
    let page = browser.get(&Request::default().path()).await;
    page.assert_page(200);
    assert!(!page.body.contains(LOGO), "never hot-linked");
    let path = logo_path(&page.body).unwrap();

    // From any instance, for anybody, for ever.
    let other = world.instance().await;
    let image = other.send_for_bytes(&path).await;
    assert_eq!(image.0, 200);
    assert!(image.2.starts_with(b"\x89PNG") && !image.2.windows(7).any(|window| window == b"<script"));
    let header = |name: &str| image.1.get(name).unwrap().to_str().unwrap();
    assert_eq!(header("content-type"), "image/png");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-security-policy"), "default-src 'none'; sandbox");
    assert!(header("cache-control").contains("immutable"));
    assert_eq!(other.get("/logo/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await.status, 404);
    other.calls.take();
    assert_eq!(other.get("/logo/nonsense").await.status, 404);
    assert!(other.calls.take().is_empty(), "what is no digest is not looked up");

    browser.get(&Request::default().path()).await.assert_page(200);
    assert_eq!(world.fetcher.fetched().iter().filter(|url| *url == LOGO).count(), 1);
}

/// DOC-43: what nobody approved shows no logo, and none is fetched for it.
#[tokio::test]
async fn a_tool_that_nobody_approved_shows_no_logo() {
    for logos in [Logos::Approved, Logos::Off] {
        let (world, mut browser) = world(logos).await;
        world.fetcher.answer_bytes(LOGO, png(), "image/png");
        let page = browser.get(&Request::default().path()).await;
        page.assert_page(200);
        assert_eq!(logo_path(&page.body), None);
        assert_eq!(world.fetcher.fetched(), [CLIENT_ID]);
    }
}

/// DOC-41, DOC-42, D20: a logo that cannot be had or is no raster image stops nothing, is not kept, and is
/// not asked for on every page.
#[tokio::test]
async fn a_logo_that_cannot_be_shown_stops_nothing() {
    let (world, mut browser) = world(Logos::All).await;
    world.fetcher.fail(LOGO, FetchError::SpecialUse(special_use()));
    for _ in 0..2 {
        let page = browser.get(&Request::default().path()).await;
        page.assert_page(200);
        assert_eq!(logo_path(&page.body), None);
    }
    assert_eq!(world.fetcher.fetched().iter().filter(|url| *url == LOGO).count(), 1);
    world.clock.advance(Duration::from_secs(60));
    world.fetcher.answer_bytes(LOGO, b"<svg/>".to_vec(), "image/png");
    let page = browser.get(&Request::default().path()).await;
    page.assert_page(200);
    assert_eq!(logo_path(&page.body), None);
}

fn special_use() -> shared::fetch::address::SpecialUse {
    shared::fetch::address::PublicAddress::check("169.254.169.254".parse().unwrap()).unwrap_err()
}
