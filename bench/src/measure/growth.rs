//! What lies in DynamoDB after so many people have connected so many installations of one tool.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::client::{Browser, Installation, Tokens};
use crate::exchange::Target;
use crate::failure::Failure;
use crate::figures::{Cell, Table};
use crate::server::Servers;

/// People at once.
const CROWD: usize = 4;

/// The tables that could grow with people.
const TABLES: [&str; 7] = ["grants", "tools", "registrations", "documents", "audit", "rates", "replays"];

/// How a tool is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// By its metadata document.
    Document,
    /// It registers itself, each installation anew.
    Registration,
}

/// For each of `people` and each mechanism, with 1 and with 3 installations: items and bytes.
///
/// # Errors
/// [`Failure`] at the first answer that is not the expected one.
pub fn measure(binaries: &Path, logs: &Path, people: &[usize]) -> Result<Table, Failure> {
    let mut table = Table::new(
        "Growth",
        &[
            "people",
            "installations",
            "known by",
            "tools",
            "registrations",
            "grants",
            "other items",
            "bytes",
            "bytes per grant",
        ],
    );
    for &people in people {
        for installations in [1, 3] {
            for (mechanism, name) in [
                (Mechanism::Document, "metadata document"),
                (Mechanism::Registration, "dynamic registration"),
            ] {
                let servers = Servers::start(binaries, logs, 1, 1)?;
                connect(&servers, people, installations, mechanism)?;
                let [mut bytes, mut others] = [0; 2];
                let mut row =
                    vec![Cell::whole(people as u64), Cell::whole(installations as u64), name.into()];
                let [mut tools, mut registrations, mut grants] = [0; 3];
                for name in TABLES {
                    let contents = servers.database.contents(name)?;
                    bytes += contents.bytes;
                    match name {
                        "tools" => tools = contents.items,
                        "registrations" => registrations = contents.items,
                        "grants" => grants = contents.items,
                        _ => others += contents.items,
                    }
                }
                row.extend(
                    [tools, registrations, grants, others, bytes, bytes / grants.max(1)].map(Cell::whole),
                );
                table.row(row);
            }
        }
    }
    Ok(table)
}

/// Lets everybody connect every installation, from the first page to the tokens.
fn connect(
    servers: &Servers,
    people: usize,
    installations: usize,
    mechanism: Mechanism,
) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let person = next.fetch_add(1, Ordering::Relaxed);
            if person >= people {
                return Ok(());
            }
            let mut browser = Browser::new(servers);
            for number in 0..installations {
                // A port of its own for every installation there is.
                let port = person * installations + number;
                let client = match mechanism {
                    Mechanism::Document => Installation::of_document(servers.domain(), 0, port),
                    Mechanism::Registration => Installation::register(servers, 0, port)?,
                };
                let code = match number {
                    0 => browser.code(&client, &format!("person-{person}"))?,
                    _ => browser.another_code(&client)?,
                };
                Tokens::of(servers.send(&client.redeem(&code))?)?;
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..CROWD).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(Failure::new("a person", "panicked")))
        })
    })
}
