//! "Would a take-over work now?", asked all the time on the host that might have to do it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tokio::sync::{mpsc, watch};

use super::Input;
use super::policy::{self, Situation};
use crate::config::{Config, Loaded, Postcondition, watchdog_fault};
use crate::decision::{Epoch, Event, Presence, Role};
use crate::script::{Environment, Operation};
use crate::stop::{self, StopContext};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// Every so many looks, the processes and ports of this host are looked at too: that costs more.
const PRESENCE_EVERY: u32 = 3;
/// A look that takes longer has itself become the reason: some path hangs.
const LOOK_LIMIT: Duration = Duration::from_secs(4);

/// A start writes some dozens of entries of a kilobyte or two.
const JOURNAL_ROOM_BYTES: u64 = 256 * 1024;

/// Looks again and again until its task is aborted; stopping it anywhere loses one look. `idle`: nothing of the service
/// should be running here.
pub(super) async fn watch(
    loaded: Arc<Loaded>,
    role: Role,
    state_dir: PathBuf,
    idle: Arc<AtomicBool>,
    mut situation: watch::Receiver<Situation>,
    inputs: mpsc::Sender<Input>,
) {
    let mut policy = policy::Asker::new(loaded.clone(), role);
    let mut runs_here = None;
    let mut rounds = 0_u32;
    let mut interval = tokio::time::interval(EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        // A policy may answer otherwise as soon as the pair is another one.
        tokio::select! {
            _ = interval.tick() => {}
            Ok(()) = situation.changed() => {}
        }
        let (asked, folder) = (loaded.clone(), state_dir.clone());
        // Paths on a hanging store would hold up the loop, so a thread looks and may be left behind.
        let look = tokio::task::spawn_blocking(move || reasons(&asked.config, &folder));
        if !idle.load(Ordering::Relaxed) {
            runs_here = None;
        } else if rounds.is_multiple_of(PRESENCE_EVERY) {
            runs_here = running_here(&loaded, role).await;
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
        let now = *situation.borrow_and_update();
        reasons.extend(policy.ask(now, &inputs).await);
        if inputs.send(Input::Core(Event::Readiness(reasons))).await.is_err() {
            return;
        }
    }
}

/// A service that somebody else started on the stand-by would meet the one that a take-over starts.
async fn running_here(loaded: &Loaded, role: Role) -> Option<String> {
    let environment = Environment::of(loaded, role, Operation::stop_of(role), Epoch(0), "a look");
    let mut context = StopContext::new(environment);
    let config = &loaded.config;
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
    let mut seen = BTreeSet::new();
    for (_, task) in config.service.lists.tasks() {
        for reason in task.script.missing(&config.service.directory) {
            if seen.insert(reason.clone()) {
                reasons.push(reason);
            }
        }
    }
    for condition in &config.service.stopped_when {
        if let Postcondition::NotMounted(path) = condition
            && !path.exists()
        {
            reasons.push(format!("the mount point {} does not exist: mkdir it", path.display()));
        }
    }
    reasons.extend(watchdog_fault(config, Path::new("/")));
    match statvfs(state_dir) {
        Ok(disk) => reasons.extend(no_room(state_dir, disk.blocks_free().saturating_mul(disk.fragment_size()))),
        Err(error) => reasons.push(format!("the state folder {} is not there: {error}", state_dir.display())),
    }
    reasons
}

/// Each step of a start is durable in the journal before it runs.
fn no_room(state_dir: &Path, free_bytes: u64) -> Option<String> {
    (free_bytes < JOURNAL_ROOM_BYTES).then(|| {
        let shown = state_dir.display();
        format!("the disk with the state folder {shown} is full, and a start has to write its journal there: df {shown}, make room")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_for_the_journal_of_a_start_is_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(no_room(folder.path(), JOURNAL_ROOM_BYTES), None);
        let said = no_room(folder.path(), JOURNAL_ROOM_BYTES - 1).expect("a reason");
        assert!(said.contains("is full") && said.contains(&folder.path().display().to_string()), "{said}");
    }
}
