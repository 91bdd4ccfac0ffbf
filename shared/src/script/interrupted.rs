//! What still runs of a step whose daemon died: found by the marks in its environment, and ended.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use super::list::ListRun;
use crate::process::{self, Process, ProcessGroup};

/// How long the look for what an interrupted list left behind may take.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

impl ListRun {
    /// Ends the step that ran when the daemon died, if its shell still runs: it is about to be run again, and two of
    /// it at once were never asked for. What the step had already left in the background is part of the service and
    /// stays.
    pub(super) async fn end_interrupted_step(&self, index: u32) -> Result<(), String> {
        let variables = self.environment.variables();
        let common = ["FAILOVER_EPOCH", "FAILOVER_OPERATION", "FAILOVER_PEER"];
        let common = common.iter().filter_map(|name| Some(((*name).to_owned(), variables.get(*name)?.clone())));
        let marks: Vec<Vec<u8>> =
            common.chain(self.marks(index)).map(|(name, value)| format!("{name}={value}").into_bytes()).collect();
        let groups = process::aside(LOOK_LIMIT, move || {
            let found = process::with_environment(&marks)?;
            Ok::<_, std::io::Error>(found.into_iter().filter(leads_its_group).collect::<Vec<Process>>())
        });
        let leaders = match groups.await {
            Some(Ok(leaders)) => leaders,
            Some(Err(error)) => return Err(format!("whether step {index} still runs cannot be told: {error}")),
            None => return Err(format!("whether step {index} still runs cannot be told: /proc does not answer")),
        };
        for leader in leaders {
            let group = ProcessGroup { leader: leader.id, session: leader.session };
            self.note(format!("step {index} still runs as {leader} from before the restart, and is ended")).await;
            if !end_group(group, self.kill_after).await {
                return Err(format!("step {index} still runs as {leader} and cannot be ended"));
            }
        }
        Ok(())
    }
}

/// A step's shell leads a group in the daemon's session; a daemon that it started has a session of its own.
fn leads_its_group(process: &Process) -> bool {
    process.group == process.id.pid && process.session != process.id.pid
}

/// TERM, KILL. Whether the group is empty then.
async fn end_group(group: ProcessGroup, kill_after: Duration) -> bool {
    for (which, patience) in [(Signal::SIGTERM, kill_after), (Signal::SIGKILL, LOOK_LIMIT)] {
        let limit = Instant::now() + patience;
        let mut told = false;
        loop {
            let members = match process::aside(LOOK_LIMIT, move || process::in_group(group)).await {
                Some(Ok(members)) => members,
                Some(Err(_)) | None => return false,
            };
            if members.is_empty() {
                return true;
            }
            // TERM once: a second one makes some programs skip their clean end. KILL again, against forks.
            for member in members.iter().filter(|_| !told || which == Signal::SIGKILL) {
                let _ = process::signal(member.id, which);
            }
            told = true;
            if Instant::now() >= limit {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    false
}
