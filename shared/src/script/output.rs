//! The pipe that a step prints into, and what is kept of it.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::unistd::{pipe2, read};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::log::LogWriter;
use super::redact::Redact;

/// What the journal gets of a step's output: its end.
pub(crate) const TAIL_BYTES_MAX: usize = 8 * 1024;
/// What the script log gets of one step: this much of the beginning, and the tail.
pub(crate) const LOGGED_BYTES_MAX: u64 = 1024 * 1024;
const READ_BYTES_MAX: usize = 16 * 1024;
/// What a step left behind can go on printing; the rest of the pipe is read no longer than this.
const DRAIN: Duration = Duration::from_millis(100);

/// The reading end, and what came out of it.
///
/// The writing end is opened for reading and writing, so a pipe never looks "broken" to the step: a process that it
/// leaves behind with the pipe as its standard output is not killed by SIGPIPE when this daemon closes its end or
/// dies. When the step has ended, [`Output::finish`] makes the writing end non-blocking: what is left behind can
/// neither fill the pipe and hang on it, nor keep this daemon busy reading.
pub(crate) struct Output<'a> {
    reader: pipe::Receiver,
    writer: OwnedFd,
    buffer: Vec<u8>,
    redact: Redact<'a>,
    kept: Kept,
    closed: bool,
}

/// What is kept.
#[derive(Default)]
struct Kept {
    tail: Vec<u8>,
    bytes: u64,
}

impl<'a> Output<'a> {
    pub(crate) fn new(redact: Redact<'a>) -> io::Result<Output<'a>> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        let both_ways = {
            use std::os::fd::AsRawFd;
            let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
            open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?
        };
        Ok(Output {
            reader: pipe::Receiver::from_owned_fd(reader)?,
            writer: both_ways,
            buffer: vec![0; READ_BYTES_MAX],
            redact,
            kept: Kept::default(),
            closed: false,
        })
    }

    /// One more writing end, for the step's standard output or error. Both share one pipe, so their order is kept.
    pub(crate) fn stdio(&self) -> io::Result<Stdio> {
        Ok(Stdio::from(self.writer.try_clone()?))
    }

    /// Waits for output; never ends once nothing more can come. May be dropped at the await: nothing is lost, what was
    /// read is then still in the pipe. What it gives must go to [`Output::keep`].
    pub(crate) async fn read(&mut self) -> usize {
        loop {
            if self.closed {
                std::future::pending::<()>().await;
            }
            match self.reader.read(&mut self.buffer).await {
                Ok(0) | Err(_) => self.closed = true,
                Ok(bytes) => return bytes,
            }
        }
    }

    /// Keeps the first `bytes` bytes of what was read last.
    pub(crate) async fn keep(&mut self, bytes: usize, log: &mut Option<LogWriter>) {
        let piece = self.redact.pass(self.buffer.get(..bytes).unwrap_or_default());
        self.kept.take(&piece, log).await;
    }

    /// Takes what the ended step has printed last, and lets go of the pipe. Gives the tail back: bytes that are no
    /// UTF-8 are replaced.
    pub(crate) async fn finish(mut self, log: &mut Option<LogWriter>) -> String {
        // Without this flag a leftover would one day block on a full pipe. It can only be missing if the kernel
        // refuses fcntl(2) on an open pipe, which it does not.
        let _ = fcntl(&self.writer, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK));
        let limit = Instant::now() + DRAIN;
        // Not by tokio's readiness, which may not have heard yet of bytes that are already there.
        while Instant::now() < limit {
            match read(&self.reader, &mut self.buffer) {
                Ok(0) => break,
                Ok(bytes) => self.keep(bytes, log).await,
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        let rest = self.redact.rest();
        self.kept.take(&rest, log).await;
        self.kept.finish(log).await
    }
}

impl Kept {
    async fn take(&mut self, piece: &[u8], log: &mut Option<LogWriter>) {
        let room = LOGGED_BYTES_MAX.saturating_sub(self.bytes);
        self.bytes += piece.len() as u64;
        self.tail.extend_from_slice(piece);
        if self.tail.len() > 4 * TAIL_BYTES_MAX {
            self.tail.drain(..self.tail.len() - TAIL_BYTES_MAX);
        }
        let logged = usize::try_from(room).map_or(piece.len(), |room| room.min(piece.len()));
        if let (Some(log), true) = (log, logged > 0) {
            log.append(piece[..logged].to_vec()).await;
        }
    }

    /// Ends the log's entry, and gives the tail.
    async fn finish(self, log: &mut Option<LogWriter>) -> String {
        let tail = if self.tail.len() > TAIL_BYTES_MAX {
            let cut = &self.tail[self.tail.len() - TAIL_BYTES_MAX..];
            // Begins at a letter, not in the middle of one.
            let start = cut.iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
            &cut[start..]
        } else {
            &self.tail[..]
        };
        if let Some(log) = log {
            let left_out = self.bytes.saturating_sub(LOGGED_BYTES_MAX).saturating_sub(tail.len() as u64);
            if self.bytes > LOGGED_BYTES_MAX {
                log.append(format!("\n[{left_out} bytes left out]\n").into_bytes()).await;
                log.append(tail.to_vec()).await;
            }
            if tail.last().is_some_and(|byte| *byte != b'\n') {
                log.append(b"\n".to_vec()).await;
            }
        }
        String::from_utf8_lossy(tail).into_owned()
    }
}
