//! One child process: begun in a group of its own, limited, read, and ended with everything in its group if it must be.
//!
//! The future owns the child. Dropped in the middle, it kills the child's whole group: a step never goes on unwatched
//! because its list was forgotten.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::future::pending;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, sleep_until};

use crate::failpoint::failpoint;
use crate::process::{self, Process, ProcessGroup};
use crate::secret::Secret;

use super::cancel::Cancel;
use super::exit::StepExit;
use super::kind::not_runnable;
use super::log::LogWriter;
use super::output::Output;
use super::redact::Redact;

/// How long a killed process may take to disappear. One in an uninterruptible wait (a dead NFS server) does not.
const KILLED_WITHIN: Duration = Duration::from_secs(2);
/// How long reading the process table may take.
const LOOK_LIMIT: Duration = Duration::from_secs(1);
/// Between two looks at whether a group is empty.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is to run.
pub(crate) struct Invocation<'a> {
    /// The program and its arguments.
    pub(crate) arguments: &'a [OsString],
    /// The whole environment.
    pub(crate) variables: &'a BTreeMap<String, String>,
    /// And what of it is never shown.
    pub(crate) secrets: &'a [(String, Secret)],
    /// Where it runs.
    pub(crate) directory: &'a Path,
    /// How long it may run.
    pub(crate) limit: Duration,
    /// Between TERM and KILL.
    pub(crate) kill_after: Duration,
}

/// How it went.
pub(crate) struct StepEnd {
    pub(crate) exit: StepExit,
    pub(crate) duration: Duration,
    /// The end of its output.
    pub(crate) tail: String,
    /// Its group, if anything is left in it.
    pub(crate) left: Option<ProcessGroup>,
}

impl StepEnd {
    pub(crate) fn not_run(why: String) -> StepEnd {
        StepEnd { exit: StepExit::NotRun(why), duration: Duration::ZERO, tail: String::new(), left: None }
    }
}

/// Runs it to its end. Never fails: what goes wrong is the step's exit.
pub(crate) async fn run(invocation: Invocation<'_>, log: &mut Option<LogWriter>, cancel: &mut Cancel) -> StepEnd {
    let begun = Instant::now();
    let mut output = match Output::new(Redact::new(invocation.secrets)) {
        Ok(output) => output,
        Err(error) => return StepEnd::not_run(format!("no pipe for its output: {error}")),
    };
    let mut running = match Running::begin(&invocation, &output) {
        Ok(running) => running,
        Err(why) => return StepEnd::not_run(why),
    };
    failpoint("script-running");
    let limit = begun + invocation.limit;
    let mut exit = loop {
        tokio::select! {
            exit = running.ended() => break exit,
            bytes = output.read() => output.keep(bytes, log).await,
            () = sleep_until(limit) => break StepExit::TimedOut(invocation.limit),
            () = cancel.cancelled() => break StepExit::Cancelled,
        }
    };
    if matches!(exit, StepExit::TimedOut(_) | StepExit::Cancelled) {
        let wanted = exit.clone();
        running.end(invocation.kill_after, &mut output, log).await;
        exit = wanted;
    }
    let left = running.leftover().await;
    let tail = output.finish(log).await;
    StepEnd { exit, duration: begun.elapsed(), tail, left }
}

/// The kernel says "no such file" of a script whose interpreter is missing, too.
fn why_not(path: &Path, program: &OsString, error: &std::io::Error) -> String {
    let named_by_path = program.as_encoded_bytes().contains(&b'/');
    let told = named_by_path.then(|| not_runnable(path)).flatten();
    told.unwrap_or_else(|| format!("{}: {error}", program.to_string_lossy()))
}

struct Running {
    child: Child,
    group: Option<ProcessGroup>,
    number: Pid,
    /// The child has ended and was collected: from here on the group's number is only as good as the group.
    collected: bool,
}

