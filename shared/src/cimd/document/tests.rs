use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::client::id::{ClientId, UrlRules};
use crate::client::metadata::NoneSupported;
use crate::client::metadata::{ApplicationType, ClientKeys, GrantType, PublicJwks, ResponseType};

const U01: &str = "https://app.example.com/oauth/client.json";
const EVERY_METHOD: &[AuthMethod] = &[AuthMethod::None, AuthMethod::PrivateKeyJwt];

fn url(raw: &str) -> MetadataUrl {
    MetadataUrl::parse(&ClientId::parse(raw).unwrap(), &UrlRules::default()).unwrap()
}

fn parse(body: &Value) -> Result<ClientMetadata, DocumentError> {
    let document = MetadataDocument::parse(&url(U01), body.to_string().as_bytes(), &DocumentRules::default());
    document.map(|document| document.metadata)
}

/// The valid base of SPEC 4.3 with `changes` on top; `null` in `changes` removes nothing, it is kept.
fn base_with(changes: Value) -> Value {
    let mut document = json!({
        "client_id": U01,
        "client_name": "App",
        "redirect_uris": ["https://app.example.com/cb"],
    });
    let members = document.as_object_mut().unwrap();
    members.extend(changes.as_object().unwrap().clone());
    document
}

fn base_without(name: &str) -> Value {
    let mut document = base_with(json!({}));
    document.as_object_mut().unwrap().remove(name).unwrap();
    document
}

fn check(changes: Value) -> Result<ClientMetadata, DocumentError> {
    parse(&base_with(changes))
}

fn refuses(changes: Value, error: DocumentError) {
    let document = base_with(changes);
    assert_eq!(parse(&document), Err(error), "{document}");
}

/// D01; DOC-02 to DOC-04, DOC-24, DOC-30, DOC-31: the base, with every default.
#[test]
fn the_smallest_document_is_a_public_code_client() {
    let metadata = check(json!({})).unwrap();
    assert_eq!(metadata.client_name.as_deref(), Some("App"));
    assert_eq!(metadata.redirect_uris, [RedirectUri::parse("https://app.example.com/cb").unwrap()]);
    assert_eq!(metadata.auth_methods.usable(EVERY_METHOD), Ok(vec![AuthMethod::None]));
    assert_eq!(metadata.grant_types, [GrantType::AuthorizationCode]);
    assert_eq!(metadata.response_types, [ResponseType::Code]);
    assert_eq!(metadata.keys, ClientKeys::None);
    assert_eq!(metadata.application_type, None);
    assert!(!metadata.dpop_bound_access_tokens);
    assert!(metadata.unusable_redirect_uris.is_empty());
}

/// D02, D03; DOC-02, URL-10, URL-11: only the very string is the same client.
#[test]
fn a_document_speaks_for_its_own_url_only() {
    for other in [
        "https://APP.example.com/oauth/client.json",
        "HTTPS://app.example.com/oauth/client.json",
        "https://app.example.com/oauth/client.json/",
        "https://app.example.com:443/oauth/client.json",
        "https://app.example.com/oauth/client.json#",
        "https://app.example.com/oauth/client%2Ejson",
        " https://app.example.com/oauth/client.json",
        "",
    ] {
        refuses(json!({"client_id": other}), DocumentError::ClientIdMismatch);
    }
    for wrong in [json!(null), json!([U01]), json!({"a": U01}), json!(1)] {
        refuses(json!({"client_id": wrong}), DocumentError::ClientIdMissing);
    }
    assert_eq!(parse(&base_without("client_id")), Err(DocumentError::ClientIdMissing));
    let escaped = br#"{"client_id": "https:\/\/app.example.com\/oauth\/client.j\u0073on", "redirect_uris": ["https://a.example/c"]}"#;
    assert!(MetadataDocument::parse(&url(U01), escaped, &DocumentRules::default()).is_ok());

    // U12, U13: the same place with and without its default port is two clients.
    let with_port = url("https://app.example.com:443/oauth/client.json");
    let own = base_with(json!({"client_id": with_port.as_str()})).to_string();
    assert!(MetadataDocument::parse(&with_port, own.as_bytes(), &DocumentRules::default()).is_ok());
    let foreign = base_with(json!({})).to_string();
    assert_eq!(
        MetadataDocument::parse(&with_port, foreign.as_bytes(), &DocumentRules::default()),
        Err(DocumentError::ClientIdMismatch)
    );
}

