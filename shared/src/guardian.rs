//! The guardian: the small parent process that starts the daemon again when it dies.
//!
//! It never touches the service. What the daemon's scripts started becomes the guardian's child when the daemon dies
//! (`PR_SET_CHILD_SUBREAPER`, prctl(2)), so it is not lost sight of and leaves no zombie, and is left running: the daemon
//! that comes next finds it and goes on.
//!
//! One thread, no runtime: it waits in a read for the next signal, or for the moment of the next start.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Tells the daemon who its guardian is, by process id.
pub const ENVIRONMENT_GUARDIAN: &str = "FAILOVER_GUARDIAN";
/// Tells the daemon how often it was started again.
pub const ENVIRONMENT_RESTARTS: &str = "FAILOVER_RESTARTS";

/// `EX_CONFIG` of sysexits.h: the configuration or the flags are wrong. Starting again would not make them right.
pub const EXIT_CONFIG: u8 = 78;
/// `EX_OSERR` of sysexits.h: the guardian itself could not do its work.
pub const EXIT_SYSTEM: u8 = 71;

/// How fast a dead daemon is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The first pause; it doubles with each death.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// A daemon that lived this long was well: the next pause is the first again.
    pub well_after: Duration,
    /// How long the daemon may take to end when it is told to; then it is killed. The service is not.
    pub stop_limit: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            pause_min: Duration::from_millis(100),
            pause_max: Duration::from_secs(5),
            well_after: Duration::from_secs(60),
            stop_limit: Duration::from_secs(30),
        }
    }
}

/// Runs the daemon until it ends by itself or is told to: by exit 0, by [`EXIT_CONFIG`], or after SIGTERM or SIGINT.
/// `daemon` builds the command of each start. SIGTERM, SIGINT and SIGHUP are passed on.
///
/// Takes the process over: its signals, and every child of it. The exit is the daemon's own; 128 and the signal's number
/// when a signal ended it, but 0 for the signal that it was told to end by.
pub fn run(daemon: impl FnMut() -> Command, pace: Pace) -> ExitCode {
    match guard(daemon, pace) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            tracing::error!(%error, "the guardian cannot do its work; the daemon is not watched over");
            ExitCode::from(EXIT_SYSTEM)
        }
    }
}

/// The same with the exit as a number.
fn guard(daemon: impl FnMut() -> Command, pace: Pace) -> io::Result<u8> {
    let signals = Signals::take()?;
    prctl::set_child_subreaper(true)?;
    Guardian { daemon, pace, signals, child: None, restarts: 0, stop: None }.watch()
}

struct Guardian<F> {
    daemon: F,
    pace: Pace,
    signals: Signals,
    child: Option<(Pid, Instant)>,
    restarts: u32,
    /// The signal to end by, and when patience ends.
    stop: Option<(Signal, Instant)>,
}

impl<F: FnMut() -> Command> Guardian<F> {
    fn watch(&mut self) -> io::Result<u8> {
        // Without a first start there is nobody to watch over: a wrong path is told at once instead of for ever.
        self.start()?;
        let mut pause = self.pace.pause_min;
        let mut start_at: Option<Instant> = None;
        loop {
            self.signals.wait(self.wake_at(start_at))?;
            self.pass_on();
            if let Some((died, lived)) = self.reap()? {
                if let Some(code) = self.last_exit(died) {
                    return Ok(code);
                }
                if lived >= self.pace.well_after {
                    pause = self.pace.pause_min;
                }
                tracing::error!(?died, restarts = self.restarts, ?pause, "the daemon died; it is started again");
                start_at = Some(Instant::now() + pause);
                pause = (pause * 2).min(self.pace.pause_max);
            }
            if self.child.is_none() && self.stop.is_some() {
                return Ok(0);
            }
            if start_at.is_some_and(|at| at <= Instant::now()) {
                self.restarts = self.restarts.saturating_add(1);
                start_at = None;
                if let Err(error) = self.start() {
                    tracing::error!(%error, ?pause, "the daemon could not be started; it is tried again");
                    start_at = Some(Instant::now() + pause);
                    pause = (pause * 2).min(self.pace.pause_max);
                }
            }
            self.lose_patience();
        }
    }

