//! The published schema of the policy document says what the server reads: DESIGN section 5, GOV.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::policy::Policy;

const SCHEMA: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/policy.schema.json"));

/// A policy that leaves no member out.
const WHOLE: &str = r##"{
  "resources": [{
    "resource": "https://files.example/mcp", "name": "Files",
    "scopes": [{"name": "files:read", "description": "Read your files"}],
    "default_scopes": ["files:read"],
    "introspection_secrets": ["47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"]
  }],
  "lifetimes": {"code_seconds": 60, "access_token_seconds": 600, "refresh_idle_seconds": 86400,
    "refresh_absolute_seconds": 172800, "refresh_retry_seconds": 30, "session_seconds": 3600},
  "cache": {"floor_seconds": 60, "default_seconds": 3600, "ceiling_seconds": 86400},
  "metadata_documents": {
    "mode": "approval", "allow": ["*.example.com"], "deny": ["*.pages.dev"], "require_client_name": true,
    "allow_query": true, "ports": [8443],
    "changes": {"cosmetic": "note", "material": "ask", "critical": "hold", "grades": {
      "name": "material", "logo": "cosmetic", "pages": "cosmetic", "software": "cosmetic",
      "software_id": "material", "redirect_uri_removed": "cosmetic", "redirect_uri_added": "material",
      "redirect_host_added": "critical", "grant_type_added": "material", "grant_type_removed": "cosmetic",
      "scope_added": "material", "scope_removed": "cosmetic", "authentication_required": "cosmetic",
      "authentication_relaxed": "critical", "authentication_changed": "material", "keys_added": "cosmetic",
      "keys_rotated": "cosmetic", "keys_moved": "material", "keys_host_changed": "critical",
      "keys_replaced": "critical", "keys_removed": "critical", "sender_constraint_dropped": "critical",
      "incomparable": "material"}},
    "last_good_seconds": 3600, "withdrawal_sightings": 3, "withdrawal_seconds": 3600,
    "refresh_after_withdrawal": true, "logos": "approved"
  },
  "blocked": {"client_ids": ["https://bad.example/client.json"], "hosts": ["bad.example.com"],
    "domains": ["evil.co.uk"]},
  "dynamic_registration": {"mode": "token",
    "initial_access_token_sha256": ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    "new_per_source_per_hour": 5, "new_per_hour": 50, "unused_seconds": 3600, "idle_seconds": 864000,
    "secret_seconds": 864000},
  "adoption": [
    {"tool": "claude", "redirect_hosts": ["claude.ai"]},
    {"tool": "files", "software_id": "files", "redirect_uris": ["http://127.0.0.1/callback"]},
    {"tool": "exact", "client_id": "dyn~abc"}
  ],
  "profiles": [{
    "name": "notebook",
    "match": {"mechanisms": ["metadata_document"], "hosts": ["*.notebooks.example.com"],
      "redirect_kinds": ["https"], "application_types": ["web"], "grant_types": ["authorization_code"],
      "software_ids": ["notebook"], "has_keys": true},
    "redirect_kinds": ["https"], "authentication": "keys", "approval_needed": true, "remember_consent": true,
    "scope_ceiling": ["files:read"],
    "lifetimes": {"access_token_seconds": 300, "refresh_idle_seconds": 3600, "refresh_absolute_seconds": 7200}
  }],
  "consent": {"remember": true, "withhold_names": true, "known_hosts": ["claude.ai"]},
  "branding": {"name": "Example", "logo_png": "iVBORw0KGgo=", "accent_light": "#0b5cad",
    "accent_dark": "#8cc2ff", "support": "help@example.com"},
  "administration": {"viewers": ["arn:aws:iam::111122223333:role/everybody"],
    "operators": ["arn:aws:iam::111122223333:role/support"],
    "owners": ["arn:aws:iam::111122223333:role/security"], "audit_retention_days": 400}
}"##;

/// As much of JSON Schema as the published one uses, but for `pattern`, which the server's own types check.
/// Adds the members met to `met`, as `DEFINITION.member`.
struct Validator {
    schema: Value,
    met: BTreeSet<String>,
}

impl Validator {
    fn new() -> Self {
        Self { schema: serde_json::from_str(SCHEMA).unwrap(), met: BTreeSet::new() }
    }

    fn check(&mut self, document: &Value) -> Result<(), String> {
        let schema = self.schema.clone();
        self.walk(&schema, document, "")
    }

