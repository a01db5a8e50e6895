//! What a request costs, measured from outside, in the binaries that are deployed.
//!
//! Nothing here is compiled into the product, and nothing here is timed inside a test. Each command prints
//! tables; `--json FILE` writes the same figures for programs.

mod client;
mod double;
mod exchange;
mod failure;
mod figures;
mod http1;
mod lambda;
mod load;
mod measure;
mod process;
mod server;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::json;

use crate::exchange::Target;
use crate::failure::{Context as _, Failure};
use crate::figures::Table;
use crate::lambda::{Counting, Fleet, Surroundings};
use crate::measure::{calls, cold, growth, instructions, requests};
use crate::server::Servers;

/// Measures the binaries of a build.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Args {
    /// Where the binaries are.
    #[arg(long, value_name = "DIR", default_value = "target/release", global = true)]
    binaries: PathBuf,

    /// Where the processes may write their logs.
    #[arg(long, value_name = "DIR", default_value = "target/bench", global = true)]
    logs: PathBuf,

    /// Write the figures to this file too.
    #[arg(long, value_name = "FILE", global = true)]
    json: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Process start to first answer.
    Cold {
        /// Starts of each.
        #[arg(long, default_value_t = 30)]
        rounds: usize,
    },
    /// CPU time and latency of each kind of request.
    Requests {
        /// Requests of each kind.
        #[arg(long, default_value_t = 1000)]
        rounds: usize,
    },
    /// Instructions of each kind of request; needs valgrind.
    Instructions,
    /// Items and bytes in DynamoDB.
    Growth {
        /// How many people.
        #[arg(long, value_delimiter = ',', default_value = "10,1000")]
        people: Vec<usize>,
    },
    /// Calls to AWS for each flow. Fails if one exceeds its budget.
    Calls,
    /// Mixed traffic with a ledger of its own. Fails if anything is lost.
    Load(load::Plan),
    /// Cold, requests, instructions, growth, and calls.
    All,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(exceeded) if exceeded.is_empty() => ExitCode::SUCCESS,
        Ok(exceeded) => {
            for line in exceeded {
                eprintln!("bench: {line}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked for: what exceeds its budget, one line each.
fn run(args: &Args) -> Result<Vec<String>, Failure> {
    std::fs::create_dir_all(&args.logs).context(&args.logs.display().to_string())?;
    let mut report = Report::default();
    let (binaries, logs) = (args.binaries.as_path(), args.logs.as_path());
    match &args.command {
        Command::Cold { rounds } => report.add(cold::measure(binaries, logs, *rounds)?),
        Command::Requests { rounds } => measure_requests(&mut report, binaries, logs, *rounds)?,
        Command::Instructions => report.add(instructions::measure(binaries, logs)?),
        Command::Growth { people } => report.add(growth::measure(binaries, logs, people)?),
        Command::Calls => measure_calls(&mut report, binaries, logs)?,
        Command::Load(plan) => report.exceeded = load::run(plan, binaries, logs)?,
        Command::All => {
            report.add(cold::measure(binaries, logs, 30)?);
            measure_requests(&mut report, binaries, logs, 1000)?;
            report.add(instructions::measure(binaries, logs)?);
            measure_calls(&mut report, binaries, logs)?;
            report.add(growth::measure(binaries, logs, &[10, 1000])?);
        }
    }
    if let Some(path) = &args.json {
        let tables: Vec<_> = report.tables.iter().map(Table::json).collect();
        std::fs::write(path, format!("{:#}\n", json!({"tables": tables})))
            .context(&path.display().to_string())?;
    }
    Ok(report.exceeded)
}

/// What was found so far.
#[derive(Default)]
struct Report {
    tables: Vec<Table>,
    exceeded: Vec<String>,
}

impl Report {
    /// Shows `table` and keeps it.
    fn add(&mut self, table: Table) {
        println!("{}", table.markdown());
        self.tables.push(table);
    }
}

fn measure_requests(report: &mut Report, binaries: &Path, logs: &Path, rounds: usize) -> Result<(), Failure> {
    let servers = Servers::start(binaries, logs, 1, 1)?;
    let in_local = requests::measure(&servers, rounds)?;
    let fleet = Fleet::start(Surroundings::start(binaries, logs, Counting::Off)?, 1)?;
    let in_lambda = requests::measure(&fleet, rounds)?;
    report.add(requests::table(rounds, &[("Lambda", &in_lambda), ("local", &in_local)]));
    let targets: [(&str, &dyn Target); 2] = [("Lambda", &fleet), ("local", &servers)];
    report.add(requests::memory(&targets)?);
    Ok(())
}

fn measure_calls(report: &mut Report, binaries: &Path, logs: &Path) -> Result<(), Failure> {
    let counted = calls::measure(binaries, logs)?;
    report.add(counted.table());
    report.exceeded.extend(counted.exceeded());
    Ok(())
}
