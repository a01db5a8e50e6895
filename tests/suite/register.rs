//! Dynamic registration: SPEC 2.8, RFC 7591, and what keeps it from sprawling.

use std::time::Duration;

use axum::body::Body;
use http::Request as HttpRequest;
use register::SourceAddress;
use serde_json::{Value, json};
use shared::aws::{Change, Changed, RollBack, ToolStore};
use shared::clock::Clock as _;
use shared::policy::Policy;
use shared::tool::ToolId;
use tests::{Browser, Instance, RESOURCE, Request, Tokens, World, token_request};

const HOUR: Duration = Duration::from_secs(3600);

fn policy(rules: Value) -> Policy {
    let document = json!({
        "resources": [{
            "resource": RESOURCE,
            "scopes": [{"name": "notes:read"}, {"name": "notes:write"}]
        }],
        "dynamic_registration": rules
    });
    Policy::from_json(&document.to_string()).unwrap()
}

async fn open() -> (World, Instance) {
    let world = World::with_policy(&policy(json!({"mode": "on"}))).await;
    let instance = world.instance().await;
    (world, instance)
}

fn shell(port: u16) -> Value {
    json!({
        "client_name": "Shell",
        "redirect_uris": [format!("http://localhost:{port}/callback")],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none"
    })
}

async fn register_from(
    instance: &Instance,
    source: Option<&str>,
    token: Option<&str>,
    body: &Value,
) -> tests::Answer {
    let mut request = HttpRequest::post("/register").header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut request = request.body(Body::from(body.to_string())).unwrap();
    if let Some(source) = source {
        request.extensions_mut().insert(SourceAddress(source.parse().unwrap()));
    }
    instance.send(request).await
}

async fn register(instance: &Instance, body: &Value) -> tests::Answer {
    register_from(instance, None, None, body).await
}

async fn count(instance: &Instance, table: &str) -> usize {
    let scan = instance.tables.client().scan().table_name(format!("test-{table}"));
    usize::try_from(scan.send().await.unwrap().count()).unwrap()
}

/// One person at one installation: through consent to tokens.
async fn connect(instance: &Instance, user: &str, client_id: &str, port: u16) -> (String, Tokens) {
    let redirect_uri = format!("http://localhost:{port}/callback");
    let request = Request::default().with("client_id", client_id).with("redirect_uri", &redirect_uri);
    let code = Browser::signed_in(instance, user).await.authorize(&request).await;
    let changes = [("client_id", client_id), ("redirect_uri", redirect_uri.as_str())];
    (code.clone(), Tokens::of(&token_request(instance, &code, &changes).await))
}

