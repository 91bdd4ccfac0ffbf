//! A list of stages, run in order; the steps of a stage run at the same time.
//!
//! The future owns the steps that run. Cancelling it through [`Cancel`] ends them by TERM and KILL; dropping it kills
//! their groups. Either way the journal names them, and the list can be resumed there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Mutex, MutexGuard, mpsc};

use super::attempt::{Attempt, Ended};
use super::cancel::Cancel;
use super::cgroup;
use super::environment::Environment;
use super::event::StepEvent;
use super::exit::StepExit;
use super::log::{LogWriter, ScriptLog};
use super::patience::{Patience, STOP_WAITS_FOR_JOURNAL};
use super::task::{Stage, Task};
use crate::process::ProcessGroup;

/// Which way a list goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Starts the service: gated by the journal, inside the control group.
    Start,
    /// Starts a part of it again while it runs: as a start.
    Restart,
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

impl ListLock {
    /// Waits until no list runs; none begins before the guard is dropped. May be dropped at the await.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.0.lock().await
    }

    /// The same at once, or not at all.
    #[cfg(test)]
    pub(crate) fn try_turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.0.try_lock().ok()
    }
}

/// Where a list begins, or goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The step, counted from 1 through all stages. Stages before the one that holds it are over.
    pub step: u32,
    /// Steps that have ended, and are not run again. What matters are those of the same stage.
    pub ended: BTreeSet<u32>,
}

impl Position {
    /// The beginning.
    #[must_use]
    pub fn first() -> Position {
        Position::at(1)
    }

    /// This step, and nothing is known of others.
    #[must_use]
    pub fn at(step: u32) -> Position {
        Position { step: step.max(1), ended: BTreeSet::new() }
    }
}

/// A list to run.
#[derive(Debug)]
pub struct ListRun {
    /// The steps.
    pub stages: Vec<Stage>,
    /// Where to begin.
    pub position: Position,
    /// The daemon died while this list ran: what still runs of the interrupted steps is ended first.
    pub resumed: bool,
    /// Start, restart or stop.
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
    /// This step failed and ended the list, when the other steps of its stage had ended too.
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
    /// Its command line, and what its end says, for the operator.
    pub reason: String,
}

/// What a list leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOutcome {
    /// How it ended.
    pub end: ListEnd,
    /// Every failed step, in order.
    pub failures: Vec<StepFailure>,
    /// Every step that has ended, well or not.
    pub ended: BTreeSet<u32>,
    /// Groups in which steps left processes behind.
    pub groups: Vec<ProcessGroup>,
}

/// Runs the list. Each step begins only after its [`StepEvent::Before`] was confirmed.
pub async fn run_list(run: ListRun, mut cancel: Cancel) -> ListOutcome {
    let lock = run.lock.clone();
    let _turn = tokio::select! {
        turn = lock.turn() => turn,
        () = cancel.cancelled() => {
            return ListOutcome::new(ListEnd::Cancelled { step: run.position.step });
        }
    };
    let log = match ScriptLog::begin(&run.log_file) {
        Ok(log) => Some(log),
        Err(error) => {
            run.note(format!("the script log cannot be written: {error}")).await;
            None
        }
    };
    let outcome = run.steps(log.as_ref().map(ScriptLog::writer), &cancel).await;
    if let Some(log) = log
        && let Err(why) = log.end().await
    {
        run.note(why).await;
    }
    outcome
}

