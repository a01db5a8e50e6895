//! The audit trail: what gets in, that it is found when it was tampered with, and what a reference leads to.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use shared::aws::table::AUDIT;
use tests::{Administrator, Browser, CLIENT_ID, Instance, Request, World, token_request};

async fn act(admin: &Administrator<'_>, times: usize) {
    for number in 0..times {
        let new = json!({"name": format!("Tool {number}"), "redirect_uris": ["https://x.example/cb"]});
        admin.post("/admin/v1/registrations", new).await.assert_status(201);
    }
}

async fn verify(admin: &Administrator<'_>, anchor: &str) -> serde_json::Value {
    admin.get(&format!("/admin/v1/audit/verify{anchor}")).await.assert_status(200).json()
}

/// The place of the entry numbered `number` from the oldest in an export.
async fn place(admin: &Administrator<'_>, number: usize) -> (u64, u64) {
    let export = admin.get("/admin/v1/audit/export").await;
    let line: serde_json::Value = serde_json::from_str(export.body.lines().nth(number).unwrap()).unwrap();
    (line["shard"].as_u64().unwrap(), line["sequence"].as_u64().unwrap())
}

async fn remove(instance: &Instance, shard: u64, sequence: u64) {
    instance
        .dynamodb_client()
        .delete_item()
        .table_name(instance.tables.name(AUDIT))
        .key("id", AttributeValue::S(format!("entry.{shard}.{sequence}")))
        .send()
        .await
        .unwrap();
}

/// GOV-13, FM092: an entry that was removed or altered is found at its place, and a whole trail is whole.
#[tokio::test]
async fn tampering_is_found_where_it_was_done() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    act(&admin, 4).await;
    let whole = verify(&admin, "").await;
    assert_eq!((&whole["intact"], &whole["entries"]), (&json!(true), &json!(4)));

    let (shard, sequence) = place(&admin, 1).await;
    instance
        .dynamodb_client()
        .update_item()
        .table_name(instance.tables.name(AUDIT))
        .key("id", AttributeValue::S(format!("entry.{shard}.{sequence}")))
        .update_expression("SET #text = :text")
        .expression_attribute_names("#text", "text")
        .expression_attribute_values(":text", AttributeValue::S("{}".to_owned()))
        .send()
        .await
        .unwrap();
    let altered = verify(&admin, "").await;
    assert_eq!(altered["problems"][0], json!({"problem": "altered", "shard": shard, "sequence": sequence}));
    remove(&instance, shard, sequence).await;
    let removed = verify(&admin, "").await;
    assert_eq!(removed["problems"][0], json!({"problem": "removed", "shard": shard, "sequence": sequence}));
}

/// A trail that was cut back together with its heads contradicts an anchor that was kept.
#[tokio::test]
async fn a_trail_that_was_cut_back_contradicts_the_anchor_that_was_kept() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    act(&admin, 2).await;
    let kept: Vec<String> = admin
        .post("/admin/v1/audit/anchors", json!({}))
        .await
        .assert_status(200)
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|head| format!("{}:{}:{}", head["shard"], head["sequence"], head["hash"].as_str().unwrap()))
        .collect();
    let anchor = format!("?anchor={}", kept.join(","));
    assert_eq!(verify(&admin, &anchor).await["intact"], true);
    // All of it goes, as if nothing had ever happened.
    for sequence in 1..=3 {
        for shard in 0..8 {
            remove(&instance, shard, sequence).await;
        }
    }
    for shard in 0..8 {
        instance
            .dynamodb_client()
            .delete_item()
            .table_name(instance.tables.name(AUDIT))
            .key("id", AttributeValue::S(format!("head.{shard}")))
            .send()
            .await
            .unwrap();
    }
    assert_eq!(verify(&admin, "").await["intact"], true);
    assert_eq!(verify(&admin, &anchor).await["problems"][0]["problem"], "cut_off");
}

