//! Form-encoded OAuth parameters, read once and strictly (OAuth 2.1 §3.1, §3.2).
//!
//! Duplicates must be found in the raw text: API Gateway's payload format 2.0 joins repeated query
//! parameters with commas, so its parsed map is blind to them.

use percent_encoding::percent_decode;

/// Bytes of one query string or form body. Authorization requests with a metadata document URL and a
/// long `state` stay far below it.
pub const PARAMS_BYTES_MAX: usize = 16 * 1024;

/// Number of parameters in one request, unknown ones included.
pub const PARAMS_COUNT_MAX: usize = 64;

/// Why a query string or form body could not be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// More than [`PARAMS_BYTES_MAX`] bytes.
    #[error("the request parameters are too long")]
    TooLong,
    /// More than [`PARAMS_COUNT_MAX`] parameters.
    #[error("the request has too many parameters")]
    TooMany,
    /// A name or value is not UTF-8 after decoding, or a percent triplet is broken.
    #[error("the request parameters are not form-encoded UTF-8")]
    NotUtf8,
}

/// A parameter that must stand once was given more than once (OAuth 2.1 §3.1: `invalid_request`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the parameter {0} is given more than once")]
pub struct Repeated(pub String);

/// The parameters of one request: decoded, empty values dropped (they count as absent), order kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    entries: Vec<(String, String)>,
    repeated: Option<Repeated>,
}

impl Params {
    /// Reads `application/x-www-form-urlencoded` text.
    ///
    /// # Errors
    /// [`ParamsError`] if the text is too long, has too many parameters, or does not decode to UTF-8.
    pub fn parse(encoded: &str) -> Result<Self, ParamsError> {
        if encoded.len() > PARAMS_BYTES_MAX {
            return Err(ParamsError::TooLong);
        }
        let mut params = Self::default();
        let mut names: Vec<String> = Vec::new();
        for pair in encoded.split('&').filter(|pair| !pair.is_empty()) {
            if names.len() == PARAMS_COUNT_MAX {
                return Err(ParamsError::TooMany);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            // RFC 8707 §2 lets `resource` repeat; how many are acceptable is decided where it is read.
            if name != "resource" && names.contains(&name) && params.repeated.is_none() {
                params.repeated = Some(Repeated(name.clone()));
            }
            names.push(name.clone());
            if !value.is_empty() {
                params.entries.push((name, value));
            }
        }
        Ok(params)
    }

    /// Refuses a request in which any parameter but `resource` stands more than once.
    ///
    /// # Errors
    /// [`Repeated`] with the first such name.
    pub fn refuse_repeated(&self) -> Result<(), Repeated> {
        self.repeated.clone().map_or(Ok(()), Err)
    }

    /// The value of `name`, unless absent, empty, or ambiguous because it stands more than once.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = None;
        for (entry, value) in &self.entries {
            if entry == name && found.replace(value.as_str()).is_some() {
                return None;
            }
        }
        found
    }

    /// All values of `name`, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.entries.iter().filter(move |(entry, _)| entry == name).map(|(_, value)| value.as_str())
    }

    /// All parameters, in order; repeated ones as often as they stand.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Parameters from pairs that were decoded before.
    pub fn from_decoded(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { entries: pairs.into_iter().collect(), repeated: None }
    }

    /// Total length of the names and values, in bytes.
    pub fn len_bytes(&self) -> usize {
        self.entries.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

fn decode(encoded: &str) -> Result<String, ParamsError> {
    let spaced = encoded.replace('+', " ");
    let bytes = spaced.as_bytes();
    let broken = |(at, byte): (usize, &u8)| {
        *byte == b'%'
            && !bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if bytes.iter().enumerate().any(broken) {
        return Err(ParamsError::NotUtf8);
    }
    percent_decode(bytes).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| ParamsError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AUT-02, TOK-01: unknown parameters are kept apart, empty values count as absent.
    #[test]
    fn empty_values_are_absent_and_encoding_is_undone() {
        let params = Params::parse("a=1&b=&c&state=x%2By+z%25%C3%A9&&d=e=f").unwrap();
        assert_eq!(params.get("a"), Some("1"));
        assert_eq!(params.get("b"), None);
        assert_eq!(params.get("c"), None);
        assert_eq!(params.get("state"), Some("x+y z%é"));
        assert_eq!(params.get("d"), Some("e=f"));
        assert_eq!(params.refuse_repeated(), Ok(()));
    }

    /// AUT-02: a repeated parameter is found even when one of the values is empty or spelled differently.
    #[test]
    fn a_repeated_parameter_is_ambiguous() {
        for text in ["state=a&state=b", "state=a&x=1&%73tate=a", "state=&state=a", "foo=1&foo=1"] {
            let params = Params::parse(text).unwrap();
            assert!(params.refuse_repeated().is_err(), "{text}");
        }
        assert_eq!(Params::parse("state=a&state=b").unwrap().get("state"), None);
    }

    /// RFC 8707 §2: `resource` may repeat.
    #[test]
    fn resource_may_repeat() {
        let params = Params::parse("resource=a&resource=b").unwrap();
        assert_eq!(params.refuse_repeated(), Ok(()));
        assert_eq!(params.all("resource").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_does_not_decode_is_refused() {
        for text in ["a=%ff", "a=%zz", "a=%2", "%80=1"] {
            assert_eq!(Params::parse(text), Err(ParamsError::NotUtf8), "{text}");
        }
        assert_eq!(Params::parse(&"a".repeat(PARAMS_BYTES_MAX + 1)), Err(ParamsError::TooLong));
        assert_eq!(Params::parse(&"a=1&".repeat(PARAMS_COUNT_MAX + 1)), Err(ParamsError::TooMany));
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(text in ".{0,200}") {
            let _ = Params::parse(&text);
        }
    }
}
