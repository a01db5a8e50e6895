//! Metadata documents through the administration API: what differs, what waits, and who decides.

use std::time::Duration;

use serde_json::{Value, json};
use shared::policy::Policy;
use shared::policy::change::Consequence;
use tests::{Administrator, Browser, CLIENT_ID, Request, World, document, form};

const HOUR: Duration = Duration::from_secs(3600);

/// The stories' document with this scope.
fn scoped(scope: &str) -> String {
    let mut document: Value = serde_json::from_str(&document(CLIENT_ID)).unwrap();
    document["scope"] = scope.into();
    document.to_string()
}

fn digest(text: &str) -> String {
    shared::cimd::document::DocumentDigest::of(text.as_bytes()).as_str().to_owned()
}

fn path(what: &str) -> String {
    format!("/admin/v1/documents/{what}?{}", form(&[("client_id", CLIENT_ID)]))
}

/// A world in which a material change waits for an administrator.
async fn holding_world() -> World {
    let json = json!({
        "resources": [{"resource": tests::RESOURCE, "name": "Notes", "scopes": [{"name": "notes:read"}]}],
        "metadata_documents": {"changes": {"cosmetic": "note", "material": "hold", "critical": "revoke"}},
    });
    let policy = Policy::from_json(&json.to_string()).unwrap();
    assert_eq!(policy.documents.changes.material, Consequence::Hold);
    World::with_policy(&policy).await
}

/// GOV-07, GOV-13, CAC-17: an administrator sees that a change waits and what it is, and approves the very
/// version; from then on people get in, and the trail says who decided.
#[tokio::test]
async fn a_held_change_is_seen_compared_and_approved() {
    let world = holding_world().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let mut browser = Browser::signed_in(&instance, "ada").await;
    browser.authorize(&Request::default()).await;
    world.clock.advance(HOUR);
    world.fetcher.answer(CLIENT_ID, &scoped("a"), None);
    browser.get(&Request::default().path()).await.assert_page(403);

    let waiting = admin.get("/admin/v1/documents?standing=held").await.assert_status(200).json();
    assert_eq!(waiting["documents"][0]["client_id"], CLIENT_ID);
    assert_eq!(waiting["documents"][0]["grade"], "material");
    assert_eq!(admin.get("/admin/v1/documents?standing=pinned").await.json()["documents"], json!([]));

    let diff = admin.get(&path("diff")).await.assert_status(200).json();
    assert_eq!(
        (&diff["from"], &diff["to"]),
        (&json!(digest(&document(CLIENT_ID))), &json!(digest(&scoped("a"))))
    );
    assert_eq!(diff["changes"][0]["kind"], "scope_added");
    assert_eq!(diff["members"], json!([{"member": "scope", "after": "a"}]));

    let body = json!({"client_id": CLIENT_ID, "digest": digest(&scoped("a")), "because": "they told us"});
    let dry = admin.post("/admin/v1/documents/approve?dry_run=true", body.clone()).await;
    assert_eq!(dry.assert_status(200).json()["dry_run"], true);
    browser.get(&Request::default().path()).await.assert_page(403);
    let approved = admin.post("/admin/v1/documents/approve", body).await.assert_status(200).json();
    assert_eq!(
        (&approved["standing"], &approved["versions"][0]["in_force"]),
        (&json!("current"), &json!(true))
    );
    browser.get(&Request::default().path()).await.assert_page(200);

    let trail = admin.get("/admin/v1/audit?kind=document_changed").await.json();
    let event = &trail["entries"][0]["event"];
    assert_eq!((&event["target"], &event["detail"]["action"]), (&json!(CLIENT_ID), &json!("approve")));
    assert_eq!(event["detail"]["because"], "they told us");
}

/// GOV-14: a version that is not the latest can be pinned, and the pin ended; a second pin of the same is no
/// second decision.
#[tokio::test]
async fn a_version_is_pinned_and_let_go() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let mut browser = Browser::signed_in(&instance, "ada").await;
    browser.get(&Request::default().path()).await.assert_page(200);
    world.clock.advance(HOUR);
    world.fetcher.answer(CLIENT_ID, &scoped("a"), None);
    let refreshed = admin.post("/admin/v1/documents/refresh", json!({"client_id": CLIENT_ID})).await;
    assert_eq!(refreshed.assert_status(200).json()["versions"].as_array().unwrap().len(), 2);

    let pin = json!({"client_id": CLIENT_ID, "digest": digest(&document(CLIENT_ID))});
    let pinned = admin.post("/admin/v1/documents/pin", pin.clone()).await;
    assert_eq!(pinned.assert_status(200).json()["standing"], "pinned");
    let seen = pinned.header("etag").to_owned();
    admin.post("/admin/v1/documents/pin", pin.clone()).await.assert_status(200);
    let stale = admin.send("POST", "/admin/v1/documents/pin", Some(&pin), &[("if-match", "\"0\"")]).await;
    assert_eq!(stale.assert_status(412).json()["type"], "changed");

    let unpin = json!({"client_id": CLIENT_ID, "digest": digest(&scoped("a"))});
    let free = admin.send("POST", "/admin/v1/documents/unpin", Some(&unpin), &[("if-match", &seen)]).await;
    assert_eq!(free.assert_status(200).json()["standing"], "current");
    admin.post("/admin/v1/documents/unpin", unpin).await.assert_status(409);
    let trail = admin.get("/admin/v1/audit?kind=document_changed").await.json();
    let actions: Vec<&str> = trail["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["event"]["detail"]["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["unpin", "pin", "refresh"]);
}

/// FM065: what cannot be fetched is said with its reason and changes nothing; what is not there is a 404 that
/// names what looks like it.
#[tokio::test]
async fn a_refresh_that_fails_says_why_and_changes_nothing() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    Browser::signed_in(&instance, "ada").await.authorize(&Request::default()).await;
    let before = admin.get(&path("history")).await.assert_status(200).json();
    world.clock.advance(HOUR);
    world.fetcher.fail(CLIENT_ID, shared::fetch::FetchError::Deadline);
    let refresh = json!({"client_id": CLIENT_ID});
    let late = admin.post("/admin/v1/documents/refresh", refresh.clone()).await;
    assert_eq!(late.assert_status(503).json()["type"], "document-unreachable");
    assert_eq!(late.header("retry-after"), "10");
    world.clock.advance(HOUR);
    world.fetcher.answer(CLIENT_ID, "{}", None);
    let broken = admin.post("/admin/v1/documents/refresh", refresh).await.assert_status(422).json();
    assert_eq!(broken["type"], "document-unusable");
    assert!(broken["detail"].as_str().unwrap().contains("no client_id"), "{broken}");
    let after = admin.get(&path("history")).await.json();
    assert_eq!(after["in_force"], before["in_force"]);
    assert_eq!(after["failure"]["kind"], "deterministic");

    let typo = CLIENT_ID.replace("client", "clent");
    let missing = admin.get(&format!("/admin/v1/documents/history?{}", form(&[("client_id", &typo)]))).await;
    assert_eq!(missing.assert_status(404).json()["near"][0], CLIENT_ID);
    let missing = admin.get(&format!("/admin/v1/registrations?{}", form(&[("client_id", &typo)]))).await;
    assert_eq!(missing.assert_status(404).json()["near"][0], CLIENT_ID);
}
