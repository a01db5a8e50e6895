use proptest::prelude::*;

use super::*;

use RedirectUriFault as Fault;

fn uri(text: &str) -> RedirectUri {
    RedirectUri::parse(text).unwrap()
}

/// RED-01 to RED-05, RED-13, RED-14, R01 to R16, and the published advisories: what matches.
#[test]
fn a_requested_uri_matches_only_what_was_registered() {
    const MATCH: bool = true;
    const PAGE: bool = false;
    let pairs = [
        // Exact string, https.
        ("https://c.example/cb", "https://c.example/cb", MATCH), // R01
        ("https://c.example/cb", "https://c.example/cb/", PAGE), // R02
        ("https://c.example/cb", "https://c.example/CB", PAGE),
        ("https://c.example/cb", "https://c.example/cb?x=1", PAGE),
        ("https://c.example/cb", "https://c.example:443/cb", PAGE), // R03
        ("https://c.example:443/cb", "https://c.example:443/cb", MATCH),
        ("https://c.example:8443/cb", "https://c.example:8444/cb", PAGE),
        ("https://c.example/cb?tenant=1", "https://c.example/cb?tenant=1", MATCH), // R13
        ("https://c.example/cb?tenant=1", "https://c.example/cb?tenant=2", PAGE),
        ("https://c.example/cb?tenant=1", "https://c.example/cb", PAGE),
        ("https://c.example/cb?a=1&b=2", "https://c.example/cb?b=2&a=1", PAGE),
        ("https://c.example/cb", "https://c.example/cb?", PAGE),
        ("https://c.example/cb", "https://c.example/cb#f", PAGE),
        ("https://c.example/cb", "https://c.example/cb#", PAGE),
        ("https://c.example/cb", "http://c.example/cb", PAGE),
        ("https://c.example/cb", "HTTPS://c.example/cb", PAGE),
        ("https://c.example/cb", "https://C.example/cb", PAGE),
        ("https://c.example/cb", "https://c.example/c%62", PAGE),
        ("https://c.example/c%62", "https://c.example/cb", PAGE),
        ("https://c.example/c%2fb", "https://c.example/c%2Fb", PAGE),
        ("https://c.example/cb", "https://c.example/./cb", PAGE),
        ("https://c.example/cb", "https://c.example/x/../cb", PAGE),
        ("https://c.example/cb", "https://c.example//cb", PAGE),
        ("https://c.example/cb", " https://c.example/cb", PAGE),
        ("https://c.example/cb", "https://c.example/cb ", PAGE),
        ("https://c.example/cb", "https://c.example/cb\n", PAGE),
        ("https://c.example/cb", "", PAGE), // R14: an omitted URI is never a match
        // No prefix, suffix, wildcard, or sub-domain (RED-05; CVE-2023-6291, CVE-2024-1132).
        ("https://c.example/cb", "https://c.example/cb/evil", PAGE),
        ("https://c.example/cb", "https://c.example/cbx", PAGE),
        ("https://c.example/cb", "https://sub.c.example/cb", PAGE),
        ("https://c.example/cb", "https://c.example.evil.example/cb", PAGE),
        ("https://c.example/*", "https://c.example/anything", PAGE),
        ("https://c.example/*", "https://c.example/*", MATCH),
        ("https://c.example/cb", "https://c.example@evil.example/cb", PAGE),
        ("https://c.example/cb", "https://evil.example/https://c.example/cb", PAGE),
        ("https://c.example/cb", "https://evil.example\\@c.example/cb", PAGE),
        ("https://c.example/cb", "https://c.example%2f@evil.example/cb", PAGE),
        // Loopback: only the port varies.
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", MATCH), // R04
        ("http://127.0.0.1:3000/cb", "http://127.0.0.1:51004/cb", MATCH), // R05
        ("http://127.0.0.1:3000/cb", "http://127.0.0.1/cb", MATCH),
        ("http://127.0.0.1/cb", "http://127.0.0.1:80/cb", MATCH), // RED-13
        ("http://127.0.0.1/cb", "http://127.0.0.1/cb", MATCH),
        ("http://[::1]/cb", "http://[::1]:61023/cb", MATCH), // R06
        ("http://localhost/callback", "http://localhost:3118/callback", MATCH), // R07
        ("http://localhost/callback", "http://localhost:65535/callback", MATCH),
        ("http://localhost:8080/callback", "http://localhost:1/callback", MATCH),
        ("http://127.0.0.1/cb?x=1", "http://127.0.0.1:5/cb?x=1", MATCH),
        // One loopback host never stands for another (RED-04).
        ("http://localhost/cb", "http://127.0.0.1:3118/cb", PAGE), // R08
        ("http://127.0.0.1/cb", "http://localhost:3118/cb", PAGE),
        ("http://127.0.0.1/cb", "http://[::1]:3118/cb", PAGE),
        ("http://[::1]/cb", "http://127.0.0.1:3118/cb", PAGE),
        ("http://[::1]/cb", "http://[0:0:0:0:0:0:0:1]:3118/cb", PAGE),
        ("http://127.0.0.1/cb", "http://127.0.0.2:3118/cb", PAGE),
        ("http://127.0.0.1/cb", "http://127.1:3118/cb", PAGE),
        ("http://127.0.0.1/cb", "http://2130706433:3118/cb", PAGE),
        ("http://127.0.0.1/cb", "http://0x7f.0.0.1:3118/cb", PAGE),
        ("http://[::1]/cb", "http://[::ffff:127.0.0.1]:3118/cb", PAGE),
        ("http://localhost/cb", "http://localhost.:3118/cb", PAGE),
        ("http://localhost/cb", "http://foo.localhost:3118/cb", PAGE),
        ("http://localhost/cb", "http://LOCALHOST:3118/cb", PAGE),
        // Path, query, scheme, and case stay fixed (GHSA-rfq3-w54c-f9q5, GHSA-grfp-q2mm-hfp6).
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/other", PAGE), // R09
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb?x=1", PAGE),
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/CB", PAGE),
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb/", PAGE),
        ("http://127.0.0.1/cb?x=1", "http://127.0.0.1:49152/cb", PAGE),
        ("http://127.0.0.1/cb?x=1", "http://127.0.0.1:49152/cb?x=2", PAGE),
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb?", PAGE),
        ("http://127.0.0.1/cb", "https://127.0.0.1:49152/cb", PAGE), // R10
        ("http://127.0.0.1/cb", "HTTP://127.0.0.1:49152/cb", PAGE),  // RED-13
        ("https://127.0.0.1/cb", "https://127.0.0.1:49152/cb", PAGE),
        ("https://localhost/cb", "https://localhost:49152/cb", PAGE),
        ("https://localhost/cb", "http://localhost:49152/cb", PAGE),
        ("https://c.example/cb", "http://127.0.0.1:49152/cb", PAGE),
        // Look-alike hosts (CVE-2024-8883).
        ("http://127.0.0.1/cb", "http://127.0.0.1.evil.example:80/cb", PAGE), // R11
        ("http://127.0.0.1/cb", "http://127.0.0.1@evil.example/cb", PAGE),
        ("http://localhost/cb", "http://localhost.evil.example/cb", PAGE), // R12
        ("http://localhost/cb", "http://localhost:80@evil.example/cb", PAGE),
        ("http://localhost/cb", "http://localhost:80@localhost/cb", PAGE),
        ("http://localhost/cb", "http://@localhost:80/cb", PAGE),
        ("http://localhost/cb", "http://localhost:80\\@evil.example/cb", PAGE),
        ("http://localhost/cb", "http://localhost#@evil.example/cb", PAGE),
        ("http://localhost/cb", "http://localhost?@evil.example/cb", PAGE),
        ("http://localhost/cb", "http://localhost%2eevil.example/cb", PAGE),
        ("http://localhost/cb", "http://localhost\t:80/cb", PAGE),
        ("http://localhost/cb", "//localhost/cb", PAGE),
        ("http://localhost/cb", "localhost/cb", PAGE),
        // Ports (RED-14, R16).
        ("http://127.0.0.1/cb", "http://127.0.0.1:0/cb", PAGE),
        ("http://127.0.0.1/cb", "http://127.0.0.1:65536/cb", PAGE),
        ("http://127.0.0.1/cb", "http://127.0.0.1:/cb", PAGE),
        ("http://127.0.0.1/cb", "http://127.0.0.1:080/cb", PAGE),
        ("http://127.0.0.1/cb", "http://127.0.0.1:-1/cb", PAGE),
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152:1/cb", PAGE),
        ("http://[::1]/cb", "http://[::1]1/cb", PAGE),
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb#f", PAGE),
        // Dot segments (CVE-2026-3872) resolve elsewhere in a browser.
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/x/../cb", PAGE),
        ("http://127.0.0.1/cb", "http://127.0.0.1:49152/%2e/cb", PAGE),
        // Private use: exact string only (R15 is the document rules' decision).
        ("com.example.app:/cb", "com.example.app:/cb", MATCH),
        ("com.example.app:/cb", "com.example.app:/cb2", PAGE),
        ("com.example.app:/cb", "com.example.app://cb", PAGE),
        ("com.example.app:/cb", "COM.example.app:/cb", PAGE),
    ];
    for (registered, requested, expected) in pairs {
        assert_eq!(uri(registered).matches(requested), expected, "{registered} <- {requested:?}");
    }
}

