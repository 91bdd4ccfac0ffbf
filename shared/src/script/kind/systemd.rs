//! Units of systemd, through systemctl(1).
//!
//! A start counts when the unit is active after it. A stop counts when the unit is inactive, or failed, and no process is
//! left in its control group: `KillMode=process` and `KillMode=none` leave some behind, and systemd then calls the unit
//! inactive all the same.

mod places;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::verified;
use super::{Action, Answer, Call, Kind, Outcome, Place, Program, SaysStopped};
use crate::config::{Fields, Node, Problem, Read, Reader, leaf};
use crate::script::environment::PATH;
use crate::script::user::{self, RunAs};
use crate::script::{Operation, StepExit};

/// Calls systemctl and looks at what a start or a stop has come to.
const CALL: &str = include_str!("systemd/call.sh");
/// What a name without a type is.
const SERVICE: &str = ".service";
/// systemd takes no longer name.
const UNIT_BYTES_MAX: usize = 255;
/// `Systemd(unit: "dovecot.service")`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Systemd {
    /// With its type.
    unit: String,
    manager: Manager,
}

/// Whose systemd starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Manager {
    /// The host's.
    System,
    /// That of the user in `run_as`.
    User,
}

const MANAGERS: [(&str, Manager); 2] = [("System", Manager::System), ("User", Manager::User)];

impl Kind for Systemd {
    fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>, _place: Place) -> Read<Systemd> {
        let unit = fields.required(reader, "unit", "\"dovecot.service\"", unit);
        let manager = fields.or(reader, "manager", "System", leaf::choice(&MANAGERS));
        Some(Systemd { unit: unit?, manager: manager? })
    }

    fn name(&self) -> String {
        let name = self.unit.strip_suffix(SERVICE).unwrap_or(&self.unit);
        // The name of an entry has fewer letters than that of a unit.
        name.chars().map(|c| if matches!(c, '@' | ':' | '\\') { '-' } else { c }).collect()
    }

    fn title(&self, action: Action, _operation: Operation) -> String {
        let whose = if self.manager == Manager::User { "--user " } else { "" };
        format!("systemctl {whose}{} {}", word(action), self.unit)
    }

    fn can(&self, action: Action) -> bool {
        action != Action::Validate
    }

    fn program(&self, call: &Call<'_>) -> Result<Program, String> {
        let mut arguments = vec!["/bin/sh", "-c", CALL, &self.unit, word(call.action)];
        arguments.extend((self.manager == Manager::User).then_some("--user"));
        Ok(Program::of(arguments))
    }

    fn answer(&self, action: Action, exit: &StepExit) -> Answer {
        let StepExit::Code(code) = exit else { return Answer::zero_is_good(exit) };
        let (outcome, meaning) = match (action, code) {
            (Action::Monitor, 0) => (Outcome::Passed, Some("the unit is active")),
            (Action::Exclusive, 0) => (Outcome::Running, Some("the unit is active")),
            (Action::Monitor, 1) => (Outcome::Failed, Some("the unit failed")),
            (Action::Monitor, 3) => (Outcome::NotRunning, Some("the unit is inactive")),
            (Action::Exclusive, 1) => (Outcome::Passed, Some("the unit failed, and nothing is left of it")),
            (Action::Exclusive, 3) => (Outcome::Passed, Some("the unit is inactive")),
            (Action::Monitor | Action::Exclusive, 4) => {
                (Outcome::Failed, Some("systemd does not know the unit's state"))
            }
            (Action::Monitor, 5) => (Outcome::Failed, Some("the unit is still starting or stopping")),
            (Action::Exclusive, 5) => (Outcome::Running, Some("the unit is starting or stopping")),
            (Action::Monitor, 6) => (Outcome::Failed, Some(LEFT)),
            (Action::Exclusive, 6) => (Outcome::Running, Some(LEFT)),
            (Action::Monitor, 7) => (Outcome::Failed, Some(UNKNOWN)),
            (Action::Exclusive, 7) => (Outcome::Passed, Some(UNKNOWN)),
            (_, 0) => (Outcome::Passed, None),
            (_, code) => (Outcome::Failed, meaning(*code).or(verified::meaning(*code))),
        };
        match meaning {
            Some(meaning) => Answer { outcome, said: format!("exited {code}: {meaning}") },
            None => Answer { outcome, said: exit.to_string() },
        }
    }

    /// Inactive or failed, with nothing left in its control group. A unit that systemd does not know is inactive to it,
    /// too, which says nothing.
    fn tells_not_running(&self) -> Option<SaysStopped> {
        Some(SaysStopped { asked: Action::Exclusive, exits: &[1, 3] })
    }

    fn missing(&self, _directory: &Path, user: Option<&RunAs>) -> Vec<String> {
        let mut missing = Vec::new();
        if !PATH.split(':').any(|folder| Path::new(folder).join("systemctl").is_file()) {
            missing.push("systemctl, which starts units, is not on this host: install systemd".to_owned());
        }
        let of_user = match (self.manager, user) {
            (Manager::System, _) => None,
            (Manager::User, Some(user)) => Some(user.clone()),
            (Manager::User, None) => match user::own() {
                Ok(user) => Some(user),
                Err(why) => return missing.into_iter().chain([why]).collect(),
            },
        };
        let folders = match &of_user {
            None => places::of_system(),
            Some(user) => places::of_user(user.home()),
        };
        if !folders.iter().any(|folder| self.files(folder).iter().any(|file| file.exists())) {
            let whose = if of_user.is_some() { "that user's systemd" } else { "systemd" };
            missing.push(format!("the unit {} is in none of the folders of {whose}: install it", self.unit));
        }
        missing.extend(of_user.and_then(|user| places::not_lingering(user.name())));
        missing
    }
}

