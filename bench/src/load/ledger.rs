//! What the clients got, in their own words.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::traffic::Action;
use crate::client::{Installation, RESOURCE, introspect};
use crate::exchange::Target as _;
use crate::failure::{Context as _, Failure};
use crate::lambda::ISSUER;
use crate::server::Servers;

/// Problems that are told; the first ones say what is wrong.
const PROBLEMS_MAX: usize = 20;

/// Grants whose last access token is asked about at the end.
const ASKED_MAX: usize = 1000;

/// What has become of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It works.
    Live,
    /// It was revoked, or ended by a replay.
    Ended,
}

/// A grant as its client knows it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The grant's id, as the access tokens say.
    pub grant: String,
    /// Whose.
    pub person: String,
    /// Through which client.
    pub installation: Installation,
    /// How often it was refreshed.
    pub refreshes: u64,
    /// The code that began it.
    pub code: String,
    /// The last access token.
    pub access: String,
    /// The last refresh token.
    pub refresh: String,
    /// The refresh token before.
    pub previous: Option<String>,
    /// What has become of it.
    pub standing: Standing,
}

/// All that the clients got.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The grants.
    pub entries: Vec<Entry>,
    /// The `jti` of every access token.
    pub access_tokens: HashSet<String>,
    /// Refresh tokens, each once.
    pub refresh_tokens: HashSet<String>,
    /// Answers that were refusals, as they were meant to be.
    pub refused: BTreeMap<&'static str, u64>,
    /// How long each action took.
    pub took: HashMap<Action, Vec<Duration>>,
    /// What went wrong.
    pub problems: Vec<String>,
    /// How many things went wrong.
    pub problem_count: u64,
    checked_at_the_end: u64,
    items: BTreeMap<&'static str, u64>,
}

/// What a token says about itself.
#[derive(Debug)]
pub struct Claims {
    /// The grant that it belongs to.
    pub grant: String,
    /// Its own name.
    pub jti: String,
}

/// Checks the signature of `token` with one of `keys`, and every claim that says for whom it is.
///
/// # Errors
/// [`Failure`] with the first thing that is wrong.
pub fn verify(token: &str, keys: &Value, person: &str, client_id: &str) -> Result<Claims, Failure> {
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).context("base64url");
    let (signed, signature) = token.rsplit_once('.').context("signature")?;
    let (_, claims) = signed.split_once('.').context("claims")?;
    let good = keys.get("keys").and_then(Value::as_array).into_iter().flatten().any(|key| {
        let part = |name: &str| URL_SAFE_NO_PAD.decode(key.get(name)?.as_str()?).ok();
        let (Some(x), Some(y), Ok(signature)) = (part("x"), part("y"), decode(signature)) else {
            return false;
        };
        let point = [&[4], x.as_slice(), &y].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature).is_ok()
    });
    if !good {
        return Err(Failure::new("an access token", "no key of the set signed it"));
    }
    let claims: Value = serde_json::from_slice(&decode(claims)?).context("claims")?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    for (name, expected) in [("iss", ISSUER), ("aud", RESOURCE), ("client_id", client_id), ("sub", person)] {
        if text(name) != expected {
            return Err(Failure::new(name, format!("{} instead of {expected}", text(name))));
        }
    }
    let jti = text("jti").to_owned();
    let (grant, _) = jti.split_once('.').context("jti")?;
    Ok(Claims { grant: grant.to_owned(), jti })
}

