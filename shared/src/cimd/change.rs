//! How two versions of a metadata document differ, in kinds that a policy can grade (CAC-17).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::client::metadata::{ClientKeys, ClientMetadata, PublicJwks};
use crate::client::redirect::{RedirectKind, RedirectUri};
use crate::policy::change::ChangeKind;

/// Most characters of a value in a listed change. Longer ones are cut; the versions themselves are kept whole.
const VALUE_CHARS_MAX: usize = 200;

/// One difference, for an administrator to read. The values are the publisher's: escape them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What kind of difference.
    pub kind: ChangeKind,
    /// What is no longer said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unverified_before: Option<String>,
    /// What is said now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unverified_after: Option<String>,
}

impl Change {
    /// A difference between two values.
    pub fn new(kind: ChangeKind, before: Option<&str>, after: Option<&str>) -> Self {
        let cut = |value: &str| value.chars().take(VALUE_CHARS_MAX).collect();
        Self { kind, unverified_before: before.map(cut), unverified_after: after.map(cut) }
    }
}

/// Everything that differs from `before` to `after`.
pub fn changes(before: &ClientMetadata, after: &ClientMetadata) -> Vec<Change> {
    let mut found = Vec::new();
    let mut compare = |kind, before: Option<&str>, after: Option<&str>| {
        if before != after {
            found.push(Change::new(kind, before, after));
        }
    };
    compare(ChangeKind::Name, before.client_name.as_deref(), after.client_name.as_deref());
    compare(ChangeKind::Logo, before.logo_uri.as_deref(), after.logo_uri.as_deref());
    compare(ChangeKind::Pages, before.client_uri.as_deref(), after.client_uri.as_deref());
    compare(ChangeKind::Pages, before.tos_uri.as_deref(), after.tos_uri.as_deref());
    compare(ChangeKind::Pages, before.policy_uri.as_deref(), after.policy_uri.as_deref());
    compare(ChangeKind::SoftwareId, before.software_id.as_deref(), after.software_id.as_deref());
    compare(ChangeKind::Software, before.software_version.as_deref(), after.software_version.as_deref());
    if before.application_type != after.application_type {
        let name = |metadata: &ClientMetadata| metadata.application_type.map(|kind| format!("{kind:?}"));
        compare(ChangeKind::Software, name(before).as_deref(), name(after).as_deref());
    }
    if before.dpop_bound_access_tokens && !after.dpop_bound_access_tokens {
        found.push(Change::new(ChangeKind::SenderConstraintDropped, None, None));
    }
    redirect_uris(before, after, &mut found);
    let grants = |metadata: &ClientMetadata| -> BTreeSet<String> {
        metadata.grant_types.iter().map(|grant| grant.as_str().to_owned()).collect()
    };
    sets(
        (ChangeKind::GrantTypeRemoved, &grants(before)),
        (ChangeKind::GrantTypeAdded, &grants(after)),
        &mut found,
    );
    let scopes = |metadata: &ClientMetadata| -> BTreeSet<String> {
        metadata.scope.iter().flat_map(|scope| scope.split(' ')).map(str::to_owned).collect()
    };
    sets((ChangeKind::ScopeRemoved, &scopes(before)), (ChangeKind::ScopeAdded, &scopes(after)), &mut found);
    authentication(before, after, &mut found);
    keys(&before.keys, &after.keys, &mut found);
    found
}

fn sets(
    (removed, before): (ChangeKind, &BTreeSet<String>),
    (added, after): (ChangeKind, &BTreeSet<String>),
    found: &mut Vec<Change>,
) {
    found.extend(before.difference(after).map(|gone| Change::new(removed, Some(gone), None)));
    found.extend(after.difference(before).map(|new| Change::new(added, None, Some(new))));
}

fn redirect_uris(before: &ClientMetadata, after: &ClientMetadata, found: &mut Vec<Change>) {
    let (old, new) = (&before.redirect_uris, &after.redirect_uris);
    for gone in old.iter().filter(|uri| !new.contains(uri)) {
        found.push(Change::new(ChangeKind::RedirectUriRemoved, Some(gone.as_str()), None));
    }
    let reached: BTreeSet<&str> = old.iter().map(reach).collect();
    for added in new.iter().filter(|uri| !old.contains(uri)) {
        let kind = if reached.contains(reach(added)) {
            ChangeKind::RedirectUriAdded
        } else {
            ChangeKind::RedirectHostAdded
        };
        found.push(Change::new(kind, None, Some(added.as_str())));
    }
}

