//! What is known here about a tool (FIELD idea 11): facts, not the tool's own words.

use shared::clock::Timestamp;
use shared::tool::Tool;

use crate::words::Language;

/// Facts about a tool at this organisation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AdoptionFacts {
    /// Whether an administrator has approved it.
    pub(crate) approved: bool,
    /// How many people use it, where that was counted.
    pub(crate) people: Option<u64>,
    /// When somebody used it here for the first time; `None` if nobody has.
    pub(crate) first_seen: Option<Timestamp>,
}

impl AdoptionFacts {
    /// What the record of a tool says; nothing is known without one.
    pub(crate) fn of(tool: Option<&Tool>) -> Self {
        tool.map_or_else(Self::default, |tool| Self {
            approved: tool.reviewed.is_some(),
            people: tool.census.map(|census| census.users),
            first_seen: Some(tool.introduced.at),
        })
    }

    /// The facts in words.
    pub(crate) fn lines(&self, language: Language, now: Timestamp) -> Vec<String> {
        let words = language.words();
        let mut lines = vec![if self.approved { words.approved } else { words.not_reviewed }.to_owned()];
        lines.extend(self.people.filter(|people| *people > 0).map(|people| language.used_by(people)));
        lines.push(match self.first_seen {
            Some(at) => format!("{} {}", words.first_seen, language.ago(now.since(at))),
            None => words.nobody_yet.to_owned(),
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_say_who_approved_how_many_use_it_and_since_when() {
        let now = Timestamp::from_epoch_seconds(10 * 86_400);
        let facts = AdoptionFacts {
            approved: true,
            people: Some(14),
            first_seen: Some(Timestamp::from_epoch_seconds(3 * 86_400)),
        };
        assert_eq!(
            facts.lines(Language::English, now),
            ["approved by your administrator", "14 people use it here", "first seen 7 days ago"]
        );
        let unknown = AdoptionFacts::of(None).lines(Language::German, now);
        assert_eq!(
            unknown,
            ["von Ihrer Administration nicht geprüft", "niemand hat sie hier bisher genutzt"]
        );
    }
}
