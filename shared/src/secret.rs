//! Passwords and keys that come from files.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

/// The longest secret that is read.
const SECRET_BYTES_MAX: usize = 4096;

/// A secret: wiped when dropped, and never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Why a secret's file is not used.
#[derive(Debug, Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others may read or write it.
    #[error("{} is open to others (mode {mode:04o}); it is not used until `chmod 600 {}`", path.display(), path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is nothing in it, or far too much.
    #[error("{} must hold one secret of 1 to {SECRET_BYTES_MAX} bytes", path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
    },
}

impl Secret {
    /// The content of `path` without its last line end.
    ///
    /// # Errors
    /// See [`SecretError`]: a file that group or others may touch is refused.
    pub fn read(path: &Path) -> Result<Secret, SecretError> {
        let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        // Looked at through the open file: the name may point elsewhere a moment later.
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SecretError::TooOpen { path: path.to_owned(), mode });
        }
        // Room for all of it at once: a vector that grows leaves copies behind that nobody wipes.
        let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 3));
        file.take(SECRET_BYTES_MAX as u64 + 3).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.ends_with(b"\n") {
            bytes.pop();
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        }
        if bytes.is_empty() || bytes.len() > SECRET_BYTES_MAX {
            return Err(SecretError::WrongSize { path: path.to_owned() });
        }
        Ok(Secret(bytes))
    }

    /// A secret from memory.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Secret {
        Secret(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes, for the one place that needs them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_secret_loses_its_line_end_and_never_shows_itself() {
        let (_folder, path) = file(b"pass word \r\n", 0o600);
        let secret = Secret::read(&path).unwrap();
        assert_eq!(secret.bytes(), b"pass word ");
        assert!(!format!("{secret:?}").contains("pass"));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let (_folder, path) = file(b"x", 0o640);
        let error = Secret::read(&path).unwrap_err();
        assert!(matches!(error, SecretError::TooOpen { mode: 0o640, .. }), "{error:?}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn an_empty_and_an_overlong_file_are_refused() {
        for content in [&b"\n"[..], &[b'x'; SECRET_BYTES_MAX + 1], &[b'x'; 100_000]] {
            let (_folder, path) = file(content, 0o400);
            assert!(matches!(Secret::read(&path), Err(SecretError::WrongSize { .. })), "{} bytes", content.len());
        }
        let (_folder, path) = file(&[b'x'; SECRET_BYTES_MAX], 0o400);
        assert_eq!(Secret::read(&path).unwrap().bytes().len(), SECRET_BYTES_MAX);
    }
}