    fn walk(&mut self, rule: &Value, value: &Value, place: &str) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{place}: {what}: {value}"));
        if let Some(reference) = rule["$ref"].as_str() {
            let definition = self.schema.pointer(reference.trim_start_matches('#')).cloned();
            return self.walk(&definition.unwrap(), value, place);
        }
        if let Some(values) = rule["enum"].as_array() {
            return if values.contains(value) { Ok(()) } else { wrong("not one of the values") };
        }
        match rule["type"].as_str().unwrap() {
            "object" => {
                let Some(members) = value.as_object() else { return wrong("no object") };
                assert_eq!(rule["additionalProperties"], json!(false), "{place} is open");
                for required in rule["required"].as_array().into_iter().flatten() {
                    if value.get(required.as_str().unwrap()).is_none() {
                        return wrong(&format!("lacks {required}"));
                    }
                }
                for (name, value) in members {
                    let place = format!("{place}.{name}");
                    let Some(rule) = rule["properties"].get(name) else {
                        return Err(format!("{place}: unknown member"));
                    };
                    self.met.insert(place.clone());
                    self.walk(rule, value, &place)?;
                }
                Ok(())
            }
            "array" => {
                let Some(items) = value.as_array() else { return wrong("no list") };
                let least = rule["minItems"].as_u64().unwrap_or(0);
                let most = rule["maxItems"].as_u64().unwrap_or(u64::MAX);
                if !(least..=most).contains(&u64::try_from(items.len()).unwrap()) {
                    return wrong("too few or too many");
                }
                items.iter().try_for_each(|item| self.walk(&rule["items"], item, place))
            }
            "integer" => {
                let bounds = rule["minimum"].as_u64().unwrap()..=rule["maximum"].as_u64().unwrap();
                if value.as_u64().is_some_and(|number| bounds.contains(&number)) {
                    Ok(())
                } else {
                    wrong("out of range")
                }
            }
            "string" => {
                let Some(text) = value.as_str() else { return wrong("no string") };
                let most = rule["maxLength"].as_u64().unwrap_or(u64::MAX);
                if u64::try_from(text.chars().count()).unwrap() > most { wrong("too long") } else { Ok(()) }
            }
            "boolean" => {
                if value.is_boolean() {
                    Ok(())
                } else {
                    wrong("not true or false")
                }
            }
            other => panic!("{place}: the type {other} is not known here"),
        }
    }

    /// Every member that the schema offers, however deep.
    fn offered(&self, rule: &Value, place: &str, all: &mut BTreeSet<String>) {
        if let Some(reference) = rule["$ref"].as_str() {
            let definition = self.schema.pointer(reference.trim_start_matches('#')).unwrap();
            return self.offered(definition, place, all);
        }
        if let Some(items) = rule.get("items") {
            self.offered(items, place, all);
        }
        for (name, rule) in rule["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}.{name}");
            self.offered(rule, &place, all);
            all.insert(place);
        }
    }
}

fn document(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// GOV: what the server writes itself is valid by the schema.
#[test]
fn the_shipped_policy_is_valid_by_the_schema() {
    let mut validator = Validator::new();
    validator.check(&document(&Policy::default().to_json().unwrap())).unwrap();
    validator.check(&json!({})).unwrap();
    let profiles: Vec<Value> = Policy::default()
        .effective_profiles()
        .map(|profile| serde_json::to_value(profile).unwrap())
        .collect();
    validator.check(&json!({ "profiles": profiles })).unwrap();
}

/// GOV: the schema offers each member that the server reads, and none that it does not.
#[test]
fn the_schema_and_the_server_know_the_same_members() {
    let mut validator = Validator::new();
    validator.check(&document(WHOLE)).unwrap();
    let policy = Policy::from_json(WHOLE).unwrap();
    // What the server read and writes again has every member: nothing is ignored on the way.
    let mut written = Validator::new();
    written.check(&document(&policy.to_json().unwrap())).unwrap();
    let mut offered = BTreeSet::new();
    let schema = validator.schema.clone();
    validator.offered(&schema, "", &mut offered);
    assert_eq!(validator.met, offered);
    assert_eq!(written.met, offered);
}

/// GOV: an unknown member, a wrong value, and a missing one are refused by the schema and by the server alike.
#[test]
fn what_the_server_refuses_the_schema_refuses() {
    let places = [
        ("", json!({"resouces": []})),
        ("/resources/0", json!({"color": "red"})),
        ("/resources/0/scopes/0", json!({"title": "x"})),
        ("/metadata_documents", json!({"mode": "closed"})),
        ("/metadata_documents/changes/grades", json!({"weather": "material"})),
        ("/metadata_documents/changes", json!({"critical": "panic"})),
        ("/lifetimes", json!({"code_seconds": 601})),
        ("/lifetimes", json!({"access_token_seconds": "600"})),
        ("/lifetimes", json!({"session_seconds": 59})),
        ("/cache", json!({"ceiling_seconds": 86_401})),
        ("/dynamic_registration", json!({"unused_seconds": 1})),
        ("/dynamic_registration", json!({"mode": true})),
        ("/adoption/0", json!({"client_name": "Claude"})),
        ("/profiles/0", json!({"scope": []})),
        ("/profiles/0/match", json!({"hosts": []})),
        ("/profiles/0/lifetimes", json!({"access_token_seconds": 29})),
        ("/consent", json!({"remember": "yes"})),
        ("/branding", json!({"logo_svg": "x"})),
        ("/blocked", json!({"ips": []})),
    ];
    for (place, change) in places {
        let mut changed = document(WHOLE);
        let object = changed.pointer_mut(place).unwrap().as_object_mut().unwrap();
        object.extend(change.as_object().unwrap().clone());
        assert!(Validator::new().check(&changed).is_err(), "{place} {change} is valid by the schema");
        assert!(Policy::from_json(&changed.to_string()).is_err(), "{place} {change} is read");
    }
    for (place, member) in [("/resources/0", "resource"), ("/adoption/0", "tool"), ("/profiles/0", "name")] {
        let mut changed = document(WHOLE);
        changed.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(member);
        assert!(Validator::new().check(&changed).is_err(), "{place} without {member} is valid by the schema");
        assert!(Policy::from_json(&changed.to_string()).is_err(), "{place} without {member} is read");
    }
}