/// D04, D22; DOC-03: a name is shown to people, so it must be one; it may be missing unless policy is strict.
#[test]
fn a_client_name_is_short_plain_text() {
    assert_eq!(parse(&base_without("client_name")).unwrap().client_name, None);
    let strict = DocumentRules { client_name_required: true, ..DocumentRules::default() };
    let nameless = base_without("client_name").to_string();
    assert_eq!(
        MetadataDocument::parse(&url(U01), nameless.as_bytes(), &strict),
        Err(DocumentError::ClientNameMissing)
    );
    for bad in [
        "",
        "  ",
        "a\nb",
        "a\u{0}",
        "<b>Claude</b>\u{202e}",
        "\u{2066}x",
        "a\u{200b}b",
        "\u{feff}a",
        "a\u{e0041}",
    ] {
        refuses(json!({"client_name": bad}), DocumentError::ClientName);
    }
    refuses(json!({"client_name": "a".repeat(CLIENT_NAME_MAX + 1)}), DocumentError::ClientName);
    refuses(json!({"client_name": ["App"]}), DocumentError::WrongType("client_name"));
    refuses(json!({"client_name": null}), DocumentError::WrongType("client_name"));
    for (good, kept) in [
        (" App ", "App"),
        ("<b>Claude</b>", "<b>Claude</b>"),
        ("B\u{fc}cher \u{1f600}", "B\u{fc}cher \u{1f600}"),
        ("\u{5e7}\u{5d5}\u{5d3}", "\u{5e7}\u{5d5}\u{5d3}"),
    ] {
        assert_eq!(check(json!({"client_name": good})).unwrap().client_name.as_deref(), Some(kept));
    }
    assert!(check(json!({"client_name": "\u{fc}".repeat(CLIENT_NAME_MAX)})).is_ok());
}

/// D05; DOC-04, DOC-20: a bounded, non-empty list of strings.
#[test]
fn redirect_uris_are_a_bounded_list_of_strings() {
    assert_eq!(parse(&base_without("redirect_uris")), Err(DocumentError::RedirectUrisMissing));
    refuses(json!({"redirect_uris": []}), DocumentError::RedirectUrisMissing);
    for wrong in [json!("https://app.example.com/cb"), json!(null), json!({}), json!([1]), json!([["x"]])] {
        refuses(json!({"redirect_uris": wrong}), DocumentError::WrongType("redirect_uris"));
    }
    let many = |count: usize| (0..count).map(|n| format!("https://app.example.com/{n}")).collect::<Vec<_>>();
    assert!(check(json!({"redirect_uris": many(REDIRECT_URIS_MAX)})).is_ok());
    refuses(json!({"redirect_uris": many(REDIRECT_URIS_MAX + 1)}), DocumentError::TooManyRedirectUris);
}

/// D06, D24; DOC-01.
#[test]
fn what_is_not_one_json_object_is_no_document() {
    let duplicate = format!(
        r#"{{"client_id":"{U01}","client_id":"https://evil.example/c","redirect_uris":["https://a.example/c"]}}"#
    );
    for (body, error) in [
        (b"[]".as_slice(), JsonError::NotAnObject),
        (b"null", JsonError::NotAnObject),
        (b"{\"client_id\": ", JsonError::Syntax),
        (b"<!doctype html><title>Just a moment</title>", JsonError::Syntax),
        (b"", JsonError::Syntax),
        (duplicate.as_bytes(), JsonError::DuplicateMember),
    ] {
        let parsed = MetadataDocument::parse(&url(U01), body, &DocumentRules::default());
        assert_eq!(parsed, Err(DocumentError::Json(error)));
    }
}

/// D07, D27; DOC-10, DOC-13.
#[test]
fn a_shared_secret_method_makes_the_document_invalid() {
    for method in ["client_secret_basic", "client_secret_post", "client_secret_jwt"] {
        refuses(json!({"token_endpoint_auth_method": method}), DocumentError::SharedSecretMethod);
        refuses(
            json!({"token_endpoint_auth_methods_supported": ["none", method]}),
            DocumentError::SharedSecretMethod,
        );
    }
}

/// D08; DOC-11: the members may not even be there.
#[test]
fn a_secret_makes_the_document_invalid() {
    refuses(json!({"client_secret": "x"}), DocumentError::ClientSecret);
    refuses(json!({"client_secret": null}), DocumentError::ClientSecret);
    refuses(json!({"client_secret_expires_at": 0}), DocumentError::ClientSecret);
}