impl Ledger {
    /// Notes that something is not as it should be.
    pub fn problem(&mut self, what: String) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        }
    }

    /// Notes a refusal that was meant.
    pub fn refused(&mut self, why: &'static str) {
        *self.refused.entry(why).or_default() += 1;
    }

    /// Enters an access token; no two may have one name.
    pub fn enter_access(&mut self, claims: &Claims) {
        if !self.access_tokens.insert(claims.jti.clone()) {
            self.problem(format!("two access tokens are {}", claims.jti));
        }
    }

    /// Enters a refresh token; no two may be the same.
    pub fn enter_refresh(&mut self, token: &str) {
        if !self.refresh_tokens.insert(token.to_owned()) {
            self.problem("a refresh token was issued twice".to_owned());
        }
    }

    /// Takes over what another client noted.
    pub fn merge(&mut self, other: Self) {
        self.entries.extend(other.entries);
        for jti in other.access_tokens {
            if !self.access_tokens.insert(jti) {
                self.problem("two clients have access tokens of one name".to_owned());
            }
        }
        for token in other.refresh_tokens {
            if !self.refresh_tokens.insert(token) {
                self.problem("two clients have one refresh token".to_owned());
            }
        }
        for (why, count) in other.refused {
            *self.refused.entry(why).or_default() += count;
        }
        for (action, took) in other.took {
            self.took.entry(action).or_default().extend(took);
        }
        self.problem_count += other.problem_count;
        self.problems.extend(other.problems);
        self.problems.truncate(PROBLEMS_MAX);
    }

    /// Compares the ledger with the database, item by item, and with what introspection says.
    ///
    /// # Errors
    /// [`Failure`] if the database cannot be read.
    pub fn settle(&mut self, servers: &Servers) -> Result<(), Failure> {
        let mut unseen: HashMap<String, usize> =
            self.entries.iter().enumerate().map(|(at, entry)| (entry.grant.clone(), at)).collect();
        if unseen.len() != self.entries.len() {
            self.problem("two entries are one grant".to_owned());
        }
        let (mut items, mut wrong) = (0, Vec::new());
        servers.database.each_item("grants", |item| {
            items += 1;
            let id = text(item, "id");
            match unseen.remove(id).and_then(|at| self.entries.get(at)) {
                Some(entry) => wrong.extend(differences(entry, item)),
                None => wrong.push(format!("grant {id} is in no ledger")),
            }
        })?;
        for what in wrong {
            self.problem(what);
        }
        for id in unseen.into_keys() {
            self.problem(format!("grant {id} is lost"));
        }
        self.items.insert("grants", items);
        let mut tools: HashSet<&str> = HashSet::new();
        tools.extend(self.entries.iter().map(|entry| entry.installation.client_id.as_str()));
        let expected = tools.len() as u64;
        for table in ["tools", "registrations"] {
            let found = servers.database.contents(table)?.items;
            self.items.insert(table, found);
            if found != expected {
                self.problem(format!("{found} {table}, and {expected} clients"));
            }
        }
        let step = (self.entries.len() / ASKED_MAX).max(1);
        let asked: Vec<(String, Standing)> =
            self.entries.iter().step_by(step).map(|entry| (entry.access.clone(), entry.standing)).collect();
        for (access, standing) in asked {
            let answer = servers.send(&introspect(&access))?.expect(200, "introspection")?;
            // The token may have come to its own end by now; then nobody calls it active.
            let active = answer.body.contains("\"active\":true");
            if active && standing == Standing::Ended {
                self.problem("the token of an ended grant is active".to_owned());
            }
            self.checked_at_the_end += 1;
        }
        Ok(())
    }

    /// The sums.
    pub fn summary(&self) -> Vec<(String, u64)> {
        let live = self.entries.iter().filter(|entry| entry.standing == Standing::Live).count();
        let people: HashSet<&str> = self.entries.iter().map(|entry| entry.person.as_str()).collect();
        let mut sums = vec![
            ("people".to_owned(), people.len() as u64),
            ("grants".to_owned(), self.entries.len() as u64),
            ("grants that still work".to_owned(), live as u64),
            ("access tokens, all different".to_owned(), self.access_tokens.len() as u64),
            ("refresh tokens, all different".to_owned(), self.refresh_tokens.len() as u64),
            ("grants asked about at the end".to_owned(), self.checked_at_the_end),
        ];
        sums.extend(self.items.iter().map(|(table, count)| (format!("items in {table}"), *count)));
        sums.extend(
            self.refused.iter().map(|(why, count)| (format!("refused as it should be: {why}"), *count)),
        );
        sums.push(("problems".to_owned(), self.problem_count));
        sums
    }
}

fn text<'a>(item: &'a Map<String, Value>, name: &str) -> &'a str {
    let value = item.get(name).and_then(|value| value.get("S").or_else(|| value.get("N")));
    value.and_then(Value::as_str).unwrap_or_default()
}

/// Where the database says something else than the client that got the tokens.
fn differences(entry: &Entry, item: &Map<String, Value>) -> Vec<String> {
    let (stage, generation) = match entry.standing {
        Standing::Live => ("active", Some((entry.refreshes + 1).to_string())),
        Standing::Ended => ("revoked", None),
    };
    let mut expected = vec![
        ("subject", entry.person.clone()),
        ("client_id", entry.installation.client_id.clone()),
        ("redirect_uri", entry.installation.redirect_uri.clone()),
        ("resource", RESOURCE.to_owned()),
        ("stage", stage.to_owned()),
    ];
    expected.extend(generation.map(|generation| ("generation", generation)));
    expected
        .into_iter()
        .filter(|(name, value)| text(item, name) != value)
        .map(|(name, value)| format!("grant {}: {name} is {}, not {value}", entry.grant, text(item, name)))
        .collect()
}
