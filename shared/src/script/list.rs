//! A list of steps, run in order.
//!
//! The future owns the step that runs. Cancelling it through [`Cancel`] ends the step by TERM and KILL; dropping it
//! kills the step's group. Either way the journal names the step, and the list can be resumed there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::config::Step;
use crate::failpoint::failpoint;
use crate::process::{self, Process, ProcessGroup};

use super::cancel::Cancel;
use super::cgroup;
use super::contract::Contract;
use super::environment::Environment;
use super::event::{StepEvent, StepGate};
use super::exit::StepExit;
use super::log::ScriptLog;
use super::step::{self, Invocation};

/// How long a stop waits for a journal that hangs, once in the whole list, and any list for a step's end to be in it. A
/// hanging disk must not keep the service alive.
const STOP_WAITS_FOR_JOURNAL: Duration = Duration::from_secs(2);
/// How long a start waits for it. A start without a journal is not begun.
const START_WAITS_FOR_JOURNAL: Duration = Duration::from_secs(30);
/// How long the look for what an interrupted list left behind may take.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// Moves the step into the control group and then becomes it. If it cannot, the step still runs, and says so in its
/// output: the missing evidence shows when the stop is verified.
const ENTER_CGROUP: &str = "{ echo $$ > \"$0/cgroup.procs\"; } 2>/dev/null \
     || echo \"failover: cannot enter the control group $0\" >&2; exec \"$@\"";

/// Which way a list goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Starts the service: gated by the journal, inside the control group.
    Start,
    /// Stops it: the journal is asked, but cannot hold it up.
    Stop,
}

/// What a failed step does to the rest of its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStepFailure {
    /// The list ends there.
    #[default]
    EndList,
    /// The rest runs all the same: to stop what was only half started.
    GoOn,
}

/// Keeps two lists of one host from running at once: a clone of the same lock goes into each.
#[derive(Clone, Debug, Default)]
pub struct ListLock(Arc<Mutex<()>>);

/// A list to run.
#[derive(Debug)]
pub struct ListRun {
    /// What kind of steps these are.
    pub contract: Contract,
    /// The steps.
    pub steps: Vec<Step>,
    /// The step to begin with, counted from 1.
    pub from_step: u32,
    /// The daemon died while this list ran: what still runs of the interrupted step is ended first.
    pub resumed: bool,
    /// Start or stop.
    pub direction: Direction,
    /// What follows a failed step.
    pub on_step_failure: OnStepFailure,
    /// What the steps are told.
    pub environment: Environment,
    /// Where they run.
    pub directory: PathBuf,
    /// The host's script log.
    pub log_file: PathBuf,
    /// Between TERM and KILL for a step that must be ended.
    pub kill_after: Duration,
    /// The folder of the service's control group (see [`cgroup::folder`]). Used by starts only.
    pub cgroup: Option<PathBuf>,
    /// Shared by all lists of the host.
    pub lock: ListLock,
    /// Who keeps the journal.
    pub events: mpsc::Sender<StepEvent>,
}

/// How a list ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListEnd {
    /// Every step ran. With [`OnStepFailure::GoOn`] some may have failed.
    Completed,
    /// This step failed and ended the list.
    Failed(StepFailure),
    /// Cancelled: this step was ended, or not begun.
    Cancelled {
        /// The step, from 1.
        step: u32,
    },
    /// This step was not begun, for a reason outside of it.
    NotBegun {
        /// The step, from 1.
        step: u32,
        /// One sentence.
        reason: String,
    },
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepFailure {
    /// The step, from 1.
    pub step: u32,
    /// How it ended.
    pub exit: StepExit,
    /// Its command line, and how it ended, for the operator.
    pub reason: String,
}

/// What a list leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOutcome {
    /// How it ended.
    pub end: ListEnd,
    /// Every failed step, in order.
    pub failures: Vec<StepFailure>,
    /// Groups in which steps left processes behind.
    pub groups: Vec<ProcessGroup>,
    /// A step left processes in the service's control group, which makes the group evidence later.
    pub cgroup_populated: bool,
}

/// Runs the list. Each step begins only after its [`StepEvent::Before`] was confirmed.
pub async fn run_list(run: ListRun, mut cancel: Cancel) -> ListOutcome {
    let lock = run.lock.clone();
    let _turn = tokio::select! {
        turn = lock.0.lock() => turn,
        () = cancel.cancelled() => {
            return ListOutcome::new(ListEnd::Cancelled { step: run.from_step.max(1) });
        }
    };
    let mut log = match ScriptLog::begin(&run.log_file) {
        Ok(log) => Some(log),
        Err(error) => {
            run.note(format!("the script log cannot be written: {error}")).await;
            None
        }
    };
    let outcome = run.steps(&mut log, &mut cancel).await;
    if let Some(log) = log
        && let Err(why) = log.end().await
    {
        run.note(why).await;
    }
    outcome
}

