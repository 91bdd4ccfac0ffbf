//! A call made ready to run: the contract's program, behind what puts it where it belongs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::environment::Environment;
use super::kind::{Call, Program};
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
    let secrets = program.secret_files.iter().map(|(name, path)| Ok((name.clone(), secret(path)?)));
    Ok(Prepared { arguments, variables, secrets: secrets.collect::<Result<_, String>>()? })
}

/// The secret in a file that nobody but its owner can get at.
///
/// # Errors
/// Why it is not used, as a sentence.
pub(crate) fn secret(path: &Path) -> Result<Secret, String> {
    let secret = Secret::read(path).map_err(|error| error.to_string())?;
    if secret.expose().contains(&0) {
        return Err(format!("the secret file {} holds a NUL byte, which no variable can hold", path.display()));
    }
    Ok(secret)
}
