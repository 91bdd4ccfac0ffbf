//! A command exits 0.

use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;

use super::CheckFailure;
use crate::config::Step;
use crate::decision::Symptom;
use crate::process;

/// Runs the command; its whole process group is killed when the round's time is over.
///
/// # Errors
/// Any exit but 0.
pub(super) async fn ask(step: &Step, directory: &Path) -> Result<(), CheckFailure> {
    let failed = |detail: String| CheckFailure { symptom: Symptom::CommandFailed, at: "the command", detail };
    let mut command = tokio::process::Command::new("/bin/sh");
    command.arg("-c").arg(&step.command).current_dir(directory).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(format!("could not be started: {error}")))?;
    let _group = Group(child.id().and_then(|pid| i32::try_from(pid).ok()));
    match tokio::time::timeout(step.timeout, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failed(status.to_string())),
        Ok(Err(error)) => Err(failed(format!("could not be awaited: {error}"))),
        Err(_) => Err(failed(format!("did not end within {:?}", step.timeout))),
    }
}

/// Ends the group when the round is over, or is dropped because its time is.
struct Group(Option<i32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            process::signal_group(group, Signal::SIGKILL);
        }
    }
}
