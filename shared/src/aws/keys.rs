//! Keys in DynamoDB: wrapped material and the instants that its states follow from (DESIGN section 6).
//!
//! Keys of one use are numbered, and the number is in the item's id: making the next key is one
//! conditional write, so of two rotations at the same moment one makes the key and the other finds it.

use std::cmp::Reverse;
use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put};

use super::audit::Write;
use super::item::{Attributes, written};
use super::table::KEYS;
use super::{DynamoDb, StoreError};
use crate::clock::{Clock, Timestamp};
use crate::jose::{
    KeyState, KeyUse, KeyWrap, PublicKey, SignError, SigningKey, WrapContext, WrapError, rotation,
};
use crate::oauth::Issuer;
use crate::random::{Random, RandomError};
use crate::seal::SealError;

/// Version of the item form. An item of another version is not honoured (FM028).
const ITEM_VERSION: u64 = 1;

/// Why the keys could not be loaded or made. A process without keys must answer 503.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyStoreError {
    /// The table could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The material could not be wrapped or unwrapped.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// The material is not a usable signing key.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The material is not a usable sealing key.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No random bytes for a new key.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A key of this use is missing; keys are made by the scheduled steward, or by `local` at first start.
    #[error("there is no {0} key")]
    Missing(&'static str),
}

/// What a rotation did, for the audit and the listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// A key was made.
    Made {
        /// Its use.
        usage: KeyUse,
        /// Its id.
        kid: String,
        /// When it is first used.
        active_from: Timestamp,
    },
    /// A key was removed.
    Removed {
        /// Its use.
        usage: KeyUse,
        /// Its id.
        kid: String,
    },
}

/// A key as listed to administrators; no material in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id; for a signing key the `kid` of tokens.
    pub kid: String,
    /// Its use.
    pub usage: KeyUse,
    /// Its state at the moment of the listing.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is first used.
    pub active_from: Timestamp,
}

/// Reads and makes keys.
#[derive(Clone, Debug)]
pub struct KeyStore {
    dynamodb: DynamoDb,
    issuer: Issuer,
}

/// A key as stored.
#[derive(Clone, Debug)]
pub(super) struct StoredKey {
    number: u64,
    pub(super) kid: String,
    pub(super) usage: KeyUse,
    created_at: Timestamp,
    active_from: Timestamp,
    pub(super) public: Option<PublicKey>,
    pub(super) wrapped: Vec<u8>,
}

impl StoredKey {
    fn id(&self) -> String {
        item_id(self.usage, self.number)
    }
}

impl KeyStore {
    /// A store on `dynamodb` for the keys of `issuer`.
    pub fn new(dynamodb: DynamoDb, issuer: Issuer) -> Self {
        Self { dynamodb, issuer }
    }

