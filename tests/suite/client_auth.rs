//! Client authentication: SPEC 2.7 (CAU), vectors T13 to T15, T21 to T29, T33 to T36, RFC 10070.

use std::time::Duration;

use axum::body::Body;
use http::Request as HttpRequest;
use serde_json::{Value, json};
use shared::clock::Clock as _;
use shared::tool::Mechanism;
use tests::{
    Answer, Browser, CLIENT_ID, ISSUER, Instance, LOOPBACK_CLIENT_ID, RESOURCE, Request, Signer, Tokens,
    VERIFIER, World, document, form,
};

const AGENT: &str = "https://agent.example.com/client.json";
const SERVICE: &str = "service-7f3a";
const SECRET: &str = "s3cret-of-the-service-with-256-bits";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A world with a client that authenticates by key.
struct Keyed {
    world: World,
    instance: Instance,
    browser: Browser,
    signer: Signer,
    serial: u32,
}

fn agent_document(changes: &Value) -> String {
    let mut document: Value = serde_json::from_str(&document(AGENT)).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        document[name] = value.clone();
    }
    document.to_string()
}

impl Keyed {
    async fn new(alg: &'static str) -> Self {
        let world = World::new().await;
        let signer = Signer::new(alg, "agent-1");
        let changes =
            json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [signer.jwk()]}});
        world.fetcher.answer(AGENT, &agent_document(&changes), None);
        let instance = world.instance().await;
        let browser = Browser::signed_in(&instance, "ada").await;
        Self { world, instance, browser, signer, serial: 0 }
    }

    async fn code(&mut self) -> String {
        self.browser.authorize(&Request::default().with("client_id", AGENT)).await
    }

    fn claims(&mut self) -> Value {
        self.serial += 1;
        let now = self.world.clock.now().epoch_seconds();
        json!({"iss": AGENT, "sub": AGENT, "aud": ISSUER, "exp": now + 60, "iat": now, "jti": self.serial.to_string()})
    }

    fn assertion(&mut self) -> String {
        let claims = self.claims();
        self.signer.sign(json!({"typ": "client-authentication+jwt", "kid": "agent-1"}), &claims)
    }

    /// Claims with changes; `null` removes one.
    fn assertion_with(&mut self, header: Value, changes: &Value) -> String {
        let mut claims = self.claims();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.signer.sign(header, &claims)
    }
}

async fn redeem(instance: &Instance, code: &str, more: &[(&str, &str)]) -> Answer {
    let mut pairs = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", "https://app.example.com/callback"),
    ];
    pairs.extend_from_slice(more);
    instance.post("/token", form(&pairs)).await
}

async fn redeem_with(instance: &Instance, code: &str, assertion: &str) -> Answer {
    redeem(instance, code, &[("client_assertion_type", JWT_BEARER), ("client_assertion", assertion)]).await
}

async fn refresh_with(instance: &Instance, tokens: &Tokens, more: &[(&str, &str)]) -> Answer {
    let mut pairs = vec![("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str())];
    pairs.extend_from_slice(more);
    instance.post("/token", form(&pairs)).await
}

/// Redeems at an instance that has seen no failure yet: this is not about guessing.
async fn elsewhere(keyed: &Keyed, code: &str, assertion: &str) -> Answer {
    redeem_with(&keyed.world.instance().await, code, assertion).await
}

#[track_caller]
fn assert_unauthenticated(answer: &Answer, why: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.error().as_str()),
        (401, "invalid_client"),
        "{why}: {answer:?}"
    );
    assert!(answer.header("www-authenticate").starts_with("Basic"), "{why}");
}

/// T21, CAU-06, CAU-11: an assertion signed with each offered algorithm authenticates, for code and refresh,
/// and the token says that the client proved a key.
#[tokio::test]
async fn a_key_holder_authenticates_with_every_offered_algorithm() {
    for alg in ["ES256", "ES384", "EdDSA", "RS256", "PS256"] {
        let mut keyed = Keyed::new(alg).await;
        let code = keyed.code().await;
        let assertion = keyed.assertion();
        let tokens = Tokens::of(&redeem_with(&keyed.instance, &code, &assertion).await);
        assert_eq!(tokens.claims()["assurance"], "key_proven", "{alg}");
        let assertion = keyed.assertion();
        let proof = [("client_assertion_type", JWT_BEARER), ("client_assertion", assertion.as_str())];
        Tokens::of(&refresh_with(&keyed.instance, &tokens, &proof).await);
    }
}

