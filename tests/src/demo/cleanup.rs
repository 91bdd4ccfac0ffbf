//! Nothing is left behind: the demo adopts every orphan of its own, and ends all of them.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// From now on, a daemonised process of the demo becomes the demo's child when its parent ends.
///
/// # Errors
/// When the kernel refuses.
pub fn adopt_orphans() -> Result<()> {
    Ok(set_child_subreaper(true)?)
}

/// All processes below this one.
#[must_use]
pub fn descendants(of: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut open = vec![of];
    while let Some(parent) = open.pop() {
        // A thread's children are listed with the thread that made them.
        for thread in fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|number| number.parse().ok()).map(Pid::from_raw);
            open.extend(children.inspect(|child| found.push(*child)));
        }
    }
    found
}

/// Kills every process below this one, also those that appear meanwhile, until there is none.
///
/// # Errors
/// When some are still there after 10 s.
pub fn end_descendants() -> Result<()> {
    let begin = Instant::now();
    loop {
        let left = descendants(Pid::this());
        for process in &left {
            // Ended since the look: what was wanted.
            let _ = kill(*process, Signal::SIGKILL);
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return Ok(()),
            }
        }
        if begin.elapsed() > Duration::from_secs(10) {
            bail!("these processes do not end: {left:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
