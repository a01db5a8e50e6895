//! Values that must never be seen: codes, tokens, secrets, key material (DESIGN invariant 10).

/// A secret string. It has no `Debug` that shows it, no `Display`, no `Serialize`: whoever needs the
/// text asks for it by name, so that a reviewer finds every such place by searching for `expose`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one answer or header that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// Thirty-two bytes of key material, never shown.
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// Wraps key material.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The material itself, for wrapping it or for computing with it.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_secret() {
        assert!(!format!("{:?}", Secret::new("marker-7f3a".to_owned())).contains("marker"));
        assert!(!format!("{:?}", SecretKey::new([65; 32])).contains("65"));
    }
}