/// CAU-02, D12, TR147, TR306: a client that declared a key must use it, on every call; nothing is burned by
/// a call without.
#[tokio::test]
async fn a_declared_key_is_never_optional() {
    let mut keyed = Keyed::new("ES256").await;
    let code = keyed.code().await;
    assert_unauthenticated(&redeem(&keyed.instance, &code, &[("client_id", AGENT)]).await, "code");
    let assertion = keyed.assertion();
    let tokens = Tokens::of(&redeem_with(&keyed.instance, &code, &assertion).await);
    let refused = refresh_with(&keyed.instance, &tokens, &[("client_id", AGENT)]).await;
    assert_unauthenticated(&refused, "refresh");
    let secret = [("client_id", AGENT), ("client_secret", "x")];
    assert_unauthenticated(&refresh_with(&keyed.instance, &tokens, &secret).await, "secret");
}

/// D30, D33, CAU-13, TR307: a client that offers both may use either, and the first use decides for the
/// grant; a document that is relaxed later changes nothing for it.
#[tokio::test]
async fn a_method_once_used_is_never_downgraded() {
    let mut keyed = Keyed::new("ES256").await;
    let both = json!({
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "jwks": {"keys": [keyed.signer.jwk()]},
    });
    keyed.world.fetcher.answer(AGENT, &agent_document(&both), None);
    let code = keyed.code().await;
    let assertion = keyed.assertion();
    let tokens = Tokens::of(&redeem_with(&keyed.instance, &code, &assertion).await);
    let refused = refresh_with(&keyed.instance, &tokens, &[("client_id", AGENT)]).await;
    assert_unauthenticated(&refused, "proved a key before");

    let code = keyed.code().await;
    let public = redeem(&keyed.instance, &code, &[("client_id", AGENT)]).await;
    let tokens = Tokens::of(&public);
    assert_eq!(tokens.claims()["assurance"], "https_redirect");
    Tokens::of(&refresh_with(&keyed.instance, &tokens, &[("client_id", AGENT)]).await);
}

/// T22 to T28, T34, TR179, TR198, TR203, TR235 to TR237: every assertion that proves nothing, and after all
/// of them the code is still good.
#[tokio::test]
async fn an_assertion_that_proves_nothing_is_refused_and_burns_nothing() {
    let mut keyed = Keyed::new("ES256").await;
    let code = keyed.code().await;
    let now = keyed.world.clock.now().epoch_seconds();
    let typed = json!({"typ": "client-authentication+jwt", "kid": "agent-1"});
    let claims: &[(&str, Value)] = &[
        ("aud is the token endpoint", json!({"aud": format!("{ISSUER}/token")})),
        ("aud is one of two", json!({"aud": [ISSUER, "https://evil.example"]})),
        ("aud with a slash", json!({"aud": format!("{ISSUER}/")})),
        ("no aud", json!({"aud": null})),
        ("aud is empty", json!({"aud": []})),
        ("iss is somebody else", json!({"iss": CLIENT_ID})),
        ("expired", json!({"exp": now - 61})),
        ("expires in a day", json!({"exp": now + 86_400})),
        ("exp is no number", json!({"exp": "soon"})),
        ("exp is beyond all dates", json!({"exp": 1e300})),
        ("no exp", json!({"exp": null})),
        ("not valid yet", json!({"nbf": now + 61})),
        ("issued in the future", json!({"iat": now + 61})),
        ("no jti", json!({"jti": null})),
        ("jti is empty", json!({"jti": ""})),
        ("jti is endless", json!({"jti": "x".repeat(257)})),
    ];
    for (why, changes) in claims {
        let assertion = keyed.assertion_with(typed.clone(), changes);
        assert_unauthenticated(&elsewhere(&keyed, &code, &assertion).await, why);
    }
    let other = Signer::new("ES256", "agent-1");
    let headers: &[(&str, Value)] = &[
        ("at+jwt", json!({"typ": "at+jwt"})),
        ("dpop+jwt", json!({"typ": "dpop+jwt"})),
        ("oauth-id-jag+jwt", json!({"typ": "oauth-id-jag+jwt"})),
        ("foo+jwt", json!({"typ": "foo+jwt"})),
        ("unknown kid", json!({"kid": "agent-2"})),
        ("critical extension", json!({"crit": ["exp"], "kid": "agent-1"})),
        ("alg none", json!({"alg": "none"})),
        ("alg of a shared secret", json!({"alg": "HS256", "kid": "agent-1"})),
        ("alg of another key", json!({"alg": "ES384", "kid": "agent-1"})),
        ("alg in lower case", json!({"alg": "es256", "kid": "agent-1"})),
    ];
    for (why, header) in headers {
        let assertion = keyed.assertion_with(header.clone(), &json!({}));
        assert_unauthenticated(&elsewhere(&keyed, &code, &assertion).await, why);
    }
    // A key in the header, or behind a URL in it, is nobody's.
    let embedded = json!({
        "jwk": other.jwk(), "jku": "https://evil.example/jwks", "x5u": "https://evil.example/x", "kid": "agent-1",
    });
    let claims = keyed.claims();
    let assertion = other.sign(embedded, &claims);
    assert_unauthenticated(&elsewhere(&keyed, &code, &assertion).await, "embedded key");
    let good = keyed.assertion();
    let (message, _) = good.rsplit_once('.').unwrap();
    for (why, bent) in [
        ("no signature", format!("{message}.")),
        ("two parts", message.to_owned()),
        ("four parts", format!("{good}.AAAA")),
        ("not base64url", format!("{good}=")),
        ("empty", ".".to_owned()),
        ("too long", format!("{good}{}", "A".repeat(9000))),
    ] {
        assert_unauthenticated(&elsewhere(&keyed, &code, &bent).await, why);
    }
    // HMAC with the public key as secret: T25.
    let secret = jsonwebtoken::EncodingKey::from_secret(keyed.signer.jwk().to_string().as_bytes());
    let claims = keyed.claims();
    let forged = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &secret).unwrap();
    assert_unauthenticated(&elsewhere(&keyed, &code, &forged).await, "public key as secret");
    assert_eq!(keyed.world.fetcher.fetched().iter().filter(|url| url.contains("evil")).count(), 0);

    Tokens::of(&elsewhere(&keyed, &code, &good).await);
}

