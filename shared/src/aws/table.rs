//! The tables, defined once: `local` and the tests create them from here, and the template in `infra/`
//! is compared with it.

/// One DynamoDB table. Every table has a string partition key; billing is on demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// The name without the deployment's prefix.
    pub name: &'static str,
    /// The partition key.
    pub key: &'static str,
    /// The attribute that DynamoDB's TTL collects garbage by, in epoch seconds.
    pub ttl: Option<&'static str>,
    /// Secondary indexes.
    pub indexes: &'static [Index],
}

/// A global secondary index: string partition key, string sort key, all attributes projected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// Its partition key.
    pub key: &'static str,
    /// Its sort key.
    pub sort: Option<&'static str>,
}

/// Grants, one item each.
pub const GRANTS: Table = Table { name: "grants", key: "id", ttl: Some("expires_at"), indexes: &[] };

/// Signing and sealing keys, wrapped.
pub const KEYS: Table = Table { name: "keys", key: "id", ttl: None, indexes: &[] };

/// Metadata documents, for as long as they may be reused.
pub const DOCUMENTS: Table = Table { name: "documents", key: "id", ttl: Some("expires_at"), indexes: &[] };

/// The policy document.
pub const POLICY: Table = Table { name: "policy", key: "id", ttl: None, indexes: &[] };

/// What was used once and could be used again: `jti` of assertions and proofs.
pub const REPLAYS: Table = Table { name: "replays", key: "id", ttl: Some("expires_at"), indexes: &[] };

/// All tables.
pub const TABLES: &[Table] = &[GRANTS, KEYS, DOCUMENTS, POLICY, REPLAYS];

/// What stands before every table name unless the deployment says otherwise.
pub const DEFAULT_PREFIX: &str = "nameplate-";
