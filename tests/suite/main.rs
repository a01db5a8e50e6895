//! The suite, filed by the document that each story proves.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps nothing")]

mod authorize;
mod budgets;
mod consent;
mod discovery;
mod token;
