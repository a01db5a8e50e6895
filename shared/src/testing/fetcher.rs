//! A fetcher that answers from a script and counts.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::clock::Clock;
use crate::fetch::{CacheHeaders, FetchError, FetchRequest, Fetched, Fetcher, Fetching};

/// What the fetch of one URL gives.
#[derive(Clone, Debug)]
struct Scripted {
    body: Bytes,
    media_type: String,
    cache_control: Option<String>,
}

/// A fetcher without a network.
pub struct ScriptedFetcher {
    clock: Arc<dyn Clock>,
    script: Mutex<HashMap<String, Result<Scripted, FetchError>>>,
    fetched: Mutex<Vec<String>>,
    yields: AtomicUsize,
    at_once: Mutex<HashMap<String, AtOnce>>,
}

/// Fetches from one host that run, and the most that ever did.
#[derive(Clone, Copy, Debug, Default)]
struct AtOnce {
    now: usize,
    most: usize,
}

impl std::fmt::Debug for ScriptedFetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedFetcher").finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptedFetcher {
    /// Knows no URL yet: every fetch fails with [`FetchError::Resolve`].
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            script: Mutex::default(),
            fetched: Mutex::default(),
            yields: AtomicUsize::new(1),
            at_once: Mutex::default(),
        }
    }

    /// From now on `url` answers with JSON `body` and, if given, this `Cache-Control`.
    pub fn answer(&self, url: &str, body: &str, cache_control: Option<&str>) {
        let scripted = Scripted {
            body: Bytes::copy_from_slice(body.as_bytes()),
            media_type: "application/json".to_owned(),
            cache_control: cache_control.map(str::to_owned),
        };
        locked(&self.script).insert(url.to_owned(), Ok(scripted));
    }

    /// From now on `url` answers with `body` of `media_type`.
    pub fn answer_bytes(&self, url: &str, body: Vec<u8>, media_type: &str) {
        let scripted = Scripted { body: body.into(), media_type: media_type.to_owned(), cache_control: None };
        locked(&self.script).insert(url.to_owned(), Ok(scripted));
    }

    /// From now on fetching `url` fails.
    pub fn fail(&self, url: &str, error: FetchError) {
        locked(&self.script).insert(url.to_owned(), Err(error));
    }

    /// From now on others get their turn this often before a fetch answers.
    pub fn dawdle(&self, yields: usize) {
        self.yields.store(yields, Ordering::SeqCst);
    }

    /// The most fetches from `host` that ever ran at once.
    pub fn most_at_once(&self, host: &str) -> usize {
        locked(&self.at_once).get(host).map_or(0, |at_once| at_once.most)
    }

    /// Every URL fetched so far, in order.
    pub fn fetched(&self) -> Vec<String> {
        locked(&self.fetched).clone()
    }
}

impl Fetcher for ScriptedFetcher {
    fn fetch<'a>(&'a self, request: &'a FetchRequest) -> Fetching<'a> {
        Box::pin(async move {
            locked(&self.fetched).push(request.url.as_str().to_owned());
            let host = request.url.host_str().unwrap_or_default().to_owned();
            {
                let mut hosts = locked(&self.at_once);
                let at_once = hosts.entry(host.clone()).or_default();
                at_once.now += 1;
                at_once.most = at_once.most.max(at_once.now);
            }
            // Others get their turn, as they would while a real fetch waits for the network.
            for _ in 0..self.yields.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            locked(&self.at_once).entry(host).or_default().now -= 1;
            let scripted = locked(&self.script).get(request.url.as_str()).cloned();
            let scripted = scripted.unwrap_or(Err(FetchError::Resolve))?;
            let now = self.clock.now();
            Ok(Fetched {
                body: scripted.body,
                media_type: scripted.media_type,
                cache: CacheHeaders {
                    cache_control: scripted.cache_control.into_iter().collect(),
                    ..CacheHeaders::default()
                },
                address: IpAddr::V4(Ipv4Addr::new(93, 184, 215, 14)),
                requested_at: now,
                received_at: now,
            })
        })
    }
}
