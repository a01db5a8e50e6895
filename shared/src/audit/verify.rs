//! Verifying chains: what is missing, altered, or cut off.

use std::collections::{BTreeMap, HashMap};

use super::{ChainHash, Entry, Head, Kind};
use crate::clock::Timestamp;

/// One chain as read.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Which.
    pub shard: u8,
    /// Where it says it ends.
    pub head: Head,
    /// What was found at each place; a place without an entry is `None`. In order, from any place on.
    pub entries: Vec<(u64, Option<Entry>)>,
}

/// The heads of all chains at one time, by shard: kept outside the database, or found in a chain.
pub type Anchor = BTreeMap<u8, (u64, ChainHash)>;

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is no entry, and it cannot have grown too old.
    Removed {
        /// The chain.
        shard: u8,
        /// The place.
        sequence: u64,
    },
    /// The entry does not have the hash that it, or the one after it, says.
    Altered {
        /// The chain.
        shard: u8,
        /// The place.
        sequence: u64,
    },
    /// The chain ends before a place that an anchor has seen, or its end is not what its head says.
    CutOff {
        /// The chain.
        shard: u8,
        /// The place.
        sequence: u64,
    },
}

/// What came of verifying.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries that were read.
    pub entries: u64,
    /// Anchors that were compared.
    pub anchors: u64,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

/// Verifies `chains`, read from the same database, against themselves, their anchors, and the anchors
/// `kept` elsewhere. Entries from before `kept_since` may be gone.
pub fn verify(chains: &[Chain], kept: &[Anchor], kept_since: Timestamp) -> Report {
    let mut report = Report::default();
    let mut hashes: HashMap<(u8, u64), ChainHash> = HashMap::new();
    let mut anchors: Vec<Anchor> = kept.to_vec();
    let mut first: HashMap<u8, u64> = HashMap::new();
    for chain in chains {
        let oldest = verify_chain(chain, kept_since, &mut report, &mut hashes, &mut anchors);
        first.insert(chain.shard, oldest);
    }
    report.anchors = u64::try_from(anchors.len()).unwrap_or(u64::MAX);
    for (shard, (sequence, hash)) in anchors.into_iter().flatten() {
        let Some(chain) = chains.iter().find(|chain| chain.shard == shard) else { continue };
        if sequence == 0 || first.get(&shard).is_some_and(|oldest| sequence < *oldest) {
            continue;
        }
        match hashes.get(&(shard, sequence)) {
            Some(found) if *found == hash => {}
            Some(_) => report.problems.push(Problem::Altered { shard, sequence }),
            None if sequence > chain.head.sequence => {
                report.problems.push(Problem::CutOff { shard, sequence });
            }
            None => {}
        }
    }
    report
}

/// Verifies one chain; answers the first place from which on nothing may be missing.
fn verify_chain(
    chain: &Chain,
    kept_since: Timestamp,
    report: &mut Report,
    hashes: &mut HashMap<(u8, u64), ChainHash>,
    anchors: &mut Vec<Anchor>,
) -> u64 {
    let shard = chain.shard;
    let mut missing: Vec<u64> = Vec::new();
    let mut before: Option<(u64, ChainHash)> = None;
    let mut first_kept = chain.entries.first().map_or(1, |(sequence, _)| *sequence);
    for (sequence, entry) in &chain.entries {
        let sequence = *sequence;
        let Some(entry) = entry else {
            missing.push(sequence);
            continue;
        };
        report.entries += 1;
        let content = entry.content().ok();
        let placed =
            content.as_ref().is_some_and(|content| (content.shard, content.sequence) == (shard, sequence));
        let linked = match before {
            Some((place, hash)) if place + 1 == sequence => hash == entry.previous,
            _ => sequence != 1 || entry.previous == ChainHash::START,
        };
        if !placed || !linked || entry.previous.then(&entry.text) != entry.hash {
            report.problems.push(Problem::Altered { shard, sequence });
        }
        let event = content.map(|content| content.event);
        // What is missing below an entry that may itself be gone has grown too old.
        if event.as_ref().is_some_and(|event| event.at < kept_since) {
            if !missing.is_empty() {
                first_kept = sequence;
            }
            missing.clear();
        }
        report.problems.extend(missing.drain(..).map(|sequence| Problem::Removed { shard, sequence }));
        if let Some(event) = event.filter(|event| event.kind == Kind::Anchored) {
            anchors.extend(parse_anchor(&event.detail));
        }
        hashes.insert((shard, sequence), entry.hash);
        before = Some((sequence, entry.hash));
    }
    report.problems.extend(missing.drain(..).map(|sequence| Problem::Removed { shard, sequence }));
    let end = before.unwrap_or((0, ChainHash::START));
    let empty = chain.entries.is_empty() && chain.head.sequence == 0;
    if !empty && end != (chain.head.sequence, chain.head.hash) {
        report.problems.push(Problem::CutOff { shard, sequence: chain.head.sequence.max(end.0) });
    }
    first_kept
}

