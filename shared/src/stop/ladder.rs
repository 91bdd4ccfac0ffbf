//! What ends a service whose stop list did not: TERM, KILL, `cgroup.kill`, unmount. Each rung is told as it is taken,
//! and each is limited. Whether the ladder worked, only the post-conditions say.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use crate::config::{Postcondition, Service};
use crate::failpoint::failpoint;
use crate::process::{self, Process, ProcessGroup, ProcessId};
use crate::script::cgroup;

use super::condition::{Remembered, alive, names};
use super::mount;
use super::run::Teller;
use super::verify::StopContext;

/// How long killed processes may take to disappear.
const KILLED_WITHIN: Duration = Duration::from_secs(2);
const LOOK_LIMIT: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Whom the ladder may end, and how to find them again: everything else of the host is none of its business.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    names: Vec<String>,
    remembered: Vec<Remembered>,
    groups: Vec<ProcessGroup>,
    cgroups: Vec<PathBuf>,
    mounts: Vec<PathBuf>,
}

impl Targets {
    pub(super) fn of(service: &Service, context: &StopContext) -> Targets {
        let mut targets = Targets {
            names: Vec::new(),
            remembered: context.remembered.clone(),
            groups: context.groups.clone(),
            cgroups: Vec::new(),
            mounts: Vec::new(),
        };
        let mut cgroups: BTreeSet<PathBuf> = service.cgroup.iter().cloned().collect();
        for condition in &service.stopped_when {
            match condition {
                Postcondition::NoProcess(name) => targets.names.push(name.clone()),
                Postcondition::NotMounted(path) => targets.mounts.push(path.clone()),
                Postcondition::CgroupEmpty(path) => {
                    cgroups.insert(path.clone());
                }
                // Pid files are remembered from before the stop. A port's holder may be anyone.
                Postcondition::PidFileGone(_)
                | Postcondition::PortsClosed(_)
                | Postcondition::Command(_)
                | Postcondition::NotRunning(_) => {}
            }
        }
        targets.cgroups = cgroups.iter().filter_map(|path| cgroup::folder(path).ok()).collect();
        targets
    }

    /// Ends the processes. Each rung is told.
    pub(super) async fn end_processes(&self, kill_after: Duration, tell: &Teller) {
        failpoint("stop-ladder");
        let Some(found) = self.asked(tell).await else { return };
        if !found.is_empty() {
            tell.note(format!("ladder: TERM to {}", names(&found))).await;
            send(&found, Signal::SIGTERM, tell).await;
            // One that is stopped sees TERM only when it goes on.
            send(&found, Signal::SIGCONT, tell).await;
            if self.gone_within(kill_after, false, tell).await {
                tell.note("ladder: all of them ended".to_owned()).await;
                return;
            }
        }
        for folder in &self.cgroups {
            self.kill_cgroup(folder.clone(), tell).await;
        }
        let Some(found) = self.asked(tell).await else { return };
        if !found.is_empty() {
            tell.note(format!("ladder: KILL to {}", names(&found))).await;
            if !self.gone_within(KILLED_WITHIN, true, tell).await {
                let text =
                    "ladder: not all of them ended; a process that waits for a dead file server cannot be killed";
                tell.note(text.to_owned()).await;
            }
        }
    }

    /// Unmounts, the last named first: mounts are named in the order in which they are made.
    pub(super) async fn unmount(&self, variables: &BTreeMap<String, String>, tell: &Teller) {
        failpoint("stop-unmount");
        for path in self.mounts.iter().rev() {
            if let Err(why) = mount::unmount(path, variables).await {
                tell.note(format!("ladder: {why}")).await;
            }
        }
    }

    /// Who is there now. Told if that cannot be seen.
    async fn asked(&self, tell: &Teller) -> Option<Vec<Process>> {
        let targets = self.clone();
        match process::aside(LOOK_LIMIT, move || targets.present()).await {
            Some(Ok(found)) => Some(found),
            Some(Err(error)) => {
                tell.note(format!("ladder: the processes cannot be seen: {error}")).await;
                None
            }
            None => {
                tell.note("ladder: the processes cannot be seen: /proc does not answer".to_owned()).await;
                None
            }
        }
    }

    async fn gone_within(&self, span: Duration, killing: bool, tell: &Teller) -> bool {
        let limit = Instant::now() + span;
        loop {
            match self.asked(tell).await {
                Some(left) if left.is_empty() => return true,
                // Again each time: a process may have forked since it was looked at.
                Some(left) if killing => send(&left, Signal::SIGKILL, tell).await,
                Some(_) => {}
                None => return false,
            }
            if Instant::now() >= limit {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn kill_cgroup(&self, folder: PathBuf, tell: &Teller) {
        let shown = folder.display().to_string();
        let killed = process::aside(LOOK_LIMIT, move || {
            if cgroup::populated(&folder)? != Some(true) {
                return Ok(false);
            }
            let kept = process::protected()?;
            if cgroup::processes(&folder)?.iter().any(|pid| kept.contains(pid)) {
                return Err(io::Error::other("this daemon, or what started it, is in it"));
            }
            cgroup::kill(&folder).map(|()| true)
        });
        match killed.await {
            Some(Ok(true)) => tell.note(format!("ladder: killed the control group {shown}")).await,
            Some(Ok(false)) => {}
            Some(Err(error)) => tell.note(format!("ladder: the control group {shown} is not killed: {error}")).await,
            None => tell.note(format!("ladder: the control group {shown} does not answer")).await,
        }
    }

    /// Never this process, process 1, or those that started this process.
    fn present(&self) -> io::Result<Vec<Process>> {
        let mut found: BTreeMap<ProcessId, Process> = BTreeMap::new();
        let mut add =
            |processes: Vec<Process>| found.extend(processes.into_iter().map(|process| (process.id, process)));
        for name in &self.names {
            add(process::named(name)?);
        }
        for known in &self.remembered {
            add(alive(known.process)?.into_iter().collect());
        }
        for group in &self.groups {
            add(process::in_group(*group)?);
        }
        for folder in &self.cgroups {
            for pid in cgroup::processes(folder)? {
                add(process::look(pid)?.filter(|process| !process.zombie).into_iter().collect());
            }
        }
        let kept = process::protected()?;
        Ok(found.into_values().filter(|process| !kept.contains(&process.id.pid)).collect())
    }
}

async fn send(processes: &[Process], which: Signal, tell: &Teller) {
    for process in processes {
        if let Err(error) = process::signal(process.id, which) {
            tell.note(format!("ladder: {which} to {process} failed: {error}")).await;
        }
    }
}
