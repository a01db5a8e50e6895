//! Start-up of the token function on Lambda.

use std::process::ExitCode;
use std::sync::Arc;

use shared::aws::{
    AuditStore, FailureStore, GrantStore, PolicyStore, RecordReader, RegistrationStore, ReplayStore,
    ToolStore,
};
use shared::cimd::keys::ClientKeySets;
use shared::lambda::Start;
use token::{App, Failures, router};

fn main() -> ExitCode {
    shared::lambda::serve("token", async |start: Start| {
        let tables = start.tables().await;
        let copies = start.copies(&tables).await?;
        Ok(router(App {
            keys: start.keyring(&tables).await?,
            resolver: Arc::new(start.resolver(&tables, &copies)),
            audit: AuditStore::new(tables.clone(), start.spread()),
            issuer: start.config.issuer,
            clock: start.clock,
            random: start.random,
            grants: GrantStore::new(tables.clone()),
            records: RecordReader::new(tables.clone()),
            tools: ToolStore::new(tables.clone()),
            policies: Arc::new(PolicyStore::new(tables.clone())),
            registrations: RegistrationStore::new(tables.clone()),
            replays: ReplayStore::new(tables.clone()),
            failures: Failures::new(FailureStore::new(tables)),
            client_keys: ClientKeySets::new(copies),
        }))
    })
}
