//! Mixed traffic, and a ledger that the server does not write: every code and token that anybody got is in it,
//! and at the end it is compared with what lies in the database.

mod ledger;
mod traffic;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::exchange::{Request, Target};
use crate::failure::{Context as _, Failure};
use crate::figures::{Cell, Table, mebibytes, milliseconds, percentile};
use crate::server::Servers;
use ledger::Ledger;
use traffic::{Action, Traffic};

/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Memory may grow by so many hundredths between the middle of a run and its end: caches are full by then.
const GROWTH_PERCENT_MAX: u64 = 110;

/// What a run consists of.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// Processes of `local` that share one DynamoDB.
    #[arg(long, default_value_t = 1)]
    pub processes: usize,
    /// For how long.
    #[arg(long, default_value_t = 300)]
    pub seconds: u64,
    /// How many tools.
    #[arg(long, default_value_t = 1000)]
    pub tools: usize,
    /// How many people at most.
    #[arg(long, default_value_t = 50_000)]
    pub people: usize,
    /// Clients at once.
    #[arg(long, default_value_t = 8)]
    pub crowd: usize,
}

/// Memory of all processes together, at one moment.
#[derive(Clone, Copy, Debug)]
struct Look {
    server: u64,
}

/// Runs it: what went wrong, one line each.
///
/// # Errors
/// [`Failure`] if it cannot be run at all.
pub fn run(plan: &Plan, binaries: &Path, logs: &Path) -> Result<Vec<String>, Failure> {
    let servers = Servers::start(binaries, logs, plan.processes, plan.tools)?;
    let keys = servers.send(&Request::get("/jwks.json"))?.expect(200, "key set")?.json()?;
    let over = AtomicBool::new(false);
    let began = Instant::now();
    let (ledgers, looks) = thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.crowd)
            .map(|number| {
                let (servers, keys, over) = (&servers, &keys, &over);
                scope.spawn(move || Traffic::new(servers, plan, number, keys)?.run(over))
            })
            .collect();
        let mut looks = Vec::new();
        while began.elapsed() < Duration::from_secs(plan.seconds) {
            thread::sleep(LOOK);
            let server = servers.memory()?.iter().map(|(_, now, _)| now).sum();
            looks.push(Look { server });
        }
        over.store(true, Ordering::Relaxed);
        let ledgers = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(Failure::new("a client", "panicked"))))
            .collect::<Result<Vec<_>, _>>()?;
        Ok::<_, Failure>((ledgers, looks))
    })?;
    let took = began.elapsed();
    let mut ledger = Ledger::default();
    for part in ledgers {
        ledger.merge(part);
    }
    ledger.settle(&servers)?;
    let cpu = servers.cpu()?;
    report(plan, &mut ledger, &looks, took, cpu, &servers)?;
    let mut problems = ledger.problems;
    problems.extend(not_flat(&looks));
    Ok(problems)
}

/// Whether memory went on growing after the middle of the run.
fn not_flat(looks: &[Look]) -> Option<String> {
    let middle = looks.get(looks.len() / 2)?.server;
    let end = looks.last()?.server;
    let flat = end * 100 <= middle * GROWTH_PERCENT_MAX;
    (!flat).then(|| format!("memory grew from {middle} bytes in the middle to {end} at the end"))
}

fn report(
    plan: &Plan,
    ledger: &mut Ledger,
    looks: &[Look],
    took: Duration,
    cpu: Duration,
    servers: &Servers,
) -> Result<(), Failure> {
    let mut actions = Table::new(
        &format!(
            "Load: {} process(es), {} clients at once, {} s",
            plan.processes,
            plan.crowd,
            took.as_secs()
        ),
        &["action", "times", "p50 ms", "p99 ms", "max ms"],
    );
    for action in Action::ALL {
        let mut took = ledger.took.remove(&action).unwrap_or_default();
        took.sort_unstable();
        let milliseconds = |duration| Cell::Number(milliseconds(duration), 1);
        actions.row(vec![
            action.name().into(),
            Cell::whole(took.len() as u64),
            milliseconds(percentile(&took, 50)),
            milliseconds(percentile(&took, 99)),
            milliseconds(took.last().copied().unwrap_or_default()),
        ]);
    }
    println!("{}", actions.markdown());
    let mut table = Table::new("Ledger", &["what", "count"]);
    for (name, count) in ledger.summary() {
        table.row(vec![name.into(), Cell::whole(count)]);
    }
    let first = looks.first().context("memory")?.server;
    let middle = looks.get(looks.len() / 2).context("memory")?.server;
    let end = looks.last().context("memory")?.server;
    for (name, bytes) in [("first look", first), ("middle", middle), ("end", end)] {
        table.row(vec![
            format!("memory of the servers, {name}, MiB").into(),
            Cell::Number(mebibytes(bytes), 1),
        ]);
    }
    let database = servers.database.process.memory()?;
    table.row(vec!["memory of the embedded DynamoDB, MiB".into(), Cell::Number(mebibytes(database), 1)]);
    table.row(vec!["CPU of the servers, s".into(), Cell::Number(cpu.as_secs_f64(), 1)]);
    println!("{}", table.markdown());
    Ok(())
}
