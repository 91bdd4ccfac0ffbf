//! The watch against real processes: copies of sleep(1) under a name of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

/// A folder with a copy of sleep(1) whose name no other process has.
struct Program {
    folder: tempfile::TempDir,
    name: String,
}

impl Program {
    fn new(tag: &str) -> Program {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("w{tag}{}", std::process::id());
        let sleep = ["/bin/sleep", "/usr/bin/sleep"].into_iter().find(|path| Path::new(path).exists()).unwrap();
        fs::copy(sleep, folder.path().join(&name)).unwrap();
        Program { folder, name }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    async fn start(&self) -> Running {
        let running = Running(Command::new(self.path()).arg("1000").spawn().unwrap());
        // Between fork and exec it still has our name.
        wait_until("the program has its name", || {
            Candidate::read(running.pid()).is_some_and(|found| found.name == self.name.as_bytes())
        })
        .await;
        running
    }
}

/// A running copy; killed when dropped.
struct Running(Child);

impl Running {
    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "it never came that {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn next_death(watch: &mut ProcessWatch) -> Death {
    tokio::time::timeout(LIMIT, watch.died()).await.expect("no death was seen").unwrap()
}

/// Lets the watch search until it holds a process of the name.
async fn until_watched(watch: &mut ProcessWatch, pid: u32) {
    let deadline = Instant::now() + LIMIT;
    while watch.watched().iter().all(|(_, watched)| *watched != Some(pid)) {
        assert!(Instant::now() < deadline, "{pid} is never watched: {:?}", watch.watched());
        let quiet = tokio::time::timeout(Duration::from_millis(50), watch.died()).await;
        assert!(quiet.is_err(), "a death of nobody: {quiet:?}");
    }
}

#[tokio::test]
async fn a_death_is_seen_and_the_successor_is_watched_again() {
    let program = Program::new("a");
    let first = program.start().await;
    let mut watch = ProcessWatch::new(std::slice::from_ref(&program.name)).unwrap();
    assert_eq!(watch.watched(), [(program.name.as_str(), Some(first.pid()))]);
    let pid = first.pid();
    drop(first);
    assert_eq!(next_death(&mut watch).await, Death { name: program.name.clone(), pid });

    let second = program.start().await;
    until_watched(&mut watch, second.pid()).await;
    let pid = second.pid();
    drop(second);
    assert_eq!(next_death(&mut watch).await.pid, pid);
}

#[tokio::test]
async fn a_process_that_is_not_reaped_yet_counts_as_dead_once() {
    let program = Program::new("z");
    let mut zombie = program.start().await;
    let mut watch = ProcessWatch::new(std::slice::from_ref(&program.name)).unwrap();
    zombie.0.kill().unwrap();
    next_death(&mut watch).await;
    assert_eq!(Candidate::read(zombie.pid()), None);
    let again = tokio::time::timeout(SEARCH_EVERY + Duration::from_millis(500), watch.died()).await;
    assert!(again.is_err(), "the zombie died twice: {again:?}");
}

#[tokio::test]
async fn children_come_and_go_unseen() {
    let program = Program::new("c");
    let main = program.start().await;
    // The start is counted in ticks of 10 ms; the next process is to be younger by more than that.
    let main_started = Candidate::read(main.pid()).unwrap().started;
    let child = loop {
        let child = program.start().await;
        if Candidate::read(child.pid()).unwrap().started > main_started {
            break child;
        }
    };
    let mut watch = ProcessWatch::new(std::slice::from_ref(&program.name)).unwrap();
    assert_eq!(watch.watched()[0].1, Some(main.pid()));
    drop(child);
    let main_pid = main.pid();
    drop(main);
    // Were the child's death an event, it would be the first.
    assert_eq!(next_death(&mut watch).await.pid, main_pid);
}

#[tokio::test]
async fn a_name_longer_than_the_kernel_keeps_is_found() {
    let mut program = Program::new("l");
    let long = format!("{}-and-a-long-tail", program.name);
    fs::rename(program.path(), program.folder.path().join(&long)).unwrap();
    let kept = long[..NAME_BYTES_MAX].to_owned();
    program.name = long.clone();
    let running = Running(Command::new(program.path()).arg("1000").spawn().unwrap());
    wait_until("the program has its name", || {
        Candidate::read(running.pid()).is_some_and(|found| found.name == kept.as_bytes())
    })
    .await;
    let watch = ProcessWatch::new(std::slice::from_ref(&long)).unwrap();
    assert_eq!(watch.watched(), [(long.as_str(), Some(running.pid()))]);
}
