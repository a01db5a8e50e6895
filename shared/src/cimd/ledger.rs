//! Which version of a document is in force, and what became of the one that followed it (CAC-17, GOV-07).

use serde::{Deserialize, Serialize};

use super::change::{Change, changes};
use super::document::{DocumentDigest, DocumentRules, MetadataDocument};
use crate::client::id::MetadataUrl;
use crate::clock::Timestamp;
use crate::policy::change::{ChangeKind, ChangePolicy, Consequence, Grade};

/// Most changes listed of one version: more than a document has members that we compare, redirect URIs
/// apart.
pub const CHANGES_MAX: usize = 40;

/// What stands between the latest version and new authorizations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing: the latest version is in force.
    Current,
    /// The latest version waits for an administrator, and with it every new authorization.
    Held,
    /// An administrator chose the version in force; what is published since is only listed.
    Pinned,
}

impl Standing {
    /// The name in storage and queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Held => "held",
            Self::Pinned => "pinned",
        }
    }
}

/// One version of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Counts up with each version of this document.
    pub number: u32,
    /// Which bytes.
    pub digest: DocumentDigest,
    /// When it was first fetched.
    pub first_seen: Timestamp,
    /// The version that was in force then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<DocumentDigest>,
    /// How much it differs from that one; `None` for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grade: Option<Grade>,
    /// How.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

/// What is kept beside a document's copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The version that was fetched last.
    pub latest: Version,
    /// The version that new authorizations are made on.
    pub in_force: DocumentDigest,
    /// Its bytes, where they are not the latest ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force_text: Option<String>,
    /// Since when it is in force.
    pub in_force_since: Timestamp,
    /// The version whose arrival last required asking people again: consent that was given on it, or on
    /// what followed, is still good.
    pub consent_since: DocumentDigest,
    /// What stands between the latest version and new authorizations.
    pub standing: Standing,
    /// The tool's grants are to be revoked because of this version, and nobody has reported it done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_due: Option<DocumentDigest>,
    /// Highest version number given.
    pub versions: u32,
}

/// How a fetched document follows what was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    /// The ledger from now on.
    pub ledger: Ledger,
    /// Whether the latest version is new.
    pub is_new: bool,
}

impl Ledger {
    /// The first version of a document.
    pub fn first(document: &MetadataDocument, now: Timestamp) -> Self {
        let digest = document.digest.clone();
        Self {
            latest: Version {
                number: 1,
                digest: digest.clone(),
                first_seen: now,
                previous: None,
                grade: None,
                changes: Vec::new(),
            },
            in_force: digest.clone(),
            in_force_text: None,
            in_force_since: now,
            consent_since: digest,
            standing: Standing::Current,
            revocation_due: None,
            versions: 1,
        }
    }

    /// What `document`, fetched at `now`, makes of this ledger, whose latest version reads `latest_text`.
    pub fn followed_by(
        &self,
        url: &MetadataUrl,
        document: &MetadataDocument,
        latest_text: &str,
        rules: &DocumentRules,
        policy: &ChangePolicy,
        now: Timestamp,
    ) -> Succession {
        let mut next = self.clone();
        if document.digest == self.latest.digest {
            return Succession { ledger: next, is_new: false };
        }
        let baseline = self.in_force_text.as_deref().unwrap_or(latest_text);
        let found = match MetadataDocument::parse(url, baseline.as_bytes(), rules) {
            Ok(before) => changes(&before.metadata, &document.metadata),
            Err(_) => vec![Change::new(ChangeKind::Incomparable, None, None)],
        };
        // Other bytes that say the same to us matter as little as a change can.
        let grade = found.iter().map(|change| policy.grade(change.kind)).max().unwrap_or(Grade::Cosmetic);
        next.versions = self.versions.saturating_add(1);
        next.latest = Version {
            number: next.versions,
            digest: document.digest.clone(),
            first_seen: now,
            previous: Some(self.in_force.clone()),
            grade: Some(grade),
            changes: found.into_iter().take(CHANGES_MAX).collect(),
        };
        let baseline = baseline.to_owned();
        if self.standing == Standing::Pinned {
            next.in_force_text = Some(baseline);
        } else if document.digest == self.in_force {
            // What was held back is withdrawn by its publisher: nothing has changed.
            next.take_force(now, false);
        } else {
            match policy.consequence(grade) {
                Consequence::Note => next.take_force(now, false),
                Consequence::Ask => next.take_force(now, true),
                Consequence::Hold => {
                    next.standing = Standing::Held;
                    next.in_force_text = Some(baseline);
                }
                Consequence::Revoke => {
                    next.take_force(now, true);
                    next.revocation_due = Some(document.digest.clone());
                }
            }
        }
        Succession { ledger: next, is_new: true }
    }

    /// Puts the latest version in force.
    fn take_force(&mut self, now: Timestamp, ask_again: bool) {
        if self.in_force != self.latest.digest {
            self.in_force_since = now;
        }
        self.in_force = self.latest.digest.clone();
        self.in_force_text = None;
        self.standing = Standing::Current;
        if ask_again {
            self.consent_since = self.in_force.clone();
        }
    }

    /// An administrator lets the latest version, if it is `digest`, take force, or ends a pin. People are
    /// asked again: the version was held or passed over because it matters. `None` if the latest version is
    /// another one, which the administrator has not seen.
    #[must_use]
    pub fn approved(&self, digest: &DocumentDigest, now: Timestamp) -> Option<Self> {
        if self.latest.digest != *digest {
            return None;
        }
        let mut next = self.clone();
        let ask_again = next.in_force != next.latest.digest;
        next.take_force(now, ask_again);
        Some(next)
    }

    /// An administrator puts the version that reads `text` in force, whatever is published from now on.
    #[must_use]
    pub fn pinned(&self, digest: DocumentDigest, text: String, now: Timestamp) -> Self {
        let mut next = self.clone();
        if next.in_force != digest {
            next.in_force_since = now;
            next.consent_since = digest.clone();
        }
        next.in_force = digest;
        next.in_force_text = Some(text);
        next.standing = Standing::Pinned;
        next
    }
}
