//! The post-conditions of a stop, looked at one by one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::LOOK_LIMIT;
use crate::config::{Postcondition, Service, Step};
use crate::process;

/// One post-condition and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The condition.
    pub condition: Postcondition,
    /// Whether it holds.
    pub holds: Holds,
}

/// Whether a post-condition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It was seen to hold.
    Yes,
    /// It was seen not to hold.
    No(String),
    /// It could not be told, which is no proof.
    CannotTell(String),
}

/// Looks at every post-condition of `service`. A condition that hangs cannot be told.
pub async fn verify(service: &Service) -> Vec<Finding> {
    let mut findings = Vec::new();
    for condition in &service.stopped_when {
        let holds = match condition {
            Postcondition::Command(step) => command(step, &service.directory).await,
            other => look_aside(other.clone(), service.cgroup.clone()).await,
        };
        findings.push(Finding { condition: condition.clone(), holds });
    }
    findings
}

/// In a thread that may be left behind: a look at a dead mount can hang for ever.
async fn look_aside(condition: Postcondition, cgroup: Option<PathBuf>) -> Holds {
    let what = format!("{condition:?}");
    let look = tokio::task::spawn_blocking(move || look(&condition, cgroup.as_deref()));
    match tokio::time::timeout(LOOK_LIMIT, look).await {
        Ok(Ok(holds)) => holds,
        Ok(Err(_)) => Holds::CannotTell(format!("the look at {what} ended early")),
        Err(_) => Holds::CannotTell(format!("the look at {what} hangs")),
    }
}

fn look(condition: &Postcondition, _cgroup: Option<&Path>) -> Holds {
    match condition {
        Postcondition::NoProcess(name) => no_process(name),
        Postcondition::PortsClosed(ports) => ports_closed(ports),
        Postcondition::NotMounted(path) => not_mounted(path),
        Postcondition::PidFileGone(path) => pid_file_gone(path),
        Postcondition::CgroupEmpty(path) => cgroup_empty(path),
        // Awaited, not looked at: see `command`.
        Postcondition::Command(_) => Holds::CannotTell("a command is not looked at".into()),
    }
}

fn no_process(name: &str) -> Holds {
    match process::named(name) {
        Ok(found) if found.is_empty() => Holds::Yes,
        Ok(found) => {
            let pids: Vec<String> = found.iter().take(8).map(|process| process.pid.to_string()).collect();
            Holds::No(format!("process {name} runs (pid {})", pids.join(", ")))
        }
        Err(error) => Holds::CannotTell(format!("the processes cannot be listed: {error}")),
    }
}

/// Listening sockets of the own network namespace (proc(5), net/tcp).
fn ports_closed(ports: &[u16]) -> Holds {
    let mut open = BTreeSet::new();
    for table in [procfs::net::tcp(), procfs::net::tcp6()] {
        match table {
            Ok(entries) => open.extend(
                entries
                    .into_iter()
                    .filter(|entry| entry.state == procfs::net::TcpState::Listen)
                    .map(|entry| entry.local_address.port()),
            ),
            // A kernel without IPv6 has no tcp6 table.
            Err(procfs::ProcError::NotFound(_)) => {}
            Err(error) => return Holds::CannotTell(format!("the listening ports cannot be listed: {error}")),
        }
    }
    let still: Vec<String> = ports.iter().filter(|port| open.contains(port)).map(u16::to_string).collect();
    if still.is_empty() { Holds::Yes } else { Holds::No(format!("port {} is still listened on", still.join(", "))) }
}

fn not_mounted(path: &Path) -> Holds {
    match mounts_at(path) {
        Ok(0) => Holds::Yes,
        Ok(_) => Holds::No(format!("{} is still mounted", path.display())),
        Err(error) => Holds::CannotTell(format!("the mounts cannot be listed: {error}")),
    }
}

/// How many mounts lie on `path`, one over the other.
pub(super) fn mounts_at(path: &Path) -> Result<usize, procfs::ProcError> {
    let mounts = procfs::process::Process::myself()?.mountinfo()?;
    Ok(mounts.into_iter().filter(|mount| mount.mount_point == path).count())
}

fn pid_file_gone(path: &Path) -> Holds {
    match pid_in(path) {
        Ok(None) => Holds::Yes,
        Ok(Some(pid)) => match process::with_pid(pid) {
            Some(process) => Holds::No(format!("process {} (pid {pid} of {}) runs", process.name, path.display())),
            None => Holds::Yes,
        },
        Err(why) => Holds::CannotTell(why),
    }
}

/// The pid in a pid file; `None` without a file.
pub(super) fn pid_in(path: &Path) -> Result<Option<i32>, String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        Ok(text) => text.trim().parse().map(Some).map_err(|_| format!("{} does not hold a pid", path.display())),
    }
}

/// A group that was never populated proves nothing: the service may live somewhere else. So a group must exist to be
/// believed empty, which it only does once a start step was put into it.
fn cgroup_empty(path: &Path) -> Holds {
    let Some(group) = cgroup(path) else {
        return Holds::CannotTell("no cgroup v2 is mounted".into());
    };
    match std::fs::read_to_string(group.join("cgroup.events")) {
        Ok(events) if events.lines().any(|line| line == "populated 0") => Holds::Yes,
        Ok(_) => Holds::No(format!("control group {} still holds processes", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Holds::CannotTell(format!(
            "control group {} was never made, so its emptiness proves nothing",
            path.display()
        )),
        Err(error) => Holds::CannotTell(format!("control group {} cannot be read: {error}", path.display())),
    }
}

/// A group below the cgroup v2 mount point, which some systems have at `unified` (cgroups(7)).
pub(super) fn cgroup(path: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix("/").unwrap_or(path);
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .iter()
        .map(Path::new)
        .find(|mount| mount.join("cgroup.procs").exists() && mount.join("cgroup.controllers").exists())
        .map(|mount| mount.join(below))
}

async fn command(step: &Step, directory: &Path) -> Holds {
    let mut child = tokio::process::Command::new("/bin/sh");
    child.arg("-c").arg(&step.command).current_dir(directory).process_group(0).kill_on_drop(true);
    child.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    match tokio::time::timeout(step.timeout, child.status()).await {
        Ok(Ok(status)) if status.success() => Holds::Yes,
        Ok(Ok(status)) => Holds::No(format!("`{}` says no ({status})", step.command)),
        Ok(Err(error)) => Holds::CannotTell(format!("`{}` could not be run: {error}", step.command)),
        Err(_) => Holds::CannotTell(format!("`{}` did not end within {:?}", step.command, step.timeout)),
    }
}
