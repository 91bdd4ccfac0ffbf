//! One step: started, awaited, limited, ended as a whole group.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::output::Output;
use super::{ListRun, StepAt};
use crate::config::Step;
use crate::failpoint::failpoint;
use crate::process;

/// How often a running step's output is held against its bound.
const BOUND_EVERY: Duration = Duration::from_millis(250);

/// How a step ended.
#[derive(Clone, Debug)]
pub struct StepEnd {
    /// Its exit.
    pub exit: Exit,
    /// How long it ran.
    pub took: Duration,
    /// The end of its output.
    pub tail: String,
}

/// The ways to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited by itself.
    Status(ExitStatus),
    /// It ran out of time and was killed.
    TimedOut(Duration),
    /// The list was ended.
    Cancelled,
    /// It could not be started, or not be awaited.
    NotRun(String),
}

impl StepEnd {
    /// Why it counts as failed; `None` for exit 0.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match &self.exit {
            Exit::Status(status) if status.success() => None,
            Exit::Status(status) => Some(match (status.code(), status.signal()) {
                (Some(126), _) => "exit 126: a command in it is not executable (chmod +x?)".into(),
                (Some(127), _) => "exit 127: a command in it was not found".into(),
                (Some(code), _) => format!("exit {code}"),
                (None, Some(signal)) => {
                    let name = Signal::try_from(signal).map_or("an unknown signal", Signal::as_str);
                    format!("ended by {name}")
                }
                (None, None) => "ended in an unknown way".into(),
            }),
            Exit::TimedOut(limit) => Some(format!("ran out of its time ({limit:?}) and was killed")),
            Exit::Cancelled => Some("ended from outside".into()),
            Exit::NotRun(why) => Some(why.clone()),
        }
    }

    /// The list was ended while it ran.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.exit == Exit::Cancelled
    }
}

pub(super) async fn run(run: &ListRun, step: &Step, at: &StepAt, cancel: &mut watch::Receiver<bool>) -> StepEnd {
    let began = Instant::now();
    let heading =
        format!("{} step {}/{} epoch {}: {}", at.list.word(), at.index, at.of, run.environment.epoch, at.command);
    let log = run.log.clone();
    let opened = tokio::task::spawn_blocking(move || Output::open(&log, &heading)).await;
    let not_run = |why: String| StepEnd { exit: Exit::NotRun(why), took: began.elapsed(), tail: String::new() };
    let mut output = match opened {
        Ok(Ok(output)) => Some(output),
        // Without a log (a full disk) a stop must still run; its output is lost, which is said.
        Ok(Err(error)) => {
            tracing::warn!(%error, log = %run.log.display(), "the script log cannot be written; the step's output is lost");
            None
        }
        Err(error) => return not_run(format!("the script log could not be opened: {error}")),
    };
    let mut child = match spawn(run, step, at, output.as_ref()) {
        Ok(child) => child,
        Err(error) => return not_run(format!("could not be started: {error}")),
    };
    failpoint("step-started");
    let exit = wait(&mut child, step.timeout, run.kill_after, output.as_mut(), cancel).await;
    let took = began.elapsed();
    let tail = match output {
        Some(output) => tokio::task::spawn_blocking(move || output.tail()).await.unwrap_or_default(),
        None => String::new(),
    };
    StepEnd { exit, took, tail }
}

fn spawn(run: &ListRun, step: &Step, at: &StepAt, output: Option<&Output>) -> std::io::Result<Child> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(&step.command).current_dir(&run.directory).env_clear();
    command.envs(run.environment.variables(at.index)).stdin(Stdio::null()).process_group(0);
    match output {
        Some(output) => {
            command.stdout(output.descriptor()?).stderr(output.descriptor()?);
        }
        None => {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
    }
    command.spawn()
}

async fn wait(
    child: &mut Child,
    limit: Duration,
    kill_after: Duration,
    mut output: Option<&mut Output>,
    cancel: &mut watch::Receiver<bool>,
) -> Exit {
    let group = child.id().and_then(|pid| i32::try_from(pid).ok());
    let out_of_time = tokio::time::sleep(limit);
    tokio::pin!(out_of_time);
    let mut bound = tokio::time::interval(BOUND_EVERY);
    let why = loop {
        tokio::select! {
            biased;
            exit = child.wait() => return match exit {
                Ok(status) => Exit::Status(status),
                Err(error) => Exit::NotRun(format!("could not be awaited: {error}")),
            },
            () = &mut out_of_time => break Exit::TimedOut(limit),
            () = ended(cancel) => break Exit::Cancelled,
            _ = bound.tick() => if let Some(output) = output.as_deref_mut() { output.bound() },
        }
    };
    if let Some(group) = group {
        process::signal_group(group, Signal::SIGTERM);
        if tokio::time::timeout(kill_after, child.wait()).await.is_err() {
            process::signal_group(group, Signal::SIGKILL);
            // A process in uninterruptible sleep does not die now; the post-conditions will see it.
            let _ = tokio::time::timeout(Duration::from_secs(1), child.wait()).await;
        }
        // The shell may be gone while children of its group live on.
        process::signal_group(group, Signal::SIGKILL);
    }
    why
}

async fn ended(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|ended| *ended).await.is_err() {
        // Nobody can end the list any more; its own limit still does.
        std::future::pending::<()>().await;
    }
}

/// Ends what an interrupted step left behind: the process groups of its shell, found by its mark. What the step had
/// already put into a session of its own, as daemons do, is the service's, and is left alone.
pub async fn kill_interrupted(marker: &str, kill_after: Duration) {
    let left = || {
        let marked = |process: &procfs::process::Process| {
            let environment = process.environ().unwrap_or_default();
            environment.get(std::ffi::OsStr::new("FAILOVER_STEP")).is_some_and(|value| value == marker)
        };
        process::find(|process, one| one.session != one.pid && marked(process)).unwrap_or_default()
    };
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let processes = left();
        if processes.is_empty() {
            return;
        }
        for process in &processes {
            process::signal(process, signal);
        }
        let until = Instant::now() + kill_after;
        while Instant::now() < until && !left().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