/// The anchor that an event's details hold.
pub(super) fn parse_anchor(detail: &BTreeMap<String, String>) -> Option<Anchor> {
    detail
        .iter()
        .map(|(shard, head)| {
            let (sequence, hash) = head.split_once(' ')?;
            Some((shard.parse().ok()?, (sequence.parse().ok()?, ChainHash::parse(hash)?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Actor, Event};
    use super::*;

    fn chain(shard: u8, length: u64) -> Chain {
        let (mut head, mut entries) = (Head::default(), Vec::new());
        for sequence in 1..=length {
            let at = Timestamp::from_epoch_seconds(1000 + sequence);
            let event = Event::new(at, Kind::ToolDisabled, Actor::System, format!("tool-{sequence}"));
            let entry = Entry::after(head, shard, &event).unwrap();
            head = Head { sequence, hash: entry.hash };
            entries.push((sequence, Some(entry)));
        }
        Chain { shard, head, entries }
    }

    fn problems(chain: &Chain) -> Vec<Problem> {
        verify(std::slice::from_ref(chain), &[], Timestamp::default()).problems
    }

    /// GOV-13: a chain nobody touched verifies.
    #[test]
    fn a_whole_chain_verifies() {
        let report = verify(&[chain(0, 5), chain(1, 0)], &[], Timestamp::default());
        assert_eq!((report.entries, report.problems), (5, vec![]));
    }

    /// FM092: whatever is done to one entry is found, at its place.
    #[test]
    fn a_removed_altered_moved_or_invented_entry_is_found() {
        let whole = chain(3, 5);
        let mut removed = whole.clone();
        removed.entries[2].1 = None;
        assert_eq!(problems(&removed), [Problem::Removed { shard: 3, sequence: 3 }]);

        let mut altered = whole.clone();
        let entry = altered.entries[2].1.as_mut().unwrap();
        entry.text = entry.text.replace("tool-3", "tool-9");
        assert_eq!(problems(&altered), [Problem::Altered { shard: 3, sequence: 3 }]);

        // With a hash that fits again, the next entry gives it away.
        let entry = altered.entries[2].1.as_mut().unwrap();
        entry.hash = entry.previous.then(&entry.text);
        assert_eq!(problems(&altered), [Problem::Altered { shard: 3, sequence: 4 }]);

        let mut swapped = whole.clone();
        swapped.entries.swap(1, 2);
        swapped.entries[1].0 = 2;
        swapped.entries[2].0 = 3;
        assert!(!problems(&swapped).is_empty());

        let mut last = whole.clone();
        last.entries.pop();
        assert_eq!(problems(&last), [Problem::CutOff { shard: 3, sequence: 5 }]);

        let mut elsewhere = whole;
        elsewhere.shard = 4;
        assert_eq!(problems(&elsewhere).len(), 5);
    }

    /// A chain that was cut together with its head contradicts an anchor that saw it longer.
    #[test]
    fn a_cut_chain_contradicts_its_anchor() {
        let whole = chain(0, 4);
        let anchor: Anchor = [(0, (4, whole.head.hash))].into();
        let mut cut = whole.clone();
        cut.entries.pop();
        cut.head = Head { sequence: 3, hash: cut.entries[2].1.as_ref().unwrap().hash };
        assert_eq!(problems(&cut), []);
        let found = |chain: &Chain| {
            verify(std::slice::from_ref(chain), std::slice::from_ref(&anchor), Timestamp::default()).problems
        };
        assert_eq!(found(&whole), []);
        assert_eq!(found(&cut), [Problem::CutOff { shard: 0, sequence: 4 }]);
        // Written anew as a whole, with other content.
        let mut rewritten = chain(0, 2);
        for sequence in 3..=4 {
            let event = Event::new(Timestamp::default(), Kind::ToolEnabled, Actor::System, "other");
            let entry = Entry::after(rewritten.head, 0, &event).unwrap();
            rewritten.head = Head { sequence, hash: entry.hash };
            rewritten.entries.push((sequence, Some(entry)));
        }
        assert_eq!(problems(&rewritten), []);
        assert_eq!(found(&rewritten), [Problem::Altered { shard: 0, sequence: 4 }]);
    }

    /// Retention: what has grown too old may be gone; what is younger may not.
    #[test]
    fn old_entries_may_be_gone_and_young_ones_not() {
        let mut old = chain(0, 6);
        old.entries[0].1 = None;
        old.entries[2].1 = None;
        let since = |seconds| {
            verify(std::slice::from_ref(&old), &[], Timestamp::from_epoch_seconds(seconds)).problems
        };
        assert_eq!(since(1005), []);
        assert_eq!(since(1003), [Problem::Removed { shard: 0, sequence: 3 }]);
    }

    #[test]
    fn an_anchor_reads_back() {
        let detail: BTreeMap<String, String> = [("2".to_owned(), format!("7 {}", ChainHash::START))].into();
        assert_eq!(parse_anchor(&detail), Some([(2, (7, ChainHash::START))].into()));
        assert_eq!(parse_anchor(&[("2".to_owned(), "7".to_owned())].into()), None);
    }
}
