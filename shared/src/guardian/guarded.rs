//! The daemon's side: what it holds is written into the page, and what the guardian says of it is read there.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use tokio::net::UnixStream;

use crate::decision::{BootId, Epoch, Millis, Role};

use super::keeper::{ENVIRONMENT_GUARDIAN, ENVIRONMENT_RESTARTS, FLAG_STOP_ONLY};
use super::lease::{Holding, Lease, Spans};
use super::moment::Moment;
use super::page::{Page, PageError, Side};
use super::plan::{Plan, PlanError};
use super::program::page_path;
use super::record::{Guarding, Record, Report};

/// A guardian writes its report at least once a second.
const GUARDIAN_SILENT_AFTER: Millis = Millis(3_000);
/// A turn that comes later than this says nothing of the guardian: the whole host may have stood still.
const PUNCTUAL_WITHIN: Millis = Millis(1_000);
/// Set by systemd for a unit's main process (systemd.exec(5)).
const ENVIRONMENT_SYSTEMD: &str = "SYSTEMD_EXEC_PID";
const NO_LEASE: Lease = Lease {
    holding: Holding::Idle,
    epoch: Epoch(0),
    since: Moment { boottime_ns: 0, raw_ns: 0 },
    spans: Spans { stop_after_ms: Millis(0), scripts_ms: Millis(0), kill_ms: Millis(0), watchdog_ms: Millis(0) },
};

/// A daemon's hold on its guardian.
#[derive(Debug)]
pub struct Guarded {
    page: Page,
    record: Record,
    remembered: Option<Lease>,
    report: Option<Report>,
    /// Since when the report has not moved, counted in punctual turns only.
    silent_ms: Millis,
    turned_at: Moment,
    guardian: Pid,
    line: UnixStream,
}

/// Why a daemon has no guardian.
#[derive(Debug, thiserror::Error)]
pub enum GuardedError {
    /// It was started without one.
    #[error("this daemon runs without its guardian (--no-guardian), and a lease needs one")]
    None,
    /// The line to it cannot be used.
    #[error("the line to the guardian cannot be used")]
    Line(#[source] io::Error),
    /// The page cannot be used.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The plan cannot be written.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// Whether a start may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arming {
    /// The guardian has not seen the lease yet.
    Waiting,
    /// It guards the lease: the watchdog is open and its time-out was read back, or the plan has none.
    Armed,
    /// It does not, and why. Nothing may be started; it goes on trying.
    Refused(String),
}

/// How the guardian is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardianIs {
    /// It moves.
    Alive,
    /// It did not move for three seconds and was killed. [`Guarded::news`] says so in a moment.
    Killed,
}

/// What the guardian's line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The report says something new.
    Report,
    /// The guardian is gone: see [`Guarded::replace_guardian`].
    Gone,
}

impl Guarded {
    /// Takes up the line and the page, and leaves the plan for the guardian. What was held before stays in force until
    /// [`Guarded::publish`]. To be called once, in a runtime: it takes the standard input.
    ///
    /// # Errors
    /// See [`GuardedError`].
    pub fn start(run_dir: &Path, role: Role, boot: BootId, plan: &Plan) -> Result<Guarded, GuardedError> {
        let named = std::env::var(ENVIRONMENT_GUARDIAN).ok().and_then(|pid| pid.parse().ok().map(Pid::from_raw));
        let guardian = named.filter(|guardian| *guardian == getppid()).ok_or(GuardedError::None)?;
        let line = stdin_line().map_err(GuardedError::Line)?;
        let path = page_path(run_dir, role);
        let digest = plan.write(&path.with_extension("guard"))?;
        let page = Page::open(&path)?;
        let newest = page.newest(Side::Daemon, |words| Record::parse(words).map(|record| (record.sequence, record)))?;
        let remembered = newest.filter(|record| record.boot == boot).map(|record| record.lease);
        let sequence = newest.map_or(0, |record| record.sequence);
        let lease = remembered.unwrap_or(NO_LEASE);
        let mut guarded = Guarded {
            page,
            record: Record { sequence, boot, lease, plan: digest },
            remembered,
            report: None,
            silent_ms: Millis(0),
            turned_at: Moment::now(),
            guardian,
            line,
        };
        guarded.write()?;
        Ok(guarded)
    }

    /// What the daemon before this one held, in this kernel start. `Held` with a span past [`super::Span::Serving`] is
    /// over: the service is to be stopped, and nothing gone on with.
    #[must_use]
    pub fn remembered(&self) -> Option<Lease> {
        self.remembered
    }

