//! Secrets come from files that only their owner can read, and stay out of every output. This is their one reader.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

/// Longest secret that is read: a private key in PEM has under 4 KiB.
const SECRET_BYTES_MAX: usize = 16 * 1024;

/// Secret bytes: wiped from memory when dropped, never shown by `Debug`.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Reads a secret's file; line ends behind it are taken off.
    ///
    /// # Errors
    /// The file cannot be read, is empty or too long, or someone else than its owner (this user or root) can get at it.
    pub fn read(path: &Path) -> Result<Secret, SecretError> {
        Secret::read_if(path, judge)
    }

    /// For what must not fail for its secret, a stop above all. One that others can only read is as good as before; one
    /// that they could have written is not. What is wrong is told in both cases.
    #[must_use]
    pub fn read_if_usable(path: &Path) -> (Option<Secret>, Option<SecretError>) {
        let mut seen = None;
        let read = Secret::read_if(path, |path, metadata| match judge(path, metadata) {
            Err(error @ SecretError::Mode { mode, .. }) if mode & 0o022 == 0 => {
                seen = Some(error);
                Ok(())
            }
            judged => judged,
        });
        match read {
            Ok(secret) => (Some(secret), seen),
            Err(error) => (None, Some(error)),
        }
    }

    /// A secret from memory.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Secret {
        Secret(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes. Whoever asks takes care that they are not kept or shown.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, if they are UTF-8.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    fn read_if(
        path: &Path,
        judge: impl FnOnce(&Path, &Metadata) -> Result<(), SecretError>,
    ) -> Result<Secret, SecretError> {
        let read_error = |source| SecretError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read_error)?;
        // Asked of the open file, so that nobody changes it between the question and the reading.
        judge(path, &file.metadata().map_err(read_error)?)?;
        // Room for everything at once: a buffer that grows leaves copies behind that nobody wipes.
        let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 1));
        file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(read_error)?;
        let read = bytes.len();
        if read <= SECRET_BYTES_MAX {
            while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                bytes.pop();
            }
        }
        if bytes.is_empty() || read > SECRET_BYTES_MAX {
            return Err(SecretError::Size { path: path.to_owned(), bytes: read });
        }
        Ok(Secret(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// Why a secret was not taken.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the secret file {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Others than the owner can read or write it.
    #[error("the secret file {} can be read by others (mode {mode:04o}): run `chmod 600 {}`", path.display(), path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user owns it, and could change it.
    #[error(
        "the secret file {} belongs to user {owner}, and this program runs as user {user}: run `chown {user} {}`",
        path.display(), path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
        /// The number of the user that this program runs as.
        user: u32,
    },
    /// It is a folder, a device or the like.
    #[error("{} is no plain file", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// It holds nothing, or far too much.
    #[error("the secret file {} holds {bytes} bytes; 1 to {SECRET_BYTES_MAX} are expected", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// What it holds, up to one byte over the limit.
        bytes: usize,
    },
    /// The pair key is not what `failoverctl init` writes.
    #[error("the pair key {} is not 64 or more hexadecimal digits: make one with `failoverctl init`", path.display())]
    PairKey {
        /// The file.
        path: PathBuf,
    },
}

/// Whether a secret file is safe from others, by what the system tells of it.
pub(crate) fn judge(path: &Path, metadata: &Metadata) -> Result<(), SecretError> {
    let path = path.to_owned();
    if !metadata.is_file() {
        return Err(SecretError::NoFile { path });
    }
    let user = nix::unistd::geteuid().as_raw();
    let owner = metadata.uid();
    if owner != user && owner != 0 {
        return Err(SecretError::Owner { path, owner, user });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Mode { path, mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("canary.pass");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn a_secret_is_read_without_its_line_end_and_never_shown() {
        let (_dir, path) = file(b"s3cret \r\n", 0o600);
        let secret = Secret::read(&path).unwrap();
        assert_eq!(secret.expose(), b"s3cret ");
        assert_eq!(format!("{secret:?}"), "Secret(not shown)");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
        for mode in [0o640, 0o604, 0o620, 0o644, 0o601] {
            let (_dir, path) = file(b"s3cret\n", mode);
            let error = Secret::read(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600") && !error.contains("s3cret"), "{mode:o}: {error}");
        }
    }

    #[test]
    fn empty_huge_and_missing_secrets_are_refused() {
        let (_dir, path) = file(b"\n\n", 0o600);
        assert!(matches!(Secret::read(&path), Err(SecretError::Size { bytes: 2, .. })));
        let (_dir, path) = file(&[b'x'; SECRET_BYTES_MAX + 1], 0o400);
        assert!(matches!(Secret::read(&path), Err(SecretError::Size { .. })));
        let (dir, _path) = file(b"", 0o600);
        assert!(matches!(Secret::read(&dir.path().join("none")), Err(SecretError::Read { .. })));
        assert!(matches!(Secret::read(dir.path()), Err(SecretError::NoFile { .. })));
    }

    #[test]
    fn what_must_not_fail_takes_a_secret_that_others_can_read_and_none_that_they_could_have_written() {
        for (mode, taken, told) in
            [(0o600, true, false), (0o644, true, true), (0o640, true, true), (0o622, false, true)]
        {
            let (_dir, path) = file(b"s3cret\n", mode);
            let (secret, wrong) = Secret::read_if_usable(&path);
            assert_eq!(secret.is_some_and(|secret| secret.expose() == b"s3cret"), taken, "{mode:o}");
            assert_eq!(wrong.is_some_and(|wrong| wrong.to_string().contains("chmod 600")), told, "{mode:o}");
        }
        let (dir, _path) = file(b"", 0o600);
        let (secret, wrong) = Secret::read_if_usable(&dir.path().join("none"));
        assert!(secret.is_none() && matches!(wrong, Some(SecretError::Read { .. })), "{wrong:?}");
    }
}