/// T27, TR151, TR177: the assertion of one client does not redeem the code of another, and a `client_id`
/// beside it must agree.
#[tokio::test]
async fn one_request_comes_from_one_client() {
    let mut keyed = Keyed::new("ES256").await;
    let code = keyed.code().await;
    let assertion = keyed.assertion();
    let proof = [("client_assertion_type", JWT_BEARER), ("client_assertion", assertion.as_str())];
    let with_other = [&proof[..], &[("client_id", CLIENT_ID)]].concat();
    assert_unauthenticated(&redeem(&keyed.instance, &code, &with_other).await, "another client_id");
    let foreign = keyed.browser.authorize(&Request::default()).await;
    let refused = redeem_with(&keyed.instance, &foreign, &assertion).await;
    assert_eq!((refused.status.as_u16(), refused.error().as_str()), (400, "invalid_grant"));
    let with_same = [&proof[..], &[("client_id", AGENT)]].concat();
    Tokens::of(&redeem(&keyed.instance, &code, &with_same).await);
}

/// T33, T35, CAU-08, CAU-10: absent and generic types, both proposed ones, any case; a one-element array as
/// audience; clocks that disagree by less than a minute.
#[tokio::test]
async fn what_honest_clients_send_is_accepted() {
    let mut keyed = Keyed::new("ES256").await;
    let now = keyed.world.clock.now().epoch_seconds();
    let cases = [
        (json!({"kid": "agent-1"}), json!({})),
        (json!({"typ": "JWT"}), json!({})),
        (json!({"typ": "client-authentication+jwt"}), json!({})),
        (json!({"typ": "oauth-client-auth+jwt"}), json!({})),
        (json!({"typ": "application/Client-Authentication+JWT"}), json!({})),
        (json!({}), json!({"aud": [ISSUER]})),
        (json!({}), json!({"exp": now - 30})),
        (json!({}), json!({"nbf": now + 30, "iat": now + 30})),
        (json!({}), json!({"exp": (now + 60) as f64 + 0.5})),
    ];
    for (header, changes) in cases {
        let code = keyed.code().await;
        let assertion = keyed.assertion_with(header.clone(), &changes);
        let answer = redeem_with(&keyed.instance, &code, &assertion).await;
        assert_eq!(answer.status, 200, "{header} {changes}: {answer:?}");
    }
}

