//! The host's script log: what the steps printed. A file of bounded size and one older one.
//!
//! A thread owns the file, because a write to a full or hanging disk must hold up neither the daemon's loop nor the
//! step. It ends when the last sender is gone. Ending it early loses lines of this log and nothing else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// The file is renamed to `<name>.1` when it would grow beyond this.
pub(crate) const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// So many pieces may wait for the disk; each is at most one read of a pipe.
const WAITING_PIECES_MAX: usize = 16;
/// How long a step's output waits for room among them. After that it is left out of the log.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long the end of a list waits for its last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log of one list.
pub(crate) struct ScriptLog {
    writer: LogWriter,
    ended: oneshot::Receiver<io::Result<()>>,
}

/// What one step writes into the log with. Steps that run at the same time have one each; their pieces mix.
#[derive(Clone)]
pub(crate) struct LogWriter {
    pieces: mpsc::Sender<Vec<u8>>,
    /// What all of them had to leave out. More than none: the disk was too slow, and nothing waits for it any more.
    bytes_lost: Arc<AtomicU64>,
}

impl ScriptLog {
    /// Starts the thread. The file is opened there.
    pub(crate) fn begin(path: &Path) -> io::Result<ScriptLog> {
        let (pieces, mut waiting) = mpsc::channel::<Vec<u8>>(WAITING_PIECES_MAX);
        let (end, ended) = oneshot::channel();
        let path = path.to_owned();
        thread::Builder::new().name("script-log".to_owned()).stack_size(128 * 1024).spawn(move || {
            let mut file = BoundedFile::open(path);
            let mut result = Ok(());
            while let Some(piece) = waiting.blocking_recv() {
                let written = match &mut file {
                    Ok(file) => file.append(&piece),
                    Err(_) => Ok(()),
                };
                result = result.and(written);
            }
            let _ = end.send(file.and(result));
        })?;
        Ok(ScriptLog { writer: LogWriter { pieces, bytes_lost: Arc::default() }, ended })
    }

    /// What a step writes with. The log ends only when all of them are gone.
    pub(crate) fn writer(&self) -> LogWriter {
        self.writer.clone()
    }

    /// Waits a bounded time until everything is written. `Err`: why not all of it was, as a sentence.
    pub(crate) async fn end(self) -> Result<(), String> {
        let LogWriter { pieces, bytes_lost } = self.writer;
        drop(pieces);
        match tokio::time::timeout(LAST_LINES, self.ended).await {
            Ok(Ok(Ok(()))) => match bytes_lost.load(Ordering::Relaxed) {
                0 => Ok(()),
                lost => Err(format!("the disk was too slow: {lost} bytes are not in the script log")),
            },
            Ok(Ok(Err(error))) => Err(format!("the script log cannot be written: {error}")),
            Ok(Err(_)) | Err(_) => Err("the script log is not written yet: the disk hangs".to_owned()),
        }
    }
}

impl LogWriter {
    /// Appends, or counts as lost.
    pub(crate) async fn append(&self, piece: Vec<u8>) {
        let bytes = piece.len() as u64;
        let sent = if self.bytes_lost.load(Ordering::Relaxed) > 0 {
            self.pieces.try_send(piece).is_ok()
        } else {
            self.pieces.send_timeout(piece, PATIENCE).await.is_ok()
        };
        if !sent {
            self.bytes_lost.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

struct BoundedFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl BoundedFile {
    fn open(path: PathBuf) -> io::Result<BoundedFile> {
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(BoundedFile { path, file, bytes })
    }

    fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + piece.len() as u64 > FILE_BYTES_MAX {
            let mut older = self.path.clone().into_os_string();
            older.push(".1");
            fs::rename(&self.path, older)?;
            *self = BoundedFile::open(self.path.clone())?;
        }
        self.file.write_all(piece)?;
        self.bytes += piece.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_keeps_one_older_file_and_both_stay_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script_test.log");
        for _list in 0..3 {
            let mut file = BoundedFile::open(path.clone()).unwrap();
            for _piece in 0..64 {
                file.append(&[b'x'; 64 * 1024]).unwrap();
            }
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), FILE_BYTES_MAX);
        assert_eq!(fs::metadata(folder.path().join("script_test.log.1")).unwrap().len(), FILE_BYTES_MAX);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_opened_or_written_is_said_at_the_end() {
        let log = ScriptLog::begin(Path::new("/nonexistent/script.log")).unwrap();
        log.writer().append(b"line\n".to_vec()).await;
        assert!(log.end().await.unwrap_err().contains("No such file"));

        let log = ScriptLog::begin(Path::new("/dev/full")).unwrap();
        log.writer().append(b"line\n".to_vec()).await;
        assert!(log.end().await.unwrap_err().contains("No space left"));
    }
}