/// D09; DOC-12: anywhere in the document.
#[test]
fn private_key_material_makes_the_document_invalid() {
    let rsa = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB"});
    let symmetric = json!({"kty": "oct", "k": "AQAB"});
    for key in [&rsa, &symmetric] {
        refuses(json!({"jwks": {"keys": [key]}}), DocumentError::PrivateKey);
        refuses(json!({"x_extension": {"deep": [{"key": key}]}}), DocumentError::PrivateKey);
    }
    refuses(json!({"kty": "EC", "d": "x"}), DocumentError::PrivateKey);
    refuses(json!({"x": "-----BEGIN EC PRIVATE KEY-----\nx"}), DocumentError::PrivateKey);
    // A member `d` outside a key is just an unknown member.
    assert!(check(json!({"d": "x", "k": {"p": 1}})).is_ok());
}

/// D10 to D12; DOC-27 to DOC-29.
#[test]
fn keys_are_published_once_and_where_they_are_needed() {
    let public = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "kid": "1"}]});
    refuses(json!({"token_endpoint_auth_method": "private_key_jwt"}), DocumentError::KeysMissing); // D10
    refuses(
        json!({"token_endpoint_auth_methods_supported": ["none", "private_key_jwt"]}),
        DocumentError::KeysMissing,
    );
    refuses(json!({"jwks": public, "jwks_uri": "https://app.example.com/k"}), DocumentError::KeysTwice); // D11
    for uri in ["http://app.example.com/k", "file:///k", "k", "https://", "https://u@app.example.com/k"] {
        refuses(json!({"jwks_uri": uri}), DocumentError::JwksUri);
    }
    refuses(json!({"jwks_uri": 1}), DocumentError::WrongType("jwks_uri"));
    refuses(json!({"jwks": {}}), DocumentError::Jwks(JwksError::Malformed));
    refuses(json!({"jwks": "x"}), DocumentError::Jwks(JwksError::Malformed));

    // D12: confidential, so `none` is not among what it may use.
    let metadata = check(json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": public})).unwrap();
    assert_eq!(metadata.auth_methods.usable(EVERY_METHOD), Ok(vec![AuthMethod::PrivateKeyJwt]));
    assert_eq!(metadata.keys, ClientKeys::Inline(PublicJwks::try_from(public).unwrap()));

    // D13: where a URL leads is the fetcher's question, when it is asked for.
    let metadata = check(json!({"jwks_uri": "https://10.0.0.1/k"})).unwrap();
    assert_eq!(metadata.keys, ClientKeys::Uri("https://10.0.0.1/k".into()));
}

/// D14 to D17, D25 to D29, D31; DOC-24 to DOC-26.
#[test]
fn declared_methods_decide_how_the_client_authenticates() {
    use AuthMethod::{None as Public, PrivateKeyJwt};
    let keys = "https://app.example.com/k";
    let usable =
        |changes: Value, supported| check(changes).map(|metadata| metadata.auth_methods.usable(supported));
    let both = json!(["none", "private_key_jwt"]);

    let chatgpt = json!({"token_endpoint_auth_methods_supported": both, "token_endpoint_auth_method": "none", "jwks_uri": keys});
    assert_eq!(usable(chatgpt, EVERY_METHOD), Ok(Ok(vec![Public, PrivateKeyJwt]))); // D14
    refuses(
        json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"], "token_endpoint_auth_method": "none", "jwks_uri": keys}),
        DocumentError::AuthMethods(ContradictoryAuthMethods),
    ); // D15
    let only_plural = json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"], "jwks_uri": keys});
    assert_eq!(usable(only_plural, EVERY_METHOD), Ok(Ok(vec![PrivateKeyJwt]))); // D16
    let mtls = json!({"token_endpoint_auth_methods_supported": ["tls_client_auth"]});
    assert_eq!(usable(mtls, EVERY_METHOD), Ok(Err(NoneSupported))); // D17
    assert_eq!(
        usable(json!({"token_endpoint_auth_methods_supported": ["none"]}), EVERY_METHOD),
        Ok(Ok(vec![Public]))
    ); // D25
    let some_unknown = json!({"token_endpoint_auth_methods_supported": ["tls_client_auth", "none"]});
    assert_eq!(usable(some_unknown, EVERY_METHOD), Ok(Ok(vec![Public]))); // D26
    let confidential = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": keys});
    assert_eq!(usable(confidential, &[Public]), Ok(Err(NoneSupported))); // D28
    let preferring = json!({"token_endpoint_auth_methods_supported": both, "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": keys});
    assert_eq!(usable(preferring, &[Public]), Ok(Ok(vec![Public]))); // D29
    assert_eq!(
        usable(json!({"token_endpoint_auth_methods_supported": []}), EVERY_METHOD),
        Ok(Err(NoneSupported))
    ); // D31
    refuses(
        json!({"token_endpoint_auth_methods_supported": "none"}),
        DocumentError::WrongType("token_endpoint_auth_methods_supported"),
    ); // D31
    refuses(
        json!({"token_endpoint_auth_method": ["none"]}),
        DocumentError::WrongType("token_endpoint_auth_method"),
    );
    refuses(
        json!({"token_endpoint_auth_method": null}),
        DocumentError::WrongType("token_endpoint_auth_method"),
    );
}

