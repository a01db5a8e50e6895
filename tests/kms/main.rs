//! Key wrapping against a KMS that speaks the real protocol. `tests/kms/run` starts one (moto) and names it:
//! `KMS_ENDPOINT`, `KMS_KEY_ID` and `KMS_OTHER_KEY_ID`.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps nothing")]

use std::sync::Arc;

use shared::aws::table::DEFAULT_PREFIX;
use shared::aws::{KeyStore, Keyring, KmsWrap, Sdk};
use shared::jose::{KeyWrap, WrapContext, WrapError};
use shared::oauth::Issuer;
use shared::random::OsRandom;
use shared::testing::clock::TestClock;

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/kms/run"))
}

async fn kms(key: &str) -> KmsWrap {
    KmsWrap::connect(&Sdk::load().await, setting(key), Some(&setting("KMS_ENDPOINT")))
}

const CONTEXT: WrapContext<'static> = WrapContext { issuer: "https://as.example", kid: "one" };

/// DESIGN section 6: wrapped material opens with its key and its context, and with no other.
#[tokio::test]
async fn material_opens_in_its_own_context_only() {
    let wrap = kms("KMS_KEY_ID").await;
    let wrapped = wrap.wrap(b"material", CONTEXT).await.unwrap();
    assert!(!wrapped.windows(8).any(|window| window == b"material"));
    assert_eq!(wrap.unwrap(&wrapped, CONTEXT).await.unwrap(), b"material");
    for other in
        [WrapContext { kid: "two", ..CONTEXT }, WrapContext { issuer: "https://evil.example", ..CONTEXT }]
    {
        assert_eq!(wrap.unwrap(&wrapped, other).await, Err(WrapError::Refused), "{other}");
    }
    assert_eq!(wrap.unwrap(b"junk", CONTEXT).await, Err(WrapError::Refused));
    assert_eq!(kms("KMS_OTHER_KEY_ID").await.unwrap(&wrapped, CONTEXT).await, Err(WrapError::Refused));
}

/// FM034: nobody answers at the endpoint.
#[tokio::test]
async fn a_service_that_is_away_is_told_from_one_that_refuses() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let wrap = KmsWrap::connect(&Sdk::load().await, setting("KMS_KEY_ID"), Some(&format!("http://{closed}")));
    assert_eq!(wrap.wrap(b"material", CONTEXT).await, Err(WrapError::Unavailable));
}

/// DESIGN section 6: keys that one process made another one loads, through DynamoDB and KMS.
#[tokio::test]
async fn keys_are_made_by_one_process_and_used_by_another() {
    let database = local::dynamodb::DynamoDb::start(local::dynamodb::ANY_PORT, None).await.unwrap();
    let tables = local::table::create(database.client(), DEFAULT_PREFIX).await.unwrap();
    let store = KeyStore::new(tables, Issuer::parse("https://as.example").unwrap());
    let clock = Arc::new(TestClock::default());
    let made = store.rotate_keys(&kms("KMS_KEY_ID").await, clock.as_ref(), &OsRandom).await.unwrap();
    assert_eq!(made.len(), 2);
    let wrap: Arc<dyn KeyWrap> = Arc::new(kms("KMS_KEY_ID").await);
    let ring = Keyring::open(store, wrap, clock).await.unwrap();
    assert!(ring.current().sign_access_token(&serde_json::json!({"sub": "ada"})).is_ok());
    database.stop().await;
}
