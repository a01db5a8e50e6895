//! The wrapping key of a laptop: a private file beside the data, where production has KMS.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use shared::jose::{KeyWrap, WrapContext, WrapError, Wrapping};
use shared::random::{Random, RandomError};
use shared::secret::SecretKey;

/// Length of the wrapping key in bytes.
const KEY_LEN: usize = 32;

/// Wraps key material with a key of this process or of a file.
#[derive(Debug)]
pub struct LocalKeyWrap(RandomizedNonceKey);

/// The wrapping key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Others can read it.
    #[error("others can read the key file {}; run `chmod 600` on it", .0.display())]
    NotPrivate(PathBuf),
    /// Not made by us, or cut short.
    #[error("the key file {} is damaged", .0.display())]
    Damaged(PathBuf),
    /// No random bytes for a new one.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The system said no.
    #[error("the key file {}: {source}", .path.display())]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl LocalKeyWrap {
    /// A key that lives as long as this process, for data that does the same.
    ///
    /// # Errors
    /// [`KeyFileError::Random`] if there are no random bytes.
    pub fn in_memory(random: &dyn Random) -> Result<Self, KeyFileError> {
        Self::new(&SecretKey::new(random.bytes()?))
    }

    /// The key in the file at `path`, which is made with mode 0600 if it is not there.
    ///
    /// # Errors
    /// [`KeyFileError`] if it cannot be made or read, or if others can read it.
    pub fn in_file(path: &Path, random: &dyn Random) -> Result<Self, KeyFileError> {
        let io = |source| KeyFileError::Io { path: path.to_owned(), source };
        let mut create = OpenOptions::new();
        create.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut create, 0o600);
        match create.open(path) {
            Ok(mut file) => {
                let key: [u8; KEY_LEN] = random.bytes()?;
                file.write_all(&key).and_then(|()| file.sync_all()).map_err(io)?;
                Self::new(&SecretKey::new(key))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::new(&SecretKey::new(read_key(path)?))
            }
            Err(source) => Err(io(source)),
        }
    }

    fn new(key: &SecretKey) -> Result<Self, KeyFileError> {
        // The length is right by type, so only an exhausted system refuses it.
        RandomizedNonceKey::new(&AES_256_GCM, key.expose()).map(Self).map_err(|_| RandomError.into())
    }

    fn wrap_now(&self, material: &[u8], context: &str) -> Result<Vec<u8>, WrapError> {
        let mut sealed = material.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(context), &mut sealed)
            .map_err(|_| WrapError::Unavailable)?;
        let mut wrapped = nonce.as_ref().to_vec();
        wrapped.append(&mut sealed);
        Ok(wrapped)
    }

    fn unwrap_now(&self, wrapped: &[u8], context: &str) -> Result<Vec<u8>, WrapError> {
        let (nonce, sealed) = wrapped.split_at_checked(NONCE_LEN).ok_or(WrapError::Refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| WrapError::Refused)?;
        let mut sealed = sealed.to_vec();
        let material =
            self.0.open_in_place(nonce, Aad::from(context), &mut sealed).map_err(|_| WrapError::Refused)?;
        Ok(material.to_vec())
    }
}

fn read_key(path: &Path) -> Result<[u8; KEY_LEN], KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().map_err(io)?.permissions());
        if mode & 0o077 != 0 {
            return Err(KeyFileError::NotPrivate(path.to_owned()));
        }
    }
    let mut content = Vec::new();
    file.take(KEY_LEN as u64 + 1).read_to_end(&mut content).map_err(io)?;
    content.try_into().map_err(|_| KeyFileError::Damaged(path.to_owned()))
}

impl KeyWrap for LocalKeyWrap {
    fn wrap<'a>(&'a self, material: &'a [u8], context: WrapContext<'a>) -> Wrapping<'a> {
        Box::pin(async move { self.wrap_now(material, &context.to_string()) })
    }

    fn unwrap<'a>(&'a self, wrapped: &'a [u8], context: WrapContext<'a>) -> Wrapping<'a> {
        Box::pin(async move { self.unwrap_now(wrapped, &context.to_string()) })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use shared::random::OsRandom;

    use super::*;
    use crate::testing::Folder;

    #[test]
    fn what_one_start_wraps_the_next_unwraps_in_the_same_context_only() {
        let folder = Folder::new();
        let path = folder.path().join("data.key");
        let first = LocalKeyWrap::in_file(&path, &OsRandom).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let wrapped = first.wrap_now(b"material", "https://a.example kid").unwrap();
        assert_ne!(wrapped, first.wrap_now(b"material", "https://a.example kid").unwrap());

        let second = LocalKeyWrap::in_file(&path, &OsRandom).unwrap();
        assert_eq!(second.unwrap_now(&wrapped, "https://a.example kid").unwrap(), b"material");
        assert_eq!(second.unwrap_now(&wrapped, "https://b.example kid"), Err(WrapError::Refused));
        let mut bent = wrapped.clone();
        *bent.last_mut().unwrap() ^= 1;
        assert_eq!(second.unwrap_now(&bent, "https://a.example kid"), Err(WrapError::Refused));
        for length in 0..wrapped.len() {
            let cut = &wrapped[..length];
            assert_eq!(second.unwrap_now(cut, "https://a.example kid"), Err(WrapError::Refused));
        }

        let other = LocalKeyWrap::in_memory(&OsRandom).unwrap();
        assert_eq!(other.unwrap_now(&wrapped, "https://a.example kid"), Err(WrapError::Refused));
    }

    #[test]
    fn a_key_file_that_others_can_read_or_that_is_damaged_is_refused() {
        let folder = Folder::new();
        let path = folder.path().join("data.key");
        LocalKeyWrap::in_file(&path, &OsRandom).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = LocalKeyWrap::in_file(&path, &OsRandom).unwrap_err();
        assert!(matches!(refused, KeyFileError::NotPrivate(_)), "{refused}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for content in [vec![], vec![0; KEY_LEN - 1], vec![0; KEY_LEN + 1]] {
            fs::write(&path, content).unwrap();
            let refused = LocalKeyWrap::in_file(&path, &OsRandom).unwrap_err();
            assert!(matches!(refused, KeyFileError::Damaged(_)), "{refused}");
        }
    }
}
