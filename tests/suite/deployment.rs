//! What is deployed is what is written: the template, the watch router, and the source say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use shared::aws::table::{Permission, TABLES};
use tests::{Administrator, Browser, CLIENT_ID, Request, Tokens, World, document, form, token_request};

use crate::tidy::root;

/// A function: its name, its routes, its rights.
type Function = (&'static str, &'static [(&'static str, &'static str)], &'static [Permission]);

const FUNCTIONS: [Function; 6] = [
    ("admin", admin::ROUTES, admin::PERMISSIONS),
    ("authorize", authorize::ROUTES, authorize::PERMISSIONS),
    ("fetch", &[], fetch::PERMISSIONS),
    ("register", register::ROUTES, register::PERMISSIONS),
    ("steward", &[], steward::PERMISSIONS),
    ("token", token::ROUTES, token::PERMISSIONS),
];

/// The template, its short tags (`!Ref`, `!GetAtt`) read as the plain values behind them.
fn template() -> Value {
    let text = fs::read_to_string(root().join("infra/template.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// The resources of a type, by name, with their properties.
fn resources<'a>(template: &'a Value, kind: &str) -> BTreeMap<&'a str, &'a Value> {
    let all = template["Resources"].as_object().unwrap();
    let of_kind = all.iter().filter(|(_, resource)| resource["Type"] == kind);
    of_kind.map(|(name, resource)| (name.as_str(), &resource["Properties"])).collect()
}

fn strings(value: &Value) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(|entry| entry.as_str().unwrap().to_owned()).collect()
}

/// `ToolsTable` for `tools`.
fn resource_name(table: &str) -> String {
    let (first, rest) = table.split_at(1);
    format!("{}{rest}Table", first.to_uppercase())
}

#[test]
fn the_template_has_the_tables_of_the_source_and_no_others() {
    let template = template();
    let found = resources(&template, "AWS::DynamoDB::Table");
    let names: BTreeSet<String> = found.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(names, TABLES.iter().map(|table| resource_name(table.name)).collect());
    for table in TABLES {
        let properties = found[resource_name(table.name).as_str()];
        let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
        assert_eq!(properties["TableName"], format!("${{AWS::StackName}}-{}", table.name));
        assert_eq!(properties["KeySchema"], json!([key(table.key, "HASH")]), "{}", table.name);
        let ttl = table.ttl.map_or(Value::Null, |name| json!({"AttributeName": name, "Enabled": true}));
        assert_eq!(properties["TimeToLiveSpecification"], ttl, "{}", table.name);
        let indexes = table.indexes.iter().map(|index| {
            let sort = index.sort.map(|sort| key(sort, "RANGE"));
            let projection = match index.include {
                Some(attributes) => json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": attributes}),
                None => json!({"ProjectionType": "ALL"}),
            };
            let keys: Vec<Value> = std::iter::once(key(index.key, "HASH")).chain(sort).collect();
            json!({"IndexName": index.name, "KeySchema": keys, "Projection": projection})
        });
        let indexes: Vec<Value> = indexes.collect();
        let found = properties["GlobalSecondaryIndexes"].as_array().cloned().unwrap_or_default();
        assert_eq!(found, indexes, "{}", table.name);
        let attributes: BTreeSet<&str> = std::iter::once(table.key)
            .chain(table.indexes.iter().flat_map(|index| std::iter::once(index.key).chain(index.sort)))
            .collect();
        let defined = properties["AttributeDefinitions"].as_array().unwrap();
        assert_eq!(
            defined
                .iter()
                .map(|attribute| attribute["AttributeName"].as_str().unwrap())
                .collect::<BTreeSet<_>>(),
            attributes
        );
        assert!(defined.iter().all(|attribute| attribute["AttributeType"] == "S"));
        assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST");
    }
}

/// Nothing that took people's consent to make is lost by deleting a stack or by a slip in a console.
#[test]
fn tables_and_the_wrapping_key_outlive_the_stack() {
    let template = template();
    let kept = template["Resources"].as_object().unwrap().iter().filter(|(_, resource)| {
        ["AWS::DynamoDB::Table", "AWS::KMS::Key"].contains(&resource["Type"].as_str().unwrap())
    });
    let mut count = 0;
    for (name, resource) in kept {
        count += 1;
        assert_eq!(resource["DeletionPolicy"], "Retain", "{name}");
        assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{name}");
        if resource["Type"] == "AWS::DynamoDB::Table" {
            let properties = &resource["Properties"];
            assert_eq!(properties["DeletionProtectionEnabled"], true, "{name}");
            let recovery = &properties["PointInTimeRecoverySpecification"];
            assert_eq!(recovery["PointInTimeRecoveryEnabled"], true, "{name}");
        } else {
            assert_eq!(resource["Properties"]["EnableKeyRotation"], true);
        }
    }
    assert_eq!(count, TABLES.len() + 1);
}

/// Everything below `/admin/v1`, as the gateway spells it: what is no route there is refused to whoever did
/// not sign, as everything else is.
const ADMIN_ROUTE: &str = "/admin/v1/{proxy+}";

/// Path to function, by the functions' own route tables.
fn routes() -> BTreeMap<String, String> {
    let of = |(name, routes, _): &(&str, &'static [(&str, &str)], _)| {
        let name = (*name).to_owned();
        let gateway =
            |path: &str| if path.starts_with(admin::PREFIX) { ADMIN_ROUTE } else { path }.to_owned();
        routes.iter().map(move |(_, path)| (gateway(path), name.clone())).collect::<Vec<_>>()
    };
    FUNCTIONS.iter().flat_map(of).collect()
}

#[test]
fn the_gateway_has_one_route_for_each_path_of_the_route_tables() {
    let template = template();
    let mut found = BTreeMap::new();
    for (name, route) in resources(&template, "AWS::ApiGatewayV2::Route") {
        let path = route["RouteKey"].as_str().unwrap().strip_prefix("ANY ").unwrap();
        let target = route["Target"].as_str().unwrap();
        let target = target.strip_prefix("integrations/${").unwrap().strip_suffix("Integration}").unwrap();
        // AD058: nothing below it without a signature that the gateway has checked.
        let authorization = if path == ADMIN_ROUTE { "AWS_IAM" } else { "NONE" };
        assert_eq!(route["AuthorizationType"], authorization, "{name}");
        assert!(found.insert(path.to_owned(), target.to_owned()).is_none(), "{path} twice");
    }
    assert_eq!(found, routes());
    for (name, integration) in resources(&template, "AWS::ApiGatewayV2::Integration") {
        let function = name.strip_suffix("Integration").unwrap();
        assert_eq!(integration["IntegrationUri"], format!("{function}.Arn"));
        // FM082: what the recorded events are.
        assert_eq!(integration["PayloadFormatVersion"], "2.0");
        // FM080: the gateway gives up last.
        let timeout = template["Resources"][function]["Properties"]["Timeout"].as_u64().unwrap();
        assert!(integration["TimeoutInMillis"].as_u64().unwrap() >= (timeout + 2) * 1000, "{function}");
    }
}

#[test]
fn the_watch_router_has_the_routes_of_the_gateway() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, rest) = manifest.split_once("\n[workspace.metadata.lambda.watch.router]\n").unwrap();
    let (table, _) = rest.split_once("\n\n").unwrap();
    let found: BTreeMap<String, String> = table
        .lines()
        .map(|line| {
            let (path, function) = line.split_once(" = ").unwrap();
            // The two spell a path's rest differently.
            (path.trim_matches('"').replace("{*proxy}", "{proxy+}"), function.trim_matches('"').to_owned())
        })
        .collect();
    assert_eq!(found, routes());
}

