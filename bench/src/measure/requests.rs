//! What each kind of request costs the server: time on a processor, and time until the answer. One client,
//! one request after another, a whole phase of one kind before the next, so that what the kernel counts for
//! the server belongs to that kind.

use std::time::Duration;

use crate::client::{Browser, Installation, Tokens, introspect, registration};
use crate::exchange::{Answer, Request, Target};
use crate::failure::Failure;
use crate::figures::{Cell, Table, mebibytes, milliseconds, percentile};

/// Flows before anything is counted: connections, the document, keys, and policy are there afterwards.
const WARM_UP: usize = 40;

/// The tool that everything is done with.
const TOOL: usize = 0;

/// A phase.
#[derive(Clone, Debug)]
pub struct Phase {
    /// What was asked for.
    pub name: &'static str,
    /// Time on a processor, for one request.
    pub cpu: Duration,
    sorted: Vec<Duration>,
}

/// What the requests that make up a whole flow are called.
const FLOW: [&str; 5] = [AUTHORIZE, SIGN_IN, PAGE, CONSENT, REDEEM];

const AUTHORIZE: &str = "authorize, a stranger";
const SIGN_IN: &str = "sign-in";
const PAGE: &str = "consent page";
const CONSENT: &str = "consent";
const REDEEM: &str = "code redemption";

/// All phases at one server.
#[derive(Clone, Debug, Default)]
pub struct Phases(pub Vec<Phase>);

impl Phases {
    /// Does `each` for every one of `inputs`, and notes what that cost.
    fn phase<I, O>(
        &mut self,
        target: &dyn Target,
        name: &'static str,
        inputs: impl IntoIterator<Item = I>,
        mut each: impl FnMut(I) -> Result<(O, Duration), Failure>,
    ) -> Result<Vec<O>, Failure> {
        let (mut outputs, mut sorted) = (Vec::new(), Vec::new());
        let before = target.cpu()?;
        for input in inputs {
            let (output, took) = each(input)?;
            outputs.push(output);
            sorted.push(took);
        }
        let cpu = target.cpu()?.saturating_sub(before);
        sorted.sort_unstable();
        let count = u32::try_from(sorted.len()).unwrap_or(u32::MAX).max(1);
        self.0.push(Phase { name, cpu: cpu / count, sorted });
        Ok(outputs)
    }

    /// The time on a processor that a whole flow takes, sign-in included.
    pub fn flow(&self) -> Duration {
        self.0.iter().filter(|phase| FLOW.contains(&phase.name)).map(|phase| phase.cpu).sum()
    }
}

/// The answer to `request`, if it has `status`, with the time that it took.
fn timed(target: &dyn Target, request: &Request, status: u16) -> Result<(Answer, Duration), Failure> {
    let answer = target.send(request)?.expect(status, &request.target)?;
    let took = answer.took;
    Ok((answer, took))
}

/// Asks for everything `rounds` times.
///
/// # Errors
/// [`Failure`] at the first answer that is not the expected one.
pub fn measure(target: &dyn Target, rounds: usize) -> Result<Phases, Failure> {
    let client = Installation::of_document(target.domain(), TOOL, 0);
    for warm in 0..WARM_UP.min(rounds) {
        let code = Browser::new(target).code(&client, &format!("warm-{warm}"))?;
        let tokens = Tokens::of(target.send(&client.redeem(&code))?)?;
        target.send(&introspect(&tokens.access))?.expect(200, "introspection")?;
    }
    let mut phases = Phases::default();
    for (name, path) in [("discovery", "/.well-known/oauth-authorization-server"), ("key set", "/jwks.json")]
    {
        let request = Request::get(path);
        target.send(&request)?.expect(200, name)?;
        phases.phase(target, name, 0..rounds, |_| timed(target, &request, 200))?;
    }
    let second = Installation::of_document(target.domain(), TOOL, 1);
    let tokens = flows(&mut phases, target, &client, &second, rounds)?;
    credentials(&mut phases, target, &client, tokens)?;
    registrations(&mut phases, target, rounds)?;
    Ok(phases)
}

