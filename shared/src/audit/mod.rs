//! The audit trail: what happened, in chains in which every entry carries the hash of the one before.
//!
//! There are [`SHARDS`] chains, so that writers do not queue behind each other, and anchors: entries that
//! hold the heads of all chains, so that a chain cannot be shortened without contradicting another one.
//! Whoever keeps an anchor outside the database can tell a database that was rewritten as a whole, too.

mod event;
mod verify;

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

pub use event::{Actor, DETAIL_CHARS_MAX, DETAILS_MAX, Event, Kind};
pub use verify::{Anchor, Chain, Problem, Report, verify};

use crate::clock::Timestamp;

/// Chains. Two writers of one chain at the same moment wait for each other; eight are enough for some
/// hundred entries per second.
pub const SHARDS: u8 = 8;

/// Letters of a reference code: none that look alike, so that it can be read out.
const REFERENCE_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// What a person is refused within this many seconds for the same reason has one reference and one entry,
/// however often they try.
pub const REFERENCE_GRAIN_SECONDS: u64 = 3600;

/// SHA-256 of an entry and the hash before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// What stands before the first entry of a chain.
    pub const START: Self = Self([0; 32]);

    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?))
    }

    /// The hash of an entry with this text after `self`.
    #[must_use]
    pub fn then(&self, text: &str) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        context.update(text.as_bytes());
        let mut next = [0; 32];
        next.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(next)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl From<ChainHash> for String {
    fn from(hash: ChainHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for ChainHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a hash")
    }
}

/// The end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Sequence of the newest entry, counted from 1; 0 while there is none.
    pub sequence: u64,
    /// Its hash.
    pub hash: ChainHash,
}

impl Default for Head {
    fn default() -> Self {
        Self { sequence: 0, hash: ChainHash::START }
    }
}

/// What is hashed: the text of this, exactly as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// The chain.
    pub shard: u8,
    /// Position in the chain, from 1.
    pub sequence: u64,
    /// What happened.
    pub event: Event,
}

/// An entry as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The hash of the entry before.
    pub previous: ChainHash,
    /// [`Content`] as JSON: members in one order, no white space.
    pub text: String,
    /// [`ChainHash::then`] of both.
    pub hash: ChainHash,
}

/// An entry's text cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("an audit entry is malformed: {0}")]
pub struct EntryError(#[from] serde_json::Error);

impl Entry {
    /// The entry for `event` that follows `head` in the chain `shard`.
    ///
    /// # Errors
    /// [`EntryError`] if the event cannot be written, which no event causes.
    pub fn after(head: Head, shard: u8, event: &Event) -> Result<Self, EntryError> {
        let content =
            Content { shard, sequence: head.sequence.saturating_add(1), event: event.clone().bounded() };
        let text = serde_json::to_string(&content)?;
        Ok(Self { previous: head.hash, hash: head.hash.then(&text), text })
    }

    /// What it says.
    ///
    /// # Errors
    /// [`EntryError`] if the text is not an entry's.
    pub fn content(&self) -> Result<Content, EntryError> {
        Ok(serde_json::from_str(&self.text)?)
    }
}

/// The reference under which a refusal is found again: the same for the same person, client, and outcome
/// within an hour.
pub fn reference(subject: &str, client_id: &str, outcome: &str, now: Timestamp) -> String {
    let hour = now.epoch_seconds() / REFERENCE_GRAIN_SECONDS;
    let named = BTreeMap::from([("subject", subject), ("client_id", client_id), ("outcome", outcome)]);
    let text = format!("{hour} {named:?}");
    digest(&SHA256, text.as_bytes())
        .as_ref()
        .iter()
        .take(10)
        .filter_map(|byte| REFERENCE_ALPHABET.get(usize::from(byte % 32)).copied().map(char::from))
        .collect()
}

/// Whether `text` looks like a reference.
pub fn is_reference(text: &str) -> bool {
    (8..=10).contains(&text.len()) && text.bytes().all(|byte| REFERENCE_ALPHABET.contains(&byte))
}
