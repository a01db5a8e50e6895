//! Administration through the front door: who is let in, what they see, and that what they decide holds at
//! once, for everybody, with a record.

use axum::body::Body;
use http::Request as HttpRequest;
use local::admin_key::{AdminKey, REGION, SERVICE};
use serde_json::json;
use shared::clock::Clock;
use shared::policy::Policy;
use shared::secret::Secret;
use tests::{Administrator, Browser, CLIENT_ID, Instance, Request, World, administrator_key, form, sign};

async fn tool_of(instance: &Instance, world: &World) -> (String, Browser) {
    let mut browser = Browser::signed_in(instance, "ada").await;
    browser.tokens().await;
    let page = Administrator::new(world, instance).get("/admin/v1/tools?q=example").await;
    let id = page.assert_status(200).json()["tools"][0]["id"].as_str().unwrap().to_owned();
    (id, browser)
}

fn request(method: &str, path: &str, body: &str) -> HttpRequest<String> {
    HttpRequest::builder().method(method).uri(path).body(body.to_owned()).unwrap()
}

/// AD058, AD059: only a request that is signed, for here, just now, and as it arrives, is let in.
#[tokio::test]
async fn a_request_is_let_in_only_as_it_was_signed() {
    let world = World::new().await;
    let instance = world.instance().await;
    let now = world.clock.now().epoch_seconds();
    let key = administrator_key();
    let signed = || sign(request("GET", "/admin/v1/tools?limit=5", ""), &key, REGION, SERVICE, now);
    instance.send(signed().map(Body::from)).await.assert_status(200);

    let unsigned = request("GET", "/admin/v1/tools", "").map(Body::from);
    let mut cases = vec![("unsigned", unsigned)];
    let mut altered = signed();
    *altered.uri_mut() = "/admin/v1/tools?limit=6".parse().unwrap();
    cases.push(("query", altered.map(Body::from)));
    let mut altered = signed();
    *altered.uri_mut() = "/admin/v1/keys?limit=5".parse().unwrap();
    cases.push(("path", altered.map(Body::from)));
    let mut altered = signed();
    *altered.method_mut() = http::Method::DELETE;
    cases.push(("method", altered.map(Body::from)));
    let mut altered = signed();
    altered.headers_mut().insert("host", http::HeaderValue::from_static("other.example"));
    cases.push(("header", altered.map(Body::from)));
    let body = sign(request("POST", "/admin/v1/policy/validate", "{}"), &key, REGION, SERVICE, now);
    cases.push(("body", body.map(|_| Body::from("{ }"))));
    let foreign = AdminKey { secret: Secret::new("x".repeat(40)), ..administrator_key() };
    cases.push((
        "secret",
        sign(request("GET", "/admin/v1/tools", ""), &foreign, REGION, SERVICE, now).map(Body::from),
    ));
    let foreign = AdminKey { access_key_id: "LOCALADMINSOMEBODYEL".to_owned(), ..administrator_key() };
    cases.push((
        "key",
        sign(request("GET", "/admin/v1/tools", ""), &foreign, REGION, SERVICE, now).map(Body::from),
    ));
    cases.push((
        "region",
        sign(request("GET", "/admin/v1/tools", ""), &key, "eu-west-1", SERVICE, now).map(Body::from),
    ));
    cases.push((
        "service",
        sign(request("GET", "/admin/v1/tools", ""), &key, REGION, "s3", now).map(Body::from),
    ));
    cases.push((
        "old",
        sign(request("GET", "/admin/v1/tools", ""), &key, REGION, SERVICE, now - 3600).map(Body::from),
    ));
    cases.push((
        "early",
        sign(request("GET", "/admin/v1/tools", ""), &key, REGION, SERVICE, now + 3600).map(Body::from),
    ));
    let mut unsigned_payload =
        sign(request("POST", "/admin/v1/policy/validate", "{}"), &key, REGION, SERVICE, now);
    unsigned_payload
        .headers_mut()
        .insert("x-amz-content-sha256", http::HeaderValue::from_static("UNSIGNED-PAYLOAD"));
    cases.push(("unsigned payload", unsigned_payload.map(|_| Body::from("{ }"))));
    for (what, request) in cases {
        let answer = instance.send(request).await;
        assert_eq!(answer.status, 403, "{what}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
        assert_eq!(answer.json()["type"], "not-signed", "{what}");
    }
}

/// AD089: outside its window a signed request is worth nothing any more.
#[tokio::test]
async fn a_signed_request_cannot_be_replayed_after_its_window() {
    let world = World::new().await;
    let instance = world.instance().await;
    let now = world.clock.now().epoch_seconds();
    let signed = sign(request("GET", "/admin/v1/whoami", ""), &administrator_key(), REGION, SERVICE, now);
    instance.send(signed.clone().map(Body::from)).await.assert_status(200);
    world.clock.advance(std::time::Duration::from_secs(3600));
    instance.send(signed.map(Body::from)).await.assert_status(403);
}

/// AD058: behind the gateway the caller stands in the request context; headers alone let nobody in.
#[tokio::test]
async fn the_gateway_caller_believes_the_request_context_only() {
    use admin::{CallerVerifier as _, GatewayCaller};
    use lambda_http::request::RequestContext;
    let parts = |context: Option<serde_json::Value>| {
        let mut request = HttpRequest::new(());
        for name in ["x-amzn-caller-arn", "authorization", "x-amz-user-arn"] {
            request.headers_mut().insert(name, http::HeaderValue::from_static("arn:aws:iam::1:user/ada"));
        }
        if let Some(context) = context {
            let context = serde_json::from_value(context).unwrap();
            request.extensions_mut().insert(RequestContext::ApiGatewayV2(context));
        }
        request.into_parts().0
    };
    let refused = [
        None,
        Some(json!({ "http": { "method": "GET" } })),
        Some(json!({ "http": { "method": "GET" }, "authorizer": { "jwt": { "claims": { "sub": "ada" } } } })),
        Some(json!({ "http": { "method": "GET" }, "authorizer": { "iam": { "userArn": "" } } })),
    ];
    for context in refused {
        assert!(GatewayCaller.verify(&parts(context.clone()), b"").await.is_err(), "{context:?}");
    }
    let arn = "arn:aws:sts::111122223333:assumed-role/Admin/ada";
    let signed = json!({ "http": { "method": "GET" }, "authorizer": { "iam": { "userArn": arn } } });
    assert_eq!(GatewayCaller.verify(&parts(Some(signed)), b"").await.unwrap().arn, arn);
}

async fn world_with_role(role: &str) -> World {
    let mut policy = serde_json::json!({ "administration": {} });
    policy["administration"][role] = json!([local::admin_key::ARN]);
    World::with_policy(&Policy::from_json(&policy.to_string()).unwrap()).await
}

/// GOV-02: every route that changes something asks for a role, and the refusal names it.
#[tokio::test]
async fn a_viewer_changes_nothing_and_is_told_the_role_that_is_missing() {
    let world = world_with_role("viewers").await;
    let instance = world.instance().await;
    let viewer = Administrator::new(&world, &instance);
    assert_eq!(viewer.get("/admin/v1/whoami").await.assert_status(200).json()["role"], "viewer");
    for (method, route) in admin::ROUTES {
        if *method == "GET" || ["/admin/v1/policy/validate", "/admin/v1/policy/dry-run"].contains(route) {
            continue;
        }
        let path = route.replace("{id}", "x").replace("{version}", "1").replace("{reference}", "x");
        let answer = viewer.send(method, &path, Some(&json!({})), &[]).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.body);
        assert!(["operator", "owner"].contains(&answer.json()["role"].as_str().unwrap()), "{method} {path}");
    }
    let world = world_with_role("operators").await;
    let instance = world.instance().await;
    let operator = Administrator::new(&world, &instance);
    let refused = operator.send("PUT", "/admin/v1/policy", Some(&json!({})), &[]).await;
    assert_eq!(refused.assert_status(403).json()["role"], "owner");
}

