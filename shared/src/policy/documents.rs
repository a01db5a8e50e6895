//! Which metadata documents may introduce a tool.

use serde::{Deserialize, Serialize};

use super::change::ChangePolicy;
use super::host_pattern::HostPattern;
use crate::client::id::UrlRules;
use crate::fetch::host::DevelopmentHost;
use crate::oauth::Issuer;
use crate::tool::Status;

/// What happens when somebody comes with a metadata document that no administrator has dealt with (GOV-06).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentMode {
    /// Any host may publish a tool; people decide on the consent page.
    #[default]
    Open,
    /// Hosts under `allow` only.
    Listed,
    /// Hosts under `allow` at once; any other tool waits for an administrator.
    Approval,
    /// None at all.
    Off,
}

/// Rules for metadata documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DocumentPolicy {
    /// What an unknown document meets.
    pub mode: DocumentMode,
    /// Hosts whose documents are welcome in the modes `listed` and `approval`.
    pub allow: Vec<HostPattern>,
    /// Hosts whose documents are refused in every mode, before anything is fetched. Beats `allow`. A pattern
    /// may span owners here, such as `*.pages.dev`: refusing needs no trust.
    pub deny: Vec<HostPattern>,
    /// Refuse documents without `client_name`, as MCP 2026-07-28 words it. Off by default, because a
    /// deployed vendor publishes such documents; the page then shows the host in its place (DOC-03).
    pub require_client_name: bool,
    /// Accept client identifiers with a query (URL-08).
    pub allow_query: bool,
    /// Ports besides 443 that a metadata document may be fetched from (URL-09).
    pub ports: Vec<u16>,
    /// What changes of a document lead to (CAC-17).
    pub changes: ChangePolicy,
    /// For how long after its fetch a document of a tool that is in use may stand in while its host is out
    /// of reach; 0 for never. Not after 404 or 410, nor in place of an invalid document, nor where the host
    /// forbids it (CAC-13).
    pub last_good_seconds: u64,
    /// How often a host must say that there is no document before the tool counts as withdrawn.
    pub withdrawal_sightings: u32,
    /// The least time between the first and the last of these.
    pub withdrawal_seconds: u64,
    /// Whether people who use a tool go on with it after its withdrawal: it gets nobody new in either way, but
    /// refresh and introspection honour the grants there are, until an administrator disables the tool.
    pub refresh_after_withdrawal: bool,
    /// Whose logo is shown (DOC-43).
    pub logos: Logos,
}

impl Default for DocumentPolicy {
    fn default() -> Self {
        Self {
            mode: DocumentMode::Open,
            allow: Vec::new(),
            deny: Vec::new(),
            require_client_name: false,
            allow_query: false,
            ports: Vec::new(),
            changes: ChangePolicy::default(),
            last_good_seconds: 7 * 86_400,
            withdrawal_sightings: 3,
            withdrawal_seconds: 86_400,
            refresh_after_withdrawal: false,
            logos: Logos::Approved,
        }
    }
}

/// Whose logo is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Logos {
    /// Nobody's.
    Off,
    /// That of tools which an administrator approved: a logo is what a phisher copies first.
    Approved,
    /// Everybody's.
    All,
}

/// What policy says about a metadata document, by its host alone and so before any fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentDecision {
    /// It may be fetched and used.
    Allowed,
    /// It may be fetched and shown; an administrator decides whether it is used.
    NeedsApproval,
    /// It is neither fetched nor used.
    Refused(DocumentRefusal),
}

/// Why policy refuses a metadata document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentRefusal {
    /// Its host is under `deny`.
    #[error("the host of the metadata document is denied by policy")]
    Denied,
    /// The mode is `listed` and its host is not under `allow`.
    #[error("the host of the metadata document is not on the list of allowed hosts")]
    NotListed,
    /// The mode is `off`.
    #[error("metadata documents are turned off by policy")]
    Off,
}

impl DocumentPolicy {
    /// Which URLs may name a metadata document at the server `issuer`; `development` lists names that stand
    /// outside the host rules, and a deployment has none.
    pub fn url_rules(&self, issuer: &Issuer, development: &[DevelopmentHost]) -> UrlRules {
        let mut ports = UrlRules::default().ports;
        ports.extend_from_slice(&self.ports);
        UrlRules {
            ports,
            query: self.allow_query,
            forbidden: vec![issuer.as_str().to_owned()],
            development: development.to_vec(),
        }
    }

    /// The statuses of a tool in which its grants go on. New ones need an enabled tool.
    pub fn continuing(&self) -> &'static [Status] {
        if self.refresh_after_withdrawal { &[Status::Enabled, Status::Withdrawn] } else { &[Status::Enabled] }
    }

    /// Decides about a document on `host` that no administrator has dealt with. Deny comes first.
    pub fn decide(&self, host: &str) -> DocumentDecision {
        let listed = |patterns: &[HostPattern]| patterns.iter().any(|pattern| pattern.matches(host));
        if listed(&self.deny) {
            return DocumentDecision::Refused(DocumentRefusal::Denied);
        }
        match self.mode {
            DocumentMode::Off => DocumentDecision::Refused(DocumentRefusal::Off),
            DocumentMode::Open => DocumentDecision::Allowed,
            DocumentMode::Listed | DocumentMode::Approval if listed(&self.allow) => DocumentDecision::Allowed,
            DocumentMode::Listed => DocumentDecision::Refused(DocumentRefusal::NotListed),
            DocumentMode::Approval => DocumentDecision::NeedsApproval,
        }
    }
}