impl ListRun {
    async fn steps(&self, log: &mut Option<ScriptLog>, cancel: &mut Cancel) -> ListOutcome {
        let mut outcome = ListOutcome::new(ListEnd::Completed);
        let of = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        let from = self.from_step.max(1);
        if self.resumed
            && let Err(reason) = self.end_interrupted_step(from).await
        {
            match self.direction {
                Direction::Start => return ListOutcome::new(ListEnd::NotBegun { step: from, reason }),
                Direction::Stop => self.note(reason).await,
            }
        }
        let cgroup = self.usable_cgroup().await;
        let mut patience = match self.direction {
            Direction::Start => START_WAITS_FOR_JOURNAL,
            Direction::Stop => STOP_WAITS_FOR_JOURNAL,
        };
        for (index, step) in (1..=of).zip(&self.steps).skip_while(|(index, _)| *index < from) {
            if let Err(end) = self.confirmed(index, of, step, &mut patience, cancel).await {
                outcome.end = end;
                return outcome;
            }
            failpoint("script-before");
            let end = self.one(index, of, step, cgroup, log, cancel).await;
            failpoint("script-after");
            let passed = self.contract.passed(&end.exit);
            outcome.groups.extend(end.left);
            if let Some(folder) = cgroup {
                outcome.cgroup_populated |= matches!(cgroup::populated(folder), Ok(Some(true)));
            }
            let exit = end.exit.clone();
            let (gate, written) = StepGate::new();
            self.tell(StepEvent::After {
                index,
                of,
                exit: end.exit,
                passed,
                duration: end.duration,
                tail: end.tail,
                left: end.left,
                gate,
            })
            .await;
            if exit == StepExit::Cancelled {
                outcome.end = ListEnd::Cancelled { step: index };
                return outcome;
            }
            // The entry of the next step comes behind this one in the same file. Where none follows, the ladder or the
            // looks do: after a crash in those, this step must not run again.
            if !passed || index == of {
                self.in_journal(index, written, &mut patience).await;
            }
            if !passed {
                let reason = format!("step {index} ({}) {exit}", step.command);
                let failure = StepFailure { step: index, exit, reason };
                outcome.failures.push(failure.clone());
                if self.on_step_failure == OnStepFailure::EndList {
                    outcome.end = ListEnd::Failed(failure);
                    return outcome;
                }
            }
        }
        outcome
    }

    /// Waits until the journal has the step's entry.
    async fn confirmed(
        &self,
        index: u32,
        of: u32,
        step: &Step,
        patience: &mut Duration,
        cancel: &mut Cancel,
    ) -> Result<(), ListEnd> {
        if cancel.is_cancelled() {
            return Err(ListEnd::Cancelled { step: index });
        }
        let (gate, opened) = StepGate::new();
        let asked = async {
            let before = StepEvent::Before { index, of, command: step.command.clone(), gate };
            self.events.send(before).await.is_ok() && opened.await.is_ok()
        };
        let confirmed = tokio::select! {
            confirmed = timeout(*patience, asked) => within(confirmed, patience),
            () = cancel.cancelled() => return Err(ListEnd::Cancelled { step: index }),
        };
        match (confirmed, self.direction) {
            (true, _) => Ok(()),
            (false, Direction::Start) => Err(ListEnd::NotBegun {
                step: index,
                reason: "its journal entry could not be made durable, and a start needs that: see the disk that holds \
                         the journal"
                    .to_owned(),
            }),
            (false, Direction::Stop) => {
                self.note(format!(
                    "step {index} runs without a durable journal entry: a stop does not wait for the disk"
                ))
                .await;
                Ok(())
            }
        }
    }

    /// Waits until the journal has the step's end; a list that cannot have that goes on all the same.
    async fn in_journal(&self, index: u32, written: oneshot::Receiver<()>, patience: &mut Duration) {
        *patience = (*patience).min(STOP_WAITS_FOR_JOURNAL);
        let written = timeout(*patience, async { written.await.is_ok() }).await;
        if !within(written, patience) {
            self.note(format!("the end of step {index} is not in the journal: after a crash it would run again")).await;
        }
    }

    async fn one(
        &self,
        index: u32,
        of: u32,
        step: &Step,
        cgroup: Option<&Path>,
        log: &mut Option<ScriptLog>,
        cancel: &mut Cancel,
    ) -> step::StepEnd {
        let title = format!("{} step {index} of {of}", self.environment.operation);
        if let Some(log) = log {
            let (now, epoch) = (jiff::Timestamp::now(), self.environment.epoch);
            log.append(format!("=== {now:.3} {title}, epoch {epoch}: {}\n", step.command).into_bytes()).await;
        }
        let mut arguments: Vec<OsString> = Vec::new();
        if let Some(folder) = cgroup {
            arguments.extend(["/bin/sh".into(), "-c".into(), ENTER_CGROUP.into(), folder.into()]);
        }
        arguments.extend(self.contract.invocation(step));
        let invocation = Invocation {
            arguments: &arguments,
            variables: &self.variables(index),
            directory: &self.directory,
            limit: step.timeout,
            kill_after: self.kill_after,
        };
        let end = step::run(invocation, log, cancel).await;
        if let Some(log) = log {
            let (now, took) = (jiff::Timestamp::now(), end.duration.as_millis());
            log.append(format!("=== {now:.3} {title}: {} ({took} ms)\n", end.exit).into_bytes()).await;
        }
        end
    }

