//! What wakes the guardian: a signal, its daemon, or the clock.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

/// The signals that the guardian lives by: a flag says which came, a byte in a socket wakes the reader.
pub(super) struct Signals {
    flags: Vec<(Signal, Arc<AtomicBool>)>,
    wakes: UnixStream,
}

impl Signals {
    /// Handles them from now on.
    pub(super) fn take() -> io::Result<Signals> {
        let (wakes, write) = UnixStream::pair()?;
        wakes.set_nonblocking(true)?;
        let mut flags = Vec::new();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
            let flag = Arc::new(AtomicBool::new(false));
            // The flag before the byte, in the order of the handlers: who wakes finds it set.
            signal_hook::flag::register(signal as i32, Arc::clone(&flag))?;
            signal_hook::low_level::pipe::register(signal as i32, write.try_clone()?)?;
            flags.push((signal, flag));
        }
        Ok(Signals { flags, wakes })
    }

    /// Whether it came since it was last asked for.
    pub(super) fn came(&self, signal: Signal) -> bool {
        self.flags.iter().any(|(known, flag)| *known == signal && flag.swap(false, Ordering::SeqCst))
    }

    /// Waits for a signal, for a byte on `line` (its end as well), or until `limit` is over.
    pub(super) fn wait(&mut self, line: Option<&UnixStream>, limit: Duration) -> io::Result<()> {
        // Rounded up, so that what is due is due when this returns.
        let limit_ms = i32::try_from(limit.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX);
        let limit = PollTimeout::try_from(limit_ms).unwrap_or(PollTimeout::MAX);
        let wakes = self.wakes.as_fd();
        let mut fds: Vec<_> =
            std::iter::once(wakes).chain(line.map(AsFd::as_fd)).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, limit) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        match self.wakes.read(&mut [0; 64]) {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
