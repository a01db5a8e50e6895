//! Where in a policy document something is, and on which line of the text that is.

use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// One step on the way into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(&'static str),
    Element(usize),
}

/// A place in a document, such as `profiles[2].match.hosts[0]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(Vec<Step>);

impl Place {
    /// The whole document.
    pub const fn top() -> Self {
        Self(Vec::new())
    }

    /// The member `name` of the object here.
    #[must_use]
    pub fn member(&self, name: &'static str) -> Self {
        self.step(Step::Member(name))
    }

    /// The element `index` of the list here.
    #[must_use]
    pub fn element(&self, index: usize) -> Self {
        self.step(Step::Element(index))
    }

    /// The same place in a document that has the whole of this one as its member `name`.
    #[must_use]
    pub fn within(&self, name: &'static str) -> Self {
        let mut steps = vec![Step::Member(name)];
        steps.extend(self.0.iter().cloned());
        Self(steps)
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Reads the document again up to this place and fails there, so that the parser's own error tells the
    /// line. Works for every format that knows where it is; a place that the document leaves to a default
    /// is found at what should hold it.
    pub fn find<'de, D: Deserializer<'de>>(&self, document: D) -> D::Error {
        match (Finder { steps: &self.0 }).deserialize(document) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Member(name) if position == 0 => f.write_str(name)?,
                Step::Member(name) => write!(f, ".{name}")?,
                Step::Element(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Reading never succeeds: it always ends with the error that carries the line.
enum Never {}

#[derive(Clone, Copy)]
struct Finder<'a> {
    steps: &'a [Step],
}

impl<'de> DeserializeSeed<'de> for Finder<'_> {
    type Value = Never;

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<Never, D::Error> {
        document.deserialize_any(self)
    }
}

fn here<E: Error>() -> E {
    E::custom("here")
}

impl<'de> Visitor<'de> for Finder<'_> {
    type Value = Never;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a place in a policy document")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Never, E> {
        Err(here())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Never, E> {
        Err(here())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Never, E> {
        Err(here())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Never, E> {
        Err(here())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Never, E> {
        Err(here())
    }

    fn visit_unit<E: Error>(self) -> Result<Never, E> {
        Err(here())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Never, A::Error> {
        let Some((Step::Member(wanted), steps)) = self.steps.split_first() else {
            // The line of an object is that of its first member, which no format makes us guess.
            members.next_key::<IgnoredAny>()?;
            return Err(here());
        };
        while let Some(name) = members.next_key::<String>()? {
            if name == *wanted {
                return members.next_value_seed(Finder { steps });
            }
            members.next_value::<IgnoredAny>()?;
        }
        Err(here())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Never, A::Error> {
        let Some((Step::Element(wanted), steps)) = self.steps.split_first() else { return Err(here()) };
        for _ in 0..*wanted {
            if elements.next_element::<IgnoredAny>()?.is_none() {
                return Err(here());
            }
        }
        match elements.next_element_seed(Finder { steps })? {
            Some(never) => Ok(never),
            None => Err(here()),
        }
    }
}

/// The line of `place` in a JSON text, counted from 1.
pub(super) fn line_in_json(json: &str, place: &Place) -> Option<u64> {
    let mut document = serde_json::Deserializer::from_str(json);
    u64::try_from(place.find(&mut document).line()).ok().filter(|line| *line > 0)
}

/// Reads a string that must not be empty.
pub(super) fn nonempty<'de, D: Deserializer<'de>>(text: D) -> Result<String, D::Error> {
    let text = String::deserialize(text)?;
    if text.trim().is_empty() { Err(D::Error::custom("must not be empty")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_on_its_line() {
        let json = "{\n \"a\": 1,\n \"b\": [\n  {\"c\": \"x\"},\n  {\n   \"c\": [true,\n    null]}\n ]\n}";
        let b = Place::top().member("b");
        let cases = [
            (Place::top().member("a"), 2),
            (b.element(0).member("c"), 4),
            (b.element(1), 6),
            (b.element(1).member("c").element(0), 6),
            (b.element(1).member("c").element(1), 7),
            (b.element(7), 8),
            (Place::top().member("z"), 9),
        ];
        for (place, line) in cases {
            assert_eq!(line_in_json(json, &place), Some(line), "{place}");
        }
        assert_eq!(b.element(1).member("c").to_string(), "b[1].c");
        assert_eq!(b.element(1).within("a").to_string(), "a.b[1]");
    }
}
