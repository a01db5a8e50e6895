//! The suite, filed by the document that each story proves; `conformance` and `tidy` prove the documents
//! and the source.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps nothing")]

mod admin;
mod admin_clients;
mod admin_documents;
mod admin_policy;
mod audit;
mod authorize;
mod budgets;
mod client_auth;
mod client_keys;
mod conformance;
mod consent;
mod deployment;
mod discovery;
mod doctor;
mod documents;
mod dpop;
mod fleet;
mod gateway;
mod governance;
mod keys;
mod logos;
mod metadata_host;
mod metrics;
mod par;
mod people;
mod policy;
mod refresh;
mod refusals;
mod register;
mod revocation;
mod steward;
mod tidy;
mod token;
mod tools;
mod upstream;
mod withdrawal;
