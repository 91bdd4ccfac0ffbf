//! The processes of a host, read from outside.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// A process of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number as the machine sees it: the one to signal.
    pub outside: Pid,
    /// Its number on the host.
    pub inside: i32,
    /// The number on the host of its parent; 0 when that is outside.
    pub parent: i32,
    /// Its name as the kernel keeps it, at most 15 bytes.
    pub name: String,
    /// Its arguments, joined by spaces. Empty when it has ended and waits to be reaped.
    pub arguments: String,
}

/// All processes in the PID namespace of `first`, without `first` itself.
pub(super) fn of_host(first: Pid) -> Result<Vec<Process>> {
    let space = fs::read_link(format!("/proc/{first}/ns/pid")).context("the host's first process is gone")?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(outside) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let folder = entry.path();
        // A process that ends between two reads is simply not there.
        if outside == first.as_raw() || fs::read_link(folder.join("ns/pid")).ok().as_ref() != Some(&space) {
            continue;
        }
        if let Some(process) = read(outside, folder) {
            found.push(process);
        }
    }
    Ok(found)
}

/// Collects dead processes of hosts that have become our own children: the demo adopts orphans (`PR_SET_CHILD_SUBREAPER`),
/// and a host's first process cannot end before every process of its namespace was collected. They are told from our
/// own children by their second number, the one in the host's namespace (proc(5), NSpid).
pub(super) fn reap_adopted() {
    let own = Pid::this().to_string();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        if field("PPid:") == own && field("State:").starts_with('Z') && field("NSpid:").split_whitespace().count() > 1 {
            // Somebody else may have collected it meanwhile.
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

fn read(outside: i32, folder: PathBuf) -> Option<Process> {
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    // The kernel lists the numbers from the outermost namespace to the innermost.
    let inside = field("NSpid:")?.split_whitespace().last()?.parse().ok()?;
    let parent_outside: i32 = field("PPid:")?.parse().ok()?;
    let parent = fs::read_to_string(format!("/proc/{parent_outside}/status"))
        .ok()
        .and_then(|status| {
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.to_owned();
            let mut numbers = numbers.split_whitespace();
            let _outermost = numbers.next();
            numbers.next_back()?.parse().ok()
        })
        .unwrap_or(0);
    let arguments = fs::read(folder.join("cmdline")).ok()?;
    let arguments = String::from_utf8_lossy(&arguments).split('\0').collect::<Vec<_>>().join(" ").trim().to_owned();
    Some(Process { outside: Pid::from_raw(outside), inside, parent, name: field("Name:")?.to_owned(), arguments })
}