/// CAU-09, T24, TR267, TR268, GHSA-v3q9-2p3m-7g43: an assertion is good once, on whichever instance; of many that
/// come at once one is good.
#[tokio::test]
async fn an_assertion_is_spent_on_all_instances() {
    let mut keyed = Keyed::new("ES256").await;
    let (first, second) = (keyed.code().await, keyed.code().await);
    let assertion = keyed.assertion();
    Tokens::of(&redeem_with(&keyed.instance, &first, &assertion).await);
    let elsewhere = keyed.world.instance().await;
    assert_unauthenticated(&redeem_with(&elsewhere, &second, &assertion).await, "replayed");
    // As long as it would be accepted, and no longer.
    keyed.world.clock.advance(Duration::from_secs(50));
    assert_unauthenticated(&redeem_with(&elsewhere, &second, &assertion).await, "replayed later");

    let assertion = keyed.assertion();
    let attempts = (0..20).map(|attempt| {
        let instance = if attempt % 2 == 0 { keyed.instance.clone() } else { elsewhere.clone() };
        let (code, assertion) = (second.clone(), assertion.clone());
        tokio::spawn(async move { redeem_with(&instance, &code, &assertion).await.status.as_u16() })
    });
    let mut good = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        good += usize::from(attempt.await.unwrap() == 200);
    }
    assert_eq!(good, 1);
}

/// A jti belongs to its client: two clients may use the same one (TR274).
#[tokio::test]
async fn a_jti_is_spent_for_its_client_only() {
    let mut keyed = Keyed::new("ES256").await;
    let other = "https://other.example.com/client.json";
    let changes = json!({
        "client_id": other, "token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [keyed.signer.jwk()]},
    });
    keyed.world.fetcher.answer(other, &agent_document(&changes), None);
    let code = keyed.code().await;
    let claims = json!({"jti": "the same"});
    let assertion = keyed.assertion_with(json!({}), &claims);
    Tokens::of(&redeem_with(&keyed.instance, &code, &assertion).await);
    let code = keyed.browser.authorize(&Request::default().with("client_id", other)).await;
    let claims = json!({"jti": "the same", "iss": other, "sub": other});
    let assertion = keyed.assertion_with(json!({}), &claims);
    Tokens::of(&redeem_with(&keyed.instance, &code, &assertion).await);
}

/// Invariant 1: assertions of invented clients, with invented codes, cost arithmetic.
#[tokio::test]
async fn an_invented_client_with_an_assertion_costs_nothing() {
    let world = World::new().await;
    let instance = world.instance().await;
    let signer = Signer::new("ES256", "k");
    let invented = "https://invented.example/client.json";
    let claims =
        json!({"iss": invented, "sub": invented, "aud": ISSUER, "exp": 4_000_000_000_u64, "jti": "1"});
    let assertion = signer.sign(json!({"jku": "https://invented.example/keys"}), &claims);
    let proof = [("client_assertion_type", JWT_BEARER), ("client_assertion", assertion.as_str())];
    for code in ["npc_AAAA", "x"] {
        let answer = redeem(&instance, code, &proof).await;
        assert_eq!(answer.error(), "invalid_grant");
    }
    for path in ["/revoke", "/introspect"] {
        let body = form(&[&proof[..], &[("token", "x")]].concat());
        instance.post(path, body).await;
    }
    let calls = instance.calls.take();
    assert!(calls.iter().all(|call| call == "GetItem"), "the policy at most: {calls:?}");
    assert!(calls.len() <= 1, "{calls:?}");
    assert_eq!(world.fetcher.fetched(), Vec::<String>::new());
}

