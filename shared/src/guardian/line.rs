//! The guardian's end of the line to its daemon: a socket whose other end is the daemon's standard input.
//!
//! A byte means "look at the page". The end of the stream means that the other side is gone.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

/// One end.
#[derive(Debug)]
pub(super) struct Line {
    stream: UnixStream,
    ended: bool,
}

impl Line {
    /// A line: the guardian's end, and what the daemon is to have as its standard input. Both are closed on exec, so no
    /// other process holds an end; std gives the daemon its copy.
    pub(super) fn pair() -> io::Result<(Line, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((Line { stream: ours, ended: false }, theirs.into()))
    }

    /// What to wait for, while the other side is there.
    pub(super) fn stream(&self) -> Option<&UnixStream> {
        (!self.ended).then_some(&self.stream)
    }

    /// Takes what has come.
    pub(super) fn drain(&mut self) {
        let mut bytes = [0; 256];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.ended = true,
            // More than fits wakes again.
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.ended = true,
        }
    }

    /// Tells the other side to look at the page. A full line has said so already.
    pub(super) fn tell(&mut self) {
        let _ = self.stream.write(b".");
    }
}
