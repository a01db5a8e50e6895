//! Any bytes are an image or are refused; what we make of an image is a small PNG.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::cimd::logo::re_encode;

fuzz_target!(|bytes: &[u8]| {
    let Ok(png) = re_encode(bytes) else { return };
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    // 96 by 96 pixels of four bytes, and what the format adds.
    assert!(png.len() < 64 * 1024);
    assert!(re_encode(&png).is_ok());
});
