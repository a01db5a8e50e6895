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

/// A global secondary index: string partition key, string sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// Its partition key.
    pub key: &'static str,
    /// Its sort key.
    pub sort: Option<&'static str>,
    /// Attributes it carries besides the keys; all of them if `None`.
    pub include: Option<&'static [&'static str]>,
}

/// Grants, one item each.
pub const GRANTS: Table = Table {
    name: "grants",
    key: "id",
    ttl: Some("expires_at"),
    indexes: &[
        Index {
            name: GRANTS_BY_TOOL,
            key: "tool",
            sort: Some("subject"),
            include: Some(&["stage", "idle_expires_at", "tool_epoch"]),
        },
        Index {
            name: GRANTS_BY_SUBJECT,
            key: "subject",
            sort: Some("client_id"),
            // Nothing that changes with a refresh, so that a refresh writes no index.
            include: Some(&["stage", "redirect_uri", "resource", "scope", "document_digest"]),
        },
    ],
};

/// Finds the grants of a person, all or with one client: for showing them, never for honouring a
/// credential (FM021).
pub const GRANTS_BY_SUBJECT: &str = "by_subject";

/// Finds the grants of a tool: for counting and listing, never for honouring a credential (FM021).
pub const GRANTS_BY_TOOL: &str = "by_tool";

/// Tools.
pub const TOOLS: Table = Table { name: "tools", key: "id", ttl: None, indexes: &[] };

/// Registrations, by the digest of the client identifier. Only dynamic ones expire.
pub const REGISTRATIONS: Table = Table {
    name: "registrations",
    key: "id",
    ttl: Some("expires_at"),
    indexes: &[Index { name: REGISTRATIONS_BY_TOOL, key: "tool", sort: None, include: None }],
};

/// Finds the registrations of a tool.
pub const REGISTRATIONS_BY_TOOL: &str = "by_tool";

/// Signing and sealing keys, wrapped.
pub const KEYS: Table = Table { name: "keys", key: "id", ttl: None, indexes: &[] };

/// Metadata documents, for as long as they may be reused.
pub const DOCUMENTS: Table = Table { name: "documents", key: "id", ttl: Some("expires_at"), indexes: &[] };

/// The policy document.
pub const POLICY: Table = Table { name: "policy", key: "id", ttl: None, indexes: &[] };

/// What was taken of rates that all instances share.
pub const RATES: Table = Table { name: "rates", key: "id", ttl: Some("expires_at"), indexes: &[] };

/// What was used once and could be used again: `jti` of assertions and proofs.
pub const REPLAYS: Table = Table { name: "replays", key: "id", ttl: Some("expires_at"), indexes: &[] };

/// The audit trail: its entries, where its chains end, and what was recorded once.
pub const AUDIT: Table = Table { name: "audit", key: "id", ttl: Some("expires_at"), indexes: &[] };

/// Failed client authentications, counted for a minute.
pub const FAILURES: Table = Table { name: "failures", key: "id", ttl: Some("expires_at"), indexes: &[] };

/// All tables.
pub const TABLES: &[Table] =
    &[GRANTS, KEYS, DOCUMENTS, POLICY, TOOLS, REGISTRATIONS, REPLAYS, FAILURES, RATES, AUDIT];

/// What stands before every table name unless the deployment says otherwise.
pub const DEFAULT_PREFIX: &str = "nameplate-";

/// One action on a table, by the name of the DynamoDB operation it is authorized as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Reads items by their keys, several at a time.
    BatchGetItem,
    /// Makes a transaction depend on an item that it does not change.
    ConditionCheckItem,
    /// Removes an item.
    DeleteItem,
    /// Reads an item by its key.
    GetItem,
    /// Writes an item, alone or in a transaction.
    PutItem,
    /// Reads this index, which has a name of its own to IAM.
    Query(&'static str),
    /// Reads everything, page by page.
    Scan,
    /// Changes an item, alone or in a transaction.
    UpdateItem,
}

impl Right {
    /// The action as IAM spells it.
    pub const fn action(self) -> &'static str {
        match self {
            Self::BatchGetItem => "dynamodb:BatchGetItem",
            Self::ConditionCheckItem => "dynamodb:ConditionCheckItem",
            Self::DeleteItem => "dynamodb:DeleteItem",
            Self::GetItem => "dynamodb:GetItem",
            Self::PutItem => "dynamodb:PutItem",
            Self::Query(_) => "dynamodb:Query",
            Self::Scan => "dynamodb:Scan",
            Self::UpdateItem => "dynamodb:UpdateItem",
        }
    }

    /// What it is a right to, as IAM names it after the table: the table itself, or one of its indexes.
    pub fn resource(self, table: &str) -> String {
        match self {
            Self::Query(index) => format!("{table}/index/{index}"),
            Self::BatchGetItem
            | Self::ConditionCheckItem
            | Self::DeleteItem
            | Self::GetItem
            | Self::PutItem
            | Self::Scan
            | Self::UpdateItem => table.to_owned(),
        }
    }
}

/// What one function may do to one table. Compared with its role in `infra/template.yaml`, and with what
/// it is seen to do (DESIGN invariant 11).
pub type Permission = (Table, &'static [Right]);
