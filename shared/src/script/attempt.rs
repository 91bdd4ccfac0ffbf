//! One step of a list, from its journal entry to its end.

use std::path::Path;

use super::cancel::Cancel;
use super::event::{StepEvent, StepGate};
use super::exit::StepExit;
use super::kind::Answer;
use super::list::{Direction, ListEnd, ListRun};
use super::log::LogWriter;
use super::patience::Patience;
use super::prepare::{Prepared, prepare};
use super::step::{self, Invocation, StepEnd};
use super::task::Task;
use crate::failpoint::failpoint;
use crate::process::ProcessGroup;

/// A step of a list.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) list: &'a ListRun,
    /// Its number, from 1.
    pub(super) index: u32,
    /// How many there are.
    pub(super) of: u32,
    /// No stage follows.
    pub(super) last: bool,
    pub(super) task: &'a Task,
    /// The service's control group, where there is one to use.
    pub(super) cgroup: Option<&'a Path>,
    pub(super) patience: &'a Patience,
}

/// A step that has ended.
pub(super) struct Ended {
    pub(super) index: u32,
    pub(super) command: String,
    pub(super) exit: StepExit,
    pub(super) answer: Answer,
    /// Its group, if anything is left in it.
    pub(super) left: Option<ProcessGroup>,
}

impl Attempt<'_> {
    /// Runs it. `Err`: it was not begun.
    pub(super) async fn run(self, mut log: Option<LogWriter>, mut cancel: Cancel) -> Result<Ended, ListEnd> {
        let Attempt { list, index, of, task, .. } = self;
        let command = task.title(list.environment.operation);
        self.confirmed(&command, &mut cancel).await?;
        failpoint("script-before");
        let end = self.to_its_end(&command, &mut log, &mut cancel).await;
        failpoint("script-after");
        let answer = task.script.contract().answer(task.action, &end.exit);
        let (gate, written) = StepGate::new();
        list.tell(StepEvent::After {
            index,
            of,
            command: command.clone(),
            exit: end.exit.clone(),
            passed: answer.passed(),
            said: answer.said.clone(),
            duration: end.duration,
            tail: end.tail,
            left: end.left,
            gate,
        })
        .await;
        // Of others, the next step's entry comes behind theirs in the same file.
        let awaited = (self.last || !answer.passed()) && end.exit != StepExit::Cancelled;
        if awaited && !self.patience.for_end(async { written.await.is_ok() }).await {
            list.note(format!("the end of step {index} is not in the journal: after a crash it would run again")).await;
        }
        Ok(Ended { index, command, exit: end.exit, answer, left: end.left })
    }

    /// Waits until the journal has the step's entry.
    async fn confirmed(self, command: &str, cancel: &mut Cancel) -> Result<(), ListEnd> {
        let Attempt { list, index, of, patience, .. } = self;
        if cancel.is_cancelled() {
            return Err(ListEnd::Cancelled { step: index });
        }
        let (gate, opened) = StepGate::new();
        let asked = async {
            let before = StepEvent::Before { index, of, command: command.to_owned(), gate };
            list.events.send(before).await.is_ok() && opened.await.is_ok()
        };
        let confirmed = tokio::select! {
            confirmed = patience.for_beginning(asked) => confirmed,
            () = cancel.cancelled() => return Err(ListEnd::Cancelled { step: index }),
        };
        match (confirmed, list.direction) {
            (true, _) => Ok(()),
            (false, Direction::Start | Direction::Restart) => Err(ListEnd::NotBegun {
                step: index,
                reason: "its journal entry could not be made durable, and a start needs that: see the disk that holds \
                         the journal"
                    .to_owned(),
            }),
            (false, Direction::Stop) => {
                list.note(format!(
                    "step {index} runs without a durable journal entry: a stop does not wait for the disk"
                ))
                .await;
                Ok(())
            }
        }
    }

    async fn to_its_end(self, command: &str, log: &mut Option<LogWriter>, cancel: &mut Cancel) -> StepEnd {
        let Attempt { list, index, of, task, cgroup, .. } = self;
        let title = format!("{} step {index} of {of}", list.environment.operation);
        if let Some(log) = log {
            let (now, epoch) = (jiff::Timestamp::now(), list.environment.epoch);
            log.append(format!("=== {now:.3} {title}, epoch {epoch}: {command}\n").into_bytes()).await;
        }
        let end = match prepare(task, &list.environment, &list.directory, cgroup).await {
            Ok(Prepared { arguments, mut variables, secrets, notes }) => {
                for note in notes {
                    list.note(format!("step {index}: {note}")).await;
                }
                variables.extend(list.marks(index));
                let invocation = Invocation {
                    arguments: &arguments,
                    variables: &variables,
                    secrets: &secrets,
                    directory: &list.directory,
                    limit: task.limit(),
                    kill_after: list.kill_after,
                };
                step::run(invocation, log, cancel).await
            }
            Err(why) => StepEnd::not_run(why),
        };
        if let Some(log) = log {
            let (now, took) = (jiff::Timestamp::now(), end.duration.as_millis());
            log.append(format!("=== {now:.3} {title}: {} ({took} ms)\n", end.exit).into_bytes()).await;
        }
        end
    }
}
