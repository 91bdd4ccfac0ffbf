//! One flat folder in memory, as the server keeps it: names, and the files behind them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use fuser::Errno;

/// The folder's own number, by FUSE's rule.
pub(super) const FOLDER: u64 = 1;
/// A store holds some dozens of small files.
const FILE_BYTES_MAX: usize = 1 << 20;

/// What the server holds.
#[derive(Debug, Default)]
pub(super) struct Disk {
    names: BTreeMap<OsString, u64>,
    files: BTreeMap<u64, File>,
    last: u64,
}

/// A file, with or without names.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    pub(super) links: u32,
}

impl Disk {
    pub(super) fn names(&self) -> impl Iterator<Item = (&OsString, u64)> {
        self.names.iter().map(|(name, number)| (name, *number))
    }

    pub(super) fn number(&self, name: &OsStr) -> Result<u64, Errno> {
        self.names.get(name).copied().ok_or(Errno::ENOENT)
    }

    pub(super) fn file(&self, number: u64) -> Result<&File, Errno> {
        self.files.get(&number).ok_or(Errno::ESTALE)
    }

    pub(super) fn create(&mut self, name: &OsStr) -> Result<u64, Errno> {
        if self.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.last = self.last.max(FOLDER) + 1;
        self.files.insert(self.last, File { bytes: Vec::new(), links: 1 });
        self.names.insert(name.to_owned(), self.last);
        Ok(self.last)
    }

    pub(super) fn link(&mut self, number: u64, name: &OsStr) -> Result<(), Errno> {
        // The file before the name: a link to what was removed finds nothing.
        let file = self.files.get_mut(&number).filter(|file| file.links > 0).ok_or(Errno::ENOENT)?;
        if self.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        file.links += 1;
        self.names.insert(name.to_owned(), number);
        Ok(())
    }

    /// The file stays for those who have it open.
    pub(super) fn unlink(&mut self, name: &OsStr) -> Result<(), Errno> {
        let number = self.names.remove(name).ok_or(Errno::ENOENT)?;
        if let Some(file) = self.files.get_mut(&number) {
            file.links = file.links.saturating_sub(1);
        }
        Ok(())
    }

    pub(super) fn resize(&mut self, number: u64, bytes: usize) -> Result<(), Errno> {
        let file = self.files.get_mut(&number).ok_or(Errno::ESTALE)?;
        if bytes > FILE_BYTES_MAX {
            return Err(Errno::EFBIG);
        }
        file.bytes.resize(bytes, 0);
        Ok(())
    }

    pub(super) fn write(&mut self, number: u64, start: usize, data: &[u8]) -> Result<(), Errno> {
        let end = start.checked_add(data.len()).ok_or(Errno::EFBIG)?;
        if end > self.file(number)?.bytes.len() {
            self.resize(number, end)?;
        }
        let file = self.files.get_mut(&number).ok_or(Errno::ESTALE)?;
        file.bytes.get_mut(start..end).ok_or(Errno::EFBIG)?.copy_from_slice(data);
        Ok(())
    }
}
