//! Scopes (OAuth 2.1 §1.4.1).

use std::fmt;

/// Scope tokens in one request; no resource of ours needs more, and each is looked up.
pub const SCOPE_TOKENS_MAX: usize = 64;

/// Bytes of one scope token.
pub const SCOPE_TOKEN_BYTES_MAX: usize = 128;

/// The scope for which every client may ask and which stands for a refresh token (OpenID Connect Core §11).
pub const OFFLINE_ACCESS: &str = "offline_access";

/// A scope value is malformed (`invalid_scope`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A character outside `%x21 / %x23-5B / %x5D-7E`.
    #[error("a scope token has a character that is not allowed")]
    Character,
    /// More tokens or longer ones than any resource defines.
    #[error("the scope is too long")]
    TooLong,
}

/// A set of scope tokens, in the order first given. May be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(Vec<String>);

impl Scope {
    /// Reads space-separated scope tokens. Leading, trailing, and repeated spaces are folded, because
    /// real clients send them, and a repeated token counts once.
    ///
    /// # Errors
    /// [`ScopeError`] for characters outside the grammar or too long a list.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let mut tokens: Vec<String> = Vec::new();
        for token in text.split(' ').filter(|token| !token.is_empty()) {
            if !token.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)) {
                return Err(ScopeError::Character);
            }
            if token.len() > SCOPE_TOKEN_BYTES_MAX || tokens.len() == SCOPE_TOKENS_MAX {
                return Err(ScopeError::TooLong);
            }
            if !tokens.iter().any(|known| known == token) {
                tokens.push(token.to_owned());
            }
        }
        Ok(Self(tokens))
    }

    /// The tokens, in order.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `token` is one of them.
    pub fn contains(&self, token: &str) -> bool {
        self.0.iter().any(|known| known == token)
    }

    /// Whether every token is also in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.tokens().all(|token| other.contains(token))
    }

    /// The tokens for which `keep` holds, in order.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|token| keep(token)).cloned().collect())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CLIENTS: `scope=" offline_access"` with a leading space is sent by a real client.
    #[test]
    fn white_space_is_folded_and_tokens_count_once() {
        assert_eq!(Scope::parse(" offline_access  a a ").unwrap().to_string(), "offline_access a");
        assert!(Scope::parse("").unwrap().is_empty());
    }

    /// AUT-21, GOV-12, vector Q12.
    #[test]
    fn characters_outside_the_grammar_are_refused() {
        for bad in ["a\"b", "a\\b", "a\tb", "é", "a\u{7f}"] {
            assert_eq!(Scope::parse(bad), Err(ScopeError::Character), "{bad:?}");
        }
        assert!(Scope::parse("tool:files.read mcp:* [x]").is_ok());
        assert_eq!(Scope::parse(&"x".repeat(129)), Err(ScopeError::TooLong));
        let many = (0..65).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(Scope::parse(&many), Err(ScopeError::TooLong));
    }
}