/// Many administrators at once: every change has its entry, and the chains stay whole.
#[tokio::test]
async fn the_chains_stay_whole_under_many_writers() {
    let world = World::new().await;
    let (first, second) = (world.instance().await, world.instance().await);
    let (one, two) = (Administrator::new(&world, &first), Administrator::new(&world, &second));
    tokio::join!(act(&one, 6), act(&two, 6), act(&one, 6));
    let verified = verify(&one, "").await;
    assert_eq!((&verified["intact"], &verified["entries"]), (&json!(true), &json!(18)));
}

/// FET-20, GOV-13: the reference on a refused person's page leads to the checks; trying again adds nothing.
#[tokio::test]
async fn a_reference_leads_to_the_check_that_refused() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let wrong = Request::default().with("redirect_uri", "https://evil.example/cb");
    let page = browser.get(&wrong.path()).await;
    page.assert_page(400);
    let reference = page.note.reference.clone().unwrap();
    assert!(page.body.contains(&reference));
    let explained = admin.get(&format!("/admin/v1/references/{}", reference.to_lowercase())).await;
    let event = explained.assert_status(200).json()["event"].clone();
    assert_eq!((&event["kind"], &event["target"]), (&json!("request_refused"), &json!(CLIENT_ID)));
    assert_eq!(event["detail"]["3_client"], "passed");
    assert!(event["detail"]["4_redirect_uri"].as_str().unwrap().starts_with("refused"), "{event}");
    assert_eq!(event["detail"]["6_groups"], "not reached");

    let again = browser.get(&wrong.path()).await;
    assert_eq!(again.note.reference.as_deref(), Some(reference.as_str()));
    let recorded = admin.get("/admin/v1/audit?kind=request_refused").await.json();
    assert_eq!(recorded["entries"].as_array().unwrap().len(), 1);
    admin.get("/admin/v1/references/ABCDEFGH").await.assert_status(404);
    admin.get("/admin/v1/references/nonsense").await.assert_status(404);
}

/// Invariant 1: what a stranger is refused leaves nothing.
#[tokio::test]
async fn a_stranger_leaves_no_entry() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut stranger = Browser::new(&instance);
    stranger.get("/authorize?client_id=x").await.assert_page(400);
    stranger.get(&Request::default().with("prompt", "none").path()).await;
    let admin = Administrator::new(&world, &instance);
    assert_eq!(admin.get("/admin/v1/audit").await.json()["entries"], json!([]));
}

/// GOV-13, TOK-13: a replayed code ends its grant and is recorded, without the code.
#[tokio::test]
async fn a_replayed_code_is_recorded() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let code = browser.authorize(&Request::default()).await;
    token_request(&instance, &code, &[]).await.assert_status(200);
    token_request(&instance, &code, &[]).await.assert_status(400);
    let admin = Administrator::new(&world, &instance);
    let found = admin.get("/admin/v1/audit?kind=credential_replayed").await;
    let event = found.json()["entries"][0]["event"].clone();
    assert_eq!(
        (&event["detail"]["credential"], &event["actor"]["client"]),
        (&json!("code"), &json!(CLIENT_ID))
    );
    assert!(!found.body.contains(&code));
}

async fn events(admin: &Administrator<'_>, kind: &str) -> Vec<serde_json::Value> {
    let found = admin.get(&format!("/admin/v1/audit?kind={kind}")).await.assert_status(200).json();
    found["entries"].as_array().unwrap().iter().map(|entry| entry["event"].clone()).collect()
}