impl Running {
    fn begin(invocation: &Invocation<'_>, output: &Output<'_>) -> Result<Running, String> {
        let (program, arguments) = invocation.arguments.split_first().ok_or("it is empty")?;
        if !invocation.directory.is_dir() {
            return Err(format!("its folder {} is not there", invocation.directory.display()));
        }
        // Before Linux 5.11 this is refused. What this program opened itself is close-on-exec anyhow.
        let _ = process::keep_descriptors_from_children();
        // No pre_exec: it would make the standard library fork this process instead of using posix_spawn, which takes
        // the longer the more memory this process has.
        let stdio = || output.stdio().map_err(|error| format!("no pipe for its output: {error}"));
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(invocation.variables)
            .envs(invocation.secrets.iter().map(|(name, secret)| (name, OsStr::from_bytes(secret.expose()))))
            .current_dir(invocation.directory)
            .stdin(Stdio::null())
            .stdout(stdio()?)
            .stderr(stdio()?)
            .process_group(0)
            .spawn()
            .map_err(|error| why_not(&invocation.directory.join(program), program, &error))?;
        let number = child.id().and_then(|id| i32::try_from(id).ok()).ok_or("it has no process number")?;
        // Not collected yet, so its entry is there even if it has already ended.
        let group =
            process::look(number).ok().flatten().map(|shell| ProcessGroup { leader: shell.id, session: shell.session });
        Ok(Running { child, group, number: Pid::from_raw(number), collected: false })
    }

    /// Waits for the child itself, not for what it started.
    async fn ended(&mut self) -> StepExit {
        if self.collected {
            return pending().await;
        }
        let exit = match self.child.wait().await {
            Ok(status) => StepExit::from(status),
            Err(error) => StepExit::NotRun(format!("its end cannot be waited for: {error}")),
        };
        self.collected = true;
        exit
    }

    /// TERM to the whole group, then KILL to what is left of it.
    async fn end(&mut self, kill_after: Duration, output: &mut Output<'_>, log: &mut Option<LogWriter>) {
        self.signal(Signal::SIGTERM).await;
        // A stopped process sees TERM only when it goes on.
        self.signal(Signal::SIGCONT).await;
        if !self.gone_by(Instant::now() + kill_after, output, log).await {
            self.signal(Signal::SIGKILL).await;
            self.gone_by(Instant::now() + KILLED_WITHIN, output, log).await;
        }
    }

    /// Whether child and group were gone by then. Goes on reading: a process that is to end may have to print first.
    async fn gone_by(&mut self, limit: Instant, output: &mut Output<'_>, log: &mut Option<LogWriter>) -> bool {
        loop {
            if self.collected && self.is_empty().await {
                return true;
            }
            tokio::select! {
                _ = self.ended() => {}
                bytes = output.read() => output.keep(bytes, log).await,
                () = sleep(LOOK_EVERY) => {}
                () = sleep_until(limit) => return false,
            }
        }
    }

    async fn signal(&self, which: Signal) {
        if !self.collected {
            // The child, dead or alive, keeps the number ours.
            let _ = killpg(self.number, which);
        } else {
            for member in self.members().await.unwrap_or_default() {
                let _ = process::signal(member.id, which);
            }
        }
    }

    /// Who is left in the group of a child that has ended; `None` if that cannot be told. The process table is read only
    /// if the kernel says that there is anyone: what it counts may be zombies that nobody has collected yet.
    async fn members(&self) -> Option<Vec<Process>> {
        let Some(group) = self.group.filter(|_| killpg(self.number, None) != Err(Errno::ESRCH)) else {
            return Some(Vec::new());
        };
        process::aside(LOOK_LIMIT, move || process::in_group(group)).await?.ok()
    }

    async fn leftover(&self) -> Option<ProcessGroup> {
        if self.is_empty().await { None } else { self.group }
    }

    async fn is_empty(&self) -> bool {
        self.members().await.is_some_and(|members| members.is_empty())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.collected {
            let _ = killpg(self.number, Signal::SIGKILL);
        }
    }
}
