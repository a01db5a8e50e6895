//! API Gateway's events (payload format 2.0), as recorded, through the very conversion that runs on Lambda.

use std::fs;

use axum::body::Body;
use tests::{Answer, Instance, World};

use crate::tidy::root;

/// The recorded event as the routers get it.
fn request(name: &str) -> http::Request<Body> {
    let path = root().join("tests/fixtures/events").join(format!("{name}.json"));
    let event = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let request: lambda_http::Request = shared::lambda::from_gateway(event).into();
    request.map(|body| Body::from(body.to_vec()))
}

async fn send(instance: &Instance, name: &str) -> Answer {
    instance.send(request(name)).await
}

/// FM082: the gateway joins repeated parameters with commas in its map of them; the raw query does not.
#[tokio::test]
async fn a_repeated_parameter_is_seen_and_a_comma_is_none() {
    let world = World::new().await;
    let instance = world.instance().await;
    let repeated = send(&instance, "authorize_repeated").await;
    repeated.assert_page(400);
    let reason = repeated.note.reason.clone().unwrap_or_default();
    assert!(reason.contains("client_id"), "{reason}");
    let query = request("authorize_commas").uri().query().map(str::to_owned).unwrap();
    assert!(query.contains("scope=notes%3Aread%20a%2Cb&state=x%2Cy%26z"), "{query}");
    let params = shared::oauth::Params::parse(&query).unwrap();
    assert_eq!((params.get("scope"), params.get("state")), (Some("notes:read a,b"), Some("x,y&z")));
    assert!(params.refuse_repeated().is_ok());
    let repeated = send(&instance, "token_repeated_in_base64").await;
    assert_eq!(repeated.error(), "invalid_request");
}

/// FM082: a body arrives in base64 or as it is, by the gateway's choice, and means the same.
#[tokio::test]
async fn a_body_means_the_same_in_base64_and_plain() {
    let world = World::new().await;
    let instance = world.instance().await;
    let plain = send(&instance, "token_plain").await;
    let encoded = send(&instance, "token_base64").await;
    assert_eq!((plain.status, &plain.body), (encoded.status, &encoded.body));
    assert_eq!(encoded.error(), "invalid_grant");
}

/// FM082: two `Content-Type` lines become one with a comma, which is no media type.
#[tokio::test]
async fn header_lines_that_were_joined_are_not_taken_for_one_of_them() {
    let world = World::new().await;
    let instance = world.instance().await;
    assert_eq!(send(&instance, "token_content_types_joined").await.error(), "invalid_request");
}

#[test]
fn cookies_come_as_an_array_and_leave_as_one_header() {
    let request = request("consent_cookies");
    assert_eq!(request.headers()["cookie"], "a=1; __Host-nameplate-flow-x=abc; b=2");
}

/// TOK-06: the routers answer preflight requests, so the gateway must hand them on.
#[tokio::test]
async fn preflight_and_head_requests_reach_the_routers() {
    let world = World::new().await;
    let instance = world.instance().await;
    let preflight = send(&instance, "token_preflight").await;
    preflight.assert_status(200);
    assert_eq!(preflight.header("access-control-allow-origin"), "*");
    assert!(preflight.header("access-control-allow-headers").contains("mcp-protocol-version"));
    send(&instance, "jwks_head").await.assert_status(200);
    send(&instance, "discovery").await.assert_status(200);
}

/// A stage in the path is no path of ours: the template's stage is `$default`.
#[tokio::test]
async fn a_path_with_a_stage_is_not_found() {
    let world = World::new().await;
    let instance = world.instance().await;
    send(&instance, "stage_in_path").await.assert_status(404);
}

/// FM062: characters that a query may not have make the conversion panic, unless they are taken care of before.
#[tokio::test]
async fn a_query_with_characters_that_no_query_may_have_is_answered() {
    let world = World::new().await;
    let instance = world.instance().await;
    let query = request("authorize_odd_characters").uri().query().map(str::to_owned).unwrap();
    assert_eq!(query, r"response_type=code&state=%22%3C%3E|^`{}\");
    send(&instance, "authorize_odd_characters").await.assert_page(400);
}

/// FM062: a body that is not the base64 it is said to be, a path and a domain that make no URL.
#[tokio::test]
async fn an_event_that_only_a_broken_gateway_sends_is_refused_and_nothing_panics() {
    let world = World::new().await;
    let instance = world.instance().await;
    let changed = |change: fn(&mut serde_json::Value)| {
        let path = root().join("tests/fixtures/events/token_base64.json");
        let mut event = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        change(&mut event);
        let event = serde_json::from_value(event).unwrap();
        let request: lambda_http::Request = shared::lambda::from_gateway(event).into();
        instance.send(request.map(|body| Body::from(body.to_vec())))
    };
    let body = changed(|event| event["body"] = "Z3Jhb:RfdHlw".into()).await;
    body.assert_status(400);
    assert_eq!(body.error(), "invalid_request");
    changed(|event| event["rawPath"] = ":token".into()).await.assert_status(404);
    for change in [
        (|event| event["requestContext"]["domainName"] = "a b:c".into()) as fn(&mut serde_json::Value),
        |event| event["requestContext"]["domainName"] = "as.ex`mple".into(),
        |event| event["headers"]["x-forwarded-proto"] = "a b".into(),
    ] {
        assert_eq!(changed(change).await.error(), "invalid_grant", "our name is of no consequence");
    }
}
