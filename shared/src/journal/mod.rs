//! What happened and why, one line of JSON each, in files of bounded size.
//!
//! A line ends with a checksum of itself, so half a line, or one that the disk spoiled, is never taken for an entry.
//! The end of the file is cut back to the last whole line when it is opened. The journal explains; it decides nothing:
//! the host's memory is [`crate::store`]. It may therefore fail, and then works again when the disk does.

mod line;
mod read;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use line::Entry;
pub use read::{since, tail};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalSize {
    /// A file is put aside when it would grow beyond this.
    pub file_bytes_max: u64,
    /// How many files there are, the current one included; at least one.
    pub files: u32,
}

impl Default for JournalSize {
    /// 4 files of 4 MiB.
    fn default() -> JournalSize {
        JournalSize { file_bytes_max: 4 * 1024 * 1024, files: 4 }
    }
}

/// The open journal. One program appends at a time; what another one appended in between is kept.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    size: JournalSize,
    /// `None` after a failure: opened again by the next append.
    current: Option<Current>,
    /// The number of the newest entry.
    sequence: u64,
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes of an unfinished last line, which were cut off.
    pub torn_bytes: u64,
    /// Spoiled lines between whole ones, which are passed over.
    pub spoiled_lines: u64,
}

/// Why an entry was not kept, or may not be on the disk.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The file cannot be opened or made.
    #[error("the journal {} cannot be opened", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The full file could not be put aside.
    #[error("the journal's full file cannot be put aside")]
    Rotate(#[source] io::Error),
    /// Nothing of the entry was kept.
    #[error("the journal cannot be written")]
    Write(#[source] io::Error),
    /// The entry is written, and not known to be on the disk.
    #[error("the journal's entry may not have reached the disk")]
    Sync(#[source] io::Error),
    /// The entry has no form in JSON.
    #[error("the entry cannot be put into words")]
    Encode(#[source] serde_json::Error),
}

#[derive(Debug)]
struct Current {
    file: File,
    /// Where the last whole line ends.
    end: u64,
}

impl Journal {
    /// Opens the journal, makes it if it is not there, and cuts off an unfinished last line.
    ///
    /// # Errors
    /// [`JournalError::Open`]. Spoiled content is no error.
    pub fn open(path: &Path, size: JournalSize) -> Result<(Journal, Recovered), JournalError> {
        let mut journal = Journal { path: path.to_owned(), size, current: None, sequence: 0 };
        let recovered = journal.reopen()?;
        Ok((journal, recovered))
    }

    /// Appends the entry under the next number, which it gives back; the number in `entry` is not looked at. With
    /// `durable` it, and all entries before it, are on the disk when this returns. Blocks as long as the disk does.
    ///
    /// # Errors
    /// See [`JournalError`]. The next append tries again.
    pub fn append(&mut self, entry: &Entry, durable: bool) -> Result<u64, JournalError> {
        if self.changed_by_other() {
            self.reopen()?;
        }
        let line = line::encode(entry, self.sequence + 1).map_err(JournalError::Encode)?;
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.end > 0 && current.end + line.len() as u64 > self.size.file_bytes_max)
        {
            self.current = None;
            put_aside(&self.path, self.size.files).map_err(JournalError::Rotate)?;
            self.reopen()?;
        }
        let Some(current) = &mut self.current else {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(JournalError::Open { path: self.path.clone(), source });
        };
        if let Err(error) = current.file.write_all_at(&line, current.end) {
            // Half a line would be passed over by readers; it is cut off all the same, so that none is left to see.
            let _ = current.file.set_len(current.end);
            return Err(JournalError::Write(error));
        }
        current.end += line.len() as u64;
        self.sequence += 1;
        if durable && let Err(error) = current.file.sync_data() {
            // The kernel may report the next sync of this handle as done without having written anything.
            self.current = None;
            return Err(JournalError::Sync(error));
        }
        Ok(self.sequence)
    }

    /// The newest `count` entries, oldest first.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub fn tail(&self, count: usize) -> io::Result<Vec<Entry>> {
        tail(&self.path, count)
    }

    /// The oldest `count` entries with a number above `sequence`, oldest first.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub fn since(&self, sequence: u64, count: usize) -> io::Result<Vec<Entry>> {
        since(&self.path, sequence, count)
    }

    fn changed_by_other(&self) -> bool {
        let Some(current) = &self.current else { return true };
        match (current.file.metadata(), fs::metadata(&self.path)) {
            (Ok(ours), Ok(named)) => {
                (ours.dev(), ours.ino()) != (named.dev(), named.ino()) || ours.len() != current.end
            }
            (Err(_), _) | (_, Err(_)) => true,
        }
    }

    fn reopen(&mut self) -> Result<Recovered, JournalError> {
        self.current = None;
        let failed = |source| JournalError::Open { path: self.path.clone(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(&self.path)
            .map_err(failed)?;
        let found = read::scan(&file).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let torn_bytes = length.saturating_sub(found.end);
        if torn_bytes > 0 {
            file.set_len(found.end).map_err(failed)?;
        }
        let newest = match found.newest {
            Some(sequence) => sequence,
            // Put aside just now, or by a daemon that died between that and its next entry.
            None => tail(&self.path, 1).map_err(failed)?.last().map_or(0, |entry| entry.sequence),
        };
        self.sequence = self.sequence.max(newest);
        self.current = Some(Current { file, end: found.end });
        Ok(Recovered { torn_bytes, spoiled_lines: found.spoiled_lines })
    }
}

/// The files, newest first: `journal`, `journal.1`, `journal.2` …
pub(crate) fn file_name(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

/// The oldest goes first: on a full disk that is what makes room.
fn put_aside(path: &Path, files: u32) -> io::Result<()> {
    let oldest = files.saturating_sub(1);
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    gone(fs::remove_file(file_name(path, oldest)))?;
    for age in (0..oldest).rev() {
        gone(fs::rename(file_name(path, age), file_name(path, age + 1)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