/// What a role may do: action to resources, as the template names them.
fn granted(template: &Value, function: &str) -> BTreeSet<(String, String)> {
    let role = &template["Resources"][format!("{function}Role")]["Properties"];
    let policies = role["Policies"].as_array().unwrap();
    let statements =
        policies.iter().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
    let mut granted = BTreeSet::new();
    for statement in statements {
        assert_eq!(statement["Effect"], "Allow");
        let resource = statement["Resource"].as_str().unwrap();
        for action in strings(&statement["Action"]) {
            assert!(!action.contains('*') && resource != "*", "{function}: {action} on {resource}");
            assert!(granted.insert((action, resource.to_owned())), "{function}: twice on {resource}");
        }
    }
    granted
}

fn pairs(entries: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    entries.iter().map(|(action, resource)| ((*action).to_owned(), (*resource).to_owned())).collect()
}

/// What a function says that it does to tables, as the template names them.
pub(crate) fn declared(permissions: &[Permission]) -> BTreeSet<(String, String)> {
    let of = |(table, rights): &Permission| {
        rights.iter().map(|right| named(right.action(), &right.resource(table.name))).collect::<Vec<_>>()
    };
    permissions.iter().flat_map(of).collect()
}

/// A right on a table or index as the template names it.
fn named(action: &str, resource: &str) -> (String, String) {
    let resource = match resource.split_once('/') {
        None => format!("{}.Arn", resource_name(resource)),
        Some((table, index)) => format!("${{{}.Arn}}/{index}", resource_name(table)),
    };
    (action.to_owned(), resource)
}

