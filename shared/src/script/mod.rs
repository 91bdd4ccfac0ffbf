//! Ordered lists of steps, as CPMS had them: shell command lines, run one after the other, each awaited and limited.
//!
//! A step is a process group of its own. Its output goes straight into the script log, not through a pipe: what a step
//! leaves running keeps a descriptor that stays valid when this daemon ends.

mod environment;
mod output;
mod step;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

pub use environment::{Environment, Operation};
pub use step::{StepEnd, kill_interrupted};

use crate::config::Step;
use crate::failpoint::failpoint;

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum List {
    /// The startup scripts.
    Start,
    /// The shutdown scripts.
    Stop,
}

impl List {
    /// The word for it in log and journal.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            List::Start => "start",
            List::Stop => "stop",
        }
    }
}

/// A list on its way.
#[derive(Clone, Debug)]
pub struct ListRun {
    /// Which list.
    pub list: List,
    /// Its steps.
    pub steps: Vec<Step>,
    /// The first step to run, from 1.
    pub from: u32,
    /// What the steps are told.
    pub environment: Environment,
    /// Where relative names start.
    pub directory: PathBuf,
    /// Where the output goes.
    pub log: PathBuf,
    /// Between TERM and KILL for a step that runs out of time.
    pub kill_after: Duration,
}

/// One step at work, for journal and progress.
#[derive(Clone, Debug)]
pub struct StepAt {
    /// Which list.
    pub list: List,
    /// From 1.
    pub index: u32,
    /// Of so many.
    pub of: u32,
    /// The command line.
    pub command: String,
}

/// Who is told of each step, before and after.
pub trait StepWitness {
    /// The step is about to run. False: this could not be written down durably, so the step is not run.
    fn begins(&self, step: &StepAt) -> impl Future<Output = bool> + Send;
    /// The step ended.
    fn ended(&self, step: &StepAt, end: &StepEnd) -> impl Future<Output = ()> + Send;
}

/// How a list ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListEnd {
    /// Every step exited 0.
    Done,
    /// A step failed; the ones behind it were not run.
    Failed {
        /// From 1.
        step: u32,
        /// In words.
        reason: String,
    },
    /// Somebody ended the list; its running step was killed.
    Cancelled,
}

/// Runs a list. `cancel` turning true ends it. Steps of a stop list run all, even when one fails: each may still stop
/// something; the first failure is what is reported.
pub async fn run_list<W: StepWitness>(run: &ListRun, witness: &W, cancel: &mut watch::Receiver<bool>) -> ListEnd {
    let of = u32::try_from(run.steps.len()).unwrap_or(u32::MAX);
    let mut first_failure = None;
    for (index, step) in (1_u32..).zip(&run.steps).skip_while(|(index, _)| *index < run.from) {
        if *cancel.borrow() {
            return ListEnd::Cancelled;
        }
        let at = StepAt { list: run.list, index, of, command: step.command.clone() };
        failpoint("step-before");
        if !witness.begins(&at).await && run.list == List::Start {
            let reason = "its beginning could not be written down durably, so it was not run".to_string();
            return ListEnd::Failed { step: index, reason };
        }
        let end = step::run(run, step, &at, cancel).await;
        failpoint("step-after");
        witness.ended(&at, &end).await;
        match end.failure() {
            None => {}
            Some(_) if end.cancelled() => return ListEnd::Cancelled,
            Some(reason) if run.list == List::Start => return ListEnd::Failed { step: index, reason },
            Some(reason) => {
                first_failure.get_or_insert(ListEnd::Failed { step: index, reason });
            }
        }
    }
    first_failure.unwrap_or(ListEnd::Done)
}

#[cfg(test)]
mod tests;
