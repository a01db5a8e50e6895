//! What stands around a function in AWS, as far as a measurement needs it: each a few threads on loopback.

pub mod dynamodb;
pub mod invoke;
pub mod kms;
pub mod metadata_host;
pub mod provider;
pub mod runtime_api;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How often each operation was asked for, by a name such as `dynamodb UpdateItem`.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<BTreeMap<String, usize>>>);

impl Calls {
    /// Counts one.
    pub fn count(&self, name: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default() += 1;
    }

    /// Those since the last time, and starts anew.
    pub fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