/// Invariant 11: a function is its permission list.
#[test]
fn each_role_allows_what_its_function_does_and_nothing_else() {
    let template = template();
    for (function, _, permissions) in FUNCTIONS {
        let log = format!("{function}Log.Arn");
        let mut expected = declared(permissions);
        expected.extend(pairs(&[("logs:CreateLogStream", &log), ("logs:PutLogEvents", &log)]));
        expected.extend(match function {
            "authorize" | "token" => {
                pairs(&[("kms:Decrypt", "WrappingKey.Arn"), ("lambda:InvokeFunction", "fetch.Arn")])
            }
            "admin" => pairs(&[
                ("kms:Decrypt", "WrappingKey.Arn"),
                ("kms:Encrypt", "WrappingKey.Arn"),
                ("lambda:InvokeFunction", "fetch.Arn"),
            ]),
            "register" => pairs(&[("kms:Decrypt", "WrappingKey.Arn")]),
            "steward" => pairs(&[("kms:Encrypt", "WrappingKey.Arn")]),
            _ => BTreeSet::new(),
        });
        assert_eq!(granted(&template, function), expected, "{function}");
        let properties = &template["Resources"][function]["Properties"];
        assert_eq!(properties["Role"], format!("{function}Role.Arn"));
        assert_eq!(properties["LoggingConfig"]["LogGroup"], format!("{function}Log"));
        assert_eq!(properties["CodeUri"], format!("../target/lambda/{function}/"));
    }
    let names: BTreeSet<&str> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
    let found = resources(&template, "AWS::Serverless::Function");
    assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), names);
    assert_eq!(resources(&template, "AWS::IAM::Role").len(), names.len());
}

/// FET-14: the function that reads what strangers write has no permission, secret, network, or way in.
#[test]
fn the_fetch_function_has_nothing_worth_taking() {
    let template = template();
    let log = "fetchLog.Arn";
    let expected = pairs(&[("logs:CreateLogStream", log), ("logs:PutLogEvents", log)]);
    assert_eq!(granted(&template, "fetch"), expected);
    assert!(template["Resources"]["fetchRole"]["Properties"].get("ManagedPolicyArns").is_none());
    let properties = template["Resources"]["fetch"]["Properties"].as_object().unwrap();
    for absent in ["Environment", "VpcConfig", "Events", "Tracing", "Layers", "FunctionUrlConfig", "Policies"]
    {
        assert!(!properties.contains_key(absent), "{absent}");
    }
    assert_eq!(properties["ReservedConcurrentExecutions"], "FetchConcurrency");
    let globals = template["Globals"]["Function"]["Environment"]["Variables"].as_object().unwrap();
    assert_eq!(globals.keys().collect::<Vec<_>>(), ["ISSUER"]);
    let permissions = resources(&template, "AWS::Lambda::Permission");
    assert!(permissions.values().all(|permission| permission["FunctionName"] != "fetch"));
}

/// SECURITY section 3, administration: only our gateway, and nobody's made-up event, starts a function.
#[test]
fn only_our_own_gateway_may_invoke_what_has_a_route() {
    let template = template();
    let permissions = resources(&template, "AWS::Lambda::Permission");
    let invoked: BTreeSet<&str> =
        permissions.values().map(|permission| permission["FunctionName"].as_str().unwrap()).collect();
    let routed: BTreeSet<String> = routes().into_values().collect();
    assert_eq!(invoked, routed.iter().map(String::as_str).collect());
    for permission in permissions.values() {
        assert_eq!(permission["Principal"], "apigateway.amazonaws.com");
        assert!(permission["SourceArn"].as_str().unwrap().contains(":${Api}/"));
    }
}

