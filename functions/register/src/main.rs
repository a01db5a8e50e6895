//! Start-up of the registration function on Lambda.

use std::process::ExitCode;
use std::sync::Arc;

use axum::middleware::from_fn;
use register::{App, Rates, of_lambda, router};
use shared::aws::{PolicyStore, RateStore, RecordReader, RegistrationStore};
use shared::lambda::Start;

fn main() -> ExitCode {
    shared::lambda::serve("register", async |start: Start| {
        let tables = start.tables().await;
        let app = App {
            keys: start.keyring(&tables).await?,
            issuer: start.config.issuer,
            clock: start.clock,
            random: start.random,
            records: RecordReader::new(tables.clone()),
            registrations: RegistrationStore::new(tables.clone()),
            rates: Arc::new(Rates::new(RateStore::new(tables.clone()))),
            policies: Arc::new(PolicyStore::new(tables)),
        };
        Ok(router(app).layer(from_fn(of_lambda)))
    })
}
