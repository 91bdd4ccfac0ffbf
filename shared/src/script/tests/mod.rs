//! What the tests of lists and steps share.

mod hostile;
mod list;
mod stage;
mod step;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::kind::Action;
use super::*;
use crate::config::Step;
use crate::decision::{Epoch, Role};
use crate::process;

/// A folder with a log, and what a list in it told.
struct Bench {
    folder: TempDir,
    lock: ListLock,
}

struct Seen {
    outcome: ListOutcome,
    events: Vec<StepEvent>,
}

impl Bench {
    fn new() -> Bench {
        Bench { folder: tempfile::tempdir().unwrap(), lock: ListLock::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn list(&self, commands: &[&str]) -> (ListRun, mpsc::Receiver<StepEvent>) {
        let (events, seen) = mpsc::channel(4);
        let stages = commands.iter().map(|command| vec![line(command, Duration::from_secs(20))]).collect();
        let environment = Environment {
            epoch: Epoch(7),
            role: Role::Slave,
            operation: Operation::Takeover,
            host: "cfg2".to_owned(),
            peer: "cfg1".to_owned(),
            config_file: "/etc/failover/failover.ron".into(),
            config_digest: 0xABC,
            reason: "the peer\nis silent".to_owned(),
            extra: BTreeMap::new(),
        };
        let run = ListRun {
            stages,
            position: Position::first(),
            resumed: false,
            direction: Direction::Start,
            on_step_failure: OnStepFailure::EndList,
            environment,
            directory: self.folder.path().to_owned(),
            log_file: self.path("script_test.log"),
            kill_after: Duration::from_millis(200),
            cgroup: None,
            lock: self.lock.clone(),
            events,
        };
        (run, seen)
    }

    async fn run(&self, commands: &[&str]) -> Seen {
        let (run, seen) = self.list(commands);
        watch(run, seen, Cancel::never()).await
    }
}

fn line(command: &str, timeout: Duration) -> Task {
    Task::line(Action::Start, &Step { command: command.to_owned(), timeout })
}

/// Runs the list, opens every gate, and ends the test instead of hanging it.
async fn watch(run: ListRun, mut seen: mpsc::Receiver<StepEvent>, cancel: Cancel) -> Seen {
    let collect = async {
        let mut events = Vec::new();
        while let Some(event) = seen.recv().await {
            match event {
                StepEvent::Before { index, of, command, gate } => {
                    gate.open();
                    let (gate, _) = StepGate::new();
                    events.push(StepEvent::Before { index, of, command, gate });
                }
                StepEvent::After { index, of, command, exit, passed, said, duration, tail, left, gate } => {
                    gate.open();
                    let (gate, _) = StepGate::new();
                    events.push(StepEvent::After {
                        index,
                        of,
                        command,
                        exit,
                        passed,
                        said,
                        duration,
                        tail,
                        left,
                        gate,
                    });
                }
                note @ StepEvent::Note { .. } => events.push(note),
            }
        }
        events
    };
    // Moved into its own block, so that its end drops the sender and ends the collection.
    let list = async move { run_list(run, cancel).await };
    let both = async { tokio::join!(list, collect) };
    let (outcome, events) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("the list never ended");
    Seen { outcome, events }
}

impl Seen {
    fn tail(&self, wanted: u32) -> String {
        self.events
            .iter()
            .find_map(|event| match event {
                StepEvent::After { index, tail, .. } if *index == wanted => Some(tail.clone()),
                _ => None,
            })
            .unwrap_or_else(|| panic!("step {wanted} did not end: {:?}", self.events))
    }

    fn exit(&self, wanted: u32) -> StepExit {
        self.events
            .iter()
            .find_map(|event| match event {
                StepEvent::After { index, exit, .. } if *index == wanted => Some(exit.clone()),
                _ => None,
            })
            .unwrap_or_else(|| panic!("step {wanted} did not end: {:?}", self.events))
    }

    fn notes(&self) -> String {
        let notes = self.events.iter().filter_map(|event| match event {
            StepEvent::Note { text } => Some(text.as_str()),
            _ => None,
        });
        notes.collect::<Vec<_>>().join("\n")
    }
}

/// Waits until it holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < limit, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn lives(pid: &str) -> bool {
    let pid = pid.trim().parse().unwrap();
    process::look(pid).unwrap().is_some_and(|process| !process.zombie)
}

fn kill(pid: &str) {
    if let Some(process) = process::look(pid.trim().parse().unwrap()).unwrap() {
        process::signal(process.id, Signal::SIGKILL).unwrap();
    }
}

/// A control group that goes with the test.
struct Group(PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = cgroup::kill(&self.0);
        let limit = Instant::now() + Duration::from_secs(5);
        while fs::remove_dir(&self.0).is_err() && self.0.exists() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
