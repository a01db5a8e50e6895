//! Start-up of the token function on Lambda.

use std::process::ExitCode;
use std::sync::Arc;

use shared::aws::{
    AuditStore, DocumentStore, FailureStore, GrantStore, PolicyStore, RecordReader, ReplayStore, ToolStore,
};
use shared::cimd::copies::Copies;
use shared::cimd::documents::Documents;
use shared::cimd::keys::ClientKeySets;
use shared::lambda::Start;
use shared::resolver::Resolver;
use token::{App, Failures, router};

fn main() -> ExitCode {
    shared::lambda::serve("token", async |start: Start| {
        let tables = start.tables().await;
        let copies = Copies::new(
            Arc::clone(&start.clock),
            Arc::clone(&start.random),
            start.fetcher().await?,
            DocumentStore::new(tables.clone()),
        );
        let records = RecordReader::new(tables.clone());
        let resolver = Resolver::new(
            start.config.issuer.clone(),
            Arc::clone(&start.clock),
            Documents::new(copies.clone()),
            records.clone(),
            ToolStore::new(tables.clone()),
            Vec::new(),
        );
        Ok(router(App {
            keys: start.keyring(&tables).await?,
            issuer: start.config.issuer,
            clock: start.clock,
            random: start.random,
            grants: GrantStore::new(tables.clone()),
            records,
            tools: ToolStore::new(tables.clone()),
            policies: Arc::new(PolicyStore::new(tables.clone())),
            audit: AuditStore::new(tables.clone(), start.spread()),
            replays: ReplayStore::new(tables.clone()),
            failures: Failures::new(FailureStore::new(tables)),
            resolver: Arc::new(resolver),
            client_keys: ClientKeySets::new(copies),
        }))
    })
}