fn service(method: &str, more: &Value) -> Value {
    let mut metadata = json!({
        "redirect_uris": ["https://app.example.com/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "auth_methods": [method],
    });
    for (name, value) in more.as_object().unwrap() {
        metadata[name] = value.clone();
    }
    metadata
}

async fn service_code(world: &World) -> (Instance, String) {
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let code = browser.authorize(&Request::default().with("client_id", SERVICE)).await;
    (instance, code)
}

async fn basic(instance: &Instance, path: &str, credentials: &str, pairs: &[(&str, &str)]) -> Answer {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    let request = HttpRequest::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", format!("Basic {encoded}"))
        .body(Body::from(form(pairs)))
        .unwrap();
    instance.send(request).await
}

/// T13, T14, CAU-01, CAU-03: a registered secret in the header, as declared and in no other way, once.
#[tokio::test]
async fn a_secret_in_the_header_authenticates_and_a_wrong_one_burns_nothing() {
    let world = World::new().await;
    world
        .register(SERVICE, Mechanism::PreRegistered, service("client_secret_basic", &json!({})), Some(SECRET))
        .await;
    let (instance, code) = service_code(&world).await;
    let pairs = [("grant_type", "authorization_code"), ("code", code.as_str()), ("code_verifier", VERIFIER)];
    let good = format!("{SERVICE}:{SECRET}");
    for (why, credentials) in [
        ("wrong secret", format!("{SERVICE}:wrong")),
        ("empty secret", format!("{SERVICE}:")),
        ("no colon", SERVICE.to_owned()),
        ("no client", format!(":{SECRET}")),
    ] {
        assert_unauthenticated(&basic(&instance, "/token", &credentials, &pairs).await, why);
    }
    let none = [&pairs[..], &[("client_id", SERVICE)]].concat();
    assert_unauthenticated(&instance.post("/token", form(&none)).await, "public");
    let post = [&none[..], &[("client_secret", SECRET)]].concat();
    assert_unauthenticated(&instance.post("/token", form(&post)).await, "undeclared method");
    let twice = [&pairs[..], &[("client_secret", SECRET)]].concat();
    let refused = basic(&instance, "/token", &good, &twice).await;
    assert_eq!((refused.status.as_u16(), refused.error().as_str()), (400, "invalid_request"));
    let other = [&pairs[..], &[("client_id", CLIENT_ID)]].concat();
    assert_unauthenticated(&basic(&instance, "/token", &good, &other).await, "another client_id");

    let tokens = Tokens::of(&basic(&instance, "/token", &good, &pairs).await);
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str())];
    assert_unauthenticated(
        &basic(&instance, "/token", &format!("{SERVICE}:wrong"), &refresh).await,
        "refresh",
    );
    Tokens::of(&basic(&instance, "/token", &good, &refresh).await);
}

/// CAU-03, CAU-04: a secret in the body, and never in the request URI.
#[tokio::test]
async fn a_secret_in_the_body_authenticates_and_one_in_the_uri_never() {
    let world = World::new().await;
    world
        .register(SERVICE, Mechanism::PreRegistered, service("client_secret_post", &json!({})), Some(SECRET))
        .await;
    let (instance, code) = service_code(&world).await;
    let named = [("client_id", SERVICE), ("client_secret", SECRET)];
    let pairs = [("grant_type", "authorization_code"), ("code", code.as_str()), ("code_verifier", VERIFIER)];
    let in_uri = instance.post(&format!("/token?{}", form(&named)), form(&pairs)).await;
    assert_eq!((in_uri.status.as_u16(), in_uri.error().as_str()), (400, "invalid_request"));
    let both = form(
        &[&pairs[..], &named[..], &[("client_assertion", "x"), ("client_assertion_type", JWT_BEARER)]]
            .concat(),
    );
    assert_eq!(instance.post("/token", both).await.error(), "invalid_request");
    assert_unauthenticated(
        &basic(&instance, "/token", &format!("{SERVICE}:{SECRET}"), &pairs).await,
        "undeclared",
    );
    let tokens = Tokens::of(&instance.post("/token", form(&[&pairs[..], &named[..]].concat())).await);
    assert_eq!(tokens.claims()["registration"], "pre_registered");
    assert_eq!(tokens.claims()["tool_id"], "registered-agent");
}

/// CAU-07: the switch for clients that name the token endpoint is one client's, and an administrator's.
#[tokio::test]
async fn the_nonconformant_audience_is_accepted_from_the_one_client_it_was_allowed_to() {
    let world = World::new().await;
    let signer = Signer::new("RS256", "s1");
    let metadata = service("private_key_jwt", &json!({"keys": {"inline": {"keys": [signer.jwk()]}}}));
    let mut registration = world.register(SERVICE, Mechanism::PreRegistered, metadata, None).await;
    let (instance, code) = service_code(&world).await;
    let now = world.clock.now().epoch_seconds();
    let assertion = |jti: &str, aud: Value| {
        let claims = json!({"iss": SERVICE, "sub": SERVICE, "aud": aud, "exp": now + 60, "jti": jti});
        signer.sign(json!({}), &claims)
    };
    let endpoint = json!(format!("{ISSUER}/token"));
    assert_unauthenticated(&redeem_with(&instance, &code, &assertion("1", endpoint.clone())).await, "strict");
    registration.compatibility.nonconformant_assertion_audience = true;
    assert!(world.replace_registration(&registration).await);
    let foreign = json!([format!("{ISSUER}/token"), ISSUER]);
    assert_unauthenticated(&redeem_with(&instance, &code, &assertion("2", foreign)).await, "two audiences");
    Tokens::of(&redeem_with(&instance, &code, &assertion("3", endpoint)).await);
}

