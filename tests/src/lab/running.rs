//! A program that runs on a host.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::wait_for;

/// A program that was started on a host. Killed when this value is dropped; what it started itself ends with the host.
pub struct Running {
    shown: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command line and the host.
    pub shown: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Running {
    pub(super) fn new(shown: String, child: Child, out: PathBuf, err: PathBuf) -> Running {
        Running { shown, child, out, err }
    }

    /// The program's own number, as the machine sees it.
    ///
    /// # Errors
    /// When it has ended, or has not begun within 5 s.
    pub fn pid(&self) -> Result<Pid> {
        // What was started directly is nsenter: entering a PID namespace works for a child only, and it waits for it.
        let helper = self.child.id();
        let children = format!("/proc/{helper}/task/{helper}/children");
        wait_for("the program to begin", Duration::from_secs(5), || {
            let numbers = fs::read_to_string(&children).with_context(|| format!("{} has ended", self.shown))?;
            Ok(numbers.split_whitespace().next().and_then(|number| number.parse().ok()).map(Pid::from_raw))
        })
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid()?, signal).with_context(|| format!("signal {}", self.shown))?;
        if signal == Signal::SIGCONT {
            // nsenter stops itself when its child is stopped.
            let _ = kill(Pid::from_raw(i32::try_from(self.child.id())?), signal);
        }
        Ok(())
    }

    /// Lets the helper go on that stopped itself beside a program which was stopped, and has died since: as long as it
    /// stands still nobody collects the dead program, and its host cannot end.
    pub(crate) fn helper_goes_on(&self) {
        if let Ok(helper) = i32::try_from(self.child.id()) {
            // It may have ended, which is as good.
            let _ = kill(Pid::from_raw(helper), Signal::SIGCONT);
        }
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When that takes longer than `limit`; it is killed then, and both outputs are in the error.
    pub fn wait(mut self, limit: Duration) -> Result<Output> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                let (stdout, stderr) = (self.stdout(), self.stderr());
                return Ok(Output { shown: self.shown.clone(), status, stdout, stderr });
            }
            if begin.elapsed() > limit {
                bail!("{} still runs after {limit:?}\n{}{}", self.shown, self.stdout(), self.stderr());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.out)
    }

    /// The file that its standard output goes to.
    #[must_use]
    pub fn stdout_file(&self) -> &Path {
        &self.out
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            if let Ok(pid) = self.pid() {
                let _ = kill(pid, Signal::SIGKILL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.shown, self.status)?;
        writeln!(f, "standard output:\n{}", self.stdout)?;
        write!(f, "standard error:\n{}", self.stderr)
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
