//! Keys: DESIGN section 6, and the kms rows of the fault matrix.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use shared::aws::KeyChange;
use shared::aws::keyring::KEY_STALENESS;
use shared::clock::Clock as _;
use shared::jose::rotation::JWKS_MAX_AGE;
use shared::jose::{KeyState, KeyUse};
use shared::random::OsRandom;
use tests::{
    Browser, CLIENT_ID, Instance, RESOURCE, RESOURCE_SECRET, Request, Tokens, World, form, token_request,
};

const DAY: Duration = Duration::from_secs(86_400);

fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

async fn jwks(instance: &Instance) -> jsonwebtoken::jwk::JwkSet {
    let answer = instance.get("/jwks.json").await;
    answer.assert_status(200);
    serde_json::from_value(answer.json()).unwrap()
}

async fn kids(instance: &Instance) -> BTreeSet<String> {
    jwks(instance).await.keys.into_iter().filter_map(|key| key.common.key_id).collect()
}

/// Verifies as a resource does, with a key set that it may have kept for a while.
fn verifies(token: &str, keys: &jsonwebtoken::jwk::JwkSet) -> bool {
    let Some(key) = keys.find(&kid(token)) else { return false };
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    rules.set_audience(&[RESOURCE]);
    // The clock of the story is not that of the library.
    rules.validate_exp = false;
    let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
    jsonwebtoken::decode::<serde_json::Value>(token, &key, &rules).is_ok()
}

/// Whether introspection calls the token active.
async fn introspected(instance: &Instance, token: &str) -> bool {
    let request = http::Request::post("/introspect")
        .header("content-type", "application/x-www-form-urlencoded")
        .header(
            "authorization",
            format!("Basic {}", STANDARD.encode(format!("{RESOURCE}:{RESOURCE_SECRET}"))),
        )
        .body(form(&[("token", token)]).into())
        .unwrap();
    instance.send(request).await.assert_status(200).json()["active"] == true
}

async fn rotate(world: &World) -> Vec<KeyChange> {
    world.key_store().rotate_keys(world.wrap.as_ref(), world.clock.as_ref(), &OsRandom).await.unwrap()
}

async fn states(world: &World, usage: KeyUse) -> Vec<KeyState> {
    let keys = world.key_store().list(world.clock.as_ref()).await.unwrap();
    keys.into_iter().filter(|key| key.usage == usage).map(|key| key.state).collect()
}

/// FM041: over a planned rotation under continuous use, on two instances, every token verifies with the key
/// set that a resource fetched up to one cache lifetime before, and every refresh succeeds.
#[tokio::test]
async fn a_planned_rotation_is_noticed_by_nobody() {
    let world = World::new().await;
    let instances = [world.instance().await, world.instance().await];
    let mut tokens = Browser::signed_in(&instances[0], "ada").await.tokens().await;
    let first_kid = kid(&tokens.access);
    world.clock.advance(29 * DAY + Duration::from_secs(79_200));
    let mut resource_keys = (world.clock.now(), jwks(&instances[0]).await);
    let mut signed_by = BTreeSet::new();
    let mut most_published = 0;
    for step in 0..80_usize {
        if step % 5 == 0 {
            rotate(&world).await;
        }
        let instance = &instances[step % 2];
        tokens = Tokens::of(&tokens.refresh(instance, CLIENT_ID).await);
        signed_by.insert(kid(&tokens.access));
        if world.clock.now().since(resource_keys.0) >= JWKS_MAX_AGE {
            resource_keys = (world.clock.now(), jwks(&instances[(step + 1) % 2]).await);
        }
        most_published = most_published.max(resource_keys.1.keys.len());
        assert!(verifies(&tokens.access, &resource_keys.1), "step {step}");
        world.clock.advance(Duration::from_secs(240));
    }
    assert_eq!(signed_by.len(), 2, "{signed_by:?}");
    assert_eq!(most_published, 2);
    rotate(&world).await;
    assert_eq!(states(&world, KeyUse::Signing).await, [KeyState::Active]);
    world.clock.advance(Duration::from_secs(60));
    assert!(!kids(&instances[0]).await.contains(&first_kid));
}

