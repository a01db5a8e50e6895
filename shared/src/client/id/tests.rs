use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

use ClientUrlError as Url_;

fn url(raw: &str, rules: &UrlRules) -> Result<MetadataUrl, ClientUrlError> {
    MetadataUrl::parse(&ClientId::parse(raw).unwrap(), rules)
}

fn strict() -> UrlRules {
    UrlRules {
        forbidden: vec!["https://as.example".into(), "https://idp.example/tenant/".into()],
        ..UrlRules::default()
    }
}

/// URL-01 to URL-15, U01 to U23: every client id that names a document under the strict rules.
#[test]
fn document_urls_are_accepted_as_spelled() {
    let accepted = [
        "https://app.example.com/oauth/client.json", // U01
        "https://app.example.com/..client.json",     // U08
        "https://app.example.com:443/c",             // U13
        "https://claude.ai/oauth/claude-code-client-metadata",
        "https://claude.ai/oauth/mcp-oauth-client-metadata",
        "https://vscode.dev/oauth/client-metadata.json",
        "https://chatgpt.com/oauth/client.json",
        "https://chatgpt.com/oauth/kDmjx77UnKOM/client.json",
        "https://chatgpt.com/oauth/codex/client.json",
        "https://opencode.ai/oauth/opencode/client.json",
        "https://apify.github.io/mcpc/client-metadata.json",
        "https://app.example.com/c/",
        "https://app.example.com/c//d",
        "https://app.example.com//c",
        "https://app.example.com/.well-known/client",
        "https://app.example.com/...",
        "https://app.example.com/..a/b..",
        "https://app.example.com/a.b/c..d",
        "https://app.example.com/.a",
        "https://app.example.com/%2e%2e%2e",
        "https://app.example.com/%2eclient",
        "https://app.example.com/c%20d",
        "https://app.example.com/c%2Fd",
        "https://app.example.com/c%2fd",
        "https://app.example.com/caf%C3%A9",
        "https://app.example.com/~user/c",
        "https://app.example.com/c;v=1",
        "https://app.example.com/c,d",
        "https://app.example.com/c+d",
        "https://app.example.com/c=d&e",
        "https://app.example.com/c@d",
        "https://app.example.com/c:d",
        "https://app.example.com/(c)",
        "https://app.example.com/c!$'*",
        "https://app.example.com/C.JSON",
        "https://app.example.com/0",
        "https://xn--bcher-kva.example/c",
        "https://a.b.c.d.e.example.com/c",
        "https://1.example.com/c",
        "https://123.example.com/c",
        "https://a-b.example.com/c",
        "https://a--b.example.com/c",
        "https://example.com/c",
        "https://co.uk/c",
        "https://notlocalhost.example/c",
        "https://localhost.example.com/c",
        "https://127.0.0.1.example.com/c",
        "https://test.example/c",
        "https://local.example/c",
        "https://as.example/client",
        "https://idp.example/tenant/client",
        "https://idp.example/tenants",
    ];
    for raw in accepted {
        let parsed = url(raw, &strict());
        assert_eq!(parsed.as_ref().map(MetadataUrl::as_str), Ok(raw), "{raw}");
    }
}

