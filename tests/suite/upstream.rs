//! Signing in at the organisation's OpenID provider: OpenID Connect Core §3.1, FM083 to FM086.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    Answer, Browser, ProviderDouble, ProviderKey, Request, Tokens, UPSTREAM_CLIENT_ID, World,
    basic_authorization, token_request,
};

struct Story {
    world: World,
    provider: ProviderDouble,
    browser: Browser,
}

impl Story {
    async fn begin() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut authorize::upstream::UpstreamSettings)) -> Self {
        let mut world = World::new().await;
        let provider = ProviderDouble::start(&world.clock).await;
        world.sign_in_at(Arc::new(provider.authenticator(change)));
        let browser = Browser::new(&world.instance().await);
        Self { world, provider, browser }
    }

    /// Goes to the provider, which remembers the nonce; gives the parameters of the request.
    async fn leave(&mut self, request: &Request) -> Vec<(String, String)> {
        let answer = self.browser.get(&request.path()).await;
        let (_, pairs) = answer.redirect();
        self.provider.script().nonce = find(&pairs, "nonce");
        pairs
    }

    /// Comes back with a code.
    async fn come_back(&mut self, sent: &[(String, String)], changes: &[(&str, &str)]) -> Answer {
        let issuer = self.provider.script().issuer.clone();
        let state = find(sent, "state");
        let mut pairs = vec![("code", "the code"), ("state", state.as_str()), ("iss", issuer.as_str())];
        for (name, value) in changes {
            pairs.retain(|(found, _)| found != name);
            pairs.push((name, value));
        }
        pairs.retain(|(_, value)| !value.is_empty());
        self.browser.get(&format!("/sign-in/callback?{}", tests::form(&pairs))).await
    }

    async fn sign_in(&mut self) -> Answer {
        let sent = self.leave(&Request::default()).await;
        self.come_back(&sent, &[]).await
    }
}

fn find(pairs: &[(String, String)], name: &str) -> String {
    pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

/// AUT-26, CID-04: the way through a provider ends at the consent page with the person's name, and the
/// subject of the tokens is neither the provider's `sub` nor the e-mail address.
#[tokio::test]
async fn a_person_signs_in_at_the_provider_and_goes_on_to_consent() {
    let mut story = Story::begin().await;
    let sent = story.leave(&Request::default()).await;
    assert_eq!(find(&sent, "tenant"), "1");
    assert_eq!(find(&sent, "client_id"), UPSTREAM_CLIENT_ID);
    assert_eq!(find(&sent, "redirect_uri"), "https://as.example/sign-in/callback");
    assert_eq!(find(&sent, "scope"), "openid profile");
    assert_eq!(find(&sent, "code_challenge_method"), "S256");
    assert_eq!(find(&sent, "prompt"), "");
    let answer = story.come_back(&sent, &[]).await;
    let page = story.browser.follow(answer).await;
    page.assert_page(200);
    assert!(page.body.contains("Ada Lovelace"), "{}", page.body);
    let code = story.browser.decide(&page, "approve").await.redirect_param("code");
    let tokens = Tokens::of(&token_request(&story.browser.instance, &code, &[]).await);
    let subject = tokens.claims()["sub"].as_str().unwrap().to_owned();
    assert!(subject.len() == 43 && !subject.contains("42") && !subject.contains('@'), "{subject}");

    let script = story.provider.script();
    let (form, authorization) = script.redeemed.first().unwrap();
    assert_eq!(*authorization, basic_authorization());
    let pairs: Vec<(String, String)> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    assert_eq!(find(&pairs, "grant_type"), "authorization_code");
    assert_eq!(find(&pairs, "code"), "the code");
    // RFC 7636 §4.6: the verifier belongs to the challenge.
    use base64::Engine as _;
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, find(&pairs, "code_verifier").as_bytes());
    assert_eq!(
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest),
        find(&sent, "code_challenge")
    );
}

