//! One client of the crowd: it acts for people of its own, so it knows what each of their grants must answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::Value;

use super::Plan;
use super::ledger::{Entry, Ledger, Standing, verify};
use crate::client::{Browser, Installation, Tokens, introspect};
use crate::exchange::{Answer, Request, Target as _};
use crate::failure::Failure;
use crate::server::Servers;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Somebody new signs in, consents, and their client redeems the code.
    Connect,
    /// A refresh.
    Refresh,
    /// Two processes of one client refresh with one token at once: both get the same successor.
    RefreshTwice,
    /// A refresh is answered into the void and sent again.
    RefreshAgain,
    /// A resource asks about a token.
    Introspect,
    /// A person disconnects a client.
    Revoke,
    /// Somebody presents a code that was redeemed: the grant ends.
    ReplayCode,
    /// Somebody who saw a code tries it with another verifier, then its owner redeems it.
    WrongVerifier,
    /// Somebody invents a code and a refresh token.
    Invent,
    /// Somebody who is not signed in knocks.
    Stranger,
    /// Discovery and key set.
    Discover,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Connect,
        Self::Refresh,
        Self::RefreshTwice,
        Self::RefreshAgain,
        Self::Introspect,
        Self::Revoke,
        Self::ReplayCode,
        Self::WrongVerifier,
        Self::Invent,
        Self::Stranger,
        Self::Discover,
    ];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect: authorize, sign-in, page, consent, redemption",
            Self::Refresh => "refresh",
            Self::RefreshTwice => "refresh, twice at once",
            Self::RefreshAgain => "refresh, sent again",
            Self::Introspect => "introspection",
            Self::Revoke => "revocation",
            Self::ReplayCode => "replay of a code",
            Self::WrongVerifier => "connect, after a wrong verifier",
            Self::Invent => "invented code and refresh token",
            Self::Stranger => "authorize, a stranger",
            Self::Discover => "discovery and key set",
        }
    }

    /// How often it happens, in hundredths; together a hundred.
    const fn weight(self) -> u64 {
        match self {
            Self::Connect => 30,
            Self::Refresh => 32,
            Self::RefreshTwice | Self::RefreshAgain | Self::ReplayCode | Self::WrongVerifier => 2,
            Self::Revoke => 3,
            Self::Introspect => 12,
            Self::Invent => 3,
            Self::Stranger | Self::Discover => 6,
        }
    }
}

/// One client.
pub struct Traffic<'a> {
    servers: &'a Servers,
    plan: &'a Plan,
    keys: &'a Value,
    number: usize,
    /// People whom it has acted for.
    people: usize,
    chance: u64,
    ledger: Ledger,
}

impl<'a> Traffic<'a> {
    /// Number `number` of the crowd.
    ///
    /// # Errors
    /// [`Failure`] if the crowd is larger than the people.
    pub fn new(
        servers: &'a Servers,
        plan: &'a Plan,
        number: usize,
        keys: &'a Value,
    ) -> Result<Self, Failure> {
        if plan.people < plan.crowd {
            return Err(Failure::new("--people", "fewer than clients"));
        }
        // The same traffic in every run.
        let chance = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(number as u64 + 1);
        Ok(Self { servers, plan, keys, number, people: 0, chance, ledger: Ledger::default() })
    }

    /// Acts until it is over: what it got.
    ///
    /// # Errors
    /// [`Failure`] if the server cannot be reached.
    pub fn run(mut self, over: &AtomicBool) -> Result<Ledger, Failure> {
        while !over.load(Ordering::Relaxed) {
            let action = self.choose();
            let began = Instant::now();
            match self.act(action) {
                Ok(true) => self.ledger.took.entry(action).or_default().push(began.elapsed()),
                Ok(false) => {}
                Err(error) => self.ledger.problem(format!("{}: {error}", action.name())),
            }
        }
        Ok(self.ledger)
    }

    /// xorshift64*: good enough to mix traffic.
    fn random(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance >> 12;
        self.chance ^= self.chance << 25;
        self.chance ^= self.chance >> 27;
        self.chance.wrapping_mul(0x2545_F491_4F6C_DD1D) % below.max(1)
    }

