//! Any DPoP proof is read or refused; an acceptable one names a public key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::clock::Timestamp;

mod signed;

fuzz_target!(|text: &str| {
    let now = Timestamp::from_epoch_seconds(1_795_600_000);
    let object = signed::object(text);
    let Some((_, jkt)) = token::fuzzing::dpop(&object, "https://as.example/token", now) else { return };
    // SHA-256 in base64url (RFC 7638).
    assert_eq!(jkt.len(), 43);
    // The same proof is none for another endpoint.
    assert_eq!(token::fuzzing::dpop(&object, "https://as.example/par", now), None);
});
