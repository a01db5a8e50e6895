//! What the types of a policy document cannot say.

use aws_lc_rs::digest::SHA256_OUTPUT_LEN;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Policy;
use super::error::{PolicyError, PolicyFault};
use super::host_pattern::HostPattern;
use super::place::Place;
use super::profile::{self, Match, PROFILES_MAX, Profile};
use super::registration::RegistrationMode;
use crate::fetch::host;
use crate::oauth::scope::{OFFLINE_ACCESS, ScopeError};
use crate::oauth::{ResourceId, Scope};

const DAY: u64 = 86_400;

/// Bounds of [`super::Lifetimes::access_token_seconds`], in general and in a profile.
const ACCESS_TOKEN: (u64, u64) = (30, 3600);
/// Bounds of the lifetimes of refresh tokens and of dynamic registrations.
const LONG: (u64, u64) = (60, 365 * DAY);

type Checked = Result<(), PolicyError>;

impl Policy {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`PolicyError`] with the first thing that is wrong.
    pub fn check(&self) -> Checked {
        self.check_resources()?;
        self.check_numbers()?;
        refuse_spanning(&Place::top().member("metadata_documents").member("allow"), &self.documents.allow)?;
        self.check_profiles()?;
        self.check_registration()?;
        self.check_adoption()?;
        self.check_pages()?;
        self.check_administration()
    }

    fn check_pages(&self) -> Checked {
        let hosts = Place::top().member("consent").member("known_hosts");
        if !self.consent.has_sound_hosts() {
            return Err(PolicyError::at(hosts, PolicyFault::KnownHosts));
        }
        let refuse = |error| PolicyError::at(Place::top().member("branding"), PolicyFault::Branding(error));
        self.branding.check().map_err(refuse)
    }

    fn check_administration(&self) -> Checked {
        let here = Place::top().member("administration");
        if !self.administration.is_bounded() {
            return Err(PolicyError::at(here, PolicyFault::TooManyPatterns));
        }
        range(here.member("audit_retention_days"), self.administration.audit_retention_days, (30, 3660))
    }

    fn check_resources(&self) -> Checked {
        let list = Place::top().member("resources");
        let mut known: Vec<ResourceId> = Vec::new();
        for (index, resource) in self.resources.iter().enumerate() {
            let here = list.element(index);
            let refuse = |fault| PolicyError::at(here.member("resource"), fault);
            let id = resource
                .id()
                .map_err(|error| refuse(PolicyFault::Resource(resource.resource.clone(), error)))?;
            if known.iter().any(|other| other.matches(id.as_str())) {
                return Err(refuse(PolicyFault::ResourceTwice(resource.resource.clone())));
            }
            known.push(id);
            for (position, scope) in resource.scopes.iter().enumerate() {
                check_scope(&here.member("scopes").element(position).member("name"), &scope.name)?;
            }
            for (position, digest) in resource.introspection_secrets.iter().enumerate() {
                // The fault does not quote it: it may be the secret.
                if !is_sha256(digest) {
                    let place = here.member("introspection_secrets").element(position);
                    return Err(PolicyError::at(place, PolicyFault::SecretDigest));
                }
            }
            for (position, name) in resource.default_scopes.iter().flatten().enumerate() {
                if !resource.has_scope(name) {
                    return Err(PolicyError::at(
                        here.member("default_scopes").element(position),
                        PolicyFault::UnknownDefaultScope(name.clone()),
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_numbers(&self) -> Checked {
        let (lifetimes, cache) = (&self.lifetimes, &self.cache);
        let here = Place::top().member("lifetimes");
        range(here.member("code_seconds"), lifetimes.code_seconds, (10, 600))?;
        range(here.member("access_token_seconds"), lifetimes.access_token_seconds, ACCESS_TOKEN)?;
        range(here.member("refresh_idle_seconds"), lifetimes.refresh_idle_seconds, LONG)?;
        range(here.member("refresh_absolute_seconds"), lifetimes.refresh_absolute_seconds, LONG)?;
        range(here.member("refresh_retry_seconds"), lifetimes.refresh_retry_seconds, (0, 300))?;
        range(here.member("session_seconds"), lifetimes.session_seconds, (60, 7 * DAY))?;
        let here = Place::top().member("cache");
        range(here.member("floor_seconds"), cache.floor_seconds, (0, DAY))?;
        range(here.member("default_seconds"), cache.default_seconds, (0, DAY))?;
        range(here.member("ceiling_seconds"), cache.ceiling_seconds, (0, DAY))?;
        if cache.floor_seconds > cache.default_seconds || cache.default_seconds > cache.ceiling_seconds {
            return Err(PolicyError::at(here, PolicyFault::CacheBounds));
        }
        let (here, documents) = (Place::top().member("metadata_documents"), &self.documents);
        range(here.member("last_good_seconds"), documents.last_good_seconds, (0, 90 * DAY))?;
        range(here.member("withdrawal_seconds"), documents.withdrawal_seconds, (0, 90 * DAY))
    }

    fn check_profiles(&self) -> Checked {
        let list = Place::top().member("profiles");
        if self.profiles.len() > PROFILES_MAX {
            return Err(PolicyError::at(list, PolicyFault::TooManyProfiles));
        }
        for (index, profile) in self.profiles.iter().enumerate() {
            let here = list.element(index);
            let earlier = self.profiles.get(..index).unwrap_or_default();
            if earlier.iter().any(|other| other.name == profile.name) {
                let fault = PolicyFault::ProfileTwice(profile.name.clone());
                return Err(PolicyError::at(here.member("name"), fault));
            }
            check_match(&here.member("match"), &profile.matches)?;
            self.check_consequences(&here, profile)?;
            if let Some(names) = profile::in_front_of(&profile.matches, earlier) {
                let fault =
                    PolicyFault::Unreachable { name: profile.name.clone(), earlier: names.join(", ") };
                return Err(PolicyError::at(here, fault));
            }
        }
        let everybody = Match::default();
        let all: Vec<Profile> = self.effective_profiles().cloned().collect();
        match profile::in_front_of(&everybody, &all) {
            Some(_) => Ok(()),
            None => {
                // Only a profile of the fallback's name takes it out of the list.
                let fallback = &profile::FALLBACK.name;
                let index = self.profiles.iter().position(|profile| profile.name == *fallback);
                let place = list.element(index.unwrap_or_default());
                Err(PolicyError::at(place, PolicyFault::NoFallback(fallback.clone())))
            }
        }
    }

    fn check_consequences(&self, here: &Place, profile: &Profile) -> Checked {
        for (position, name) in profile.scope_ceiling.iter().flatten().enumerate() {
            let place = here.member("scope_ceiling").element(position);
            check_scope(&place, name)?;
            if name != OFFLINE_ACCESS && !self.resources.iter().any(|resource| resource.has_scope(name)) {
                return Err(PolicyError::at(place, PolicyFault::UnknownScope(name.clone())));
            }
        }
        let (here, lifetimes) = (here.member("lifetimes"), &profile.lifetimes);
        for (name, value, bounds) in [
            ("access_token_seconds", lifetimes.access_token_seconds, ACCESS_TOKEN),
            ("refresh_idle_seconds", lifetimes.refresh_idle_seconds, LONG),
            ("refresh_absolute_seconds", lifetimes.refresh_absolute_seconds, LONG),
        ] {
            if let Some(value) = value {
                range(here.member(name), value, bounds)?;
            }
        }
        Ok(())
    }

    fn check_registration(&self) -> Checked {
        let here = Place::top().member("dynamic_registration");
        let rules = &self.registration;
        if rules.mode == RegistrationMode::Token && rules.initial_access_token_sha256.is_empty() {
            return Err(PolicyError::at(here.member("mode"), PolicyFault::NoInitialAccessToken));
        }
        range(here.member("new_per_source_per_hour"), rules.new_per_source_per_hour.into(), (1, 1_000_000))?;
        range(here.member("new_per_hour"), rules.new_per_hour.into(), (1, 1_000_000))?;
        range(here.member("unused_seconds"), rules.unused_seconds, (600, 30 * DAY))?;
        range(here.member("idle_seconds"), rules.idle_seconds, (DAY, 730 * DAY))?;
        range(here.member("secret_seconds"), rules.secret_seconds, (DAY, 730 * DAY))
    }

    fn check_adoption(&self) -> Checked {
        let list = Place::top().member("adoption");
        for (index, rule) in self.adoption.iter().enumerate() {
            let here = list.element(index);
            if !rule.has_one_evidence() {
                return Err(PolicyError::at(here, PolicyFault::AdoptionEvidence));
            }
            for (position, name) in rule.redirect_hosts.iter().enumerate() {
                host::check_name(name).map_err(|error| {
                    let place = here.member("redirect_hosts").element(position);
                    PolicyError::at(place, PolicyFault::Host(name.clone(), error))
                })?;
            }
        }
        Ok(())
    }
}

fn check_match(here: &Place, rule: &Match) -> Checked {
    fn filled<T>(here: &Place, name: &'static str, list: Option<&Vec<T>>) -> Checked {
        if list.is_some_and(Vec::is_empty) {
            return Err(PolicyError::at(here.member(name), PolicyFault::EmptyRule));
        }
        Ok(())
    }
    filled(here, "mechanisms", rule.mechanisms.as_ref())?;
    filled(here, "hosts", rule.hosts.as_ref())?;
    filled(here, "redirect_kinds", rule.redirect_kinds.as_ref())?;
    filled(here, "application_types", rule.application_types.as_ref())?;
    filled(here, "grant_types", rule.grant_types.as_ref())?;
    filled(here, "software_ids", rule.software_ids.as_ref())?;
    refuse_spanning(&here.member("hosts"), rule.hosts.as_deref().unwrap_or_default())
}

/// GOV-04: hosts that different people own are not one trust unit.
fn refuse_spanning(list: &Place, patterns: &[HostPattern]) -> Checked {
    match patterns.iter().enumerate().find(|(_, pattern)| pattern.spans_owners()) {
        Some((index, pattern)) => {
            Err(PolicyError::at(list.element(index), PolicyFault::SpansOwners(pattern.to_string())))
        }
        None => Ok(()),
    }
}

/// Whether `text` is the one spelling of 32 bytes in base64url: what is compared with must be exactly that.
fn is_sha256(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == SHA256_OUTPUT_LEN)
}

fn check_scope(place: &Place, name: &str) -> Checked {
    let refuse = |error| PolicyError::at(place.clone(), PolicyFault::Scope(name.to_owned(), error));
    let parsed = Scope::parse(name).map_err(refuse)?;
    if parsed.tokens().count() != 1 || parsed.to_string() != name {
        return Err(refuse(ScopeError::Character));
    }
    Ok(())
}

fn range(place: Place, value: u64, (least, most): (u64, u64)) -> Checked {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(PolicyError::at(place, PolicyFault::OutOfRange { least, most }))
    }
}
