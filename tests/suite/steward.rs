//! What is done by a schedule, and that it can be done at any time, again, and twice at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use local::key_wrap::LocalKeyWrap;
use serde_json::json;
use shared::aws::{DynamoDb, KeyStore, PolicyStore};
use shared::oauth::Issuer;
use shared::policy::Policy;
use shared::random::OsRandom;
use shared::testing::calls::Calls;
use shared::testing::clock::TestClock;
use tests::ISSUER;

use crate::deployment::{as_named, declared};

struct Steward {
    app: steward::App,
    clock: Arc<TestClock>,
    calls: Calls,
    database: local::dynamodb::DynamoDb,
}

impl Steward {
    async fn new(initial_policy: Option<Policy>) -> Self {
        let database = local::dynamodb::DynamoDb::start(local::dynamodb::ANY_PORT, None).await.unwrap();
        local::table::create(database.client(), "test-").await.unwrap();
        let calls = Calls::default();
        let tables = DynamoDb::new(calls.count(&database.client()), "test-".to_owned());
        let clock = Arc::new(TestClock::default());
        let app = steward::App {
            clock: Arc::clone(&clock) as Arc<dyn shared::clock::Clock>,
            random: Arc::new(OsRandom),
            keys: KeyStore::new(tables.clone(), Issuer::parse(ISSUER).unwrap()),
            wrap: Arc::new(LocalKeyWrap::in_memory(&OsRandom).unwrap()),
            policies: Arc::new(PolicyStore::new(tables)),
            initial_policy,
        };
        Self { app, clock, calls, database }
    }

    /// What the tasks of one run changed.
    async fn run(&self) -> Vec<(&'static str, usize)> {
        let report = self.app.run().await;
        assert!(report.tasks.iter().all(|task| task.failure.is_none()), "{report:?}");
        report.tasks.iter().map(|task| (task.task, task.changed)).collect()
    }
}

fn a_policy(name: &str) -> Policy {
    let json = json!({"resources": [{"resource": "https://mcp.example/mcp", "name": name}]});
    Policy::from_json(&json.to_string()).unwrap()
}

#[tokio::test]
async fn the_steward_brings_a_new_deployment_to_life_and_has_nothing_to_do_the_second_time() {
    let steward = Steward::new(Some(a_policy("Notes"))).await;
    assert_eq!(steward.run().await, [("rotate_keys", 2), ("begin_policy", 1)]);
    assert_eq!(steward.run().await, [("rotate_keys", 0), ("begin_policy", 0)]);
    let in_force = steward.app.policies.current(steward.clock.as_ref()).await.unwrap();
    assert_eq!((in_force.version, &in_force.policy), (1, &a_policy("Notes")));

    // A later deployment with another parameter must not undo what administrators have done since.
    let mut later = steward.app.clone();
    later.initial_policy = Some(a_policy("Other"));
    assert_eq!(later.run().await.tasks[1].changed, 0);
    assert_eq!(steward.app.policies.current(steward.clock.as_ref()).await.unwrap().policy, a_policy("Notes"));
    steward.database.stop().await;
}

#[tokio::test]
async fn two_stewards_at_the_same_moment_make_one_set_of_keys_and_one_policy() {
    let steward = Steward::new(Some(a_policy("Notes"))).await;
    let (first, second) = tokio::join!(steward.run(), steward.run());
    for task in 0..2 {
        assert_eq!(first[task].1 + second[task].1, [2, 1][task], "{}", first[task].0);
    }
    assert_eq!(steward.app.keys.list(steward.clock.as_ref()).await.unwrap().len(), 2);
    steward.database.stop().await;
}

/// FM034: a task that cannot be done is reported, and the others are done all the same.
#[tokio::test]
async fn a_task_that_fails_keeps_no_other_from_its_turn() {
    let steward = Steward::new(Some(a_policy("Notes"))).await;
    let mut without_kms = steward.app.clone();
    without_kms.wrap = Arc::new(Unreachable);
    let report = without_kms.run().await;
    let failure = report.tasks[0].failure.as_deref().unwrap();
    assert!(failure.contains("unavailable"), "{failure}");
    assert_eq!((report.tasks[1].changed, &report.tasks[1].failure), (1, &None));
    assert_eq!(steward.run().await, [("rotate_keys", 2), ("begin_policy", 0)], "it goes on from there");
    steward.database.stop().await;
}

/// A wrapping service that nobody reaches.
struct Unreachable;

impl shared::jose::KeyWrap for Unreachable {
    fn wrap<'a>(&'a self, _: &'a [u8], _: shared::jose::WrapContext<'a>) -> shared::jose::Wrapping<'a> {
        Box::pin(async { Err(shared::jose::WrapError::Unavailable) })
    }

    fn unwrap<'a>(&'a self, _: &'a [u8], _: shared::jose::WrapContext<'a>) -> shared::jose::Wrapping<'a> {
        Box::pin(async { Err(shared::jose::WrapError::Unavailable) })
    }
}

#[tokio::test]
async fn the_steward_uses_the_rights_that_it_names() {
    let steward = Steward::new(Some(a_policy("Notes"))).await;
    let mut used = BTreeSet::new();
    // A year of rotations: keys come and go.
    for _ in 0..53 {
        steward.run().await;
        used.extend(steward.calls.take_rights());
        steward.clock.advance(Duration::from_secs(7 * 24 * 60 * 60));
    }
    assert_eq!(as_named(used, "test-"), declared(steward::PERMISSIONS));
    steward.database.stop().await;
}
