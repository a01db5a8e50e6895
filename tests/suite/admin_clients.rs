//! Clients and their secrets through the administration API: a document is looked at before it is let in, and a
//! tool is rotated without losing its history.

use serde_json::{Value, json};
use shared::policy::Policy;
use tests::{Administrator, Browser, CLIENT_ID, Instance, RESOURCE, Request, Tokens, World, document, form};

async fn tool_id(admin: &Administrator<'_>) -> String {
    let page = admin.get("/admin/v1/tools").await.assert_status(200).json();
    page["tools"][0]["id"].as_str().unwrap().to_owned()
}

/// GOV-14: the document is fetched and shown before it is registered, check by check, and nothing is stored for
/// looking.
#[tokio::test]
async fn a_document_is_shown_with_its_checks_before_it_is_registered() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let mut text: Value = serde_json::from_str(&document(CLIENT_ID)).unwrap();
    text["redirect_uris"].as_array_mut().unwrap().push(json!("com.example.app:/callback"));
    world.fetcher.answer(CLIENT_ID, &text.to_string(), None);
    let new = json!({"client_id": CLIENT_ID, "pin": true});
    let plan = admin.post("/admin/v1/registrations?dry_run=true", new.clone()).await;
    let plan = plan.assert_status(200).json();
    assert_eq!(plan["dry_run"], true);
    assert_eq!(plan["document"]["client_name"], "Example Agent");
    let checks = plan["document"]["checks"].as_array().unwrap();
    let passed = |name: &str| checks.iter().find(|check| check["check"] == name).unwrap()["passed"].clone();
    assert_eq!((passed("document"), passed("redirect_uris")), (json!(true), json!(false)));
    assert_eq!(admin.get("/admin/v1/tools").await.json()["total"], 0);

    let made = admin.post("/admin/v1/registrations", new).await.assert_status(201).json();
    assert_eq!(made["document"]["digest"], plan["document"]["digest"]);
    let pinned = admin.get("/admin/v1/documents?standing=pinned").await.json();
    assert_eq!(pinned["documents"][0]["client_id"], CLIENT_ID);
    Browser::signed_in(&instance, "ada").await.authorize(&Request::default()).await;
    let trail = admin.get("/admin/v1/audit?kind=registration_added").await.json();
    assert_eq!(trail["entries"][0]["event"]["detail"]["document"], made["document"]["digest"]);
}

/// GOV-14: what cannot be fetched or breaks a rule is refused with the reason, unless the administrator wants it
/// unseen; what is blocked is not even asked.
#[tokio::test]
async fn an_unusable_document_is_registered_only_unseen() {
    let policy = json!({"blocked": {"hosts": ["evil.example"]}});
    let world = World::with_policy(&Policy::from_json(&policy.to_string()).unwrap()).await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    world.fetcher.answer(CLIENT_ID, "{}", None);
    let new = |unseen: bool| json!({"client_id": CLIENT_ID, "unseen": unseen});
    let refused = admin.post("/admin/v1/registrations", new(false)).await.assert_status(422).json();
    assert!(refused["detail"].as_str().unwrap().contains("no client_id"), "{refused}");
    assert_eq!(admin.get("/admin/v1/tools").await.json()["total"], 0);
    admin.post("/admin/v1/registrations", new(true)).await.assert_status(201);

    let before = world.fetcher.fetched().len();
    let evil = json!({"client_id": "https://evil.example/c.json"});
    admin.post("/admin/v1/registrations", evil).await.assert_status(409);
    assert_eq!(world.fetcher.fetched().len(), before);
}

/// REG-05: an identifier that we issue cannot be taken for a client that registered itself, nor for a URL.
#[tokio::test]
async fn an_issued_identifier_is_one_that_nobody_else_has() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    for client_id in ["dyn~abc", "http://x.example/c", "a b", "vscode:agent"] {
        let new = json!({"client_id": client_id, "redirect_uris": ["https://x.example/cb"]});
        let refused = admin.post("/admin/v1/registrations", new).await.assert_status(400).json();
        assert!(refused["detail"].as_str().unwrap().contains("dyn~"), "{client_id}: {refused}");
    }
    let new = json!({"client_id": "payroll-agent", "redirect_uris": ["https://x.example/cb"]});
    admin.post("/admin/v1/registrations", new).await.assert_status(201);
}

/// A confidential client of the stories' administrator, with its secret.
async fn confidential(admin: &Administrator<'_>) -> (String, String, String) {
    let new = json!({
        "name": "Payroll Agent",
        "redirect_uris": ["https://payroll.example/callback"],
        "token_endpoint_auth_method": "client_secret_post",
    });
    let made = admin.post("/admin/v1/registrations", new).await.assert_status(201).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let registration = &made["registration"];
    (text(&registration["client_id"]), text(&made["client_secret"]), text(&registration["tool"]))
}

async fn tokens(instance: &Instance, client_id: &str, secret: &str) -> tests::Answer {
    let mut browser = Browser::signed_in(instance, "ada").await;
    let request = Request::default()
        .with("client_id", client_id)
        .with("redirect_uri", "https://payroll.example/callback")
        .with("resource", RESOURCE);
    let code = browser.authorize(&request).await;
    let changes = [
        ("client_id", client_id),
        ("redirect_uri", "https://payroll.example/callback"),
        ("client_secret", secret),
    ];
    tests::token_request(instance, &code, &changes).await
}

