//! What Nameplate's functions share: client identification, grants, keys, storage.
//!
//! Layers, from the ground up; imports only point down (`tests/suite/tidy.rs` checks it):
//! ground (`clock`, `metrics`, `random`, `secret`, `seal`), vocabulary (`oauth`), domain (`client`, `tool`,
//! `policy`, `grant`, `jose`, `audit`, `fetch`), adapters (`aws`, `testing`), resolution (`cimd`, `resolver`),
//! edge (`http`, `config`, `lambda`).

pub mod audit;
pub mod aws;
pub mod cimd;
pub mod client;
pub mod clock;
pub mod config;
pub mod fetch;
pub mod grant;
pub mod http;
pub mod jose;
pub mod lambda;
pub mod metrics;
pub mod oauth;
pub mod policy;
pub mod random;
pub mod resolver;
pub mod seal;
pub mod secret;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tool;
