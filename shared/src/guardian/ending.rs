//! How the guardian ends a service: TERM, KILL, `cgroup.kill`, unmount. It runs no scripts, and never waits: each step
//! looks, does what is next, and returns.
//!
//! The two calls that can hang for good (umount(2), and what it waits for) run in threads. A hanging one holds up nothing
//! but the verification; that ends in the reset.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread::{self, JoinHandle};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;

use crate::decision::Millis;
use crate::process::{self, Process, ProcessId};
use crate::script::cgroup;
use crate::stop::mounts_below;

use super::moment::Moment;
use super::plan::Plan;

/// A process that was told to end has this part of K, before it is killed.
const TERM_SHARE: u64 = 4;
/// More mounts than this on one point or below it are not taken away in one go.
const UNMOUNTS_MAX: usize = 16;

/// An end under way.
pub(super) struct Ending {
    plan: Rc<Plan>,
    family: i32,
    begun: Moment,
    kill_ms: Millis,
    told: BTreeSet<ProcessId>,
    gentle: Option<JoinHandle<()>>,
    forced: Option<JoinHandle<()>>,
}

/// What is left of the service. Nothing, if it is empty.
#[derive(Debug, Default)]
struct Left {
    processes: BTreeMap<ProcessId, Process>,
    cgroups: Vec<PathBuf>,
    mounts: Vec<PathBuf>,
}

impl Ending {
    /// Ends what the plan names, and the descendants of the process `family`, within `kill_ms`.
    pub(super) fn new(plan: Rc<Plan>, family: i32, kill_ms: Millis, begun: Moment) -> Ending {
        Ending { plan, family, begun, kill_ms, told: BTreeSet::new(), gentle: None, forced: None }
    }

    /// Goes on. `Ok`: nothing is left, and that was seen in this step. `Err`: what is left.
    pub(super) fn step(&mut self, now: Moment) -> Result<(), String> {
        let left =
            Left::of(&self.plan, self.family).map_err(|error| format!("what is left cannot be seen: {error}"))?;
        if left.is_nothing() {
            // No look can tell. The host's reset can.
            return match self.plan.unseen.as_slice() {
                [] => Ok(()),
                unseen => Err(format!("nothing is left that can be seen, but not whether {} holds", unseen.join(", "))),
            };
        }
        let spent = now.since(self.begun).0.saturating_mul(TERM_SHARE);
        if spent < self.kill_ms.0 {
            self.tell(&left);
        } else {
            left.kill();
        }
        // Processes first: they keep the mounts busy. Those that cannot be killed wait for a server which only a forced
        // unmount makes let go.
        if left.processes.is_empty() && left.cgroups.is_empty() || spent >= 2 * self.kill_ms.0 {
            unmount(&mut self.gentle, &left.mounts, MntFlags::UMOUNT_NOFOLLOW);
        }
        if spent >= 3 * self.kill_ms.0 {
            unmount(&mut self.forced, &left.mounts, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_FORCE);
        }
        Err(left.words())
    }

    fn tell(&mut self, left: &Left) {
        for process in left.processes.values() {
            if self.told.insert(process.id) {
                send(process, Signal::SIGTERM);
                // One that is stopped sees TERM only when it goes on.
                send(process, Signal::SIGCONT);
            }
        }
    }
}

impl Left {
    fn of(plan: &Plan, family: i32) -> io::Result<Left> {
        let mut left = Left::default();
        let kept = process::protected()?;
        for folder in &plan.cgroups {
            if cgroup::populated(folder)? == Some(true) {
                let members = cgroup::processes(folder)?;
                for pid in &members {
                    left.add(process::look(*pid)?.filter(|process| !process.zombie), &kept);
                }
                // The group that the guardian itself is in is never empty, and never killed as a whole.
                if !members.iter().any(|pid| kept.contains(pid)) {
                    left.cgroups.push(folder.clone());
                }
            }
        }
        for process in process::list()? {
            let named = plan.processes.iter().any(|name| process.is_named(name));
            if named || descends_from(family, process.parent)? {
                left.add(Some(process), &kept);
            }
        }
        for path in &plan.mounts {
            left.mounts.extend(mounts_below(path)?);
        }
        Ok(left)
    }

    fn add(&mut self, process: Option<Process>, kept: &BTreeSet<i32>) {
        if let Some(process) = process.filter(|process| !kept.contains(&process.id.pid)) {
            self.processes.insert(process.id, process);
        }
    }

    fn is_nothing(&self) -> bool {
        self.processes.is_empty() && self.cgroups.is_empty() && self.mounts.is_empty()
    }

    fn kill(&self) {
        for folder in &self.cgroups {
            // Before Linux 5.14 there is no cgroup.kill; then each process is killed in each step.
            if let Err(error) = cgroup::kill(folder) {
                tracing::debug!(%error, folder = %folder.display(), "the control group is not killed as a whole");
            }
        }
        for process in self.processes.values() {
            send(process, Signal::SIGKILL);
        }
    }

    fn words(&self) -> String {
        let processes = self.processes.values().map(ToString::to_string);
        let groups = self.cgroups.iter().map(|path| format!("the control group {}", path.display()));
        let mounts = self.mounts.iter().map(|path| format!("the mount {}", path.display()));
        let words: Vec<_> = processes.chain(groups).chain(mounts).take(8).collect();
        format!("left: {}", words.join(", "))
    }
}

/// Whether `ancestor` is met on the way up from `pid`. The table may change on the way; the next step looks again.
fn descends_from(ancestor: i32, mut pid: i32) -> io::Result<bool> {
    while pid > 1 {
        if pid == ancestor {
            return Ok(true);
        }
        match process::look(pid)? {
            Some(process) if process.parent != pid => pid = process.parent,
            _ => break,
        }
    }
    Ok(false)
}

fn send(process: &Process, which: Signal) {
    if let Err(error) = process::signal(process.id, which) {
        tracing::warn!(%error, %process, signal = %which, "the signal was not sent");
    }
}

/// Unmounts in a thread, unless one is still at it. Never lazily: that takes the mount out of the table while processes
/// may go on writing to it.
fn unmount(running: &mut Option<JoinHandle<()>>, mounts: &[PathBuf], flags: MntFlags) {
    if mounts.is_empty() || running.as_ref().is_some_and(|thread| !thread.is_finished()) {
        return;
    }
    let mounts = mounts.to_vec();
    let work = move || {
        // The last that was mounted goes first.
        for path in mounts.iter().rev().take(UNMOUNTS_MAX) {
            unmount_one(path, flags);
        }
    };
    match thread::Builder::new().name("unmount".into()).stack_size(64 * 1024).spawn(work) {
        Ok(thread) => *running = Some(thread),
        Err(error) => tracing::error!(%error, "no thread to unmount in; it is tried again"),
    }
}

fn unmount_one(path: &Path, flags: MntFlags) {
    if let Err(error) = umount2(path, flags) {
        tracing::warn!(%error, path = %path.display(), "not unmounted yet");
    }
}
