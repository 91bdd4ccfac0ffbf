//! OCF resource agents, as Pacemaker runs them: one program with the actions `start`, `stop`, `monitor`, `validate-all` and
//! `meta-data`, its parameters in the environment as `OCF_RESKEY_NAME`, and exits 0 to 9 with fixed meanings (OCF Resource
//! Agent API 1.1).
//!
//! A start counts when the monitor says after it that it runs, a stop when the monitor does not. Whether it runs here
//! before anything is started is a probe: a monitor with interval 0.

mod meta_data;
mod secret;
#[cfg(test)]
mod tests;

pub(crate) use meta_data::Agents;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use self::meta_data::MetaData;
use super::failsafe2::attributes;
use super::program::not_runnable;
use super::verified;
use super::{Action, Answer, Call, Kind, Outcome, Place, Program, SaysStopped};
use crate::config::{Fields, Node, Problem, Read, Reader, Severity, leaf, nearest};
use crate::script::user::RunAs;
use crate::script::{Operation, StepExit, prepare};

/// Calls the agent and looks at what a start or a stop has come to.
const CALL: &str = include_str!("ocf/call.sh");
/// Where agents are at home, unless an agent's own path says otherwise.
const ROOT: &str = "/usr/lib/ocf";
/// Where agents keep their notes. A boot empties it.
const NOTES: &str = "/run/resource-agents";
/// What tells an agent that it is no probe: any interval but 0, in milliseconds.
const INTERVAL_MS: &str = "10000";
/// A person waits for it. Debian's agents ask for 5 s to 30 s.
const VALIDATE_LIMIT: Duration = Duration::from_secs(20);
/// The levels of monitoring that agents know are 0, 10 and 20.
const CHECK_LEVEL_MAX: u32 = 100;

/// `Ocf(name: "vip", agent: "heartbeat/IPaddr2", parameters: {"ip": "192.0.2.30"})`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ocf {
    agent: Agent,
    /// `OCF_RESKEY_*`: names and values.
    parameters: Vec<(String, String)>,
    /// The same, with the files that hold their values.
    secret_parameters: Vec<(String, PathBuf)>,
    /// `OCF_CHECK_LEVEL`: how closely a monitor looks.
    check_level: u32,
    /// Required parameters that are not written. Empty where the agent did not tell.
    lacking: Vec<String>,
    /// The least time that the agent asks for. Empty where it did not tell.
    advised: BTreeMap<Action, Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Agent {
    path: PathBuf,
    /// `OCF_ROOT`.
    root: PathBuf,
    provider: String,
    name: String,
}

