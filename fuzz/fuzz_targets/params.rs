//! Any query or form is read or refused; what was read means the same to whoever reads it again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::oauth::Params;
use shared::oauth::params::{PARAMS_BYTES_MAX, PARAMS_COUNT_MAX};

fuzz_target!(|text: &str| {
    let Ok(params) = Params::parse(text) else { return };
    assert!(text.len() <= PARAMS_BYTES_MAX);
    assert!(params.entries().count() <= PARAMS_COUNT_MAX);
    assert!(params.len_bytes() <= text.len());
    for (name, value) in params.entries() {
        assert!(!value.is_empty());
        let times = params.all(name).count();
        assert_eq!(params.get(name), (times == 1).then_some(value));
        assert!(times == 1 || name == "resource" || params.refuse_repeated().is_err());
    }
    // Written again and read again, it is the same.
    let mut encoded = String::new();
    for (name, value) in params.entries() {
        let byte = |byte: u8| format!("%{byte:02X}");
        let encode = |part: &str| part.bytes().map(byte).collect::<String>();
        encoded.push_str(&format!("{}={}&", encode(name), encode(value)));
    }
    if encoded.len() <= PARAMS_BYTES_MAX {
        let again = Params::parse(&encoded).expect("written by the book");
        assert!(again.entries().eq(params.entries()));
    }
});
