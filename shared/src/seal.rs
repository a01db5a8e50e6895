//! Sealing and tagging: state that a browser or a client keeps for us and must neither read nor alter.
//!
//! One master key per [`SealingKey`]; every [`Purpose`] works with a key of its own derived from it, so
//! that nothing sealed for one purpose can be presented for another.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::random::{Random, RandomError};
use crate::secret::SecretKey;

/// What a sealed value or a tag is for. The label enters key derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The state of one authorization flow, kept in a cookie of the browser that began it.
    Flow,
    /// A signed-in person's session, kept in a cookie.
    Session,
    /// A form of ours: what was shown to whom, handed back with the answer.
    Form,
    /// Authorization codes.
    Code,
    /// Refresh tokens.
    RefreshToken,
    /// Client secrets of dynamic registrations.
    ClientSecret,
    /// Pushed authorization requests.
    PushedRequest,
    /// Page cursors and other pointers that a caller hands back.
    Cursor,
}

impl Purpose {
    const ALL: [Self; 8] = [
        Self::Flow,
        Self::Session,
        Self::Form,
        Self::Code,
        Self::RefreshToken,
        Self::ClientSecret,
        Self::Cursor,
        Self::PushedRequest,
    ];

    const fn label(self) -> &'static [u8] {
        match self {
            Self::Flow => b"nameplate flow v1",
            Self::Session => b"nameplate session v1",
            Self::Form => b"nameplate form v1",
            Self::Code => b"nameplate code v1",
            Self::RefreshToken => b"nameplate refresh token v1",
            Self::ClientSecret => b"nameplate client secret v1",
            Self::Cursor => b"nameplate cursor v1",
            Self::PushedRequest => b"nameplate pushed request v1",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Flow => 0,
            Self::Session => 1,
            Self::Form => 2,
            Self::Code => 3,
            Self::RefreshToken => 4,
            Self::ClientSecret => 5,
            Self::Cursor => 6,
            Self::PushedRequest => 7,
        }
    }
}

/// Names a sealing key inside what it sealed.
pub type KeyId = [u8; 4];

/// Length of a tag in bytes (HMAC-SHA-256).
pub const TAG_LEN: usize = 32;

/// The value was not sealed or tagged by us for this purpose, or by a key that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not sealed by this server for this purpose")]
pub struct Unsealable;

/// Sealing failed; nothing was produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No nonce could be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// There is no sealing key, or the cipher refused.
    #[error("no usable sealing key")]
    Key,
}

struct Derived {
    aead: LessSafeKey,
    mac: hmac::Key,
}

/// One generation of the sealing key with everything derived from it.
pub struct SealingKey {
    id: KeyId,
    derived: Vec<Derived>,
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SealingKey {
    /// Derives the keys of every purpose from `master`.
    ///
    /// # Errors
    /// [`SealError::Key`] if the cipher refuses the derived material, which no input can cause.
    pub fn new(master: &SecretKey) -> Result<Self, SealError> {
        let prf = hmac::Key::new(hmac::HMAC_SHA256, master.expose());
        let id_digest = hmac::sign(&prf, b"nameplate key id v1");
        let mut id = KeyId::default();
        id.iter_mut().zip(id_digest.as_ref()).for_each(|(to, from)| *to = *from);
        let derive = |kind: &[u8], purpose: Purpose| {
            let mut context = hmac::Context::with_key(&prf);
            context.update(kind);
            context.update(purpose.label());
            context.sign()
        };
        let derived = Purpose::ALL
            .into_iter()
            .map(|purpose| {
                let aead = UnboundKey::new(&AES_256_GCM, derive(b"aead ", purpose).as_ref())
                    .map_err(|_| SealError::Key)?;
                let mac = hmac::Key::new(hmac::HMAC_SHA256, derive(b"mac ", purpose).as_ref());
                Ok(Derived { aead: LessSafeKey::new(aead), mac })
            })
            .collect::<Result<_, SealError>>()?;
        Ok(Self { id, derived })
    }

    fn of(&self, purpose: Purpose) -> Result<&Derived, SealError> {
        self.derived.get(purpose.index()).ok_or(SealError::Key)
    }
}

/// The sealing keys in force: the first one seals, all of them open.
#[derive(Debug, Default)]
pub struct Seal {
    keys: Vec<Arc<SealingKey>>,
}

impl Seal {
    /// A seal with the key in use first, then earlier ones that are still honoured.
    pub fn new(keys: impl IntoIterator<Item = impl Into<Arc<SealingKey>>>) -> Self {
        Self { keys: keys.into_iter().map(Into::into).collect() }
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the key `id` is among the keys.
    pub fn knows(&self, id: KeyId) -> bool {
        self.key(id).is_ok()
    }

    /// Encrypts and authenticates `plaintext`; the result is base64url text.
    ///
    /// # Errors
    /// [`SealError`] if there is no key or no randomness; nothing is produced then.
    pub fn seal(&self, purpose: Purpose, plaintext: &[u8], random: &dyn Random) -> Result<String, SealError> {
        let key = self.keys.first().ok_or(SealError::Key)?;
        let nonce: [u8; NONCE_LEN] = random.bytes()?;
        let mut sealed = plaintext.to_vec();
        key.of(purpose)?
            .aead
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.label()),
                &mut sealed,
            )
            .map_err(|_| SealError::Key)?;
        let mut message = Vec::with_capacity(key.id.len() + nonce.len() + sealed.len());
        message.extend_from_slice(&key.id);
        message.extend_from_slice(&nonce);
        message.extend_from_slice(&sealed);
        Ok(URL_SAFE_NO_PAD.encode(message))
    }