    fn choose(&mut self) -> Action {
        let mut left = self.random(100);
        for action in Action::ALL {
            match left.checked_sub(action.weight()) {
                Some(rest) => left = rest,
                None => return action,
            }
        }
        Action::Connect
    }

    /// Does it: whether there was anything to do it with.
    fn act(&mut self, action: Action) -> Result<bool, Failure> {
        match action {
            Action::Connect => self.connect(false),
            Action::WrongVerifier => self.connect(true),
            Action::Refresh => self.with_entry(Standing::Live, Self::refresh),
            Action::RefreshTwice => self.with_entry(Standing::Live, Self::refresh_twice),
            Action::RefreshAgain => self.with_entry(Standing::Live, Self::refresh_again),
            Action::Introspect => self.with_any_entry(Self::introspect),
            Action::Revoke => self.with_entry(Standing::Live, Self::revoke),
            Action::ReplayCode => self.with_entry(Standing::Live, Self::replay),
            Action::Invent => self.invent(),
            Action::Stranger => self.stranger(),
            Action::Discover => self.discover(),
        }
    }

    fn installation(&mut self) -> Installation {
        let tool = self.random(self.plan.tools as u64);
        let port = self.random(40_000);
        let tool = usize::try_from(tool).unwrap_or_default();
        Installation::of_document(self.servers.domain(), tool, usize::try_from(port).unwrap_or_default())
    }

    fn connect(&mut self, with_wrong_verifier: bool) -> Result<bool, Failure> {
        let person = self.number + self.people * self.plan.crowd;
        if person >= self.plan.people {
            return Ok(false);
        }
        self.people += 1;
        let person = format!("person-{person}");
        let installation = self.installation();
        let code = Browser::new(self.servers).code(&installation, &person)?;
        if with_wrong_verifier {
            let wrong = installation.redeem_with(&code, &"w".repeat(43));
            self.expect_refusal(&wrong, "invalid_grant", "a code with a wrong verifier")?;
        }
        let tokens = Tokens::of(self.servers.send(&installation.redeem(&code))?)?;
        let claims = verify(&tokens.access, self.keys, &person, &installation.client_id)?;
        self.ledger.enter_access(&claims);
        self.ledger.enter_refresh(&tokens.refresh);
        self.ledger.entries.push(Entry {
            grant: claims.grant,
            person,
            installation,
            refreshes: 0,
            code,
            access: tokens.access,
            refresh: tokens.refresh,
            previous: None,
            standing: Standing::Live,
        });
        Ok(true)
    }

    fn expect_refusal(&mut self, request: &Request, error: &str, why: &'static str) -> Result<(), Failure> {
        let answer = self.servers.send(request)?.expect(400, why)?;
        let found = answer.json()?.get("error").and_then(Value::as_str).map(str::to_owned);
        if found.as_deref() != Some(error) {
            return Err(answer.unexpected(why));
        }
        self.ledger.refused(why);
        Ok(())
    }

    fn with_entry(
        &mut self,
        standing: Standing,
        act: impl FnOnce(&mut Self, &mut Entry) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        // A few looks: most grants work, and an empty ledger has none.
        for _ in 0..5 {
            let at = usize::try_from(self.random(self.ledger.entries.len() as u64)).unwrap_or_default();
            if self.ledger.entries.get(at).is_some_and(|entry| entry.standing == standing) {
                return self.with(at, act);
            }
        }
        Ok(false)
    }

    fn with_any_entry(
        &mut self,
        act: impl FnOnce(&mut Self, &mut Entry) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let at = usize::try_from(self.random(self.ledger.entries.len() as u64)).unwrap_or_default();
        if at < self.ledger.entries.len() { self.with(at, act) } else { Ok(false) }
    }

    fn with(
        &mut self,
        at: usize,
        act: impl FnOnce(&mut Self, &mut Entry) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let mut entry = self.ledger.entries.swap_remove(at);
        let acted = act(self, &mut entry);
        self.ledger.entries.push(entry);
        acted.map(|()| true)
    }

    /// Takes over what a refresh brought.
    fn refreshed(&mut self, entry: &mut Entry, answer: Answer) -> Result<(), Failure> {
        let tokens = Tokens::of(answer)?;
        self.enter(entry, &tokens.access)?;
        self.ledger.enter_refresh(&tokens.refresh);
        entry.refreshes += 1;
        entry.access = tokens.access;
        entry.previous = Some(std::mem::replace(&mut entry.refresh, tokens.refresh));
        Ok(())
    }