impl Agent {
    /// From `provider/type`, Pacemaker's `ocf:provider:type`, or the agent's path.
    fn read(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<Agent> {
        let text = leaf::text(reader, node, path)?;
        let short = text.strip_prefix("ocf:").unwrap_or(&text).replace(':', "/");
        let words: Vec<&str> = short.split('/').collect();
        let plain = |word: &str| !matches!(word, "" | "." | "..");
        let agent = match words.as_slice() {
            ["", folders @ .., provider, name] if plain(provider) && plain(name) => {
                let root = match folders {
                    [root @ .., "resource.d"] => format!("/{}", root.join("/")),
                    _ => ROOT.to_owned(),
                };
                Some((PathBuf::from(&text), PathBuf::from(root), *provider, *name))
            }
            [provider, name] if plain(provider) && plain(name) => {
                let root = PathBuf::from(ROOT);
                Some((root.join("resource.d").join(provider).join(name), root, *provider, *name))
            }
            _ => None,
        };
        let Some((path, root, provider, name)) = agent else {
            let problem = Problem::at(node.span.clone(), format!("{text:?} names no resource agent"));
            reader.problem(problem.help("write its provider and type, `\"heartbeat/IPaddr2\"`, or its path in full"));
            return None;
        };
        Some(Agent { path, root, provider: provider.to_owned(), name: name.to_owned() })
    }

    /// What every agent gets.
    fn variables(&self) -> BTreeMap<String, String> {
        let root = self.root.to_string_lossy();
        let fixed = [
            ("OCF_ROOT", &*root),
            ("OCF_RA_VERSION_MAJOR", "1"),
            ("OCF_RA_VERSION_MINOR", "1"),
            ("OCF_RESOURCE_TYPE", &self.name),
            ("OCF_RESOURCE_PROVIDER", &self.provider),
            ("OCF_EXIT_REASON_PREFIX", "ocf-exit-reason:"),
            ("HA_RSCTMP", NOTES),
        ];
        fixed.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// What it tells of itself. An agent that is not there tells nothing, and that is no error here: the configuration is
    /// also read where the service does not run.
    fn meta_data(&self, reader: &mut Reader<'_>, node: &Node) -> MetaData {
        if not_runnable(&self.path).is_some() {
            reader.has_silent_agent = true;
            return MetaData::default();
        }
        let mut variables = self.variables();
        variables.extend(crate::script::environment::of_every_program());
        match reader.agents.ask(&self.path, &variables) {
            Ok(told) => told,
            Err(why) => {
                reader.has_silent_agent = true;
                let shown = self.path.display();
                let problem = Problem::at(node.span.clone(), format!("{shown} does not tell its meta-data: {why}"));
                reader.warn(problem.help(format!(
                    "parameters are not checked, and limits are `script_timeout`: see `OCF_ROOT={} {shown} meta-data`",
                    self.root.display()
                )));
                MetaData::default()
            }
        }
    }
}

impl Kind for Ocf {
    fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>, _place: Place) -> Read<Ocf> {
        let mut told = MetaData::default();
        let agent = fields.required(reader, "agent", "\"heartbeat/IPaddr2\"", |reader, node, path| {
            let agent = Agent::read(reader, node, path)?;
            told = agent.meta_data(reader, node);
            Some(agent)
        });
        let parameters = fields.or(reader, "parameters", "{}", |reader, node, path| {
            let parameters = attributes(reader, node, path)?;
            known(reader, node, parameters.iter().map(|(name, _)| name), &told)?;
            Some(parameters)
        });
        let check_level = fields.or(reader, "check_level", "0", leaf::number(0, CHECK_LEVEL_MAX));
        let secret_parameters = fields.or(reader, "secret_parameters", "{}", |reader, node, path| {
            let files = secret::files(reader, node, path, parameters.as_deref().unwrap_or_default())?;
            known(reader, node, files.iter().map(|(name, _)| name), &told)?;
            Some(files)
        });
        let (agent, parameters, secret_parameters) = (agent?, parameters?, secret_parameters?);
        let names = || parameters.iter().map(|(name, _)| name).chain(secret_parameters.iter().map(|(name, _)| name));
        let written = |wanted: &String| names().any(|name| name == wanted);
        let required = told.parameters.iter().filter(|(_, required)| **required).map(|(name, _)| name);
        let lacking: Vec<String> = required.filter(|name| !written(name)).cloned().collect();
        if !lacking.is_empty() {
            let message = format!("the agent {} requires more parameters: {}", agent.name, lacking.join(", "));
            let problem = Problem::at(fields.place("parameters"), message);
            reader.warn(problem.help(format!("write `parameters: {{\"{}\": \"…\"}}`", lacking.join("\": \"…\", \""))));
        }
        let advised = advised(&told);
        Some(Ocf { agent, parameters, secret_parameters, check_level: check_level?, lacking, advised })
    }

    fn name(&self) -> String {
        self.agent.name.clone()
    }

    fn title(&self, action: Action, _operation: Operation) -> String {
        format!("{} {}", self.agent.path.display(), word(action))
    }

    fn can(&self, _action: Action) -> bool {
        true
    }

    fn program(&self, call: &Call<'_>) -> Result<Program, String> {
        let agent = self.agent.path.clone().into_os_string();
        let action = if call.action == Action::Exclusive { "probe" } else { word(call.action) };
        let mut program = Program::of(["/bin/sh".into(), "-c".into(), CALL.into(), agent, action.into()]);
        program.variables.extend(self.agent.variables());
        let check_level = if call.action == Action::Exclusive { 0 } else { self.check_level };
        let of_call = [
            ("OCF_RESOURCE_INSTANCE", call.name.to_owned()),
            ("OCF_CHECK_LEVEL", check_level.to_string()),
            ("OCF_RESKEY_CRM_meta_name", word(call.action).to_owned()),
            ("OCF_RESKEY_CRM_meta_interval", INTERVAL_MS.to_owned()),
            ("OCF_RESKEY_CRM_meta_timeout", call.limit.as_millis().to_string()),
        ];
        program.variables.extend(of_call.map(|(name, value)| (name.to_owned(), value)));
        let parameters = self.parameters.iter();
        program.variables.extend(parameters.map(|(name, value)| (format!("OCF_RESKEY_{name}"), value.clone())));
        let secrets = self.secret_parameters.iter();
        program.secret_files.extend(secrets.map(|(name, path)| (format!("OCF_RESKEY_{name}"), path.clone())));
        Ok(program)
    }

    fn answer(&self, action: Action, exit: &StepExit) -> Answer {
        let StepExit::Code(code) = exit else { return Answer::zero_is_good(exit) };
        let outcome = match (action, code) {
            (Action::Exclusive, 0 | 8 | 9 | 190 | 191) => Outcome::Running,
            // Where its program is not installed it cannot run.
            (Action::Exclusive, 5 | 7) => Outcome::Passed,
            (Action::Monitor, 0 | 8 | 190 | 191) | (_, 0) => Outcome::Passed,
            (Action::Monitor, 7) => Outcome::NotRunning,
            _ => Outcome::Failed,
        };
        match meaning(*code).or(verified::meaning(*code)) {
            // It is asked by hand, and its last line is told beside this.
            Some(meaning) if action == Action::Validate => {
                let meaning = meaning.trim_end_matches(": see the script log");
                Answer { outcome, said: format!("exited {code}: {meaning}") }
            }
            Some(meaning) => Answer { outcome, said: format!("exited {code}: {meaning}") },
            None => Answer { outcome, said: exit.to_string() },
        }
    }

    /// An agent need not have `validate-all`. Wrong parameters are wrong on every host; all else may be right on this one
    /// when the store is mounted.
    fn weight(&self, exit: &StepExit) -> Option<Severity> {
        match exit {
            StepExit::Code(0 | 3) => None,
            StepExit::Code(6) => Some(Severity::Error),
            _ => Some(Severity::Warning),
        }
    }

    fn limit(&self, action: Action) -> Option<Duration> {
        self.advised.get(&action).copied()
    }

    /// OCF_NOT_RUNNING of a monitor that is no probe: to a probe agents say 7 also where they cannot look, because what
    /// they would look with is not here.
    fn tells_not_running(&self) -> Option<SaysStopped> {
        Some(SaysStopped { asked: Action::Monitor, exits: &[7] })
    }

    fn missing(&self, _directory: &Path, _user: Option<&RunAs>) -> Vec<String> {
        let mut missing: Vec<String> = not_runnable(&self.agent.path).into_iter().collect();
        if !self.lacking.is_empty() {
            let (name, lacking) = (&self.agent.name, self.lacking.join(", "));
            missing.push(format!("the agent {name} requires more parameters in failover.ron: {lacking}"));
        }
        missing.extend(self.secret_parameters.iter().filter_map(|(_, path)| prepare::secret(path).err()));
        missing
    }
}

/// Whether the agent knows these parameters. One that it does not know is told and passed on all the same: Pacemaker does
/// so, and an agent may know more than it tells.
fn known<'a>(
    reader: &mut Reader<'_>,
    node: &Node,
    parameters: impl Iterator<Item = &'a String>,
    told: &MetaData,
) -> Read<()> {
    for name in parameters {
        let problem = |message: String| Problem::at(node.span.clone(), message);
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let problem = problem(format!("{name:?} cannot be the name of a variable, OCF_RESKEY_{name}"));
            reader.problem(problem.help("a parameter's name has letters, digits and `_`"));
            return None;
        }
        if !told.parameters.is_empty() && !told.parameters.contains_key(name) {
            let all: Vec<&str> = told.parameters.keys().map(String::as_str).collect();
            let help = match nearest(name, all.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it knows: {}", all.join(", ")),
            };
            reader.warn(problem(format!("the agent tells of no parameter {name:?}")).help(help));
        }
    }
    Some(())
}

