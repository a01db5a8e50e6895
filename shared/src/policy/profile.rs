//! Classes of clients with limits of their own: data, not code.
//!
//! What a client may do depends on how well it is known (GOV-03; OAuth 2.1 §2.4). The shipped profiles sort
//! clients by what they can prove, not by names; `docs/policy.md` gives the reasons.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::host_pattern::{HostPattern, UNNAMED_LABEL};
use super::lifetime::LifetimeOverrides;
use super::place::nonempty;
use crate::client::metadata::{ApplicationType, ClientMetadata, GrantType};
use crate::client::redirect::RedirectKind;
use crate::tool::Mechanism;

/// Most profiles in one document: an administrator can keep a dozen apart.
pub const PROFILES_MAX: usize = 64;

/// A named class of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    #[serde(deserialize_with = "nonempty")]
    pub name: String,
    /// Which clients it is for. An empty rule is for all of them.
    #[serde(default, rename = "match", skip_serializing_if = "Match::is_empty")]
    pub matches: Match,
    /// The kinds of redirect URI that are honoured.
    #[serde(default = "all_redirect_kinds")]
    pub redirect_kinds: Vec<RedirectKind>,
    /// What the client has to prove at the token endpoint.
    #[serde(default)]
    pub authentication: Authentication,
    /// Whether a tool waits for an administrator before its first use.
    #[serde(default)]
    pub approval_needed: bool,
    /// Whether a person who consented before is not asked again. Never so for loopback and private-use
    /// redirects, whatever stands here (AUT-29).
    #[serde(default)]
    pub remember_consent: bool,
    /// The scopes that can be granted at most; all of them if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope_ceiling: Option<Vec<String>>,
    /// Lifetimes that differ from the general ones.
    #[serde(default, skip_serializing_if = "LifetimeOverrides::is_empty")]
    pub lifetimes: LifetimeOverrides,
}

/// Which clients a profile is for: all rules that are given must hold. A list of redirect kinds or grant types
/// holds for clients that use nothing besides; the other lists hold if one entry fits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// How the client is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mechanisms: Option<Vec<Mechanism>>,
    /// The host of the client identifier. A client without one matches no pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<HostPattern>>,
    /// All its redirect URIs are of these kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_kinds: Option<Vec<RedirectKind>>,
    /// What kind of application it is; see [`ClientFacts::application_type`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_types: Option<Vec<ApplicationType>>,
    /// It uses none but these grant types; `refresh_token` counts for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_types: Option<Vec<GrantType>>,
    /// Its `software_id`. Self-asserted: good for limits, never for trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_ids: Option<Vec<String>>,
    /// Whether it always proves itself with a key of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_keys: Option<bool>,
}

/// What a client has to prove at the token endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// Whatever it registered, `none` included.
    #[default]
    Optional,
    /// A secret or a key.
    Required,
    /// A key (`private_key_jwt`).
    Keys,
}

/// What profiles are matched against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFacts {
    /// How the client is known.
    pub mechanism: Mechanism,
    /// The host of its identifier, where that is a URL.
    pub host: Option<String>,
    /// The kinds of its redirect URIs.
    pub redirect_kinds: Vec<RedirectKind>,
    /// As declared; where it is not, `native` for a client with a loopback or private-use redirect URI
    /// (DOC-36).
    pub application_type: ApplicationType,
    /// The grant types it may use.
    pub grant_types: Vec<GrantType>,
    /// Its `software_id`.
    pub software_id: Option<String>,
    /// Whether it has keys and offers no way to do without them (CAU-13).
    pub has_keys: bool,
}

