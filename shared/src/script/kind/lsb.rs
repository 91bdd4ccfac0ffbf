//! Init scripts by the Linux Standard Base: `SCRIPT start|stop|restart|status`, with fixed exits (LSB Core 5.0, 22.2).
//!
//! The status decides: a start counts when the status says that it runs, a stop when it says that it does not. Many
//! scripts exit 1 when there was nothing to do, and many exit 0 before anything has come of it.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::program::not_runnable;
use super::verified;
use super::{Action, Answer, Call, Kind, Outcome, Place, Program, SaysStopped};
use crate::config::{Fields, Read, Reader, leaf};
use crate::script::user::RunAs;
use crate::script::{Operation, StepExit};

/// Calls the script and looks at what a start or a stop has come to.
const CALL: &str = include_str!("lsb/call.sh");
/// So much of a script is looked through for its actions.
const SCRIPT_BYTES_MAX: u64 = 256 * 1024;

/// `Lsb(script: "/etc/init.d/dovecot")`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lsb {
    script: PathBuf,
}

impl Kind for Lsb {
    fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>, _place: Place) -> Read<Lsb> {
        Some(Lsb { script: fields.required(reader, "script", "\"/etc/init.d/dovecot\"", leaf::path)? })
    }

    fn name(&self) -> String {
        self.script.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn title(&self, action: Action, _operation: Operation) -> String {
        format!("{} {}", self.script.display(), word(action))
    }

    fn can(&self, action: Action) -> bool {
        action != Action::Validate
    }

    fn program(&self, call: &Call<'_>) -> Result<Program, String> {
        let script = self.script.clone().into_os_string();
        Ok(Program::of(["/bin/sh".into(), "-c".into(), CALL.into(), script, word(call.action).into()]))
    }

    fn answer(&self, action: Action, exit: &StepExit) -> Answer {
        let StepExit::Code(code) = exit else { return Answer::zero_is_good(exit) };
        let asked = matches!(action, Action::Monitor | Action::Exclusive);
        let outcome = match (action, code) {
            (Action::Exclusive, 0) => Outcome::Running,
            (Action::Exclusive, 1..=3) | (_, 0) => Outcome::Passed,
            (Action::Monitor, 3) => Outcome::NotRunning,
            _ => Outcome::Failed,
        };
        let meaning = if asked { meaning_of_status(*code) } else { meaning(*code).or(verified::meaning(*code)) };
        match meaning {
            Some(meaning) => Answer { outcome, said: format!("exited {code}: {meaning}") },
            None => Answer { outcome, said: exit.to_string() },
        }
    }

    /// Not 1 and 2: it died without having been stopped, and what it had started may go on.
    fn tells_not_running(&self) -> Option<SaysStopped> {
        Some(SaysStopped { asked: Action::Exclusive, exits: &[3] })
    }

    fn missing(&self, _directory: &Path, _user: Option<&RunAs>) -> Vec<String> {
        let shown = self.script.display();
        match not_runnable(&self.script) {
            Some(missing) => vec![missing],
            None if !holds_status(&self.script) => vec![format!(
                "script {shown} knows no `status`, which decides with init scripts: use \
                 `Step(start: \"{shown} start\", stop: \"{shown} stop\")` instead, and write its `status`"
            )],
            None => Vec::new(),
        }
    }
}

/// Whether the word stands in the script at all; in doubt it does. Scripts that lack it print their usage and exit 3, which
/// would be taken for "does not run".
fn holds_status(script: &Path) -> bool {
    let mut text = Vec::new();
    let read = File::open(script).and_then(|file| file.take(SCRIPT_BYTES_MAX).read_to_end(&mut text));
    let holds = |wanted: &[u8]| text.windows(wanted.len()).any(|part| part == wanted);
    // Without a case of its own it may source what knows all of them.
    read.is_err() || !holds(b"start)") || holds(b"status")
}

const fn word(action: Action) -> &'static str {
    match action {
        Action::Start => "start",
        Action::Stop => "stop",
        Action::Restart => "restart",
        Action::Monitor | Action::Exclusive | Action::Validate => "status",
    }
}

const fn meaning(code: i32) -> Option<&'static str> {
    Some(match code {
        1 => "it failed: see the script log",
        2 => "the script does not take this call, or wants other arguments",
        3 => "the script does not do that",
        4 => "it lacks rights: see `run_as`, and the files that it works with",
        5 => "its program is not installed on this host",
        6 => "its program is not configured on this host",
        7 => "it does not run",
        _ => return None,
    })
}

const fn meaning_of_status(code: i32) -> Option<&'static str> {
    Some(match code {
        0 => "it runs",
        1 => "it is dead, and its pid file is still there",
        2 => "it is dead, and its lock file is still there",
        3 => "it does not run",
        4 => "the script cannot tell whether it runs",
        _ => return None,
    })
}
