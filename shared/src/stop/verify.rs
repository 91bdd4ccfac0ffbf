//! Every post-condition of a service looked at, each in bounded time.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Postcondition, Service, Step};
use crate::decision::Presence;
use crate::process::{self, ProcessGroup};
use crate::script::kind::{Action, Outcome};
use crate::script::step::{self, Invocation};
use crate::script::{Cancel, Environment, Script, StepExit, ask, cgroup};

use super::condition::{self, Remembered};
use super::mount;

/// A look that the kernel has not answered by then cannot tell. Long enough for a loaded host; a dead NFS server does
/// not answer at all.
pub(super) const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// Between TERM and KILL for a condition's own command.
const COMMAND_KILL_AFTER: Duration = Duration::from_millis(500);

/// What is known beside the configuration.
#[derive(Clone, Debug)]
pub struct StopContext {
    /// What a condition's own command is told.
    pub environment: Environment,
    /// Control groups, as the configuration names them, in which the service was seen
    /// ([`populated_groups`](super::populated_groups)). Any other empty group is no evidence.
    pub populated: BTreeSet<PathBuf>,
    /// Groups in which steps of ours have left processes.
    pub groups: Vec<ProcessGroup>,
    /// The peer's addresses. A port that is open on one of them alone belongs to the peer: so it is when both hosts of
    /// a demonstration share one network stack. Never an address that moves with the service.
    pub peer_addresses: Vec<IpAddr>,
    pub(super) remembered: Vec<Remembered>,
}

impl StopContext {
    /// A context of which nothing more is known.
    #[must_use]
    pub fn new(environment: Environment) -> StopContext {
        StopContext {
            environment,
            populated: BTreeSet::new(),
            groups: Vec::new(),
            peer_addresses: Vec::new(),
            remembered: Vec::new(),
        }
    }
}

/// What a look at one condition found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds.
    Holds,
    /// It does not, and what was found.
    Broken(String),
    /// It could not be looked at, or the look says nothing, and why.
    CannotTell(String),
}

/// One condition and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The condition, in words.
    pub condition: String,
    /// What was found.
    pub state: State,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Every condition was looked at and holds, and there is at least one.
    pub holds: bool,
    /// One for each condition, in the configuration's order, and one for whatever else was found left over.
    pub findings: Vec<Finding>,
}

/// What the looks are for. The two questions differ in what an empty control group says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Did what ran stop? A group in which nothing of ours was ever seen says nothing: the service was elsewhere.
    Stopped,
    /// Does anything run, before anything was started? The group is where we would have put it.
    AnythingRuns,
}

/// Looks whether the service is stopped. Bounded: two seconds for each condition, or a command's own limit.
pub async fn verify(service: &Service, context: &StopContext) -> Verification {
    findings(service, context, Question::Stopped).await
}

/// Looks whether anything of the service runs here, before anything is started.
pub async fn look(service: &Service, context: &StopContext) -> Presence {
    let verification = findings(service, context, Question::AnythingRuns).await;
    let broken = verification.broken();
    if !broken.is_empty() {
        Presence::Runs(broken.join("; "))
    } else if verification.holds {
        Presence::NothingRuns
    } else {
        Presence::CannotTell(verification.missing())
    }
}

impl Verification {
    /// Everything that is in the way of `holds`, as one sentence.
    #[must_use]
    pub fn missing(&self) -> String {
        let said = self.findings.iter().filter_map(|finding| match &finding.state {
            State::Holds => None,
            State::Broken(found) => Some(found.clone()),
            State::CannotTell(why) => Some(format!("{}: cannot tell: {why}", finding.condition)),
        });
        said.collect::<Vec<_>>().join("; ")
    }

    pub(super) fn broken(&self) -> Vec<&str> {
        let found = self.findings.iter().filter_map(|finding| match &finding.state {
            State::Broken(found) => Some(found.as_str()),
            State::Holds | State::CannotTell(_) => None,
        });
        found.collect()
    }
}

/// One after the other, so that one service never has more than one look hanging at a time.
async fn findings(service: &Service, context: &StopContext, question: Question) -> Verification {
    let mut findings = Vec::new();
    for condition in &service.stopped_when {
        let state = match condition.clone() {
            Postcondition::NoProcess(name) => asked(move || condition::no_process(&name)).await,
            Postcondition::PortsClosed(ports) => {
                let foreign = context.peer_addresses.clone();
                asked(move || condition::ports_closed(&ports, &foreign)).await
            }
            Postcondition::NotMounted(path) => asked(move || mount::not_mounted(&path)).await,
            Postcondition::PidFileGone(path) => {
                let remembered = context.remembered.clone();
                asked(move || condition::pid_file_gone(&path, &remembered)).await
            }
            Postcondition::CgroupEmpty(path) => cgroup_empty(&path, context, question).await,
            Postcondition::Command(step) => command(&step, service, context).await,
            Postcondition::NotRunning(script) => not_running(&script, service, context, question).await,
        };
        findings.push(Finding { condition: in_words(condition), state });
    }
    if findings.is_empty() {
        findings.push(Finding {
            condition: "post-conditions".to_owned(),
            state: State::CannotTell("none is configured, so nothing can show a stop; add stopped_when".to_owned()),
        });
    }
    findings.extend(leftovers(service, context, question).await);
    Verification { holds: findings.iter().all(|finding| finding.state == State::Holds), findings }
}

