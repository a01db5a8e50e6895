//! DPoP (RFC 9449): SPEC 2.14, DPO-01 to DPO-06.

use std::time::Duration;

use axum::body::Body;
use http::Request as HttpRequest;
use serde_json::{Value, json};
use shared::clock::Clock as _;
use tests::{
    Answer, Browser, CLIENT_ID, ISSUER, Instance, Request, Signer, Tokens, VERIFIER, World, document, form,
};

struct Bound {
    world: World,
    instance: Instance,
    browser: Browser,
    key: Signer,
    serial: std::cell::Cell<u32>,
}

impl Bound {
    async fn new() -> Self {
        let world = World::new().await;
        let instance = world.instance().await;
        let browser = Browser::signed_in(&instance, "ada").await;
        let key = Signer::new("ES256", "");
        Self { world, instance, browser, key, serial: std::cell::Cell::new(0) }
    }

    fn claims(&self) -> Value {
        self.serial.set(self.serial.get() + 1);
        let now = self.world.clock.now().epoch_seconds();
        json!({"jti": self.serial.get().to_string(), "htm": "POST", "htu": format!("{ISSUER}/token"), "iat": now})
    }

    fn proof_by(&self, key: &Signer, header: &Value, changes: &Value) -> String {
        let mut claims = self.claims();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let mut full = json!({"typ": "dpop+jwt", "jwk": key.bare_jwk()});
        for (name, value) in header.as_object().unwrap() {
            full[name] = value.clone();
        }
        full.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        key.sign(full, &claims)
    }

    fn proof(&self) -> String {
        self.proof_by(&self.key, &json!({}), &json!({}))
    }

    async fn code(&mut self, request: Request) -> String {
        self.browser.authorize(&request).await
    }

    async fn redeem(&self, code: &str, proofs: &[&str]) -> Answer {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("client_id", CLIENT_ID),
        ];
        send(&self.instance, &pairs, proofs).await
    }

    async fn refresh(&self, tokens: &Tokens, proofs: &[&str]) -> Answer {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens.refresh.as_str()),
            ("client_id", CLIENT_ID),
        ];
        send(&self.instance, &pairs, proofs).await
    }
}

async fn send(instance: &Instance, pairs: &[(&str, &str)], proofs: &[&str]) -> Answer {
    let mut request = HttpRequest::post("/token").header("content-type", "application/x-www-form-urlencoded");
    for proof in proofs {
        request = request.header("dpop", *proof);
    }
    instance.send(request.body(Body::from(form(pairs))).unwrap()).await
}

/// DPO-02: tokens are bound to the key, and so is the refresh token of a public client.
#[tokio::test]
async fn what_a_key_got_only_the_key_refreshes() {
    let mut bound = Bound::new().await;
    let code = bound.code(Request::default()).await;
    let answer = bound.redeem(&code, &[&bound.proof()]).await;
    let tokens = Tokens::of(&answer);
    assert_eq!(answer.json()["token_type"], "DPoP");
    assert_eq!(tokens.claims()["cnf"], json!({"jkt": bound.key.thumbprint()}));
    let other = Signer::new("ES256", "");
    let others = bound.proof_by(&other, &json!({}), &json!({}));
    for proofs in [&[][..], &[others.as_str()]] {
        let refused = bound.refresh(&tokens, proofs).await;
        assert_eq!((refused.status.as_u16(), refused.error().as_str()), (400, "invalid_grant"));
    }
    let answer = bound.refresh(&tokens, &[&bound.proof()]).await;
    assert_eq!(answer.json()["token_type"], "DPoP");
    assert_eq!(Tokens::of(&answer).claims()["cnf"]["jkt"], bound.key.thumbprint());
}