/// DOC-20 to DOC-23, RED-04, RED-06, RED-07, RED-10, RED-11, RED-14: what cannot be registered, and why.
#[test]
fn every_unusable_uri_states_its_fault() {
    let cases = [
        ("", Fault::NotAbsolute),
        ("cb", Fault::NotAbsolute),
        ("/cb", Fault::NotAbsolute),
        ("//c.example/cb", Fault::NotAbsolute),
        ("https:", Fault::NotAbsolute),
        ("https:/cb", Fault::NotAbsolute),
        ("https:c.example/cb", Fault::NotAbsolute),
        ("1http://c.example/cb", Fault::NotAbsolute),
        ("https://c.example", Fault::PathMissing), // RED-07
        ("https://c.example?x=1", Fault::PathMissing),
        ("http://127.0.0.1", Fault::PathMissing),
        ("http://localhost:33418", Fault::PathMissing),
        ("https://c.example/cb#", Fault::Fragment), // RED-06
        ("https://c.example/cb#f", Fault::Fragment),
        ("com.example.app:/cb#f", Fault::Fragment),
        ("http://c.example/cb", Fault::HttpNotLoopback), // RED-11
        ("http://10.0.0.1/cb", Fault::HttpNotLoopback),
        ("http://127.0.0.2/cb", Fault::HttpNotLoopback), // RED-04
        ("http://foo.localhost/cb", Fault::HttpNotLoopback),
        ("http://[::2]/cb", Fault::HttpNotLoopback),
        ("http://0.0.0.0/cb", Fault::HttpNotLoopback),
        ("http://localhost./cb", Fault::Host),
        ("https://user@c.example/cb", Fault::UserInfo), // RED-14
        ("https://@c.example/cb", Fault::UserInfo),
        ("http://user:pass@localhost/cb", Fault::UserInfo),
        ("https://c.example:0/cb", Fault::Port),
        ("https://c.example:65536/cb", Fault::Port),
        ("https://c.example:/cb", Fault::Port),
        ("http://127.0.0.1:0/cb", Fault::Port),
        ("https:///cb", Fault::Host),
        ("https://c_d.example/cb", Fault::Host),
        ("https://*.c.example/cb", Fault::Host),
        ("https://c.example./cb", Fault::Host),
        ("https://127.1/cb", Fault::Host),
        ("https://[::01]/cb", Fault::Host),
        ("https://[fe80::1%25eth0]/cb", Fault::Host),
        ("https://[v1.x]/cb", Fault::Host),
        ("https://xn--a.example/cb", Fault::Host),
        ("https://C.example/cb", Fault::UpperCase),
        ("Https://c.example/cb", Fault::UpperCase),
        ("https://c.example/c b", Fault::Character),
        ("https://c.example/c\\b", Fault::Character),
        ("https://c.example/c%zz", Fault::Character),
        ("https://c.example/c[b]", Fault::Character),
        ("https://b\u{fc}cher.example/cb", Fault::Character),
        ("https://c.example/\u{202e}cb", Fault::Character),
        ("https://c.example/a/../cb", Fault::DotSegment),
        ("https://c.example/a/%2E%2e/cb", Fault::DotSegment),
        ("https://c.example/cb?code=1", Fault::ResponseParameter),
        ("https://c.example/cb?a=1&st%61te=x", Fault::ResponseParameter),
        ("http://localhost/cb?iss=https://evil.example", Fault::ResponseParameter),
        ("cursor://anysphere.cursor-retrieval/oauth/callback", Fault::SchemeWithoutDot), // RED-10
        ("vscode://vscode.github-authentication/did-authenticate", Fault::SchemeWithoutDot),
        ("myapp:/cb", Fault::SchemeWithoutDot),
        ("urn:ietf:wg:oauth:2.0:oob", Fault::SchemeWithoutDot),
        ("ftp://c.example/cb", Fault::SchemeWithoutDot),
        ("ws://c.example/cb", Fault::SchemeWithoutDot),
    ];
    for (text, fault) in cases {
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Unusable(fault)), "{text:?}");
    }
    let longest = format!("https://c.example/{}", "a".repeat(REDIRECT_URI_MAX - 18));
    assert!(RedirectUri::parse(&longest).is_ok());
    assert_eq!(RedirectUri::parse(&format!("{longest}a")), Err(RedirectUriError::Unusable(Fault::TooLong)));
}