/// D18, D19, R15; DOC-20 to DOC-23, RED-09.
#[test]
fn redirect_uris_that_we_will_not_honour_are_kept_apart() {
    refuses(
        json!({"redirect_uris": ["javascript:alert(1)", "https://app.example.com/cb"]}),
        DocumentError::DangerousRedirectUri,
    );
    let listed = json!({"redirect_uris": [
        "http://app.example.com/cb", "https://app.example.com/cb", "com.example.app:/cb", "cursor://x/cb",
        "https://app.example.com/cb#f", "http://localhost/cb", "cb",
    ]});
    let metadata = check(listed.clone()).unwrap();
    let usable: Vec<_> = metadata.redirect_uris.iter().map(RedirectUri::as_str).collect();
    assert_eq!(usable, ["https://app.example.com/cb", "http://localhost/cb"]);
    assert_eq!(metadata.unusable_redirect_uris.len(), 5);
    assert!(metadata.unusable_redirect_uris.iter().all(|unusable| !unusable.reason.is_empty()));
    for requested in ["http://app.example.com/cb", "com.example.app:/cb", "cursor://x/cb", "cb"] {
        assert_eq!(metadata.matching_redirect_uri(requested), None, "{requested}");
    }
    assert!(metadata.matching_redirect_uri("http://localhost:3118/cb").is_some());
    assert!(metadata.matching_redirect_uri("https://app.example.com/cb").is_some());

    let lenient = DocumentRules { private_use_schemes: true, ..DocumentRules::default() };
    let body = base_with(listed).to_string();
    let metadata = MetadataDocument::parse(&url(U01), body.as_bytes(), &lenient).unwrap().metadata;
    assert!(metadata.matching_redirect_uri("com.example.app:/cb").is_some());
    assert_eq!(metadata.matching_redirect_uri("cursor://x/cb"), None);
}

/// D20, D21; DOC-05, DOC-07, DOC-32, DOC-33, DOC-36.
#[test]
fn links_are_https_or_absent_and_unknown_members_are_ignored() {
    let metadata = check(json!({
        "logo_uri": "http://169.254.169.254/x",
        "client_uri": "javascript:alert(1)",
        "tos_uri": "https://app.example.com/tos",
        "policy_uri": "data:text/html,x",
        "application_type": "spaceship",
        "x_unknown": "x".repeat(1024),
        "client_name#ja": "\u{202e}",
        "client_id_expires_at": {"any": ["thing"]},
        "software_statement": "a.b.c",
    }))
    .unwrap();
    assert_eq!((metadata.logo_uri, metadata.client_uri, metadata.policy_uri), (None, None, None));
    assert_eq!(metadata.tos_uri.as_deref(), Some("https://app.example.com/tos"));
    assert_eq!(metadata.application_type, None);
    for name in [
        "logo_uri",
        "client_uri",
        "tos_uri",
        "policy_uri",
        "scope",
        "software_id",
        "software_version",
        "application_type",
        "dpop_bound_access_tokens",
        "grant_types",
        "response_types",
    ] {
        refuses(json!({name: 1}), DocumentError::WrongType(name));
    }
    let metadata =
        check(json!({"application_type": "native", "dpop_bound_access_tokens": true, "scope": "a b",
        "software_id": "s", "software_version": "1"}))
        .unwrap();
    assert_eq!(metadata.application_type, Some(ApplicationType::Native));
    assert!(metadata.dpop_bound_access_tokens);
    assert_eq!(metadata.scope.as_deref(), Some("a b"));
}