/// URL-01 to URL-15, U02 to U23: every client id that names no document, with the rule it breaks.
#[test]
fn everything_else_is_refused_for_one_stated_reason() {
    use HostError::{AddressLiteral, NotAName, SingleLabel, SpecialUse, TrailingDot, UpperCase};
    let refused = [
        // URL-01
        ("http://app.example.com/client.json", Url_::NotHttps), // U02
        ("ftp://app.example.com/c", Url_::NotHttps),
        ("wss://app.example.com/c", Url_::NotHttps),
        ("javascript:alert(1)", Url_::NotHttps),
        ("data:application/json,{}", Url_::NotHttps),
        ("file:///etc/passwd", Url_::NotHttps),
        ("app.example.com/c", Url_::NotHttps),
        ("//app.example.com/c", Url_::NotHttps),
        ("/c", Url_::NotHttps),
        ("my-client", Url_::NotHttps),
        ("https", Url_::NotHttps),
        ("https:", Url_::NotHttps),
        ("https:app.example.com/c", Url_::NotHttps),
        ("https:/app.example.com/c", Url_::NotHttps),
        ("https:\\\\app.example.com/c", Url_::NotHttps),
        (" https://app.example.com/c", Url_::NotHttps),
        ("https ://app.example.com/c", Url_::NotHttps),
        ("view-source:https://app.example.com/c", Url_::NotHttps),
        // URL-15
        ("HTTPS://app.example.com/c", Url_::SchemeCase),
        ("Https://app.example.com/c", Url_::SchemeCase),
        ("https://APP.example.com/c", Url_::Host(UpperCase)), // U20
        ("https://app.example.COM/c", Url_::Host(UpperCase)),
        ("https://XN--bcher-kva.example/c", Url_::Host(UpperCase)),
        // URL-02, URL-03
        ("https://app.example.com", Url_::PathMissing), // U03
        ("https://app.example.com/", Url_::RootPath),   // U04
        ("https://app.example.com:443", Url_::PathMissing),
        ("https://app.example.com:443/", Url_::RootPath),
        ("https://app.example.com?c", Url_::PathMissing),
        ("https://app.example.com/?c", Url_::RootPath),
        // URL-04
        ("https://app.example.com/a/../client.json", Url_::DotSegment), // U05
        ("https://app.example.com/./client.json", Url_::DotSegment),    // U06
        ("https://app.example.com/..", Url_::DotSegment),
        ("https://app.example.com/.", Url_::DotSegment),
        ("https://app.example.com/a/..", Url_::DotSegment),
        ("https://app.example.com/a/.", Url_::DotSegment),
        ("https://app.example.com/a/../../c", Url_::DotSegment),
        ("https://app.example.com/a/./c", Url_::DotSegment),
        ("https://app.example.com//../c", Url_::DotSegment),
        ("https://app.example.com/../?q", Url_::DotSegment),
        // URL-05
        ("https://app.example.com/a/%2e%2E/client.json", Url_::EncodedDotSegment), // U07
        ("https://app.example.com/%2e/c", Url_::EncodedDotSegment),
        ("https://app.example.com/%2E/c", Url_::EncodedDotSegment),
        ("https://app.example.com/.%2e/c", Url_::EncodedDotSegment),
        ("https://app.example.com/%2e./c", Url_::EncodedDotSegment),
        ("https://app.example.com/c/%2e%2e", Url_::EncodedDotSegment),
        ("https://app.example.com/c/%2e", Url_::EncodedDotSegment),
        // URL-06
        ("https://app.example.com/client.json#", Url_::Fragment), // U09
        ("https://app.example.com/c#f", Url_::Fragment),
        ("https://app.example.com#/c", Url_::Fragment),
        ("https://app.example.com/#/c", Url_::Fragment),
        ("https://app.example.com/c?q#f", Url_::Fragment),
        ("https://evil.example#@app.example.com/c", Url_::Fragment),
        // URL-07
        ("https://user@app.example.com/c", Url_::UserInfo), // U10
        ("https://@app.example.com/c", Url_::UserInfo),
        ("https://user:pass@app.example.com/c", Url_::UserInfo),
        ("https://:@app.example.com/c", Url_::UserInfo),
        ("https://app.example.com@evil.example/c", Url_::UserInfo),
        ("https://app.example.com:443@evil.example/c", Url_::UserInfo),
        ("https://app.example.com%40@evil.example/c", Url_::UserInfo),
        ("https://a@b@evil.example/c", Url_::UserInfo),
        // URL-08
        ("https://app.example.com/c?v=1", Url_::Query), // U11
        ("https://app.example.com/c?", Url_::Query),
        ("https://app.example.com/c??", Url_::Query),
        ("https://app.example.com/c?a/../b", Url_::Query),
        // URL-09
        ("https://app.example.com:8443/c", Url_::PortNotListed), // U14
        ("https://app.example.com:80/c", Url_::PortNotListed),
        ("https://app.example.com:22/c", Url_::PortNotListed),
        ("https://app.example.com:65535/c", Url_::PortNotListed),
        ("https://app.example.com:0/c", Url_::PortSyntax), // U15
        ("https://app.example.com:65536/c", Url_::PortSyntax),
        ("https://app.example.com:/c", Url_::PortSyntax),
        ("https://app.example.com:99999999999/c", Url_::PortSyntax),
        ("https://app.example.com:0443/c", Url_::PortSyntax),
        ("https://app.example.com:00/c", Url_::PortSyntax),
        ("https://app.example.com:+443/c", Url_::PortSyntax),
        ("https://app.example.com:-443/c", Url_::PortSyntax),
        ("https://app.example.com:443a/c", Url_::PortSyntax),
        ("https://app.example.com:0x1bb/c", Url_::PortSyntax),
        ("https://app.example.com:%34%34%33/c", Url_::PortSyntax),
        ("https://app.example.com:443:443/c", Url_::Host(NotAName)),
        // URL-12
        ("https://app.example.com\\@evil.example/c", Url_::Character), // U18
        ("https://app.example.com/c ", Url_::Character),               // U19
        ("https://app.example.com/c d", Url_::Character),
        ("https://app.example .com/c", Url_::Character),
        ("https://app.example.com/c\\d", Url_::Character),
        ("https://app.example.com\\c", Url_::Character),
        ("https://app.example.com/c\"", Url_::Character),
        ("https://app.example.com/<c>", Url_::Character),
        ("https://app.example.com/c^", Url_::Character),
        ("https://app.example.com/c`", Url_::Character),
        ("https://app.example.com/{c}", Url_::Character),
        ("https://app.example.com/c|d", Url_::Character),
        ("https://app.example.com/c[1]", Url_::Character),
        ("https://app.example.com/]", Url_::Character),
        ("https://app.example.com/c%zz", Url_::PercentEncoding), // U21
        ("https://app.example.com/c%", Url_::PercentEncoding),
        ("https://app.example.com/c%2", Url_::PercentEncoding),
        ("https://app.example.com/c%%20", Url_::PercentEncoding),
        ("https://app.example.com/c%2g", Url_::PercentEncoding),
        ("https://app.example.com%2/c", Url_::PercentEncoding),
        // URL-13: address literals in every shape a parser understands
        ("https://127.0.0.1/c", Url_::Host(AddressLiteral)), // U16
        ("https://[::1]/c", Url_::Host(AddressLiteral)),
        ("https://2130706433/c", Url_::Host(AddressLiteral)),
        ("https://0x7f.1/c", Url_::Host(AddressLiteral)),
        ("https://127.1/c", Url_::Host(AddressLiteral)),
        ("https://0177.0.0.1/c", Url_::Host(AddressLiteral)),
        ("https://0x7f000001/c", Url_::Host(AddressLiteral)),
        ("https://0X7F.0.0.1/c", Url_::Host(AddressLiteral)),
        ("https://8.8.8.8/c", Url_::Host(AddressLiteral)),
        ("https://8.8.8.8:443/c", Url_::Host(AddressLiteral)),
        ("https://169.254.169.254/latest/meta-data", Url_::Host(AddressLiteral)),
        ("https://127.0.0.1./c", Url_::Host(AddressLiteral)),
        ("https://999.999.999.999/c", Url_::Host(AddressLiteral)),
        ("https://1.2.3.4.5/c", Url_::Host(AddressLiteral)),
        ("https://example.0x7f/c", Url_::Host(AddressLiteral)),
        ("https://0/c", Url_::Host(AddressLiteral)),
        ("https://[::ffff:127.0.0.1]/c", Url_::Host(AddressLiteral)),
        ("https://[::1]:443/c", Url_::Host(AddressLiteral)),
        ("https://[fe80::1%25eth0]/c", Url_::Host(AddressLiteral)),
        ("https://[/c", Url_::Host(AddressLiteral)),
        ("https://[v1.x]/c", Url_::Host(AddressLiteral)),
        // URL-13: names that are nobody's
        ("https://localhost/c", Url_::Host(SpecialUse)), // U17
        ("https://intranet/c", Url_::Host(SingleLabel)),
        ("https://com/c", Url_::Host(SingleLabel)),
        ("https://app.localhost/c", Url_::Host(SpecialUse)),
        ("https://printer.local/c", Url_::Host(SpecialUse)),
        ("https://metadata.google.internal/c", Url_::Host(SpecialUse)),
        ("https://c.test/c", Url_::Host(SpecialUse)),
        ("https://c.invalid/c", Url_::Host(SpecialUse)),
        ("https://c.onion/c", Url_::Host(SpecialUse)),
        ("https://c.alt/c", Url_::Host(SpecialUse)),
        ("https://router.home.arpa/c", Url_::Host(SpecialUse)),
        ("https://1.0.0.127.in-addr.arpa/c", Url_::Host(SpecialUse)),
        ("https://app.example.com./c", Url_::Host(TrailingDot)),
        ("https://localhost./c", Url_::Host(TrailingDot)),
        // URL-12, URL-13: hosts outside the DNS name grammar
        ("https:///c", Url_::Host(NotAName)),
        ("https:////app.example.com/c", Url_::Host(NotAName)),
        ("https://:443/c", Url_::Host(NotAName)),
        ("https://./c", Url_::Host(NotAName)),
        ("https://../c", Url_::Host(NotAName)),
        ("https://.example.com/c", Url_::Host(NotAName)),
        ("https://app..example.com/c", Url_::Host(NotAName)),
        ("https://-app.example.com/c", Url_::Host(NotAName)),
        ("https://app-.example.com/c", Url_::Host(NotAName)),
        ("https://app_1.example.com/c", Url_::Host(NotAName)),
        ("https://*.example.com/c", Url_::Host(NotAName)),
        ("https://app%2eexample.com/c", Url_::Host(NotAName)),
        ("https://app.example.com%2f/c", Url_::Host(NotAName)),
        ("https://%31%32%37.0.0.1/c", Url_::Host(NotAName)),
        ("https://app,example.com/c", Url_::Host(NotAName)),
        ("https://app.example.com;evil/c", Url_::Host(NotAName)),
        ("https://app.example.com,evil.example/c", Url_::Host(NotAName)),
        // A-labels that are no A-labels: the library's own view decides
        ("https://xn--a.example/c", Url_::Respelled),
        ("https://xn--.example/c", Url_::Host(NotAName)),
        // SPEC 2.15
        ("https://idp.example/tenant", Url_::Issuer), // U23
        ("https://idp.example/tenant/", Url_::Issuer),
        ("https://idp.example:443/tenant", Url_::Issuer),
        ("https://as.example", Url_::PathMissing),
        ("https://as.example/", Url_::RootPath),
        ("https://as.example//", Url_::Issuer),
    ];
    for (raw, reason) in refused {
        assert_eq!(url(raw, &strict()).map(|url| url.to_string()), Err(reason), "{raw}");
    }
}

