//! Calls to AWS for each flow, counted between the functions and the doubles, and what they cost. Counts do
//! not depend on the machine, so this is also what CI checks.

use std::collections::BTreeMap;
use std::path::Path;

use crate::client::{Browser, Installation, Tokens, introspect, registration};
use crate::double::dynamodb::Contents;
use crate::exchange::{Request, Target as _};
use crate::failure::Failure;
use crate::figures::{Cell, Table};
use crate::lambda::{Counting, Fleet, Surroundings};

/// DESIGN section 9: round trips to DynamoDB of a whole flow, what goes out side by side counted once.
const FLOW_TRIPS_MAX: usize = 5;

/// DESIGN section 9: bytes of a grant.
const GRANT_BYTES_MAX: u64 = 1024;

/// Goes out beside another call and takes no trip of its own.
const BESIDE: &str = "dynamodb Query";

/// One step and the calls that it made.
#[derive(Clone, Debug)]
struct Step {
    name: &'static str,
    calls: BTreeMap<String, usize>,
    /// Whether it is part of the flow of somebody who is signed in.
    in_flow: bool,
}

/// What was counted.
#[derive(Clone, Debug)]
pub struct Counted {
    steps: Vec<Step>,
    grants: Contents,
    items_added_by_refresh: u64,
}

/// Walks through every flow once.
///
/// # Errors
/// [`Failure`] at the first answer that is not the expected one.
pub fn measure(binaries: &Path, logs: &Path) -> Result<Counted, Failure> {
    let fleet = Fleet::start(Surroundings::start(binaries, logs, Counting::On)?, 1)?;
    let calls = fleet.surroundings.calls.clone();
    let mut steps = Vec::new();
    let mut step = |name, in_flow| {
        // The policy is read again whenever five seconds have passed, by whichever request comes then.
        let mut calls = calls.take();
        calls.remove("dynamodb GetItem");
        steps.push(Step { name, calls, in_flow });
    };
    let client = Installation::of_document(fleet.domain(), 0, 0);

    let mut first = Browser::new(&fleet);
    let begun = first.send(client.authorize())?.expect(303, "authorize")?;
    step("authorize, a stranger, a cold instance", false);
    let signed_in = first.sign_in(&begun, "grace")?;
    step("sign-in", false);
    let page = first.follow(&signed_in)?;
    step("consent page, the document for the first time", false);
    let code = first.approve(&page)?;
    step("consent, the first of all to this tool", false);
    Tokens::of(fleet.send(&client.redeem(&code))?)?;
    step("code redemption, a cold instance", false);

    let mut browser = Browser::new(&fleet);
    let begun = browser.send(client.authorize())?;
    step("authorize, a stranger", false);
    browser.sign_in(&begun, "ada")?;
    step("sign-in", false);
    let page = browser.send(client.authorize())?;
    step("authorize, signed in, to the consent page", true);
    let code = browser.approve(&page)?;
    step("consent", true);
    let tokens = Tokens::of(fleet.send(&client.redeem(&code))?)?;
    step("code redemption", true);
    let before = fleet.surroundings.database.contents("grants")?;
    let mut refreshed = tokens;
    for _ in 0..3 {
        refreshed = Tokens::of(fleet.send(&client.refresh(&refreshed.refresh))?)?;
        step("refresh", false);
    }
    let grants = fleet.surroundings.database.contents("grants")?;
    fleet.send(&introspect(&refreshed.access))?.expect(200, "introspection")?;
    step("introspection", false);
    fleet.send(&client.revoke(&refreshed.refresh))?.expect(200, "revocation")?;
    step("revocation", false);
    fleet.send(&client.redeem("an-invented-code"))?.expect(400, "an invented code")?;
    step("an invented code", false);
    for name in ["registration, new, a cold instance", "registration, known"] {
        fleet.send(&registration(0, "http://127.0.0.1:5000/callback"))?.expect(201, name)?;
        step(name, false);
    }
    fleet.send(&registration(1, "http://127.0.0.1:5000/callback"))?.expect(201, "registration, new")?;
    step("registration, new", false);
    fleet.send(&Request::get("/jwks.json"))?.expect(200, "key set")?;
    step("key set", false);
    Ok(Counted { steps, items_added_by_refresh: grants.items - before.items, grants })
}

impl Counted {
    /// Round trips to DynamoDB in the flow of somebody who is signed in.
    fn trips(&self) -> usize {
        let flow = self.steps.iter().filter(|step| step.in_flow).flat_map(|step| &step.calls);
        flow.filter(|(name, _)| name.starts_with("dynamodb") && *name != BESIDE).map(|(_, count)| count).sum()
    }

    /// What exceeds its budget, one line each.
    pub fn exceeded(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let trips = self.trips();
        if trips > FLOW_TRIPS_MAX {
            lines.push(format!("a flow takes {trips} round trips to DynamoDB, not {FLOW_TRIPS_MAX}"));
        }
        if self.grants.largest > GRANT_BYTES_MAX {
            lines.push(format!("a grant has {} bytes, not {GRANT_BYTES_MAX}", self.grants.largest));
        }
        if self.items_added_by_refresh > 0 {
            lines.push(format!("three refreshes added {} items", self.items_added_by_refresh));
        }
        let warm =
            self.steps.iter().filter(|step| !step.name.contains("cold") && !step.name.contains("first"));
        for step in warm {
            if step.calls.keys().any(|name| name.starts_with("kms") || name.starts_with("lambda")) {
                lines.push(format!("{} asks KMS or invokes a function", step.name));
            }
        }
        let stranger = self.steps.iter().find(|step| step.name == "authorize, a stranger");
        if stranger.is_none_or(|step| !step.calls.is_empty()) {
            lines.push("a stranger's request asks the database".to_owned());
        }
        lines
    }

    /// As a table.
    pub fn table(&self) -> Table {
        let mut table =
            Table::new("Calls to AWS, warm unless it says otherwise", &["step", "calls", "trips"]);
        for step in &self.steps {
            let calls: Vec<String> =
                step.calls.iter().map(|(name, count)| format!("{count} {name}")).collect();
            let trips: usize =
                step.calls.iter().filter(|(name, _)| *name != BESIDE).map(|(_, count)| *count).sum();
            let calls = if calls.is_empty() { "none".to_owned() } else { calls.join(", ") };
            table.row(vec![step.name.into(), calls.into(), Cell::whole(trips as u64)]);
        }
        table.row(vec![
            "**flow of somebody signed in**".into(),
            format!("largest grant {} bytes", self.grants.largest).into(),
            Cell::whole(self.trips() as u64),
        ]);
        table
    }
}
