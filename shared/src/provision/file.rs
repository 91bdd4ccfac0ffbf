//! New files, and never an old one overwritten.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a key, a certificate or a first configuration was not made.
#[derive(Debug, Error)]
pub enum ProvisionError {
    /// The file is there already. It is left as it is: a new key would lock the other host out.
    #[error("{} is there already and was left as it is; move it away first if it is to be made anew", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be written.
    #[error("{} could not be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// OpenSSL refused.
    #[error("the certificate of {host} could not be made: {source}")]
    OpenSsl {
        /// The host it was for.
        host: String,
        /// OpenSSL's answer.
        source: openssl::error::ErrorStack,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// The host's name cannot stand in a file name and a certificate.
    #[error("{0:?} cannot be used as a host's name: letters, digits, `.`, `-` and `_` only, at most 63")]
    HostName(String),
    /// The answers make no configuration. Holds the problems as they are printed.
    #[error("the answers make no configuration that can be used:\n{0}")]
    Answers(String),
}

/// Writes a file of mode 0600 that must not be there yet, and brings it to the disk. A file that could not be written
/// whole is taken away again.
pub(super) fn create(path: &Path, content: &[u8]) -> Result<(), ProvisionError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => ProvisionError::Exists { path: path.to_owned() },
        _ => ProvisionError::Write { path: path.to_owned(), source },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    if let Err(error) = file.write_all(content).and_then(|()| file.sync_all()) {
        // Best effort: the first error is the one to tell.
        let _ = std::fs::remove_file(path);
        return Err(failed(error));
    }
    Ok(())
}
