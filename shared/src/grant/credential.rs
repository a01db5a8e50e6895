//! Codes and refresh tokens: pointers to a grant that only this server can have made.
//!
//! Both are `prefix || base64url(key id || tag || grant id [|| generation] || tool id)` with an
//! HMAC-SHA-256 tag. What follows from that:
//!
//! - an invented value is refused without touching the database;
//! - nothing that could be replayed is stored, not even a digest; a copy of the table is worth nothing;
//! - a refresh token of any age is recognised as once issued, so its replay can end the grant, while
//!   garbage that happens to name a grant cannot;
//! - the successor of a refresh token is the same whenever it is computed, which is what lets a lost
//!   answer be repeated (REF-08);
//! - the tool can be read in the same round trip as the grant.
//!
//! The tag is 256 bits and the grant id 128 random bits (OAuth 2.1 §7.7 asks for 2^-160).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::GrantId;
use crate::seal::{KeyId, Purpose, Seal, SealError, TAG_LEN};
use crate::secret::Secret;
use crate::tool::ToolId;

/// Not a credential of this kind that we issued, or one whose key is gone. Deliberately says no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a credential of this server")]
pub struct CredentialError;

/// Characters of a code or refresh token; longer input is refused before it is decoded.
const CREDENTIAL_CHARS_MAX: usize = 256;

/// An authorization code (OAuth 2.1 §4.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The grant it belongs to.
    pub grant: GrantId,
    /// The tool of that grant.
    pub tool: ToolId,
}

/// A refresh token (OAuth 2.1 §4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The grant it belongs to.
    pub grant: GrantId,
    /// Counts up with each rotation, from 1.
    pub generation: u32,
    /// The tool of that grant.
    pub tool: ToolId,
}

impl Code {
    const PREFIX: &'static str = "npc_";

    /// The text form.
    ///
    /// # Errors
    /// [`SealError`] if there is no key to tag it with.
    pub fn mint(&self, seal: &Seal) -> Result<Secret, SealError> {
        let body = [self.grant.bytes().as_slice(), self.tool.as_str().as_bytes()].concat();
        encode(Self::PREFIX, Purpose::Code, &body, seal)
    }

    /// Reads a code.
    ///
    /// # Errors
    /// [`CredentialError`] if this server did not mint it as a code.
    pub fn parse(text: &str, seal: &Seal) -> Result<Self, CredentialError> {
        let body = decode(Self::PREFIX, Purpose::Code, text, seal)?;
        let (grant, tool) = body.split_first_chunk::<16>().ok_or(CredentialError)?;
        Ok(Self { grant: GrantId::new(*grant), tool: tool_id(tool)? })
    }
}

impl RefreshToken {
    const PREFIX: &'static str = "npr_";

    /// The text form.
    ///
    /// # Errors
    /// [`SealError`] if there is no key to tag it with.
    pub fn mint(&self, seal: &Seal) -> Result<Secret, SealError> {
        let body =
            [self.grant.bytes().as_slice(), &self.generation.to_be_bytes(), self.tool.as_str().as_bytes()]
                .concat();
        encode(Self::PREFIX, Purpose::RefreshToken, &body, seal)
    }

    /// Reads a refresh token.
    ///
    /// # Errors
    /// [`CredentialError`] if this server did not mint it as a refresh token.
    pub fn parse(text: &str, seal: &Seal) -> Result<Self, CredentialError> {
        let body = decode(Self::PREFIX, Purpose::RefreshToken, text, seal)?;
        let (grant, rest) = body.split_first_chunk::<16>().ok_or(CredentialError)?;
        let (generation, tool) = rest.split_first_chunk::<4>().ok_or(CredentialError)?;
        Ok(Self {
            grant: GrantId::new(*grant),
            generation: u32::from_be_bytes(*generation),
            tool: tool_id(tool)?,
        })
    }
}

