//! Processes of this host, found in /proc. A process is named by pid *and* start time, because pids are used again.

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpid, getppid};

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// Its name as the kernel keeps it: the first 15 bytes.
    pub name: String,
    /// When it started, in clock ticks since the kernel did.
    pub started: u64,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
}

/// Every living process (zombies only wait to be counted by their parent) for which `wanted` says yes.
///
/// # Errors
/// When /proc cannot be listed. Processes that end while it is read are passed over.
pub fn find(
    mut wanted: impl FnMut(&procfs::process::Process, &Process) -> bool,
) -> Result<Vec<Process>, procfs::ProcError> {
    let mut found = Vec::new();
    for process in procfs::process::all_processes()? {
        let Ok(process) = process else { continue };
        let Ok(stat) = process.stat() else { continue };
        if is_dead(stat.state) {
            continue;
        }
        let one = from_stat(stat);
        if wanted(&process, &one) {
            found.push(one);
        }
    }
    found.sort_by_key(|process| (process.started, process.pid));
    Ok(found)
}

/// Every living process called `name`, the oldest first.
///
/// # Errors
/// When /proc cannot be listed.
pub fn named(name: &str) -> Result<Vec<Process>, procfs::ProcError> {
    let name = short(name);
    find(|_, process| process.name == name)
}

/// The living process with this pid.
#[must_use]
pub fn with_pid(pid: i32) -> Option<Process> {
    let stat = procfs::process::Process::new(pid).ok()?.stat().ok()?;
    (!is_dead(stat.state)).then(|| from_stat(stat))
}

fn is_dead(state: char) -> bool {
    matches!(state, 'Z' | 'X')
}

fn from_stat(stat: procfs::process::Stat) -> Process {
    Process { pid: stat.pid, name: stat.comm, started: stat.starttime, group: stat.pgrp, session: stat.session }
}

/// The name as the kernel keeps it (proc(5), comm: 15 bytes).
#[must_use]
pub fn short(name: &str) -> &str {
    let base = name.rsplit('/').next().unwrap_or(name);
    base.get(..base.floor_char_boundary(15)).unwrap_or(base)
}

/// Signals the very process that was found, if it still lives. Never the daemon itself, its parent, or pid 1.
pub fn signal(process: &Process, signal: Signal) {
    let spared = [1, getpid().as_raw(), getppid().as_raw()];
    if process.pid <= 1 || spared.contains(&process.pid) {
        return;
    }
    if with_pid(process.pid).is_some_and(|now| now.started == process.started) {
        // It may end between the look and the signal; then there is nothing to do.
        let _ = kill(Pid::from_raw(process.pid), signal);
    }
}

/// Signals a whole process group, unless it is the daemon's own.
pub fn signal_group(group: i32, signal: Signal) {
    if group > 1 && group != nix::unistd::getpgrp().as_raw() {
        let _ = killpg(Pid::from_raw(group), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_child_is_found_by_name_and_a_dead_one_is_not() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while !named("/bin/sleep").unwrap().iter().any(|process| process.pid == pid) {
            assert!(std::time::Instant::now() < until, "the child never showed up under its name");
        }
        let found = with_pid(pid).unwrap();
        child.kill().unwrap();
        // Dead, but not yet waited for: a zombie is no writer.
        while with_pid(pid).is_some() {
            assert!(std::time::Instant::now() < until, "a zombie is counted as living");
        }
        child.wait().unwrap();
        signal(&found, Signal::SIGKILL);
    }
}