impl ListRun {
    async fn steps(&self, log: Option<LogWriter>, cancel: &Cancel) -> ListOutcome {
        let mut outcome = ListOutcome::new(ListEnd::Completed);
        outcome.ended.clone_from(&self.position.ended);
        if self.resumed
            && let Err((step, reason)) = self.end_interrupted_steps().await
        {
            match self.direction {
                Direction::Start | Direction::Restart => return ListOutcome::new(ListEnd::NotBegun { step, reason }),
                Direction::Stop => self.note(reason).await,
            }
        }
        let of = u32::try_from(self.stages.iter().map(Vec::len).sum::<usize>()).unwrap_or(u32::MAX);
        let cgroup = self.usable_cgroup().await;
        let patience = &Patience::of(self.direction);
        for (_, stage) in self.numbered() {
            // Where no step follows, the ladder or the looks do: after a crash in those, these must not run again.
            let last = stage.iter().any(|(index, _)| *index == of);
            let attempts = stage.into_iter().map(|(index, task)| {
                let attempt = Attempt { list: self, index, of, last, task, cgroup, patience };
                attempt.run(log.clone(), cancel.clone())
            });
            // All of them, also if one fails: each has its limit, and a step that is half done helps nobody.
            for result in join_all(attempts).await {
                match result {
                    Ok(ended) => outcome.take(ended),
                    Err(end) if outcome.end == ListEnd::Completed => outcome.end = end,
                    Err(_) => {}
                }
            }
            if outcome.end == ListEnd::Completed && self.on_step_failure == OnStepFailure::EndList {
                outcome.end = outcome.failures.first().cloned().map_or(ListEnd::Completed, ListEnd::Failed);
            }
            if outcome.end != ListEnd::Completed {
                break;
            }
        }
        outcome
    }

    /// The stages that are still to be run, with the numbers of their steps.
    fn numbered(&self) -> impl Iterator<Item = (u32, Vec<(u32, &Task)>)> {
        let mut last = 0_u32;
        self.stages.iter().filter_map(move |stage| {
            let first = last.saturating_add(1);
            let numbers = (first..).zip(stage);
            last = last.saturating_add(u32::try_from(stage.len()).unwrap_or(u32::MAX));
            let open = numbers.filter(|(index, _)| !self.position.ended.contains(index)).collect::<Vec<_>>();
            (last >= self.position.step && !open.is_empty()).then_some((first, open))
        })
    }

    /// What marks the processes of a step, so that what is left of an interrupted one can be told from everything else
    /// on the host.
    pub(super) fn marks(&self, index: u32) -> BTreeMap<String, String> {
        [
            ("FAILOVER_STEP".to_owned(), index.to_string()),
            ("FAILOVER_SCRIPT_LOG".to_owned(), self.log_file.to_string_lossy().into_owned()),
        ]
        .into()
    }

    /// What may still run: the steps of the stage at which the list stood that had not ended.
    async fn end_interrupted_steps(&self) -> Result<(), (u32, String)> {
        let stage = self.numbered().find(|(first, _)| *first <= self.position.step);
        let open = match stage {
            Some((_, open)) => open.into_iter().map(|(index, _)| index).collect(),
            None => vec![self.position.step],
        };
        for index in open {
            self.end_interrupted_step(index).await.map_err(|reason| (index, reason))?;
        }
        Ok(())
    }

    async fn usable_cgroup(&self) -> Option<&Path> {
        let folder = self.cgroup.as_deref().filter(|_| self.direction != Direction::Stop)?;
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

    pub(super) async fn note(&self, text: String) {
        self.tell(StepEvent::Note { text }).await;
    }

    /// What needs no answer. A receiver that is gone or stuck loses it.
    pub(super) async fn tell(&self, event: StepEvent) {
        let _ = self.events.send_timeout(event, STOP_WAITS_FOR_JOURNAL).await;
    }
}

impl ListOutcome {
    fn new(end: ListEnd) -> ListOutcome {
        ListOutcome { end, failures: Vec::new(), ended: BTreeSet::new(), groups: Vec::new() }
    }

    fn take(&mut self, ended: Ended) {
        let Ended { index, command, exit, answer, left } = ended;
        self.groups.extend(left);
        if exit == StepExit::Cancelled {
            if self.end == ListEnd::Completed {
                self.end = ListEnd::Cancelled { step: index };
            }
            return;
        }
        self.ended.insert(index);
        if !answer.passed() {
            self.failures.push(StepFailure {
                step: index,
                exit,
                reason: format!("step {index} ({command}) {}", answer.said),
            });
        }
    }
}
