//! Each resource that can be asked says what would speak against a start on this host. For a person who has just written
//! the configuration: it runs the scripts' own programs, so readiness does not ask it all the time.

use std::time::Duration;

use futures_util::future::join_all;

use super::ask::ask;
use super::cancel::Cancel;
use super::environment::{Environment, Operation};
use super::exit::StepExit;
use super::kind::Action;
use super::task::Task;
use crate::config::{Finding, Loaded, Severity, named_scripts};
use crate::decision::{Epoch, Role};

/// So many are asked at the same time.
const ASKED_AT_ONCE: usize = 8;
/// Of what they print last.
const LINE_CHARACTERS_MAX: usize = 256;
/// What a script may take that is part of a list, and has no limit of its own for this.
const LIMIT: Duration = Duration::from_secs(20);
/// OCF agents put this in front of the line that says why.
const REASON_PREFIX: &str = "ocf-exit-reason:";

/// Asks as the host of `role`, which has to be this one. What a look at the files names already is not asked: it cannot
/// answer. Bounded: eight at the same time, each within its own limit.
pub async fn validate(loaded: &Loaded, role: Role) -> Vec<Finding> {
    let directory = &loaded.config.service.directory;
    let mut asked: Vec<(String, Task)> = Vec::new();
    for (key, script) in named_scripts(&loaded.config) {
        let known =
            asked.iter().any(|(_, task)| (&task.script.kind, &task.script.name) == (&script.kind, &script.name));
        if !known && script.can(Action::Validate) && script.missing(directory).is_empty() {
            let mut task = script.to(Action::Validate);
            let limit = script.contract().limit(Action::Validate).unwrap_or(LIMIT);
            task.script.limits.entry(Action::Validate).or_insert(limit);
            asked.push((key, task));
        }
    }
    let environment = Environment::of(loaded, role, Operation::start_of(role), Epoch(0), "failoverctl check");
    let mut findings = Vec::new();
    for some in asked.chunks(ASKED_AT_ONCE) {
        let told = join_all(some.iter().map(async |(key, task)| {
            let told = ask(task, &environment, directory, &mut Cancel::never()).await;
            let severity = match told.exit {
                StepExit::Code(_) | StepExit::Signal(_) => task.script.contract().weight(&told.exit)?,
                // It said nothing.
                StepExit::TimedOut(_) | StepExit::Cancelled | StepExit::NotRun(_) => Severity::Warning,
            };
            let said = match last_line(&told.tail) {
                Some(line) => format!("{}: {line}", told.answer.said),
                None => told.answer.said,
            };
            let (title, name) = (task.title(environment.operation), &task.script.name);
            let message = format!("{title} {said}; next: mend it, then `failoverctl script test {name} validate`");
            Some(Finding { severity, key: key.clone(), message })
        }));
        findings.extend(told.await.into_iter().flatten());
    }
    findings
}

/// The last line with something in it, as plain text.
fn last_line(tail: &str) -> Option<String> {
    let line = tail.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    let line = line.strip_prefix(REASON_PREFIX).unwrap_or(line);
    Some(line.chars().filter(|letter| !letter.is_control()).take(LINE_CHARACTERS_MAX).collect())
}
