//! `script test`: one step, run twice by the daemon's own engine.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail};
use failover_shared::config::{Loaded, show_duration};
use failover_shared::decision::{Epoch, Role};
use failover_shared::process::{self, Process};
use failover_shared::script::kind::Action;
use failover_shared::script::{Asked, Cancel, Environment, Operation, Task, ask};

use super::guard::{self, Danger};
use crate::daemon::{Daemon, DaemonError};
use crate::exit::Exit;
use crate::out::{Out, Tone, harmless};

/// Marks what a test has started, so that the test of a stop can tell whether it is gone.
const MARK: &str = "FAILOVER_SCRIPT_TEST";
/// How long reading the process table may take.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// A step that needs more than this part of its limit is too near to it.
const NEAR_LIMIT: u32 = 2;
/// The last lines of a step that are shown.
const LINES_SHOWN: usize = 10;

/// Flags of `script test`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The step: its name in the configuration, or its number in `script list`
    name: String,
    /// What it is asked: takeback, takeover, giveaway, giveback; start, stop, status, restart, exclusive, validate
    #[arg(value_enum)]
    operation: Word,
    /// Run nothing; say what would be run, and what that does not verify
    #[arg(long)]
    dry_run: bool,
    /// Run it although that may hurt the service
    #[arg(long)]
    yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Word {
    Takeback,
    Takeover,
    Giveaway,
    Giveback,
    Start,
    Stop,
    Status,
    Restart,
    Exclusive,
    Validate,
}

/// What is tried.
struct Trial<'a> {
    task: Task,
    operation: Operation,
    loaded: &'a Loaded,
    environment: Environment,
}

/// One run, and what bore the mark behind it.
struct Run {
    asked: Asked,
    left: Vec<Process>,
}

pub(super) async fn run(
    loaded: &Loaded,
    role: Role,
    daemon: Result<Daemon, DaemonError>,
    arguments: &Arguments,
    out: &mut Out<'_>,
) -> anyhow::Result<Exit> {
    let trial = Trial::of(loaded, role, arguments)?;
    let missing = trial.task.script.missing(&loaded.config.service.directory);
    out.line(format!("{}, as {}", trial.task.title(trial.operation), trial.operation))?;
    for lack in &missing {
        out.folded("lacks:", 9, lack)?;
    }
    let danger = guard::look(daemon, role, trial.task.action).await;
    if arguments.dry_run {
        trial.tell(&danger, out)?;
        return Ok(if missing.is_empty() { Exit::Ok } else { Exit::Warning });
    }
    match danger {
        Danger::None => {}
        Danger::Never(why) => bail!("not run: {why}"),
        Danger::Needs(why) if arguments.yes => out.folded("warning:", 9, &why)?,
        Danger::Needs(why) => bail!("not run: {why}; to run it all the same: --yes"),
    }
    trial.twice(out).await
}