/// DOC-22: seen through white space, control characters, and case, as a browser would.
#[test]
fn dangerous_schemes_are_told_apart_from_unusable_ones() {
    for text in [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "\tjava\nscript:alert(1)",
        "java\0script:alert(1)",
        "\u{a0}javascript:alert(1)",
        "javascript ://c.example/%0aalert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "blob:https://c.example/1",
        "about:blank",
        "view-source:https://c.example/",
        "filesystem:https://c.example/t/x",
        "intent://x#Intent;end",
    ] {
        assert_eq!(RedirectUri::parse(text), Err(RedirectUriError::Dangerous), "{text:?}");
    }
    assert!(RedirectUri::parse("https://c.example/javascript:alert(1)").is_ok());
    assert_eq!(
        RedirectUri::parse("javascript"),
        Err(RedirectUriError::Unusable(Fault::NotAbsolute)),
        "without a colon it is no scheme"
    );
}

/// CON-01: what pages show, and what remembered consent is keyed by.
#[test]
fn host_and_origin_are_what_a_person_would_recognise() {
    let cases = [
        ("https://c.example/cb", RedirectKind::Https, "c.example", "https://c.example"),
        ("https://c.example:443/cb", RedirectKind::Https, "c.example", "https://c.example"),
        ("https://c.example:8443/cb", RedirectKind::Https, "c.example", "https://c.example:8443"),
        ("http://127.0.0.1:3000/cb", RedirectKind::Loopback, "127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:3000/cb", RedirectKind::Loopback, "[::1]", "http://[::1]"),
        ("http://localhost/cb", RedirectKind::Loopback, "localhost", "http://localhost"),
        ("com.example.app:/cb", RedirectKind::PrivateUse, "com.example.app", "com.example.app:"),
    ];
    for (text, kind, host, origin) in cases {
        let uri = uri(text);
        assert_eq!(
            (uri.kind(), uri.host_for_display(), uri.origin().as_str()),
            (kind, host, origin),
            "{text}"
        );
    }
}

