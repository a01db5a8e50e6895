//! Client ID Metadata Documents: reading what a client's host published.

pub mod change;
pub mod copies;
pub mod document;
pub mod documents;
pub mod freshness;
pub mod history;
pub mod json;
pub mod keys;
pub mod ledger;
pub mod logo;