/// URL-12, URL-14: what is no client identifier at all, whatever it names.
#[test]
fn a_client_id_is_bounded_printable_ascii() {
    assert_eq!(ClientId::parse(""), Err(ClientIdError::Empty));
    assert!(ClientId::parse(&"a".repeat(CLIENT_ID_MAX)).is_ok());
    assert_eq!(ClientId::parse(&"a".repeat(CLIENT_ID_MAX + 1)), Err(ClientIdError::TooLong));
    for raw in [
        "https://app.example.com/c\t", // U19
        "https://app.example.com/c\n",
        "https://app.example.com/c\r\n",
        "https://app.exa\tmple.com/c",
        "https://app.example.com/c\0",
        "https://app.example.com/c\u{7f}",
        "https://b\u{fc}cher.example/c",
        "https://app.example.com\u{ff0f}c",
        "https://\u{ff11}27.0.0.1/c",
        "https://\u{2460}.example/c",
        "https://app.example.com/\u{202e}c",
        "\u{feff}https://app.example.com/c",
    ] {
        assert_eq!(ClientId::parse(raw), Err(ClientIdError::Character), "{raw:?}");
    }
    for raw in ["my-client", "https://x", "a b", "~", "dyn_4f2a"] {
        assert_eq!(ClientId::parse(raw).unwrap().as_str(), raw);
    }
    let json = serde_json::to_string(&ClientId::parse("my-client").unwrap()).unwrap();
    assert_eq!(json, "\"my-client\"");
    assert_eq!(serde_json::from_str::<ClientId>(&json).unwrap().to_string(), "my-client");
    assert!(serde_json::from_str::<ClientId>("\"\\u0000\"").is_err());
}