#[test]
fn a_form_that_ends_at_the_client_may_lead_there_and_no_further() {
    for (text, source) in [
        ("https://c.example/cb", "https://c.example"),
        ("https://c.example:443/cb", "https://c.example"),
        ("https://c.example:8443/cb?a=b", "https://c.example:8443"),
        ("http://127.0.0.1:3000/cb", "http://127.0.0.1:3000"),
        ("http://localhost/cb", "http://localhost"),
        ("com.example.app:/cb", "com.example.app:"),
        // Browsers ignore a source with an IPv6 literal, and with it the redirect.
        ("http://[::1]:3000/cb", "http:"),
    ] {
        assert_eq!(uri(text).form_action(), source, "{text}");
    }
}

/// RED-06, R13: parameters are appended, what was registered stays.
#[test]
fn a_registered_query_is_kept_when_parameters_are_added() {
    let pairs = [("code", "a b&c"), ("iss", "https://as.example")];
    let cases = [
        ("https://c.example/cb", "https://c.example/cb?"),
        ("https://c.example/cb?tenant=1", "https://c.example/cb?tenant=1&"),
        ("https://c.example/cb?", "https://c.example/cb?"),
        ("https://c.example/cb?tenant=1&", "https://c.example/cb?tenant=1&"),
        ("com.example.app:/cb", "com.example.app:/cb?"),
    ];
    for (text, start) in cases {
        let expected = format!("{start}code=a+b%26c&iss=https%3A%2F%2Fas.example");
        assert_eq!(uri(text).with_query(pairs), expected);
    }
    assert_eq!(uri("https://c.example/cb").with_query([]), "https://c.example/cb");
}

