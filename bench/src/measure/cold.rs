//! Cold starts: process start to first answer, peak memory, and what a function weighs zipped, beside the
//! least that such a function can be, in one run: the machine's mood is in all of them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::client::{Installation, introspect};
use crate::exchange::Request;
use crate::failure::{Context as _, Failure};
use crate::figures::{Cell, Table, mebibytes, median, milliseconds};
use crate::lambda::{Counting, Start, Surroundings};

/// What stands beside every other row.
const BASELINE: &str = "baseline";

/// A function and the request that meets it cold.
struct First {
    function: &'static str,
    request: Request,
    status: u16,
    what: &'static str,
}

fn firsts() -> Vec<First> {
    let first = |function, what, request, status| First { function, request, status, what };
    vec![
        first(BASELINE, "hello", Request::get("/"), 200),
        first("authorize", "a page that does not exist", Request::get("/nothing"), 404),
        first("authorize", "discovery", Request::get("/.well-known/oauth-authorization-server"), 200),
        first("authorize", "a stranger", Installation::on_the_web("example.com", 0).authorize(), 303),
        first("token", "a path that does not exist", Request::get("/nothing"), 404),
        first("token", "key set", Request::get("/jwks.json"), 200),
        first("token", "an invented code", Installation::on_the_web("example.com", 0).redeem("x"), 400),
        first("token", "introspection of nothing", introspect("x"), 200),
        first("register", "a path that does not exist", Request::get("/nothing"), 404),
    ]
}

/// Starts every function `rounds` times, in turn.
///
/// # Errors
/// [`Failure`] naming what did not start, or answered otherwise than it should.
pub fn measure(binaries: &Path, logs: &Path, rounds: usize) -> Result<Table, Failure> {
    let surroundings = Surroundings::start(binaries, logs, Counting::Off)?;
    let firsts = firsts();
    let mut starts: Vec<Vec<Start>> = firsts.iter().map(|_| Vec::new()).collect();
    // One round first that does not count: it brings the binaries into the page cache.
    for round in 0..=rounds {
        for (first, starts) in firsts.iter().zip(&mut starts) {
            let log = logs.join(format!("cold-{}.log", first.function));
            let environment = &surroundings.environment;
            let start =
                Start::measure(binaries, first.function, environment, &log, &first.request, first.status)?;
            if round > 0 {
                starts.push(start);
            }
        }
    }
    let mut table = Table::new(
        &format!("Cold start, median of {rounds}"),
        &[
            "function",
            "first request",
            "ready ms",
            "answered ms",
            "ratio",
            "CPU ms",
            "CPU ratio",
            "peak MiB",
            "zipped MiB",
        ],
    );
    let mut baseline = None;
    for (first, starts) in firsts.iter().zip(starts) {
        let of = |value: fn(&Start) -> Duration| median(starts.iter().map(value).collect());
        let (answered, cpu) = (of(|start| start.answered), of(|start| start.cpu));
        let (base, base_cpu) = *baseline.get_or_insert((answered, cpu));
        let peak = starts.iter().map(|start| start.peak_memory).max().unwrap_or_default();
        table.row(vec![
            first.function.into(),
            first.what.into(),
            Cell::Number(milliseconds(of(|start| start.ready)), 1),
            Cell::Number(milliseconds(answered), 1),
            Cell::Number(answered.as_secs_f64() / base.as_secs_f64(), 2),
            Cell::Number(milliseconds(cpu), 1),
            Cell::Number(cpu.as_secs_f64() / base_cpu.as_secs_f64(), 2),
            Cell::Number(mebibytes(peak), 1),
            Cell::Number(mebibytes(zipped(&binaries.join(first.function), logs)?), 2),
        ]);
    }
    Ok(table)
}

/// What `binary` weighs as Lambda gets it: without symbols, zipped.
fn zipped(binary: &Path, scratch: &Path) -> Result<u64, Failure> {
    let stripped = scratch.join("stripped");
    // The profile strips already; a build that keeps symbols for a profiler is weighed as if it did.
    run(Command::new("strip").arg("-o").arg(&stripped).arg(binary))?;
    run(Command::new("gzip").args(["-9", "-f"]).arg(&stripped))?;
    let zipped = scratch.join("stripped.gz");
    let size = std::fs::metadata(&zipped).context("gzip")?.len();
    std::fs::remove_file(&zipped).context("gzip")?;
    Ok(size)
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().context(&name)?;
    if output.status.success() {
        Ok(())
    } else {
        Err(Failure::new(&name, String::from_utf8_lossy(&output.stderr)))
    }
}