/// URL-10, URL-11: one more byte is another client.
#[test]
fn spellings_of_one_place_are_different_clients() {
    let plain = url("https://app.example.com/c", &strict()).unwrap();
    let with_port = url("https://app.example.com:443/c", &strict()).unwrap();
    assert_ne!(plain.id(), with_port.id());
    assert_ne!(plain, with_port);
    assert_eq!(plain.url(), with_port.url());
    assert_eq!((with_port.host(), with_port.port()), ("app.example.com", 443));
    assert_ne!(
        url("https://app.example.com/c%2fd", &strict()).unwrap(),
        url("https://app.example.com/c%2Fd", &strict()).unwrap()
    );
}

/// URL-08, URL-09: policy may widen ports and queries, and nothing else.
#[test]
fn policy_widens_ports_and_queries() {
    let rules = UrlRules { ports: vec![443, 8443], query: true, ..strict() };
    assert_eq!(url("https://app.example.com:8443/c?v=1", &rules).unwrap().port(), 8443);
    assert!(url("https://app.example.com:443/c?v=1", &rules).is_ok());
    assert!(url("https://app.example.com/c?a/../b", &rules).is_ok());
    assert_eq!(url("https://app.example.com:8444/c", &rules), Err(Url_::PortNotListed));
    assert_eq!(url("https://app.example.com/?v=1", &rules), Err(Url_::RootPath));
    // The parser writes `'` in a query as `%27`.
    assert_eq!(url("https://app.example.com/c?v='", &rules), Err(Url_::Respelled));
    let only_other = UrlRules { ports: vec![8443], ..strict() };
    assert_eq!(url("https://app.example.com/c", &only_other), Err(Url_::PortNotListed));
}

