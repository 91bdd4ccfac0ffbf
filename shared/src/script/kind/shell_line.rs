//! A line for the shell: what `SHUTDOWN_SCRIPTS` and `STARTUP_SCRIPTS` of CPMS held, between two commas.
//!
//! The line goes to `/bin/sh -c`, redirections and all, and is good if it exits 0. (CPMS itself ran the lines with
//! Perl's `system` and never looked at the result.)

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::program::{first_word, not_runnable};
use super::{Action, Call, Kind, Place, Program};
use crate::config::{Fields, Read, Reader, leaf};
use crate::script::Operation;
use crate::script::user::RunAs;

/// `"./start.sh >/var/log/start.log 2>&1"`, `Step(command: …)`; as a resource `Step(start: …, stop: …, status: …)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShellLine {
    /// The line for each thing that it can be asked. Never empty.
    lines: BTreeMap<Action, String>,
}

impl ShellLine {
    /// One line for one thing.
    #[must_use]
    pub fn of(action: Action, line: &str) -> ShellLine {
        ShellLine { lines: [(action, line.to_owned())].into() }
    }

    fn line(&self, action: Action) -> &str {
        self.lines.get(&action).map_or("", String::as_str)
    }
}

impl Kind for ShellLine {
    fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>, place: Place) -> Read<ShellLine> {
        let mut lines = BTreeMap::new();
        match place {
            Place::List(action) => {
                lines.insert(action, fields.required(reader, "command", "\"./start_1.sh\"", leaf::text)?);
            }
            Place::Resource => {
                let start = fields.required(reader, "start", "\"./start_1.sh\"", leaf::text);
                let stop = fields.required(reader, "stop", "\"./stop_1.sh\"", leaf::text);
                let status = fields.optional(reader, "status", leaf::text);
                lines.extend([(Action::Start, start?), (Action::Stop, stop?)]);
                lines.extend(status?.map(|line| (Action::Monitor, line)));
            }
        }
        Some(ShellLine { lines })
    }

    fn name(&self) -> String {
        self.lines.values().next().cloned().unwrap_or_default()
    }

    fn title(&self, action: Action, _operation: Operation) -> String {
        self.line(action).to_owned()
    }

    fn can(&self, action: Action) -> bool {
        self.lines.contains_key(&action)
    }

    fn program(&self, call: &Call<'_>) -> Result<Program, String> {
        Ok(Program::of(["/bin/sh", "-c", self.line(call.action)]))
    }

    fn missing(&self, directory: &Path, _user: Option<&RunAs>) -> Vec<String> {
        self.lines.values().filter_map(|line| not_runnable(&first_word(line, directory)?)).collect()
    }
}
