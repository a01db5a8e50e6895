//! Any key set of a client is accepted or refused; an accepted one holds public keys, and a signed object
//! that no key of it signed is never verified.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use shared::cimd::json;
use shared::client::metadata::{PublicJwks, is_private_key};
use shared::clock::Timestamp;
use shared::oauth::Issuer;

/// A made-up assertion, by the book but for its signature.
const ASSERTION: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhIiwic3ViIjoiYSIsImF1ZCI6Imh0dHBzOi8vYXMuZXhhbXBsZSIsImV4cCI6MTc5NTYwMDEwMCwianRpIjoiMSJ9.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fuzz_target!(|body: &[u8]| {
    let Ok(members) = json::parse_object(body) else { return };
    let Ok(keys) = PublicJwks::try_from(Value::Object(members)) else { return };
    let listed = keys.as_json()["keys"].as_array().expect("a set has keys");
    assert!(!listed.iter().filter_map(Value::as_object).any(is_private_key));
    let issuer = Issuer::parse("https://as.example").expect("a good issuer");
    let now = Timestamp::from_epoch_seconds(1_795_600_000);
    let accepted = token::fuzzing::assertion(ASSERTION, &issuer, keys.as_json(), now).expect("by the book");
    assert!(!accepted.verified);
});