/// FET-11: a development name opens exactly its own host and port.
#[test]
fn a_development_host_opens_only_itself() {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let development = vec![DevelopmentHost::new("client.test", 9443, address).unwrap()];
    let rules = UrlRules { development, ..strict() };
    assert_eq!(url("https://client.test:9443/c", &rules).unwrap().host(), "client.test");
    assert_eq!(url("https://client.test/c", &rules), Err(Url_::Host(HostError::SpecialUse)));
    assert_eq!(url("https://client.test:9444/c", &rules), Err(Url_::Host(HostError::SpecialUse)));
    assert_eq!(url("https://other.test:9443/c", &rules), Err(Url_::Host(HostError::SpecialUse)));
    assert_eq!(url("https://app.example.com:9443/c", &rules), Err(Url_::PortNotListed));
    assert_eq!(url("https://client.test:9443/", &rules), Err(Url_::RootPath));
}

/// The domain that budgets and policies group by.
#[test]
fn the_registrable_domain_follows_the_public_suffix_list() {
    for (raw, domain) in [
        ("https://app.example.com/c", "example.com"),
        ("https://a.b.example.co.uk/c", "example.co.uk"),
        ("https://apify.github.io/c", "apify.github.io"),
        ("https://co.uk/c", "co.uk"),
    ] {
        assert_eq!(url(raw, &strict()).unwrap().registrable_domain(), domain, "{raw}");
    }
}

proptest! {
    /// Parsing never panics, whatever bytes arrive, and never rewrites what it accepts (URL-10, FET-17).
    #[test]
    fn any_string_is_accepted_verbatim_or_refused(raw in "\\PC{0,60}") {
        if let Ok(id) = ClientId::parse(&raw) {
            prop_assert_eq!(id.as_str(), &raw);
            let _ = MetadataUrl::parse(&id, &strict());
        }
    }

    #[test]
    fn an_accepted_document_url_round_trips(
        raw in "https://[a-z0-9.:@\\[\\]%-]{1,20}(\\.example)?(:443)?/[a-zA-Z0-9/.%~;?#'@:-]{0,20}"
    ) {
        let rules = UrlRules { query: true, ..strict() };
        if let Ok(id) = ClientId::parse(&raw)
            && let Ok(url) = MetadataUrl::parse(&id, &rules)
        {
            prop_assert_eq!(url.as_str(), &raw);
            let (authority, path) = raw[SCHEME.len()..].split_once('/').unwrap();
            let host = authority.strip_suffix(":443").unwrap_or(authority);
            prop_assert_eq!(url.url().as_str(), format!("{SCHEME}{host}/{path}"));
            prop_assert_eq!(url.url().scheme(), "https");
            prop_assert!(url.url().username().is_empty() && url.url().fragment().is_none());
        }
    }
}