/// A caller whom no rule names does not get as far as a route.
#[tokio::test]
async fn a_caller_without_a_role_is_refused_everywhere() {
    let mut policy = Policy::default();
    policy.administration.viewers =
        vec![shared::policy::ArnPattern::parse("arn:aws:iam::1:user/somebody").unwrap()];
    let world = World::with_policy(&policy).await;
    let instance = world.instance().await;
    let stranger = Administrator::new(&world, &instance);
    let answer = stranger.get("/admin/v1/whoami").await;
    assert_eq!(answer.assert_status(403).json()["role"], "viewer");
}

/// Invariant 4, FM008: a disabled tool is refused at once; the effect is shown first and the change has its
/// record.
#[tokio::test]
async fn disabling_shows_its_effect_first_and_then_holds_everywhere() {
    let world = World::new().await;
    let (instance, other) = (world.instance().await, world.instance().await);
    let (id, mut browser) = tool_of(&instance, &world).await;
    let tokens = browser.tokens().await;
    let admin = Administrator::new(&world, &instance);

    let path = format!("/admin/v1/tools/{id}/disable");
    let dry = admin.post(&format!("{path}?dry_run=true"), json!({})).await;
    let effect = dry.assert_status(200).json();
    assert_eq!((&effect["dry_run"], &effect["effect"]["users"]), (&json!(true), &json!(1)));
    assert_eq!((&effect["effect"]["grants"], &effect["effect"]["registrations"]), (&json!(2), &json!(1)));
    assert_eq!(admin.get(&format!("/admin/v1/tools/{id}")).await.json()["status"], "enabled");

    let disabled = admin.post(&path, json!({"because": "found to copy notes elsewhere"})).await;
    assert_eq!(disabled.assert_status(200).json()["status"], "disabled");
    tokens.refresh(&other, CLIENT_ID).await.assert_status(400);
    let page = browser.get(&Request::default().path()).await;
    page.assert_page(403);

    let found = admin.get("/admin/v1/audit?kind=tool_disabled").await.json();
    let entry = &found["entries"][0]["event"];
    assert_eq!(entry["target"], json!(id));
    assert_eq!(entry["actor"]["administrator"], local::admin_key::ARN);
    assert_eq!(entry["detail"]["because"], "found to copy notes elsewhere");

    admin.post(&format!("/admin/v1/tools/{id}/enable"), json!({})).await.assert_status(200);
    tokens.refresh(&other, CLIENT_ID).await.assert_status(200);
}

