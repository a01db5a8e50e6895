//! Start-up of the steward function on Lambda.

use std::process::ExitCode;
use std::sync::Arc;

use shared::aws::{KeyStore, PolicyStore};
use shared::lambda::Start;
use steward::{App, Event};

fn main() -> ExitCode {
    shared::lambda::answer("steward", async |start: Start| {
        let tables = start.tables().await;
        let app = App {
            wrap: start.key_wrap().await?,
            keys: KeyStore::new(tables.clone(), start.config.issuer),
            policies: Arc::new(PolicyStore::new(tables)),
            initial_policy: start.config.initial_policy,
            clock: start.clock,
            random: start.random,
        };
        Ok(move |_: Event| {
            let app = app.clone();
            async move { app.run().await }
        })
    })
}