/// D23; DOC-30, DOC-31: unknown grants are filtered; only stated lists can contradict each other.
#[test]
fn a_client_may_use_the_grants_it_lists_and_we_know() {
    let metadata = check(json!({"grant_types": ["client_credentials"]})).unwrap();
    assert!(!metadata.may_use(GrantType::AuthorizationCode));
    assert!(metadata.may_use(GrantType::ClientCredentials));
    let metadata = check(json!({"grant_types": ["implicit", "authorization_code", "urn:x:y"]})).unwrap();
    assert_eq!(metadata.grant_types, [GrantType::AuthorizationCode]);
    assert_eq!(check(json!({"grant_types": ["implicit"]})).unwrap().grant_types, []);
    assert!(check(json!({"response_types": ["code", "token"]})).is_ok());
    refuses(
        json!({"grant_types": ["authorization_code"], "response_types": ["token"]}),
        DocumentError::ResponseTypes,
    );
    refuses(
        json!({"grant_types": ["client_credentials"], "response_types": ["code"]}),
        DocumentError::ResponseTypes,
    );
    refuses(
        json!({"grant_types": ["authorization_code"], "response_types": []}),
        DocumentError::ResponseTypes,
    );
    assert!(check(json!({"grant_types": ["client_credentials"], "response_types": []})).is_ok());
}

/// CLIENTS 4, FIELD 3.2: the documents that clients in use publish.
#[test]
fn documents_in_the_field_are_accepted() {
    let read = |id: &str, body: &[u8]| {
        MetadataDocument::parse(&url(id), body, &DocumentRules::default()).unwrap().metadata
    };
    let claude = read(
        "https://claude.ai/oauth/claude-code-client-metadata",
        include_bytes!("../fixtures/claude-code.json"),
    );
    assert!(claude.matching_redirect_uri("http://localhost:3118/callback").is_some());
    assert!(claude.matching_redirect_uri("http://127.0.0.1:52163/callback").is_some());
    assert!(claude.matching_redirect_uri("http://[::1]:52163/callback").is_none());
    assert_eq!(claude.application_type, None);
    assert!(claude.may_use(GrantType::RefreshToken));

    let vscode =
        read("https://vscode.dev/oauth/client-metadata.json", include_bytes!("../fixtures/vscode.json"));
    assert!(vscode.matching_redirect_uri("http://127.0.0.1:33418/").is_some());
    assert!(vscode.matching_redirect_uri("http://127.0.0.1:50000/").is_some());
    assert!(vscode.matching_redirect_uri("https://vscode.dev/redirect").is_some());
    assert_eq!(vscode.grant_types, [GrantType::AuthorizationCode, GrantType::RefreshToken]);
    assert_eq!(vscode.unusable_redirect_uris.len(), 2);

    let chatgpt = read("https://chatgpt.com/oauth/client.json", include_bytes!("../fixtures/chatgpt.json"));
    assert_eq!(chatgpt.auth_methods.usable(&[AuthMethod::None]), Ok(vec![AuthMethod::None]));
    assert!(chatgpt.auth_methods.is_public());
    let connector = read(
        "https://chatgpt.com/oauth/kDmjx77UnKOM/client.json",
        include_bytes!("../fixtures/chatgpt-connector.json"),
    );
    assert_eq!(connector.client_name, None);
    assert_eq!(connector.auth_methods.usable(&[AuthMethod::None]), Err(NoneSupported));

    let opencode =
        read("https://opencode.ai/oauth/opencode/client.json", include_bytes!("../fixtures/opencode.json"));
    assert_eq!(opencode.application_type, Some(ApplicationType::Native));
}

/// Storage gives back what was parsed; the digest is that of the very bytes.
#[test]
fn a_stored_document_reads_back_the_same() {
    let body = base_with(json!({
        "jwks": {"keys": [{"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}]},
        "token_endpoint_auth_method": "private_key_jwt",
        "redirect_uris": ["https://app.example.com/cb", "http://app.example.com/cb"],
        "application_type": "web",
    }))
    .to_string();
    let document = MetadataDocument::parse(&url(U01), body.as_bytes(), &DocumentRules::default()).unwrap();
    let stored = serde_json::to_string(&document).unwrap();
    assert_eq!(serde_json::from_str::<MetadataDocument>(&stored).unwrap(), document);

    assert_eq!(DocumentDigest::of(b"").as_str(), "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
    assert_eq!(document.digest, DocumentDigest::of(body.as_bytes()));
    let spaced =
        MetadataDocument::parse(&url(U01), format!("{body} ").as_bytes(), &DocumentRules::default()).unwrap();
    assert_ne!(spaced.digest, document.digest);
}

proptest! {
    #[test]
    fn any_bytes_are_a_document_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(MetadataDocument::parse(&url(U01), &body, &DocumentRules::default()).is_err());
    }
}
