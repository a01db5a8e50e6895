//! Strict JSON: what two readers could understand differently is refused (DOC-01; RFC 8259, RFC 7493).

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting, the outer object being level 1. A document with an inline key set needs four.
pub const JSON_DEPTH_MAX: usize = 16;

/// Why a body is not a JSON object we would read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// A byte order mark (RFC 8259 §8.1).
    #[error("the body starts with a byte order mark")]
    ByteOrderMark,
    /// Not JSON, truncated, with something behind its end, or with a lone surrogate.
    #[error("the body is not JSON")]
    Syntax,
    /// JSON, but no object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// Two members of one object have the same name, at any level.
    #[error("a JSON object has two members of the same name")]
    DuplicateMember,
    /// Nested deeper than [`JSON_DEPTH_MAX`].
    #[error("the JSON is nested too deeply")]
    TooDeep,
}

/// Reads one JSON object.
///
/// # Errors
/// [`JsonError`] for anything that is not exactly one object by the strict reading.
pub fn parse_object(body: &[u8]) -> Result<Map<String, Value>, JsonError> {
    let text = std::str::from_utf8(body).map_err(|_| JsonError::NotUtf8)?;
    if text.starts_with('\u{feff}') {
        return Err(JsonError::ByteOrderMark);
    }
    let refusal = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0, refusal: &refusal }
        .deserialize(&mut reader)
        .map_err(|_| refusal.get().unwrap_or(JsonError::Syntax))?;
    reader.end().map_err(|_| JsonError::Syntax)?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(JsonError::NotAnObject),
    }
}

/// Builds a [`Value`] as `serde_json` would, but sees duplicate members and depth. The reason travels in
/// `refusal`, since the reader's own error carries text only.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    refusal: &'a Cell<Option<JsonError>>,
}

impl Strict<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= JSON_DEPTH_MAX {
            return Err(self.refuse(JsonError::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn refuse<E: Error>(self, reason: JsonError) -> E {
        self.refusal.set(Some(reason));
        E::custom(reason)
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| self.refuse(JsonError::Syntax))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(self.refuse(JsonError::DuplicateMember));
            }
            object.insert(name, members.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// DOC-01, D06, D24: one reading or none.
    #[test]
    fn json_that_two_readers_could_read_differently_is_refused() {
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        let arrays = format!("{{\"a\":{}{}}}", "[".repeat(JSON_DEPTH_MAX), "]".repeat(JSON_DEPTH_MAX));
        let bottomless = "{\"a\":".repeat(100_000);
        let cases: Vec<(&[u8], JsonError)> = vec![
            (b"", JsonError::Syntax),
            (b"{", JsonError::Syntax),
            (b"{\"a\":1", JsonError::Syntax),
            (b"{\"a\":1}x", JsonError::Syntax),
            (b"{} {}", JsonError::Syntax),
            (b"{\"a\":1,}", JsonError::Syntax),
            (b"{'a':1}", JsonError::Syntax),
            (b"{a:1}", JsonError::Syntax),
            (b"{\"a\":01}", JsonError::Syntax),
            (b"{\"a\":NaN}", JsonError::Syntax),
            (b"{\"a\":1e999}", JsonError::Syntax),
            (b"{\"a\":\"\\x\"}", JsonError::Syntax),
            (b"{\"a\":\"\n\"}", JsonError::Syntax),
            (b"{\"a\":\"\\ud800\"}", JsonError::Syntax),
            (b"{\"a\":\"\\udc00\"}", JsonError::Syntax),
            (b"{\"a\":\"\\ud800\\u0041\"}", JsonError::Syntax),
            (b"{\"\\ud800\":1}", JsonError::Syntax),
            (b"/* c */{}", JsonError::Syntax),
            (b"<!doctype html>", JsonError::Syntax),
            (b"{}\0", JsonError::Syntax),
            (b"\xef\xbb\xbf{}", JsonError::ByteOrderMark),
            (b"{\"a\":\"\xff\"}", JsonError::NotUtf8),
            (b"{\"a\":\"\xed\xa0\x80\"}", JsonError::NotUtf8),
            (b"{\"a\":\"\xc0\xaf\"}", JsonError::NotUtf8),
            (b"\xff\xfe{\0}\0", JsonError::NotUtf8),
            (b"[]", JsonError::NotAnObject),
            (b"null", JsonError::NotAnObject),
            (b"\"x\"", JsonError::NotAnObject),
            (b"1", JsonError::NotAnObject),
            (b"{\"a\":1,\"a\":1}", JsonError::DuplicateMember),
            (b"{\"a\":1,\"\\u0061\":2}", JsonError::DuplicateMember),
            (b"{\"x\":{\"a\":1,\"a\":2}}", JsonError::DuplicateMember),
            (b"{\"x\":[{\"a\":1,\"a\":2}]}", JsonError::DuplicateMember),
            (b"{\"a\":1,\"a\"", JsonError::DuplicateMember),
            (arrays.as_bytes(), JsonError::TooDeep),
            (bottomless.as_bytes(), JsonError::TooDeep),
        ];
        for (body, error) in cases {
            assert_eq!(
                parse_object(body),
                Err(error),
                "{:?}",
                String::from_utf8_lossy(&body[..body.len().min(60)])
            );
        }
        assert!(parse_object(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(parse_object(nested(JSON_DEPTH_MAX + 1).as_bytes()), Err(JsonError::TooDeep));
    }

    #[test]
    fn sound_json_reads_as_itself() {
        let body = " {\"a\":[1,-2,3.5,true,null],\"b\":{\"a\":\"\\ud83d\\ude00\"},\"A\":{}}\r\n\t";
        let expected = json!({"a": [1, -2, 3.5, true, null], "b": {"a": "\u{1f600}"}, "A": {}});
        assert_eq!(parse_object(body.as_bytes()).map(Value::Object), Ok(expected));
        assert_eq!(parse_object(b"{}"), Ok(Map::new()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_object(&body);
        }

        /// What passes here means the same to an ordinary reader.
        #[test]
        fn the_strict_reading_agrees_with_the_ordinary_one(body in "\\{(\"[ab]\":(1|\\[\\]|\"x\"|\\{\\}),?){0,4}\\}?") {
            if let Ok(members) = parse_object(body.as_bytes()) {
                prop_assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), Value::Object(members));
            }
        }
    }
}