/// DPO-01, DPO-03, DPO-06: every proof that proves nothing, and none of them burns the code.
#[tokio::test]
async fn a_proof_that_proves_nothing_is_refused_and_burns_nothing() {
    let mut bound = Bound::new().await;
    let code = bound.code(Request::default()).await;
    let now = bound.world.clock.now().epoch_seconds();
    let other = Signer::new("ES256", "");
    let mut private = bound.key.bare_jwk();
    private["d"] = "AAAA".into();
    let none = json!({});
    let mut proofs: Vec<(&str, String)> = [
        ("GET", json!({"htm": "GET"})),
        ("lower case", json!({"htm": "post"})),
        ("another endpoint", json!({"htu": format!("{ISSUER}/revoke")})),
        ("another host", json!({"htu": "https://evil.example/token"})),
        ("another scheme", json!({"htu": "http://as.example/token"})),
        ("no URL", json!({"htu": "token"})),
        ("too old", json!({"iat": now - 301})),
        ("from the future", json!({"iat": now + 61})),
        ("no iat", json!({"iat": null})),
        ("no jti", json!({"jti": null})),
        ("empty jti", json!({"jti": ""})),
        ("endless jti", json!({"jti": "x".repeat(257)})),
        ("no htu", json!({"htu": null})),
        ("no htm", json!({"htm": null})),
    ]
    .iter()
    .map(|(why, changes)| (*why, bound.proof_by(&bound.key, &none, changes)))
    .collect();
    for (why, header) in [
        ("typ JWT", json!({"typ": "JWT"})),
        ("no typ", json!({"typ": null})),
        ("no key", json!({"jwk": null})),
        ("another key", json!({"jwk": other.bare_jwk()})),
        ("a private key", json!({"jwk": private})),
        ("a shared secret", json!({"jwk": {"kty": "oct", "k": "AAAA"}, "alg": "HS256"})),
        ("alg none", json!({"alg": "none"})),
        ("critical", json!({"crit": ["x"]})),
    ] {
        proofs.push((why, bound.proof_by(&bound.key, &header, &none)));
    }
    proofs.push(("not a JWT", "x".to_owned()));
    for (why, proof) in &proofs {
        let refused = bound.redeem(&code, &[proof]).await;
        let found = (refused.status.as_u16(), refused.error());
        assert_eq!(found, (400, "invalid_dpop_proof".to_owned()), "{why}");
    }
    let two = bound.redeem(&code, &[&bound.proof(), &bound.proof()]).await;
    assert_eq!(two.error(), "invalid_dpop_proof");
    // Query, fragment, letter case of the host, and a default port make no other URL (§4.3).
    let htu = json!({"htu": "https://AS.example:443/token?x=1#y"});
    let proof = bound.proof_by(&bound.key, &none, &htu);
    Tokens::of(&bound.redeem(&code, &[&proof]).await);
}

/// DPO-05: a proof is good once, on whichever instance.
#[tokio::test]
async fn a_proof_is_spent_on_all_instances() {
    let mut bound = Bound::new().await;
    let (first, second) = (bound.code(Request::default()).await, bound.code(Request::default()).await);
    let proof = bound.proof();
    Tokens::of(&bound.redeem(&first, &[&proof]).await);
    bound.instance = bound.world.instance().await;
    assert_eq!(bound.redeem(&second, &[&proof]).await.error(), "invalid_dpop_proof");
    bound.world.clock.advance(Duration::from_secs(30));
    assert_eq!(bound.redeem(&second, &[&proof]).await.error(), "invalid_dpop_proof");
    Tokens::of(&bound.redeem(&second, &[&bound.proof()]).await);
}

/// DPO-04: a code that was asked for with a key is redeemed with that key.
#[tokio::test]
async fn a_code_can_be_bound_to_a_key_from_the_start() {
    let mut bound = Bound::new().await;
    let request = Request::default().with("dpop_jkt", &bound.key.thumbprint());
    let code = bound.code(request).await;
    let other = Signer::new("ES256", "");
    assert_eq!(bound.redeem(&code, &[]).await.error(), "invalid_grant");
    let others = bound.proof_by(&other, &json!({}), &json!({}));
    assert_eq!(bound.redeem(&code, &[&others]).await.error(), "invalid_grant");
    Tokens::of(&bound.redeem(&code, &[&bound.proof()]).await);
    let malformed = Request::default().with("dpop_jkt", "short");
    assert_eq!(bound.browser.get(&malformed.path()).await.redirect_param("error"), "invalid_request");
}

/// Section 5.2: a client whose document asks for it gets no token without a proof.
#[tokio::test]
async fn a_document_can_ask_for_a_proof_always() {
    let mut bound = Bound::new().await;
    let mut wanted: Value = serde_json::from_str(&document(CLIENT_ID)).unwrap();
    wanted["dpop_bound_access_tokens"] = true.into();
    let elsewhere = World::new().await;
    elsewhere.fetcher.answer(CLIENT_ID, &wanted.to_string(), None);
    bound.instance = elsewhere.instance().await;
    bound.browser = Browser::signed_in(&bound.instance, "ada").await;
    let code = bound.code(Request::default()).await;
    assert_eq!(bound.redeem(&code, &[]).await.error(), "invalid_dpop_proof");
    Tokens::of(&bound.redeem(&code, &[&bound.proof()]).await);
}

/// Invariant 1: a stranger's proof, however good, is not remembered.
#[tokio::test]
async fn a_proof_with_an_invented_code_writes_nothing() {
    let bound = Bound::new().await;
    bound.instance.calls.take();
    assert_eq!(bound.redeem("npc_AAAA", &[&bound.proof()]).await.error(), "invalid_grant");
    assert_eq!(bound.instance.calls.take(), Vec::<String>::new());
}
