//! Telling the story: one step, what was sent, what came back.

use std::io::{self, Write};

/// Characters shown of each end of a secret: enough to recognise it in a later line, too few to use it.
const SHOWN_MAX: usize = 4;

/// A secret shorter than this shows nothing: what is hidden must stay beyond guessing.
const SHORT_MAX: usize = 32;

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

/// Both ends of a secret, and its length: tokens of one kind begin alike.
pub fn shortened(secret: &str) -> String {
    let length = secret.chars().count();
    if length < SHORT_MAX {
        return format!("... ({length} characters)");
    }
    let first: String = secret.chars().take(SHOWN_MAX).collect();
    let last: String = secret.chars().skip(length.saturating_sub(SHOWN_MAX)).collect();
    format!("{first}...{last} ({length} characters)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_its_ends_only_and_a_short_one_nothing() {
        let secret = format!("abcd{}wxyz", "-".repeat(32));
        assert_eq!(shortened(&secret), "abcd...wxyz (40 characters)");
        assert_eq!(shortened("abcdefghijklmnop"), "... (16 characters)");
        assert_eq!(shortened(""), "... (0 characters)");
    }
}
