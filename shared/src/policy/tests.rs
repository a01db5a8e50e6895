use super::*;
use crate::client::metadata::{ApplicationType, GrantType};
use crate::client::redirect::RedirectKind;
use crate::tool::Mechanism;

fn policy(json: &str) -> Policy {
    Policy::from_json(json).unwrap_or_else(|error| panic!("{error}\n{json}"))
}

fn refused(json: &str) -> PolicyError {
    Policy::from_json(json).expect_err(json)
}

fn client_id(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

#[test]
fn an_empty_policy_is_valid_and_registers_nothing() {
    let policy = policy("{}");
    assert!(policy.resource("https://mcp.example").is_none());
    assert!(policy.default_resource().is_none());
    assert_eq!(policy.registration.mode, RegistrationMode::Off);
    assert_eq!(policy.decide_metadata_document("a.example"), DocumentDecision::Allowed);
}

#[test]
fn a_resource_without_default_scopes_grants_all_of_them_by_default() {
    let policy =
        policy(r#"{"resources":[{"resource":"https://x.example","scopes":[{"name":"a"},{"name":"b"}]}]}"#);
    assert_eq!(policy.default_resource().unwrap().default_scope().to_string(), "a b");
    assert_eq!(policy.scopes_supported(), ["a", "b", "offline_access"]);
}

/// FM094: a malformed policy is refused whole, with the reason and the line.
#[test]
fn what_is_wrong_is_named_with_its_line() {
    let resource = r#"{"resource": "https://x.example", "scopes": [{"name": "a"}]}"#;
    let cases: &[(&str, u64, &str)] = &[
        ("{\n\"recources\": []}", 2, "recources"),
        ("{\"resources\": [\n{\"resource\":\n\"http://x.example\"}]}", 3, "https"),
        (
            "{\"resources\": [{\"resource\": \"https://x.example\"},\n{\"resource\": \"https://x.example/\"}]}",
            2,
            "twice",
        ),
        (
            "{\"resources\": [{\"resource\": \"https://x.example\",\n\"scopes\": [{\"name\": \"a b\"}]}]}",
            2,
            "scope",
        ),
        (
            "{\"resources\": [{\"resource\": \"https://x.example\",\n\n\"default_scopes\": [\"a\"]}]}",
            3,
            "default scope",
        ),
        (
            "{\"resources\": [{\"resource\": \"https://x.example\",\n\"introspection_secrets\": [\"letmein\"]}]}",
            2,
            "resources[0].introspection_secrets[0]: must be the SHA-256 digest",
        ),
        (
            // Padded, and so never equal to what is computed.
            "{\"resources\": [{\"resource\": \"https://x.example\", \"introspection_secrets\": [\n\"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=\"]}]}",
            2,
            "43 characters",
        ),
        (
            // In hexadecimal.
            "{\"resources\": [{\"resource\": \"https://x.example\", \"introspection_secrets\": [\n\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"]}]}",
            2,
            "43 characters",
        ),
        ("{\"lifetimes\": {\n\"code_seconds\": 601}}", 2, "between 10 and 600"),
        ("{\n\"cache\": {\"floor_seconds\": 7200}}", 2, "rise"),
        ("{\"metadata_documents\": {\n\"mode\": \"ajar\"}}", 2, "ajar"),
        ("{\"metadata_documents\": {\"allow\": [\"a.example.com\",\n\"*.github.io\"]}}", 2, "*.github.io"),
        ("{\"metadata_documents\": {\"allow\": [\n\"a.*.example.com\"]}}", 2, "* in front"),
        ("{\"blocked\": {\n\"domains\": [\"co.uk\"]}}", 2, "registrable"),
        ("{\"blocked\": {\n\"clients\": [\"x\"]}}", 2, "clients"),
        ("{\"profiles\": [{\"name\": \"a\",\n\"match\": {\"hosts\": []}}]}", 2, "empty"),
        ("{\"profiles\": [{\"name\": \"a\"},\n{\"name\": \"b\"}]}", 2, "can never match: a"),
        (
            "{\"profiles\": [{\"name\": \"a\", \"match\": {\"has_keys\": true}},\n{\"name\": \"a\"}]}",
            2,
            "twice",
        ),
        ("{\"profiles\": [{\"name\": \"a\",\n\"lifetimes\": {\"access_token_seconds\": 1}}]}", 2, "between"),
        ("{\"profiles\": [{\"name\": \"a\",\n\"match\": {\"host\": [\"a.example\"]}}]}", 2, "host"),
        (
            "{\"profiles\": [{\n\"name\": \"editor\", \"match\": {\"has_keys\": true}}]}",
            2,
            "match no profile",
        ),
        ("{\"dynamic_registration\": {\n\"mode\": \"token\"}}", 2, "initial access token"),
        ("{\"dynamic_registration\": {\"initial_access_token_sha256\": [\n\"letmein\"]}}", 2, "hexadecimal"),
        ("{\"adoption\": [\n{\"tool\": \"a\"}]}", 2, "exactly one"),
        ("{\"adoption\": [\n{\"tool\": \"a\", \"software_id\": \"x\"}]}", 2, "exactly one"),
        ("{\"adoption\": [{\n\"tool\": \"A tool\", \"client_id\": \"x\"}]}", 2, "a tool id has"),
        ("{\"adoption\": [{\"tool\": \"a\", \"redirect_hosts\": [\n\"*.a.example\"]}]}", 2, "no host"),
    ];
    for (json, line, reason) in cases {
        let error = refused(json).to_string();
        assert!(error.contains(&format!("line {line}")), "{json}: {error}");
        assert!(error.contains(reason), "{json}: {error}");
    }
    let ceiling = format!(
        "{{\"resources\": [{resource}],\n\"profiles\": [{{\"name\": \"p\",\n\"scope_ceiling\": [\"a\",\n\"delete\"]}}]}}"
    );
    let error = refused(&ceiling);
    assert_eq!(error.fault, PolicyFault::UnknownScope("delete".to_owned()));
    assert_eq!(
        error.to_string().split(": ").take(2).collect::<Vec<_>>(),
        ["line 4", "profiles[0].scope_ceiling[1]"]
    );
    assert_eq!(refused(&" ".repeat(POLICY_BYTES_MAX + 1)).fault, PolicyFault::TooLarge);
}