    /// Makes the keys that are missing or soon will be, and removes those that nothing depends on any
    /// more. Call it as often as you like, from as many places: what is done already is not done again.
    ///
    /// # Errors
    /// [`KeyStoreError`]; what was done until then stands, and calling again goes on from there.
    pub async fn rotate_keys(
        &self,
        wrap: &dyn KeyWrap,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Vec<KeyChange>, KeyStoreError> {
        let now = clock.now();
        let stored = self.read_all().await?;
        let mut changes = Vec::new();
        for usage in KeyUse::ALL {
            let keys = of_use(&stored, usage);
            let schedule = usage.schedule();
            let begins = match keys.last() {
                None => Some(now),
                // The newest one waits for its turn, or has time left before the next must be known.
                Some(newest) if now < newest.active_from.plus(schedule.active).minus(schedule.next) => None,
                Some(_) => Some(now.plus(schedule.next)),
            };
            if let Some(active_from) = begins {
                let number = keys.last().map_or(1, |newest| newest.number.saturating_add(1));
                changes.extend(self.make(usage, number, active_from, wrap, now, random).await?);
            }
            for (key, _) in with_state(&keys, now).filter(|(_, state)| *state == KeyState::Gone) {
                self.remove(key).await?;
                changes.push(KeyChange::Removed { usage, kid: key.kid.clone() });
            }
        }
        Ok(changes)
    }

    /// Emergency: a new key of `usage` is used from now on and no other one is honoured.
    ///
    /// For signing keys, access tokens already issued stop verifying as soon as a resource reads the key
    /// set again ([`rotation::JWKS_MAX_AGE`]); people notice nothing, since clients refresh. For sealing
    /// keys, every session, code, and refresh token ends: everybody signs in again (FM042). Running
    /// instances follow within [`super::keyring::KEY_STALENESS`].
    ///
    /// # Errors
    /// [`KeyStoreError`]; until `Ok`, old keys may still be honoured, and it must be called again.
    pub async fn replace_keys(
        &self,
        usage: KeyUse,
        wrap: &dyn KeyWrap,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Vec<KeyChange>, KeyStoreError> {
        let (writes, changes) = self.replacing(usage, wrap, clock, random).await?;
        let writes = writes.into_iter().map(Write::into_item).collect();
        let sent = self.dynamodb.client.transact_write_items().set_transact_items(Some(writes)).send().await;
        // Somebody else has just replaced them, so their key is as new as ours would be.
        Ok(if written(sent)? { changes } else { Vec::new() })
    }

    /// The writes of [`Self::replace_keys`] and what they do, to be committed together with a record: all or
    /// nothing. Of two at the same moment one is made.
    ///
    /// # Errors
    /// [`KeyStoreError`]; nothing was changed.
    pub async fn replacing(
        &self,
        usage: KeyUse,
        wrap: &dyn KeyWrap,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<(Vec<Write>, Vec<KeyChange>), KeyStoreError> {
        let now = clock.now();
        let stored = self.read_all().await?;
        let old = of_use(&stored, usage);
        let number = old.last().map_or(1, |newest| newest.number.saturating_add(1));
        let (kid, item) = self.new_item(usage, number, now, wrap, now, random).await?;
        let put = Put::builder()
            .table_name(self.dynamodb.name(KEYS))
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(id)")
            .build()
            .map_err(|error| StoreError::corrupt(KEYS, error))?;
        let mut writes = vec![Write::put(put)];
        let mut changes = vec![KeyChange::Made { usage, kid, active_from: now }];
        for key in old {
            let delete = Delete::builder()
                .table_name(self.dynamodb.name(KEYS))
                .key(KEYS.key, AttributeValue::S(key.id()))
                .build()
                .map_err(|error| StoreError::corrupt(KEYS, error))?;
            writes.push(Write::delete(delete));
            changes.push(KeyChange::Removed { usage, kid: key.kid.clone() });
        }
        Ok((writes, changes))
    }

    /// All keys with their states, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn list(&self, clock: &dyn Clock) -> Result<Vec<KeyInfo>, StoreError> {
        let (stored, now) = (self.read_all().await?, clock.now());
        let mut infos = Vec::new();
        for usage in KeyUse::ALL {
            infos.extend(with_state(&of_use(&stored, usage), now).map(|(key, state)| KeyInfo {
                kid: key.kid.clone(),
                usage,
                state,
                created_at: key.created_at,
                active_from: key.active_from,
            }));
        }
        Ok(infos)
    }

    /// The keys that are honoured at `now`: the active ones, then those that retire, newest first, then the
    /// next ones. If the first cannot be had, the one after it is what was used before it.
    pub(super) async fn honoured(&self, now: Timestamp) -> Result<Vec<(StoredKey, KeyState)>, StoreError> {
        let stored = self.read_all().await?;
        let mut honoured: Vec<(StoredKey, KeyState)> = KeyUse::ALL
            .into_iter()
            .flat_map(|usage| {
                let keys = of_use(&stored, usage);
                with_state(&keys, now).map(|(key, state)| (key.clone(), state)).collect::<Vec<_>>()
            })
            .filter(|(_, state)| *state != KeyState::Gone)
            .collect();
        honoured.sort_by_key(|(key, state)| (rank(*state), Reverse(key.number)));
        Ok(honoured)
    }

    /// Unwraps the material of `key`.
    pub(super) async fn unwrap(&self, key: &StoredKey, wrap: &dyn KeyWrap) -> Result<Vec<u8>, WrapError> {
        wrap.unwrap(&key.wrapped, self.context(&key.kid)).await
    }

    /// `None` if a key of this number is there already: somebody else has just made it.
    async fn make(
        &self,
        usage: KeyUse,
        number: u64,
        active_from: Timestamp,
        wrap: &dyn KeyWrap,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Option<KeyChange>, KeyStoreError> {
        let (kid, item) = self.new_item(usage, number, active_from, wrap, now, random).await?;
        let put = self
            .dynamodb
            .client
            .put_item()
            .table_name(self.dynamodb.name(KEYS))
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(id)");
        Ok(written(put.send().await)?.then_some(KeyChange::Made { usage, kid, active_from }))
    }

    /// A new key as it is stored, and its id.
    async fn new_item(
        &self,
        usage: KeyUse,
        number: u64,
        active_from: Timestamp,
        wrap: &dyn KeyWrap,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(String, Attributes), KeyStoreError> {
        let (kid, public, material) = match usage {
            KeyUse::Signing => {
                let pkcs8 = SigningKey::generate()?;
                let public = SigningKey::from_pkcs8(&pkcs8)?.public().clone();
                (public.kid.clone(), Some(public), pkcs8)
            }
            KeyUse::Sealing => {
                let master: [u8; 32] = random.bytes()?;
                let name: [u8; 8] = random.bytes()?;
                (format!("seal-{:016x}", u64::from_be_bytes(name)), None, master.to_vec())
            }
        };
        let wrapped = wrap.wrap(&material, self.context(&kid)).await?;
        let number_of = |timestamp: Timestamp| AttributeValue::N(timestamp.to_string());
        let mut item = Attributes::from([
            (KEYS.key.to_owned(), AttributeValue::S(item_id(usage, number))),
            ("v".to_owned(), AttributeValue::N(ITEM_VERSION.to_string())),
            ("kid".to_owned(), AttributeValue::S(kid.clone())),
            ("created_at".to_owned(), number_of(now)),
            ("active_from".to_owned(), number_of(active_from)),
            ("wrapped".to_owned(), AttributeValue::B(Blob::new(wrapped))),
        ]);
        if let Some(public) = public {
            let json = serde_json::to_string(&public).map_err(|_| SignError::Key)?;
            item.insert("public".to_owned(), AttributeValue::S(json));
        }
        Ok((kid, item))
    }

    async fn remove(&self, key: &StoredKey) -> Result<(), StoreError> {
        self.dynamodb
            .client
            .delete_item()
            .table_name(self.dynamodb.name(KEYS))
            .key(KEYS.key, AttributeValue::S(key.id()))
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        Ok(())
    }

    async fn read_all(&self) -> Result<Vec<StoredKey>, StoreError> {
        // A handful of items for the life of a deployment, so a scan is one page.
        let answer = self
            .dynamodb
            .client
            .scan()
            .table_name(self.dynamodb.name(KEYS))
            .consistent_read(true)
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        let mut keys = answer.items().iter().map(stored_key).collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|key| key.number);
        Ok(keys)
    }

    fn context<'a>(&'a self, kid: &'a str) -> WrapContext<'a> {
        WrapContext { issuer: self.issuer.as_str(), kid }
    }
}

const fn rank(state: KeyState) -> u8 {
    match state {
        KeyState::Active => 0,
        KeyState::Retiring => 1,
        KeyState::Next => 2,
        KeyState::Gone => 3,
    }
}

fn item_id(usage: KeyUse, number: u64) -> String {
    format!("{}#{number}", usage.as_str())
}

fn of_use(keys: &[StoredKey], usage: KeyUse) -> Vec<&StoredKey> {
    keys.iter().filter(|key| key.usage == usage).collect()
}

/// `keys` are those of one use, oldest first.
fn with_state<'a>(
    keys: &'a [&'a StoredKey],
    now: Timestamp,
) -> impl Iterator<Item = (&'a StoredKey, KeyState)> {
    keys.iter().enumerate().map(move |(position, key)| {
        let later = keys.iter().skip(position.saturating_add(1)).map(|later| later.active_from);
        (*key, rotation::state(key.usage, key.active_from, later, now))
    })
}

fn stored_key(item: &HashMap<String, AttributeValue>) -> Result<StoredKey, StoreError> {
    let corrupt = |name: &str| StoreError::corrupt(KEYS, name);
    let text =
        |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().ok_or_else(|| corrupt(name));
    let number = |name: &str| {
        item.get(name)
            .and_then(|value| value.as_n().ok())
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or_else(|| corrupt(name))
    };
    if number("v")? != ITEM_VERSION {
        return Err(corrupt("v"));
    }
    let id = text("id")?;
    let (usage, position) = id.split_once('#').ok_or_else(|| corrupt("id"))?;
    let usage = KeyUse::from_name(usage).ok_or_else(|| corrupt("id"))?;
    let public = match usage {
        KeyUse::Signing => Some(serde_json::from_str(&text("public")?).map_err(|_| corrupt("public"))?),
        KeyUse::Sealing => None,
    };
    Ok(StoredKey {
        number: position.parse().map_err(|_| corrupt("id"))?,
        kid: text("kid")?,
        usage,
        created_at: Timestamp::from_epoch_seconds(number("created_at")?),
        active_from: Timestamp::from_epoch_seconds(number("active_from")?),
        public,
        wrapped: item
            .get("wrapped")
            .and_then(|value| value.as_b().ok())
            .map(|blob| blob.as_ref().to_vec())
            .ok_or_else(|| corrupt("wrapped"))?,
    })
}
