//! A command exits 0.
//!
//! Runs as `/bin/sh -c LINE` in a process group of its own. The group is killed when the round ends in any way: at the limit,
//! at the daemon's end (the future is dropped), and after the command too, so that rounds leave nothing behind that adds up.
//! A child that leaves the group with setsid(2) is out of reach, as for every shell.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use futures_util::FutureExt;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, Command};

use super::failure::{CheckFailure, printable};
use super::record::Record;
use crate::config::Step;
use crate::decision::Symptom;

/// How much of what the command writes to its standard error is kept, to be shown.
const ERROR_BYTES_MAX: usize = 1_024;

/// Runs the command once, within its own limit; the check's limit is the caller's.
///
/// # Errors
/// [`Symptom::CommandFailed`] with its exit and the start of its standard error; [`Symptom::TimedOut`] at the command's
/// own limit; [`Symptom::Stale`] when this host could start no process.
pub(super) async fn run(step: &Step, directory: &Path, record: &mut Record) -> Result<(), CheckFailure> {
    record.begin("command");
    record.sent(&step.command);
    match tokio::time::timeout(step.timeout, exit_of(step, directory)).await {
        Ok(Ok((status, _))) if status.success() => {
            record.end();
            Ok(())
        }
        Ok(Ok((status, said))) => {
            let said = printable(said.trim_ascii());
            let detail = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
            Err(record.failure(Symptom::CommandFailed, detail))
        }
        Ok(Err(error)) => {
            let failure = CheckFailure::of_io(record.step(), &error);
            // No shell, no folder: the check is wrong, whatever the number means on a socket.
            let symptom = if failure.symptom == Symptom::Stale { Symptom::Stale } else { Symptom::CommandFailed };
            Err(CheckFailure { symptom, detail: format!("cannot be started: {error}"), ..failure })
        }
        Err(_) => Err(record.out_of_time(step.timeout)),
    }
}

/// Starts the command and waits for its end; gives its exit and what it wrote to its standard error.
async fn exit_of(step: &Step, directory: &Path) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(&step.command)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        // Only so that a dropped child is reaped; the group is killed below.
        .kill_on_drop(true)
        .spawn()?;
    let _group = Group::of(child.id());
    let mut stderr = child.stderr.take();
    let mut said = Vec::new();
    // A child of the command may keep the pipe open for ever, so its end is not waited for.
    let status = loop {
        tokio::select! {
            biased;
            status = child.wait() => break status?,
            () = hear(&mut stderr, &mut said) => {}
        }
    };
    hear(&mut stderr, &mut said).now_or_never();
    Ok((status, said))
}

/// Reads once; what is too much is thrown away, so that the command never waits for us. At the pipe's end: never again.
async fn hear(stderr: &mut Option<ChildStderr>, said: &mut Vec<u8>) {
    match stderr {
        None => std::future::pending().await,
        Some(pipe) => {
            if !hear_some(pipe, said).await {
                *stderr = None;
            }
        }
    }
}

async fn hear_some(pipe: &mut (impl AsyncRead + Unpin), said: &mut Vec<u8>) -> bool {
    let mut bytes = [0; 512];
    let read = pipe.read(&mut bytes).await.unwrap_or(0);
    let room = ERROR_BYTES_MAX.saturating_sub(said.len());
    said.extend_from_slice(bytes.get(..read.min(room)).unwrap_or_default());
    read > 0
}

/// A process group that ends with its owner.
struct Group(Option<Pid>);

impl Group {
    fn of(leader: Option<u32>) -> Group {
        // Zero and one would be our own group and everybody.
        Group(leader.and_then(|id| i32::try_from(id).ok()).filter(|id| *id > 1).map(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The leader may be reaped already. Its number stays taken while its group has members, and an empty group gives
        // ESRCH; that a new process takes number and group in between would need a whole turn of the pid counter.
        if let Some(group) = self.0 {
            killpg(group, Signal::SIGKILL).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    async fn run_line(line: &str, timeout: Duration) -> Result<(), CheckFailure> {
        let step = Step { command: line.into(), timeout };
        run(&step, Path::new("/"), &mut Record::brief()).await
    }

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn exit_zero_passes_and_others_fail_with_their_words() {
        assert_eq!(run_line("exit 0", LONG).await, Ok(()));
        let failure = run_line("echo the store is gone >&2; exit 3", LONG).await.unwrap_err();
        assert_eq!(failure.symptom, Symptom::CommandFailed);
        assert_eq!(failure.detail, "exit status: 3: the store is gone");
        let failure = run_line("kill -9 $$", LONG).await.unwrap_err();
        assert_eq!((failure.symptom, failure.at), (Symptom::CommandFailed, "command"));
    }

    #[tokio::test]
    async fn a_flood_of_words_neither_blocks_nor_grows() {
        let failure = run_line("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1", LONG).await.unwrap_err();
        assert!(failure.detail.len() < 2_000, "{}", failure.detail.len());
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_fails_the_check() {
        let step = Step { command: "true".into(), timeout: LONG };
        let failure = run(&step, Path::new("/nowhere/at/all"), &mut Record::brief()).await.unwrap_err();
        assert_eq!(failure.symptom, Symptom::CommandFailed);
    }

    /// The pid that a command wrote to `file`.
    async fn pid_in(file: &Path) -> Pid {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            if let Ok(pid) = text.trim().parse() {
                return Pid::from_raw(pid);
            }
            assert!(Instant::now() < deadline, "the command never wrote its pid");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn is_gone(pid: Pid) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            // A zombie that nobody reaps here still answers kill(2); its state tells.
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }

    #[tokio::test]
    async fn at_the_limit_the_whole_group_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let line = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let failure = run_line(&line, Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(failure.symptom, Symptom::TimedOut);
        let pid = pid_in(&file).await;
        assert!(is_gone(pid).await, "the grandchild {pid} lives on");
    }

    #[tokio::test]
    async fn a_child_that_is_left_behind_neither_holds_the_round_nor_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let line = format!("sleep 1000 & echo $! > {}", file.display());
        assert_eq!(run_line(&line, LONG).await, Ok(()));
        let pid = pid_in(&file).await;
        assert!(is_gone(pid).await, "the child {pid} lives on");
    }
}
