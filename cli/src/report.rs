//! What an inspection or an examination found.

use std::fmt;

use serde_json::{Value, json};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// Works, and could be better.
    Warned,
    /// The other side would refuse it.
    Failed,
}

impl Verdict {
    const fn sign(self) -> char {
        match self {
            Self::Passed => '✓',
            Self::Warned => '!',
            Self::Failed => '✗',
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Warned => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// The requirement behind it.
    pub requirement: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// How to mend it, where there is something to mend.
    pub mend: Option<String>,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The metadata document of this client identifier, as a server would look at it.
    Document(String),
    /// The authorization server of this issuer identifier, as a client would look at it.
    Server(String),
}

impl Subject {
    fn name(&self) -> &str {
        match self {
            Self::Document(name) | Self::Server(name) => name,
        }
    }

    const fn member(&self) -> &'static str {
        match self {
            Self::Document(_) => "client_id",
            Self::Server(_) => "issuer",
        }
    }

    const fn conclusion(&self, passed: bool) -> &'static str {
        match (self, passed) {
            (Self::Document(_), true) => "accepted",
            (Self::Document(_), false) => "refused",
            (Self::Server(_), true) => "in order",
            (Self::Server(_), false) => "not in order",
        }
    }
}

/// All checks of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is looked at.
    pub subject: Subject,
    /// In the order in which the other side would come to them.
    pub checks: Vec<Check>,
}

impl Report {
    /// A report without checks.
    pub const fn new(subject: Subject) -> Self {
        Self { subject, checks: Vec::new() }
    }

    /// Whether nothing failed.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.verdict != Verdict::Failed)
    }

    /// Notes that `name` is as it should be.
    pub fn pass(&mut self, name: &'static str, requirement: &'static str, found: impl Into<String>) {
        self.note(name, requirement, Verdict::Passed, found, None);
    }

    /// Notes that `name` works and could be better.
    pub fn warn(
        &mut self,
        name: &'static str,
        requirement: &'static str,
        found: impl Into<String>,
        mend: &str,
    ) {
        self.note(name, requirement, Verdict::Warned, found, Some(mend));
    }

    /// Notes that `name` is wrong.
    pub fn fail(
        &mut self,
        name: &'static str,
        requirement: &'static str,
        found: impl Into<String>,
        mend: &str,
    ) {
        self.note(name, requirement, Verdict::Failed, found, Some(mend));
    }

    fn note(
        &mut self,
        name: &'static str,
        requirement: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        mend: Option<&str>,
    ) {
        let mend = mend.map(str::to_owned);
        self.checks.push(Check { name, requirement, verdict, found: found.into(), mend });
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| {
                let mut value = json!({
                    "check": check.name,
                    "requirement": check.requirement,
                    "verdict": check.verdict.name(),
                    "found": check.found,
                });
                if let (Some(mend), Some(members)) = (&check.mend, value.as_object_mut()) {
                    members.insert("mend".to_owned(), mend.as_str().into());
                }
                value
            })
            .collect();
        json!({(self.subject.member()): self.subject.name(), "passed": self.passed(), "checks": checks})
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", printable(self.subject.name()))?;
        for check in &self.checks {
            let found = printable(&check.found);
            writeln!(f, "{} {}: {found}  [{}]", check.verdict.sign(), check.name, check.requirement)?;
            if let Some(mend) = &check.mend {
                writeln!(f, "    → {}", printable(mend))?;
            }
        }
        let count = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count();
        let (failed, warned) = (count(Verdict::Failed), count(Verdict::Warned));
        let conclusion = self.subject.conclusion(self.passed());
        writeln!(f, "\n{conclusion}: {failed} errors, {warned} warnings")
    }
}

/// A document is a stranger's text: nothing in it may steer the terminal or rearrange the line.
fn printable(text: &str) -> String {
    let steers = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    text.chars().map(|character| if steers(character) { '\u{fffd}' } else { character }).collect()
}
