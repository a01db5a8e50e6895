//! What Nameplate's functions share: client identification, grants, keys, storage.
//!
//! Layers, from the ground up; imports only point down (`tests/suite/tidy.rs` checks it):
//! ground (`clock`, `random`, `secret`, `seal`), vocabulary (`oauth`), domain (`client`, `grant`,
//! `jose`, `fetch`), adapters (`aws`, `testing`), resolution (`cimd`, `resolver`), edge (`http`,
//! `config`).

pub mod cimd;
pub mod client;
pub mod clock;
pub mod fetch;
pub mod random;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
