//! The host's memory: one small record in a file of two slots, overwritten in turn.
//!
//! Both slots are allocated when the file is made, so a record can be written when the disk is full. A power cut tears
//! at most the slot that was being written; the other one still holds the record before. A record that was being
//! written had been promised to nobody: the caller acts only after [`Store::write`] has returned.
//!
//! The file is text: `cat` shows both records.

mod slot;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::failpoint::failpoint;

pub use slot::RECORD_BYTES_MAX;
use slot::{SLOT_BYTES, Slot};

const SLOTS: u64 = 2;
const FILE_BYTES: usize = SLOT_BYTES * SLOTS as usize;
/// Another writer holds the lock for one durable write. One that was frozen in the middle of it holds it longer: then
/// this program must not write at all.
const LOCK_LIMIT: Duration = Duration::from_secs(5);

/// The open file. One handle may write; it notices when another program has written in between.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
    host: String,
    pair: String,
    /// The newest sequence that this handle has read or written; zero before the first.
    sequence: u64,
    /// A sync has failed. The kernel may then have dropped the data and yet report later syncs as done.
    failed: bool,
    #[cfg(test)]
    sync_fails: bool,
}

/// What was in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded<T> {
    /// No record was ever written: this host remembers nothing.
    Fresh,
    /// The newest whole record.
    Valid(T),
    /// Something is there and cannot be trusted. This host remembers nothing, and knows that it did.
    Torn {
        /// What is wrong with each slot.
        detail: String,
    },
    /// The record of another host or pair: a copied disk, or a changed name.
    OfAnotherHost {
        /// The host that wrote it.
        host: String,
        /// The pair it belongs to.
        pair: String,
    },
}

