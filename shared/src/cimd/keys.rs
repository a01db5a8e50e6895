//! The public keys of a client: inside its metadata, or behind its `jwks_uri` (DOC-28, DOC-29, CAC-18).

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use serde_json::Value;
use url::Url;

use super::change::rotation;
use super::copies::{Copies, NoCopy, Verdict, Want};
use super::freshness::{Freshness, FreshnessRules, Lifetime};
use super::json::{self, JsonError};
use crate::aws::{CopyKey, Shared, StoreError, StoredBody};
use crate::client::metadata::{ClientKeys, ClientMetadata, JwksError, PublicJwks};
use crate::clock::Timestamp;
use crate::fetch::{FailureKind, FetchError, FetchKind, FetchRequest, Fetched};
use crate::policy::change::ChangeKind;
use crate::random::RandomError;

/// Least time between two fetches of one key set because of a `kid` that it does not hold (CAC-18): an
/// assertion with an invented `kid` costs its sender nothing.
pub const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(60);

/// For how long a process works with its copy before it looks at the shared one again: the bound on how
/// late it honours that an administrator had the keys fetched anew.
pub const MEMORY_STALENESS: Duration = Duration::from_secs(60);

/// Key sets that one process keeps in memory.
const MEMORY_KEY_SETS_MAX: u64 = 200;