/// The least time for each call: what the agent wants for all actions that are part of it.
fn advised(told: &MetaData) -> BTreeMap<Action, Duration> {
    let sum = |names: &[&str]| {
        names.iter().try_fold(Duration::ZERO, |sum, name| Some(sum.saturating_add(*told.timeouts.get(*name)?)))
    };
    [
        (Action::Start, sum(&["start", "monitor"])),
        (Action::Stop, sum(&["stop", "monitor"])),
        (Action::Restart, sum(&["stop", "monitor", "start", "monitor"])),
        (Action::Monitor, sum(&["monitor"])),
        (Action::Exclusive, sum(&["monitor"])),
        (Action::Validate, Some(sum(&["validate-all"]).unwrap_or(VALIDATE_LIMIT).min(VALIDATE_LIMIT))),
    ]
    .into_iter()
    .filter_map(|(action, limit)| Some((action, limit?)))
    .collect()
}

const fn word(action: Action) -> &'static str {
    match action {
        Action::Start => "start",
        Action::Stop => "stop",
        Action::Monitor | Action::Exclusive => "monitor",
        Action::Restart => "restart",
        Action::Validate => "validate-all",
    }
}

const fn meaning(code: i32) -> Option<&'static str> {
    Some(match code {
        0 => "OCF_SUCCESS",
        1 => "OCF_ERR_GENERIC, it failed: see the script log",
        2 => "OCF_ERR_ARGS, a parameter in failover.ron cannot be used on this host: see the script log",
        3 => "OCF_ERR_UNIMPLEMENTED, the agent does not do that",
        4 => "OCF_ERR_PERM, it lacks rights: see `run_as`, and the files that it works with",
        5 => "OCF_ERR_INSTALLED, what the agent needs is not installed on this host: see the script log",
        6 => "OCF_ERR_CONFIGURED, its parameters in failover.ron are wrong: see the script log",
        7 => "OCF_NOT_RUNNING, it does not run here",
        8 => "OCF_RUNNING_PROMOTED, it runs, promoted",
        9 => "OCF_FAILED_PROMOTED, it runs promoted, and has failed",
        190 => "OCF_DEGRADED, it runs, and may soon fail",
        191 => "OCF_DEGRADED_PROMOTED, it runs promoted, and may soon fail",
        _ => return None,
    })
}
