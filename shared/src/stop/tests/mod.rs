//! What the tests of conditions and of whole stops share.

mod condition;
mod run;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::config::{OnStopFailure, Postcondition, Service, Step};
use crate::decision::{Epoch, Presence, Role, StopMeans, StopOutcome};
use crate::process;
use crate::script::kind::Action;
use crate::script::{Environment, ListLock, Lists, Operation, Position, StepEvent, Task, cgroup};

/// A folder in which a service lives: a copy of `sleep` under a name of its own, so that no other test's processes are
/// meant by it.
struct Bench {
    folder: TempDir,
    name: String,
    started: Vec<Child>,
}

impl Bench {
    fn new(name: &str) -> Bench {
        let name = format!("{name}{}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        fs::copy("/bin/sleep", folder.path().join(&name)).unwrap();
        Bench { folder, name, started: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts one process of the service.
    fn start(&mut self) -> i32 {
        self.begin(Command::new(self.path(&self.name)).arg("60"))
    }

    /// The same, deaf to TERM.
    fn start_deaf(&mut self) -> i32 {
        let line = format!("trap '' TERM; exec ./{} 60", self.name);
        self.begin(Command::new("/bin/sh").args(["-c", &line]).current_dir(self.folder.path()))
    }

    fn begin(&mut self, command: &mut Command) -> i32 {
        let child = command.process_group(0).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        self.started.push(child);
        let limit = Instant::now() + Duration::from_secs(10);
        while process::look(pid).unwrap().is_none_or(|process| process.name != self.name) {
            assert!(Instant::now() < limit, "the service's process did not begin");
            std::thread::yield_now();
        }
        pid
    }

    fn no_process(&self) -> Postcondition {
        Postcondition::NoProcess(self.name.clone())
    }

    fn service(&self, stop: &[&str], stopped_when: Vec<Postcondition>) -> Service {
        Service {
            lists: stop_list(stop.iter().map(|line| step(line))),
            resources: Vec::new(),
            stopped_when,
            directory: self.folder.path().to_owned(),
            cgroup: None,
            on_stop_failure: OnStopFailure::Force,
            watch_processes: Vec::new(),
            failover_policy: None,
        }
    }

    async fn stop(&self, service: Service) -> (StopOutcome, String) {
        self.stop_with(service, |_| {}).await
    }

    /// Stops, and gives the notes back too.
    async fn stop_with(&self, service: Service, change: impl FnOnce(&mut StopRun)) -> (StopOutcome, String) {
        let (events, mut seen) = mpsc::channel(4);
        let mut run = StopRun {
            service: Arc::new(service),
            context: context(),
            log_file: self.path("script_test.log"),
            kill_after: Duration::from_millis(300),
            position: Position::first(),
            resumed: false,
            failed: None,
            ladder_only: false,
            after_failed_start: false,
            lock: ListLock::default(),
            events,
        };
        change(&mut run);
        // Spawned, as the daemon does it.
        let stop = tokio::spawn(stop_service(run));
        let mut notes = String::new();
        let collect = async {
            while let Some(event) = seen.recv().await {
                match event {
                    StepEvent::Before { gate, .. } => gate.open(),
                    StepEvent::After { gate, .. } => gate.open(),
                    StepEvent::Note { text } => notes.push_str(&(text + "\n")),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), collect).await.expect("the stop never ended");
        (stop.await.unwrap(), notes)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for child in &mut self.started {
            let _ = child.kill();
            let _ = child.wait();
        }
        for left in process::named(&self.name).unwrap_or_default() {
            let _ = process::signal(left.id, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

fn step(line: &str) -> Step {
    Step { command: line.to_owned(), timeout: Duration::from_secs(20) }
}

fn stop_list(steps: impl Iterator<Item = Step>) -> Lists {
    Lists::same(Vec::new(), steps.map(|step| vec![Task::line(Action::Stop, &step)]).collect())
}

fn context() -> StopContext {
    StopContext::new(Environment {
        epoch: Epoch(7),
        role: Role::Master,
        operation: Operation::Giveaway,
        host: "cfg1".to_owned(),
        peer: "cfg2".to_owned(),
        config_file: "/etc/failover/failover.ron".into(),
        config_digest: 0xABC,
        reason: "test".to_owned(),
        extra: BTreeMap::new(),
    })
}

fn clean() -> StopOutcome {
    StopOutcome::Stopped { means: StopMeans::PostConditions, forced: None }
}

fn forced(outcome: &StopOutcome) -> (u32, &str) {
    match outcome {
        StopOutcome::Stopped { forced: Some(forced), .. } => (forced.step, &forced.reason),
        other => panic!("no forced stop: {other:?}"),
    }
}

fn not_verified(outcome: &StopOutcome) -> &str {
    match outcome {
        StopOutcome::NotVerified { reason } => reason,
        other => panic!("it counts as verified: {other:?}"),
    }
}

fn lives(pid: i32) -> bool {
    process::look(pid).unwrap().is_some_and(|process| !process.zombie)
}

async fn state_of(condition: Postcondition, context: &StopContext) -> State {
    let bench = Bench::new("st");
    let verification = verify(&bench.service(&[], vec![condition]), context).await;
    verification.findings[0].state.clone()
}

/// A control group that goes with the test; `None` where none can be made.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Option<Group> {
        let made = cgroup::folder(Path::new(name)).and_then(|folder| {
            fs::create_dir(&folder).map_err(|error| error.to_string())?;
            Ok(folder)
        });
        match made {
            Ok(folder) => Some(Group(folder)),
            Err(why) => {
                println!("not run: no control group can be made here: {why}");
                None
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = cgroup::kill(&self.0);
        let limit = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir(&self.0).is_err() && self.0.exists() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Ends as the only test of a process that has a mount namespace of its own.
const MOUNTS: &str = "FAILOVER_TEST_MOUNTS";
