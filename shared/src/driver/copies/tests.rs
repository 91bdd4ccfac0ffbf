//! The task that copies, and the ages that it tells.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::config::parse;
use crate::decision::{Epoch, Record};
use crate::driver::disk::Disk;
use crate::journal::{Journal, JournalSize};
use crate::process;
use crate::store::Store;

const LIMIT: Duration = Duration::from_secs(20);

/// A host's folder; each [`Bench::daemon`] in it is another start of the daemon.
struct Bench {
    folder: TempDir,
    lock: ListLock,
}

struct Daemon {
    copies: Copies,
    inputs: mpsc::Receiver<Input>,
    loaded: Arc<Loaded>,
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

    fn daemon(&self, copies: &str) -> Daemon {
        let text = format!(
            r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    proof_of_stop: [Operator],
    service: (startup_scripts: ["true"], shutdown_scripts: ["true"]),
    copies: [{copies}],
    checks: [Port(name: "web", port: 80)],
)
"#
        );
        let loaded = parse(&text, &self.path("failover.ron"), self.folder.path());
        let loaded = Arc::new(loaded.unwrap_or_else(|wrong| panic!("{wrong}")));
        let (inputs, told) = mpsc::channel(64);
        let (store, _) = Store::open::<Record>(&self.path("state"), "cfg2", "mail").unwrap();
        let (journal, _) = Journal::open(&self.path("journal"), JournalSize::default()).unwrap();
        let disk = Disk::start(store, journal, inputs.clone(), Vec::new).unwrap();
        let place = (Role::Slave, BootId(7));
        let copies = Copies::start(&loaded, place, self.folder.path(), self.lock.clone(), disk, inputs);
        Daemon { copies, inputs: told, loaded }
    }
}

impl Daemon {
    fn plays(&self, part: Part) {
        self.copies.orders.send_modify(|orders| orders.part = part);
    }

    /// What is told, until it is as wanted.
    async fn until(&mut self, what: &str, holds: impl Fn(&BTreeMap<String, Row>) -> bool) {
        let wait = async {
            loop {
                if let Some(Input::Copies(told)) = self.inputs.recv().await {
                    self.copies.told = told;
                    if holds(&self.copies.told.rows) {
                        return;
                    }
                }
            }
        };
        if tokio::time::timeout(LIMIT, wait).await.is_err() {
            panic!("not within {LIMIT:?}: {what}; told: {:?}", self.copies.told);
        }
    }

