//! Nameplate in one process for a laptop: every function, an embedded DynamoDB, a sign-in page without
//! passwords.
//!
//! What weakens security for development lives in this crate alone, which no Lambda function links.

pub mod admin_key;
pub mod args;
pub mod data;
pub mod demo;
pub mod dynamodb;
mod front_door;
pub mod key_wrap;
pub mod metrics;
pub mod seed;
pub mod sign_in;
pub mod start;
pub mod table;
#[cfg(test)]
mod testing;
