//! The daemon's hold on its guardian: the page, and the line that tells at once when the guardian has something to say or
//! is gone.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use tokio::net::UnixStream;

use crate::decision::{BootId, Millis, Role};

use super::keeper::{ENVIRONMENT_GUARDIAN, ENVIRONMENT_RESTARTS};
use super::lease::Lease;
use super::lease_page::{Arming, LeasePage, LeasePageError};
use super::moment::Moment;
use super::page::PageError;
use super::plan::Plan;
use super::program::page_path;
use super::record::Report;

/// A guardian writes its report at least once a second.
const GUARDIAN_SILENT_AFTER: Millis = Millis(3_000);
/// A turn that comes later than this says nothing of the guardian: the whole host may have stood still.
const PUNCTUAL_WITHIN: Millis = Millis(1_000);
/// Set by systemd for a unit's main process (systemd.exec(5)).
const ENVIRONMENT_SYSTEMD: &str = "SYSTEMD_EXEC_PID";

/// A daemon's hold on its guardian.
#[derive(Debug)]
pub struct Guarded {
    page: LeasePage,
    report: Option<Report>,
    began: Moment,
    /// When the report was last seen to have moved.
    moved_at: Option<Moment>,
    /// For how long the report has not moved, counted in punctual turns only.
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
    /// It was killed while this daemon was starting, and no other could be started.
    #[error("the guardian that started this daemon is gone, and a lease needs one")]
    Gone(#[source] io::Error),
    /// The line to it cannot be used.
    #[error("the line to the guardian cannot be used")]
    Line(#[source] io::Error),
    /// The page or the plan cannot be used.
    #[error(transparent)]
    Page(#[from] LeasePageError),
}

impl From<PageError> for GuardedError {
    fn from(error: PageError) -> GuardedError {
        GuardedError::Page(error.into())
    }
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
    /// [`Guarded::publish`]. To be called once, in a runtime: it takes the standard input. If the guardian has died
    /// since it started this daemon, this process turns into the next one, as by [`Guarded::replace_guardian`].
    ///
    /// # Errors
    /// See [`GuardedError`].
    pub fn start(run_dir: &Path, role: Role, boot: BootId, plan: &Plan) -> Result<Guarded, GuardedError> {
        let named = std::env::var(ENVIRONMENT_GUARDIAN).ok().and_then(|pid| pid.parse().ok().map(Pid::from_raw));
        let guardian = named.ok_or(GuardedError::None)?;
        if guardian != getppid() {
            return Err(GuardedError::Gone(replace(guardian)));
        }
        let line = stdin_line().map_err(GuardedError::Line)?;
        let page = LeasePage::open(&page_path(run_dir, role), boot, plan)?;
        let now = Moment::now();
        let silent_ms = Millis(0);
        Ok(Guarded { page, report: None, began: now, moved_at: None, silent_ms, turned_at: now, guardian, line })
    }

    /// The page: what was held before, what is held, whether it is guarded, what the guardian says.
    #[must_use]
    pub fn page(&self) -> &LeasePage {
        &self.page
    }

    /// The guardian's process.
    #[must_use]
    pub fn guardian(&self) -> u32 {
        self.guardian.as_raw().unsigned_abs()
    }

    /// What the guardian said last, and for how long it has said nothing new; it says something each second.
    #[must_use]
    pub fn report(&self, now: Moment) -> Option<(&Report, Millis)> {
        Some((self.report.as_ref()?, now.since(self.moved_at?)))
    }

    /// For how long it has said nothing, counted from this daemon's start at the earliest.
    #[must_use]
    pub fn guardian_silent_for(&self, now: Moment) -> Millis {
        now.since(self.moved_at.unwrap_or(self.began))
    }

    /// Leaves another plan, when the configuration was read again.
    ///
    /// # Errors
    /// See [`GuardedError`]; the plan before is then in force.
    pub fn follow_plan(&mut self, plan: &Plan) -> Result<(), GuardedError> {
        Ok(self.page.follow_plan(plan)?)
    }

    /// Tells the guardian what is held from now on, and wakes it: see [`LeasePage::publish`].
    ///
    /// # Errors
    /// The page cannot be written. The guardian then goes on with what it knows.
    pub fn publish(&mut self, lease: Lease) -> Result<(), GuardedError> {
        self.page.publish(lease)?;
        // A full line has woken it already.
        let _ = self.line.try_write(b".");
        Ok(())
    }

    /// Whether the lease that was published last is guarded: see [`LeasePage::arming`].
    ///
    /// # Errors
    /// The page cannot be read.
    pub fn arming(&self) -> Result<Arming, GuardedError> {
        Ok(self.page.arming()?)
    }

    /// To be called in each turn of the loop, at least once a second: shows the guardian that this daemon lives, and
    /// looks whether the guardian does.
    ///
    /// # Errors
    /// The page cannot be read or written.
    pub fn turn(&mut self, now: Moment) -> Result<GuardianIs, GuardedError> {
        self.page.beat()?;
        let report = self.page.report()?;
        let pulse = |report: &Option<Report>| report.as_ref().map(|report| report.pulse);
        let moved = pulse(&report) != pulse(&self.report);
        // The first look finds what a guardian before this one may have left.
        if moved && self.report.is_some() {
            self.moved_at = Some(now);
        }
        self.report = report;
        let passed = now.since(self.turned_at);
        self.turned_at = now;
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
        replace(self.guardian)
    }
}

fn replace(guardian: Pid) -> io::Error {
    let unit_ends = std::env::var(ENVIRONMENT_SYSTEMD).is_ok_and(|pid| pid == guardian.to_string());
    if unit_ends {
        return io::Error::other("systemd starts the unit again, since its main process is gone");
    }
    let arguments = std::env::args_os().skip(1);
    Command::new("/proc/self/exe")
        .args(arguments.filter(|argument| argument != "--no-guardian"))
        .env_remove(ENVIRONMENT_GUARDIAN)
        .env_remove(ENVIRONMENT_RESTARTS)
        .stdin(Stdio::null())
        .exec()
}

/// The daemon's end of the line, moved out of the way of its children.
fn stdin_line() -> io::Result<UnixStream> {
    let line = std::os::unix::net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Refused for what is no socket.
    line.peer_addr()?;
    line.set_nonblocking(true)?;
    let nothing = std::fs::File::open("/dev/null")?;
    nix::unistd::dup2_stdin(&nothing)?;
    UnixStream::from_std(line)
}
