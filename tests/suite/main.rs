//! The suite, filed by the document that each story proves.
#![expect(missing_docs, reason = "a test's name and its requirement id say what it is about")]

mod authorize;
mod budgets;
mod client_keys;
mod consent;
mod discovery;
mod token;