/// GOV-04, GOV-06: deny beats allow in every mode.
#[test]
fn deny_beats_allow_and_the_mode_decides_the_rest() {
    use DocumentDecision::{Allowed, NeedsApproval, Refused};
    let decide = |mode: &str, host: &str| {
        policy(&format!(
            r#"{{"metadata_documents":{{"mode":"{mode}","allow":["a.example.com","*.tools.example"],
            "deny":["bad.tools.example","*.github.io"]}}}}"#
        ))
        .decide_metadata_document(host)
    };
    for mode in ["open", "listed", "approval", "off"] {
        for host in ["bad.tools.example", "BAD.tools.example", "x.github.io"] {
            assert_eq!(decide(mode, host), Refused(DocumentRefusal::Denied), "{mode} {host}");
        }
    }
    for (mode, listed, other) in [
        ("open", Allowed, Allowed),
        ("listed", Allowed, Refused(DocumentRefusal::NotListed)),
        ("approval", Allowed, NeedsApproval),
        ("off", Refused(DocumentRefusal::Off), Refused(DocumentRefusal::Off)),
    ] {
        assert_eq!(decide(mode, "a.example.com"), listed, "{mode}");
        assert_eq!(decide(mode, "good.tools.example"), listed, "{mode}");
        assert_eq!(decide(mode, "b.example.com"), other, "{mode}");
        assert_eq!(decide(mode, "a.example.com.evil.example"), other, "{mode}");
    }
}

/// GOV-15: the exact identifier, a host, or a whole registrable domain.
#[test]
fn what_is_blocked_is_blocked_by_id_host_or_domain() {
    let policy = policy(
        r#"{"blocked":{"client_ids":["https://a.example.com/c"],"hosts":["b.example.com"],"domains":["evil.co.uk"]}}"#,
    );
    let block = |id: &str, host: Option<&str>| policy.block(&client_id(id), host);
    assert_eq!(block("https://a.example.com/c", Some("a.example.com")), Some(Block::ClientId));
    assert_eq!(block("https://a.example.com/c2", Some("a.example.com")), None);
    assert_eq!(block("https://b.example.com/c", Some("b.example.com")), Some(Block::Host));
    assert_eq!(block("https://x.y.evil.co.uk/c", Some("x.y.evil.co.uk")), Some(Block::Domain));
    assert_eq!(block("https://notevil.co.uk/c", Some("notevil.co.uk")), None);
    assert!(!policy.is_blocked(&client_id("issued~1"), None));
}