/// OpenID Connect Core §3.1.3.7: every claim that says for whom, by whom, when, and for which request.
#[tokio::test]
async fn an_id_token_with_a_wrong_claim_signs_nobody_in() {
    let mut story = Story::begin().await;
    let cases: [(Value, &str); 17] = [
        (json!({"iss": "https://evil.example"}), "iss"),
        (json!({"iss": null}), "iss"),
        (json!({"aud": "another client"}), "aud"),
        (json!({"aud": ["another client"]}), "aud"),
        (json!({"aud": null}), "aud"),
        (json!({"aud": [UPSTREAM_CLIENT_ID, "another client"]}), "azp"),
        (json!({"azp": "another client"}), "azp"),
        (json!({"exp": 1}), "exp"),
        (json!({"exp": null}), "exp"),
        (json!({"iat": null}), "iat"),
        (json!({"iat": 99_999_999_999_u64}), "iat"),
        (json!({"nbf": 99_999_999_999_u64}), "nbf"),
        (json!({"nonce": "another"}), "nonce"),
        (json!({"nonce": null}), "nonce"),
        (json!({"sub": null}), "sub"),
        (json!({"sub": ""}), "sub"),
        (json!({"sub": "x".repeat(256)}), "sub"),
    ];
    for (claims, name) in cases {
        story.provider.script().claims = claims.clone();
        let answer = story.sign_in().await;
        answer.assert_page(400);
        let reason = answer.note.reason.clone().unwrap();
        assert!(reason.contains(&format!("claim {name} ")), "{claims}: {reason}");
        assert!(!story.browser.cookie_names().iter().any(|cookie| cookie.ends_with("-session")), "{claims}");
    }
    story.provider.script().claims = json!({"aud": [UPSTREAM_CLIENT_ID, "b"], "azp": UPSTREAM_CLIENT_ID});
    story.sign_in().await.assert_status(303);
}

/// RFC 8725 §3.1: no signature, a signature with a shared secret, and a stranger's signature are none.
#[tokio::test]
async fn an_id_token_that_the_provider_did_not_sign_signs_nobody_in() {
    let mut story = Story::begin().await;
    for algorithm in ["none", "HS256"] {
        story.provider.script().algorithm = algorithm;
        story.sign_in().await.assert_page(400);
    }
    story.provider.script().algorithm = "ES256";
    story.provider.script().key = ProviderKey::new("first");
    story.sign_in().await.assert_page(400);
}

/// FM084, OpenID Connect Core §10.1.1: a new key is looked for once, an invented one does not make us ask again.
#[tokio::test]
async fn a_rotated_key_is_found_and_an_unknown_one_is_not_asked_for_twice() {
    let mut story = Story::begin().await;
    story.sign_in().await.assert_status(303);
    let second = ProviderKey::new("second");
    {
        let mut script = story.provider.script();
        script.key = second.clone();
        script.published.push(second);
    }
    let mut other = Browser::new(&story.browser.instance);
    std::mem::swap(&mut other, &mut story.browser);
    story.sign_in().await.assert_status(303);
    story.provider.script().key = ProviderKey::new("invented");
    for _ in 0..3 {
        story.browser = Browser::new(&story.browser.instance);
        story.sign_in().await.assert_page(400);
    }
    let count = |asked: &[String]| asked.iter().filter(|path| *path == "keys").count();
    assert_eq!(count(&story.provider.script().asked), 2);
    story.world.clock.advance(Duration::from_secs(60));
    story.browser = Browser::new(&story.browser.instance);
    story.sign_in().await.assert_page(400);
    assert_eq!(count(&story.provider.script().asked), 3);
}

/// FM086, RFC 9207 §2.4, RFC 6749 §10.12: an answer of another provider, for another browser, or for
/// another attempt is refused before its code is used.
#[tokio::test]
async fn an_answer_that_is_not_for_this_attempt_is_refused_before_its_code_is_redeemed() {
    let mut story = Story::begin().await;
    for changes in [[("iss", "https://evil.example")], [("iss", "")], [("code", "")]] {
        let sent = story.leave(&Request::default()).await;
        story.come_back(&sent, &changes).await.assert_page(400);
    }
    let earlier = story.leave(&Request::default()).await;
    let sent = story.leave(&Request::default()).await;
    let flow = |pairs: &[(String, String)]| find(pairs, "state").split('.').next().unwrap().to_owned();
    let mark = find(&earlier, "state").split('.').nth(1).unwrap().to_owned();
    let mixed = format!("{}.{mark}", flow(&sent));
    story.come_back(&sent, &[("state", &mixed)]).await.assert_page(400);

    // Login CSRF: the attacker's answer in the victim's browser.
    let sent = story.leave(&Request::default()).await;
    let mut victim = Browser::new(&story.browser.instance);
    std::mem::swap(&mut victim, &mut story.browser);
    story.come_back(&sent, &[]).await.assert_page(400);
    assert!(story.provider.script().redeemed.is_empty());
}

/// FM085: a callback that is sent twice redeems one code and leads to the same page.
#[tokio::test]
async fn a_callback_sent_twice_signs_in_once() {
    let mut story = Story::begin().await;
    let sent = story.leave(&Request::default()).await;
    let first = story.come_back(&sent, &[]).await;
    let second = story.come_back(&sent, &[]).await;
    assert_eq!(first.header("location"), second.header("location"));
    assert_eq!(story.provider.script().redeemed.len(), 1);
}

