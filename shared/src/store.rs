//! The durable state of a host: one file of two slots, written in turn, each with a checksum.
//!
//! The file is laid out once in full, so a write needs no new block and works on a full disk. A torn write damages one
//! slot; the other still holds the state before it. Layout of a slot (4,096 bytes): magic (8), length of the body (4,
//! little endian), SHA-256 of sequence, length and body (32), sequence (8, little endian), body (JSON), zeros.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const SLOT_BYTES: usize = 4096;
const MAGIC: &[u8; 8] = b"FAILOVR1";
const HEAD_BYTES: usize = 8 + 4 + 32 + 8;
/// How long another writer (`stop-here`) may hold the file.
const LOCK_LIMIT: Duration = Duration::from_secs(2);

/// The state file of one host.
#[derive(Debug)]
pub struct Store<T> {
    path: PathBuf,
    file: File,
    host: String,
    pair: String,
    /// What this handle wrote or read last. Another number on the disk means another writer.
    sequence: u64,
    /// A failed sync: what is on the disk is not known any more, and asking the same descriptor again would lie.
    broken: bool,
    content: PhantomData<T>,
}

/// What the file held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded<T> {
    /// There was no file: a first start.
    Fresh,
    /// The newest whole state.
    Valid(T),
    /// The file holds no whole state.
    Torn {
        /// What is wrong with each slot.
        detail: String,
    },
    /// A copy of another host's file.
    OfAnotherHost {
        /// Whose.
        host: String,
        /// Of which pair.
        pair: String,
    },
}

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be opened or laid out.
    #[error("{path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The write or its sync failed. The handle stays unusable: after a failed sync the kernel may report success for
    /// data that it has dropped.
    #[error("cannot write {path} durably: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An earlier sync failed.
    #[error("{path} was not written: an earlier write failed; restart the daemon when the disk is well")]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// Another process wrote the state since this handle last saw it.
    #[error("{path} was written by another process (sequence {found}, expected {expected})")]
    ForeignWrite {
        /// The file.
        path: PathBuf,
        /// What the disk says.
        found: u64,
        /// What this handle knew.
        expected: u64,
    },
    /// Another process holds the file.
    #[error("{path} is held by another process for more than {LOCK_LIMIT:?}")]
    Held {
        /// The file.
        path: PathBuf,
    },
    /// The state does not fit into a slot.
    #[error("the state takes {bytes} bytes; a slot holds {room}")]
    TooLarge {
        /// What it takes.
        bytes: usize,
        /// What there is.
        room: usize,
    },
    /// The state cannot be put into words.
    #[error("the state cannot be serialised: {0}")]
    Form(#[source] serde_json::Error),
}

/// A whole slot's sequence and body, or what is wrong with it.
type Slot = Result<(u64, Vec<u8>), &'static str>;

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    host: String,
    pair: String,
    state: T,
}

impl<T: Serialize + DeserializeOwned> Store<T> {
    /// Opens the file, laying it out if it is not there, and reads the newest whole state of `host` in `pair`.
    ///
    /// # Errors
    /// When the file cannot be opened, laid out or read.
    pub fn open(path: &Path, host: &str, pair: &str) -> Result<(Store<T>, Loaded<T>), StoreError> {
        let open = |source| StoreError::Open { path: path.to_path_buf(), source };
        let fresh = !path.exists();
        let file =
            File::options().create(true).truncate(false).read(true).write(true).mode(0o600).open(path).map_err(open)?;
        if file.metadata().map_err(open)?.len() != 2 * SLOT_BYTES as u64 {
            // Written in full, not only extended: a hole would ask for a block when the disk is full.
            let mut old = vec![0; 2 * SLOT_BYTES];
            let _ = file.read_at(&mut old, 0).map_err(open)?;
            file.write_all_at(&old, 0).map_err(open)?;
            file.set_len(2 * SLOT_BYTES as u64).map_err(open)?;
            file.sync_all().map_err(open)?;
            if let Some(folder) = path.parent() {
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(open)?;
            }
        }
        let mut store = Store {
            path: path.to_path_buf(),
            file,
            host: host.to_string(),
            pair: pair.to_string(),
            sequence: 0,
            broken: false,
            content: PhantomData,
        };
        let loaded = if fresh { Loaded::Fresh } else { store.reload()? };
        Ok((store, loaded))
    }

