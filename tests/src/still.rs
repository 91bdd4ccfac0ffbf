//! Making a process stand still.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(10);

/// Stops a process with `SIGSTOP`, and waits until each of its threads stands still. The signal alone comes back before
/// that: on a busy machine a thread that runs at this moment goes on to answer whoever asks next.
///
/// # Errors
/// There is no such process, or a thread does not stop within ten seconds, as one that waits for a disk.
pub fn stand_still(process: Pid) -> Result<()> {
    kill(process, Signal::SIGSTOP).with_context(|| format!("stop process {process}"))?;
    wait_until(&format!("process {process} to stand still"), LIMIT, || threads_stand_still(process))
}

fn threads_stand_still(process: Pid) -> Result<bool> {
    let threads = match fs::read_dir(format!("/proc/{process}/task")) {
        Ok(threads) => threads,
        // Somebody ended it meanwhile.
        Err(gone) if gone.kind() == ErrorKind::NotFound => return Ok(true),
        Err(other) => return Err(other.into()),
    };
    for thread in threads {
        // A thread that ended since the list was read runs no more either.
        let stat = fs::read_to_string(thread?.path().join("stat")).unwrap_or_default();
        // The name stands in brackets, and may hold any characters (proc_pid_stat(5)).
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if !matches!(state, None | Some('T' | 'Z' | 'X')) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_busy_process_runs_until_it_is_made_to_stand_still_and_then_no_thread_of_it_does() -> Result<()> {
        let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn()?;
        let process = Pid::from_raw(busy.id().cast_signed());
        let before = threads_stand_still(process);
        let stopped = stand_still(process);
        let after = threads_stand_still(process);
        busy.kill()?;
        busy.wait()?;
        stopped?;
        assert!(!before?, "it was taken to stand still while it ran");
        assert!(after?);
        Ok(())
    }
}
