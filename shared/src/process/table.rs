//! The process table, read from `/proc/<pid>/stat` (proc_pid_stat(5)).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The kernel keeps 15 bytes of a process name.
const NAME_BYTES_MAX: usize = 15;
/// A command line is compared no further than this.
const COMMAND_LINE_BYTES_MAX: u64 = 64 * 1024;
/// An environment larger than this is not read on.
const ENVIRONMENT_BYTES_MAX: u64 = 256 * 1024;

/// One process, for as long as the host runs: its number and when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: i32,
    /// When it began, in clock ticks since the host's boot.
    pub started_ticks: u64,
}

/// What the table says of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Who it is.
    pub id: ProcessId,
    /// Its name as the kernel shows it: at most 15 bytes, bytes that are no UTF-8 replaced.
    pub name: String,
    /// Its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// It has ended and only waits to be collected: it can write nothing any more.
    pub zombie: bool,
}

impl Process {
    /// Whether it is called `name`, as far as the kernel keeps names.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == String::from_utf8_lossy(&name.as_bytes()[..name.len().min(NAME_BYTES_MAX)])
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.name, self.id.pid)
    }
}

/// The process group that a script step ran in; what the step left behind is found by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessGroup {
    /// The step's shell, whose number is the group's.
    pub leader: ProcessId,
    /// The session that the group belongs to.
    pub session: i32,
}

/// Every process of this process namespace that still can do something, in the order of `/proc`.
///
/// # Errors
/// `/proc` cannot be read. A process that ends while it is looked at is left out.
pub fn list() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        found.extend(look(pid)?.filter(|process| !process.zombie));
    }
    Ok(found)
}

