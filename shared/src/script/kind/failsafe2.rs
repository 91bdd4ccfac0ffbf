//! Action scripts of IRIS FailSafe 2 and Linux FailSafe: a resource type is a folder with the scripts `exclusive`,
//! `start`, `stop`, `restart` and `monitor`.
//!
//! Each is called with the names of two files. The first holds the resource's name; into the second the script may write
//! `NAME STATUS`, and any status but 0 is an error (Linux FailSafe Programmer's Guide, appendix B). A script that writes
//! nothing there is taken by its exit, which is more than FailSafe did: it took that for a time-out.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use serde::Serialize;

use super::failsafe1::{Block, Entry, block};
use super::program::not_runnable;
use super::{Action, Answer, Call, Kind, Outcome, Place, Program, SaysStopped};
use crate::config::{Fields, Node, OnStopFailure, Problem, Read, Reader, leaf};
use crate::script::user::RunAs;
use crate::script::{Operation, StepExit};

/// Makes the two files, calls the script, and ends with the status that it wrote.
const CALL: &str = include_str!("failsafe2/call.sh");
/// The scripts that every resource type has. `restart` may be missing where nothing is restarted.
const REQUIRED: [Action; 4] = [Action::Exclusive, Action::Start, Action::Stop, Action::Monitor];
/// Where the two files of a call lie.
const FILES: &str = "/tmp";
/// How the call ends where nothing was said: outside of the contract, in which 2 of `exclusive` is "runs here".
const CANNOT_TELL: i32 = 120;
/// What FailSafe wanted to be free for its own such files ("approximately 2-3 MB": overview of IRIS FailSafe 2).
const FREE_BYTES_LEAST: u64 = 3_000_000;

/// `FailSafe2(name: "web1", resource_type: "/usr/lib/failsafe/resource_types/web")`: a resource and the folder of its
/// type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailSafe2 {
    /// The folder with the five scripts; its last part is the type's name.
    resource_type: PathBuf,
    /// What the cluster database held of the resource: names and values, for `ha_get_info`.
    attributes: Vec<(String, String)>,
}