impl ClientFacts {
    /// The facts of a client.
    pub fn new(mechanism: Mechanism, host: Option<&str>, metadata: &ClientMetadata) -> Self {
        let mut redirect_kinds: Vec<RedirectKind> = Vec::new();
        for kind in metadata.redirect_uris.iter().map(|uri| uri.kind()) {
            if !redirect_kinds.contains(&kind) {
                redirect_kinds.push(kind);
            }
        }
        let is_installed = redirect_kinds.iter().any(|kind| *kind != RedirectKind::Https);
        let shape = if is_installed { ApplicationType::Native } else { ApplicationType::Web };
        Self {
            mechanism,
            host: host.map(str::to_owned),
            redirect_kinds,
            application_type: metadata.application_type.unwrap_or(shape),
            grant_types: metadata.grant_types.clone(),
            software_id: metadata.software_id.clone(),
            has_keys: !metadata.keys.is_none() && !metadata.auth_methods.is_public(),
        }
    }
}

fn one_of<T: PartialEq>(rule: Option<&[T]>, value: Option<&T>) -> bool {
    rule.is_none_or(|values| value.is_some_and(|value| values.contains(value)))
}

fn nothing_but<T: PartialEq>(rule: Option<&[T]>, values: &[T], ignored: Option<&T>) -> bool {
    rule.is_none_or(|allowed| {
        values.iter().all(|value| allowed.contains(value) || ignored.is_some_and(|ignored| value == ignored))
    })
}

impl Match {
    /// Whether it is for all clients.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `client` is one of those it is for.
    pub fn covers(&self, client: &ClientFacts) -> bool {
        let host = client.host.as_deref();
        one_of(self.mechanisms.as_deref(), Some(&client.mechanism))
            && self.hosts.as_ref().is_none_or(|patterns| {
                host.is_some_and(|host| patterns.iter().any(|pattern| pattern.matches(host)))
            })
            && nothing_but(self.redirect_kinds.as_deref(), &client.redirect_kinds, None)
            && one_of(self.application_types.as_deref(), Some(&client.application_type))
            && nothing_but(self.grant_types.as_deref(), &client.grant_types, Some(&GrantType::RefreshToken))
            && one_of(self.software_ids.as_deref(), client.software_id.as_ref())
            && self.has_keys.is_none_or(|has_keys| has_keys == client.has_keys)
    }

    /// Clients of which at least one reaches this rule past `earlier` ones, if any client does: for each
    /// combination of values, the client that the fewest other rules cover.
    fn hardest(&self) -> Vec<ClientFacts> {
        const MECHANISMS: [Mechanism; 3] =
            [Mechanism::PreRegistered, Mechanism::MetadataDocument, Mechanism::Dynamic];
        const APPLICATION_TYPES: [ApplicationType; 2] = [ApplicationType::Native, ApplicationType::Web];
        const GRANT_TYPES: [GrantType; 3] =
            [GrantType::AuthorizationCode, GrantType::ClientCredentials, GrantType::JwtBearer];
        let mechanisms = self.mechanisms.clone().unwrap_or_else(|| MECHANISMS.to_vec());
        let application_types = self.application_types.clone().unwrap_or_else(|| APPLICATION_TYPES.to_vec());
        // A client that names no listed host is covered by rules without hosts alone; so is one with an
        // unheard-of `software_id`. Using everything there is escapes every narrower "nothing but".
        let hosts: Vec<String> = match &self.hosts {
            Some(patterns) => patterns.iter().map(HostPattern::witness).collect(),
            None => vec![UNNAMED_LABEL.to_owned()],
        };
        let software_ids: Vec<Option<String>> = match &self.software_ids {
            Some(ids) => ids.iter().cloned().map(Some).collect(),
            None => vec![None],
        };
        let has_keys = self.has_keys.map_or_else(|| vec![false, true], |has_keys| vec![has_keys]);
        let mut clients = Vec::new();
        for mechanism in mechanisms {
            for application_type in &application_types {
                for host in &hosts {
                    for software_id in &software_ids {
                        for has_keys in &has_keys {
                            clients.push(ClientFacts {
                                mechanism,
                                host: Some(host.clone()),
                                redirect_kinds: self
                                    .redirect_kinds
                                    .clone()
                                    .unwrap_or_else(all_redirect_kinds),
                                application_type: *application_type,
                                grant_types: self.grant_types.clone().unwrap_or_else(|| GRANT_TYPES.to_vec()),
                                software_id: software_id.clone(),
                                has_keys: *has_keys,
                            });
                        }
                    }
                }
            }
        }
        clients
    }
}