    /// Reads the newest whole state again, and from now on takes it as known.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn reload(&mut self) -> Result<Loaded<T>, StoreError> {
        let slots = self.read_slots()?;
        let details: Vec<String> = slots
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| slot.as_ref().err().map(|why| format!("slot {index}: {why}")))
            .collect();
        let newest = slots.into_iter().flatten().max_by_key(|(sequence, _)| *sequence);
        let Some((sequence, body)) = newest else {
            return Ok(Loaded::Torn { detail: details.join("; ") });
        };
        self.sequence = sequence;
        Ok(match serde_json::from_slice::<Envelope<T>>(&body) {
            Ok(envelope) if envelope.host == self.host && envelope.pair == self.pair => Loaded::Valid(envelope.state),
            Ok(envelope) => Loaded::OfAnotherHost { host: envelope.host, pair: envelope.pair },
            Err(error) => Loaded::Torn { detail: format!("not understood: {error}") },
        })
    }

    /// Makes `state` durable.
    ///
    /// # Errors
    /// [`StoreError::ForeignWrite`] when another process wrote meanwhile: [`Store::reload`] before anything else.
    pub fn write(&mut self, state: &T) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Broken { path: self.path.clone() });
        }
        let _lock = self.lock()?;
        let found = self.newest_sequence()?;
        if found != self.sequence {
            return Err(StoreError::ForeignWrite { path: self.path.clone(), found, expected: self.sequence });
        }
        let sequence = self.sequence + 1;
        let slot = self.slot(sequence, state)?;
        let place = (sequence % 2) * SLOT_BYTES as u64;
        let written = self.file.write_all_at(&slot, place).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            self.broken = true;
            return Err(StoreError::Write { path: self.path.clone(), source });
        }
        self.sequence = sequence;
        Ok(())
    }

    /// Whether another process wrote since this handle last saw the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn changed_by_other(&self) -> Result<bool, StoreError> {
        Ok(self.newest_sequence()? != self.sequence)
    }

    fn newest_sequence(&self) -> Result<u64, StoreError> {
        Ok(self.read_slots()?.into_iter().flatten().map(|(sequence, _)| sequence).max().unwrap_or(0))
    }

    fn read_slots(&self) -> Result<[Slot; 2], StoreError> {
        let mut file = vec![0; 2 * SLOT_BYTES];
        let read =
            self.file.read_at(&mut file, 0).map_err(|source| StoreError::Read { path: self.path.clone(), source })?;
        file.truncate(read);
        let (first, second) = file.split_at(file.len().min(SLOT_BYTES));
        Ok([decode(first), decode(second)])
    }

    fn slot(&self, sequence: u64, state: &T) -> Result<Vec<u8>, StoreError> {
        #[derive(Serialize)]
        struct Borrowed<'a, T> {
            host: &'a str,
            pair: &'a str,
            state: &'a T,
        }
        let envelope = Borrowed { host: &self.host, pair: &self.pair, state };
        let body = serde_json::to_vec(&envelope).map_err(StoreError::Form)?;
        let room = SLOT_BYTES - HEAD_BYTES;
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        if body.len() > room {
            return Err(StoreError::TooLarge { bytes: body.len(), room });
        }
        let mut slot = Vec::with_capacity(SLOT_BYTES);
        slot.extend_from_slice(MAGIC);
        slot.extend_from_slice(&length.to_le_bytes());
        slot.extend_from_slice(&checksum(sequence, &body));
        slot.extend_from_slice(&sequence.to_le_bytes());
        slot.extend_from_slice(&body);
        slot.resize(SLOT_BYTES, 0);
        Ok(slot)
    }

    fn lock(&self) -> Result<Flock<File>, StoreError> {
        let until = Instant::now() + LOCK_LIMIT;
        // A lock belongs to the open file description, so it needs one of its own.
        let mut file = File::open(&self.path).map_err(|source| StoreError::Open { path: self.path.clone(), source })?;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((_, _)) if Instant::now() >= until => return Err(StoreError::Held { path: self.path.clone() }),
                Err((again, _)) => {
                    file = again;
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
    }
}

fn decode(slot: &[u8]) -> Slot {
    let (magic, rest) = slot.split_at_checked(8).ok_or("too short")?;
    if magic.iter().all(|byte| *byte == 0) {
        return Err("never written");
    }
    if magic != MAGIC {
        return Err("not a state slot");
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or("too short")?;
    let (sum, rest) = rest.split_first_chunk::<32>().ok_or("too short")?;
    let (sequence, rest) = rest.split_first_chunk::<8>().ok_or("too short")?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| "wrong length")?;
    let body = rest.get(..length).ok_or("wrong length")?;
    let sequence = u64::from_le_bytes(*sequence);
    if checksum(sequence, body) != *sum {
        return Err("wrong checksum");
    }
    Ok((sequence, body.to_vec()))
}

fn checksum(sequence: u64, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(sequence.to_le_bytes());
    hash.update(u64::try_from(body.len()).unwrap_or(u64::MAX).to_le_bytes());
    hash.update(body);
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