/// GOV-13, AD100: what a person allowed is recorded with client, document, redirect URI, resource, and scope, and the
/// first sighting of a tool with it; a no is recorded too, once.
#[tokio::test]
async fn a_consent_and_a_first_sighting_have_their_entries() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let code = browser.authorize(&Request::default()).await;
    let [consent] = events(&admin, "consent_given").await.try_into().unwrap();
    let detail = &consent["detail"];
    assert_eq!(
        (&detail["client_id"], &detail["mechanism"]),
        (&json!(CLIENT_ID), &json!("metadata_document"))
    );
    assert_eq!(detail["resource"], tests::RESOURCE);
    assert_eq!(detail["redirect_uri"], "https://app.example.com/callback");
    let text = tests::document(CLIENT_ID);
    let digest = shared::cimd::document::DocumentDigest::of(text.as_bytes());
    assert_eq!(detail["document"], digest.as_str());
    assert!(consent["actor"]["person"].as_str().unwrap().contains("ada"));
    assert!(!consent.to_string().contains(&code));
    let [met] = events(&admin, "tool_introduced").await.try_into().unwrap();
    assert_eq!((&met["target"], &met["detail"]["client_id"]), (&detail["tool"], &json!(CLIENT_ID)));

    for _ in 0..2 {
        let page = browser.get(&Request::loopback(4000).path()).await;
        browser.decide(&page, "deny").await;
    }
    let [denied] = events(&admin, "consent_denied").await.try_into().unwrap();
    assert_eq!(denied["target"], tests::LOOPBACK_CLIENT_ID);
    assert_eq!(verify(&admin, "").await["intact"], true);
}

/// GOV-13: a refusal that the client is told by a redirect is recorded as one that becomes a page, and so is a refused
/// refresh of a disabled tool: once an hour.
#[tokio::test]
async fn refusals_by_redirect_and_at_the_token_endpoint_have_their_entries() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let tokens = browser.tokens().await;
    for _ in 0..2 {
        browser.get(&Request::default().with("response_type", "token").path()).await.assert_status(303);
    }
    let [refused] = events(&admin, "request_refused").await.try_into().unwrap();
    assert_eq!(refused["detail"]["outcome"], "unsupported_response_type");
    assert_eq!(refused["detail"]["4_redirect_uri"], "passed");
    assert!(refused["detail"]["7_parameters"].as_str().unwrap().starts_with("refused"), "{refused}");

    let id = admin.get("/admin/v1/tools").await.json()["tools"][0]["id"].as_str().unwrap().to_owned();
    admin.post(&format!("/admin/v1/tools/{id}/disable"), json!({})).await.assert_status(200);
    for _ in 0..2 {
        tokens.refresh(&instance, CLIENT_ID).await.assert_status(400);
    }
    let refused = events(&admin, "request_refused").await;
    assert_eq!(refused.len(), 2);
    assert_eq!(refused[0]["detail"]["outcome"], "tool_not_honoured");
    assert_eq!(refused[0]["actor"]["client"], CLIENT_ID);
}

/// FM008: without its entry there is no consent, and the person is told to try again.
#[tokio::test]
async fn without_a_record_there_is_no_consent() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let mut browser = Browser::signed_in(&instance, "ada").await;
    let page = browser.get(&Request::default().path()).await;
    // Somebody takes the places in all chains that the next entries would have.
    for shard in 0..shared::audit::SHARDS {
        for sequence in 1..=4 {
            instance
                .dynamodb_client()
                .put_item()
                .table_name(instance.tables.name(AUDIT))
                .item("id", AttributeValue::S(format!("entry.{shard}.{sequence}")))
                .send()
                .await
                .unwrap();
        }
    }
    browser.decide(&page, "approve").await.assert_page(503);
    assert_eq!(admin.get("/admin/v1/tools").await.json()["total"], 0);
}

/// GOV-13: keys are replaced in one transaction with the entry that names them.
#[tokio::test]
async fn replaced_keys_are_named_in_the_entry_that_came_with_them() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let key = [("idempotency-key", "k")];
    let body = json!({"usage": "sig"});
    let replaced =
        admin.send("POST", "/admin/v1/keys/rotate", Some(&body), &key).await.assert_status(200).json();
    let again =
        admin.send("POST", "/admin/v1/keys/rotate", Some(&body), &key).await.assert_status(200).json();
    assert_eq!(replaced, again);
    let [event] = events(&admin, "keys_rotated").await.try_into().unwrap();
    assert_eq!(event["detail"]["made"], replaced["made"][0]);
    assert_eq!(event["detail"]["removed"], replaced["removed"][0]);
}