/// What is not asked for by the configuration, but known to be of the service. Only what is found counts.
async fn leftovers(service: &Service, context: &StopContext, question: Question) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(path) = &service.cgroup
        && !service.stopped_when.contains(&Postcondition::CgroupEmpty(path.clone()))
        && let State::Broken(text) = cgroup_empty(path, context, question).await
    {
        found
            .push(Finding { condition: format!("control group {} empty", path.display()), state: State::Broken(text) });
    }
    if !context.groups.is_empty() {
        let groups = context.groups.clone();
        let state = asked(move || condition::groups_empty(&groups)).await;
        if state != State::Holds {
            found.push(Finding { condition: "nothing left of our own steps".to_owned(), state });
        }
    }
    found
}

async fn cgroup_empty(path: &Path, context: &StopContext, question: Question) -> State {
    if question == Question::AnythingRuns && cgroup::root().is_none() {
        // Nothing of ours can be in a group here.
        return State::Holds;
    }
    let folder = match cgroup::folder(path) {
        Ok(folder) => folder,
        Err(why) => return State::CannotTell(why),
    };
    let counts = question == Question::AnythingRuns || context.populated.contains(path);
    asked(move || condition::cgroup_empty(&folder, counts)).await
}

async fn command(asked: &Step, service: &Service, context: &StopContext) -> State {
    let arguments: Vec<OsString> = vec!["/bin/sh".into(), "-c".into(), (&asked.command).into()];
    let invocation = Invocation {
        arguments: &arguments,
        variables: &context.environment.variables(),
        secrets: &[],
        directory: &service.directory,
        limit: asked.timeout,
        kill_after: COMMAND_KILL_AFTER,
    };
    let end = step::run(invocation, &mut None, &mut Cancel::never()).await;
    let said = end.tail.lines().last().map_or(String::new(), |line| format!(": {line}"));
    match end.exit {
        StepExit::Code(0) => State::Holds,
        // The shell could not run it: that is no answer.
        StepExit::Code(126 | 127) => State::CannotTell(format!("{}{said}", end.exit)),
        StepExit::Code(_) => State::Broken(format!("{} {}{said}", asked.command, end.exit)),
        StepExit::Signal(_) | StepExit::TimedOut(_) | StepExit::Cancelled | StepExit::NotRun(_) => {
            State::CannotTell(end.exit.to_string())
        }
    }
}

/// Only what it says itself counts: a call that fails is no answer. Whether it stopped, only the words that its contract
/// has for that can tell; where nothing was started since the boot, a program that is not here cannot run either.
async fn not_running(script: &Script, service: &Service, context: &StopContext, question: Question) -> State {
    let Some(says) = script.contract().tells_not_running() else {
        return State::CannotTell("its kind cannot say that".to_owned());
    };
    let action = if question == Question::Stopped { says.asked } else { Action::Exclusive };
    let asked = ask(&script.to(action), &context.environment, &service.directory, &mut Cancel::never()).await;
    let certain = says.exits.iter().any(|code| asked.exit == StepExit::Code(*code));
    match (asked.answer.outcome, action) {
        (_, _) if question == Question::Stopped && certain => State::Holds,
        (Outcome::Passed, Action::Exclusive) if question == Question::AnythingRuns => State::Holds,
        (Outcome::Running, _) | (Outcome::Passed, Action::Monitor) => {
            State::Broken(format!("resource {} {}", script.name, asked.answer.said))
        }
        (_, _) => State::CannotTell(asked.answer.said),
    }
}

async fn asked(question: impl FnOnce() -> std::io::Result<State> + Send + 'static) -> State {
    match process::aside(LOOK_LIMIT, question).await {
        Some(Ok(state)) => state,
        Some(Err(error)) => State::CannotTell(error.to_string()),
        None => State::CannotTell("the kernel does not answer".to_owned()),
    }
}

fn in_words(condition: &Postcondition) -> String {
    match condition {
        Postcondition::NoProcess(name) => format!("no process {name}"),
        Postcondition::PortsClosed(ports) => {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            format!("ports closed: {}", ports.join(", "))
        }
        Postcondition::NotMounted(path) => format!("nothing mounted on {}", path.display()),
        Postcondition::PidFileGone(path) => format!("process of {} gone", path.display()),
        Postcondition::CgroupEmpty(path) => format!("control group {} empty", path.display()),
        Postcondition::Command(step) => format!("command says stopped: {}", step.command),
        Postcondition::NotRunning(script) => format!("resource {} does not run", script.name),
    }
}