impl Systemd {
    /// Its unit, with the type: also the last part of the path of its control group.
    pub(super) fn unit(&self) -> &str {
        &self.unit
    }

    /// Whether the systemd of a user starts it.
    #[must_use]
    pub fn is_of_user(&self) -> bool {
        self.manager == Manager::User
    }

    /// What systemd would look for in a folder: an instance may come from its template.
    fn files(&self, folder: &Path) -> Vec<PathBuf> {
        let mut files = vec![folder.join(&self.unit)];
        if let Some((template, instance)) = self.unit.split_once('@')
            && let Some((_, kind)) = instance.rsplit_once('.')
        {
            files.push(folder.join(format!("{template}@.{kind}")));
        }
        files
    }
}

const UNKNOWN: &str = "systemd knows no unit of this name";
const LEFT: &str = "the unit is not active, and processes are left in its control group";

/// A unit's name, in full.
fn unit(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<String> {
    let text = leaf::text(reader, node, path)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@');
    if !text.chars().all(plain) || text.starts_with(['-', '.']) || text.len() > UNIT_BYTES_MAX - SERVICE.len() {
        let problem = Problem::at(node.span.clone(), format!("{text:?} cannot be the name of a unit"));
        reader.problem(problem.help("write, for example, `\"dovecot.service\"`"));
        return None;
    }
    let types = [SERVICE, ".socket", ".target", ".mount", ".path", ".timer", ".slice", ".scope", ".swap", ".automount"];
    let named = types.iter().any(|kind| text.ends_with(kind));
    Some(if named { text } else { format!("{text}{SERVICE}") })
}

const fn word(action: Action) -> &'static str {
    match action {
        Action::Start => "start",
        Action::Stop => "stop",
        Action::Restart => "restart",
        Action::Monitor | Action::Exclusive | Action::Validate => "status",
    }
}

/// The exits of systemctl itself, which takes them from LSB.
const fn meaning(code: i32) -> Option<&'static str> {
    Some(match code {
        1 => "systemctl failed: see the script log, and `journalctl -u` of the unit",
        4 => "systemctl lacks rights, or cannot reach systemd",
        5 => "systemd does not know the unit, or its program is not installed",
        6 => "the unit is not configured",
        _ => return None,
    })
}