/// Why a record could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file cannot be opened or made.
    #[error("the state file {} cannot be opened", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Its content cannot be read.
    #[error("the state file cannot be read")]
    Read(#[source] io::Error),
    /// Not written. The record before is still there.
    #[error("the state cannot be written")]
    Write(#[source] io::Error),
    /// Written, and not known to be on the disk. This handle writes nothing more.
    #[error("the state may not have reached the disk; the daemon must be restarted to write it again")]
    Sync(#[source] io::Error),
    /// An earlier sync failed.
    #[error(
        "the state is not written any more since an earlier write may not have reached the disk; restart the daemon"
    )]
    Failed,
    /// The record is larger than a slot.
    #[error("the state needs {bytes} bytes and a slot holds {RECORD_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The record has no form in JSON.
    #[error("the state cannot be put into words")]
    Encode(#[source] serde_json::Error),
    /// Another program has written since this handle last looked. Reload before going on.
    #[error("another program has written the state (its record is number {found}, ours was {expected})")]
    ForeignWrite {
        /// The newest number in the file.
        found: u64,
        /// The number this handle knew.
        expected: u64,
    },
    /// Another program holds the lock.
    #[error("another program keeps the state file locked")]
    Locked(#[source] io::Error),
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a, T> {
    sequence: u64,
    #[serde(borrow)]
    host: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pair: std::borrow::Cow<'a, str>,
    record: T,
}

impl Store {
    /// Opens the file, makes it if it is not there, and reads the newest record.
    ///
    /// # Errors
    /// The file cannot be opened, made or read. What is in it is never an error: see [`Loaded`].
    pub fn open<T: DeserializeOwned>(path: &Path, host: &str, pair: &str) -> Result<(Store, Loaded<T>), StoreError> {
        let failed = |source| StoreError::Open { path: path.to_owned(), source };
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        };
        let mut store = Store {
            path: path.to_owned(),
            file,
            host: host.to_owned(),
            pair: pair.to_owned(),
            sequence: 0,
            failed: false,
            #[cfg(test)]
            sync_fails: false,
        };
        let loaded = store.reload()?;
        // A forerunner may have died between its write and its sync. What is read is acted on, so a power cut must not
        // take it back; where that cannot be had, this handle reads, and writes nothing.
        store.failed = store.sync().is_err();
        Ok((store, loaded))
    }

    /// Reads the newest record again, and takes it as seen: the next write follows it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn reload<T: DeserializeOwned>(&mut self) -> Result<Loaded<T>, StoreError> {
        if self.was_replaced().map_err(StoreError::Read)? {
            let file = OpenOptions::new().read(true).write(true).open(&self.path);
            self.file = file.map_err(|source| StoreError::Open { path: self.path.clone(), source })?;
        }
        let slots = self.slots().map_err(StoreError::Read)?;
        self.sequence = newest(&slots).map_or(0, |(sequence, _)| sequence);
        let Some((_, text)) = newest(&slots) else {
            let never_written = slots.iter().all(|slot| *slot == Slot::Empty);
            return Ok(if never_written { Loaded::Fresh } else { Loaded::Torn { detail: describe(&slots) } });
        };
        // Two steps: whose it is can be told even if its record has another version's form.
        let whose = serde_json::from_str::<Envelope<'_, IgnoredAny>>(text);
        if let Ok(envelope) = &whose
            && (envelope.host != self.host || envelope.pair != self.pair)
        {
            return Ok(Loaded::OfAnotherHost {
                host: envelope.host.clone().into_owned(),
                pair: envelope.pair.clone().into_owned(),
            });
        }
        Ok(match serde_json::from_str::<Envelope<'_, T>>(text) {
            Ok(envelope) => Loaded::Valid(envelope.record),
            Err(error) => Loaded::Torn { detail: format!("the newest record is whole and not understood: {error}") },
        })
    }

    /// Writes a record over the older of the two and waits until it is on the disk (some milliseconds; longer on a
    /// slow disk, for ever on a hanging one: call it where that is allowed).
    ///
    /// # Errors
    /// See [`StoreError`]. After all of them but [`StoreError::Sync`] the record before is in force.
    pub fn write<T: Serialize>(&mut self, record: &T) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Failed);
        }
        self.lock().map_err(StoreError::Locked)?;
        let written = self.write_locked(record);
        // The lock also goes with the file; a failed unlock cannot undo what was written.
        let _ = self.file.unlock();
        written
    }

    /// Whether another program has written since this handle last read or wrote.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn changed_by_other(&self) -> io::Result<bool> {
        Ok(self.was_replaced()? || self.sequence_on_disk()? != self.sequence)
    }

    fn write_locked<T: Serialize>(&mut self, record: &T) -> Result<(), StoreError> {
        let found = self.sequence_on_disk().map_err(StoreError::Read)?;
        if found != self.sequence || self.was_replaced().map_err(StoreError::Read)? {
            return Err(StoreError::ForeignWrite { found, expected: self.sequence });
        }
        let sequence = found.saturating_add(1);
        let (host, pair) = (self.host.as_str().into(), self.pair.as_str().into());
        let text = serde_json::to_string(&Envelope { sequence, host, pair, record }).map_err(StoreError::Encode)?;
        let bytes = slot::encode(&text).ok_or(StoreError::TooLarge { bytes: text.len() })?;
        failpoint("store-before");
        self.file.write_all_at(&bytes, sequence % SLOTS * SLOT_BYTES as u64).map_err(StoreError::Write)?;
        failpoint("store-written");
        if let Err(error) = self.sync() {
            self.failed = true;
            return Err(StoreError::Sync(error));
        }
        failpoint("store-after");
        self.sequence = sequence;
        Ok(())
    }

    fn lock(&self) -> io::Result<()> {
        let limit = Instant::now() + LOCK_LIMIT;
        loop {
            match self.file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if Instant::now() < limit => thread::sleep(Duration::from_millis(2)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        if self.sync_fails {
            return Err(io::Error::other("made to fail"));
        }
        self.file.sync_data()
    }

    fn was_replaced(&self) -> io::Result<bool> {
        let (ours, named) = (self.file.metadata()?, fs::metadata(&self.path)?);
        Ok((ours.dev(), ours.ino()) != (named.dev(), named.ino()))
    }

    fn sequence_on_disk(&self) -> io::Result<u64> {
        Ok(newest(&self.slots()?).map_or(0, |(sequence, _)| sequence))
    }

    fn slots(&self) -> io::Result<[Slot; 2]> {
        let mut bytes = [0; FILE_BYTES];
        let mut length = 0;
        while length < FILE_BYTES {
            match self.file.read_at(&mut bytes[length..], length as u64) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let (first, second) = bytes[..length].split_at(length.min(SLOT_BYTES));
        Ok([slot::decode(first), slot::decode(second)])
    }
}

/// Makes the file under another name first: half a file would look like a torn one.
fn make(path: &Path) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let unfinished = folder.join(name);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all_at(&slot::EMPTY, 0)?;
    file.write_all_at(&slot::EMPTY, SLOT_BYTES as u64)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

fn newest(slots: &[Slot; 2]) -> Option<(u64, &str)> {
    let whole = slots.iter().filter_map(|slot| match slot {
        Slot::Whole { text } => serde_json::from_str::<Envelope<'_, IgnoredAny>>(text)
            .ok()
            .map(|envelope| (envelope.sequence, text.as_str())),
        Slot::Empty | Slot::Broken(_) => None,
    });
    whole.max_by_key(|(sequence, _)| *sequence)
}

fn describe(slots: &[Slot; 2]) -> String {
    let said: Vec<String> = (1..)
        .zip(slots)
        .map(|(number, slot)| match slot {
            Slot::Empty => format!("slot {number} is empty"),
            Slot::Broken(why) => format!("slot {number} is broken ({why})"),
            Slot::Whole { .. } => format!("slot {number} is whole and not understood"),
        })
        .collect();
    said.join(", ")
}

#[cfg(test)]
mod tests;
