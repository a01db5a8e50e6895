//! Telling the story: one step, what was sent, what came back.

use std::io::{self, Write};

/// Characters of a secret that are shown: enough to recognise it in the next line, too few to use it.
const SHOWN_MAX: usize = 8;

/// Writes the story down as it happens.
#[derive(Debug)]
pub struct Narrator<W> {
    out: W,
    step: u32,
    title: String,
}

impl<W: Write> Narrator<W> {
    /// A story told to `out`.
    pub fn new(out: W) -> Self {
        Self { out, step: 0, title: "before the first step".to_owned() }
    }

    /// Number and title of the step that is being told.
    pub fn current(&self) -> (u32, &str) {
        (self.step, &self.title)
    }

    /// Begins the next step.
    ///
    /// # Errors
    /// If the listener has gone away.
    pub fn step(&mut self, title: &str) -> io::Result<()> {
        self.step = self.step.saturating_add(1);
        title.clone_into(&mut self.title);
        writeln!(self.out, "\n{:>2}. {title}", self.step)
    }

    /// What was sent.
    ///
    /// # Errors
    /// If the listener has gone away.
    pub fn sent(&mut self, what: &str) -> io::Result<()> {
        writeln!(self.out, "    -> {what}")
    }

    /// What came back.
    ///
    /// # Errors
    /// If the listener has gone away.
    pub fn got(&mut self, what: &str) -> io::Result<()> {
        writeln!(self.out, "    <- {what}")
    }

    /// What it means.
    ///
    /// # Errors
    /// If the listener has gone away.
    pub fn say(&mut self, what: &str) -> io::Result<()> {
        writeln!(self.out, "       {what}")
    }
}

/// The beginning of a secret, and its length.
pub fn shortened(secret: &str) -> String {
    let length = secret.chars().count();
    if length <= SHOWN_MAX * 2 {
        return format!("... ({length} characters)");
    }
    let beginning: String = secret.chars().take(SHOWN_MAX).collect();
    format!("{beginning}... ({length} characters)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_its_beginning_only_and_a_short_one_nothing() {
        let secret = "abcdefghijklmnopqrstuvwxyz";
        assert_eq!(shortened(secret), "abcdefgh... (26 characters)");
        assert_eq!(shortened("abcdefghijklmnop"), "... (16 characters)");
        assert_eq!(shortened(""), "... (0 characters)");
    }
}
