//! Keeps the daemon alive: starts it, starts it again when it dies, and passes its signals on.
//!
//! One thread, no runtime: it waits for a signal, for its daemon, or for the moment at which something is due.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::lease_watch::{LeaseWatch, Orders};
use super::line::Line;
use super::moment::Moment;
use super::signals::Signals;
use crate::host;

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

/// Runs the daemon until it ends by itself or is told to: by exit 0, by [`EXIT_CONFIG`], or after SIGTERM or SIGINT; and
/// guards the lease that it writes into the page at `page`. `daemon` builds the command of each start. SIGTERM, SIGINT and SIGHUP are passed on.
///
/// While a lease with a limit is held the guardian does not end: it still owes the lease the end of the service.
///
/// Takes the process over: its signals, and every child of it. The exit is the daemon's own; 128 and the signal's number
/// when a signal ended it, but 0 for the signal that it was told to end by.
pub fn run(page: &Path, daemon: impl FnMut() -> Command, pace: Pace) -> ExitCode {
    match guard(page, daemon, pace) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            tracing::error!(%error, "the guardian cannot do its work; the daemon is not watched over");
            ExitCode::from(EXIT_SYSTEM)
        }
    }
}

/// The same with the exit as a number.
fn guard(page: &Path, daemon: impl FnMut() -> Command, pace: Pace) -> io::Result<u8> {
    let signals = Signals::take()?;
    prctl::set_child_subreaper(true)?;
    let lease = LeaseWatch::open(page, host::boot_id().map_err(io::Error::other)?, Moment::now())?;
    let pause = pace.pause_min;
    let mut guardian = Guardian {
        daemon,
        pace,
        signals,
        lease,
        line: None,
        child: None,
        pause,
        start_at: None,
        restarts: 0,
        stop: None,
        last_exit: None,
    };
    guardian.watch()
}

struct Guardian<F> {
    daemon: F,
    pace: Pace,
    signals: Signals,
    lease: LeaseWatch,
    line: Option<Line>,
    child: Option<(Pid, Instant)>,
    /// The pause after the next death.
    pause: Duration,
    start_at: Option<Instant>,
    restarts: u32,
    /// The signal to end by, and when patience ends.
    stop: Option<(Signal, Instant)>,
    /// The daemon has ended for good, by this exit.
    last_exit: Option<u8>,
}

impl<F: FnMut() -> Command> Guardian<F> {
    fn watch(&mut self) -> io::Result<u8> {
        // Without a first start there is nobody to watch over: a wrong path is told at once instead of for ever. Unless a
        // guardian died here before, and its lease is still to be ended.
        if let Err(error) = self.start() {
            self.guard_lease();
            if !self.lease.is_bound(Moment::now()) {
                return Err(error);
            }
            self.start_later();
        }
        loop {
            if let Some(line) = &mut self.line {
                line.drain();
            }
            self.pass_on();
            if let Some((died, lived)) = self.reap()? {
                self.died(died, lived);
            }
            let orders = self.guard_lease();
            self.obey(orders);
            if let Some(code) = self.ends() {
                self.lease.close();
                return Ok(code);
            }
            self.dismiss();
            let due = self.start_at.is_some_and(|at| at <= Instant::now());
            if due && self.child.is_none() && !orders.start_none {
                self.start_again();
            }
            self.lose_patience();
            let pause = self.sleep_for(orders);
            self.signals.wait(self.line.as_ref().and_then(Line::stream), pause)?;
        }
    }

    fn start(&mut self) -> io::Result<()> {
        let now = Moment::now();
        if let Err(error) = self.lease.daemon_begins(now) {
            tracing::error!(%error, "the page is not to be had; the daemon will hold no lease");
        }
        let (line, theirs) = Line::pair()?;
        let mut command = (self.daemon)();
        command.env(ENVIRONMENT_GUARDIAN, std::process::id().to_string());
        command.env(ENVIRONMENT_RESTARTS, self.restarts.to_string());
        // A group of its own: Ctrl-C at a terminal would reach the daemon twice otherwise, and twice means "at once".
        let child = command.stdin(theirs).process_group(0).spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        self.child = Some((Pid::from_raw(pid), Instant::now()));
        self.line = Some(line);
        if self.last_exit.is_some() {
            // Nobody has told this one to end.
            self.stop = None;
        }
        Ok(())
    }

    fn start_again(&mut self) {
        self.restarts = self.restarts.saturating_add(1);
        self.start_at = None;
        if let Err(error) = self.start() {
            tracing::error!(%error, pause = ?self.pause, "the daemon could not be started; it is tried again");
            self.start_later();
        }
    }

    fn start_later(&mut self) {
        self.start_at = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(self.pace.pause_max);
    }

    fn died(&mut self, died: Died, lived: Duration) {
        self.line = None;
        if let Some(code) = self.exit_for(died) {
            self.last_exit.get_or_insert(code);
            return;
        }
        // It was killed to be started at once.
        if self.start_at.is_some() {
            return;
        }
        if lived >= self.pace.well_after {
            self.pause = self.pace.pause_min;
        }
        tracing::error!(?died, restarts = self.restarts, pause = ?self.pause, "the daemon died; it is started again");
        self.start_later();
    }

    /// One turn of the lease's guard. A report that says something new is told to the daemon.
    fn guard_lease(&mut self) -> Orders {
        let told = self.lease.told();
        let orders = self.lease.turn(Moment::now(), self.child.is_some());
        match self.lease.tell(&told) {
            Ok(true) => self.line.iter_mut().for_each(Line::tell),
            Ok(false) => {}
            // The daemon takes a silent report for a guardian that stands still, and replaces it.
            Err(error) => tracing::error!(%error, "the guardian's report was not written"),
        }
        orders
    }

    fn obey(&mut self, orders: Orders) {
        if orders.kill {
            tracing::error!("the daemon is killed, since its lease has run out");
            self.signal(Signal::SIGKILL);
        }
        if orders.start_now && (self.child.is_none() || orders.kill) {
            self.start_at = Some(Instant::now());
        }
    }

    /// The exit, if nothing is left to do.
    fn ends(&self) -> Option<u8> {
        if self.child.is_some() || self.lease.is_bound(Moment::now()) {
            return None;
        }
        self.last_exit.or(self.stop.map(|_| 0))
    }

    /// Until there is something to do without any signal.
    fn sleep_for(&self, orders: Orders) -> Duration {
        let now = Instant::now();
        let patience = self.child.and(self.stop).map(|(_, patience)| patience);
        let start_at = self.start_at.filter(|_| self.child.is_none() && !orders.start_none);
        let lease = self.lease.pause(Moment::now());
        let due = [patience, start_at].into_iter().flatten().map(|at| at.saturating_duration_since(now));
        due.fold(lease, Duration::min)
    }

    /// A daemon that was started for the lease alone, after the last one had ended for good, ends with the lease.
    fn dismiss(&mut self) {
        if self.last_exit.is_some() && self.stop.is_none() && !self.lease.is_bound(Moment::now()) {
            self.stop = Some((Signal::SIGTERM, Instant::now() + self.pace.stop_limit));
            self.signal(Signal::SIGTERM);
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
    fn exit_for(&self, died: Died) -> Option<u8> {
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

#[cfg(test)]
mod tests;