/// What is wrong with a fetched key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Not a set of public keys.
    #[error(transparent)]
    Jwks(#[from] JwksError),
}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeys {
    /// The client published none.
    #[error("the client has published no keys")]
    None,
    /// `jwks_uri` gives no key set, and will not until somebody mends it: the client's fault.
    #[error("the client's key set is not usable: {0}")]
    Unusable(String),
    /// The key set is out of reach for now: try again, nothing is spent.
    #[error("the client's key set is out of reach: {0}")]
    Unavailable(String),
    /// Our own store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The random source failed.
    #[error(transparent)]
    Random(#[from] RandomError),
}

#[derive(Debug)]
struct KeySet {
    keys: PublicJwks,
    fetched_at: Timestamp,
    fresh_until: Timestamp,
    look_again_at: Timestamp,
}

/// Finds clients' public keys.
#[derive(Clone, Debug)]
pub struct ClientKeySets {
    copies: Copies,
    memory: Cache<String, Arc<KeySet>>,
}

impl ClientKeySets {
    /// Fetches through `copies`.
    pub fn new(copies: Copies) -> Self {
        Self { copies, memory: Cache::builder().max_capacity(MEMORY_KEY_SETS_MAX).build() }
    }

    /// The key set of the client that `metadata` describes. Where it is behind a `jwks_uri` and the cached
    /// set does not hold `kid`, it is fetched anew, at most once per [`UNKNOWN_KEY_PAUSE`] in the whole
    /// fleet; the set that comes back may still not hold `kid`.
    ///
    /// Call it only for a client that a stored grant or registration names, and after its code or refresh
    /// token has proved genuine: the fetch must not be a stranger's to cause (FET-01).
    ///
    /// # Errors
    /// [`NoKeys`]. [`NoKeys::Unavailable`] must not cost the client its code (FM077).
    pub async fn keys_of(&self, metadata: &ClientMetadata, kid: Option<&str>) -> Result<PublicJwks, NoKeys> {
        match &metadata.keys {
            ClientKeys::None => Err(NoKeys::None),
            ClientKeys::Inline(keys) => Ok(keys.clone()),
            ClientKeys::Uri(uri) => self.behind(uri, kid).await,
        }
    }

    /// The key set of the client that `metadata` describes as it was last seen, however long ago, without
    /// fetching: for requests that a stranger could have sent.
    ///
    /// # Errors
    /// [`NoKeys::None`] if it never was seen; otherwise as [`Self::keys_of`].
    pub async fn known_without_fetch(&self, metadata: &ClientMetadata) -> Result<PublicJwks, NoKeys> {
        let uri = match &metadata.keys {
            ClientKeys::None => return Err(NoKeys::None),
            ClientKeys::Inline(keys) => return Ok(keys.clone()),
            ClientKeys::Uri(uri) => uri,
        };
        let url = Url::parse(uri).map_err(|error| NoKeys::Unusable(error.to_string()))?;
        if let Some(set) = self.memory.get(url.as_str()).await {
            return Ok(set.keys.clone());
        }
        let key = CopyKey { kind: FetchKind::Keys, url: url.as_str() };
        let shared: Shared<()> = self.copies.store.read(key).await?;
        let body = shared.body.ok_or(NoKeys::None)?;
        let set =
            read(&body, self.copies.clock.now()).map_err(|error| NoKeys::Unusable(error.to_string()))?;
        Ok(set.keys)
    }

    /// Fetches the key set behind the `jwks_uri` in `metadata` now, whatever is known of it: an administrator
    /// asks. Keys inside the metadata came with it.
    ///
    /// # Errors
    /// [`NoKeys`]; what was known before stays.
    pub async fn refresh(&self, metadata: &ClientMetadata) -> Result<(), NoKeys> {
        let ClientKeys::Uri(uri) = &metadata.keys else { return Ok(()) };
        let url = Url::parse(uri).map_err(|error| NoKeys::Unusable(error.to_string()))?;
        let request = FetchRequest { url, kind: FetchKind::Keys };
        let want = Want::Since(self.copies.clock.now());
        let found = self.copies.get::<(), KeySetError, _>(&request, want, judge).await;
        self.memory.invalidate(request.url.as_str()).await;
        found.map(drop).map_err(no_keys)
    }

    async fn behind(&self, uri: &str, kid: Option<&str>) -> Result<PublicJwks, NoKeys> {
        let url = Url::parse(uri).map_err(|error| NoKeys::Unusable(error.to_string()))?;
        let key = url.as_str();
        let now = self.copies.clock.now();
        let wanted = |set: &KeySet| now < set.fresh_until && kid.is_none_or(|kid| holds(&set.keys, kid));
        let remembered = self.memory.get(key).await;
        if let Some(set) = remembered.as_ref().filter(|set| wanted(set) && now < set.look_again_at) {
            return Ok(set.keys.clone());
        }
        // Another instance may know more, or may have tried just now.
        let shared: Shared<()> = self.copies.store.read(CopyKey { kind: FetchKind::Keys, url: key }).await?;
        let known = shared.body.as_ref().and_then(|body| read(body, now).ok()).map(Arc::new);
        let want = match &known {
            Some(set) if wanted(set) => return Ok(self.remember(key, Arc::clone(set)).await),
            // Fresh, but without the key: somebody may have rotated.
            Some(set) if now < set.fresh_until => {
                let tried_at = shared.failure.as_ref().map_or(set.fetched_at, |failure| failure.at);
                if now.since(tried_at.max(set.fetched_at)) < UNKNOWN_KEY_PAUSE {
                    return Ok(self.remember(key, Arc::clone(set)).await);
                }
                Want::Since(now)
            }
            _ => Want::Fresh,
        };
        let request = FetchRequest { url: url.clone(), kind: FetchKind::Keys };
        let found = self.copies.get::<(), KeySetError, _>(&request, want, judge).await;
        match found {
            Ok(found) => {
                let set = read(&found.body, now).map_err(|error| NoKeys::Unusable(error.to_string()))?;
                Ok(self.remember(key, Arc::new(set)).await)
            }
            Err(reason) => Err(no_keys(reason)),
        }
    }

    async fn remember(&self, key: &str, set: Arc<KeySet>) -> PublicJwks {
        self.memory.insert(key.to_owned(), Arc::clone(&set)).await;
        set.keys.clone()
    }
}

/// Key sets are asked for by machines, at every token request: even one whose host forbids keeping it is
/// kept for the floor, or its host would be asked as often as we are (CAC-18).
fn judge(fetched: &Fetched, seen: &Shared<()>) -> Result<Verdict<()>, KeySetError> {
    let keys = parse(&fetched.body)?;
    let before = seen.body.as_ref().and_then(|body| parse(body.text.as_bytes()).ok());
    // Rotation overlaps; a set of which nothing is left is an emergency, or somebody else's (CAC-17).
    if let Some(before) = before
        && rotation(&before, &keys) == Some(ChangeKind::KeysReplaced)
    {
        tracing::warn!(address = %fetched.address, "all keys of a client's key set were replaced at once");
    }
    let rules = FreshnessRules::default();
    let freshness = Freshness::of(fetched, &rules);
    let lifetime = match freshness.lifetime {
        Lifetime::Reusable(lifetime) => lifetime,
        Lifetime::OnlyThisFlow => rules.floor,
    };
    Ok(Verdict { lifetime, stale_forbidden: true, ledger: None, text: None, aside: None })
}

fn parse(body: &[u8]) -> Result<PublicJwks, KeySetError> {
    let members = json::parse_object(body)?;
    Ok(PublicJwks::try_from(Value::Object(members))?)
}

fn read(body: &StoredBody, now: Timestamp) -> Result<KeySet, KeySetError> {
    let keys = parse(body.text.as_bytes())?;
    let look_again_at = now.plus(MEMORY_STALENESS);
    Ok(KeySet { keys, fetched_at: body.fetched_at, fresh_until: body.fresh_until, look_again_at })
}

fn holds(keys: &PublicJwks, kid: &str) -> bool {
    let keys = keys.as_json().get("keys").and_then(Value::as_array);
    keys.into_iter().flatten().any(|key| key.get("kid").and_then(Value::as_str) == Some(kid))
}

fn no_keys(reason: NoCopy<KeySetError>) -> NoKeys {
    match reason {
        NoCopy::Fetch(error) if fault_is_ours_to_wait_out(error) => NoKeys::Unavailable(error.to_string()),
        NoCopy::Fetch(error) => NoKeys::Unusable(error.to_string()),
        NoCopy::Refused(error) => NoKeys::Unusable(error.to_string()),
        NoCopy::Busy { .. } | NoCopy::Interrupted => NoKeys::Unavailable(reason.to_string()),
        NoCopy::Store(error) => error.into(),
        NoCopy::Random(error) => error.into(),
    }
}

fn fault_is_ours_to_wait_out(error: FetchError) -> bool {
    match error.kind() {
        FailureKind::Transient => true,
        FailureKind::Deterministic | FailureKind::Gone => false,
    }
}
