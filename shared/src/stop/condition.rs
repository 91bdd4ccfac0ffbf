//! The looks themselves. Each may block on the kernel; the caller asks them aside.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::decision::{Bug, planted};
use crate::process::{self, Process, ProcessGroup, ProcessId};
use crate::script::cgroup;

use super::verify::State;

/// So many processes are named in a sentence.
const NAMED_MAX: usize = 5;
/// A pid file is longer than this only if it is none.
const PID_FILE_BYTES_MAX: u64 = 64;
/// File times and start times come from different clocks, both coarse.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// Whom a pid file named before the stop: a stop script that removes the file does not thereby end the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) file: PathBuf,
    pub(super) process: ProcessId,
}

pub(super) fn no_process(name: &str) -> io::Result<State> {
    Ok(broken_if_any(&process::named(name)?, "still runs"))
}

pub(super) fn ports_closed(ports: &[u16], foreign: &[IpAddr]) -> io::Result<State> {
    let mut open = process::listeners()?;
    open.retain(|listener| {
        ports.contains(&listener.address.port()) && !foreign.contains(&listener.address.ip().to_canonical())
    });
    open.truncate(NAMED_MAX);
    let inodes: Vec<u64> = open.iter().map(|listener| listener.inode).collect();
    let owners = process::owners_of_sockets(&inodes)?;
    let said: Vec<String> = open
        .iter()
        .map(|listener| {
            let owner = owners.get(&listener.inode).map_or("holder not visible".to_owned(), Process::to_string);
            let address = listener.address.ip().to_canonical();
            format!("port {} is still open on {address}: {owner}", listener.address.port())
        })
        .collect();
    Ok(if said.is_empty() { State::Holds } else { State::Broken(said.join("; ")) })
}

pub(super) fn pid_file_gone(path: &Path, remembered: &[Remembered]) -> io::Result<State> {
    for known in remembered.iter().filter(|known| known.file == path) {
        if let Some(process) = alive(known.process)? {
            return Ok(State::Broken(format!("{process} of {} still runs", path.display())));
        }
    }
    let Some(pid) = read_pid(path)? else { return Ok(State::Holds) };
    let Some(process) = process::look(pid)?.filter(|process| !process.zombie) else { return Ok(State::Holds) };
    Ok(if began_after_file(&process, path)? {
        // Not taken as gone: a clock that was set would make it look like this too.
        State::CannotTell(format!(
            "{} names {process}, which began after the file was written: a stale file, or the clock was set; if the \
             process is not the service's, remove the file",
            path.display()
        ))
    } else {
        State::Broken(format!("{process} of {} still runs", path.display()))
    })
}

/// Whom the pid file names now, unless the number looks given away since.
pub(super) fn remember(path: &Path) -> io::Result<Option<Remembered>> {
    let Some(pid) = read_pid(path)? else { return Ok(None) };
    let Some(process) = process::look(pid)?.filter(|process| !process.zombie) else { return Ok(None) };
    let theirs = !began_after_file(&process, path)?;
    Ok(theirs.then(|| Remembered { file: path.to_owned(), process: process.id }))
}

/// `counts`: an empty group is evidence.
pub(super) fn cgroup_empty(folder: &Path, counts: bool) -> io::Result<State> {
    match cgroup::populated(folder)? {
        Some(true) => {
            let mut inside = Vec::new();
            for pid in cgroup::processes(folder)? {
                inside.extend(process::look(pid)?);
            }
            Ok(match broken_if_any(&inside, "still in the control group") {
                State::Holds => State::Broken(format!("the control group {} is not empty", folder.display())),
                other => other,
            })
        }
        // A group can only be removed when it is empty, so a missing one is as good as an empty one.
        Some(false) | None if counts || planted(Bug::EmptyGroupIsEvidence) => Ok(State::Holds),
        Some(false) | None => Ok(State::CannotTell(
            "no process of the service was ever seen in it, so its emptiness is no evidence".to_owned(),
        )),
    }
}

pub(super) fn groups_empty(groups: &[ProcessGroup]) -> io::Result<State> {
    let mut left = Vec::new();
    for group in groups {
        left.extend(process::in_group(*group)?);
    }
    Ok(broken_if_any(&left, "left by our own steps still runs"))
}

pub(super) fn alive(wanted: ProcessId) -> io::Result<Option<Process>> {
    Ok(process::look(wanted.pid)?.filter(|found| found.id == wanted && !found.zombie))
}

/// The first few by name, for a sentence.
pub(super) fn names(processes: &[Process]) -> String {
    let mut named: Vec<String> = processes.iter().take(NAMED_MAX).map(Process::to_string).collect();
    if processes.len() > NAMED_MAX {
        named.push(format!("and {} more", processes.len() - NAMED_MAX));
    }
    named.join(", ")
}

fn broken_if_any(found: &[Process], what: &str) -> State {
    if found.is_empty() { State::Holds } else { State::Broken(format!("{} {what}", names(found))) }
}

fn read_pid(path: &Path) -> io::Result<Option<i32>> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(PID_FILE_BYTES_MAX).read_to_string(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
    match text.split_ascii_whitespace().next().and_then(|word| word.parse().ok()) {
        Some(pid) if pid > 0 => Ok(Some(pid)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} holds no process number; remove it if the service is stopped", path.display()),
        )),
    }
}

fn began_after_file(process: &Process, path: &Path) -> io::Result<bool> {
    let written = fs::metadata(path)?.modified()?;
    let up = Duration::from(nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)?);
    let started_ms = process.id.started_ticks.saturating_mul(1000) / procfs::ticks_per_second().max(1);
    let age = up.saturating_sub(Duration::from_millis(started_ms));
    let began = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(written.checked_add(CLOCK_SLACK).is_some_and(|written| began > written))
}