/// Rotating twice, also at once, makes one key; all its states are passed through in order.
#[tokio::test]
async fn rotating_again_and_at_once_makes_one_key() {
    let world = World::new().await;
    assert_eq!(rotate(&world).await, []);
    world.clock.advance(30 * DAY - Duration::from_secs(3600));
    let (a, b, c) = tokio::join!(rotate(&world), rotate(&world), rotate(&world));
    let made = [a, b, c].concat();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(states(&world, KeyUse::Signing).await, [KeyState::Active, KeyState::Next]);
    assert_eq!(rotate(&world).await, []);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(states(&world, KeyUse::Signing).await, [KeyState::Retiring, KeyState::Active]);
    world.clock.advance(Duration::from_secs(7200));
    assert_eq!(states(&world, KeyUse::Signing).await, [KeyState::Gone, KeyState::Active]);
    assert!(matches!(rotate(&world).await.as_slice(), [KeyChange::Removed { .. }]));
}

/// REF-06: a refresh token outlives the sealing key that tagged it.
#[tokio::test]
async fn a_refresh_token_survives_the_rotation_of_the_sealing_key() {
    let world = World::new().await;
    let instance = world.instance().await;
    world.clock.advance(90 * DAY - Duration::from_secs(3600));
    let tokens = Browser::signed_in(&instance, "ada").await.tokens().await;
    rotate(&world).await;
    world.clock.advance(29 * DAY);
    assert_eq!(states(&world, KeyUse::Sealing).await, [KeyState::Retiring, KeyState::Active]);
    Tokens::of(&tokens.refresh(&instance, CLIENT_ID).await);
}

/// FM042: after an emergency rotation nothing signed with the old key verifies, on instances that ran all
/// along, and people stay signed in.
#[tokio::test]
async fn an_emergency_rotation_of_the_signing_key_ends_its_tokens_and_no_grant() {
    let world = World::new().await;
    let instance = world.instance().await;
    let tokens = Browser::signed_in(&instance, "ada").await.tokens().await;
    assert!(introspected(&instance, &tokens.access).await);
    world
        .key_store()
        .replace_keys(KeyUse::Signing, world.wrap.as_ref(), world.clock.as_ref(), &OsRandom)
        .await
        .unwrap();
    world.clock.advance(KEY_STALENESS);
    assert!(!introspected(&instance, &tokens.access).await);
    let after = jwks(&instance).await;
    assert_eq!(after.keys.len(), 1);
    assert!(!verifies(&tokens.access, &after));
    let refreshed = Tokens::of(&tokens.refresh(&instance, CLIENT_ID).await);
    assert!(verifies(&refreshed.access, &after));
}

/// FM042: an emergency rotation of the sealing key ends codes, sessions, and refresh tokens; an instance
/// that has not seen the new key looks for it when somebody presents a credential tagged with it.
#[tokio::test]
async fn an_emergency_rotation_of_the_sealing_key_reaches_an_instance_by_its_first_credential() {
    let world = World::new().await;
    let old = world.instance().await;
    let before = Browser::signed_in(&old, "ada").await.tokens().await;
    // Within the time for which an instance does not look by itself.
    world.clock.advance(Duration::from_secs(2));
    world
        .key_store()
        .replace_keys(KeyUse::Sealing, world.wrap.as_ref(), world.clock.as_ref(), &OsRandom)
        .await
        .unwrap();
    let new = world.instance().await;
    let code = Browser::signed_in(&new, "ada").await.authorize(&Request::default()).await;
    old.calls.take();
    Tokens::of(&token_request(&old, &code, &[]).await);
    assert!(old.calls.take().contains(&"Scan".to_owned()));
    let refused = before.refresh(&old, CLIENT_ID).await;
    refused.assert_status(400);
    assert_eq!(refused.error(), "invalid_grant");
}

