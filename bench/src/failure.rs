//! Why a measurement could not be made. A tool for people at a terminal: one line says it.

use std::fmt;

/// One line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    /// What was tried, and what came instead.
    pub fn new(what: &str, instead: impl fmt::Display) -> Self {
        Self(format!("{what}: {instead}"))
    }
}

/// Says what was tried when something underneath fails.
pub trait Context<T> {
    /// As [`Failure::new`].
    ///
    /// # Errors
    /// The same error, with `what` before it.
    fn context(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(what, error))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, what: &str) -> Result<T, Failure> {
        self.ok_or_else(|| Failure::new(what, "nothing there"))
    }
}