    /// Opens what [`Self::seal`] made for the same purpose.
    ///
    /// # Errors
    /// [`Unsealable`] for anything else, without saying why.
    pub fn open(&self, purpose: Purpose, sealed: &str) -> Result<Vec<u8>, Unsealable> {
        let message = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unsealable)?;
        let (id, rest) = message.split_first_chunk::<4>().ok_or(Unsealable)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unsealable)?;
        let key = self.key(*id)?.of(purpose).map_err(|_| Unsealable)?;
        let mut buffer = ciphertext.to_vec();
        let length = key
            .aead
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(purpose.label()), &mut buffer)
            .map_err(|_| Unsealable)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Authenticates `message` without hiding it.
    ///
    /// # Errors
    /// [`SealError::Key`] if there is no key.
    pub fn tag(&self, purpose: Purpose, message: &[u8]) -> Result<(KeyId, [u8; TAG_LEN]), SealError> {
        let key = self.keys.first().ok_or(SealError::Key)?;
        let tag = hmac::sign(&key.of(purpose)?.mac, message);
        Ok((key.id, tag.as_ref().try_into().map_err(|_| SealError::Key)?))
    }

    /// Checks a tag made by [`Self::tag`], in constant time.
    ///
    /// # Errors
    /// [`Unsealable`] if the tag is not ours.
    pub fn verify(&self, purpose: Purpose, key: KeyId, message: &[u8], tag: &[u8]) -> Result<(), Unsealable> {
        let key = self.key(key)?.of(purpose).map_err(|_| Unsealable)?;
        hmac::verify(&key.mac, message, tag).map_err(|_| Unsealable)
    }

    fn key(&self, id: KeyId) -> Result<&SealingKey, Unsealable> {
        self.keys.iter().map(AsRef::as_ref).find(|key: &&SealingKey| key.id == id).ok_or(Unsealable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;

    fn key(byte: u8) -> SealingKey {
        SealingKey::new(&SecretKey::new([byte; 32])).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_for_the_same_purpose_only() {
        let seal = Seal::new(vec![key(1)]);
        let sealed = seal.seal(Purpose::Flow, b"state", &OsRandom).unwrap();
        assert_eq!(seal.open(Purpose::Flow, &sealed).unwrap(), b"state");
        assert_eq!(seal.open(Purpose::Session, &sealed), Err(Unsealable));
    }

    #[test]
    fn altered_truncated_and_foreign_values_do_not_open() {
        let seal = Seal::new(vec![key(1)]);
        let sealed = seal.seal(Purpose::Form, b"state", &OsRandom).unwrap();
        let mut altered = sealed.clone().into_bytes();
        let last = altered.len() - 3;
        altered[last] = if altered[last] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        for bad in [altered.as_str(), &sealed[..10], "", "%%%"] {
            assert_eq!(seal.open(Purpose::Form, bad), Err(Unsealable), "{bad}");
        }
        assert_eq!(Seal::new(vec![key(2)]).open(Purpose::Form, &sealed), Err(Unsealable));
    }

    #[test]
    fn an_earlier_key_still_opens_and_the_first_one_seals() {
        let before = Seal::new(vec![key(1)]);
        let after = Seal::new(vec![key(2), key(1)]);
        let old = before.seal(Purpose::Flow, b"old", &OsRandom).unwrap();
        assert_eq!(after.open(Purpose::Flow, &old).unwrap(), b"old");
        let new = after.seal(Purpose::Flow, b"new", &OsRandom).unwrap();
        assert_eq!(before.open(Purpose::Flow, &new), Err(Unsealable));
    }

    #[test]
    fn a_tag_holds_for_its_message_key_and_purpose() {
        let seal = Seal::new(vec![key(1)]);
        let (id, tag) = seal.tag(Purpose::Code, b"grant").unwrap();
        assert!(seal.verify(Purpose::Code, id, b"grant", &tag).is_ok());
        assert!(seal.verify(Purpose::RefreshToken, id, b"grant", &tag).is_err());
        assert!(seal.verify(Purpose::Code, id, b"other", &tag).is_err());
        assert!(seal.verify(Purpose::Code, [0; 4], b"grant", &tag).is_err());
    }
}
