//! The ladder: what is left of the service is ended, rung by rung. TERM, KILL, `cgroup.kill`, unmount.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;

use super::verify::{cgroup, mounts_at, pid_in};
use crate::config::{Postcondition, Service};
use crate::process::{self, Process};

/// How long one unmount may take. It can hang for as long as a file server is away.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(5);

/// Ends everything that the post-conditions name. Whether that was enough is not decided here, but by looking again.
pub(super) async fn climb(service: &Service, kill_after: Duration) {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let left = processes(service).await;
        if left.is_empty() {
            break;
        }
        tracing::warn!(%signal, pids = ?left.iter().map(|process| process.pid).collect::<Vec<_>>(), "stop ladder");
        for process in &left {
            process::signal(process, signal);
        }
        let until = Instant::now() + kill_after;
        while Instant::now() < until && left.iter().any(lives) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    for group in groups(service) {
        // Ends every descendant at once, race-free against fork (cgroup v2 documentation, cgroup.kill).
        if let Err(error) = std::fs::write(group.join("cgroup.kill"), "1") {
            tracing::warn!(%error, group = %group.display(), "stop ladder: cgroup.kill");
        }
    }
    for condition in &service.stopped_when {
        if let Postcondition::NotMounted(path) = condition {
            unmount(path.clone()).await;
        }
    }
}

fn lives(process: &Process) -> bool {
    process::with_pid(process.pid).is_some_and(|now| now.started == process.started)
}

async fn processes(service: &Service) -> Vec<Process> {
    let conditions = service.stopped_when.clone();
    let groups = groups(service);
    let look = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        for condition in &conditions {
            match condition {
                Postcondition::NoProcess(name) => found.extend(process::named(name).unwrap_or_default()),
                Postcondition::PidFileGone(path) => {
                    found.extend(pid_in(path).ok().flatten().and_then(process::with_pid));
                }
                Postcondition::PortsClosed(ports) => found.extend(listeners(ports)),
                Postcondition::CgroupEmpty(_) | Postcondition::NotMounted(_) | Postcondition::Command(_) => {}
            }
        }
        for group in groups {
            let members = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            found.extend(members.lines().filter_map(|pid| pid.parse().ok()).filter_map(process::with_pid));
        }
        found.sort();
        found.dedup();
        found
    });
    look.await.unwrap_or_default()
}

/// Who listens on a managed port, found by the socket's inode.
fn listeners(ports: &[u16]) -> Vec<Process> {
    let tables = procfs::net::tcp().into_iter().chain(procfs::net::tcp6()).flatten();
    let inodes: Vec<u64> = tables
        .filter(|entry| entry.state == procfs::net::TcpState::Listen && ports.contains(&entry.local_address.port()))
        .map(|entry| entry.inode)
        .collect();
    if inodes.is_empty() {
        return Vec::new();
    }
    let holds = |process: &procfs::process::Process| {
        process.fd().is_ok_and(|descriptors| {
            descriptors.flatten().any(|descriptor| {
                matches!(descriptor.target, procfs::process::FDTarget::Socket(inode) if inodes.contains(&inode))
            })
        })
    };
    process::find(|process, _| holds(process)).unwrap_or_default()
}

fn groups(service: &Service) -> Vec<PathBuf> {
    let named = service.stopped_when.iter().filter_map(|condition| match condition {
        Postcondition::CgroupEmpty(path) => Some(path.as_path()),
        _ => None,
    });
    let own: Option<&Path> = service.cgroup.as_deref();
    let mut groups: Vec<PathBuf> = named.chain(own).filter_map(cgroup).filter(|group| group.exists()).collect();
    groups.sort();
    groups.dedup();
    groups
}

/// Never lazily: a detached mount is out of sight, not out of use.
async fn unmount(path: PathBuf) {
    if mounts_at(&path).unwrap_or(0) == 0 {
        return;
    }
    let shown = path.display().to_string();
    let work = tokio::task::spawn_blocking(move || {
        umount2(&path, MntFlags::UMOUNT_NOFOLLOW)
            .or_else(|_| umount2(&path, MntFlags::MNT_FORCE | MntFlags::UMOUNT_NOFOLLOW))
    });
    match tokio::time::timeout(UNMOUNT_LIMIT, work).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, path = shown, "stop ladder: unmount"),
        Ok(Err(_)) | Err(_) => tracing::warn!(path = shown, "stop ladder: the unmount hangs"),
    }
}