/// AD087, AD088: of two administrators who have seen the same, the second is told to look again.
#[tokio::test]
async fn a_change_of_what_somebody_else_has_changed_is_refused() {
    let world = World::new().await;
    let instance = world.instance().await;
    let (id, _) = tool_of(&instance, &world).await;
    let admin = Administrator::new(&world, &instance);
    let path = format!("/admin/v1/tools/{id}");
    let seen = admin.get(&path).await.header("etag").to_owned();
    let body = json!({"name": "Notes Agent"});
    let first = admin.send("PATCH", &path, Some(&body), &[("if-match", &seen)]).await;
    assert_eq!(first.assert_status(200).json()["name"], "Notes Agent");
    let second = admin.send("PATCH", &path, Some(&json!({"name": "Other"})), &[("if-match", &seen)]).await;
    assert_eq!(second.assert_status(412).json()["type"], "changed");
    let now = first.header("etag").to_owned();
    assert_ne!(now, seen);
    admin
        .send("PATCH", &path, Some(&json!({"name": "Other"})), &[("if-match", &now)])
        .await
        .assert_status(200);
}

/// AD040, AD090: a repeated request is done once and answered the same; another one under its key is not.
#[tokio::test]
async fn an_idempotency_key_makes_repeating_safe() {
    let world = World::new().await;
    let instance = world.instance().await;
    let (id, _) = tool_of(&instance, &world).await;
    let admin = Administrator::new(&world, &instance);
    let path = format!("/admin/v1/tools/{id}/revoke");
    let key = [("idempotency-key", "k1")];
    let first = admin.send("POST", &path, Some(&json!({})), &key).await;
    let again = admin.send("POST", &path, Some(&json!({})), &key).await;
    assert_eq!(first.assert_status(200).json(), again.assert_status(200).json());
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(admin.get(&format!("/admin/v1/tools/{id}")).await.json()["epoch"], 1);
    let other = admin.send("POST", &path, Some(&json!({"because": "more"})), &key).await;
    assert_eq!(other.assert_status(422).json()["type"], "idempotency-key-reused");
}

