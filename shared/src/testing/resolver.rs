//! A resolver that answers from a script.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::fetch::dns::{Resolve, Resolving};

/// Answers each look-up of a name with the next entry of its script; the last entry stays. A name without
/// a script does not exist.
#[derive(Debug, Default)]
pub struct ScriptedResolver {
    scripts: Mutex<HashMap<String, Script>>,
}

#[derive(Debug, Default)]
struct Script {
    answers: Vec<Vec<IpAddr>>,
    asked: usize,
}

impl ScriptedResolver {
    /// Every look-up of `host` gives `addresses`, good and bad mixed as listed.
    #[must_use]
    pub fn with(self, host: &str, addresses: &[IpAddr]) -> Self {
        self.with_script(host, vec![addresses.to_vec()])
    }

    /// The look-ups of `host` give `answers` one after another: a name that rebinds.
    #[must_use]
    pub fn with_script(self, host: &str, answers: Vec<Vec<IpAddr>>) -> Self {
        let script = Script { answers, asked: 0 };
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), script);
        self
    }

    /// How often `host` was asked for.
    pub fn asked(&self, host: &str) -> usize {
        let scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        scripts.get(host).map_or(0, |script| script.asked)
    }

    fn next(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        let script = scripts.entry(host.to_owned()).or_default();
        let answer = script.answers.get(script.asked).or(script.answers.last()).cloned();
        script.asked += 1;
        answer.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such name in the script"))
    }
}

impl Resolve for ScriptedResolver {
    fn resolve<'a>(&'a self, host: &'a str, _port: u16) -> Resolving<'a> {
        Box::pin(std::future::ready(self.next(host)))
    }
}
