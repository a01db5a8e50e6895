//! Any client assertion is read or refused; an acceptable one is single use for as long as it is acceptable.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::oauth::Issuer;

mod signed;

static KEYS: LazyLock<Value> = LazyLock::new(|| {
    let key = json!({
        "kty": "EC", "crv": "P-256", "kid": "one", "use": "sig",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    });
    let other = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    json!({"keys": [key, other]})
});

fuzz_target!(|text: &str| {
    let issuer = Issuer::parse("https://as.example").expect("a good issuer");
    let now = Timestamp::from_epoch_seconds(1_795_600_000);
    let Some(accepted) = token::fuzzing::assertion(&signed::object(text), &issuer, &KEYS, now) else { return };
    // The private halves of these keys are not here.
    assert!(!accepted.verified);
    assert!((1..=256).contains(&accepted.jti.len()));
    assert!(accepted.until > now && accepted.until <= now.plus(Duration::from_secs(3600)));
});
