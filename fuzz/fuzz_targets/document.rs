//! Any bytes are a document or are refused; what is accepted keeps the rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::cimd::document::{DocumentRules, MetadataDocument, REDIRECT_URIS_MAX};
use shared::client::id::{ClientId, MetadataUrl, UrlRules};

fuzz_target!(|body: &[u8]| {
    let id = ClientId::parse("https://app.example.com/oauth/client.json").expect("a good identifier");
    let url = MetadataUrl::parse(&id, &UrlRules::default()).expect("a good URL");
    let Ok(document) = MetadataDocument::parse(&url, body, &DocumentRules::default()) else { return };
    let metadata = &document.metadata;
    assert!(!body.is_empty());
    assert!(metadata.redirect_uris.len() + metadata.unusable_redirect_uris.len() <= REDIRECT_URIS_MAX);
    for uri in &metadata.redirect_uris {
        assert!(!uri.as_str().to_ascii_lowercase().starts_with("javascript:"));
        assert!(uri.matches(uri.as_str()));
    }
    let again = MetadataDocument::parse(&url, body, &DocumentRules::default()).expect("accepted once");
    assert_eq!(again, document);
});