#[test]
fn every_alarm_has_a_runbook() {
    let template = template();
    let operations = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let alarms = resources(&template, "AWS::CloudWatch::Alarm");
    assert!(alarms.len() >= 5);
    for (name, alarm) in alarms {
        let description = alarm["AlarmDescription"].as_str().unwrap();
        let (_, rest) = description.split_once("See \"").unwrap_or_else(|| panic!("{name}: {description}"));
        let (heading, _) = rest.split_once('"').unwrap();
        assert!(operations.contains(&format!("\n### {heading}\n")), "{name}: no runbook {heading:?}");
    }
}

/// Rights in `used` on tables whose names begin with `prefix`, as the template names them.
pub(crate) fn as_named(used: BTreeSet<(String, String)>, prefix: &str) -> BTreeSet<(String, String)> {
    used.into_iter().map(|(action, table)| named(&action, table.strip_prefix(prefix).unwrap())).collect()
}

/// Invariant 11, seen from the other side: what the functions do is what they say, all of it.
#[tokio::test]
async fn the_functions_use_the_rights_that_they_name() {
    let world = World::new().await;
    let (mut authorize, mut token) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..2 {
        let instance = world.cold_instance();
        let mut browser = Browser::signed_in(&instance, "ada").await;
        let code = browser.authorize(&Request::default()).await;
        authorize.extend(instance.calls.take_rights());

        let instance = world.cold_instance();
        let tokens = Tokens::of(&token_request(&instance, &code, &[]).await);
        let tokens = Tokens::of(&tokens.refresh(&instance, CLIENT_ID).await);
        token.extend(instance.calls.take_rights());
        // Long enough for the next use of the tool to be worth noting.
        world.clock.advance(Duration::from_secs(2 * 60 * 60));
        let tokens = Tokens::of(&tokens.refresh(&instance, CLIENT_ID).await);
        tokens.refresh(&instance, CLIENT_ID).await.assert_status(200);
        token.extend(instance.calls.take_rights());
        world.clock.advance(Duration::from_secs(2 * 60 * 60));
    }
    let unused = |used, permissions| {
        let (used, declared) = (as_named(used, "test-"), declared(permissions));
        assert_eq!(used.difference(&declared).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
        declared.difference(&used).cloned().collect::<BTreeSet<_>>()
    };
    // Logos, registrations that made themselves, ending a connection, and what is audited have stories of
    // their own.
    let registered = pairs(&[
        ("dynamodb:BatchGetItem", "DocumentsTable.Arn"),
        ("dynamodb:UpdateItem", "RegistrationsTable.Arn"),
        ("dynamodb:UpdateItem", "GrantsTable.Arn"),
    ]);
    assert_eq!(unused(authorize, authorize::PERMISSIONS), registered);
    // Confidential clients and proofs of possession have stories of their own.
    let elsewhere = pairs(&[
        ("dynamodb:BatchGetItem", "AuditTable.Arn"),
        ("dynamodb:PutItem", "AuditTable.Arn"),
        ("dynamodb:UpdateItem", "AuditTable.Arn"),
        ("dynamodb:GetItem", "DocumentsTable.Arn"),
        ("dynamodb:PutItem", "DocumentsTable.Arn"),
        ("dynamodb:UpdateItem", "DocumentsTable.Arn"),
        ("dynamodb:PutItem", "ReplaysTable.Arn"),
        ("dynamodb:UpdateItem", "FailuresTable.Arn"),
        // So have registrations that made themselves.
        ("dynamodb:UpdateItem", "RegistrationsTable.Arn"),
    ]);
    assert_eq!(unused(token, token::PERMISSIONS), elsewhere);
}

/// Idea behind the cap on the fetch function: being turned away by it is nobody's fault.
#[tokio::test]
async fn a_fetch_that_found_no_room_says_try_again_and_leaves_no_trace() {
    let world = World::new().await;
    let instance = world.instance().await;
    let mut browser = Browser::signed_in(&instance, "ada").await;
    world.fetcher.fail(CLIENT_ID, shared::fetch::FetchError::Busy);
    let busy = browser.get(&Request::default().path()).await;
    busy.assert_page(503);
    assert!(!busy.header("retry-after").is_empty());
    // No second has passed: the URL does not rest as it would after a failure of its host.
    world.fetcher.answer(CLIENT_ID, &tests::document(CLIENT_ID), None);
    browser.get(&Request::default().path()).await.assert_page(200);
}

/// Invariant 11 for administrators, who reach most: merging, deleting, and replacing keys included.
#[tokio::test]
async fn administration_uses_the_rights_that_it_names() {
    let world = World::new().await;
    let instance = world.cold_instance();
    let mut browser = Browser::signed_in(&instance, "ada").await;
    browser.tokens().await;
    let admin = Administrator::new(&world, &instance);
    instance.calls.take_rights();

    let renamed = document(CLIENT_ID).replace("Example Agent", "Renamed");
    world.clock.advance(Duration::from_secs(3600));
    world.fetcher.answer(CLIENT_ID, &renamed, None);
    let refresh = json!({"client_id": CLIENT_ID});
    admin.post("/admin/v1/documents/refresh", refresh).await.assert_status(200);
    admin.get("/admin/v1/documents").await.assert_status(200);
    let client_id = form(&[("client_id", CLIENT_ID)]);
    admin.get(&format!("/admin/v1/documents/history?{client_id}")).await.assert_status(200);

    let listed = admin.get("/admin/v1/tools?q=example").await.assert_status(200).json();
    let tool = listed["tools"][0]["id"].as_str().unwrap().to_owned();
    let grants = admin.get(&format!("/admin/v1/grants?tool={tool}")).await.assert_status(200).json();
    let grant = &grants["grants"][0];
    let subject = form(&[("subject", grant["subject"].as_str().unwrap())]);
    admin.get(&format!("/admin/v1/grants?{subject}")).await.assert_status(200);
    let revoke = format!("/admin/v1/grants/{}/revoke", grant["id"].as_str().unwrap());
    admin.post(&revoke, json!({})).await.assert_status(200);

    let new = json!({"name": "Notes", "redirect_uris": ["https://notes.example/cb"],
        "token_endpoint_auth_method": "client_secret_basic"});
    let made = admin.post("/admin/v1/registrations", new).await.assert_status(201).json();
    let client_id = made["registration"]["client_id"].as_str().unwrap().to_owned();
    let into = made["registration"]["tool"].as_str().unwrap().to_owned();
    let rotate = json!({"client_id": client_id});
    admin.post("/admin/v1/registrations/rotate-secret", rotate).await.assert_status(200);
    let merge = format!("/admin/v1/tools/{tool}/merge");
    admin.post(&merge, json!({"into": into})).await.assert_status(200);
    for decision in ["disable", "enable", "rotate", "revoke"] {
        admin.post(&format!("/admin/v1/tools/{into}/{decision}"), json!({})).await.assert_status(200);
    }
    let removed = admin.delete(&format!("/admin/v1/registrations?client_id={client_id}")).await;
    removed.assert_status(200);
    admin.delete(&format!("/admin/v1/tools/{into}")).await.assert_status(200);

    let shown = admin.get("/admin/v1/policy").await;
    let tag = shown.header("etag").to_owned();
    let policy = json!({"resources": [{"resource": "https://mcp.example/mcp", "name": "Notes"}]});
    let put = admin.send("PUT", "/admin/v1/policy", Some(&policy), &[("if-match", &tag)]).await;
    put.assert_status(200);
    admin.get("/admin/v1/policy/history").await.assert_status(200);
    admin.post("/admin/v1/policy/rollback", json!({"version": 1})).await.assert_status(200);
    for usage in ["sig", "seal"] {
        admin.post("/admin/v1/keys/rotate", json!({"usage": usage})).await.assert_status(200);
    }
    admin.post("/admin/v1/audit/anchors", json!({})).await.assert_status(200);
    assert_eq!(admin.get("/admin/v1/audit/verify").await.assert_status(200).json()["intact"], true);
    assert_eq!(as_named(instance.calls.take_rights(), "test-"), declared(admin::PERMISSIONS));
}
