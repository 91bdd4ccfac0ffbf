//! Makes an empty folder the lease store of a pair. Done once, by a person: a daemon that made the marker by itself would
//! take an unmounted folder for a new store, on both hosts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::block::{self, Block};
use super::name::Names;
use super::record::{MARKER_FILE, MARKER_KIND, MARKER_VERSION, Marker, StoreId};

/// Why a folder did not become a lease store.
#[derive(Debug, Error)]
pub enum InitialiseError {
    /// The marker is there.
    #[error("{} is a lease store already ({MARKER_FILE} is there) and was left as it is", path.display())]
    AlreadyThere {
        /// The folder.
        path: PathBuf,
    },
    /// Claims or slots lie there without a marker.
    #[error(
        "{} holds claims or slots and no {MARKER_FILE}: a lease store whose marker was removed; if no service of the pair \
         runs and both daemons are stopped, remove its files (claim.*, slot.*, unfinished.*) and try again",
        path.display()
    )]
    LeftOver {
        /// The folder.
        path: PathBuf,
    },
    /// The pair's name does not fit into the marker.
    #[error("the pair's name is too long for the marker")]
    NameTooLong,
    /// No random numbers.
    #[error("the kernel gave no random numbers: {0}")]
    Random(#[source] getrandom::Error),
    /// The folder cannot be read or written.
    #[error("{} cannot be made a lease store: is it mounted, and writable?", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Makes the folder at `path`, which must be there and hold no store yet, the lease store of the pair called `pair`.
///
/// # Errors
/// See [`InitialiseError`]. Nothing that was there is changed.
pub fn initialise(path: &Path, pair: &str) -> Result<StoreId, InitialiseError> {
    let failed = |source| InitialiseError::Io { path: path.to_owned(), source };
    let names = Names::read(path).map_err(failed)?;
    if path.join(MARKER_FILE).try_exists().map_err(failed)? {
        return Err(InitialiseError::AlreadyThere { path: path.to_owned() });
    }
    if !names.claims.is_empty() || names.slots.values().any(|files| !files.is_empty()) {
        return Err(InitialiseError::LeftOver { path: path.to_owned() });
    }
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(InitialiseError::Random)?;
    let id = StoreId(u128::from_le_bytes(bytes));
    let marker = Marker { pair: pair.to_owned(), id, version: MARKER_VERSION };
    let block = Block::of(MARKER_KIND, &marker).ok_or(InitialiseError::NameTooLong)?;
    let unfinished = path.join(format!("{MARKER_FILE}.{id}"));
    let made = block::create(&unfinished, &[block])
        // Not a rename: that would replace a marker that the other host makes at this moment.
        .and_then(|()| fs::hard_link(&unfinished, path.join(MARKER_FILE)));
    // What it could not become, it need not stay.
    let _ = fs::remove_file(&unfinished);
    made.and_then(|()| block::sync_folder(path)).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => InitialiseError::AlreadyThere { path: path.to_owned() },
        _ => failed(error),
    })?;
    Ok(id)
}
