//! The daemon of this host, held still: it must not act while its service is stopped behind its back.

use std::fs::read_to_string;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use failover_shared::process::{Process, look, signal};
use nix::sys::signal::Signal;

/// How long a process may take to stand still. One that waits for a disk stops when it comes back from there, before it
/// can do anything else.
const STANDS_STILL_WITHIN: Duration = Duration::from_secs(2);

/// The daemon, if one runs. Dropped, it goes on, but only if it was this command that stopped it.
#[derive(Debug)]
pub(super) struct HeldDaemon {
    frozen: Vec<Process>,
    /// It stood still before; whoever did that had a reason.
    found_frozen: Option<Process>,
}

impl HeldDaemon {
    /// Stops the process that holds the pid file, if there is one.
    pub(super) fn freeze(pid_file: &Path) -> std::io::Result<HeldDaemon> {
        let mut held = HeldDaemon { frozen: Vec::new(), found_frozen: None };
        held.freeze_newcomer(pid_file)?;
        Ok(held)
    }

    /// Stops a daemon that is not held yet; says whether there was one.
    pub(super) fn freeze_newcomer(&mut self, pid_file: &Path) -> std::io::Result<bool> {
        let Some(daemon) = holder(pid_file)? else { return Ok(false) };
        if self.found_frozen.as_ref() == Some(&daemon) || self.frozen.contains(&daemon) {
            return Ok(false);
        }
        if state(daemon.id.pid) == Some('T') {
            self.found_frozen = Some(daemon);
            return Ok(true);
        }
        signal(daemon.id, Signal::SIGSTOP)?;
        self.frozen.push(daemon.clone());
        let until = Instant::now() + STANDS_STILL_WITHIN;
        while !matches!(state(daemon.id.pid), Some('T') | None) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(true)
    }

    /// Ends what is held; says whether there was anything.
    pub(super) fn kill(&mut self) -> bool {
        let held: Vec<Process> = self.frozen.drain(..).chain(self.found_frozen.take()).collect();
        for daemon in &held {
            // One that is gone already is what was wanted.
            let _ = signal(daemon.id, Signal::SIGKILL);
        }
        !held.is_empty()
    }
}

impl Drop for HeldDaemon {
    fn drop(&mut self) {
        for daemon in &self.frozen {
            // Nothing more can be done for it here; the manual names `kill -CONT`.
            let _ = signal(daemon.id, Signal::SIGCONT);
        }
    }
}

/// The living process whose number is in the pid file and that holds the file's lock: a number alone may belong to
/// another process by now. The kernel's list is asked (proc(5), /proc/locks), because to try the lock could take it away
/// from a daemon that is just starting.
fn holder(pid_file: &Path) -> std::io::Result<Option<Process>> {
    let (text, inode) = match (read_to_string(pid_file), std::fs::metadata(pid_file)) {
        (Ok(text), Ok(metadata)) => (text, metadata.ino()),
        (Err(error), _) | (_, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let Ok(pid) = text.trim().parse::<i32>() else { return Ok(None) };
    let locks = read_to_string("/proc/locks")?;
    let held = locks.lines().any(|line| is_lock_of(line, pid, inode));
    Ok(look(pid)?.filter(|_| held))
}

/// `1: FLOCK  ADVISORY  WRITE 708 00:13:21352 0 EOF`
fn is_lock_of(line: &str, pid: i32, inode: u64) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, "WRITE", holder, place, ..] = words.as_slice() else { return false };
    let same_file = place.rsplit(':').next().and_then(|text| text.parse().ok()) == Some(inode);
    holder.parse() == Ok(pid) && same_file
}

/// The process's state letter (proc(5), /proc/PID/stat); `None` when it is gone. The name in brackets may hold anything.
pub(super) fn state(pid: i32) -> Option<char> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}
