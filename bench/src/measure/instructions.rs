//! Instructions of one request, counted by valgrind in the function binary itself: the same number on a busy
//! machine and on an idle one, so a change of one part in a hundred shows. What the kernel does is not in it.

use std::path::Path;

use crate::client::{Browser, Installation, Tokens, introspect, registration};
use crate::exchange::{Request, Target as _};
use crate::failure::{Context as _, Failure};
use crate::figures::{Cell, Table};
use crate::lambda::{Counting, Fleet, Function, Surroundings};

/// Requests of a kind that are made before those that count: keys, policy, and document are there then.
const BEFORE: usize = 5;

/// Requests of a kind that count.
const COUNTED: usize = 20;

/// One kind of request.
struct Kind {
    name: &'static str,
    function: &'static str,
    status: u16,
    requests: Vec<Request>,
}

/// Counts every kind.
///
/// # Errors
/// [`Failure`] without valgrind, or at the first answer that is not the expected one.
pub fn measure(binaries: &Path, logs: &Path) -> Result<Table, Failure> {
    let fleet = Fleet::start(Surroundings::start(binaries, logs, Counting::Off)?, 1)?;
    let mut table = Table::new("Instructions", &["function", "request", "thousand instructions"]);
    let start = |function: &str| {
        let of_none = run(&fleet, function, &[], 0)?;
        Ok::<_, Failure>(of_none)
    };
    for function in ["authorize", "token"] {
        let name = Cell::from("start, without a request");
        table.row(vec![function.into(), name, Cell::whole(start(function)? / 1000)]);
    }
    for make in [discovery, key_set, stranger, signed_in, redemption, refresh, introspection, known] {
        // Two runs that differ in the number of requests alone: what a start costs is in both of them.
        let kind = make(&fleet, 2 * BEFORE + COUNTED)?;
        let (few, many) = kind.requests.split_at(BEFORE.min(kind.requests.len()));
        let few = run(&fleet, kind.function, few, kind.status)?;
        let many = run(&fleet, kind.function, many, kind.status)?;
        let each = many.saturating_sub(few) / COUNTED as u64;
        table.row(vec![kind.function.into(), kind.name.into(), Cell::whole(each / 1000)]);
    }
    Ok(table)
}

/// The instructions of `function` from its start to its end, with these requests in between.
fn run(fleet: &Fleet, function: &str, requests: &[Request], status: u16) -> Result<u64, Failure> {
    let mut running: Function = fleet.surroundings.counted(function)?;
    if requests.is_empty() {
        running.runtime.wait_until_ready()?;
    }
    for request in requests {
        running.send(request)?.expect(status, function)?;
    }
    running.process.terminate()?;
    let printed = running.process.printed();
    let collected = printed.lines().find_map(|line| line.split_once("Collected :").map(|(_, count)| count));
    collected.and_then(|count| count.trim().parse().ok()).context("valgrind's count")
}

fn client(fleet: &Fleet) -> Installation {
    Installation::of_document(fleet.domain(), 0, 0)
}

fn repeated(
    name: &'static str,
    function: &'static str,
    request: &Request,
    status: u16,
    count: usize,
) -> Kind {
    Kind { name, function, status, requests: vec![request.clone(); count] }
}

fn discovery(_: &Fleet, count: usize) -> Result<Kind, Failure> {
    let request = Request::get("/.well-known/oauth-authorization-server");
    Ok(repeated("discovery", "authorize", &request, 200, count))
}

fn key_set(_: &Fleet, count: usize) -> Result<Kind, Failure> {
    Ok(repeated("key set", "token", &Request::get("/jwks.json"), 200, count))
}

fn stranger(fleet: &Fleet, count: usize) -> Result<Kind, Failure> {
    Ok(repeated("authorize, a stranger", "authorize", &client(fleet).authorize(), 303, count))
}

fn signed_in(fleet: &Fleet, count: usize) -> Result<Kind, Failure> {
    let mut browser = Browser::new(fleet);
    browser.code(&client(fleet), "ada")?;
    let request = browser.with_cookies(Installation::of_document(fleet.domain(), 0, 1).authorize());
    Ok(repeated("authorize, signed in, to the consent page", "authorize", &request, 200, count))
}

fn redemption(fleet: &Fleet, count: usize) -> Result<Kind, Failure> {
    let client = client(fleet);
    let code = |person| Browser::new(fleet).code(&client, &format!("redeems-{person}"));
    let requests =
        (0..count).map(|person| Ok(client.redeem(&code(person)?))).collect::<Result<_, Failure>>()?;
    Ok(Kind { name: "code redemption", function: "token", status: 200, requests })
}

fn tokens(fleet: &Fleet, count: usize) -> Result<Vec<Tokens>, Failure> {
    let redemption = redemption(fleet, count)?;
    redemption.requests.iter().map(|request| Tokens::of(fleet.send(request)?)).collect()
}

fn refresh(fleet: &Fleet, count: usize) -> Result<Kind, Failure> {
    let client = client(fleet);
    let requests = tokens(fleet, count)?.iter().map(|tokens| client.refresh(&tokens.refresh)).collect();
    Ok(Kind { name: "refresh", function: "token", status: 200, requests })
}

fn introspection(fleet: &Fleet, count: usize) -> Result<Kind, Failure> {
    let requests = tokens(fleet, count)?.iter().map(|tokens| introspect(&tokens.access)).collect();
    Ok(Kind { name: "introspection", function: "token", status: 200, requests })
}

fn known(fleet: &Fleet, count: usize) -> Result<Kind, Failure> {
    let request = registration(0, "http://127.0.0.1:33418/callback");
    fleet.send(&request)?.expect(201, "registration")?;
    Ok(repeated("registration, known", "register", &request, 201, count))
}
