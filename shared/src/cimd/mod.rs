//! Client ID Metadata Documents: reading what a client's host published.

pub mod document;
pub mod documents;
pub mod freshness;
pub mod json;
