//! User scripts of SGI Cluster Manager for Linux: bash files with a function that is named like the application and takes
//! `start`, `stop` or `status` and the number of the service. They are read by a shell that knows `logAndPrint`,
//! `getSvcName`, `$SUCCESS` and the rest; a folder holds one script for each application.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Action, Answer, Call, Kind, Outcome, Place, Program};
use crate::config::{Fields, Read, Reader, leaf};
use crate::script::user::RunAs;
use crate::script::{Class, Operation, StepExit};

/// What scripts expect to be defined, in words of bash.
pub const LIBRARY: &str = include_str!("cluster_manager/library.sh");
const CALL: &str = include_str!("cluster_manager/call.sh");
const BASH: &str = "/bin/bash";
/// How the call ends where there is nothing to call.
const NOTHING_TO_CALL: i32 = 120;
/// Most scripts of a folder that are looked at before they are needed.
const SCRIPTS_MAX: usize = 256;

/// `ClusterManager(name: "web", script: "/usr/lib/clumanager/services/apache_webserver")`: a service of one application,
/// or of several whose scripts lie in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterManager {
    /// The script, or the folder.
    script: PathBuf,
    /// The function, where its name is not the file's nor a part of that. With a folder: in every script of it.
    function: Option<String>,
}

impl Kind for ClusterManager {
    fn read(reader: &mut Reader<'_>, fields: &mut Fields<'_>, _place: Place) -> Read<ClusterManager> {
        let example = "\"/usr/lib/clumanager/services/apache_webserver\"";
        let script = fields.required(reader, "script", example, leaf::path);
        let function = fields.optional(reader, "function", leaf::name);
        Some(ClusterManager { script: script?, function: function? })
    }

    fn name(&self) -> String {
        self.script.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn title(&self, action: Action, _operation: Operation) -> String {
        format!("{} {} ID", self.script.display(), word(action))
    }

    fn can(&self, action: Action) -> bool {
        matches!(action, Action::Start | Action::Stop | Action::Monitor)
    }

    fn program(&self, call: &Call<'_>) -> Result<Program, String> {
        let id = service_id(call.name).to_string();
        let function = self.function.clone().unwrap_or_default();
        let script = call.directory.join(&self.script).into_os_string();
        let text = format!("{LIBRARY}\n{CALL}");
        let mut program = Program::of([
            BASH.into(),
            "-c".into(),
            text.into(),
            script,
            word(call.action).into(),
            id.clone().into(),
            function.into(),
        ]);
        let variables = [("FAILOVER_RESOURCE", call.name.to_owned()), ("FAILOVER_SERVICE_ID", id)];
        program.variables.extend(variables.map(|(name, value)| (name.to_owned(), value)));
        Ok(program)
    }

    fn answer(&self, _action: Action, exit: &StepExit) -> Answer {
        let StepExit::Code(code) = exit else { return Answer::zero_is_good(exit) };
        let meaning = match *code {
            0 => return Answer { outcome: Outcome::Passed, said: "exited 0: SUCCESS".to_owned() },
            1 => "FAIL, as the script itself says: see the script log",
            NOTHING_TO_CALL => "there is no script, or no function named like the application: see the script log",
            _ => return Answer::zero_is_good(exit),
        };
        Answer { outcome: Outcome::Failed, said: format!("exited {code}: {meaning}") }
    }

    fn class(&self) -> Option<Class> {
        Some(Class::UserApplication)
    }

    fn missing(&self, directory: &Path, _user: Option<&RunAs>) -> Vec<String> {
        let script = directory.join(&self.script);
        let mut missing = Vec::new();
        if !Path::new(BASH).exists() {
            missing.push(format!("{BASH}, which runs the scripts of Cluster Manager, is not there: install it"));
        }
        if !script.is_dir() {
            missing.extend(not_readable(&script));
            return missing;
        }
        match fs::read_dir(&script) {
            Ok(entries) => {
                let entries = entries.take(SCRIPTS_MAX).flatten().map(|entry| entry.path());
                let scripts: Vec<PathBuf> = entries.filter(|path| !is_hidden(path)).collect();
                if scripts.is_empty() {
                    missing.push(format!("the folder {} holds no script", script.display()));
                }
                missing.extend(scripts.iter().filter_map(|script| not_readable(script)));
            }
            Err(error) => missing.push(format!("the folder {}: {error}", script.display())),
        }
        missing
    }
}

/// Scripts are read by bash, not executed: they need no mode, and a link is as good as what it leads to.
fn not_readable(script: &Path) -> Option<String> {
    let shown = script.display();
    match fs::File::open(script).and_then(|file| file.metadata()) {
        Ok(found) if found.is_file() => None,
        Ok(_) => Some(format!("script {shown} is not a file")),
        Err(error) => Some(format!("script {shown}: {error}")),
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// The number of a service, which nobody chooses: made of its name, so that it is the same on both hosts and stays when
/// services come and go (32-bit FNV-1a, folded to five digits at most).
fn service_id(name: &str) -> u32 {
    let hash = name.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash >> 16) ^ (hash & 0xFFFF)
}

const fn word(action: Action) -> &'static str {
    match action {
        Action::Start | Action::Restart => "start",
        Action::Stop => "stop",
        Action::Monitor | Action::Exclusive | Action::Validate => "status",
    }
}
