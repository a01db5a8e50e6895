//! Who may do what through the administration API: roles by patterns of the caller's ARN.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Patterns per role; more than an organisation has teams, few enough to look through on each request.
pub const PATTERNS_MAX: usize = 64;

/// What an administrator may do; each role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything; no secret is ever shown.
    Viewer,
    /// Decide about tools, registrations, grants, and documents.
    Operator,
    /// Change the policy, and so the roles, and rotate keys.
    Owner,
}

impl Role {
    /// The name in problems and listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Owner => "owner",
        }
    }
}

/// Rules for the administration API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Administration {
    /// Who may look.
    pub viewers: Vec<ArnPattern>,
    /// Who may decide.
    pub operators: Vec<ArnPattern>,
    /// Who may change the rules.
    pub owners: Vec<ArnPattern>,
    /// For how many days the audit trail is kept.
    pub audit_retention_days: u64,
}

impl Default for Administration {
    fn default() -> Self {
        // Thirteen months: a yearly review sees the year before.
        Self { viewers: Vec::new(), operators: Vec::new(), owners: Vec::new(), audit_retention_days: 400 }
    }
}

impl Administration {
    /// Whether no list is longer than [`PATTERNS_MAX`].
    pub fn is_bounded(&self) -> bool {
        [&self.viewers, &self.operators, &self.owners].iter().all(|patterns| patterns.len() <= PATTERNS_MAX)
    }

    /// The greatest role of the caller `arn`, if it has one.
    pub fn role(&self, arn: &str) -> Option<Role> {
        let listed = |patterns: &[ArnPattern]| patterns.iter().any(|pattern| pattern.matches(arn));
        [(Role::Owner, &self.owners), (Role::Operator, &self.operators), (Role::Viewer, &self.viewers)]
            .into_iter()
            .find_map(|(role, patterns)| listed(patterns).then_some(role))
    }

    /// For how long the audit trail is kept.
    pub const fn audit_retention(&self) -> Duration {
        Duration::from_secs(self.audit_retention_days.saturating_mul(86_400))
    }
}

/// Matches ARNs: six parts between colons, in each of which `*` stands for any run of characters. A `*`
/// never reaches over a colon, so no pattern can match another account by accident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArnPattern(String);

/// Not six parts that begin with `arn`, or an account or partition that is left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ARN pattern is arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE with `*` in the last part only")]
pub struct ArnPatternError;

impl TryFrom<String> for ArnPattern {
    type Error = ArnPatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ArnPattern> for String {
    fn from(pattern: ArnPattern) -> Self {
        pattern.0
    }
}

impl ArnPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`ArnPatternError`].
    pub fn parse(text: &str) -> Result<Self, ArnPatternError> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        match parts.as_slice() {
            ["arn", fixed @ .., resource]
                if fixed.len() == 4
                    && fixed.iter().all(|part| !part.contains('*'))
                    && !resource.is_empty()
                    && text.len() <= 512 =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(ArnPatternError),
        }
    }

    /// Whether it matches `arn`.
    pub fn matches(&self, arn: &str) -> bool {
        let (mut pattern, mut given) = (self.0.splitn(6, ':'), arn.splitn(6, ':'));
        (0..5).all(|_| pattern.next() == given.next())
            && match (pattern.next(), given.next()) {
                (Some(pattern), Some(given)) => glob(pattern, given),
                _ => false,
            }
    }
}

/// Whether `pattern`, in which `*` stands for any run of characters but colons, is all of `text`.
fn glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.strip_suffix(piece).is_some_and(|skipped| !skipped.contains(':'));
        }
        let Some((skipped, after)) = rest.split_once(piece) else { return false };
        if skipped.contains(':') {
            return false;
        }
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> ArnPattern {
        ArnPattern::parse(text).unwrap()
    }

    /// GOV-02: a pattern opens the door to whom it names and nobody else.
    #[test]
    fn a_star_stands_for_names_and_never_for_accounts() {
        let admins = pattern("arn:aws:sts::111122223333:assumed-role/Admin/*");
        assert!(admins.matches("arn:aws:sts::111122223333:assumed-role/Admin/ada"));
        for other in [
            "arn:aws:sts::999922223333:assumed-role/Admin/ada",
            "arn:aws:sts::111122223333:assumed-role/Administrator/ada",
            "arn:aws:sts::111122223333:assumed-role/Admin/ada:more",
            "arn:aws:iam::111122223333:user/Admin/ada",
            "arn:aws:sts::111122223333",
            "",
        ] {
            assert!(!admins.matches(other), "{other}");
        }
        assert!(pattern("arn:aws:iam::1:user/*-ops/a*").matches("arn:aws:iam::1:user/x-ops/ada"));
        assert!(pattern("arn:aws:iam::1:user/ada").matches("arn:aws:iam::1:user/ada"));
        for open in ["*", "arn:aws:iam::*:user/ada", "arn:*:iam::1:user/ada", "arn:aws:iam::1:", "arn:aws"] {
            assert_eq!(ArnPattern::parse(open), Err(ArnPatternError), "{open}");
        }
    }

    #[test]
    fn the_greatest_role_counts_and_a_stranger_has_none() {
        let rules = Administration {
            viewers: vec![pattern("arn:aws:iam::1:user/*")],
            owners: vec![pattern("arn:aws:iam::1:user/ada")],
            ..Administration::default()
        };
        assert_eq!(rules.role("arn:aws:iam::1:user/ada"), Some(Role::Owner));
        assert_eq!(rules.role("arn:aws:iam::1:user/grace"), Some(Role::Viewer));
        assert_eq!(rules.role("arn:aws:iam::2:user/ada"), None);
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Owner);
    }
}