/// One process; `None` if there is none with this number.
///
/// # Errors
/// Its entry is there and cannot be read.
pub fn look(pid: i32) -> io::Result<Option<Process>> {
    let mut stat = Vec::with_capacity(512);
    let read = File::open(format!("/proc/{pid}/stat")).and_then(|file| file.take(4096).read_to_end(&mut stat));
    match read {
        Ok(_) => Ok(parse_stat(pid, &stat)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every live process with this name. Looks twice when the first look finds none: a process that hands over to a child
/// during one pass through the table can be missed by that pass.
///
/// # Errors
/// `/proc` cannot be read.
pub fn named(name: &str) -> io::Result<Vec<Process>> {
    let pass = || Ok::<_, io::Error>(list()?.into_iter().filter(|process| process.is_named(name)).collect::<Vec<_>>());
    let first = pass()?;
    if first.is_empty() { pass() } else { Ok(first) }
}

/// Every live process that was started by this command line: the name of its program (or, with a slash, the whole path),
/// then these arguments and perhaps more. Of a script that its interpreter runs, the script counts. Processes whose
/// command line may not be read are left out.
///
/// # Errors
/// `/proc` cannot be read.
pub fn started_as(wanted: &[String]) -> io::Result<Vec<Process>> {
    let mut found = list()?;
    found.retain(|process| {
        let mut line = Vec::new();
        File::open(format!("/proc/{}/cmdline", process.id.pid))
            .and_then(|file| file.take(COMMAND_LINE_BYTES_MAX).read_to_end(&mut line))
            .is_ok_and(|_| {
                let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
                is_started_as(&process.name, &words, wanted)
            })
    });
    Ok(found)
}

/// `words` ends with an empty one, because each argument ends with a NUL.
fn is_started_as(name: &str, words: &[&[u8]], wanted: &[String]) -> bool {
    let Some((program, arguments)) = wanted.split_first() else { return false };
    let is_program = |word: &[u8]| match program.contains('/') {
        true => word == program.as_bytes(),
        false => word.rsplit(|byte| *byte == b'/').next() == Some(program.as_bytes()),
    };
    let goes_on = |rest: &[&[u8]]| {
        rest.len() >= arguments.len() && rest.iter().zip(arguments).all(|(word, wanted)| *word == wanted.as_bytes())
    };
    match words {
        [first, rest @ ..] if is_program(first) && goes_on(rest) => true,
        // `/bin/sh /usr/bin/web`: the kernel calls the process by the script's name, so `vi /usr/bin/web` is another.
        [_, script, rest @ ..] => is_program(script) && goes_on(rest) && is_kept_name(name, script),
        _ => false,
    }
}

/// The kernel keeps this name for a program of this path.
fn is_kept_name(name: &str, path: &[u8]) -> bool {
    let file = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.as_bytes() == file.get(..NAME_BYTES_MAX).unwrap_or(file)
}

/// What is left of a process group. Empty also when the group's number belongs to a stranger by now.
///
/// # Errors
/// `/proc` cannot be read.
pub fn in_group(group: ProcessGroup) -> io::Result<Vec<Process>> {
    let number = group.leader.pid;
    // A process number is not given away while a group of that number lives: another start time means another group.
    if look(number)?.is_some_and(|process| process.id != group.leader) {
        return Ok(Vec::new());
    }
    let mut members = list()?;
    members.retain(|process| {
        process.group == number
            && process.session == group.session
            && process.id.started_ticks >= group.leader.started_ticks
    });
    Ok(members)
}

/// Every live process whose environment, as it was when its program began, has all of these `NAME=value` entries.
/// Processes whose environment may not be read are left out.
///
/// # Errors
/// `/proc` cannot be read.
pub fn with_environment(wanted: &[Vec<u8>]) -> io::Result<Vec<Process>> {
    let mut found = list()?;
    found.retain(|process| {
        let mut environment = Vec::new();
        File::open(format!("/proc/{}/environ", process.id.pid))
            .and_then(|file| file.take(ENVIRONMENT_BYTES_MAX).read_to_end(&mut environment))
            .is_ok_and(|_| {
                let entries: BTreeSet<&[u8]> = environment.split(|byte| *byte == 0).collect();
                wanted.iter().all(|entry| entries.contains(entry.as_slice()))
            })
    });
    Ok(found)
}

/// Who keeps something below `path` in use: an open file, the working folder, the root or the program itself. Reads
/// only links of `/proc`, so it does not touch the file system that it asks about.
///
/// # Errors
/// `/proc` cannot be read.
pub fn holders_of_path(path: &Path) -> io::Result<Vec<Process>> {
    let mut found = list()?;
    found.retain(|process| {
        let folder = PathBuf::from(format!("/proc/{}", process.id.pid));
        let below = |link: &Path| fs::read_link(link).is_ok_and(|target| target.starts_with(path));
        ["cwd", "root", "exe"].iter().any(|name| below(&folder.join(name)))
            || fs::read_dir(folder.join("fd")).is_ok_and(|links| links.flatten().any(|link| below(&link.path())))
    });
    Ok(found)
}

/// Whom no ladder may touch: process 1, this process and those that started it.
///
/// # Errors
/// `/proc` cannot be read.
pub fn protected() -> io::Result<BTreeSet<i32>> {
    let mut kept = BTreeSet::from([0, 1]);
    let mut pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    while kept.insert(pid) {
        match look(pid)? {
            Some(process) => pid = process.parent,
            None => break,
        }
    }
    Ok(kept)
}

/// The name stands in parentheses and may itself hold parentheses, spaces and any other byte: it ends at the last
/// closing one.
fn parse_stat(pid: i32, stat: &[u8]) -> Option<Process> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let name = String::from_utf8_lossy(stat.get(open + 1..close)?).into_owned();
    let rest = OsStr::from_bytes(stat.get(close + 1..)?).to_str()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // proc_pid_stat(5) counts from 1 and the name is field 2, so field n is entry n - 3.
    let field = |number: usize| fields.get(number - 3).copied();
    let state = field(3)?;
    let threads: u32 = field(20)?.parse().ok()?;
    Some(Process {
        id: ProcessId { pid, started_ticks: field(22)?.parse().ok()? },
        name,
        parent: field(4)?.parse().ok()?,
        group: field(5)?.parse().ok()?,
        session: field(6)?.parse().ok()?,
        // The first thread may have ended while others of the same process go on: that is no zombie.
        zombie: matches!(state, "X" | "x") || (state == "Z" && threads <= 1),
    })
}

#[cfg(test)]
mod tests {
    use super::parse_stat;

    fn stat(name: &[u8], state: &str, threads: u32) -> Vec<u8> {
        let mut line = b"42 (".to_vec();
        line.extend_from_slice(name);
        let rest = format!(") {state} 7 40 39 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 987654 1000 200\n");
        line.extend_from_slice(rest.as_bytes());
        line
    }

    #[test]
    fn a_name_with_parentheses_spaces_and_odd_bytes_is_read_whole() {
        let process = parse_stat(42, &stat(b"a) R 1 (\xff", "S", 1)).unwrap();
        assert_eq!(process.name, "a) R 1 (\u{fffd}");
        assert_eq!((process.parent, process.group, process.session, process.id.started_ticks), (7, 40, 39, 987_654));
    }

    #[test]
    fn a_dead_first_thread_is_a_zombie_only_if_no_other_thread_runs() {
        assert!(parse_stat(42, &stat(b"x", "Z", 1)).unwrap().zombie);
        assert!(!parse_stat(42, &stat(b"x", "Z", 3)).unwrap().zombie);
        assert!(!parse_stat(42, &stat(b"x", "D", 1)).unwrap().zombie);
    }

    #[test]
    fn no_cut_of_a_line_is_a_panic_or_a_wrong_start_time() {
        let whole = stat(b"dovecot", "S", 1);
        for end in 0..whole.len() {
            if let Some(process) = parse_stat(42, &whole[..end]) {
                // A cut inside the number itself cannot be told from a shorter number; the kernel writes the line whole.
                assert!("987654".starts_with(&process.id.started_ticks.to_string()));
            }
        }
    }
}