/// Who receives what is sent to `uri`: a host, this machine, or whoever claimed a scheme.
fn reach(uri: &RedirectUri) -> &str {
    match uri.kind() {
        RedirectKind::Https | RedirectKind::PrivateUse => uri.host_for_display(),
        // The three loopback names reach the same programs.
        RedirectKind::Loopback => "loopback",
    }
}

fn authentication(before: &ClientMetadata, after: &ClientMetadata, found: &mut Vec<Change>) {
    let (old, new) = (&before.auth_methods, &after.auth_methods);
    let names = |metadata: &ClientMetadata| -> String {
        let names: Vec<&str> =
            metadata.auth_methods.declared().iter().map(|method| method.as_str()).collect();
        names.join(" ")
    };
    let kind = match (old.is_public(), new.is_public()) {
        (false, true) => ChangeKind::AuthenticationRelaxed,
        (true, false) => ChangeKind::AuthenticationRequired,
        _ if names(before).split(' ').collect::<BTreeSet<_>>()
            != names(after).split(' ').collect::<BTreeSet<_>>() =>
        {
            ChangeKind::AuthenticationChanged
        }
        _ => return,
    };
    found.push(Change::new(kind, Some(&names(before)), Some(&names(after))));
}

fn keys(before: &ClientKeys, after: &ClientKeys, found: &mut Vec<Change>) {
    let kind = match (before, after) {
        (ClientKeys::None, ClientKeys::None) => return,
        (ClientKeys::None, ClientKeys::Inline(_) | ClientKeys::Uri(_)) => ChangeKind::KeysAdded,
        (ClientKeys::Inline(_) | ClientKeys::Uri(_), ClientKeys::None) => ChangeKind::KeysRemoved,
        (ClientKeys::Inline(old), ClientKeys::Inline(new)) => match rotation(old, new) {
            Some(kind) => kind,
            None => return,
        },
        (ClientKeys::Uri(old), ClientKeys::Uri(new)) if old == new => return,
        (ClientKeys::Uri(old), ClientKeys::Uri(new)) if host(old) != host(new) => ChangeKind::KeysHostChanged,
        (ClientKeys::Uri(_), ClientKeys::Uri(_))
        | (ClientKeys::Inline(_), ClientKeys::Uri(_))
        | (ClientKeys::Uri(_), ClientKeys::Inline(_)) => ChangeKind::KeysMoved,
    };
    let place = |keys: &ClientKeys| match keys {
        ClientKeys::None => None,
        ClientKeys::Inline(set) => Some(format!("{} keys in the document", public_keys(set).len())),
        ClientKeys::Uri(uri) => Some(uri.clone()),
    };
    found.push(Change::new(kind, place(before).as_deref(), place(after).as_deref()));
}

/// How a key set followed another, `None` if it holds the same keys.
pub(super) fn rotation(before: &PublicJwks, after: &PublicJwks) -> Option<ChangeKind> {
    let (old, new) = (public_keys(before), public_keys(after));
    if old == new {
        None
    } else if old.is_empty() || !old.is_disjoint(&new) {
        Some(ChangeKind::KeysRotated)
    } else {
        Some(ChangeKind::KeysReplaced)
    }
}

/// The keys by what makes them keys (RFC 7638 §3.2): a new `kid` on an old key is no new key.
fn public_keys(set: &PublicJwks) -> BTreeSet<String> {
    let listed = set.as_json().get("keys").and_then(Value::as_array);
    let identity = |key: &Value| -> String {
        let member = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
        ["kty", "crv", "x", "y", "n", "e", "pub"].map(member).join(" ")
    };
    listed.into_iter().flatten().map(identity).collect()
}

fn host(uri: &str) -> Option<String> {
    Url::parse(uri).ok()?.host_str().map(str::to_owned)
}