    fn start(&mut self) -> io::Result<()> {
        let mut command = (self.daemon)();
        command.env(ENVIRONMENT_GUARDIAN, std::process::id().to_string());
        command.env(ENVIRONMENT_RESTARTS, self.restarts.to_string());
        // A group of its own: Ctrl-C at a terminal would reach the daemon twice otherwise, and twice means "at once".
        let child = command.process_group(0).spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        self.child = Some((Pid::from_raw(pid), Instant::now()));
        Ok(())
    }

    /// When there is something to do without any signal.
    fn wake_at(&self, start_at: Option<Instant>) -> Option<Instant> {
        match (self.child, self.stop) {
            (Some(_), stop) => stop.map(|(_, patience)| patience),
            (None, _) => start_at,
        }
    }

    fn pass_on(&mut self) {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            if !self.signals.came(signal) {
                continue;
            }
            if signal != Signal::SIGHUP {
                let patience =
                    self.stop.map_or_else(|| Instant::now() + self.pace.stop_limit, |(_, patience)| patience);
                self.stop = Some((signal, patience));
            }
            // Without a daemon SIGHUP is meaningless: the next one reads the new configuration anyway.
            self.signal(signal);
        }
    }

    /// Signals the daemon. It is not reaped yet, so its number is nobody else's.
    fn signal(&self, signal: Signal) {
        if let Some((pid, _)) = self.child
            && let Err(error) = kill(pid, signal)
        {
            tracing::error!(%error, %signal, %pid, "the daemon could not be signalled");
        }
    }

    /// Collects every child that ended, orphans of the daemon's among them. Returns the daemon's end, if it was one of
    /// them, and how long it had lived.
    fn reap(&mut self) -> io::Result<Option<(Died, Duration)>> {
        let mut daemon = None;
        loop {
            let (pid, died) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Died::Exit(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Died::Signal(signal)),
                Ok(WaitStatus::StillAlive) | Err(nix::Error::ECHILD) => return Ok(daemon),
                Ok(_) | Err(nix::Error::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some((child, started)) = self.child
                && child == pid
            {
                self.child = None;
                daemon = Some((died, started.elapsed()));
            }
        }
    }

    /// The guardian's own exit, if the daemon's end is the end.
    fn last_exit(&self, died: Died) -> Option<u8> {
        match (died, self.stop) {
            (Died::Signal(signal), Some((told, _))) if signal == told => Some(0),
            (Died::Signal(signal), Some(_)) => Some(u8::try_from(signal as i32).unwrap_or(0).saturating_add(128)),
            (Died::Exit(code), stop) => {
                let code = u8::try_from(code).unwrap_or(u8::MAX);
                (stop.is_some() || code == 0 || code == EXIT_CONFIG).then_some(code)
            }
            (Died::Signal(_), None) => None,
        }
    }

    fn lose_patience(&mut self) {
        if let Some((told, patience)) = self.stop
            && patience <= Instant::now()
        {
            tracing::error!(%told, "the daemon did not end in time and is killed; the service is left as it is");
            self.signal(Signal::SIGKILL);
            // Asked again, should even this take its time.
            self.stop = Some((told, Instant::now() + self.pace.stop_limit));
        }
    }
}

/// How the daemon ended.
#[derive(Clone, Copy, Debug)]
enum Died {
    /// By this exit.
    Exit(i32),
    /// By this signal.
    Signal(Signal),
}

/// The signals that the guardian lives by: a flag says which came, a byte in a socket wakes the reader.
struct Signals {
    flags: Vec<(Signal, Arc<AtomicBool>)>,
    wakes: UnixStream,
}

impl Signals {
    /// Handles them from now on.
    fn take() -> io::Result<Signals> {
        let (wakes, write) = UnixStream::pair()?;
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
    fn came(&self, signal: Signal) -> bool {
        self.flags.iter().any(|(known, flag)| *known == signal && flag.swap(false, Ordering::SeqCst))
    }

    /// Waits for any signal, or until `wake_at`.
    fn wait(&mut self, wake_at: Option<Instant>) -> io::Result<()> {
        // A time-out of zero would mean "for ever".
        let limit = wake_at.map(|at| at.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
        self.wakes.set_read_timeout(limit)?;
        match self.wakes.read(&mut [0; 64]) {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
