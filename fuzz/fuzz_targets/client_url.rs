//! Any string is a client identifier or is refused; an accepted one is what was sent, byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::client::id::{ClientId, MetadataUrl, UrlRules};

fuzz_target!(|text: &str| {
    // A seed is a text file and ends in a line break.
    let text = text.strip_suffix('\n').unwrap_or(text);
    let Ok(id) = ClientId::parse(text) else { return };
    assert_eq!(id.as_str(), text);
    let Ok(url) = MetadataUrl::parse(&id, &UrlRules::default()) else { return };
    assert_eq!(url.as_str(), text);
    assert_eq!(url.url().as_str(), text);
    assert_eq!(url.url().scheme(), "https");
    assert_eq!(url.port(), 443);
    assert!(url.url().username().is_empty() && url.url().fragment().is_none() && url.url().query().is_none());
    assert!(url.url().path() != "/");
});
