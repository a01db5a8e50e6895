//! A policy is tried on what happened before it is put in force.

use serde_json::{Value, json};
use tests::{Administrator, Browser, Request, World};

async fn forecast(admin: &Administrator<'_>, change: impl Fn(&mut Value)) -> Value {
    let mut policy = admin.get("/admin/v1/policy").await.assert_status(200).json()["policy"].clone();
    change(&mut policy);
    admin.post("/admin/v1/policy/dry-run", policy).await.assert_status(200).json()
}

/// GOV-06, GOV-15: before a policy is in force an administrator sees whom it would have refused, by tool and reason;
/// what it leaves alone is not listed, and what is older than thirty days does not count.
#[tokio::test]
async fn a_policy_is_tried_on_what_people_allowed() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let mut ada = Browser::signed_in(&instance, "ada").await;
    ada.authorize(&Request::default()).await;
    ada.authorize(&Request::loopback(4000)).await;
    Browser::signed_in(&instance, "grace").await.authorize(&Request::default()).await;

    let same = forecast(&admin, |_| {}).await;
    assert_eq!((&same["decisions"], &same["refused"], &same["tools"]), (&json!(3), &json!(0), &json!([])));

    let denied = forecast(&admin, |policy| {
        policy["metadata_documents"]["deny"] = json!(["app.example.com"]);
    })
    .await;
    assert_eq!((&denied["refused"], &denied["refused_people"]), (&json!(2), &json!(2)));
    assert_eq!(denied["tools"].as_array().unwrap().len(), 1);
    assert!(denied["tools"][0]["tool"].as_str().unwrap().starts_with("app.example.com~"), "{denied}");
    assert_eq!(denied["tools"][0]["reasons"], json!({"host_denied": 2}));

    let gone = forecast(&admin, |policy| {
        policy["resources"].as_array_mut().unwrap().retain(|known| known["resource"] != tests::RESOURCE);
    })
    .await;
    assert_eq!((&gone["refused"], &gone["refused_people"]), (&json!(3), &json!(2)));
    // Nothing was changed by asking, and what is no policy is refused as it would be.
    assert_eq!(admin.get("/admin/v1/policy").await.json()["version"], 1);
    admin.post("/admin/v1/policy/dry-run", json!({"unheard_of": 1})).await.assert_status(422);

    world.clock.advance(std::time::Duration::from_secs(31 * 86_400));
    assert_eq!(forecast(&admin, |_| {}).await["decisions"], 0);
}