/// Rotate keeps the tool and its history: the old secret is void at once, the new one is shown once, the epoch is
/// raised, grants end, and their number says so.
#[tokio::test]
async fn a_rotated_tool_keeps_its_history_and_nothing_of_before_works() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let (client_id, old, tool) = confidential(&admin).await;
    Tokens::of(tokens(&instance, &client_id, &old).await.assert_status(200));
    let path = format!("/admin/v1/tools/{tool}");
    assert_eq!(admin.get(&path).await.json()["census"]["grants"], 1);

    let dry = admin.post(&format!("{path}/rotate?dry_run=true"), json!({})).await.assert_status(200).json();
    assert_eq!((&dry["effect"]["users"], &dry["effect"]["registrations"]), (&json!(1), &json!(1)));
    let key = [("idempotency-key", "rotate-1")];
    let body = json!({"because": "the laptop was stolen"});
    let rotated = admin.send("POST", &format!("{path}/rotate"), Some(&body), &key).await;
    let rotated = rotated.assert_status(200).json();
    assert_eq!((&rotated["id"], &rotated["epoch"]), (&json!(tool), &json!(1)));
    assert_eq!(rotated["secrets"][0]["client_id"], json!(client_id));
    let fresh = rotated["secrets"][0]["client_secret"].as_str().unwrap().to_owned();
    assert_ne!(fresh, old);
    let again = admin.send("POST", &format!("{path}/rotate"), Some(&body), &key).await;
    assert_eq!(again.assert_status(200).json()["secrets"][0].get("client_secret"), None);

    let shown = admin.get(&path).await.json();
    assert_eq!((&shown["census"]["users"], &shown["census"]["grants"]), (&json!(0), &json!(0)));
    let grants = admin.get(&format!("/admin/v1/grants?{}", form(&[("tool", &tool)]))).await.json();
    assert_eq!(
        (&grants["grants"][0]["stage"], &grants["grants"][0]["honoured"]),
        (&json!("active"), &json!(false))
    );
    tokens(&instance, &client_id, &old).await.assert_status(401);
    tokens(&instance, &client_id, &fresh).await.assert_status(200);
    assert_eq!(admin.get(&path).await.json()["census"]["grants"], 1);
    let trail = admin.get("/admin/v1/audit?kind=tool_rotated").await;
    assert_eq!(trail.json()["entries"][0]["event"]["detail"]["because"], "the laptop was stolen");
    assert!(!trail.body.contains(&fresh) && !trail.body.contains(&old));
}

/// Rotate of a tool with a metadata document: remembered consent counts no more, and the document is fetched anew,
/// or the answer says why it was not.
#[tokio::test]
async fn rotating_a_documents_tool_asks_again_and_fetches_anew() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let tokens = browser.tokens().await;
    let tool = tool_id(&admin).await;
    let before = world.fetcher.fetched().len();
    world.clock.advance(std::time::Duration::from_secs(5));
    let path = format!("/admin/v1/tools/{tool}/rotate");
    let rotated = admin.post(&path, json!({})).await.assert_status(200).json();
    assert_eq!(rotated["refetched"], json!([{"client_id": CLIENT_ID, "fetched": true}]));
    assert_eq!(world.fetcher.fetched().len(), before + 1);
    tokens.refresh(&instance, CLIENT_ID).await.assert_status(400);
    browser.get(&Request::default().path()).await.assert_page(200);

    world.clock.advance(std::time::Duration::from_secs(5));
    world.fetcher.fail(CLIENT_ID, shared::fetch::FetchError::Deadline);
    let rotated = admin.post(&path, json!({})).await.assert_status(200).json();
    assert_eq!((&rotated["epoch"], &rotated["refetched"][0]["fetched"]), (&json!(2), &json!(false)));
}

/// GOV-01: grants of a tool that became part of another count there, and end there with its epoch.
#[tokio::test]
async fn a_merged_tools_people_count_with_the_tool_it_became_part_of() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    Browser::signed_in(&instance, "ada").await.tokens().await;
    let from = tool_id(&admin).await;
    let (client_id, secret, into) = confidential(&admin).await;
    tokens(&instance, &client_id, &secret).await.assert_status(200);
    admin.post(&format!("/admin/v1/tools/{from}/merge"), json!({"into": into})).await.assert_status(200);
    let census = |shown: Value| (shown["census"]["users"].clone(), shown["census"]["grants"].clone());
    let shown = admin.get(&format!("/admin/v1/tools/{into}")).await.json();
    assert_eq!(census(shown), (json!(1), json!(2)), "one person, two grants");
    admin.post(&format!("/admin/v1/tools/{into}/revoke"), json!({})).await.assert_status(200);
    let shown = admin.get(&format!("/admin/v1/tools/{into}")).await.json();
    assert_eq!(census(shown), (json!(0), json!(0)));
}

/// Invariant 4: disabling is one write, however many grants there are, and so are revoking and rotating.
#[tokio::test]
async fn disabling_costs_the_same_with_one_grant_and_with_many() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let mut costs = Vec::new();
    for people in [1, 30] {
        for number in 0..people {
            Browser::signed_in(&instance, &format!("user{number}")).await.tokens().await;
        }
        let tool = tool_id(&admin).await;
        // The trail's chain and the policy are at hand.
        admin.post(&format!("/admin/v1/tools/{tool}/enable"), json!({})).await.assert_status(200);
        instance.calls.take();
        admin.post(&format!("/admin/v1/tools/{tool}/disable"), json!({})).await.assert_status(200);
        costs.push(instance.calls.take());
        admin.post(&format!("/admin/v1/tools/{tool}/enable"), json!({})).await.assert_status(200);
    }
    assert_eq!(costs[0], ["GetItem", "TransactWriteItems"]);
    assert_eq!(costs[0], costs[1]);
}