    fn row(&self, number: usize) -> CopyStatus {
        let copies = &self.loaded.config.copies;
        self.copies.row(&copies[number], copies, crate::clock::now(), Timestamp::now(), false)
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn lives(pid: &str) -> bool {
    process::look(pid.trim().parse().unwrap()).unwrap().is_some_and(|process| !process.zombie)
}

#[tokio::test]
async fn a_copy_is_made_as_soon_as_the_peer_is_active_and_a_restart_knows_its_age() {
    let bench = Bench::new();
    let entry = r#"Copy(name: "users", command: "env >>copied; echo $$ >>runs", when_old: Blocked)"#;
    let mut daemon = bench.daemon(entry);
    daemon.until("the file was read", |rows| rows.contains_key("users")).await;
    assert!(daemon.row(0).is_old, "it was never made");
    assert_eq!(bench.text("copied"), "", "nobody is active");
    daemon.plays(Part::Copies(Epoch(3)));
    daemon.until("it was made", |rows| rows["users"].current_at.is_some()).await;
    let row = daemon.row(0);
    assert!(!row.is_old && row.last.as_ref().is_some_and(|last| last.starts_with("made in ")), "{row:?}");
    for told in ["FAILOVER_COPY=users", "FAILOVER_EPOCH=3", "FAILOVER_HOST=cfg2", "FAILOVER_PEER=cfg1"] {
        assert!(bench.text("copied").contains(told), "{told} is missing in {}", bench.text("copied"));
    }
    drop(daemon);

    let mut again = bench.daemon(entry);
    again.until("the file was read", |rows| rows.contains_key("users")).await;
    let known = again.row(0);
    assert!(!known.is_old && known.current_at == row.current_at, "{known:?} after {row:?}");
    let later = again.copies.row(
        &again.loaded.config.copies[0],
        &again.loaded.config.copies,
        crate::clock::now().after(Millis(3_600_001)),
        Timestamp::now(),
        false,
    );
    assert!(later.is_old && sentence(&later).contains("is 1 h 0 min old and its max_age is 1 h 0 min"), "{later:?}");
    assert_eq!(bench.text("runs").lines().count(), 1);
}

#[tokio::test]
async fn a_copy_that_fails_or_hangs_is_told_and_stays_as_old_as_it_was() {
    let bench = Bench::new();
    for (command, said) in [
        ("echo no route; exit 7", "failed: exited 7"),
        ("./missing", "failed: exited 127: the command was not found"),
        ("sleep 60", "failed: still running after its limit of 200 ms, and ended"),
    ] {
        let mut daemon = bench.daemon(&format!(r#"Copy(name: "users", command: "{command}", timeout: "200ms")"#));
        daemon.plays(Part::Copies(Epoch(1)));
        daemon.until("it failed", |rows| rows["users"].failed).await;
        let row = daemon.row(0);
        assert_eq!((row.last.as_deref(), row.is_old, row.current_at.is_none()), (Some(said), true, true), "{command}");
    }
    let journal = bench.text("journal");
    assert!(journal.contains("the copy \\\"users\\\" failed: exited 7") && journal.contains("no route"), "{journal}");
}

#[tokio::test]
async fn a_move_ends_the_copy_with_all_that_it_started_before_any_list_begins() {
    let bench = Bench::new();
    let line = "trap '' TERM; setsid sleep 60 & echo $! >strayed; sleep 60 & echo $! >child; touch runs; wait";
    let mut daemon = bench.daemon(&format!(r#"Copy(name: "users", command: "{line}")"#));
    daemon.plays(Part::Copies(Epoch(1)));
    until("it runs", || bench.path("runs").exists() && !bench.text("strayed").is_empty()).await;
    assert!(bench.lock.try_turn().is_none(), "a list could begin beside it");
    daemon.plays(Part::Rests);
    let turn = tokio::time::timeout(LIMIT, bench.lock.turn()).await.expect("the lock is let go");
    assert!(!lives(&bench.text("child")) && !lives(&bench.text("strayed")), "something of it lives on");
    drop(turn);
    daemon.until("it is told", |rows| rows["users"].last.is_some()).await;
    let row = daemon.row(0);
    assert_eq!(
        (row.last.as_deref(), row.failed, row.current_at),
        (Some("ended early: a move, or maintenance"), false, None)
    );
}

#[tokio::test]
async fn two_copies_never_run_at_once_and_both_have_their_turn() {
    let bench = Bench::new();
    let line = |name| format!("mkdir only || echo both >>both; echo {name} >>runs; sleep 0.05; rmdir only");
    let entry = |name| format!(r#"Copy(name: "{name}", command: "{}", every: "1ms")"#, line(name));
    let daemon = bench.daemon(&format!("{}, {}", entry("a"), entry("b")));
    let mut told = daemon.inputs;
    // Nobody may wait for the loop.
    tokio::spawn(async move { while told.recv().await.is_some() {} });
    daemon.copies.orders.send_modify(|orders| orders.part = Part::Copies(Epoch(1)));
    until("each ran three times", || ["a", "b"].iter().all(|name| bench.text("runs").matches(name).count() >= 3)).await;
    assert_eq!(bench.text("both"), "");
}

#[tokio::test]
async fn what_the_active_host_has_is_current_until_it_stops_being_active() {
    let bench = Bench::new();
    let mut daemon = bench.daemon(r#"Copy(name: "users", command: "touch copied")"#);
    daemon.plays(Part::Original);
    daemon.until("it is current", |rows| rows["users"].current_at.is_some()).await;
    let begun = daemon.copies.told.rows["users"].current_at.clone().unwrap().utc;
    daemon.plays(Part::Rests);
    daemon.until("the end counts", |rows| rows["users"].current_at.as_ref().is_some_and(|at| at.utc > begun)).await;
    assert!(!bench.path("copied").exists() && !daemon.row(0).is_old);
}

#[tokio::test]
async fn what_a_dead_daemon_left_copying_is_ended_before_a_list_begins() {
    let bench = Bench::new();
    let entry = r#"Copy(name: "users", command: "sleep 60")"#;
    let config = bench.path("failover.ron");
    let mut orphan = tokio::process::Command::new("sleep")
        .arg("60")
        .env("FAILOVER_COPY", "users")
        .env("FAILOVER_HOST", "cfg2")
        .env("FAILOVER_CONFIG", &config)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut others = tokio::process::Command::new("sleep")
        .arg("60")
        .env("FAILOVER_COPY", "users")
        .env("FAILOVER_HOST", "cfg1")
        .env("FAILOVER_CONFIG", &config)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut daemon = bench.daemon(entry);
    let ended = tokio::time::timeout(LIMIT, orphan.wait()).await.expect("it is ended").unwrap();
    assert!(!ended.success());
    daemon.until("the daemon goes on", |rows| rows.contains_key("users")).await;
    assert!(others.try_wait().unwrap().is_none(), "the other host's copy was ended");
}

#[tokio::test]
async fn a_file_of_ages_that_cannot_be_used_is_told_and_copies_go_on() {
    let bench = Bench::new();
    fs::create_dir(bench.path("slave.copies")).unwrap();
    let mut daemon = bench.daemon(r#"Copy(name: "users", command: "true")"#);
    daemon.plays(Part::Copies(Epoch(1)));
    daemon.until("it was made", |rows| rows["users"].current_at.is_some()).await;
    let trouble = daemon.copies.told.trouble.clone().unwrap_or_default();
    assert!(trouble.contains("slave.copies"), "{trouble}");
}
