//! Any text is refused as a code, refresh token, client secret, or sealed value, unless it is one that was
//! made with the key.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shared::client::derived_secret;
use shared::client::id::ClientId;
use shared::clock::Timestamp;
use shared::grant::{Code, RefreshToken, key_id};
use shared::seal::{Purpose, Seal, SealingKey};
use shared::secret::SecretKey;

static SEAL: LazyLock<Seal> =
    LazyLock::new(|| Seal::new([SealingKey::new(&SecretKey::new([7; 32])).expect("a key")]));

fuzz_target!(|text: &str| {
    let text = text.strip_suffix('\n').unwrap_or(text);
    if let Ok(code) = Code::parse(text, &SEAL) {
        assert_eq!(code.mint(&SEAL).expect("minted before").expose(), text);
        assert!(RefreshToken::parse(text, &SEAL).is_err());
    }
    if let Ok(token) = RefreshToken::parse(text, &SEAL) {
        assert_eq!(token.mint(&SEAL).expect("minted before").expose(), text);
    }
    key_id(text);
    derived_secret::key_of(text);
    let id = ClientId::parse("dyn_client").expect("a good identifier");
    derived_secret::verify(&id, 0, text, &SEAL, Timestamp::from_epoch_seconds(1_795_600_000)).ok();
    for purpose in [Purpose::Flow, Purpose::Session, Purpose::Form, Purpose::PushedRequest, Purpose::Cursor] {
        // Nothing sealed with this key is among the seeds.
        assert!(SEAL.open(purpose, text).is_err());
    }
});
