//! Whether a resource group runs here: worked out, as FailSafe's system resource manager did, by asking each resource's
//! `exclusive` before anything is started.

use std::fmt;
use std::path::Path;

use futures_util::future::join_all;

use super::ask::{Asked, ask};
use super::cancel::Cancel;
use super::environment::Environment;
use super::kind::{Action, Outcome};
use super::task::{Script, Task};
use crate::decision::Presence;

/// So many resources are asked at the same time.
const ASKED_AT_ONCE: usize = 8;

/// The states of a resource group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// No resource runs here.
    NotRunning,
    /// Some do.
    PartiallyRunning,
    /// All of them do.
    Running,
}

/// What the resources say of themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `None`: not all of them could tell, and none says that it runs.
    pub state: Option<GroupState>,
    /// One sentence for each resource that runs here or cannot tell.
    pub found: Vec<String>,
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GroupState::NotRunning => "not running",
            GroupState::PartiallyRunning => "partially running",
            GroupState::Running => "running",
        })
    }
}

impl Group {
    /// What that says about this host.
    #[must_use]
    pub fn presence(&self) -> Presence {
        let found = self.found.join("; ");
        match self.state {
            Some(GroupState::NotRunning) => Presence::NothingRuns,
            Some(state) => Presence::Runs(format!("exclusivity error: the resource group is {state} here: {found}")),
            None => Presence::CannotTell(format!("whether the resource group runs here: {found}")),
        }
    }
}

/// Asks every resource that can be asked, each within its own limit. `None`: there is none.
pub async fn look_at_group(resources: &[Script], environment: &Environment, directory: &Path) -> Option<Group> {
    let tasks: Vec<_> = resources
        .iter()
        .filter(|script| script.contract().can(Action::Exclusive))
        .map(|script| script.to(Action::Exclusive))
        .collect();
    let mut answers: Vec<(&str, Asked)> = Vec::with_capacity(tasks.len());
    for some in tasks.chunks(ASKED_AT_ONCE) {
        let asked = join_all(some.iter().map(|task| exclusive(task, environment, directory))).await;
        answers.extend(some.iter().map(|task| task.script.name.as_str()).zip(asked));
    }
    let running = answers.iter().filter(|(_, asked)| asked.answer.outcome == Outcome::Running).count();
    let quiet = answers.iter().filter(|(_, asked)| asked.answer.outcome == Outcome::Passed).count();
    let state = match (running, quiet, answers.len()) {
        (_, _, 0) => return None,
        (0, quiet, all) if quiet == all => Some(GroupState::NotRunning),
        (0, _, _) => None,
        (running, _, all) if running == all => Some(GroupState::Running),
        _ => Some(GroupState::PartiallyRunning),
    };
    let told = answers.into_iter().filter(|(_, asked)| asked.answer.outcome != Outcome::Passed);
    Some(Group { state, found: told.map(|(name, asked)| format!("{name} {}", asked.answer.said)).collect() })
}

async fn exclusive(task: &Task, environment: &Environment, directory: &Path) -> Asked {
    ask(task, environment, directory, &mut Cancel::never()).await
}