/// The key that `text` claims to be tagged with, if it has the form of a code or refresh token: an
/// instance that does not know the key yet looks for it before it refuses.
pub fn key_id(text: &str) -> Option<KeyId> {
    let encoded = text.strip_prefix(Code::PREFIX).or_else(|| text.strip_prefix(RefreshToken::PREFIX))?;
    // Eight characters are six bytes: the four of the id and two more.
    let head = URL_SAFE_NO_PAD.decode(encoded.get(..8)?).ok()?;
    head.first_chunk().copied()
}

fn tool_id(bytes: &[u8]) -> Result<ToolId, CredentialError> {
    std::str::from_utf8(bytes).ok().and_then(ToolId::parse).ok_or(CredentialError)
}

fn encode(prefix: &str, purpose: Purpose, body: &[u8], seal: &Seal) -> Result<Secret, SealError> {
    let (key, tag) = seal.tag(purpose, body)?;
    let mut text = prefix.to_owned();
    URL_SAFE_NO_PAD.encode_string([key.as_slice(), &tag, body].concat(), &mut text);
    Ok(Secret::new(text))
}

fn decode(prefix: &str, purpose: Purpose, text: &str, seal: &Seal) -> Result<Vec<u8>, CredentialError> {
    if text.len() > CREDENTIAL_CHARS_MAX {
        return Err(CredentialError);
    }
    let encoded = text.strip_prefix(prefix).ok_or(CredentialError)?;
    let message = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| CredentialError)?;
    let (key, rest) = message.split_first_chunk::<{ size_of::<KeyId>() }>().ok_or(CredentialError)?;
    let (tag, body) = rest.split_first_chunk::<TAG_LEN>().ok_or(CredentialError)?;
    seal.verify(purpose, *key, body, tag).map_err(|_| CredentialError)?;
    Ok(body.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::SealingKey;
    use crate::secret::SecretKey;

    fn seal(byte: u8) -> Seal {
        Seal::new(vec![SealingKey::new(&SecretKey::new([byte; 32])).unwrap()])
    }

    fn token(generation: u32) -> RefreshToken {
        let tool = ToolId::parse("app.example~abc").unwrap();
        RefreshToken { grant: GrantId::new([7; 16]), generation, tool }
    }

    #[test]
    fn a_credential_is_read_back_as_what_it_was() {
        let seal = seal(1);
        assert_eq!(RefreshToken::parse(token(3).mint(&seal).unwrap().expose(), &seal), Ok(token(3)));
        let code = Code { grant: GrantId::new([9; 16]), tool: ToolId::parse("t").unwrap() };
        assert_eq!(Code::parse(code.mint(&seal).unwrap().expose(), &seal), Ok(code));
    }

    /// REF-08: the successor does not depend on when it is computed.
    #[test]
    fn minting_twice_gives_the_same_text_and_generations_differ() {
        let seal = seal(1);
        let text = |generation| token(generation).mint(&seal).unwrap().expose().to_owned();
        assert_eq!(text(2), text(2));
        assert_ne!(text(2), text(3));
    }

    /// SECURITY, token endpoint T: a value of one kind is not taken for another.
    #[test]
    fn a_code_is_no_refresh_token_and_a_foreign_value_is_nothing() {
        let ours = seal(1);
        let code = Code { grant: GrantId::new([9; 16]), tool: ToolId::parse("t").unwrap() };
        let code = code.mint(&ours).unwrap();
        let relabelled = code.expose().replace("npc_", "npr_");
        for bad in [code.expose(), relabelled.as_str(), "", "npr_", "npr_AAAA", "npr_%", &"npr_A".repeat(99)]
        {
            assert!(RefreshToken::parse(bad, &ours).is_err(), "{bad}");
        }
        assert!(Code::parse(code.expose(), &seal(2)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_single_character_can_be_changed(position in 4_usize..90, replacement in "[A-Za-z0-9_-]") {
            let seal = seal(1);
            let text = token(1).mint(&seal).unwrap().expose().to_owned();
            let position = position.min(text.len() - 1);
            let mut changed = text.clone();
            changed.replace_range(position..=position, &replacement);
            if changed != text {
                proptest::prop_assert!(RefreshToken::parse(&changed, &seal).is_err());
            }
        }
    }
}