/// AD073: a secret is shown once; a rotation leaves the one before working for a while.
#[tokio::test]
async fn a_registration_shows_its_secret_once_and_rotates_it_without_a_gap() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let new = json!({
        "name": "Payroll Agent",
        "redirect_uris": ["https://payroll.example/callback"],
        "token_endpoint_auth_method": "client_secret_basic",
    });
    let key = [("idempotency-key", "add-1")];
    let made = admin.send("POST", "/admin/v1/registrations", Some(&new), &key).await;
    let made = made.assert_status(201).json();
    let secret = made["client_secret"].as_str().unwrap().to_owned();
    let client_id = made["registration"]["client_id"].as_str().unwrap().to_owned();
    let again = admin.send("POST", "/admin/v1/registrations", Some(&new), &key).await;
    assert!(again.assert_status(201).json().get("client_secret").is_none());

    let shown = admin.get(&format!("/admin/v1/registrations?client_id={client_id}")).await;
    assert!(!shown.assert_status(200).body.contains(&secret));
    let rotated = admin.post("/admin/v1/registrations/rotate-secret", json!({"client_id": client_id})).await;
    let rotated = rotated.assert_status(200).json();
    assert_ne!(rotated["client_secret"].as_str().unwrap(), secret);
    let secrets = rotated["registration"]["secrets"].as_array().unwrap();
    assert_eq!(secrets.len(), 2);
    assert!(secrets[0].get("expires_at").is_none() && secrets[1]["expires_at"].is_u64());

    let taken = admin
        .post(
            "/admin/v1/registrations",
            json!({"client_id": client_id, "redirect_uris": ["https://x.example/"]}),
        )
        .await;
    assert_eq!(taken.assert_status(409).json()["type"], "not-now");
    let removed = admin.delete(&format!("/admin/v1/registrations?client_id={client_id}")).await;
    removed.assert_status(200);
    admin.get(&format!("/admin/v1/registrations?client_id={client_id}")).await.assert_status(404);
    let trail = admin.get("/admin/v1/audit").await;
    assert!(!trail.body.contains(&secret), "{}", trail.body);
}

/// GOV-14: a metadata document's URL can be entered ahead of its first use.
#[tokio::test]
async fn a_metadata_document_can_be_registered_ahead_and_is_then_used() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let made =
        admin.post("/admin/v1/registrations", json!({"client_id": CLIENT_ID, "name": "Notes Agent"})).await;
    let tool = made.assert_status(201).json()["registration"]["tool"].as_str().unwrap().to_owned();
    Browser::signed_in(&instance, "ada").await.tokens().await;
    let shown = admin.get(&format!("/admin/v1/tools/{tool}")).await.json();
    assert_eq!(shown["registrations"][0]["introduced"]["mechanism"], "pre_registered");
    assert_eq!((&shown["governed"], &shown["census"]["users"]), (&json!(true), &json!(1)));
}

/// GOV-01: grants are seen by tool and by person, and one can be ended.
#[tokio::test]
async fn grants_are_listed_by_tool_and_person_and_ended_one_by_one() {
    let world = World::new().await;
    let instance = world.instance().await;
    let (id, mut browser) = tool_of(&instance, &world).await;
    let tokens = browser.tokens().await;
    Browser::signed_in(&instance, "grace").await.tokens().await;
    let admin = Administrator::new(&world, &instance);
    let count = |answer: tests::Answer| answer.assert_status(200).json()["grants"].as_array().unwrap().len();
    assert_eq!(count(admin.get(&format!("/admin/v1/grants?tool={id}")).await), 3);
    let mine = admin.get(&format!("/admin/v1/grants?tool={id}")).await.json();
    let of = |name: &str| -> String {
        let grants = mine["grants"].as_array().unwrap();
        let subjects = grants.iter().map(|grant| grant["subject"].as_str().unwrap());
        form(&[("subject", subjects.into_iter().find(|subject| subject.contains(name)).unwrap())])
    };
    let (ada, grace) = (of("ada"), of("grace"));
    assert_eq!(count(admin.get(&format!("/admin/v1/grants?{grace}")).await), 1);
    assert_eq!(count(admin.get(&format!("/admin/v1/grants?{ada}")).await), 2);
    assert_eq!(count(admin.get(&format!("/admin/v1/grants?tool={id}&{ada}")).await), 2);
    for grant in mine["grants"].as_array().unwrap() {
        let path = format!("/admin/v1/grants/{}/revoke", grant["id"].as_str().unwrap());
        assert_eq!(admin.post(&path, json!({})).await.assert_status(200).json()["stage"], "revoked");
    }
    tokens.refresh(&instance, CLIENT_ID).await.assert_status(400);
    admin.get("/admin/v1/grants").await.assert_status(400);
}