/// The earlier profiles that leave no client for `rule`, or `None` if some client reaches it.
pub(super) fn in_front_of<'a>(rule: &Match, earlier: &'a [Profile]) -> Option<Vec<&'a str>> {
    let mut names: Vec<&str> = Vec::new();
    for client in rule.hardest() {
        let first = earlier.iter().find(|profile| profile.matches.covers(&client))?;
        if !names.contains(&first.name.as_str()) {
            names.push(&first.name);
        }
    }
    Some(names)
}

fn all_redirect_kinds() -> Vec<RedirectKind> {
    vec![RedirectKind::Https, RedirectKind::Loopback, RedirectKind::PrivateUse]
}

const DAY: u64 = 86_400;

/// The profiles that apply behind those of the document, in this order.
pub(super) static SHIPPED: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let profile = |name: &str, matches: Match| Profile {
        name: name.to_owned(),
        matches,
        redirect_kinds: all_redirect_kinds(),
        authentication: Authentication::Optional,
        approval_needed: false,
        remember_consent: false,
        scope_ceiling: None,
        lifetimes: LifetimeOverrides::default(),
    };
    let https = || Some(vec![RedirectKind::Https]);
    vec![
        // Acts for itself, so nobody is asked: it has to prove who it is.
        Profile {
            redirect_kinds: Vec::new(),
            authentication: Authentication::Required,
            ..profile(
                "machine",
                Match {
                    grant_types: Some(vec![GrantType::ClientCredentials, GrantType::JwtBearer]),
                    ..Match::default()
                },
            )
        },
        // Anybody could have registered it under any name: the lowest tier.
        Profile {
            redirect_kinds: vec![RedirectKind::Https, RedirectKind::Loopback],
            lifetimes: LifetimeOverrides {
                refresh_idle_seconds: Some(7 * DAY),
                refresh_absolute_seconds: Some(30 * DAY),
                ..LifetimeOverrides::default()
            },
            ..profile(
                "self_registered",
                Match { mechanisms: Some(vec![Mechanism::Dynamic]), ..Match::default() },
            )
        },
        // Hosted, and proves itself with a key at each use.
        Profile {
            redirect_kinds: vec![RedirectKind::Https],
            authentication: Authentication::Keys,
            remember_consent: true,
            ..profile("agent", Match { redirect_kinds: https(), has_keys: Some(true), ..Match::default() })
        },
        // The code reaches whoever holds the redirect host's certificate, and nobody else.
        Profile {
            redirect_kinds: vec![RedirectKind::Https],
            remember_consent: true,
            ..profile("web", Match { redirect_kinds: https(), ..Match::default() })
        },
        // Any program on the same machine could pose as it.
        Profile {
            redirect_kinds: vec![RedirectKind::Loopback, RedirectKind::PrivateUse],
            ..profile(
                "cli",
                Match {
                    redirect_kinds: Some(vec![RedirectKind::Loopback, RedirectKind::PrivateUse]),
                    ..Match::default()
                },
            )
        },
        FALLBACK.clone(),
    ]
});

/// On a person's machine, with a page on the web beside it, as editors have; and whatever else there is.
pub(super) static FALLBACK: LazyLock<Profile> = LazyLock::new(|| Profile {
    name: "editor".to_owned(),
    matches: Match::default(),
    redirect_kinds: all_redirect_kinds(),
    authentication: Authentication::Optional,
    approval_needed: false,
    remember_consent: false,
    scope_ceiling: None,
    lifetimes: LifetimeOverrides::default(),
});