impl<'a> Trial<'a> {
    fn of(loaded: &'a Loaded, role: Role, arguments: &Arguments) -> anyhow::Result<Trial<'a>> {
        let service = &loaded.config.service;
        let (start, stop) = (Operation::start_of(role), Operation::stop_of(role));
        let (operation, listed, action) = match arguments.operation {
            Word::Takeback => (Operation::Takeback, true, Action::Start),
            Word::Takeover => (Operation::Takeover, true, Action::Start),
            Word::Giveaway => (Operation::Giveaway, true, Action::Stop),
            Word::Giveback => (Operation::Giveback, true, Action::Stop),
            Word::Start => (start, true, Action::Start),
            Word::Stop => (stop, true, Action::Stop),
            Word::Status => (start, false, Action::Monitor),
            Word::Restart => (start, false, Action::Restart),
            Word::Exclusive => (start, false, Action::Exclusive),
            Word::Validate => (start, false, Action::Validate),
        };
        let name = &arguments.name;
        let task = if listed {
            let tasks: Vec<&Task> = service.lists.of(operation).iter().flatten().collect();
            let numbered = name.parse::<usize>().ok().and_then(|number| tasks.get(number.checked_sub(1)?).copied());
            let named = tasks.iter().find(|task| task.script.name == *name).copied();
            named.or(numbered).cloned()
        } else {
            let named = service.resources.iter().find(|script| script.name == *name);
            named.filter(|script| script.can(action)).map(|script| script.to(action))
        };
        let task = task.with_context(|| {
            format!("no step {name:?} of {operation} can be asked that; the steps: failoverctl script list")
        })?;
        let mut environment = Environment::of(loaded, role, operation, Epoch(0), "failoverctl script test");
        environment.extra.insert(MARK.to_owned(), task.script.name.clone());
        Ok(Trial { task, operation, loaded, environment })
    }

    /// What a real test would do, and what neither verifies.
    fn tell(&self, danger: &Danger, out: &mut Out<'_>) -> std::io::Result<()> {
        let script = &self.task.script;
        let user = script.run_as.as_deref().unwrap_or("the daemon's user");
        out.folded(
            "run:",
            9,
            &format!("nothing; a test runs it twice in {}", self.loaded.config.service.directory.display()),
        )?;
        out.folded("limit:", 9, &format!("{}, as {user}", show_duration(self.task.limit())))?;
        match danger {
            Danger::None => out.folded("danger:", 9, "none is known: a test may be run")?,
            Danger::Needs(why) => out.folded("danger:", 9, &format!("{why}; a test needs --yes"))?,
            Danger::Never(why) => out.folded("danger:", 9, why)?,
        }
        let not = "not verified: that it does its work, that it may be called twice, that it ends within its limit, that a \
                   stop leaves nothing running; nor anything on the other host";
        out.folded("", 9, not)
    }

    async fn twice(&self, out: &mut Out<'_>) -> anyhow::Result<Exit> {
        let first = self.once().await;
        let mut well = self.report("first", &first, out)?;
        let second = self.once().await;
        well &= self.report("second", &second, out)?;
        let same = first.asked.answer.outcome == second.asked.answer.outcome;
        let (before, behind) = (groups(&first.left), groups(&second.left));
        let once_only = match self.task.action {
            // What it ends and begins anew is another process each time.
            Action::Restart => behind.len() <= before.len(),
            _ => behind.is_subset(&before),
        };
        let (tone, verdict) = match (well && same, once_only) {
            (true, true) => (Tone::Good, "idempotent: called twice it does what it does once".to_owned()),
            (true, false) => {
                let what = "NOT idempotent: the second call left more running than the first";
                (Tone::Bad, format!("{what}; a start has to see that it runs already"))
            }
            (false, _) if first.asked.answer.passed() => {
                let what = "NOT idempotent: the first call went well and the second did not";
                (Tone::Bad, format!("{what}; a step whose daemon dies is run again"))
            }
            (false, _) => (Tone::Bad, "it fails, so whether it may be called twice cannot be told".to_owned()),
        };
        out.folded(&out.paint(tone, "verdict:"), 9, &verdict)?;
        let clean = self.task.action != Action::Stop || self.gone(&second, out)?;
        let cgroup = self.loaded.config.service.cgroup.is_some() && self.task.action == Action::Start;
        let not = if cgroup { "its control group, " } else { "" };
        out.folded("", 9, &format!("not verified: {not}what a crash in the middle leaves; the other host"))?;
        Ok(if well && same && once_only && clean { Exit::Ok } else { Exit::Warning })
    }

    async fn once(&self) -> Run {
        let directory = &self.loaded.config.service.directory;
        let asked = ask(&self.task, &self.environment, directory, &mut Cancel::never()).await;
        let environment = &self.environment;
        let marks = [
            format!("{MARK}={}", self.task.script.name),
            format!("FAILOVER_HOST={}", environment.host),
            format!("FAILOVER_CONFIG={}", environment.config_file.display()),
        ];
        let marks: Vec<Vec<u8>> = marks.map(String::into_bytes).into();
        let found = process::aside(LOOK_LIMIT, move || process::with_environment(&marks)).await;
        Run { asked, left: found.and_then(Result::ok).unwrap_or_default() }
    }

    /// One run in words; whether it went well.
    fn report(&self, which: &str, run: &Run, out: &mut Out<'_>) -> std::io::Result<bool> {
        let Run { asked, left } = run;
        let limit = self.task.limit();
        let near = if asked.duration > limit / NEAR_LIMIT { ", which is near its limit" } else { "" };
        let took = format!("{} of at most {}{near}", show_duration(asked.duration), show_duration(limit));
        let tone = if asked.answer.passed() { Tone::Good } else { Tone::Bad };
        out.folded(&out.paint(tone, &format!("{which}:")), 9, &format!("{}; {took}", asked.answer.said))?;
        let lines: Vec<&str> = asked.tail.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(LINES_SHOWN)) {
            out.line(format!("         | {}", harmless(line)))?;
        }
        if !left.is_empty() && self.task.action != Action::Stop {
            out.folded("", 9, &format!("left running: {}", names(left)))?;
        }
        Ok(asked.answer.passed())
    }

    /// After a stop: nothing runs of what tests have started.
    fn gone(&self, run: &Run, out: &mut Out<'_>) -> std::io::Result<bool> {
        if run.left.is_empty() {
            let note = "nothing runs of what `script test` has started of it; what the daemon started is not looked at";
            out.folded("after:", 9, note)?;
            return Ok(true);
        }
        out.folded(&out.paint(Tone::Bad, "after:"), 9, &format!("still running: {}", names(&run.left)))?;
        Ok(false)
    }
}

/// Each program that stays in the background has a group of its own; its workers share that.
fn groups(left: &[Process]) -> BTreeSet<(i32, i32)> {
    left.iter().map(|process| (process.session, process.group)).collect()
}

fn names(left: &[Process]) -> String {
    left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
