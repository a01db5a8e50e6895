//! What a changed metadata document means (CAC-17): kinds of change, their grades, and what each grade
//! leads to. All of it is data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One thing that differs between two versions of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// `client_name`.
    Name,
    /// `logo_uri`.
    Logo,
    /// `client_uri`, `tos_uri`, or `policy_uri`.
    Pages,
    /// `software_version` or `application_type`.
    Software,
    /// `software_id`.
    SoftwareId,
    /// A redirect URI is gone. It has stopped matching at once.
    RedirectUriRemoved,
    /// A redirect URI on a host that was there before.
    RedirectUriAdded,
    /// A redirect URI on a new host, loopback included.
    RedirectHostAdded,
    /// A grant type more.
    GrantTypeAdded,
    /// A grant type less.
    GrantTypeRemoved,
    /// A scope more.
    ScopeAdded,
    /// A scope less.
    ScopeRemoved,
    /// The client no longer offers `none`: it has to authenticate from now on.
    AuthenticationRequired,
    /// The client offers `none` and did not before: whoever took over the document could now be it.
    AuthenticationRelaxed,
    /// Another difference in the methods.
    AuthenticationChanged,
    /// Keys where there were none.
    KeysAdded,
    /// Some keys differ, some stayed: rotation.
    KeysRotated,
    /// `jwks_uri` moved within its host, or the keys moved between the document and a `jwks_uri`.
    KeysMoved,
    /// `jwks_uri` moved to another host.
    KeysHostChanged,
    /// No key of before is left.
    KeysReplaced,
    /// No keys where there were some.
    KeysRemoved,
    /// `dpop_bound_access_tokens` is no longer asked for.
    SenderConstraintDropped,
    /// The version before can no longer be read by today's rules, so nothing can be compared.
    Incomparable,
}

/// How much a change matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Nothing that decides who gets what.
    Cosmetic,
    /// The client can do more, or elsewhere, than what people agreed to.
    Material,
    /// It may not be the same party any more.
    Critical,
}

/// What a grade leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consequence {
    /// The version is listed; consent that is remembered stays good.
    Note,
    /// Nobody's remembered consent covers it: each person is asked at their next authorization.
    Ask,
    /// New authorizations wait for an administrator. Grants go on.
    Hold,
    /// Every grant of the tool ends, and each person is asked again.
    Revoke,
}

/// The grade of each kind of change unless the policy says otherwise (CAC-17).
pub const GRADES: &[(ChangeKind, Grade)] = &[
    (ChangeKind::Name, Grade::Cosmetic),
    (ChangeKind::Logo, Grade::Cosmetic),
    (ChangeKind::Pages, Grade::Cosmetic),
    (ChangeKind::Software, Grade::Cosmetic),
    (ChangeKind::SoftwareId, Grade::Material),
    (ChangeKind::RedirectUriRemoved, Grade::Cosmetic),
    (ChangeKind::RedirectUriAdded, Grade::Cosmetic),
    (ChangeKind::RedirectHostAdded, Grade::Material),
    (ChangeKind::GrantTypeAdded, Grade::Material),
    (ChangeKind::GrantTypeRemoved, Grade::Cosmetic),
    (ChangeKind::ScopeAdded, Grade::Material),
    (ChangeKind::ScopeRemoved, Grade::Cosmetic),
    (ChangeKind::AuthenticationRequired, Grade::Cosmetic),
    (ChangeKind::AuthenticationRelaxed, Grade::Critical),
    (ChangeKind::AuthenticationChanged, Grade::Material),
    (ChangeKind::KeysAdded, Grade::Cosmetic),
    (ChangeKind::KeysRotated, Grade::Cosmetic),
    (ChangeKind::KeysMoved, Grade::Material),
    (ChangeKind::KeysHostChanged, Grade::Critical),
    (ChangeKind::KeysReplaced, Grade::Critical),
    (ChangeKind::KeysRemoved, Grade::Critical),
    (ChangeKind::SenderConstraintDropped, Grade::Critical),
    (ChangeKind::Incomparable, Grade::Material),
];

/// What changes of metadata documents lead to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChangePolicy {
    /// After a cosmetic change.
    pub cosmetic: Consequence,
    /// After a material change.
    pub material: Consequence,
    /// After a critical change.
    pub critical: Consequence,
    /// Grades that differ from [`GRADES`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub grades: BTreeMap<ChangeKind, Grade>,
}

impl Default for ChangePolicy {
    fn default() -> Self {
        Self {
            cosmetic: Consequence::Note,
            material: Consequence::Ask,
            critical: Consequence::Revoke,
            grades: BTreeMap::new(),
        }
    }
}

impl ChangePolicy {
    /// How much `kind` matters. What no table names matters as much as it can.
    pub fn grade(&self, kind: ChangeKind) -> Grade {
        let from_table = || GRADES.iter().find(|(known, _)| *known == kind).map(|(_, grade)| *grade);
        self.grades.get(&kind).copied().or_else(from_table).unwrap_or(Grade::Critical)
    }

    /// What `grade` leads to.
    pub const fn consequence(&self, grade: Grade) -> Consequence {
        match grade {
            Grade::Cosmetic => self.cosmetic,
            Grade::Material => self.material,
            Grade::Critical => self.critical,
        }
    }
}
