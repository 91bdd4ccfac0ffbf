//! The page: a file of four slots in the run folder through which daemon and guardian tell each other where they stand.
//!
//! Two slots a side, written in turn, each one line of text with a checksum: a reader that meets a half-written slot
//! takes the other one, which is the record before. A file that is read and written, and not shared memory: the whole
//! page is two kilobytes, a write takes some microseconds on the tmpfs that a run folder is, and the file outlives both
//! processes. `cat` shows it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const SLOT_BYTES: usize = 512;
const SLOTS_A_SIDE: u64 = 2;

/// Why the page cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// It cannot be opened or made.
    #[error("the guardian's page {} cannot be opened", path.display())]
    Open {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be read.
    #[error("the guardian's page cannot be read")]
    Read(#[source] io::Error),
    /// It cannot be written.
    #[error("the guardian's page cannot be written")]
    Write(#[source] io::Error),
}

/// Whose slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Daemon,
    Guardian,
}

/// The open file. Each side has one writer.
#[derive(Debug)]
pub(super) struct Page {
    path: PathBuf,
    file: File,
}

impl Page {
    /// Opens the page, and makes it if it is not there.
    pub(super) fn open(path: &Path) -> Result<Page, PageError> {
        let options = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            options
        };
        let file = options().open(path).map_err(|source| PageError::Open { path: path.to_owned(), source })?;
        Ok(Page { path: path.to_owned(), file })
    }

    /// Opens the file again if its name leads to another one by now.
    pub(super) fn follow(&mut self) -> Result<(), PageError> {
        let identity = |data: &fs::Metadata| (data.dev(), data.ino());
        let ours = self.file.metadata().map_err(PageError::Read)?;
        if fs::metadata(&self.path).is_ok_and(|named| identity(&named) == identity(&ours)) {
            return Ok(());
        }
        *self = Page::open(&self.path)?;
        Ok(())
    }

    /// The side's newest whole record, by `parse`, which also gives its number.
    pub(super) fn newest<T>(
        &self,
        side: Side,
        parse: impl Fn(&str) -> Option<(u64, T)>,
    ) -> Result<Option<T>, PageError> {
        let mut newest: Option<(u64, T)> = None;
        for slot in 0..SLOTS_A_SIDE {
            let mut bytes = [0; SLOT_BYTES];
            match self.file.read_exact_at(&mut bytes, place(side, slot)) {
                Ok(()) => {}
                // Not written yet.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                Err(error) => return Err(PageError::Read(error)),
            }
            let Some(found) = decode(&bytes).and_then(&parse) else { continue };
            if newest.as_ref().is_none_or(|(number, _)| *number < found.0) {
                newest = Some(found);
            }
        }
        Ok(newest.map(|(_, record)| record))
    }

    /// Writes the side's record with this number over the older of its two.
    pub(super) fn write(&self, side: Side, number: u64, words: &str) -> Result<(), PageError> {
        let too_long = || PageError::Write(io::Error::from(io::ErrorKind::FileTooLarge));
        let bytes = encode(words).ok_or_else(too_long)?;
        self.file.write_all_at(&bytes, place(side, number % SLOTS_A_SIDE)).map_err(PageError::Write)
    }
}

fn place(side: Side, slot: u64) -> u64 {
    let first = if side == Side::Daemon { 0 } else { SLOTS_A_SIDE };
    (first + slot) * SLOT_BYTES as u64
}

/// A line: the checksum, the words, blanks to the end. The words must not end in a blank.
fn encode(words: &str) -> Option<[u8; SLOT_BYTES]> {
    let mut bytes = [b' '; SLOT_BYTES];
    let line = format!("{:016x} {words}", checksum(words.as_bytes()));
    bytes.get_mut(..line.len()).filter(|room| room.len() < SLOT_BYTES)?.copy_from_slice(line.as_bytes());
    bytes[SLOT_BYTES - 1] = b'\n';
    Some(bytes)
}

fn decode(bytes: &[u8; SLOT_BYTES]) -> Option<&str> {
    let line = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.trim_end_matches(' ');
    let (sum, words) = line.split_once(' ')?;
    (u64::from_str_radix(sum, 16).ok()? == checksum(words.as_bytes())).then_some(words)
}

/// FNV-1a with 64 bits: finds a torn or spoiled slot. Nobody is kept out by it; the file's mode does that.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> (tempfile::TempDir, Page) {
        let folder = tempfile::tempdir().unwrap();
        let page = Page::open(&folder.path().join("page")).unwrap();
        (folder, page)
    }

    fn newest(page: &Page, side: Side) -> Option<String> {
        let parse = |words: &str| Some((words.split(' ').next()?.parse().ok()?, words.to_owned()));
        page.newest(side, parse).unwrap()
    }

    #[test]
    fn each_side_reads_the_newest_record_of_the_other() {
        let (_folder, page) = page();
        assert_eq!(newest(&page, Side::Daemon), None);
        for number in 1..=5 {
            page.write(Side::Daemon, number, &format!("{number} daemon")).unwrap();
            page.write(Side::Guardian, number, &format!("{number} guardian")).unwrap();
        }
        assert_eq!(newest(&page, Side::Daemon).as_deref(), Some("5 daemon"));
        assert_eq!(newest(&page, Side::Guardian).as_deref(), Some("5 guardian"));
    }

    #[test]
    fn a_slot_torn_at_any_byte_gives_the_record_before() {
        let (_folder, page) = page();
        page.write(Side::Daemon, 1, "1 before").unwrap();
        page.write(Side::Daemon, 2, "2 older words").unwrap();
        let old = encode("2 older words").unwrap();
        let new = encode("4 after, and longer than that").unwrap();
        page.write(Side::Daemon, 3, "3 between").unwrap();
        for cut in 0..SLOT_BYTES {
            let torn: Vec<u8> = new[..cut].iter().chain(&old[cut..]).copied().collect();
            page.file.write_all_at(&torn, place(Side::Daemon, 0)).unwrap();
            let read = newest(&page, Side::Daemon).unwrap();
            let whole = torn == new;
            assert_eq!(read, if whole { "4 after, and longer than that" } else { "3 between" }, "cut at {cut}");
        }
    }

    #[test]
    fn garbage_is_no_record_and_too_much_is_refused() {
        let (_folder, page) = page();
        page.file.write_all_at(&[0xff; 4 * SLOT_BYTES], 0).unwrap();
        assert_eq!(newest(&page, Side::Daemon), None);
        assert!(page.write(Side::Daemon, 1, &"1".repeat(SLOT_BYTES - 17)).is_err());
        assert_eq!(newest(&page, Side::Daemon), None);
        page.write(Side::Daemon, 1, &format!("1 {}", "x".repeat(SLOT_BYTES - 20))).unwrap();
        assert!(newest(&page, Side::Daemon).is_some());
    }

    #[test]
    fn a_page_that_was_removed_is_made_anew() {
        let (folder, mut page) = page();
        page.write(Side::Daemon, 1, "1 gone").unwrap();
        fs::remove_file(folder.path().join("page")).unwrap();
        page.follow().unwrap();
        assert_eq!(newest(&page, Side::Daemon), None);
        page.write(Side::Daemon, 1, "1 new").unwrap();
        assert_eq!(newest(&Page::open(&folder.path().join("page")).unwrap(), Side::Daemon).as_deref(), Some("1 new"));
    }
}