/// Invariant 1: credentials tagged with invented keys make an instance look once in a while, not each time.
#[tokio::test]
async fn invented_key_ids_cost_next_to_nothing() {
    let world = World::new().await;
    let instance = world.instance().await;
    world.clock.advance(Duration::from_secs(2));
    for attempt in 0..20_u8 {
        let code = format!("npc_{}", URL_SAFE_NO_PAD.encode([attempt; 90]));
        assert_eq!(token_request(&instance, &code, &[]).await.error(), "invalid_grant");
    }
    assert_eq!(instance.calls.take(), ["Scan"]);
}

/// FM034 to FM036: KMS away. A running instance goes on past every staleness bound; a cold one answers 503
/// with `Retry-After` on what needs keys and 200 on metadata and key set, and recovers by itself.
#[tokio::test]
async fn an_outage_of_the_wrapping_service_stops_cold_instances_only_and_only_for_its_duration() {
    let world = World::new().await;
    let running = world.instance().await;
    let tokens = Browser::signed_in(&running, "ada").await.tokens().await;
    let code = Browser::signed_in(&running, "ada").await.authorize(&Request::default()).await;
    let published = kids(&running).await;
    world.wrap.set_away(true);
    let cold = world.cold_instance();
    for path in [Request::default().path(), "/consent?flow=x".to_owned()] {
        let answer = cold.get(&path).await;
        answer.assert_page(503);
        assert!(!answer.header("retry-after").is_empty());
    }
    let refused = token_request(&cold, &code, &[]).await;
    refused.assert_status(503);
    assert_eq!(refused.error(), "temporarily_unavailable");
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(kids(&cold).await, published);
    cold.get("/.well-known/oauth-authorization-server").await.assert_status(200);

    // Nothing was burned: the running instance redeems the same code.
    Tokens::of(&token_request(&running, &code, &[]).await);
    world.clock.advance(DAY);
    let tokens = Tokens::of(&tokens.refresh(&running, CLIENT_ID).await);

    world.wrap.set_away(false);
    Tokens::of(&tokens.refresh(&cold, CLIENT_ID).await);
}

/// FM035: a rotation falls into the outage. The instance that could not unwrap the new key goes on with the
/// old one, publishes both, and takes the new one once it can.
#[tokio::test]
async fn a_key_that_cannot_be_unwrapped_yet_is_published_and_the_old_one_signs_on() {
    let world = World::new().await;
    let instance = world.instance().await;
    let tokens = Browser::signed_in(&instance, "ada").await.tokens().await;
    let old = kid(&tokens.access);
    world.clock.advance(30 * DAY - Duration::from_secs(3600));
    // Keeps the refresh token alive.
    let tokens = Tokens::of(&tokens.refresh(&instance, CLIENT_ID).await);
    rotate(&world).await;
    world.wrap.set_away(true);
    world.clock.advance(Duration::from_secs(3700));
    let tokens = Tokens::of(&tokens.refresh(&instance, CLIENT_ID).await);
    assert_eq!(kid(&tokens.access), old);
    assert_eq!(kids(&instance).await.len(), 2);
    world.wrap.set_away(false);
    world.clock.advance(Duration::from_secs(30));
    let tokens = Tokens::of(&tokens.refresh(&instance, CLIENT_ID).await);
    assert_ne!(kid(&tokens.access), old);
}

/// A key costs the wrapping service one call in the life of a process.
#[tokio::test]
async fn no_token_costs_a_call_to_the_wrapping_service() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut tokens = Browser::signed_in(&instance, "ada").await.tokens().await;
    world.wrap.take_calls();
    for _ in 0..5 {
        world.clock.advance(Duration::from_secs(60));
        tokens = Tokens::of(&tokens.refresh(&instance, CLIENT_ID).await);
    }
    assert_eq!(world.wrap.take_calls(), 0);
}