/// JWT-07, DESIGN idea 15: what MCP servers can set rules by.
#[tokio::test]
async fn a_token_says_which_tool_it_was_issued_to_and_how_sure_we_are() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let web = browser.tokens().await.claims();
    assert_eq!(web["registration"], "metadata_document");
    assert_eq!(web["assurance"], "https_redirect");
    assert!(web["tool_id"].as_str().unwrap().starts_with("app.example.com~"));
    assert_eq!(web["document_digest"].as_str().unwrap().len(), 43);
    assert_eq!(web["aud"], RESOURCE);
    let code = browser.authorize(&Request::loopback(4000)).await;
    let answer = redeem(&instance, &code, &[("client_id", LOOPBACK_CLIENT_ID)]).await;
    assert_eq!(answer.error(), "invalid_grant", "the redirect URI is another one");
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
        ("client_id", LOOPBACK_CLIENT_ID),
    ];
    let cli = Tokens::of(&instance.post("/token", form(&pairs)).await).claims();
    assert_eq!(cli["assurance"], "loopback");
}

/// T29, CAU-12: a key that was added at `jwks_uri` a minute ago is found, with one fetch; keys out of reach
/// cost the client neither its code nor its assertion's chance.
#[tokio::test]
async fn a_key_that_was_just_added_is_fetched_and_an_outage_of_its_host_burns_nothing() {
    const KEYS: &str = "https://agent.example.com/keys.json";
    let mut keyed = Keyed::new("ES256").await;
    let old = Signer::new("ES256", "old");
    let changes = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": KEYS});
    keyed.world.fetcher.answer(AGENT, &agent_document(&changes), None);
    keyed.world.fetcher.fail(KEYS, shared::fetch::FetchError::Resolve);
    let code = keyed.code().await;
    let assertion = keyed.assertion();
    let refused = redeem_with(&keyed.instance, &code, &assertion).await;
    assert_eq!((refused.status.as_u16(), refused.error().as_str()), (503, "temporarily_unavailable"));
    keyed.world.clock.advance(Duration::from_secs(50));
    let set = |signers: &[&Signer]| {
        json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}).to_string()
    };
    keyed.world.fetcher.answer(KEYS, &set(&[&old]), None);
    let code = keyed.code().await;
    let assertion = keyed.assertion();
    assert_unauthenticated(&redeem_with(&keyed.instance, &code, &assertion).await, "not in the set");
    keyed.world.fetcher.answer(KEYS, &set(&[&old, &keyed.signer]), None);
    keyed.world.clock.advance(Duration::from_secs(61));
    let code = keyed.code().await;
    let before = keyed.world.fetcher.fetched().len();
    let assertion = keyed.assertion();
    Tokens::of(&redeem_with(&keyed.instance, &code, &assertion).await);
    assert_eq!(keyed.world.fetcher.fetched().len(), before + 1);
}

/// CAU-04: guesses are counted for all instances together, by client and source; the client itself, from
/// where it is, is never locked out, and a minute later nobody is.
#[tokio::test]
async fn guessing_is_stopped_where_it_comes_from() {
    use shared::http::source::Source;

    let world = World::new().await;
    world
        .register(SERVICE, Mechanism::PreRegistered, service("client_secret_post", &json!({})), Some(SECRET))
        .await;
    let (instance, code) = service_code(&world).await;
    let elsewhere = world.instance().await;
    let ask = async |instance: &Instance, address: &str, secret: &str| {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("code_verifier", VERIFIER),
            ("client_id", SERVICE),
            ("client_secret", secret),
        ];
        let mut request = HttpRequest::post("/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form(&pairs)))
            .unwrap();
        request.extensions_mut().insert(Source::of(address.parse().unwrap()));
        instance.send(request).await
    };
    for guess in 0..10 {
        let instance = if guess % 2 == 0 { &instance } else { &elsewhere };
        assert_unauthenticated(&ask(instance, "192.0.2.1", "guess").await, "counted");
    }
    // The instance that saw the tenth knows; the other one learns with one more.
    ask(&instance, "192.0.2.1", "guess").await;
    for instance in [&instance, &elsewhere] {
        let refused = ask(instance, "192.0.2.1", SECRET).await;
        refused.assert_status(429);
        assert!(refused.header("retry-after").parse::<u64>().unwrap() <= 60);
    }
    Tokens::of(&ask(&elsewhere, "198.51.100.7", SECRET).await);
}
