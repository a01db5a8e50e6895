//! Any `Authorization` header is read or refused; written by the book, it is read as it was meant.
#![no_main]

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;

fn read(value: &[u8]) -> Option<(String, String)> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value).ok()?);
    token::fuzzing::basic(&headers)
}

fuzz_target!(|bytes: &[u8]| {
    if let Some((client_id, _)) = read(bytes) {
        assert!(!client_id.is_empty());
    }
    // The same bytes inside base64, where a mutation does more.
    read(format!("Basic {}", STANDARD.encode(bytes)).as_bytes());
    let Some((client_id, secret)) = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once('\n'))
    else {
        return;
    };
    // RFC 6749 §2.3.1: both are form-encoded.
    let encode = |part: &str| part.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let value = format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(client_id), encode(secret))));
    let fits = value.len() <= 8 * 1024 && !client_id.is_empty();
    if fits {
        assert_eq!(read(value.as_bytes()), Some((client_id.to_owned(), secret.to_owned())));
    }
});
