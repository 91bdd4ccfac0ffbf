//! A call made ready to run: the contract's program, behind what puts it where it belongs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::kind::{Action, Call, Program};
use super::task::Task;
use super::user::RunAs;
use crate::secret::Secret;

/// Moves the step into the control group and then becomes it. If it cannot, the step still runs, and says so in its
/// output: the missing evidence shows when the stop is verified.
const ENTER_CGROUP: &str = "{ echo $$ > \"$0/cgroup.procs\"; } 2>/dev/null \
     || echo \"failover: cannot enter the control group $0\" >&2; exec \"$@\"";

/// Program, arguments, and the whole environment.
pub(crate) struct Prepared {
    pub(crate) arguments: Vec<OsString>,
    pub(crate) variables: BTreeMap<String, String>,
    /// Further variables, which are never shown.
    pub(crate) secrets: Vec<(String, Secret)>,
    /// What is wrong with secrets and did not keep the call from being made, in words.
    pub(crate) notes: Vec<String>,
}

/// Makes a call ready.
///
/// # Errors
/// Why it cannot be called, as a sentence.
pub(crate) async fn prepare(
    task: &Task,
    environment: &Environment,
    directory: &Path,
    cgroup: Option<&Path>,
) -> Result<Prepared, String> {
    let script = &task.script;
    let call = Call { action: task.action, name: &script.name, directory, environment, limit: task.limit() };
    let program: Program = script.contract().program(&call)?;
    let mut arguments: Vec<OsString> = Vec::new();
    let mut variables = environment.variables();
    if let Some(folder) = cgroup {
        arguments.extend(["/bin/sh".into(), "-c".into(), ENTER_CGROUP.into(), folder.into()]);
    }
    if let Some(name) = &script.run_as {
        let user = RunAs::look_up(name).await?;
        arguments.extend(user.prefix());
        variables.extend(user.variables());
    }
    arguments.extend(program.arguments);
    variables.extend(program.variables);
    let mut notes = Vec::new();
    let secrets = secrets(&program.secret_files, task.action, &mut notes)?;
    Ok(Prepared { arguments, variables, secrets, notes })
}

/// The secrets of a call, and what is wrong with those that are missing or used all the same. A start goes with good ones
/// only. To look and to stop must go on when a file was changed or lost while the service ran.
fn secrets(
    files: &BTreeMap<String, PathBuf>,
    action: Action,
    notes: &mut Vec<String>,
) -> Result<Vec<(String, Secret)>, String> {
    let mut secrets = Vec::new();
    for (name, path) in files {
        let (found, wrong) = match action {
            Action::Start | Action::Restart | Action::Validate => (Some(secret(path)?), None),
            Action::Stop | Action::Monitor | Action::Exclusive => usable(path),
        };
        if let Some(wrong) = wrong {
            let how = if found.is_some() { "used all the same" } else { "left out" };
            notes.push(format!("{wrong}; {name} is {how}, since this call must not fail for it"));
        }
        secrets.extend(found.map(|secret| (name.clone(), secret)));
    }
    Ok(secrets)
}

fn usable(path: &Path) -> (Option<Secret>, Option<String>) {
    match Secret::read_if_usable(path) {
        (Some(secret), _) if has_nul(&secret) => (None, Some(nul_refused(path))),
        (secret, wrong) => (secret, wrong.map(|wrong| wrong.to_string())),
    }
}

/// The secret in a file that nobody but its owner can get at.
///
/// # Errors
/// Why it is not used, as a sentence.
pub(crate) fn secret(path: &Path) -> Result<Secret, String> {
    let secret = Secret::read(path).map_err(|error| error.to_string())?;
    if has_nul(&secret) { Err(nul_refused(path)) } else { Ok(secret) }
}

fn has_nul(secret: &Secret) -> bool {
    secret.expose().contains(&0)
}

fn nul_refused(path: &Path) -> String {
    format!("the secret file {} holds a NUL byte, which no variable can hold", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_stop_and_a_look_go_on_with_what_is_left_of_their_secrets_and_a_start_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["good", "readable", "gone"].map(|name| (name.to_owned(), folder.path().join(name)));
        for (name, mode) in [("good", 0o600), ("readable", 0o644)] {
            fs::write(folder.path().join(name), name).unwrap();
            fs::set_permissions(folder.path().join(name), Permissions::from_mode(mode)).unwrap();
        }
        let files = BTreeMap::from(files);
        for action in [Action::Stop, Action::Monitor, Action::Exclusive] {
            let mut notes = Vec::new();
            let secrets = secrets(&files, action, &mut notes).unwrap();
            let names: Vec<&str> = secrets.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["good", "readable"], "{action:?}");
            let [gone, readable] = &notes[..] else { panic!("{action:?}: {notes:?}") };
            assert!(gone.contains("gone cannot be read") && gone.contains("left out"), "{gone}");
            assert!(readable.contains("chmod 600") && readable.contains("used all the same"), "{readable}");
        }
        for action in [Action::Start, Action::Restart, Action::Validate] {
            assert!(
                secrets(&files, action, &mut Vec::new()).is_err_and(|why| why.contains("gone cannot be read")),
                "{action:?}"
            );
        }
    }
}
