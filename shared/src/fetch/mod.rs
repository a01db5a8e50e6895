//! The one door out.

pub mod host;
