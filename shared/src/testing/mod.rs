//! Doubles for the tests of this workspace; never part of a function binary.

pub mod calls;
pub mod clock;
pub mod coding;
pub mod fetcher;
pub mod metadata_host;
pub mod resolver;
