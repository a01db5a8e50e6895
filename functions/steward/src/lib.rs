//! What has to be done from time to time, by a schedule: keys are made ahead and removed when nothing
//! depends on them, and a new deployment gets its first policy.
//!
//! Every task can run at any time, again, and twice at once: what is done already is not done again. Each
//! run does a bounded amount, and the next one goes on from there. A task that fails does not keep the
//! others from their turn.

use std::error::Error;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::aws::table::{KEYS, POLICY, Permission, Right};
use shared::aws::{KeyChange, KeyStore, PolicyStore, StoreError};
use shared::clock::Clock;
use shared::http::log::chain;
use shared::jose::KeyWrap;
use shared::policy::Policy;
use shared::random::Random;

/// What this function works with. Its permissions in `infra/` name the same tables and rights.
#[derive(Clone)]
pub struct App {
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// Makes and removes keys.
    pub keys: KeyStore,
    /// Wraps what it makes.
    pub wrap: Arc<dyn KeyWrap>,
    /// Reads the policy, and stores the first one.
    pub policies: Arc<PolicyStore>,
    /// The policy to begin with, where none is stored yet.
    pub initial_policy: Option<Policy>,
}

/// What this function may do to which table.
pub const PERMISSIONS: &[Permission] =
    &[(KEYS, &[Right::DeleteItem, Right::PutItem, Right::Scan]), (POLICY, &[Right::GetItem, Right::PutItem])];

/// The schedule's event. Nothing in it matters: the work to be done is found in the tables.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One line per task.
    pub tasks: Vec<TaskReport>,
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskReport {
    /// Its name.
    pub task: &'static str,
    /// How many things it changed.
    pub changed: usize,
    /// Why it ended early.
    pub failure: Option<String>,
}

impl App {
    /// Does what is due.
    pub async fn run(&self) -> Report {
        let tasks = vec![self.rotate_keys().await, self.begin_policy().await];
        for TaskReport { task, changed, failure } in &tasks {
            match failure {
                None => tracing::info!(task, changed, "task done"),
                Some(reason) => tracing::error!(task, changed, reason, "task failed"),
            }
        }
        Report { tasks }
    }

    async fn rotate_keys(&self) -> TaskReport {
        let rotated =
            self.keys.rotate_keys(self.wrap.as_ref(), self.clock.as_ref(), self.random.as_ref()).await;
        let count = rotated.map(|changes| {
            changes.iter().for_each(log_key);
            changes.len()
        });
        TaskReport::new("rotate_keys", count)
    }

    /// Stores the first policy. Once there is one, the deployment's parameter means nothing any more:
    /// administrators change the policy, and a later deployment must not undo what they did.
    async fn begin_policy(&self) -> TaskReport {
        TaskReport::new("begin_policy", self.store_initial_policy().await)
    }

    async fn store_initial_policy(&self) -> Result<usize, StoreError> {
        let Some(initial) = &self.initial_policy else { return Ok(0) };
        if self.policies.current(self.clock.as_ref()).await?.version > 0 {
            return Ok(0);
        }
        Ok(usize::from(self.policies.replace(0, initial, "deployment", self.clock.now()).await?))
    }
}

impl TaskReport {
    fn new<E: Error + 'static>(task: &'static str, result: Result<usize, E>) -> Self {
        match result {
            Ok(changed) => Self { task, changed, failure: None },
            Err(error) => Self { task, changed: 0, failure: Some(chain(&error)) },
        }
    }
}

fn log_key(change: &KeyChange) {
    match change {
        KeyChange::Made { usage, kid, active_from } => {
            tracing::info!(
                usage = usage.as_str(),
                kid,
                active_from = active_from.epoch_seconds(),
                "key made"
            );
        }
        KeyChange::Removed { usage, kid } => {
            tracing::info!(usage = usage.as_str(), kid, "key removed");
        }
    }
}
