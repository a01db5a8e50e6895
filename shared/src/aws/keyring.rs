//! The keys in force in one process: read when it is first needed, looked at again in bounded time, and
//! kept through an outage of the database or the wrapping service.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::keys::StoredKey;
use super::table::KEYS;
use super::{KeyStore, KeyStoreError, StoreError};
use crate::clock::{Clock, Timestamp};
use crate::jose::{KeySet, KeyState, KeyUse, KeyWrap, PublicKey, SignError, SigningKey, WrapError};
use crate::seal::{KeyId, Seal, SealingKey};
use crate::secret::SecretKey;

/// For how long a process works with its keys before it looks again: the bound on how late an emergency
/// rotation is seen, the same as for a change of policy. A look is one read of a handful of items, whatever
/// the number of requests; a planned rotation is known long before it matters.
pub const KEY_STALENESS: Duration = Duration::from_secs(5);

/// Between two attempts after a failure, and between two looks for a key that somebody says exists:
/// a stranger can name unknown keys as often as he likes.
const PAUSE: Duration = Duration::from_secs(1);

/// The key set of this process, shared by all its requests and exchanged as a whole.
pub struct Keyring {
    store: KeyStore,
    wrap: Arc<dyn KeyWrap>,
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
    /// Held during a reload, so that requests which come at once cause one. Unwrapped keys by their id:
    /// each costs the wrapping service one call in the life of a process.
    unwrapped: Mutex<HashMap<String, Unwrapped>>,
}

#[derive(Debug, Default)]
struct State {
    keys: Arc<KeySet>,
    /// When the table was last read, or when that last failed.
    looked_at: Option<Timestamp>,
    failed: bool,
}

#[derive(Clone)]
enum Unwrapped {
    Signing(Arc<SigningKey>),
    Sealing(Arc<SealingKey>),
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Keyring {
    /// A ring that reads its keys when they are first needed: an outage of the wrapping service at that
    /// moment is an answer 503, not a process that cannot start (FM036).
    pub fn new(store: KeyStore, wrap: Arc<dyn KeyWrap>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            wrap,
            clock,
            state: RwLock::new(State::default()),
            unwrapped: Mutex::new(HashMap::new()),
        }
    }

