//! What a running list tells the one who keeps the journal.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::process::ProcessGroup;

use super::exit::StepExit;

/// Told while a list, or a whole stop, runs.
#[derive(Debug)]
pub enum StepEvent {
    /// The step is next. It begins when the gate is opened.
    Before {
        /// Its number, from 1.
        index: u32,
        /// How many there are.
        of: u32,
        /// Its command line.
        command: String,
        /// Opened when the entry is durable. The entry of the step before, which came ungated, can share the write.
        gate: StepGate,
    },
    /// The step has ended.
    After {
        /// Its number, from 1.
        index: u32,
        /// How many there are.
        of: u32,
        /// Its command line.
        command: String,
        /// How it ended.
        exit: StepExit,
        /// Its contract takes this end as success.
        passed: bool,
        /// What its contract says of this end, without a subject.
        said: String,
        /// How long it ran.
        duration: Duration,
        /// The end of what it printed, at most 8 KiB of it.
        tail: String,
        /// Set when it left processes behind in its group: a stop wants to find them again, also after a restart of
        /// the daemon.
        left: Option<ProcessGroup>,
        /// Opened when the journal has the entry. A list waits for it where no further step of it follows: what comes
        /// then must not find this step still open.
        gate: StepGate,
    },
    /// Anything else that is worth a line: a rung of the ladder, a finding, a script log that cannot be written.
    Note {
        /// One sentence.
        text: String,
    },
}

/// Holds a list back until its journal entry is there. Dropped unopened, it says that the entry could not be made: a
/// step of a start is then not run; a step of a stop is, because a full disk must not keep a service alive.
#[derive(Debug)]
pub struct StepGate(oneshot::Sender<()>);

impl StepGate {
    pub(crate) fn new() -> (StepGate, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (StepGate(sender), receiver)
    }

    /// Lets the step begin.
    pub fn open(self) {
        // Nobody listens any more when the list was cancelled meanwhile: then there is nothing to let begin.
        let _ = self.0.send(());
    }
}
