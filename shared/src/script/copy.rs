//! One run of a stand-by copy.
//!
//! It has the lists' own lock while it runs, so that a start never begins beside it: whoever wants to start cancels the
//! copy, and waits here for its end, which is bounded. What it left behind is ended too: a copy that goes on in the
//! background would write below a service that has just started.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use super::ask::{Asked, ask};
use super::cancel::Cancel;
use super::environment::Environment;
use super::kind::Action;
use super::list::ListLock;
use super::task::Task;
use crate::config::StandbyCopy;
use crate::process::{self, Process};

/// What marks its processes.
const MARK: &str = "FAILOVER_COPY";
/// How long a look at the process table may take.
const LOOK_LIMIT: Duration = Duration::from_secs(1);
/// Between TERM and KILL for what a copy left behind.
const TERM_PATIENCE: Duration = Duration::from_millis(200);
/// How long what was killed may take to disappear.
const KILL_PATIENCE: Duration = Duration::from_secs(1);

/// What is to be run, and beside what it must not run.
#[derive(Debug)]
pub struct CopyRun<'a> {
    /// The copy.
    pub copy: &'a StandbyCopy,
    /// What it is told, besides its name in `FAILOVER_COPY`.
    pub environment: Environment,
    /// Where it runs.
    pub directory: PathBuf,
    /// The host's lists do not run meanwhile.
    pub lock: ListLock,
}

impl CopyRun<'_> {
    /// Runs it to its end, its limit, or the word to stop. `None`: it was not begun, or stopped by that word. Dropping
    /// the future kills its group.
    pub async fn run(mut self, cancel: &mut Cancel) -> Option<Asked> {
        let _turn = tokio::select! {
            turn = self.lock.turn() => turn,
            () = cancel.cancelled() => return None,
        };
        self.environment.extra.insert(MARK.to_owned(), self.copy.name.clone());
        let task = Task::line(Action::Monitor, &self.copy.command);
        let asked = ask(&task, &self.environment, &self.directory, cancel).await;
        end_marked(marks(&self.environment, &self.copy.name)).await;
        (!cancel.is_cancelled()).then_some(asked)
    }
}

/// Ends what a daemon that died left running of its copies. Until that is done no list begins.
pub async fn end_old_runs(copies: &[StandbyCopy], environment: &Environment, lock: &ListLock) {
    let _turn = lock.turn().await;
    for copy in copies {
        end_marked(marks(environment, &copy.name)).await;
    }
}

/// Which processes are of this copy of this host: two hosts of a demonstration share one process table.
fn marks(environment: &Environment, name: &str) -> Vec<Vec<u8>> {
    let (config, host) = (environment.config_file.display(), &environment.host);
    [format!("FAILOVER_CONFIG={config}"), format!("FAILOVER_HOST={host}"), format!("{MARK}={name}")]
        .map(String::into_bytes)
        .into()
}

/// TERM, then KILL, to everything that bears the marks, whatever group or session it has moved to. A look that fails
/// ends it: there is nothing more to be done about processes that cannot be seen.
async fn end_marked(marks: Vec<Vec<u8>>) {
    let begun = Instant::now();
    let mut told: Vec<Process> = Vec::new();
    loop {
        let asked = marks.clone();
        let found = process::aside(LOOK_LIMIT, move || process::with_environment(&asked)).await;
        let left = found.and_then(Result::ok).unwrap_or_default();
        if left.is_empty() || begun.elapsed() > TERM_PATIENCE + KILL_PATIENCE {
            return;
        }
        for process in left {
            if begun.elapsed() > TERM_PATIENCE {
                let _ = process::signal(process.id, Signal::SIGKILL);
            } else if !told.contains(&process) {
                let _ = process::signal(process.id, Signal::SIGTERM);
                told.push(process);
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}