    fn enter(&mut self, entry: &Entry, access: &str) -> Result<(), Failure> {
        let claims = verify(access, self.keys, &entry.person, &entry.installation.client_id)?;
        if claims.grant != entry.grant {
            return Err(Failure::new("a token of another grant", &claims.grant));
        }
        self.ledger.enter_access(&claims);
        Ok(())
    }

    fn refresh(&mut self, entry: &mut Entry) -> Result<(), Failure> {
        let answer = self.servers.send(&entry.installation.refresh(&entry.refresh))?;
        self.refreshed(entry, answer)
    }

    /// Whichever comes first rotates; the other may have the same successor once more.
    fn refresh_twice(&mut self, entry: &mut Entry) -> Result<(), Failure> {
        let request = entry.installation.refresh(&entry.refresh);
        let servers = self.servers;
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| servers.send(&request));
            let one = servers.send(&request);
            (one, other.join().unwrap_or_else(|_| Err(Failure::new("a client", "panicked"))))
        });
        self.refreshed(entry, one?)?;
        self.same_successor(entry, other?)
    }

    fn refresh_again(&mut self, entry: &mut Entry) -> Result<(), Failure> {
        let request = entry.installation.refresh(&entry.refresh);
        let answer = self.servers.send(&request)?;
        self.refreshed(entry, answer)?;
        let again = self.servers.send(&request)?;
        self.same_successor(entry, again)?;
        self.expect_refusal(&request, "invalid_grant", "a refresh token for the third time")
    }

    fn same_successor(&mut self, entry: &Entry, answer: Answer) -> Result<(), Failure> {
        let tokens = Tokens::of(answer)?;
        self.enter(entry, &tokens.access)?;
        if tokens.refresh == entry.refresh {
            Ok(())
        } else {
            Err(Failure::new("a retry", "another successor"))
        }
    }

    fn introspect(&mut self, entry: &mut Entry) -> Result<(), Failure> {
        let answer = self.servers.send(&introspect(&entry.access))?.expect(200, "introspection")?;
        let active = answer.body.contains("\"active\":true");
        match (entry.standing, active) {
            (Standing::Ended, true) => Err(Failure::new("introspection", "an ended grant is active")),
            // An access token lives for ten minutes, longer than a run.
            (Standing::Live, false) => Err(Failure::new("introspection", "a live grant is not active")),
            _ => Ok(()),
        }
    }

    fn revoke(&mut self, entry: &mut Entry) -> Result<(), Failure> {
        self.servers.send(&entry.installation.revoke(&entry.refresh))?.expect(200, "revocation")?;
        entry.standing = Standing::Ended;
        self.expect_refusal(&entry.installation.refresh(&entry.refresh), "invalid_grant", "a revoked grant")
    }

    fn replay(&mut self, entry: &mut Entry) -> Result<(), Failure> {
        self.expect_refusal(
            &entry.installation.redeem(&entry.code),
            "invalid_grant",
            "a code for the second time",
        )?;
        entry.standing = Standing::Ended;
        self.expect_refusal(
            &entry.installation.refresh(&entry.refresh),
            "invalid_grant",
            "a grant that a replay ended",
        )
    }

    fn invent(&mut self) -> Result<bool, Failure> {
        let installation = self.installation();
        self.expect_refusal(&installation.redeem("invented"), "invalid_grant", "an invented code")?;
        self.expect_refusal(&installation.refresh("invented"), "invalid_grant", "an invented refresh token")?;
        Ok(true)
    }

    fn stranger(&mut self) -> Result<bool, Failure> {
        let request = self.installation().authorize();
        Browser::new(self.servers).send(request)?.expect(200, "sign-in page")?;
        Ok(true)
    }

    fn discover(&mut self) -> Result<bool, Failure> {
        for path in ["/.well-known/oauth-authorization-server", "/jwks.json"] {
            self.servers.send(&Request::get(path))?.expect(200, path)?;
        }
        Ok(true)
    }
}

/// Weights are hundredths.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_weights_together_are_a_hundred() {
        assert_eq!(Action::ALL.map(Action::weight).iter().sum::<u64>(), 100);
    }
}
