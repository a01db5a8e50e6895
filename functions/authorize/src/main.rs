//! Start-up of the authorize function on Lambda.

use std::process::ExitCode;
use std::sync::Arc;

use authorize::upstream::{OpenIdProvider, UpstreamSettings};
use authorize::{App, router};
use shared::aws::{AuditStore, GrantStore, PolicyStore, RecordReader, RegistrationStore, ToolStore};
use shared::lambda::Start;

fn main() -> ExitCode {
    shared::lambda::serve("authorize", async |start: Start| {
        let upstream = UpstreamSettings::read(|name| std::env::var(name).ok(), &start.config.issuer)?;
        let tables = start.tables().await;
        let copies = start.copies(&tables).await?;
        Ok(router(App {
            keys: start.keyring(&tables).await?,
            resolver: Arc::new(start.resolver(&tables, &copies)),
            audit: AuditStore::new(tables.clone(), start.spread()),
            authenticator: Arc::new(OpenIdProvider::new(upstream, Arc::clone(&start.random))?),
            issuer: start.config.issuer,
            clock: start.clock,
            random: start.random,
            grants: GrantStore::new(tables.clone()),
            records: RecordReader::new(tables.clone()),
            tools: ToolStore::new(tables.clone()),
            registrations: RegistrationStore::new(tables.clone()),
            policies: Arc::new(PolicyStore::new(tables)),
        }))
    })
}
