//! Start-up of the administration function on Lambda.

use std::process::ExitCode;
use std::sync::Arc;

use admin::{App, Catalogue, GatewayCaller, router};
use shared::aws::{AuditStore, Governing, GrantStore, KeyStore, PolicyStore, RegistrationStore, ToolStore};
use shared::cimd::documents::Documents;
use shared::cimd::keys::ClientKeySets;
use shared::lambda::Start;
use shared::policy::{ArnPattern, ArnPatternError};

fn main() -> ExitCode {
    shared::lambda::serve("admin", async |start: Start| {
        let founders = founders(&std::env::var("ADMIN_OWNERS").unwrap_or_default())
            .map_err(|error| format!("ADMIN_OWNERS: {error}"))?;
        let tables = start.tables().await;
        let audit = AuditStore::new(tables.clone(), start.spread());
        let copies = start.copies(&tables).await?;
        Ok(router(App {
            documents: Documents::new(copies.clone()),
            client_keys: ClientKeySets::new(copies),
            development: Vec::new(),
            callers: Arc::new(GatewayCaller),
            founders,
            keys: start.keyring(&tables).await?,
            key_store: KeyStore::new(tables.clone(), start.config.issuer.clone()),
            wrap: start.key_wrap().await?,
            issuer: start.config.issuer,
            clock: start.clock,
            random: start.random,
            tools: ToolStore::new(tables.clone()),
            catalogue: Arc::new(Catalogue::default()),
            registrations: RegistrationStore::new(tables.clone()),
            grants: GrantStore::new(tables.clone()),
            governing: Governing::new(tables.clone()),
            policies: Arc::new(PolicyStore::new(tables)),
            audit,
        }))
    })
}

/// `ADMIN_OWNERS`: ARN patterns, separated by commas.
fn founders(text: &str) -> Result<Vec<ArnPattern>, ArnPatternError> {
    text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).map(ArnPattern::parse).collect()
}