    /// The step's environment. Its number and the path of the log also mark its processes, so that what is left of an
    /// interrupted step can be told from everything else on the host.
    fn variables(&self, index: u32) -> BTreeMap<String, String> {
        let mut variables = self.environment.variables();
        variables.insert("FAILOVER_STEP".to_owned(), index.to_string());
        variables.insert("FAILOVER_SCRIPT_LOG".to_owned(), self.log_file.to_string_lossy().into_owned());
        variables
    }

    /// Ends the step that ran when the daemon died, if its shell still runs: it is about to be run again, and two of
    /// it at once were never asked for. What the step had already left in the background is part of the service and
    /// stays.
    async fn end_interrupted_step(&self, index: u32) -> Result<(), String> {
        let variables = self.variables(index);
        let marks: Vec<Vec<u8>> =
            ["FAILOVER_EPOCH", "FAILOVER_OPERATION", "FAILOVER_PEER", "FAILOVER_STEP", "FAILOVER_SCRIPT_LOG"]
                .iter()
                .filter_map(|name| variables.get(*name).map(|value| format!("{name}={value}").into_bytes()))
                .collect();
        let groups = process::aside(LOOK_LIMIT, move || {
            let found = process::with_environment(&marks)?;
            Ok::<_, std::io::Error>(found.into_iter().filter(leads_its_group).collect::<Vec<Process>>())
        });
        let leaders = match groups.await {
            Some(Ok(leaders)) => leaders,
            Some(Err(error)) => return Err(format!("whether step {index} still runs cannot be told: {error}")),
            None => return Err(format!("whether step {index} still runs cannot be told: /proc does not answer")),
        };
        for leader in leaders {
            let group = ProcessGroup { leader: leader.id, session: leader.session };
            self.note(format!("step {index} still runs as {leader} from before the restart, and is ended")).await;
            if !end_group(group, self.kill_after).await {
                return Err(format!("step {index} still runs as {leader} and cannot be ended"));
            }
        }
        Ok(())
    }

    async fn usable_cgroup(&self) -> Option<&Path> {
        let folder = self.cgroup.as_deref().filter(|_| self.direction == Direction::Start)?;
        match cgroup::make(folder) {
            Ok(()) => Some(folder),
            Err(error) => {
                self.note(format!(
                    "the service runs without its control group, which is then no evidence at a stop: {}: {error}",
                    folder.display()
                ))
                .await;
                None
            }
        }
    }

    async fn note(&self, text: String) {
        self.tell(StepEvent::Note { text }).await;
    }

    /// What needs no answer. A receiver that is gone or stuck loses it.
    async fn tell(&self, event: StepEvent) {
        let _ = self.events.send_timeout(event, STOP_WAITS_FOR_JOURNAL).await;
    }
}

impl ListOutcome {
    fn new(end: ListEnd) -> ListOutcome {
        ListOutcome { end, failures: Vec::new(), groups: Vec::new(), cgroup_populated: false }
    }
}

/// Whether the journal has the entry. One that let the time run out hangs, and is not waited for again in this list.
fn within(outcome: Result<bool, Elapsed>, patience: &mut Duration) -> bool {
    outcome.unwrap_or_else(|Elapsed { .. }| {
        *patience = Duration::ZERO;
        false
    })
}

/// A step's shell leads a group in the daemon's session; a daemon that it started has a session of its own.
fn leads_its_group(process: &Process) -> bool {
    process.group == process.id.pid && process.session != process.id.pid
}

/// TERM, KILL. Whether the group is empty then.
async fn end_group(group: ProcessGroup, kill_after: Duration) -> bool {
    for (which, patience) in [(Signal::SIGTERM, kill_after), (Signal::SIGKILL, LOOK_LIMIT)] {
        let limit = tokio::time::Instant::now() + patience;
        let mut told = false;
        loop {
            let members = match process::aside(LOOK_LIMIT, move || process::in_group(group)).await {
                Some(Ok(members)) => members,
                Some(Err(_)) | None => return false,
            };
            if members.is_empty() {
                return true;
            }
            // TERM once: a second one makes some programs skip their clean end. KILL again, against forks.
            for member in members.iter().filter(|_| !told || which == Signal::SIGKILL) {
                let _ = process::signal(member.id, which);
            }
            told = true;
            if tokio::time::Instant::now() >= limit {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    false
}