/// The policy: what is not valid changes nothing, what somebody else has changed is not overwritten, and
/// there is a way back.
#[tokio::test]
async fn the_policy_is_changed_by_who_has_seen_it_and_can_be_rolled_back() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let seen = admin.get("/admin/v1/policy").await;
    let (tag, mut policy) = (seen.header("etag").to_owned(), seen.json()["policy"].clone());
    policy["lifetimes"]["access_token_seconds"] = json!(300);
    let invalid =
        admin.post("/admin/v1/policy/validate", json!({"resources": [{"resource": "http://x"}]})).await;
    assert_eq!(invalid.assert_status(422).json()["type"], "policy-invalid");
    admin.post("/admin/v1/policy/validate", policy.clone()).await.assert_status(200);
    admin.send("PUT", "/admin/v1/policy", Some(&policy), &[]).await.assert_status(400);
    let put = admin.send("PUT", "/admin/v1/policy", Some(&policy), &[("if-match", &tag)]).await;
    assert_eq!(put.assert_status(200).json()["version"], 2);
    let late = admin.send("PUT", "/admin/v1/policy", Some(&policy), &[("if-match", &tag)]).await;
    late.assert_status(412);
    let back = admin.post("/admin/v1/policy/rollback", json!({"version": 1})).await;
    assert_eq!(back.assert_status(200).json()["version"], 3);
    assert_eq!(
        admin.get("/admin/v1/policy").await.json()["policy"]["lifetimes"]["access_token_seconds"],
        600
    );
    let history = admin.get("/admin/v1/policy/history").await.json();
    assert_eq!(history["versions"].as_array().unwrap().len(), 3);
    assert_eq!(history["versions"][0]["by"], local::admin_key::ARN);
    admin.get("/admin/v1/policy/history/9").await.assert_status(404);
}

/// Tools merge and are deleted, and what does not exist is answered with what looks like it.
#[tokio::test]
async fn tools_merge_map_and_go_and_a_near_miss_is_named() {
    let world = World::new().await;
    let instance = world.instance().await;
    let (id, mut browser) = tool_of(&instance, &world).await;
    let tokens = browser.tokens().await;
    let admin = Administrator::new(&world, &instance);
    let made = admin
        .post(
            "/admin/v1/registrations",
            json!({"name": "Notes", "redirect_uris": ["https://notes.example/cb"]}),
        )
        .await;
    let into = made.assert_status(201).json()["registration"]["tool"].as_str().unwrap().to_owned();
    let merged = admin.post(&format!("/admin/v1/tools/{id}/merge"), json!({"into": into})).await;
    assert_eq!(merged.assert_status(200).json()["id"], json!(into));
    let tokens = tests::Tokens::of(&tokens.refresh(&instance, CLIENT_ID).await);
    let shown = admin.get(&format!("/admin/v1/tools/{into}")).await.json();
    assert_eq!(shown["registrations"].as_array().unwrap().len(), 2);
    admin.post(&format!("/admin/v1/tools/{id}/disable"), json!({})).await.assert_status(409);

    let typo = id.replace("example", "exmaple");
    let missing = admin.get(&format!("/admin/v1/tools/{typo}")).await;
    assert_eq!(missing.assert_status(404).json()["near"][0], json!(id));
    let dry = admin.delete(&format!("/admin/v1/tools/{into}?dry_run=true")).await;
    assert_eq!(dry.assert_status(200).json()["effect"]["registrations"], 2);
    admin.delete(&format!("/admin/v1/tools/{into}")).await.assert_status(200);
    admin.get(&format!("/admin/v1/tools/{into}")).await.assert_status(404);
    tokens.refresh(&instance, CLIENT_ID).await.assert_status(400);
}

