//! The pages that wait, on disk: one small file each, so that a restart or a crash loses none.
//!
//! The calls block; the pager's own thread makes them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::queue::Entry;

/// The longest file that is read back: a page at its bounds, each character escaped.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// How many files are looked at after a restart; the queue keeps far fewer.
const FILES_MAX: usize = 1_000;

/// The folder.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// Opens the folder and makes it if it is missing, for the own user only.
    pub(super) fn open(folder: &Path) -> io::Result<Spool> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Spool { folder: folder.to_owned() })
    }

    /// What lies there, the oldest first. A file that is no page is set aside under another name, not removed.
    pub(super) fn load(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for file in fs::read_dir(&self.folder)?.take(FILES_MAX) {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != "page") {
                continue;
            }
            match read(&path) {
                Ok(entry) if path == self.path(entry.id) => entries.push(entry),
                Ok(_) | Err(_) => {
                    tracing::warn!(file = %path.display(), "a file in the spool holds no page; it is set aside");
                    fs::rename(&path, path.with_extension("unreadable"))?;
                }
            }
        }
        entries.sort_by_key(|entry| entry.id);
        Ok(entries)
    }

    /// Writes a page so that after a crash the old one, the new one or none is there, never half of one.
    pub(super) fn write(&self, entry: &Entry) -> io::Result<()> {
        let path = self.path(entry.id);
        let aside = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(&serde_json::to_vec(entry)?)?;
        file.sync_data()?;
        fs::rename(&aside, &path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Removes a page. One that comes back after a crash is delivered twice, with the same message id.
    pub(super) fn remove(&self, id: u64) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn path(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{id:020}.page"))
    }
}

fn read(path: &Path) -> io::Result<Entry> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use jiff::Timestamp;

    use super::super::page::{Kind, Page};
    use super::super::queue::Way;
    use super::*;

    fn entry(id: u64) -> Entry {
        let page = Page::new(Kind::Blocked, "subject ü", "text\n\"quoted\"");
        let (first, last) = (Timestamp::now(), Timestamp::now());
        Entry { id, page, count: 2, first, last, left: vec![Way::Mail("a@b.example".to_owned()), Way::Command] }
    }

    #[test]
    fn what_is_written_is_there_after_a_restart_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("spool");
        let spool = Spool::open(&folder).unwrap();
        for id in [30, 4, 5] {
            spool.write(&entry(id)).unwrap();
        }
        spool.remove(5).unwrap();
        spool.remove(5).unwrap();
        let loaded = Spool::open(&folder).unwrap().load().unwrap();
        assert_eq!(loaded.iter().map(|entry| entry.id).collect::<Vec<_>>(), [4, 30]);
        assert_eq!(loaded[0].page, entry(4).page);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&spool.path(4))), (0o700, 0o600));
    }

    #[test]
    fn files_that_are_no_pages_are_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        spool.write(&entry(1)).unwrap();
        fs::write(spool.path(2), b"{\"id\":").unwrap();
        fs::write(spool.path(3), vec![b' '; FILE_BYTES_MAX as usize * 2]).unwrap();
        fs::copy(spool.path(1), spool.path(4)).unwrap();
        fs::write(folder.path().join("notes.txt"), b"left alone").unwrap();
        assert_eq!(spool.load().unwrap().len(), 1);
        assert!(spool.path(2).with_extension("unreadable").exists());
        assert_eq!(spool.load().unwrap().len(), 1, "the second time there is nothing to set aside");
    }
}
