//! Two servers on one database whose time stands still until somebody else moves it, so that a verifier written by
//! others can live through years of key rotations in a minute: `rotating SEED`.
//!
//! The first line of the standard output says where they listen. Each line of the standard input is a command:
//! `advance SECONDS` moves the time, `rotate` does what the steward's schedule does. Each is answered by one line.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "whoever drives it sees where it stops")]

use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use local::dynamodb::{ANY_PORT, DynamoDb};
use local::key_wrap::LocalKeyWrap;
use local::seed::{PolicyChanges, Seed};
use local::start::{Config, Outside, SharedDatabase, start};
use serde_json::{Value, json};
use shared::aws::table::DEFAULT_PREFIX;
use shared::aws::{self, KeyStore};
use shared::clock::Clock;
use shared::random::OsRandom;
use shared::testing::clock::TestClock;
use tokio::sync::mpsc;

fn say(line: &Value) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").unwrap();
    output.flush().unwrap();
}

#[tokio::main]
async fn main() {
    let seed = std::env::args().nth(1).expect("the seed file");
    let folder = Path::new(&seed).parent().expect("the seed file lies in a folder").to_owned();
    let clock = Arc::new(TestClock::default());
    let outside = Outside { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Outside::default() };
    let database = DynamoDb::start(ANY_PORT, None).await.unwrap();
    let key_file = folder.join("key");
    let config = Config {
        shared: Some(SharedDatabase { addr: database.addr(), key_file: key_file.clone() }),
        policy: PolicyChanges { seed: Seed::read(Path::new(&seed)).unwrap(), ..PolicyChanges::default() },
        ..Config::default()
    };
    let first = start(config.clone(), outside.clone()).await.unwrap();
    let issuer = first.issuer().clone();
    let as_well = Config { issuer: Some(issuer.clone()), policy: PolicyChanges::default(), ..config };
    let second = start(as_well, outside).await.unwrap();
    let wrap = LocalKeyWrap::in_file(&key_file, &OsRandom).unwrap();
    let tables = aws::DynamoDb::new(database.client(), DEFAULT_PREFIX.to_owned());
    let keys = KeyStore::new(tables, issuer.clone());

    let servers = [first.addr(), second.addr()].map(|addr| format!("http://{addr}"));
    say(&json!({"issuer": issuer.as_str(), "servers": servers, "now": clock.now().epoch_seconds()}));
    let (commands, mut commanded) = mpsc::channel::<String>(1);
    // The standard input blocks; the servers must not.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if commands.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = commanded.recv().await {
        let changed = match line.split_once(' ') {
            Some(("advance", seconds)) => {
                clock.advance(Duration::from_secs(seconds.parse().expect("seconds")));
                0
            }
            _ if line == "rotate" => keys.rotate_keys(&wrap, clock.as_ref(), &OsRandom).await.unwrap().len(),
            _ => panic!("no command: {line}"),
        };
        say(&json!({"now": clock.now().epoch_seconds(), "changed": changed}));
    }
    first.stop().await;
    second.stop().await;
    database.stop().await;
}
