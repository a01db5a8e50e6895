//! Any redirect URI is accepted or refused; an accepted one leads where it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::client::redirect::{RedirectKind, RedirectUri};

fuzz_target!(|text: &str| {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let Ok(uri) = RedirectUri::parse(text) else { return };
    assert_eq!(uri.as_str(), text);
    assert!(uri.matches(text));
    let registered = uri.without_loopback_port();
    assert!(registered.matches(text));
    assert_eq!(RedirectUri::parse(registered.as_str()), Ok(registered));
    let answer = uri.with_query([("code", "a&b"), ("state", "#\r\n")]);
    assert!(answer.starts_with(text) && answer.is_ascii());
    assert!(!answer.contains(['#', '\r', '\n', ' ']));
    assert!(!uri.form_action().contains([';', ',', ' ', '*']));
    match uri.kind() {
        RedirectKind::Https => assert!(text.starts_with("https://")),
        RedirectKind::Loopback => {
            let hosts = ["localhost", "127.0.0.1", "[::1]"];
            assert!(text.starts_with("http://") && hosts.contains(&uri.host_for_display()));
        }
        RedirectKind::PrivateUse => assert!(!text.starts_with("http:") && !text.starts_with("https:")),
    }
});
