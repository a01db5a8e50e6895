//! Whether a grant may still be honoured: asked at redemption, refresh, and introspection (DESIGN
//! invariant 4).

use super::{Status, Tool, ToolId};

/// Why a grant is not honoured although its client and its credential are good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHonoured {
    /// The tool's record is gone; nothing vouches for the grant.
    #[error("the tool {0} has no record")]
    ToolGone(ToolId),
    /// The tool is not enabled.
    #[error("the tool {0} is {status}", status = .1.as_str())]
    ToolStatus(ToolId, Status),
    /// The tool's grants were ended after this one was approved.
    #[error("the grants of tool {0} were revoked")]
    EpochRaised(ToolId),
}

/// Checks a grant of `tool` that was approved at `epoch` against the tool's records: its own first, then,
/// if it was merged, the ones it has become part of, in order. The last one must have one of the `good`
/// statuses. Anything missing or unexpected refuses.
///
/// # Errors
/// [`NotHonoured`] with the record that says no.
pub fn check_standing(
    tool: &ToolId,
    epoch: u32,
    records: &[Tool],
    good: &[Status],
) -> Result<(), NotHonoured> {
    let (mut wanted, mut expected) = (tool.clone(), epoch);
    for record in records {
        if record.id != wanted || record.forgotten {
            return Err(NotHonoured::ToolGone(wanted));
        }
        if record.epoch != expected {
            return Err(NotHonoured::EpochRaised(wanted));
        }
        match &record.merged {
            Some(merged) => (wanted, expected) = (merged.into.clone(), merged.epoch),
            None if good.contains(&record.status) => return Ok(()),
            None => return Err(NotHonoured::ToolStatus(wanted, record.status)),
        }
    }
    Err(NotHonoured::ToolGone(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::tool::Mechanism;
    use crate::tool::{Introduced, Merged};

    const ENABLED: &[Status] = &[Status::Enabled];

    fn id(name: &str) -> ToolId {
        ToolId::parse(name).unwrap()
    }

    fn tool(name: &str, status: Status, epoch: u32, merged: Option<(&str, u32)>) -> Tool {
        let introduced = Introduced {
            at: Timestamp::default(),
            by: "ada".to_owned(),
            mechanism: Mechanism::MetadataDocument,
        };
        let mut tool = Tool::new(id(name), None, status, introduced);
        tool.epoch = epoch;
        tool.merged = merged.map(|(into, epoch)| Merged { into: id(into), epoch });
        tool
    }

    /// Invariant 4: only an enabled tool in its own epoch stands.
    #[test]
    fn status_and_epoch_decide() {
        let check = |status, epoch| check_standing(&id("a"), 3, &[tool("a", status, epoch, None)], ENABLED);
        assert_eq!(check(Status::Enabled, 3), Ok(()));
        assert_eq!(check(Status::Enabled, 4), Err(NotHonoured::EpochRaised(id("a"))));
        for status in [Status::Pending, Status::Disabled, Status::Withdrawn] {
            assert_eq!(check(status, 3), Err(NotHonoured::ToolStatus(id("a"), status)));
        }
    }

    /// FM027: what is missing refuses.
    #[test]
    fn a_missing_or_forgotten_record_refuses() {
        assert_eq!(check_standing(&id("a"), 0, &[], ENABLED), Err(NotHonoured::ToolGone(id("a"))));
        let mut forgotten = tool("a", Status::Enabled, 0, None);
        forgotten.forgotten = true;
        assert!(check_standing(&id("a"), 0, &[forgotten], ENABLED).is_err());
        assert!(check_standing(&id("a"), 0, &[tool("b", Status::Enabled, 0, None)], ENABLED).is_err());
    }

    /// A merged tool's grants go on under the tool it became part of, until that one's are revoked.
    #[test]
    fn a_merge_carries_grants_over() {
        let merged = tool("a", Status::Disabled, 1, Some(("b", 7)));
        let check = |records: &[Tool]| check_standing(&id("a"), 1, records, ENABLED);
        assert_eq!(check(&[merged.clone(), tool("b", Status::Enabled, 7, None)]), Ok(()));
        assert!(check(&[merged.clone(), tool("b", Status::Enabled, 8, None)]).is_err());
        assert!(check(&[merged.clone(), tool("b", Status::Disabled, 7, None)]).is_err());
        assert!(check(&[merged]).is_err());
    }
}
