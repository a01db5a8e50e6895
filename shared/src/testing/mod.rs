//! Doubles for the tests of this workspace; never part of a function binary.

pub mod metadata_host;
pub mod resolver;
