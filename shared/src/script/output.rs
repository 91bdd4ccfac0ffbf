//! The script log: every step appends to it; it is bounded, and the end of a step's output is read back for the journal.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A log that has grown this large is put aside before a step.
const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A single step's output above this is cut away while it runs.
const STEP_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// So much of the end of a step's output is kept for the journal.
const TAIL_BYTES_MAX: u64 = 8 * 1024;

/// The log, opened for one step.
pub(super) struct Output {
    file: File,
    begin: u64,
    cut: bool,
}

impl Output {
    /// Opens the log and writes the step's heading.
    pub(super) fn open(path: &Path, heading: &str) -> io::Result<Output> {
        if std::fs::metadata(path).is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
            let mut old = path.as_os_str().to_os_string();
            old.push(".1");
            std::fs::rename(path, PathBuf::from(old))?;
        }
        let file = File::options().create(true).read(true).append(true).mode(0o640).open(path)?;
        io::Write::write_all(&mut &file, format!("=== {} {heading}\n", jiff::Timestamp::now()).as_bytes())?;
        let begin = file.metadata()?.len();
        Ok(Output { file, begin, cut: false })
    }

    /// A descriptor for the step. It appends, so that a cut does not leave a hole.
    pub(super) fn descriptor(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Cuts away a flood; the step goes on.
    pub(super) fn bound(&mut self) {
        if self.file.metadata().is_ok_and(|found| found.len().saturating_sub(self.begin) > STEP_BYTES_MAX) {
            // If the cut fails the next look tries again.
            self.cut |= self.file.set_len(0).is_ok();
            self.begin = 0;
        }
    }

    /// The end of what the step wrote, as text.
    pub(super) fn tail(&self) -> String {
        let Ok(length) = self.file.metadata().map(|found| found.len()) else { return String::new() };
        let from = self.begin.max(length.saturating_sub(TAIL_BYTES_MAX));
        let mut bytes = vec![0; usize::try_from(length.saturating_sub(from)).unwrap_or(0)];
        let read = self.file.read_at(&mut bytes, from).unwrap_or(0);
        bytes.truncate(read);
        let text = String::from_utf8_lossy(&bytes).trim_end().to_string();
        if self.cut { format!("(more than {STEP_BYTES_MAX} bytes of output were cut)\n{text}") } else { text }
    }
}
