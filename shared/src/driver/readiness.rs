//! "Would a take-over work now?", asked all the time on the host that might have to do it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::Input;
use crate::config::{Config, Postcondition};
use crate::decision::{Epoch, Event, Presence, Role};
use crate::script::{Environment, Operation};
use crate::stop::{self, StopContext};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// Every so many looks, the processes and ports of this host are looked at too: that costs more.
const PRESENCE_EVERY: u32 = 3;
/// A look that takes longer has itself become the reason: some path hangs.
const LOOK_LIMIT: Duration = Duration::from_secs(4);

/// Looks again and again until its task is aborted; stopping it anywhere loses one look. `idle`: nothing of the service
/// should be running here.
pub(super) async fn watch(
    config: Arc<Config>,
    role: Role,
    state_dir: PathBuf,
    idle: Arc<AtomicBool>,
    inputs: mpsc::Sender<Input>,
) {
    let mut runs_here = None;
    let mut rounds = 0_u32;
    let mut interval = tokio::time::interval(EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let (asked, folder) = (config.clone(), state_dir.clone());
        // Paths on a hanging store would hold up the loop, so a thread looks and may be left behind.
        let look = tokio::task::spawn_blocking(move || reasons(&asked, &folder));
        if !idle.load(Ordering::Relaxed) {
            runs_here = None;
        } else if rounds.is_multiple_of(PRESENCE_EVERY) {
            runs_here = running_here(&config, role).await;
        }
        rounds = rounds.wrapping_add(1);
        let mut reasons = match tokio::time::timeout(LOOK_LIMIT, look).await {
            Ok(Ok(reasons)) => reasons,
            Ok(Err(_)) => vec!["the look at the scripts ended early".to_string()],
            Err(_) => {
                let reason = format!("a look at the scripts' files hangs for {LOOK_LIMIT:?}: is a mount dead?");
                if inputs.send(Input::Core(Event::Readiness(vec![reason]))).await.is_err() {
                    return;
                }
                // One look at a time: threads that hang must not pile up.
                tokio::time::sleep(Duration::from_secs(60)).await;
                continue;
            }
        };
        reasons.extend(runs_here.clone());
        if inputs.send(Input::Core(Event::Readiness(reasons))).await.is_err() {
            return;
        }
    }
}

/// A service that somebody else started on the stand-by would meet the one that a take-over starts.
async fn running_here(config: &Config, role: Role) -> Option<String> {
    let environment = Environment {
        epoch: Epoch(0),
        role,
        operation: Operation::stop_of(role),
        peer: config.host(role.peer()).name.clone(),
        reason: "a look".into(),
        extra: BTreeMap::new(),
    };
    let mut context = StopContext::new(environment);
    context.peer_addresses = config.peer_addresses(role);
    match stop::look(&config.service, &context).await {
        Presence::NothingRuns => None,
        Presence::Runs(what) => {
            Some(format!("something of the service runs here, which nobody of the pair started: {what}"))
        }
        Presence::CannotTell(what) => Some(format!("it cannot be told whether the service runs here: {what}")),
    }
}

/// Why a start would fail now, each with what to do.
pub(super) fn reasons(config: &Config, state_dir: &Path) -> Vec<String> {
    let mut reasons = Vec::new();
    for step in config.service.startup_scripts.iter().chain(&config.service.shutdown_scripts) {
        if let Some(program) = program(&step.command, &config.service.directory)
            && let Some(reason) = not_executable(&program)
        {
            reasons.push(reason);
        }
    }
    if config.service.startup_scripts.is_empty() {
        reasons.push("startup_scripts is empty: there is nothing to start".to_string());
    }
    for condition in &config.service.stopped_when {
        if let Postcondition::NotMounted(path) = condition
            && !path.exists()
        {
            reasons.push(format!("the mount point {} does not exist: mkdir it", path.display()));
        }
    }
    if let Err(error) = std::fs::metadata(state_dir) {
        reasons.push(format!("the state folder {} is not there: {error}", state_dir.display()));
    }
    reasons
}

/// The program that a command line starts with, where that is a path; words of the shell are left to the shell.
fn program(command: &str, directory: &Path) -> Option<PathBuf> {
    let first = command.split_whitespace().next()?;
    let plain = first.contains('/') && !first.contains(['$', '"', '\'', '`', '(', '{', '=']);
    plain.then(|| directory.join(first))
}

fn not_executable(program: &Path) -> Option<String> {
    match std::fs::metadata(program) {
        Err(error) => Some(format!("script {}: {error}", program.display())),
        Ok(found) if !found.is_file() => Some(format!("script {} is not a file", program.display())),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => {
            Some(format!("script {0} is not executable: chmod +x {0}", program.display()))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_taken_for_programs() {
        let folder = Path::new("/etc/failover");
        assert_eq!(program("./start.sh >/tmp/log 2>&1", folder), Some(PathBuf::from("/etc/failover/./start.sh")));
        assert_eq!(program("/bin/true", folder), Some(PathBuf::from("/bin/true")));
        assert_eq!(program("mount -a", folder), None);
        assert_eq!(program("A=/b ./c", folder), None);
    }

    #[test]
    fn a_missing_and_a_not_executable_script_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("a.sh");
        assert!(not_executable(&script).unwrap().contains("No such file"));
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        assert!(not_executable(&script).unwrap().contains("chmod +x"));
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(not_executable(&script), None);
    }
}