    /// A ring that has its keys already.
    ///
    /// # Errors
    /// [`KeyStoreError`] if it cannot get them.
    pub async fn open(
        store: KeyStore,
        wrap: Arc<dyn KeyWrap>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeyStoreError> {
        let ring = Self::new(store, wrap, clock);
        ring.ready().await?;
        Ok(ring)
    }

    /// The set in force. A request takes it once and uses it to its end.
    pub fn current(&self) -> Arc<KeySet> {
        // The lock guards plain values, so a panic while it was held cannot have left them half changed.
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).keys)
    }

    /// Makes sure that there are keys, and that they are not older than [`KEY_STALENESS`] unless they
    /// cannot be read again: a process that has keys goes on with them (FM035).
    ///
    /// # Errors
    /// [`KeyStoreError`] if this process has no keys yet and cannot get them now.
    pub async fn ready(&self) -> Result<(), KeyStoreError> {
        if !self.is_due(KEY_STALENESS) {
            return Ok(());
        }
        let mut unwrapped = self.unwrapped.lock().await;
        if !self.is_due(KEY_STALENESS) {
            return Ok(());
        }
        match self.reload(&mut unwrapped).await {
            Err(error) if self.current().is_complete() => {
                tracing::error!(reason = %error, "keys not read again; going on with those at hand");
                Ok(())
            }
            result => result,
        }
    }

    /// The published keys, which need no wrapping service (FM036).
    ///
    /// # Errors
    /// [`KeyStoreError`] if none were ever read.
    pub async fn published(&self) -> Result<Arc<KeySet>, KeyStoreError> {
        let result = self.ready().await;
        let keys = self.current();
        if keys.published.is_empty() { result.map(|()| keys) } else { Ok(keys) }
    }

    /// Looks again if the sealing key `id` is unknown here: another instance may have begun to use it.
    pub async fn look_for_sealing_key(&self, id: KeyId) {
        if !self.current().seal.knows(id) {
            self.look_again().await;
        }
    }

    /// Looks again if the signing key `kid` is unknown here.
    pub async fn look_for_signing_key(&self, kid: &str) {
        if !self.current().published.iter().any(|key| key.kid == kid) {
            self.look_again().await;
        }
    }

    async fn look_again(&self) {
        let mut unwrapped = self.unwrapped.lock().await;
        if self.is_due(PAUSE)
            && let Err(error) = self.reload(&mut unwrapped).await
        {
            tracing::error!(reason = %error, "keys not read again");
        }
    }

    fn is_due(&self, after: Duration) -> bool {
        let now = self.clock.now();
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let after = if state.failed { PAUSE.min(after) } else { after };
        // Without keys every request tries: it would answer 503 otherwise, without having looked.
        !state.keys.is_complete() || state.looked_at.is_none_or(|at| at > now || now.since(at) >= after)
    }

    async fn reload(&self, unwrapped: &mut HashMap<String, Unwrapped>) -> Result<(), KeyStoreError> {
        let now = self.clock.now();
        let result = self.read(unwrapped, now).await;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.looked_at = Some(now);
        match result {
            Ok((keys, problem)) => {
                // An incomplete set never replaces a complete one.
                if keys.is_complete() || !state.keys.is_complete() {
                    state.keys = Arc::new(keys);
                }
                state.failed = problem.is_some();
                match problem {
                    Some(error) if !state.keys.is_complete() => Err(error),
                    _ => Ok(()),
                }
            }
            Err(error) => {
                state.failed = true;
                Err(error)
            }
        }
    }

    /// Reads the table and unwraps what is new. A key that cannot be unwrapped is left out; the second
    /// part of the answer says why.
    async fn read(
        &self,
        unwrapped: &mut HashMap<String, Unwrapped>,
        now: Timestamp,
    ) -> Result<(KeySet, Option<KeyStoreError>), KeyStoreError> {
        let honoured = self.store.honoured(now).await?;
        unwrapped.retain(|kid, _| honoured.iter().any(|(key, _)| key.kid == *kid));
        let mut problem: Option<KeyStoreError> = None;
        let away = Some(WrapError::Unavailable.into());
        let mut unwrapping = JoinSet::new();
        for (key, state) in honoured.iter().filter(|(key, _)| !unwrapped.contains_key(&key.kid)) {
            let (store, wrap, key, state) = (self.store.clone(), Arc::clone(&self.wrap), key.clone(), *state);
            // All at once: a person waits for a cold start, and this is most of what it does.
            unwrapping.spawn(async move { (unwrap(&store, wrap.as_ref(), &key).await, key.kid, state) });
        }
        while let Some(joined) = unwrapping.join_next().await {
            let Ok((result, kid, state)) = joined else {
                problem = Some(WrapError::Refused.into());
                continue;
            };
            match result {
                Ok(material) => {
                    unwrapped.insert(kid, material);
                }
                Err(error) => {
                    tracing::error!(kid, state = state.as_str(), reason = %error, "key left out");
                    // That the service is away explains the most.
                    if problem != away {
                        problem = Some(error);
                    }
                }
            }
        }
        let keys = key_set(&honoured, unwrapped, problem.as_ref());
        if problem.is_none() && keys.signing.is_none() {
            problem = Some(KeyStoreError::Missing("signing"));
        } else if problem.is_none() && keys.seal.is_empty() {
            problem = Some(KeyStoreError::Missing("sealing"));
        }
        Ok((keys, problem))
    }
}

async fn unwrap(store: &KeyStore, wrap: &dyn KeyWrap, key: &StoredKey) -> Result<Unwrapped, KeyStoreError> {
    let material = store.unwrap(key, wrap).await?;
    match key.usage {
        KeyUse::Signing => {
            let signing = SigningKey::from_pkcs8(&material)?;
            // The table says one thing, the wrapped material another: somebody wrote to the table.
            if key.public.as_ref() != Some(signing.public()) {
                return Err(SignError::Key.into());
            }
            Ok(Unwrapped::Signing(Arc::new(signing)))
        }
        KeyUse::Sealing => {
            let master: [u8; 32] =
                material.try_into().map_err(|_| StoreError::corrupt(KEYS, "sealing key length"))?;
            Ok(Unwrapped::Sealing(Arc::new(SealingKey::new(&SecretKey::new(master))?)))
        }
    }
}

fn key_set(
    honoured: &[(StoredKey, KeyState)],
    unwrapped: &HashMap<String, Unwrapped>,
    problem: Option<&KeyStoreError>,
) -> KeySet {
    let mut signing: Option<Arc<SigningKey>> = None;
    let mut published: Vec<PublicKey> = Vec::new();
    let mut sealing: Vec<Arc<SealingKey>> = Vec::new();
    let away = problem == Some(&WrapError::Unavailable.into());
    for (key, state) in honoured {
        match unwrapped.get(&key.kid) {
            Some(Unwrapped::Signing(pair)) => {
                // The active one stands first; if it could not be unwrapped, an earlier one goes on.
                if signing.is_none() && *state != KeyState::Next {
                    signing = Some(Arc::clone(pair));
                }
                published.push(pair.public().clone());
            }
            Some(Unwrapped::Sealing(sealing_key)) => sealing.push(Arc::clone(sealing_key)),
            // While the wrapping service is away, the table's word has to do for verifiers. Otherwise a
            // key that does not unwrap is not one of ours.
            None if away => published.extend(key.public.clone()),
            None => {}
        }
    }
    KeySet { signing, published, seal: Seal::new(sealing) }
}