    /// What the guardian said last, if it did in this kernel start.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// The lease as it was published last.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.record.lease
    }

    /// Tells the guardian what is held from now on, and wakes it. The guardian takes only what goes forward: a higher
    /// epoch, or a later t0.
    ///
    /// # Errors
    /// The page cannot be written. The guardian then goes on with what it knows.
    pub fn publish(&mut self, lease: Lease) -> Result<(), GuardedError> {
        self.record.lease = lease;
        self.write()?;
        // A full line has woken it already.
        let _ = self.line.try_write(b".");
        Ok(())
    }

    /// To be called in each turn of the loop, at least once a second: shows the guardian that this daemon lives, and
    /// looks whether the guardian does.
    ///
    /// # Errors
    /// The page cannot be read or written.
    pub fn turn(&mut self, now: Moment) -> Result<GuardianIs, GuardedError> {
        self.write()?;
        let before = self.report.as_ref().map(|report| report.pulse);
        self.read()?;
        let passed = now.since(self.turned_at);
        self.turned_at = now;
        let moved = self.report.as_ref().map(|report| report.pulse) != before;
        self.silent_ms = if moved || passed > PUNCTUAL_WITHIN { Millis(0) } else { self.silent_ms.after(passed) };
        if self.silent_ms < GUARDIAN_SILENT_AFTER || getppid() != self.guardian {
            return Ok(GuardianIs::Alive);
        }
        // It is our parent and not reaped, so its number is nobody else's.
        match kill(self.guardian, Signal::SIGKILL) {
            Ok(()) => Ok(GuardianIs::Killed),
            Err(error) => Err(GuardedError::Line(error.into())),
        }
    }

    /// Whether the lease that was published last is guarded. Reads the page.
    ///
    /// # Errors
    /// The page cannot be read.
    pub fn arming(&mut self) -> Result<Arming, GuardedError> {
        self.read()?;
        let Some(report) = self.report.as_ref().filter(|report| report.epoch == self.record.lease.epoch) else {
            return Ok(Arming::Waiting);
        };
        Ok(match report.guarding {
            _ if self.record.lease.holding != Holding::Held => Arming::Refused("no lease is held".to_owned()),
            Guarding::Armed | Guarding::ArmedAlone => Arming::Armed,
            Guarding::Idle => Arming::Waiting,
            Guarding::Refused => Arming::Refused(report.why.clone()),
            Guarding::Ending | Guarding::Resetting => Arming::Refused("its time is over".to_owned()),
            Guarding::Ended => Arming::Refused("the guardian has ended this epoch".to_owned()),
        })
    }

    /// Waits for the guardian's line. May be dropped at any time; nothing is lost but the wish to look.
    pub async fn news(&self) -> News {
        let mut bytes = [0; 64];
        loop {
            if self.line.readable().await.is_err() {
                return News::Gone;
            }
            match self.line.try_read(&mut bytes) {
                Ok(0) => return News::Gone,
                Ok(_) => return News::Report,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return News::Gone,
            }
        }
    }

    /// Turns this daemon into the start of a fresh guardian with a fresh daemon, after [`News::Gone`]; its children stay
    /// its children. To be called from the main thread, with everything that must not be lost on the disk. Returns only
    /// if that is not to be done, and the daemon is to end: systemd starts both again, or the system refuses.
    #[must_use]
    pub fn replace_guardian(&self) -> io::Error {
        let unit_ends = std::env::var(ENVIRONMENT_SYSTEMD).is_ok_and(|pid| pid == self.guardian.to_string());
        if unit_ends {
            return io::Error::other("systemd starts the unit again, since its main process is gone");
        }
        let arguments = std::env::args_os().skip(1);
        Command::new("/proc/self/exe")
            .args(arguments.filter(|argument| argument != "--no-guardian" && argument != FLAG_STOP_ONLY))
            .env_remove(ENVIRONMENT_GUARDIAN)
            .env_remove(ENVIRONMENT_RESTARTS)
            .stdin(Stdio::null())
            .exec()
    }

    fn write(&mut self) -> Result<(), GuardedError> {
        self.record.sequence = self.record.sequence.saturating_add(1);
        Ok(self.page.write(Side::Daemon, self.record.sequence, &self.record.to_string())?)
    }

    fn read(&mut self) -> Result<(), GuardedError> {
        let newest =
            self.page.newest(Side::Guardian, |words| Report::parse(words).map(|report| (report.pulse, report)))?;
        self.report = newest.filter(|report| report.boot == self.record.boot);
        Ok(())
    }
}

/// The daemon's end of the line, moved out of the way of its children.
fn stdin_line() -> io::Result<UnixStream> {
    use std::os::fd::AsFd;
    let line = std::os::unix::net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Refused for what is no socket.
    line.peer_addr()?;
    line.set_nonblocking(true)?;
    let nothing = std::fs::File::open("/dev/null")?;
    nix::unistd::dup2_stdin(&nothing)?;
    UnixStream::from_std(line)
}
