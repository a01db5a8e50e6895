//! The key sets behind `jwks_uri` (DOC-28, DOC-29, CAC-18).

use std::time::Duration;

use serde_json::json;
use shared::cimd::document::{DocumentRules, MetadataDocument};
use shared::cimd::keys::{NoKeys, UNKNOWN_KEY_PAUSE};
use shared::client::id::{ClientId, MetadataUrl, UrlRules};
use shared::client::metadata::ClientMetadata;
use shared::fetch::FetchError;
use tests::World;

const CLIENT_ID: &str = "https://agent.example.com/client.json";
const KEYS: &str = "https://keys.example.com/jwks.json";

fn metadata(keys: (&str, serde_json::Value)) -> ClientMetadata {
    let mut document = json!({
        "client_id": CLIENT_ID,
        "client_name": "Agent",
        "redirect_uris": ["https://agent.example.com/callback"],
        "token_endpoint_auth_method": "private_key_jwt",
    });
    document[keys.0] = keys.1;
    let url = MetadataUrl::parse(&ClientId::parse(CLIENT_ID).unwrap(), &UrlRules::default()).unwrap();
    let document = document.to_string();
    MetadataDocument::parse(&url, document.as_bytes(), &DocumentRules::default()).unwrap().metadata
}

fn jwks(kids: &[&str]) -> String {
    let key = |kid: &&str| json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": kid, "y": "b"});
    json!({"keys": kids.iter().map(key).collect::<Vec<_>>()}).to_string()
}

fn kids(found: &shared::client::metadata::PublicJwks) -> Vec<&str> {
    found.as_json()["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect()
}

/// DOC-28: keys inside the document need nobody's answer.
#[tokio::test]
async fn keys_in_the_document_are_used_without_a_fetch() {
    let world = World::new().await;
    let instance = world.instance().await;
    let set: serde_json::Value = serde_json::from_str(&jwks(&["a"])).unwrap();
    let found = instance.client_keys.keys_of(&metadata(("jwks", set)), Some("z")).await.unwrap();
    assert_eq!(kids(&found), ["a"]);
    assert!(world.fetcher.fetched().is_empty());
    assert!(instance.calls.take().is_empty());
}

/// CAC-18: one fetch serves the fleet; an unknown `kid` causes another at most once a minute.
#[tokio::test]
async fn an_unknown_kid_fetches_the_keys_anew_at_most_once_a_minute_in_the_whole_fleet() {
    let world = World::new().await;
    let (one, two) = (world.instance().await, world.instance().await);
    let metadata = metadata(("jwks_uri", json!(KEYS)));
    world.fetcher.answer(KEYS, &jwks(&["old"]), Some("max-age=3600"));
    let fetches = || world.fetcher.fetched().len();

    assert_eq!(kids(&one.client_keys.keys_of(&metadata, Some("old")).await.unwrap()), ["old"]);
    assert_eq!(kids(&two.client_keys.keys_of(&metadata, Some("old")).await.unwrap()), ["old"]);
    assert_eq!(fetches(), 1);

    // The vendor rotates. Too soon after the fetch, an unknown `kid` proves nothing yet.
    world.fetcher.answer(KEYS, &jwks(&["new"]), Some("max-age=3600"));
    for instance in [&one, &two] {
        assert_eq!(kids(&instance.client_keys.keys_of(&metadata, Some("new")).await.unwrap()), ["old"]);
    }
    assert_eq!(fetches(), 1);

    world.clock.advance(UNKNOWN_KEY_PAUSE);
    assert_eq!(kids(&one.client_keys.keys_of(&metadata, Some("new")).await.unwrap()), ["new"]);
    assert_eq!(kids(&two.client_keys.keys_of(&metadata, Some("new")).await.unwrap()), ["new"]);
    assert_eq!(fetches(), 2);
    for _ in 0..20 {
        two.client_keys.keys_of(&metadata, Some("invented")).await.unwrap();
    }
    assert_eq!(fetches(), 2);
}

/// FM077: an outage of the keys' host does not touch known keys within their lifetime; after that it is
/// told apart from a fault of the client.
#[tokio::test]
async fn an_outage_of_the_keys_host_is_not_the_clients_fault() {
    let world = World::new().await;
    let instance = world.instance().await;
    let metadata = metadata(("jwks_uri", json!(KEYS)));
    world.fetcher.answer(KEYS, &jwks(&["a"]), Some("max-age=600"));
    instance.client_keys.keys_of(&metadata, Some("a")).await.unwrap();

    world.fetcher.fail(KEYS, FetchError::Deadline);
    world.clock.advance(Duration::from_secs(599));
    assert_eq!(kids(&instance.client_keys.keys_of(&metadata, Some("a")).await.unwrap()), ["a"]);
    world.clock.advance(Duration::from_secs(1));
    for _ in 0..2 {
        let refused = instance.client_keys.keys_of(&metadata, Some("a")).await.unwrap_err();
        assert!(matches!(refused, NoKeys::Unavailable(_)), "{refused}");
    }
    assert_eq!(world.fetcher.fetched().len(), 2, "a host that failed is left alone for a moment");
}

/// DOC-12, DOC-29, D13: what is no set of public keys is refused and not kept, and a special-use address
/// is the client's fault.
#[tokio::test]
async fn a_key_set_that_is_not_acceptable_is_not_kept() {
    let world = World::new().await;
    let instance = world.instance().await;
    let metadata = metadata(("jwks_uri", json!(KEYS)));
    let private = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "d": "c"}]}).to_string();
    for broken in ["{}", "[]", r#"{"keys":[],"keys":[]}"#, "<html>", private.as_str()] {
        world.fetcher.answer(KEYS, broken, Some("max-age=600"));
        let refused = instance.client_keys.keys_of(&metadata, None).await.unwrap_err();
        assert!(matches!(refused, NoKeys::Unusable(_)), "{broken}: {refused}");
        world.clock.advance(Duration::from_secs(60));
    }
    world.fetcher.fail(KEYS, FetchError::Redirect(302));
    let refused = instance.client_keys.keys_of(&metadata, None).await.unwrap_err();
    assert!(matches!(refused, NoKeys::Unusable(_)), "{refused}");
    world.clock.advance(Duration::from_secs(60));
    world.fetcher.answer(KEYS, &jwks(&["a"]), Some("no-store"));
    assert_eq!(kids(&instance.client_keys.keys_of(&metadata, None).await.unwrap()), ["a"]);
}