/// Stored text is read back by the same rules.
#[test]
fn storage_keeps_the_exact_string() {
    let json = serde_json::to_string(&uri("http://localhost:80/callback")).unwrap();
    assert_eq!(json, "\"http://localhost:80/callback\"");
    assert_eq!(serde_json::from_str::<RedirectUri>(&json).unwrap(), uri("http://localhost:80/callback"));
    assert!(serde_json::from_str::<RedirectUri>("\"javascript:x\"").is_err());
}

proptest! {
    /// Parsing never panics and never rewrites.
    #[test]
    fn any_string_is_kept_verbatim_or_refused(text in "\\PC{0,60}") {
        if let Ok(uri) = RedirectUri::parse(&text) {
            prop_assert_eq!(uri.as_str(), &text);
        }
    }

    /// RED-04, RED-05: whatever is requested, a match has the scheme and host that were registered, as a
    /// browser reads both.
    #[test]
    fn a_match_never_crosses_hosts(
        registered in "(https?://)(127\\.0\\.0\\.1|localhost|\\[::1\\]|c\\.example)(:[0-9]{1,5})?/[a-b]{0,2}",
        requested in "(https?://)([a-c@.:]{0,4})(127\\.0\\.0\\.1|localhost|\\[::1\\]|c\\.example)([.@:a-c\\\\#?]{0,4})(:[0-9]{1,5})?/[a-b]{0,2}",
    ) {
        if let Ok(uri) = RedirectUri::parse(&registered) {
            prop_assert!(uri.matches(&registered));
            if uri.matches(&requested) {
                let (left, right) = (Url::parse(&registered).unwrap(), Url::parse(&requested).unwrap());
                prop_assert_eq!(left.scheme(), right.scheme());
                prop_assert_eq!(left.host(), right.host());
                prop_assert_eq!(left.path(), right.path());
                prop_assert!(right.username().is_empty() && right.password().is_none());
                prop_assert!(left.scheme() == "http" || left.port() == right.port());
            }
        }
    }
}