/// AD078, AD079: pages are bounded, and a cursor is ours and of the same query.
#[tokio::test]
async fn a_listing_is_searched_sorted_and_paged() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    for name in ["Zeta", "Alpha", "Beta"] {
        let new = json!({"name": name, "redirect_uris": ["https://x.example/cb"]});
        admin.post("/admin/v1/registrations", new).await.assert_status(201);
    }
    let names = |answer: &tests::Answer| -> Vec<String> {
        let page = answer.assert_status(200).json();
        page["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = admin.get("/admin/v1/tools?limit=2").await;
    assert_eq!(names(&first), ["Alpha", "Beta"]);
    let cursor = first.json()["cursor"].as_str().unwrap().to_owned();
    let second = admin.get(&format!("/admin/v1/tools?limit=2&cursor={cursor}")).await;
    assert_eq!((names(&second), second.json().get("cursor")), (vec!["Zeta".to_owned()], None));
    admin.get(&format!("/admin/v1/tools?limit=2&q=z&cursor={cursor}")).await.assert_status(400);
    admin.get("/admin/v1/tools?cursor=AAAA").await.assert_status(400);
    admin.get("/admin/v1/tools?limit=201").await.assert_status(400);
    admin.get("/admin/v1/tools?colour=red").await.assert_status(400);
    assert_eq!(names(&admin.get("/admin/v1/tools?descending=true").await), ["Zeta", "Beta", "Alpha"]);
    assert_eq!(names(&admin.get("/admin/v1/tools?q=bet").await), ["Beta"]);
    assert_eq!(admin.get("/admin/v1/tools?mechanism=dynamic").await.json()["total"], 0);
    let report = admin.get("/admin/v1/report").await.json();
    assert_eq!((&report["tools"], &report["governed"]), (&json!(3), &json!(3)));
}

/// Keys are listed without material, and an emergency rotation replaces them with a record.
#[tokio::test]
async fn keys_are_listed_and_replaced() {
    let world = World::new().await;
    let instance = world.instance().await;
    let admin = Administrator::new(&world, &instance);
    let before = admin.get("/admin/v1/keys").await.json();
    let dry = admin.post("/admin/v1/keys/rotate?dry_run=true", json!({"usage": "sig"})).await.json();
    assert_eq!(dry["made"], json!([]));
    let replaced =
        admin.post("/admin/v1/keys/rotate", json!({"usage": "sig"})).await.assert_status(200).json();
    assert_eq!(replaced["removed"], dry["removed"]);
    assert_ne!(admin.get("/admin/v1/keys").await.json(), before);
    assert_eq!(
        admin.get("/admin/v1/audit?kind=keys_rotated").await.json()["entries"].as_array().unwrap().len(),
        1
    );
    admin.post("/admin/v1/keys/rotate", json!({"usage": "other"})).await.assert_status(400);
}

/// The description is made from the code, names every route, and is the one that is committed.
#[tokio::test]
async fn the_openapi_document_is_current_and_names_every_route() {
    let made = admin::openapi().unwrap();
    let path = crate::tidy::root().join("docs/openapi.json");
    if std::env::var_os("WRITE_OPENAPI").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == made,
        "run with WRITE_OPENAPI=1 and commit"
    );
    let document: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut described: Vec<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .keys()
                .map(|method| (method.to_uppercase(), path.clone()))
                .collect::<Vec<_>>()
        })
        .collect();
    let mut routes: Vec<(String, String)> =
        admin::ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    described.sort();
    routes.sort();
    assert_eq!(described, routes);
}

/// FM008: when the record cannot be written, nothing is changed.
#[tokio::test]
async fn without_a_record_there_is_no_change() {
    let world = World::new().await;
    let instance = world.instance().await;
    let (id, _) = tool_of(&instance, &world).await;
    let admin = Administrator::new(&world, &instance);
    // Somebody takes the places in all chains that the next entries would have.
    for shard in 0..shared::audit::SHARDS {
        for sequence in 1..=4 {
            instance
                .dynamodb_client()
                .put_item()
                .table_name(instance.tables.name(shared::aws::table::AUDIT))
                .item("id", aws_sdk_dynamodb::types::AttributeValue::S(format!("entry.{shard}.{sequence}")))
                .send()
                .await
                .unwrap();
        }
    }
    let refused = admin.post(&format!("/admin/v1/tools/{id}/disable"), json!({})).await;
    refused.assert_status(503);
    assert_eq!(admin.get(&format!("/admin/v1/tools/{id}")).await.json()["status"], "enabled");
}
