//! What the stories of `suite` stand on: a world with a database and a clock, instances of the server in
//! it, and browsers and clients that talk to them through the front door.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a harness fails the test that uses it")]

mod administrator;
mod browser;
mod client;
mod fleet;
mod provider;
mod response;
mod server;
mod signer;
mod world;

pub use administrator::{Administrator, administrator_key, sign, sign_at};
pub use browser::Browser;
pub use client::{CHALLENGE, CLIENT_ID, LOOPBACK_CLIENT_ID, Request, Tokens, VERIFIER, form, token_request};
pub use fleet::{Fleet, Process};
pub use provider::{ProviderDouble, ProviderKey, UPSTREAM_CLIENT_ID, basic_authorization};
pub use response::Answer;
pub use server::Server;
pub use signer::Signer;
pub use world::{ISSUER, Instance, RESOURCE, RESOURCE_SECRET, World, document, loopback_document, sha256};
