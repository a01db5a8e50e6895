//! The data file of `--data`, and what lies beside it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A data file that only this user can read and only this process uses.
///
/// Dropping it lets the next process in.
#[derive(Debug)]
pub struct DataFile {
    path: PathBuf,
    // Held, never read. A file of its own: `SQLite` keeps POSIX locks on the data file, and closing any
    // descriptor of that file would drop them.
    _lock: File,
}

/// A data file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataFileError {
    /// Another process has it.
    #[error("--data {} is already in use by another process", .0.display())]
    InUse(PathBuf),
    /// It holds grants; nobody else may read them.
    #[error("--data {}: others can read {}; run `chmod 600` on it", .data.display(), .open.display())]
    NotPrivate {
        /// What was asked for.
        data: PathBuf,
        /// The file with the loose mode.
        open: PathBuf,
    },
    /// A folder, a device, or a symbolic link.
    #[error("--data {} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The name is not text, which the embedded database needs.
    #[error("--data {} is not valid UTF-8", .0.display())]
    Name(PathBuf),
    /// The system said no.
    #[error("--data {}: {source}", .path.display())]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DataFile {
    /// Opens `path`, or makes it with mode 0600.
    ///
    /// # Errors
    /// [`DataFileError`], whose text names the switch and the reason in one line.
    pub fn open(path: &Path) -> Result<Self, DataFileError> {
        let lock = private_file(path, &beside(path, ".lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => DataFileError::InUse(path.to_owned()),
            TryLockError::Error(source) => DataFileError::Io { path: path.to_owned(), source },
        })?;
        if path.to_str().is_none() {
            return Err(DataFileError::Name(path.to_owned()));
        }
        private_file(path, path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The file itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that holds the wrapping key: apart from the data, as KMS is apart from DynamoDB.
    pub fn key_path(&self) -> PathBuf {
        beside(&self.path, ".key")
    }

    /// Where the administrator's key pair is kept.
    pub fn admin_key_path(&self) -> PathBuf {
        beside(&self.path, ".admin")
    }
}

/// The administrator's key pair beside the wrapping key of a database that several processes share.
pub fn admin_key_beside(key_file: &Path) -> PathBuf {
    beside(key_file, ".admin")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens `path`, made with mode 0600 if it was not there, and refuses it if others can read or write it.
fn private_file(data: &Path, path: &Path) -> Result<File, DataFileError> {
    let io = |source| DataFileError::Io { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(DataFileError::NotAFile(path.to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(io(source)),
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(io)?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().map_err(io)?.permissions());
        if mode & 0o077 != 0 {
            return Err(DataFileError::NotPrivate { data: data.to_owned(), open: path.to_owned() });
        }
    }
    Ok(file)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_new_data_file_is_private_and_a_second_process_is_told_that_it_is_in_use() {
        let folder = Folder::new();
        let path = folder.path().join("nameplate.db");
        let first = DataFile::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = DataFile::open(&path).unwrap_err();
        assert!(matches!(refused, DataFileError::InUse(_)), "{refused}");
        drop(first);
        DataFile::open(&path).unwrap();
    }

    #[test]
    fn a_data_file_that_others_can_read_is_refused() {
        let folder = Folder::new();
        let path = folder.path().join("nameplate.db");
        fs::write(&path, "").unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = DataFile::open(&path).unwrap_err();
            assert!(matches!(refused, DataFileError::NotPrivate { .. }), "{mode:o}: {refused}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        DataFile::open(&path).unwrap();
    }

    #[test]
    fn a_folder_a_link_and_a_missing_folder_are_refused() {
        let folder = Folder::new();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        for path in [folder.path(), &link] {
            assert!(matches!(DataFile::open(path).unwrap_err(), DataFileError::NotAFile(_)), "{path:?}");
        }
        let missing = folder.path().join("no/such/folder/nameplate.db");
        assert!(matches!(DataFile::open(&missing).unwrap_err(), DataFileError::Io { .. }));
    }

    #[test]
    fn the_wrapping_key_lies_beside_the_data() {
        let folder = Folder::new();
        let data = DataFile::open(&folder.path().join("nameplate.db")).unwrap();
        assert_eq!(data.key_path(), folder.path().join("nameplate.db.key"));
    }
}
