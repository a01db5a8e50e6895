//! Proof Key for Code Exchange, `S256` only (RFC 7636; OAuth 2.1 §4.1.1).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Shortest and longest `code_verifier`, in characters (RFC 7636 §4.1).
const VERIFIER_CHARS: std::ops::RangeInclusive<usize> = 43..=128;

/// Why PKCE parameters were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PkceError {
    /// No `code_challenge` (AUT-11).
    #[error("code_challenge is missing")]
    ChallengeMissing,
    /// `code_challenge_method` is absent, which means `plain`, or is not `S256` (AUT-12).
    #[error("code_challenge_method must be S256")]
    Method,
    /// Not 43 base64url characters, so not the hash of anything (AUT-14).
    #[error("code_challenge is not an S256 challenge")]
    Challenge,
    /// Not 43 to 128 unreserved characters (RFC 7636 §4.1).
    #[error("code_verifier is malformed")]
    Verifier,
}

/// An `S256` challenge as it was sent: 43 base64url characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeChallenge(String);

impl CodeChallenge {
    /// Reads `code_challenge` and `code_challenge_method`.
    ///
    /// # Errors
    /// [`PkceError`] naming the parameter at fault.
    pub fn parse(challenge: Option<&str>, method: Option<&str>) -> Result<Self, PkceError> {
        let challenge = challenge.ok_or(PkceError::ChallengeMissing)?;
        if method != Some("S256") {
            return Err(PkceError::Method);
        }
        let decoded = URL_SAFE_NO_PAD.decode(challenge).map_err(|_| PkceError::Challenge)?;
        if decoded.len() == 32 { Ok(Self(challenge.to_owned())) } else { Err(PkceError::Challenge) }
    }

    /// A challenge that was checked when it was stored.
    pub fn from_stored(challenge: String) -> Self {
        Self(challenge)
    }

    /// The challenge as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `verifier` is what the challenge was made from (RFC 7636 §4.6).
    pub fn accepts(&self, verifier: &CodeVerifier) -> bool {
        verify_slices_are_equal(verifier.challenge().as_bytes(), self.0.as_bytes()).is_ok()
    }
}

/// A `code_verifier` of the right form; a secret, so it has no `Debug` output.
#[derive(Clone)]
pub struct CodeVerifier(String);

impl CodeVerifier {
    /// Reads a `code_verifier`.
    ///
    /// # Errors
    /// [`PkceError::Verifier`] if it is not 43 to 128 unreserved characters.
    pub fn parse(verifier: &str) -> Result<Self, PkceError> {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if VERIFIER_CHARS.contains(&verifier.len()) && verifier.bytes().all(unreserved) {
            Ok(Self(verifier.to_owned()))
        } else {
            Err(PkceError::Verifier)
        }
    }

    /// The `S256` challenge that belongs to it.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.0.as_bytes()))
    }
}

impl std::fmt::Debug for CodeVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeVerifier([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    /// RFC 7636 appendix B.
    #[test]
    fn the_example_of_the_rfc_matches() {
        let challenge = CodeChallenge::parse(Some(CHALLENGE), Some("S256")).unwrap();
        assert!(challenge.accepts(&CodeVerifier::parse(VERIFIER).unwrap()));
        assert!(!challenge.accepts(&CodeVerifier::parse(&"a".repeat(43)).unwrap()));
    }

    /// AUT-11, AUT-12, AUT-14; vectors Q02, Q03, Q04.
    #[test]
    fn only_s256_challenges_are_taken() {
        let check = |challenge, method, error| {
            assert_eq!(CodeChallenge::parse(challenge, method), Err(error));
        };
        check(None, None, PkceError::ChallengeMissing);
        check(Some(CHALLENGE), None, PkceError::Method);
        check(Some(CHALLENGE), Some("plain"), PkceError::Method);
        check(Some(CHALLENGE), Some("s256"), PkceError::Method);
        for bad in
            [&CHALLENGE[..42], &format!("{CHALLENGE}A"), &CHALLENGE.replace('-', "+"), &"A".repeat(129)]
        {
            check(Some(bad), Some("S256"), PkceError::Challenge);
        }
    }

    /// TOK-11.
    #[test]
    fn a_verifier_is_43_to_128_unreserved_characters() {
        for good in [43, 128] {
            assert!(CodeVerifier::parse(&"~".repeat(good)).is_ok());
        }
        for bad in ["a".repeat(42), "a".repeat(129), format!("{}+", "a".repeat(43)), "é".repeat(43)] {
            assert!(CodeVerifier::parse(&bad).is_err(), "{bad}");
        }
    }
}
