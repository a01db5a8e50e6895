//! Client secrets that are verified without being stored: one registration serves any number of
//! installations, each with a secret of its own.
//!
//! Whoever registers the same software gets a secret as well, so a secret proves no more than that somebody
//! registered. Policy treats such clients as public ones (`docs/registration.md`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::id::ClientId;
use crate::clock::Timestamp;
use crate::random::Random;
use crate::seal::{KeyId, Purpose, Seal, SealError, TAG_LEN};
use crate::secret::Secret;

const NONCE_LEN: usize = 16;
const EXPIRY_LEN: usize = 8;
const KEY_ID_LEN: usize = size_of::<KeyId>();
const LEN: usize = KEY_ID_LEN + NONCE_LEN + EXPIRY_LEN + TAG_LEN;

/// The presented secret is not one of this registration, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DerivedSecretError {
    /// Not made by us for this client in this epoch.
    #[error("the client secret is wrong")]
    Wrong,
    /// Its time is over.
    #[error("the client secret has expired")]
    Expired,
}

/// Makes a secret for `client_id` that works until `expires_at`, or until the registration's `epoch` is
/// raised. Base64url, so it needs no encoding in a header or a form.
///
/// # Errors
/// [`SealError`] if there is no key or no randomness.
pub fn issue(
    client_id: &ClientId,
    epoch: u32,
    expires_at: Timestamp,
    seal: &Seal,
    random: &dyn Random,
) -> Result<Secret, SealError> {
    let nonce: [u8; NONCE_LEN] = random.bytes()?;
    let expiry = expires_at.epoch_seconds().to_be_bytes();
    let (key, tag) = seal.tag(Purpose::ClientSecret, &message(client_id, epoch, &nonce, expiry))?;
    let mut secret = Vec::with_capacity(LEN);
    secret.extend_from_slice(&key);
    secret.extend_from_slice(&nonce);
    secret.extend_from_slice(&expiry);
    secret.extend_from_slice(&tag);
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(secret)))
}

/// Verifies a secret that was presented for `client_id`, whose registration is in `epoch`.
///
/// # Errors
/// [`DerivedSecretError`].
pub fn verify(
    client_id: &ClientId,
    epoch: u32,
    presented: &str,
    seal: &Seal,
    now: Timestamp,
) -> Result<(), DerivedSecretError> {
    let secret = URL_SAFE_NO_PAD.decode(presented).map_err(|_| DerivedSecretError::Wrong)?;
    let parts = || {
        let (key, rest) = secret.split_first_chunk::<KEY_ID_LEN>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (expiry, tag) = rest.split_first_chunk::<EXPIRY_LEN>()?;
        Some((*key, nonce, *expiry, tag))
    };
    let (key, nonce, expiry, tag) = parts().ok_or(DerivedSecretError::Wrong)?;
    seal.verify(Purpose::ClientSecret, key, &message(client_id, epoch, nonce, expiry), tag)
        .map_err(|_| DerivedSecretError::Wrong)?;
    if now >= Timestamp::from_epoch_seconds(u64::from_be_bytes(expiry)) {
        return Err(DerivedSecretError::Expired);
    }
    Ok(())
}

/// The sealing key that a secret was made with, to be looked for if it is not at hand.
pub fn key_of(presented: &str) -> Option<KeyId> {
    URL_SAFE_NO_PAD.decode(presented).ok()?.first_chunk::<KEY_ID_LEN>().copied()
}

/// Everything before the identifier has a fixed length, so that no two messages read the same.
fn message(client_id: &ClientId, epoch: u32, nonce: &[u8; NONCE_LEN], expiry: [u8; EXPIRY_LEN]) -> Vec<u8> {
    [epoch.to_be_bytes().as_slice(), nonce, &expiry, client_id.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;
    use crate::seal::SealingKey;
    use crate::secret::SecretKey;

    fn seal(byte: u8) -> Seal {
        Seal::new(vec![SealingKey::new(&SecretKey::new([byte; 32])).unwrap()])
    }

    /// REG-02: a secret holds for its client, epoch, and time, and for nothing else.
    #[test]
    fn a_secret_holds_for_its_client_epoch_and_time() {
        let seal = seal(1);
        let id = |text: &str| ClientId::parse(text).unwrap();
        let at = Timestamp::from_epoch_seconds;
        let make = || issue(&id("dyn~a"), 3, at(1000), &seal, &OsRandom).unwrap();
        let (first, second) = (make(), make());
        assert_ne!(first.expose(), second.expose());
        let check =
            |client: &str, epoch, secret: &str, now| verify(&id(client), epoch, secret, &seal, at(now));
        for secret in [&first, &second] {
            let text = secret.expose();
            assert!(
                text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte)),
                "{text}"
            );
            assert_eq!(check("dyn~a", 3, text, 999), Ok(()));
            assert_eq!(check("dyn~a", 3, text, 1000), Err(DerivedSecretError::Expired));
            assert_eq!(check("dyn~a", 4, text, 999), Err(DerivedSecretError::Wrong));
            assert_eq!(check("dyn~b", 3, text, 999), Err(DerivedSecretError::Wrong));
        }
        let altered: String = first.expose().chars().rev().collect();
        for wrong in ["", "secret", &first.expose()[..40], altered.as_str()] {
            assert_eq!(check("dyn~a", 3, wrong, 999), Err(DerivedSecretError::Wrong), "{wrong}");
        }
        let other = super::tests::seal(2);
        assert!(verify(&id("dyn~a"), 3, first.expose(), &other, at(1)).is_err());
    }
}
