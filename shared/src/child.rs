//! One command of the operator's or the system's, run to its end: own process group, time limit, bounded output.
//!
//! For commands that answer (balancer, page, second way). Script lists have contracts of their own and live elsewhere.

use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

/// What of a command's output is kept, of standard output and standard error each. The rest is read and thrown away.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// How long the output is still read after the command's end: something that it left in the background may hold the
/// pipes open for ever.
const LINGER: Duration = Duration::from_millis(200);

/// What to run.
pub struct Run {
    /// The program and its arguments; the first is looked up in `PATH` if it holds no slash.
    pub argv: Vec<OsString>,
    /// Added to the environment.
    pub environment: Vec<(&'static str, OsString)>,
    /// Where it starts; the daemon's own folder if `None`.
    pub folder: Option<PathBuf>,
    /// Given to it on standard input. May hold secrets: never shown, and wiped when the command has ended.
    pub input: Vec<u8>,
    /// How long it may run.
    pub limit: Duration,
}

impl Run {
    /// A shell command line, as CPMS and the configuration write them.
    #[must_use]
    pub fn shell(line: &str, limit: Duration) -> Run {
        let argv = ["/bin/sh", "-c", line].map(OsString::from).to_vec();
        Run { argv, environment: Vec::new(), folder: None, input: Vec::new(), limit }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Run { argv, environment, folder, input, limit } = self;
        let mut shown = f.debug_struct("Run");
        shown.field("argv", argv).field("environment", environment).field("folder", folder);
        shown.field("input_bytes", &input.len()).field("limit", limit).finish()
    }
}

/// How it ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit.
    pub status: ExitStatus,
    /// The start of its standard output.
    pub stdout: Vec<u8>,
    /// The start of its standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// The same, if it exited 0.
    ///
    /// # Errors
    /// [`RunError::Failed`] for any other exit.
    pub fn succeeded(self) -> Result<Finished, RunError> {
        if self.status.success() {
            return Ok(self);
        }
        Err(RunError::Failed { status: self.status, said: last_words(&self.stderr) })
    }
}

/// Why a command did not do its work.
#[derive(Debug, Error)]
pub enum RunError {
    /// It could not be started.
    #[error("{program} could not be started")]
    NotStarted {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ran out of time; its process group was killed.
    #[error("it ran longer than {} ms and was killed", limit.as_millis())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// It ended otherwise than by exit 0.
    #[error("it ended with {status}, saying {said:?}")]
    Failed {
        /// Its exit.
        status: ExitStatus,
        /// The end of what it wrote to standard error; one line, bounded.
        said: String,
    },
}

/// Runs it to its end. Dropped half way, it kills the whole process group.
///
/// # Errors
/// When it cannot be started or runs out of time. Its exit is for the caller to judge.
pub async fn run(mut run: Run) -> Result<Finished, RunError> {
    let input = Zeroizing::new(std::mem::take(&mut run.input));
    let not_started = |source| RunError::NotStarted {
        program: run.argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        source,
    };
    let (program, arguments) =
        run.argv.split_first().ok_or_else(|| not_started(io::Error::from(io::ErrorKind::InvalidInput)))?;
    let mut command = Command::new(program);
    command.args(arguments).envs(run.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    if let Some(folder) = &run.folder {
        command.current_dir(folder);
    }
    let mut child = command.spawn().map_err(not_started)?;
    let mut group = Group::of(&child);

    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its input is free to do so.
            let _ = stdin.write_all(&input).await;
        }
    };
    let status = {
        let mut pipes = pin!(async { tokio::join!(feed, collect(stdout, &mut out), collect(stderr, &mut err)) });
        let finish = finish(&mut child, pipes.as_mut());
        let status = tokio::time::timeout(run.limit, finish)
            .await
            .map_err(|_| RunError::TimedOut { limit: run.limit })?
            .map_err(not_started)?;
        group.ended();
        status
    };
    Ok(Finished { status, stdout: out, stderr: err })
}

/// Serves the pipes until the child has ended, and a little longer.
async fn finish<T>(child: &mut Child, mut pipes: impl Future<Output = T> + Unpin) -> io::Result<ExitStatus> {
    let status = tokio::select! {
        status = child.wait() => status?,
        _ = &mut pipes => return child.wait().await,
    };
    // Late output is worth a moment, no more.
    let _ = tokio::time::timeout(LINGER, pipes).await;
    Ok(status)
}

/// Reads to the end and keeps the start: a command whose pipe is not read would stand still.
async fn collect(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
    }
}

/// The last line of standard error as an error may carry it: printable and bounded.
#[must_use]
pub fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// Kills the process group when dropped before the command has ended.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Group {
        Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    /// The leader is reaped: its number may be someone else's from now on.
    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Gone already is as good.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn input_environment_and_both_outputs_reach_their_places() {
        let mut wanted = Run::shell("cat; echo \"$FAILOVER_X\" >&2; pwd; exit 3", LIMIT);
        wanted.input = b"hello\n".to_vec();
        wanted.environment = vec![("FAILOVER_X", "value".into())];
        wanted.folder = Some("/".into());
        let finished = run(wanted).await.unwrap();
        assert_eq!(finished.stdout, b"hello\n/\n");
        assert_eq!(finished.status.code(), Some(3));
        let error = finished.succeeded().unwrap_err();
        assert!(error.to_string().contains("value"), "{error}");
    }

    #[tokio::test]
    async fn a_flood_of_output_is_cut_and_does_not_stop_the_command() {
        let finished = run(Run::shell("head -c 1000000 /dev/zero; echo end >&2", LIMIT)).await.unwrap();
        assert_eq!(finished.stdout.len(), OUTPUT_BYTES_MAX);
        assert_eq!(finished.stderr, b"end\n");
        assert!(finished.status.success());
    }

    #[tokio::test]
    async fn a_command_that_outlives_its_limit_dies_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let line = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
        let error = run(Run::shell(&line, Duration::from_millis(500))).await.unwrap_err();
        assert!(matches!(error, RunError::TimedOut { .. }), "{error:?}");
        let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        let until = Instant::now() + LIMIT;
        while alive(pid) {
            assert!(Instant::now() < until, "process {pid} still runs");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn something_left_in_the_background_does_not_hold_the_answer_up() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let line = format!("sleep 600 & echo $! > {}; echo done", pid_file.display());
        let finished = run(Run::shell(&line, LIMIT)).await.unwrap();
        assert_eq!(finished.stdout, b"done\n");
        let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        assert!(alive(pid), "what a command leaves behind on purpose is its own matter");
        nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let wanted = Run { argv: vec!["/no/such/program".into()], ..Run::shell("", LIMIT) };
        let error = run(wanted).await.unwrap_err();
        assert!(error.to_string().contains("/no/such/program"), "{error}");
    }

    /// Running, and not merely waiting to be reaped by whoever inherited it.
    fn alive(pid: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
    }
}
