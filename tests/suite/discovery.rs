//! Discovery: SPEC 2.9, vectors 4.8.

use tests::{ISSUER, World};

/// M01, MET-05 to MET-07, CLIENTS 1 and 2.
#[tokio::test]
async fn the_metadata_says_what_is_true_and_nothing_else() {
    let world = World::new().await;
    let instance = world.instance().await;
    let answer = instance.get("/.well-known/oauth-authorization-server").await;
    answer.assert_status(200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let metadata = answer.json();
    assert_eq!(metadata["issuer"], ISSUER);
    assert_eq!(metadata["response_types_supported"], serde_json::json!(["code"]));
    assert_eq!(metadata["code_challenge_methods_supported"], serde_json::json!(["S256"]));
    assert_eq!(metadata["client_id_metadata_document_supported"], true);
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    let list = |name: &str| metadata[name].as_array().unwrap().clone();
    assert!(list("token_endpoint_auth_methods_supported").contains(&"none".into()));
    assert!(list("scopes_supported").contains(&"offline_access".into()));
    for (name, value) in metadata.as_object().unwrap() {
        assert!(!value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()), "{name}: {value}");
        if name.ends_with("_endpoint") || name == "jwks_uri" {
            let path = value.as_str().unwrap().strip_prefix(ISSUER).unwrap();
            assert_ne!(instance.get(path).await.status, 404, "{name} is not there");
        }
    }
}

/// M02, MET-01, MET-04, CLIENTS 1: what is not offered is 404, never 5xx; a wrong method is 405 with Allow.
#[tokio::test]
async fn unknown_paths_and_methods_are_refused_plainly() {
    let world = World::new().await;
    let instance = world.instance().await;
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/t",
        "/t/.well-known/openid-configuration",
        "/authorize;x=1",
        "/authorize/",
        "/%2e%2e/authorize",
        "/",
    ] {
        instance.get(path).await.assert_status(404);
    }
    let wrong = instance.get("/token").await;
    assert_eq!(wrong.assert_status(405).header("allow"), "POST");
    let wrong = instance.post("/.well-known/oauth-authorization-server", String::new()).await;
    assert!(wrong.assert_status(405).header("allow").contains("GET"));
}

/// MET-08, M04: browser-based clients read the metadata and the keys.
#[tokio::test]
async fn metadata_and_keys_have_cors() {
    let world = World::new().await;
    let instance = world.instance().await;
    for path in ["/.well-known/oauth-authorization-server", "/jwks.json"] {
        let preflight = http::Request::options(path)
            .header("origin", "https://inspector.example")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "mcp-protocol-version")
            .body(axum::body::Body::empty())
            .unwrap();
        let answer = instance.send(preflight).await;
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(answer.header("access-control-allow-headers").contains("mcp-protocol-version"));
    }
}

/// The key set holds public keys only.
#[tokio::test]
async fn the_key_set_shows_no_private_member() {
    let world = World::new().await;
    let jwks = world.instance().await.get("/jwks.json").await.json();
    let keys = jwks["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    for member in ["d", "p", "q", "k"] {
        assert!(keys[0].get(member).is_none());
    }
    assert_eq!(keys[0]["alg"], "ES256");
}
