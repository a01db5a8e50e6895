//! What is counted, under names that dashboards and alarms use: CloudWatch's embedded metric format on
//! Lambda, Prometheus text in `local`. Without a recorder counting costs next to nothing.
//!
//! Every label has few values: outcomes and kinds are fixed vocabularies, and of tools only those that an
//! administrator has decided about have a label of their own. A stranger cannot make a new value, and so
//! not a bill either.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use metrics_cloudwatch_embedded::{Builder, Collector};

/// Requests that were answered, by `outcome`: authorizations are `approved`, refusals have the reason as
/// their outcome, and so have refreshes and replays.
pub const REQUESTS: &str = "nameplate_requests_total";

/// Requests by `tool` and `outcome`.
pub const TOOL_REQUESTS: &str = "nameplate_tool_requests_total";

/// Fetches from strangers, by `kind` and `outcome`.
pub const FETCHES: &str = "nameplate_fetches_total";

/// How long these took, by `kind`, in seconds.
pub const FETCH_SECONDS: &str = "nameplate_fetch_seconds";

/// Where copies of strangers' documents, keys, and logos came from, by `kind` and `source`.
pub const COPIES: &str = "nameplate_copies_total";

/// Scheduled work, by `task` and `outcome`.
pub const TASKS: &str = "nameplate_tasks_total";

/// The CloudWatch namespace.
pub const NAMESPACE: &str = "Nameplate";

/// Tools with a label of their own in one process: more than anybody looks at on a chart, and each costs
/// its CloudWatch metrics.
pub const TOOLS_MAX: usize = 100;

/// The label of tools that nobody has decided about, together.
pub const UNGOVERNED: &str = "ungoverned";

/// The label of tools beyond [`TOOLS_MAX`], together.
const OTHER: &str = "other";

/// Where a copy came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// This process had it.
    Memory,
    /// Another process had fetched it.
    Shared,
    /// It was fetched for this request.
    Fetched,
    /// There was none to be had.
    Nowhere,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Shared => "shared",
            Self::Fetched => "fetched",
            Self::Nowhere => "nowhere",
        }
    }
}

/// Counts a request. `outcome` is of a fixed vocabulary.
pub fn answered(outcome: &'static str) {
    counter!(REQUESTS, "outcome" => outcome).increment(1);
}

/// Counts a request of a tool that has a label of its own, or of [`UNGOVERNED`] ones.
pub fn answered_for(tool: &str, outcome: &'static str) {
    static KNOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let label = {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(tool) || (known.len() < TOOLS_MAX && known.insert(tool.to_owned())) {
            tool.to_owned()
        } else {
            OTHER.to_owned()
        }
    };
    counter!(TOOL_REQUESTS, "tool" => label, "outcome" => outcome).increment(1);
}

/// Counts a fetch that went out, and how long it took.
pub fn fetched(kind: &'static str, outcome: &'static str, took: Duration) {
    counter!(FETCHES, "kind" => kind, "outcome" => outcome).increment(1);
    histogram!(FETCH_SECONDS, "kind" => kind).record(took.as_secs_f64());
}

/// Counts where a copy came from.
pub fn found(kind: &'static str, source: Source) {
    counter!(COPIES, "kind" => kind, "source" => source.as_str()).increment(1);
}

/// Counts a scheduled task's run: `done` or `failed`.
pub fn worked(task: &'static str, outcome: &'static str) {
    counter!(TASKS, "task" => task, "outcome" => outcome).increment(1);
}

/// Says what the numbers are. Call it once there is a recorder.
pub fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Requests that were answered, by outcome");
    describe_counter!(TOOL_REQUESTS, Unit::Count, "Requests by tool and outcome");
    describe_counter!(FETCHES, Unit::Count, "Fetches from strangers, by kind and outcome");
    describe_histogram!(FETCH_SECONDS, Unit::Seconds, "How long these took");
    describe_counter!(COPIES, Unit::Count, "Where copies came from: memory, shared, fetched, or nowhere");
    describe_counter!(TASKS, Unit::Count, "Scheduled tasks, by outcome");
}

static COLLECTOR: OnceLock<&'static Collector> = OnceLock::new();

/// From now on numbers are kept for [`flush`]. Call it once, at start, on Lambda.
pub fn for_cloudwatch() {
    match Builder::new().cloudwatch_namespace(NAMESPACE).init() {
        Ok(collector) => {
            let _ = COLLECTOR.set(collector);
            describe();
        }
        // Counting must never keep a function from its work.
        Err(error) => tracing::warn!(reason = %error, "nothing is counted"),
    }
}

/// Writes what was counted since the last time to the standard output, where CloudWatch reads it. Without
/// [`for_cloudwatch`] it does nothing. Call it before the answer to an invocation is given: afterwards the
/// process may be frozen.
pub fn flush() {
    if let Some(collector) = COLLECTOR.get()
        && let Err(error) = collector.flush(io::stdout().lock())
    {
        tracing::warn!(reason = %error, "what was counted is lost");
    }
}