fn facts(mechanism: Mechanism, redirect_kinds: &[RedirectKind], has_keys: bool) -> ClientFacts {
    let is_native = redirect_kinds.iter().any(|kind| *kind != RedirectKind::Https);
    ClientFacts {
        mechanism,
        host: Some("tool.vendor.example".to_owned()),
        redirect_kinds: redirect_kinds.to_vec(),
        application_type: if is_native { ApplicationType::Native } else { ApplicationType::Web },
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        software_id: None,
        has_keys,
    }
}

/// GOV-03: the better a client is known, the more it may.
#[test]
fn shipped_profiles_sort_clients_by_what_they_can_prove() {
    use RedirectKind::{Https, Loopback, PrivateUse};
    let policy = policy("{}");
    let name = |facts: ClientFacts| policy.profile(&facts).name.clone();
    let document = Mechanism::MetadataDocument;
    assert_eq!(name(facts(document, &[Loopback], false)), "cli");
    assert_eq!(name(facts(Mechanism::PreRegistered, &[PrivateUse, Loopback], false)), "cli");
    assert_eq!(name(facts(document, &[Https], false)), "web");
    assert_eq!(name(facts(document, &[Https], true)), "agent");
    assert_eq!(name(facts(document, &[Https, Loopback], false)), "editor");
    assert_eq!(name(facts(Mechanism::Dynamic, &[Https], false)), "self_registered");
    assert_eq!(name(facts(Mechanism::Dynamic, &[Loopback], false)), "self_registered");
    let machine =
        ClientFacts { grant_types: vec![GrantType::ClientCredentials], ..facts(document, &[], true) };
    assert_eq!(name(machine), "machine");

    let weakest = policy.profile_named("self_registered").unwrap();
    assert!(!weakest.remember_consent);
    assert!(policy.lifetimes_for(weakest).refresh_idle() < policy.lifetimes.refresh_idle());
    assert_eq!(policy.lifetimes_for(weakest).code(), policy.lifetimes.code());
    assert!(policy.profile_named("nobody").is_none());
}

/// A new class of client is an entry in the document and nothing else.
#[test]
fn a_new_class_of_client_is_added_by_editing_the_document_alone() {
    let policy = policy(
        r#"{
          "resources": [{"resource": "https://files.example/mcp", "scopes": [{"name": "read"}, {"name": "write"}]}],
          "profiles": [{
            "name": "notebook",
            "match": {"mechanisms": ["metadata_document"], "hosts": ["*.vendor.example"],
                      "redirect_kinds": ["https"], "application_types": ["web"],
                      "grant_types": ["authorization_code"]},
            "redirect_kinds": ["https"],
            "authentication": "optional",
            "approval_needed": true,
            "remember_consent": true,
            "scope_ceiling": ["read"],
            "lifetimes": {"access_token_seconds": 120}
          }]
        }"#,
    );
    let notebook = policy.profile(&facts(Mechanism::MetadataDocument, &[RedirectKind::Https], false));
    assert_eq!(notebook.name, "notebook");
    assert!(notebook.approval_needed);
    assert_eq!(notebook.scope_ceiling.as_deref(), Some(["read".to_owned()].as_slice()));
    assert_eq!(policy.lifetimes_for(notebook).access_token_seconds, 120);
    let elsewhere = ClientFacts {
        host: Some("vendor.example".to_owned()),
        ..facts(Mechanism::MetadataDocument, &[RedirectKind::Https], false)
    };
    assert_eq!(policy.profile(&elsewhere).name, "web");
    let names: Vec<&str> = policy.effective_profiles().map(|profile| profile.name.as_str()).collect();
    assert_eq!(names, ["notebook", "machine", "self_registered", "agent", "web", "cli", "editor"]);
}