/// CAU-05, CID-03, REG-02, REG-03, REG-11, REG-05, REG-07, M11, M13: the answer says what is registered, and nothing null or empty.
#[tokio::test]
async fn a_registration_is_answered_with_what_is_registered() {
    let (world, instance) = open().await;
    let mut body = shell(4711);
    body["software_version"] = json!("1.2");
    body["contacts"] = json!(["x@a.example"]);
    body["software_statement"] = json!("eyJhbGciOiJub25lIn0.eyJjbGllbnRfbmFtZSI6IkEgYmFuayJ9.");
    body["scope"] = json!("notes:write unheard:of notes:read");
    let answer = register(&instance, &body).await;
    answer.assert_status(201);
    assert_eq!(answer.header("cache-control"), "no-store");
    let mut registered = answer.json();
    let client_id = registered["client_id"].take();
    assert!(client_id.as_str().unwrap().starts_with("dyn~"));
    assert_eq!(
        registered,
        json!({
            "client_id": null,
            "client_id_issued_at": world.clock.now().epoch_seconds(),
            "client_name": "Shell",
            "redirect_uris": ["http://localhost:4711/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "scope": "notes:read notes:write"
        })
    );
}

/// CON-07, DOC-06, REG-10: whoever registers without a name is shown by its identifier, and nothing that a client says
/// of itself is shown as if it were known to be true.
#[tokio::test]
async fn a_nameless_registration_is_shown_by_its_identifier() {
    let (_world, instance) = open().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    for name in [None, Some("A bank")] {
        let mut body = shell(4711);
        match name {
            Some(name) => body["client_name"] = json!(name),
            None => drop(body.as_object_mut().unwrap().remove("client_name")),
        }
        let client_id = register(&instance, &body).await.assert_status(201).json()["client_id"].take();
        let client_id = client_id.as_str().unwrap();
        let request = Request::default()
            .with("client_id", client_id)
            .with("redirect_uri", "http://localhost:4711/callback");
        let page = browser.get(&request.path()).await;
        page.assert_page(200);
        assert!(page.body.contains(name.unwrap_or(client_id)), "{}", page.body);
        let said = page.body.contains("not verified by your organisation");
        assert_eq!(said, name.is_some(), "{}", page.body);
    }
}

/// REG-01, M12, CLIENTS 9: discovery mentions registration only while it is on, and off says so in words.
#[tokio::test]
async fn registration_is_off_unless_it_was_turned_on() {
    let world = World::new().await;
    let instance = world.instance().await;
    let metadata = |answer: tests::Answer| answer.json()["registration_endpoint"].clone();
    assert_eq!(metadata(instance.get("/.well-known/oauth-authorization-server").await), Value::Null);
    let refused = register(&instance, &shell(1)).await;
    refused.assert_status(403);
    assert_eq!(refused.error(), "access_denied");
    assert!(refused.json()["error_description"].as_str().unwrap().contains("administrator"));
    assert_eq!(count(&instance, "registrations").await, 0);

    let (_world, instance) = open().await;
    let endpoint = metadata(instance.get("/.well-known/oauth-authorization-server").await);
    assert!(endpoint.as_str().unwrap().ends_with("/register"), "{endpoint}");
}

/// REG-08: with the mode `token`, a stranger registers nothing.
#[tokio::test]
async fn an_initial_access_token_is_asked_for_where_policy_says_so() {
    // SHA-256 of "test".
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let rules = json!({"mode": "token", "initial_access_token_sha256": [digest]});
    let world = World::with_policy(&policy(rules)).await;
    let instance = world.instance().await;
    for token in [None, Some("guess"), Some(digest)] {
        let answer = register_from(&instance, None, token, &shell(1)).await;
        answer.assert_status(401);
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    assert_eq!(count(&instance, "registrations").await, 0);
    register_from(&instance, None, Some("test"), &shell(1)).await.assert_status(201);
}

/// REG-04, REG-06, M10: refusals carry the codes of RFC 7591 §3.2.2 and leave nothing behind.
#[tokio::test]
async fn bad_metadata_is_refused_by_its_registered_code() {
    let (_world, instance) = open().await;
    for (name, value, code) in [
        ("redirect_uris", json!(["http://evil.example/cb"]), "invalid_redirect_uri"),
        ("redirect_uris", json!("https://a.example/cb"), "invalid_redirect_uri"),
        ("token_endpoint_auth_method", json!("tls_client_auth"), "invalid_client_metadata"),
        ("response_types", json!(["token"]), "invalid_client_metadata"),
    ] {
        let mut body = shell(1);
        body[name] = value;
        let answer = register(&instance, &body).await;
        answer.assert_status(400);
        assert_eq!(answer.error(), code, "{body}");
    }
    for body in [json!([]), json!("x")] {
        assert_eq!(register(&instance, &body).await.error(), "invalid_client_metadata");
    }
    assert_eq!(count(&instance, "registrations").await, 0);
    assert_eq!(count(&instance, "rates").await, 0);
}

/// Invariant 3: the sprawl test, dynamic half. A thousand registrations on a thousand ports are one item,
/// written once; people who use it share one tool.
#[tokio::test]
async fn a_thousand_registrations_of_one_software_are_one_client() {
    let (_world, instance) = open().await;
    let first = register(&instance, &shell(1)).await.json()["client_id"].clone();
    instance.calls.take();
    for port in 2..=1_000 {
        let answer = register(&instance, &shell(port)).await;
        assert_eq!(answer.json()["client_id"], first);
    }
    let calls = instance.calls.take();
    let writes = calls.iter().filter(|name| !name.contains("Get")).count();
    assert_eq!((calls.len() <= 1_001, writes), (true, 0), "a known client costs one read");

    let client_id = first.as_str().unwrap();
    for user in 0..20 {
        for port in [20_000, 30_000, 40_000] {
            connect(&instance, &format!("user-{user}"), client_id, port).await;
        }
    }
    let counts = (
        count(&instance, "tools").await,
        count(&instance, "registrations").await,
        count(&instance, "grants").await,
    );
    println!(
        "1,000 registrations, 20 people, 3 installations each: tools, registrations, grants = {counts:?}"
    );
    assert_eq!(counts, (1, 1, 60));
}

/// CVE-2026-44476, REG-02: each installation has a secret of its own, without an item; who was given one
/// cannot do without it, and it dies with the registration's epoch.
#[tokio::test]
async fn a_client_that_was_given_a_secret_must_show_it() {
    let (world, instance) = open().await;
    let mut body = shell(5000);
    body["token_endpoint_auth_method"] = json!("client_secret_post");
    let (one, two) = (register(&instance, &body).await.json(), register(&instance, &body).await.json());
    assert_eq!(one["client_id"], two["client_id"]);
    assert_ne!(one["client_secret"], two["client_secret"]);
    let expires_at = one["client_secret_expires_at"].as_u64().unwrap();
    assert!(expires_at > world.clock.now().epoch_seconds());

    let client_id = one["client_id"].as_str().unwrap();
    let redirect_uri = "http://localhost:5000/callback";
    let request = Request::default().with("client_id", client_id).with("redirect_uri", redirect_uri);
    for (secret, status) in [("", 401), ("wrong", 401), (two["client_secret"].as_str().unwrap(), 200)] {
        let code = Browser::signed_in(&instance, "ada").await.authorize(&request).await;
        let changes = [("client_id", client_id), ("redirect_uri", redirect_uri), ("client_secret", secret)];
        let answer = token_request(&instance, &code, &changes).await;
        answer.assert_status(status);
        if status == 401 {
            assert_eq!(answer.error(), "invalid_client");
        }
    }
}

/// REG-09: unused for a day, it is gone; in use, it stays; gone, the client learns that it must register anew.
#[tokio::test]
async fn a_registration_lives_while_it_is_used() {
    let (world, instance) = open().await;
    let client_id = register(&instance, &shell(1)).await.json()["client_id"].as_str().unwrap().to_owned();
    world.clock.advance(HOUR * 23);
    let (_, tokens) = connect(&instance, "ada", &client_id, 1).await;
    world.clock.advance(HOUR * 24 * 6);
    let refreshed = Tokens::of(&tokens.refresh(&instance, &client_id).await);
    world.clock.advance(HOUR * 24 * 91);
    let gone = refreshed.refresh(&instance, &client_id).await;
    gone.assert_status(401);
    assert_eq!(gone.error(), "invalid_client");

    let again = register(&instance, &shell(2)).await;
    again.assert_status(201);
    assert_eq!(again.json()["client_id"], client_id.as_str(), "the same software is the same client");
    world.clock.advance(HOUR * 25);
    let request =
        Request::default().with("client_id", &client_id).with("redirect_uri", "http://localhost:1/callback");
    let page = Browser::signed_in(&instance, "ada").await.get(&request.path()).await;
    assert!(page.status.is_client_error(), "{}", page.status);
}

/// Invariant 4: a disabled tool does not come back by registering.
#[tokio::test]
async fn a_disabled_tool_cannot_register_itself_back() {
    let (_world, instance) = open().await;
    let client_id = register(&instance, &shell(1)).await.json()["client_id"].as_str().unwrap().to_owned();
    connect(&instance, "ada", &client_id, 1).await;
    let tool = ToolId::of_registration("loopback", &client_id);
    let tools = ToolStore::new(instance.tables.clone());
    let changed = tools.change(&tool, &Change::Disable, None).await.unwrap();
    assert!(matches!(changed, Changed::Made(_)));
    register(&instance, &shell(2)).await.assert_status(403);
}

/// RR085, REG-08: a flood is bounded for each source and in total, for all instances together, and known
/// clients go on.
#[tokio::test]
async fn a_flood_of_strangers_is_bounded_and_known_clients_go_on() {
    let rules = json!({"mode": "on", "new_per_source_per_hour": 10, "new_per_hour": 30});
    let world = World::with_policy(&policy(rules)).await;
    let instances = [world.instance().await, world.instance().await];
    let other = |n: u32| {
        let mut body = shell(1);
        body["client_name"] = json!(format!("Flood {n}"));
        body
    };
    let mut by_source = std::collections::BTreeMap::<&str, u32>::new();
    let mut n = 0;
    for source in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"] {
        for _ in 0..15 {
            n += 1;
            let instance = &instances[usize::try_from(n % 2).unwrap()];
            let answer = register_from(instance, Some(source), None, &other(n)).await;
            match answer.status.as_u16() {
                201 => *by_source.entry(source).or_default() += 1,
                429 => assert!(answer.header("retry-after").parse::<u64>().unwrap() <= 3600),
                status => panic!("{status}"),
            }
        }
    }
    assert!(by_source.values().all(|count| *count <= 10), "{by_source:?}");
    assert!((20..=30).contains(&by_source.values().sum::<u32>()), "{by_source:?}");
    instances[0].calls.take();
    for n in 1000..1100 {
        register_from(&instances[0], Some("192.0.2.9"), None, &other(n)).await.assert_status(429);
    }
    let writes = instances[0].calls.take().iter().filter(|name| !name.contains("Get")).count();
    assert!(writes <= 1, "{writes} writes for a hundred refusals");
    register_from(&instances[0], Some("192.0.2.1"), None, &other(1)).await.assert_status(201);
    world.clock.advance(HOUR);
    register_from(&instances[0], Some("192.0.2.9"), None, &other(2000)).await.assert_status(201);
}

/// GOV-06, GOV-13: each version is kept with who and when, a change is seen within seconds, and there is a
/// way back.
#[tokio::test]
async fn policy_versions_are_kept_and_can_be_rolled_back() {
    let (world, instance) = open().await;
    let clock = world.clock.as_ref();
    register(&instance, &shell(1)).await.assert_status(201);
    let other = world.instance().await;
    assert!(other.policies.replace(1, &Policy::default(), "alice", clock.now()).await.unwrap());
    assert!(!other.policies.replace(1, &Policy::default(), "mallory", clock.now()).await.unwrap());
    world.clock.advance(shared::aws::POLICY_STALENESS);
    register(&instance, &shell(1)).await.assert_status(403);

    let rolled_back = other.policies.roll_back(2, 1, "bob", clock.now()).await.unwrap();
    assert_eq!(rolled_back, RollBack::Done(3));
    assert_eq!(other.policies.roll_back(2, 1, "bob", clock.now()).await.unwrap(), RollBack::Conflict);
    assert_eq!(other.policies.roll_back(3, 9, "bob", clock.now()).await.unwrap(), RollBack::NoSuchVersion);
    let history = other.policies.history(10).await.unwrap();
    let told: Vec<_> = history.iter().map(|known| (known.version, known.by.as_str())).collect();
    assert_eq!(told, [(3, "bob"), (2, "alice"), (1, "tests")]);
    world.clock.advance(shared::aws::POLICY_STALENESS);
    register(&instance, &shell(1)).await.assert_status(201);
}