/// FM083: a provider that is down is said to be down, is not asked at each knock, and the same attempt goes
/// on when it is back.
#[tokio::test]
async fn while_the_provider_is_down_the_page_says_so_and_the_attempt_survives() {
    let mut story = Story::begin().await;
    story.provider.script().status = Some(500);
    let mut last = String::new();
    for _ in 0..3 {
        let answer = story.browser.get(&Request::default().path()).await;
        answer.assert_page(503);
        assert_ne!(answer.header("retry-after"), "");
        last = answer.body;
    }
    assert_eq!(story.provider.script().asked, ["metadata"]);
    story.provider.script().status = None;
    story.world.clock.advance(Duration::from_secs(5));
    let retry = last.split("href=\"/consent?flow=").nth(1).unwrap().split('"').next().unwrap();
    let answer = story.browser.get(&format!("/consent?flow={retry}")).await;
    let (_, pairs) = answer.redirect();
    story.provider.script().nonce = find(&pairs, "nonce");
    story.come_back(&pairs, &[]).await.assert_status(303);

    // Down between the two halves.
    story.browser = Browser::new(&story.browser.instance);
    let sent = story.leave(&Request::default()).await;
    story.provider.script().token_error = Some((502, json!({})));
    story.come_back(&sent, &[]).await.assert_page(503);
}

/// What the provider answers instead of a code, by kind; nothing of its text reaches the page.
#[tokio::test]
async fn a_refusal_of_the_provider_becomes_a_page_of_ours() {
    let mut story = Story::begin().await;
    for (error, status) in [
        ("access_denied", 403),
        ("login_required", 403),
        ("temporarily_unavailable", 503),
        ("server_error", 503),
        ("unauthorized_client", 503),
        ("invented", 503),
    ] {
        let sent = story.leave(&Request::default()).await;
        let changes = [("code", ""), ("error", error), ("error_description", "<b>internal</b>")];
        let answer = story.come_back(&sent, &changes).await;
        answer.assert_page(status);
        assert!(!answer.body.contains("internal"), "{}", answer.body);
    }
    let sent = story.leave(&Request::default()).await;
    story.provider.script().token_error = Some((400, json!({"error": "invalid_grant"})));
    story.come_back(&sent, &[]).await.assert_page(400);
    let sent = story.leave(&Request::default()).await;
    story.provider.script().token_error = Some((401, json!({"error": "invalid_client"})));
    story.come_back(&sent, &[]).await.assert_page(503);
}

/// CVE-2026-9087's kin, better-auth 9198: where a second factor is demanded, a session without one is none.
#[tokio::test]
async fn a_sign_in_without_the_demanded_second_factor_is_refused() {
    let mut story = Story::with(|settings| settings.acr_values = vec!["mfa".to_owned()]).await;
    let sent = story.leave(&Request::default()).await;
    assert_eq!(find(&sent, "acr_values"), "mfa");
    story.come_back(&sent, &[]).await.assert_page(403);
    story.provider.script().claims = json!({"acr": "pwd"});
    story.sign_in().await.assert_page(403);
    story.provider.script().claims = json!({"acr": "mfa"});
    story.sign_in().await.assert_status(303);
}

/// AUT-27, `prompt=login`: the provider is told to ask again, and a sign-in of yesterday will not do.
#[tokio::test]
async fn prompt_login_reaches_the_provider_and_an_old_sign_in_is_refused() {
    let mut story = Story::begin().await;
    let request = Request::default().with("prompt", "login");
    let sent = story.leave(&request).await;
    assert_eq!(find(&sent, "prompt"), "login");
    story.provider.script().claims = json!({"auth_time": 1_000});
    story.come_back(&sent, &[]).await.assert_page(400);
    story.provider.script().claims = json!({});
    let sent = story.leave(&request).await;
    story.come_back(&sent, &[]).await.assert_status(303);
}

/// The userinfo answer fills in what the ID token leaves out, if it is about the same person.
#[tokio::test]
async fn userinfo_about_somebody_else_is_not_used() {
    let mut story = Story::begin().await;
    story.provider.script().userinfo = json!({"sub": "43", "groups": ["admins"]});
    story.sign_in().await.assert_page(400);
    story.provider.script().userinfo = json!({"sub": "42", "name": "Not Used"});
    let answer = story.sign_in().await;
    let page = story.browser.follow(answer).await;
    assert!(page.body.contains("Ada Lovelace"), "{}", page.body);
}

/// OpenID Connect Discovery §4.3: metadata that names another issuer, or leads out of TLS, is not used.
#[tokio::test]
async fn metadata_that_is_not_the_providers_own_is_refused() {
    for metadata in [
        json!({"issuer": "https://evil.example"}),
        json!({"token_endpoint": "http://evil.example/token"}),
        json!({"jwks_uri": "ftp://127.0.0.1/keys"}),
        json!({"authorization_endpoint": null}),
    ] {
        let mut story = Story::begin().await;
        story.provider.script().metadata = metadata;
        story.browser.get(&Request::default().path()).await.assert_page(503);
    }
}