#[test]
fn a_profile_behind_others_is_refused_only_if_nobody_can_reach_it() {
    let profiles = |rules: &[&str]| {
        let list: Vec<String> = rules
            .iter()
            .enumerate()
            .map(|(index, rule)| format!(r#"{{"name":"p{index}","match":{{{rule}}}}}"#))
            .collect();
        Policy::from_json(&format!(r#"{{"profiles":[{}]}}"#, list.join(",")))
            .map_err(|error| error.fault.to_string())
    };
    for reachable in [
        &[r#""hosts":["a.example.com"]"#, r#""hosts":["*.example.com"]"#] as &[&str],
        &[r#""hosts":["*.a.example.com"]"#, r#""hosts":["*.example.com"]"#],
        &[r#""redirect_kinds":["https"]"#, r#""redirect_kinds":["https","loopback"]"#],
        &[r#""mechanisms":["dynamic"]"#, r#""redirect_kinds":["https"]"#],
        &[r#""has_keys":true"#, r#""hosts":["a.example.com"]"#],
        &[r#""software_ids":["a"]"#, r#""software_ids":["a","b"]"#],
        &[r#""grant_types":["client_credentials"]"#, ""],
    ] {
        assert!(profiles(reachable).is_ok(), "{reachable:?}: {:?}", profiles(reachable));
    }
    for (unreachable, earlier) in [
        (&[r#""hosts":["*.example.com"]"#, r#""hosts":["*.a.example.com"]"#] as &[&str], "p0"),
        (&[r#""hosts":["*.example.com"]"#, r#""hosts":["a.example.com"],"has_keys":true"#], "p0"),
        (&[r#""redirect_kinds":["https","loopback"]"#, r#""redirect_kinds":["loopback"]"#], "p0"),
        (&[r#""has_keys":true"#, r#""has_keys":false"#, r#""hosts":["a.example.com"]"#], "p0, p1"),
        (
            &[
                r#""mechanisms":["dynamic"]"#,
                r#""mechanisms":["pre_registered","metadata_document"]"#,
                r#""software_ids":["x"]"#,
            ],
            "p0, p1",
        ),
    ] {
        let fault = profiles(unreachable).map(|_| ()).unwrap_err();
        assert!(
            fault.contains(&format!("{earlier} before it")) || fault.contains("p1, p0"),
            "{unreachable:?}: {fault}"
        );
    }
}

fn registered(json: serde_json::Value) -> ClientMetadata {
    let mut members = serde_json::json!({
        "grant_types": ["authorization_code"], "response_types": ["code"], "auth_methods": ["none"]
    });
    members.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
    serde_json::from_value(members).unwrap()
}

/// A registration is bound to a known tool by evidence, never by what it calls itself.
#[test]
fn adoption_goes_by_evidence_and_never_by_name() {
    let policy = policy(
        r#"{"adoption":[
          {"tool":"claude","redirect_hosts":["claude.ai","claude.com"]},
          {"tool":"shell","software_id":"shell-1","redirect_uris":["http://127.0.0.1/cb","http://localhost/cb"]},
          {"tool":"exact","client_id":"dyn~abc"}]}"#,
    );
    let adopted = |id: &str, json| {
        let tool = policy.adopting_tool(&client_id(id), &registered(json));
        tool.map(|tool| tool.as_str().to_owned())
    };
    let uris = |uris: &[&str]| serde_json::json!({"redirect_uris": uris, "client_name": "Claude"});
    assert_eq!(
        adopted("x", uris(&["https://claude.ai/cb", "https://claude.com/cb"])).as_deref(),
        Some("claude")
    );
    assert_eq!(adopted("x", uris(&["https://claude.ai/cb", "http://localhost/cb"])), None);
    assert_eq!(adopted("x", uris(&["https://claude.ai.evil.example/cb"])), None);
    assert_eq!(adopted("x", uris(&["http://localhost/cb"])), None);
    assert_eq!(adopted("dyn~abc", uris(&["http://localhost/cb"])).as_deref(), Some("exact"));
    let shell = |id: &str, uris: &[&str]| serde_json::json!({"redirect_uris": uris, "software_id": id});
    let both = ["http://localhost:4000/cb", "http://127.0.0.1:4000/cb"];
    assert_eq!(adopted("x", shell("shell-1", &both)).as_deref(), Some("shell"));
    assert_eq!(adopted("x", shell("shell-1", &both[..1])), None);
    assert_eq!(adopted("x", shell("shell-2", &both)), None);
    assert_eq!(adopted("x", shell("shell-1", &["https://evil.example/cb"])), None);
}

#[test]
fn a_whole_policy_survives_writing_and_reading() {
    let policy = policy(
        r#"{"resources":[{"resource":"https://x.example","scopes":[{"name":"a"}]}],
        "metadata_documents":{"mode":"approval","allow":["*.example.com"],"deny":["*.github.io"]},
        "blocked":{"client_ids":["x"],"hosts":["*.b.example"],"domains":["evil.example"]},
        "dynamic_registration":{"mode":"token","initial_access_token_sha256":
          ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]},
        "adoption":[{"tool":"a","redirect_hosts":["a.example"]}],
        "profiles":[{"name":"p","match":{"has_keys":true},"scope_ceiling":["a"]}]}"#,
    );
    assert_eq!(Policy::from_json(&policy.to_json().unwrap()), Ok(policy));
}
