//! What happened, for people and for the next start: one JSON line an entry, appended, rotated by size.
//!
//! A crash can tear the last line. It is cut off at the next opening, so that no later entry is glued to a fragment.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A journal file that has grown this large is put aside.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// So many files are kept beside the current one.
const OLD_FILES: u32 = 3;
/// An entry's text fields are cut to fit this; output of scripts can be long.
const ENTRY_BYTES_MAX: usize = 64 * 1024;

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts up without a gap; given by [`Journal::append`].
    pub sequence: u64,
    /// Wall-clock time, for people.
    pub utc: Timestamp,
    /// Milliseconds since the kernel started, to tell spans.
    pub uptime_ms: u64,
    /// `state`, `decision`, `step`, `page`, `command`, `balancer`, `check`, `config` or `daemon`.
    pub kind: String,
    /// In words.
    pub text: String,
    /// The same as data.
    #[serde(default)]
    pub fields: BTreeMap<String, serde_json::Value>,
}

/// Why the journal could not be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file could not be opened.
    #[error("cannot open the journal {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An entry could not be written.
    #[error("cannot write to the journal {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("cannot read the journal {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The journal of one host.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    next: u64,
    /// The last write failed half-way: what is behind this length is cut off before the next one.
    cut_to: Option<u64>,
}

impl Journal {
    /// Opens the journal, cutting off a torn last line.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub fn open(path: &Path) -> Result<Journal, JournalError> {
        let open = |source| JournalError::Open { path: path.to_path_buf(), source };
        let mut file = File::options().create(true).read(true).append(true).mode(0o600).open(path).map_err(open)?;
        let whole = whole_lines(&mut file).map_err(open)?;
        file.set_len(whole).map_err(open)?;
        let mut journal = Journal { path: path.to_path_buf(), file, bytes: whole, next: 1, cut_to: None };
        journal.next = journal.since(0, 1)?.last().map_or(1, |entry| entry.sequence + 1);
        Ok(journal)
    }

    /// Appends an entry and gives it its number; `durable`: returns only when it is on the disk.
    ///
    /// # Errors
    /// When it could not be written, for example to a full disk. A later call may succeed.
    pub fn append(&mut self, entry: &Entry, durable: bool) -> Result<u64, JournalError> {
        let path = self.path.clone();
        let write = |source| JournalError::Write { path, source };
        let sequence = self.next;
        let mut entry = Entry { sequence, ..entry.clone() };
        let mut line = line_of(&entry);
        if line.len() > ENTRY_BYTES_MAX {
            entry.fields = BTreeMap::from([("cut".to_string(), serde_json::json!("the entry's fields were too long"))]);
            entry.text.truncate(entry.text.floor_char_boundary(1024));
            line = line_of(&entry);
        }
        self.write_line(&line, durable).map_err(write)?;
        self.next += 1;
        Ok(sequence)
    }

    /// The newest `count` entries, oldest first.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn tail(&self, count: usize) -> Result<Vec<Entry>, JournalError> {
        self.since(0, count)
    }

    /// Entries with a number above `after`, at most the newest `count`, oldest first.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn since(&self, after: u64, count: usize) -> Result<Vec<Entry>, JournalError> {
        let mut found = VecDeque::new();
        for age in (0..=OLD_FILES).rev() {
            let path = aged(&self.path, age);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(JournalError::Read { path, source }),
            };
            let mut lines = BufReader::new(file);
            let mut line = Vec::new();
            loop {
                line.clear();
                let limited = (&mut lines).take(2 * ENTRY_BYTES_MAX as u64).read_until(b'\n', &mut line);
                if limited.map_err(|source| JournalError::Read { path: path.clone(), source })? == 0 {
                    break;
                }
                // A damaged line is passed over: the rest is still worth reading.
                let Ok(entry) = serde_json::from_slice::<Entry>(&line) else { continue };
                if entry.sequence > after {
                    found.push_back(entry);
                    if found.len() > count {
                        found.pop_front();
                    }
                }
            }
        }
        Ok(found.into())
    }

    fn write_line(&mut self, line: &[u8], durable: bool) -> io::Result<()> {
        if let Some(length) = self.cut_to {
            self.file.set_len(length)?;
            self.cut_to = None;
        }
        if self.bytes > 0 && self.bytes + line.len() as u64 > FILE_BYTES_MAX {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(line) {
            self.cut_to = Some(self.bytes);
            return Err(error);
        }
        self.bytes += line.len() as u64;
        if durable { self.file.sync_data() } else { Ok(()) }
    }

    fn rotate(&mut self) -> io::Result<()> {
        for age in (0..OLD_FILES).rev() {
            match std::fs::rename(aged(&self.path, age), aged(&self.path, age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        self.file = File::options().create(true).read(true).append(true).mode(0o600).open(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

fn line_of(entry: &Entry) -> Vec<u8> {
    // An entry is plain data with string keys; should it ever not be, an empty object keeps the numbering.
    let mut line = serde_json::to_vec(entry).unwrap_or_else(|_| b"{}".to_vec());
    line.push(b'\n');
    line
}

/// The length up to the end of the last whole line.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut end = length;
    let mut block = [0_u8; 4096];
    while end > 0 {
        let begin = end.saturating_sub(block.len() as u64);
        let size = usize::try_from(end - begin).unwrap_or(block.len());
        let part = &mut block[..size];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

fn aged(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_path_buf();
    }
    let mut name = path.as_os_str().to_os_string();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry {
            sequence: 0,
            utc: Timestamp::UNIX_EPOCH,
            uptime_ms: 1,
            kind: "daemon".into(),
            text: text.into(),
            fields: BTreeMap::new(),
        }
    }

    #[test]
    fn numbers_go_on_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.append(&entry("a"), true).unwrap(), 1);
        assert_eq!(journal.append(&entry("b"), false).unwrap(), 2);
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.append(&entry("c"), false).unwrap(), 3);
        let texts: Vec<String> = journal.since(1, 10).unwrap().into_iter().map(|entry| entry.text).collect();
        assert_eq!(texts, ["b", "c"]);
    }

    #[test]
    fn a_torn_last_line_is_cut_off_at_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        journal.append(&entry("whole"), true).unwrap();
        let whole = std::fs::read(&path).unwrap().len();
        journal.append(&entry("torn"), true).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for cut in whole..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let mut journal = Journal::open(&path).unwrap();
            assert_eq!(journal.append(&entry("next"), false).unwrap(), 2, "cut at {cut}");
            let texts: Vec<String> = journal.tail(10).unwrap().into_iter().map(|entry| entry.text).collect();
            assert_eq!(texts, ["whole", "next"], "cut at {cut}");
        }
    }

    #[test]
    fn a_long_journal_is_rotated_and_keeps_its_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        let long = "x".repeat(32 * 1024);
        for _ in 0..700 {
            journal.append(&entry(&long), false).unwrap();
        }
        let newest = journal.tail(5).unwrap();
        assert_eq!(newest.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [696, 697, 698, 699, 700]);
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 4, "bounded number of files");
        assert_eq!(Journal::open(&path).unwrap().next, 701);
    }
}
