//! A script asked outside of any list: mostly whether its resource runs.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::cancel::Cancel;
use super::environment::Environment;
use super::exit::StepExit;
use super::kind::{Action, Answer, Outcome};
use super::prepare::{Prepared, prepare};
use super::step::{self, Invocation, StepEnd};
use super::task::Task;
use crate::process;

/// Between TERM and KILL for a question that takes too long: nothing is lost by its end.
const KILL_AFTER: Duration = Duration::from_millis(200);
/// How long reading the process table may take.
const LOOK_LIMIT: Duration = Duration::from_secs(1);

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// By its contract.
    pub answer: Answer,
    /// How it ended.
    pub exit: StepExit,
    /// The end of what it printed, at most 8 KiB of it.
    pub tail: String,
    /// How long it took.
    pub duration: Duration,
}

/// Asks it, within its own limit. Dropping the future ends the script with its group. What a monitor leaves running is
/// ended: asked again and again, it would add up.
pub async fn ask(task: &Task, environment: &Environment, directory: &Path, cancel: &mut Cancel) -> Asked {
    let end = match prepare(task, environment, directory, None).await {
        // Asked again and again, it would note it again and again; readiness names such a file.
        Ok(Prepared { arguments, variables, secrets, notes: _ }) => {
            let invocation = Invocation {
                arguments: &arguments,
                variables: &variables,
                secrets: &secrets,
                directory,
                limit: task.limit(),
                kill_after: KILL_AFTER,
            };
            step::run(invocation, &mut None, cancel).await
        }
        Err(why) => StepEnd::not_run(why),
    };
    if let Some(group) =
        end.left.filter(|_| matches!(task.action, Action::Monitor | Action::Exclusive | Action::Validate))
    {
        let members = process::aside(LOOK_LIMIT, move || process::in_group(group)).await;
        for member in members.and_then(Result::ok).unwrap_or_default() {
            let _ = process::signal(member.id, Signal::SIGKILL);
        }
    }
    let answer = match end.exit {
        // No contract speaks of these.
        StepExit::TimedOut(_) | StepExit::Cancelled | StepExit::NotRun(_) => {
            Answer { outcome: Outcome::Failed, said: end.exit.to_string() }
        }
        StepExit::Code(_) | StepExit::Signal(_) => task.script.contract().answer(task.action, &end.exit),
    };
    Asked { answer, exit: end.exit, tail: end.tail, duration: end.duration }
}
