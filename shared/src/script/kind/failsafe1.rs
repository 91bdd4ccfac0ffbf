//! Failover scripts of IRIS FailSafe 1: `SCRIPT CHECKSUM OPERATION`, where the operation is `takeback`, `takeover`,
//! `giveaway` or `giveback`, and the exit is 0 to 3. What such a script expects of its old system, `failoverctl compat
//! install` provides.

mod lookup;
#[cfg(test)]
mod tests;

pub use lookup::{Found, look_up};

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::program::not_runnable;
use super::{Action, Answer, Call, Kind, Outcome, Place, Program};
use crate::config::{Fields, Node, Problem, Read, Reader, RonKind, leaf, names_a_secret};
use crate::script::user::RunAs;
use crate::script::{Operation, StepExit};

/// What scripts source; without it they end in their first lines.
const COMMON_VARS: &str = "/var/ha/actions/common.vars";
/// Most instances of a class, and most parameters of a block.
const PARAMETERS_MAX: usize = 256;
/// Blocks in blocks.
const DEPTH_MAX: usize = 8;
/// What the roles decide, and `ha_cfginfo` answers by itself.
const OF_THE_ROLES: [&str; 2] = ["server-node", "backup-node"];

/// `FailSafe1(script: "/var/ha/resources/named")`, the same in both lists or once among the resources. Its name, by
/// default the script's file name, is its application class: the block that `ha_cfginfo` answers for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailSafe1 {
    /// The script.
    pub script: PathBuf,
    /// The blocks of its class: each instance with what `ha.conf` told of it. Never empty.
    pub instances: Block,
    /// `TESTING=ok`: scripts then tell more.
    pub testing: bool,
}

/// A block of `ha.conf`: names and what they stand for, in the order of the file.
pub type Block = Vec<(String, Entry)>;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Entry {
    /// A parameter.
    Value(String),
    /// A block inside.
    Block(Block),
}

impl Kind for FailSafe1 {
    fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>, _place: Place) -> Read<FailSafe1> {
        let script = fields.required(reader, "script", "\"/var/ha/resources/named\"", leaf::path);
        let instances = fields.or(reader, "instances", "{\"1\": {}}", |reader, node, path| {
            let instances = block(reader, node, path, DEPTH_MAX)?;
            let wrong = instances.iter().find(|(_, entry)| matches!(entry, Entry::Value(_)));
            if let Some((name, _)) = wrong {
                let problem = Problem::at(node.span.clone(), format!("the instance {name:?} is no block"));
                reader.problem(problem.help(format!("write `{{{name:?}: {{\"parameter\": \"value\"}}}}`")));
                return None;
            }
            Some(instances)
        });
        let testing = fields.or(reader, "testing", "false", leaf::flag);
        Some(FailSafe1 { script: script?, instances: instances?, testing: testing? })
    }

    fn name(&self) -> String {
        self.script.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn title(&self, _action: Action, operation: Operation) -> String {
        format!("{} CHECKSUM {operation}", self.script.display())
    }

    fn can(&self, action: Action) -> bool {
        matches!(action, Action::Start | Action::Stop)
    }

    fn program(&self, call: &Call<'_>) -> Result<Program, String> {
        let checksum = checksum(call.environment.config_digest);
        let operation = call.environment.operation.to_string();
        let mut program = Program::of([self.script.clone().into_os_string(), checksum.into(), operation.into()]);
        if self.testing {
            program.variables.insert("TESTING".to_owned(), "ok".to_owned());
        }
        Ok(program)
    }

    fn answer(&self, _action: Action, exit: &StepExit) -> Answer {
        let StepExit::Code(code) = exit else { return Answer::zero_is_good(exit) };
        let meaning = match code {
            0 => return Answer::zero_is_good(exit),
            1 => "ILLEGAL_CALL, the script does not take this call: it wants a checksum and one of the four operations",
            2 => {
                "INCORRECT_CONF_FILE, the configuration is wrong or incomplete for this script, or was changed since the \
                 daemon read it: run `failoverctl check`, then reload the daemon"
            }
            3 => "FAILED, a command of the script failed: see the script log, and the script's own in /var/ha/logs",
            126 | 127 => return Answer::zero_is_good(exit),
            _ => "a code that FailSafe does not know, which counts as failed",
        };
        Answer { outcome: Outcome::Failed, said: format!("exited {code}: {meaning}") }
    }

    fn missing(&self, _directory: &Path, _user: Option<&RunAs>) -> Vec<String> {
        let mut missing: Vec<String> = not_runnable(&self.script).into_iter().collect();
        if !Path::new(COMMON_VARS).exists() {
            missing.push(format!(
                "{COMMON_VARS}, which FailSafe scripts source, is not there: run `failoverctl compat install --root /`"
            ));
        }
        missing
    }
}

/// The configuration's checksum, as scripts get it and `$CFG_SUM` prints it: one word, 16 hexadecimal digits.
#[must_use]
pub fn checksum(digest: u64) -> String {
    format!("{digest:016x}")
}

/// `{"name": "value", "block": {…}}`.
pub(super) fn block(reader: &mut Reader<'_>, node: &Node, path: &str, depth: usize) -> Read<Block> {
    let RonKind::Map(pairs) = &node.kind else {
        return reader.wrong_kind(node, "a map in braces", "`{\"1\": {\"parameter\": \"value\"}}`");
    };
    if pairs.len() > PARAMETERS_MAX || depth == 0 {
        let problem = Problem::at(node.span.clone(), "this block is too large");
        reader.problem(problem.help(format!("at most {PARAMETERS_MAX} entries, at most {DEPTH_MAX} blocks deep")));
        return None;
    }
    if pairs.is_empty() {
        reader.note(path, node, "{}");
    }
    let mut block = Block::new();
    let mut whole = true;
    for (key, value) in pairs {
        let entry = parameter_name(reader, key, &block).and_then(|name| {
            let path = format!("{path}.{name}");
            let entry = match &value.kind {
                RonKind::Map(_) => Entry::Block(self::block(reader, value, &path, depth - 1)?),
                RonKind::Number(digits) => {
                    reader.note(&path, value, digits.clone());
                    Entry::Value(digits.clone())
                }
                _ => Entry::Value(leaf::text(reader, value, &path)?),
            };
            Some((name, entry))
        });
        match entry {
            Some(entry) => block.push(entry),
            None => whole = false,
        }
    }
    whole.then_some(block)
}

/// A name that a script can ask for: it splits the answers at white space and joins names by `#`.
fn parameter_name(reader: &mut Reader<'_>, node: &Node, known: &Block) -> Read<String> {
    let RonKind::Text(name) = &node.kind else {
        return reader.wrong_kind(node, "a name in quotes", "`\"mount-point\"`");
    };
    let refusal = if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
        Some(("scripts could not ask for this name", "a name has neither spaces nor `#`"))
    } else if OF_THE_ROLES.contains(&name.as_str()) {
        Some(("the roles say which host this is", "leave it out: server-node is the master, backup-node is the slave"))
    } else if names_a_secret(name) {
        Some((
            "a secret never stands in this file",
            "put it in a file of mode 0600 and write that file's name; of an `Ocf`, in `secret_parameters`",
        ))
    } else if known.iter().any(|(other, _)| other == name) {
        Some(("this name stands here twice", "remove one of the two"))
    } else {
        None
    };
    match refusal {
        None => Some(name.clone()),
        Some((message, help)) => {
            reader.problem(Problem::at(node.span.clone(), format!("{name:?}: {message}")).help(help));
            None
        }
    }
}