impl FailSafe2 {
    fn type_name(&self) -> String {
        self.resource_type.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl Kind for FailSafe2 {
    fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>, _place: Place) -> Read<FailSafe2> {
        let example = "\"/usr/lib/failsafe/resource_types/web\"";
        let resource_type = fields.required(reader, "resource_type", example, leaf::path);
        let attributes = fields.or(reader, "attributes", "{}", attributes);
        Some(FailSafe2 { resource_type: resource_type?, attributes: attributes? })
    }

    fn name(&self) -> String {
        self.type_name()
    }

    fn title(&self, action: Action, _operation: Operation) -> String {
        format!("{}/{}", self.resource_type.display(), word(action))
    }

    fn can(&self, action: Action) -> bool {
        action != Action::Validate
    }

    fn program(&self, call: &Call<'_>) -> Result<Program, String> {
        let script = call.directory.join(&self.resource_type).join(word(call.action));
        let mut program =
            Program::of(["/bin/sh".into(), "-c".into(), CALL.into(), script.into_os_string(), call.name.into()]);
        let attributes = self.attributes.iter().map(|(name, value)| format!("{name} {value}\n")).collect::<String>();
        let variables = [
            ("FAILOVER_RESOURCE", call.name.to_owned()),
            ("FAILOVER_RESOURCE_TYPE", self.type_name()),
            ("FAILOVER_ATTRIBUTES", attributes),
        ];
        program.variables.extend(variables.map(|(name, value)| (name.to_owned(), value)));
        Ok(program)
    }

    fn answer(&self, action: Action, exit: &StepExit) -> Answer {
        let StepExit::Code(code) = exit else { return failed(action, exit.to_string()) };
        let meaning = match (*code, action) {
            (0, Action::Exclusive) => {
                return Answer { outcome: Outcome::Passed, said: "exited 0: HA_NOT_RUNNING".to_owned() };
            }
            (0, _) => return Answer::zero_is_good(exit),
            (2, Action::Exclusive) => {
                let said = "exited 2: HA_RUNNING, the resource runs here".to_owned();
                return Answer { outcome: Outcome::Running, said };
            }
            (1, _) => "HA_INVAL_ARGS, the script does not take this call",
            (2, _) => "HA_CMD_FAILED, a command of the script failed: see the script log",
            (3, _) => "HA_NOTSUPPORTED, the resource type does not do that",
            (4, _) => "HA_NOCFGINFO, the resource's `attributes` in failover.ron lack something",
            (CANNOT_TELL, _) => "the script could not be asked, or cannot tell: see the script log",
            _ => return failed(action, exit.to_string()),
        };
        failed(action, format!("exited {code}: {meaning}"))
    }

    /// FailSafe forces nothing after a failed stop: a person looks, and says so.
    fn on_stop_failure(&self) -> OnStopFailure {
        OnStopFailure::AskOperator
    }

    /// HA_NOT_RUNNING.
    fn tells_not_running(&self) -> Option<SaysStopped> {
        Some(SaysStopped { asked: Action::Exclusive, exits: &[0] })
    }

    fn missing(&self, directory: &Path, _user: Option<&RunAs>) -> Vec<String> {
        let folder = directory.join(&self.resource_type);
        if !folder.is_dir() {
            return vec![format!("the folder of the resource type {} is not there", folder.display())];
        }
        let restart = folder.join(word(Action::Restart));
        let scripts = REQUIRED.map(|action| folder.join(word(action))).into_iter();
        let scripts = scripts.chain(restart.exists().then_some(restart)).filter_map(|script| not_runnable(&script));
        scripts.chain(no_room(Path::new(FILES), FREE_BYTES_LEAST)).collect()
    }
}

/// What speaks against making the files of a call in `folder`.
fn no_room(folder: &Path, least_bytes: u64) -> Option<String> {
    let shown = folder.display();
    let free = match statvfs(folder) {
        Ok(found) => found.blocks_available().saturating_mul(found.fragment_size()),
        Err(error) => {
            return Some(format!("{shown}, where action scripts get their files, cannot be looked at: {error}"));
        }
    };
    (free < least_bytes).then(|| {
        format!(
            "{shown} has {} kB left, and action scripts, which get their files there, may fail below {} kB: make room",
            free / 1000,
            least_bytes / 1000
        )
    })
}

/// `{"name": "value"}`, each value a text of one line.
pub(super) fn attributes(reader: &mut Reader<'_>, node: &Node, path: &str) -> Read<Vec<(String, String)>> {
    let block: Block = block(reader, node, path, 2)?;
    let plain = block.into_iter().map(|(name, entry)| match entry {
        Entry::Value(value) if !value.contains(['\n', '\r']) => Some((name, value)),
        Entry::Value(_) | Entry::Block(_) => None,
    });
    let plain: Option<Vec<_>> = plain.collect();
    if plain.is_none() {
        let problem = Problem::at(node.span.clone(), "a value here is a text of one line");
        reader.problem(problem.help("write `{\"monitor-level\": \"2\"}`"));
    }
    plain
}

/// In the words of FailSafe: a script that fails to stop its resource leaves the group in `srmd executable error`.
fn failed(action: Action, said: String) -> Answer {
    let said = if action == Action::Stop { format!("{said} (srmd executable error)") } else { said };
    Answer { outcome: Outcome::Failed, said }
}

const fn word(action: Action) -> &'static str {
    match action {
        Action::Start => "start",
        Action::Stop => "stop",
        // Its contract has no such question, and is never asked.
        Action::Monitor | Action::Validate => "monitor",
        Action::Restart => "restart",
        Action::Exclusive => "exclusive",
    }
}