/// The whole flow of `rounds` people, and a second one of theirs, who are signed in by then.
fn flows(
    phases: &mut Phases,
    target: &dyn Target,
    client: &Installation,
    second: &Installation,
    rounds: usize,
) -> Result<Vec<Tokens>, Failure> {
    let begun = phases.phase(target, AUTHORIZE, 0..rounds, |person| {
        let mut browser = Browser::new(target);
        let begun = browser.send(client.authorize())?;
        let took = begun.took;
        Ok(((browser, begun, format!("person-{person}")), took))
    })?;
    let signed_in = phases.phase(target, SIGN_IN, begun, |(mut browser, begun, person)| {
        let answer = browser.sign_in(&begun, &person)?;
        let took = answer.took;
        Ok(((browser, answer), took))
    })?;
    let pages = phases.phase(target, PAGE, signed_in, |(mut browser, answer)| {
        let page = browser.follow(&answer)?.expect(200, "consent page")?;
        let took = page.took;
        Ok(((browser, page), took))
    })?;
    let consented = phases.phase(target, CONSENT, pages, |(mut browser, page)| {
        let answer = browser.send(Browser::approval(&page)?)?.expect(303, "consent")?;
        let code = answer.redirect_param("code").ok_or_else(|| answer.unexpected("no code"))?;
        Ok(((browser, code), answer.took))
    })?;
    let redeemed = phases.phase(target, REDEEM, consented, |(browser, code)| {
        let answer = target.send(&client.redeem(&code))?;
        let took = answer.took;
        Ok(((browser, Tokens::of(answer)?), took))
    })?;
    let (browsers, tokens): (Vec<_>, Vec<_>) = redeemed.into_iter().unzip();
    phases.phase(target, "authorize, signed in, to the consent page", browsers, |mut browser| {
        let page = browser.send(second.authorize())?.expect(200, "consent page")?;
        let took = page.took;
        Ok((page, took))
    })?;
    Ok(tokens)
}

fn credentials(
    phases: &mut Phases,
    target: &dyn Target,
    client: &Installation,
    tokens: Vec<Tokens>,
) -> Result<(), Failure> {
    let tokens = phases.phase(target, "refresh", tokens, |tokens| {
        let answer = target.send(&client.refresh(&tokens.refresh))?;
        let took = answer.took;
        Ok((Tokens::of(answer)?, took))
    })?;
    phases.phase(target, "introspection", &tokens, |tokens| {
        let (answer, took) = timed(target, &introspect(&tokens.access), 200)?;
        if answer.body.contains("\"active\":true") {
            Ok(((), took))
        } else {
            Err(answer.unexpected("introspection"))
        }
    })?;
    phases
        .phase(target, "revocation", &tokens, |tokens| timed(target, &client.revoke(&tokens.refresh), 200))?;
    Ok(())
}

fn registrations(phases: &mut Phases, target: &dyn Target, rounds: usize) -> Result<(), Failure> {
    let request = |tool| registration(tool, "http://127.0.0.1:33418/callback");
    phases.phase(target, "registration, new", 0..rounds, |tool| timed(target, &request(tool), 201))?;
    phases.phase(target, "registration, known", 0..rounds, |_| timed(target, &request(0), 201))?;
    Ok(())
}

/// The table of the same phases at several servers.
pub fn table(rounds: usize, servers: &[(&str, &Phases)]) -> Table {
    let mut head = vec!["request".to_owned()];
    for (name, _) in servers {
        head.extend(["CPU µs", "p50 ms", "p99 ms"].map(|figure| format!("{name}: {figure}")));
    }
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = Table::new(&format!("One request, {rounds} times each"), &head);
    let microseconds = |duration: Duration| Cell::Number(duration.as_secs_f64() * 1e6, 0);
    let names =
        servers.first().map(|(_, phases)| phases.0.iter().map(|phase| phase.name)).into_iter().flatten();
    for (index, name) in names.enumerate() {
        let mut cells = vec![Cell::from(name)];
        for phase in servers.iter().filter_map(|(_, phases)| phases.0.get(index)) {
            cells.extend([
                microseconds(phase.cpu),
                Cell::Number(milliseconds(percentile(&phase.sorted, 50)), 2),
                Cell::Number(milliseconds(percentile(&phase.sorted, 99)), 2),
            ]);
        }
        table.row(cells);
    }
    let mut cells = vec![Cell::from("**whole flow**: authorize, sign-in, page, consent, redemption")];
    for (_, phases) in servers {
        cells.extend([microseconds(phases.flow()), Cell::Empty, Cell::Empty]);
    }
    table.row(cells);
    table
}

/// The table of what the processes held in memory.
///
/// # Errors
/// [`Failure`] if one has ended.
pub fn memory(targets: &[(&str, &dyn Target)]) -> Result<Table, Failure> {
    let mut table = Table::new("Memory after that", &["server", "process", "now MiB", "peak MiB"]);
    for (server, target) in targets {
        for (process, now, peak) in target.memory()? {
            table.row(vec![
                (*server).into(),
                process.into(),
                Cell::Number(mebibytes(now), 1),
                Cell::Number(mebibytes(peak), 1),
            ]);
        }
    }
    Ok(table)
}
