//! The suite, filed by the document that each story proves; `conformance` and `tidy` prove the documents and the source.
#![expect(missing_docs, reason = "a test's name and its requirement id say what it is about")]

mod authorize;
mod budgets;
mod conformance;
mod consent;
mod discovery;
mod tidy;
mod token;
