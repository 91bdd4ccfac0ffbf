//! Through a process of its own: limits, deaths, what it holds.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;
use crate::arbiter::Arbiter;
use crate::arbiter::shared_storage::{SharedStorage, serve};

const SERVE: &str = "FAILOVER_TEST_SERVES";
/// Long enough for a loaded machine.
const LONG: Duration = Duration::from_secs(60);

/// The child of the other tests here: this test program, started again.
#[test]
fn serves_when_another_test_asks_for_it() {
    if std::env::var_os(SERVE).is_some() {
        serve();
    }
}

fn program() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = concat!(module_path!(), "::serves_when_another_test_asks_for_it");
    command.args(["--exact", name.split_once("::").unwrap().1, "--nocapture"]).env(SERVE, "yes");
    command
}

fn storage(store: &Store, limit: Duration) -> SharedStorage {
    SharedStorage::with_program(store.daemon(Role::Master, 1).place, limit, program)
}

fn child(storage: &SharedStorage) -> Pid {
    let id = storage.helper.as_ref().and_then(|helper| helper.id()).expect("no child runs");
    Pid::from_raw(id.try_into().unwrap())
}

fn is_stopped(pid: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap().contains("State:\tT")
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < limit, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const CLAIM: ArbiterRequest = ArbiterRequest::Claim { epoch: Epoch(1), stamp: Stamp(0) };

#[tokio::test]
async fn one_child_answers_all_questions() {
    let store = Store::new();
    let mut storage = storage(&store, LONG);
    assert_eq!(storage.ask(CLAIM).await, ArbiterReply::Claimed);
    let first = child(&storage);
    for _ in 0..3 {
        assert_eq!(storage.ask(renewal(1)).await, ArbiterReply::Renewed);
    }
    let release = ArbiterRequest::Release { epoch: Epoch(1), terms: TERMS };
    assert_eq!(storage.ask(release).await, ArbiterReply::Released);
    assert_eq!(child(&storage), first);
    let mut arbiter = Arbiter::SharedStorage(storage);
    let ArbiterReply::Seen(view) = arbiter.ask(ArbiterRequest::Observe).await else { panic!("nothing was seen") };
    assert!(view.master.unwrap().released);
}

#[tokio::test]
async fn a_child_that_does_not_answer_is_given_up_and_the_next_question_starts_another() {
    let store = Store::new();
    let mut storage = storage(&store, LONG);
    assert_eq!(storage.ask(CLAIM).await, ArbiterReply::Claimed);
    assert_eq!(storage.ask(renewal(1)).await, ArbiterReply::Renewed);
    let hanging = child(&storage);
    kill(hanging, Signal::SIGSTOP).unwrap();
    storage.limit = Duration::from_millis(50);
    assert_eq!(storage.ask(renewal(1)).await, ArbiterReply::Failed(ArbiterFailure::TimedOut));
    until("the child was not killed", || storage.helper.as_mut().unwrap().is_gone()).await;
    storage.limit = LONG;
    assert_eq!(storage.ask(renewal(1)).await, ArbiterReply::Renewed);
    assert_ne!(child(&storage), hanging);
}

#[tokio::test]
async fn a_child_that_died_is_replaced_at_the_next_question() {
    let store = Store::new();
    let mut storage = storage(&store, LONG);
    assert_eq!(storage.ask(CLAIM).await, ArbiterReply::Claimed);
    kill(child(&storage), Signal::SIGKILL).unwrap();
    // Until it is reaped, a question may still meet the dying one.
    until("no question was answered", || storage.helper.as_mut().unwrap().is_gone()).await;
    assert_eq!(storage.ask(renewal(1)).await, ArbiterReply::Renewed);
}

#[tokio::test]
async fn a_question_that_is_dropped_half_way_does_not_give_its_answer_to_the_next_one() {
    let store = Store::new();
    let mut storage = storage(&store, LONG);
    assert_eq!(storage.ask(CLAIM).await, ArbiterReply::Claimed);
    assert_eq!(storage.ask(renewal(1)).await, ArbiterReply::Renewed);
    let stopped = child(&storage);
    kill(stopped, Signal::SIGSTOP).unwrap();
    // A signal to a process that runs on the other processor takes its time.
    until("the child was not stopped", || is_stopped(stopped)).await;
    assert!(tokio::time::timeout(Duration::from_millis(20), storage.ask(ArbiterRequest::Observe)).await.is_err());
    kill(stopped, Signal::SIGCONT).unwrap();
    let mut reply = ArbiterReply::Failed(ArbiterFailure::TimedOut);
    let limit = Instant::now() + LONG;
    while reply == ArbiterReply::Failed(ArbiterFailure::TimedOut) && Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(5)).await;
        reply = storage.ask(renewal(1)).await;
    }
    assert_eq!(reply, ArbiterReply::Renewed);
}

#[tokio::test]
async fn the_child_holds_nothing_of_the_daemon_and_ends_with_its_socket() {
    let store = Store::new();
    let mut storage = storage(&store, LONG);
    let open = (std::fs::File::open(store.path()).unwrap(), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    storage.ask(ArbiterRequest::Observe).await;
    let pid = child(&storage);
    let targets = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets: std::collections::BTreeSet<_> =
        targets.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok()).collect();
    assert!(!targets.contains(store.path()), "{targets:?}");
    let sockets = targets.iter().filter(|target| target.to_string_lossy().starts_with("socket:"));
    assert_eq!(sockets.count(), 1, "besides its own: {targets:?}");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
    drop((storage, open));
    until("the child lives on", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
    })
    .await;
}

#[tokio::test]
async fn a_program_that_is_no_child_is_told_in_words() {
    let store = Store::new();
    let place = store.daemon(Role::Master, 1).place;
    let mut missing = SharedStorage::with_program(place.clone(), LONG, || Command::new("/no/such/program"));
    let text = failure(missing.ask(CLAIM).await, ArbiterFailure::Unreachable);
    assert!(text.contains("no process could be started"), "{text}");
    let mut wrong = SharedStorage::with_program(place, LONG, || Command::new("true"));
    let text = failure(wrong.ask(CLAIM).await, ArbiterFailure::Unreachable);
    assert!(text.contains("has ended"), "{text}");
}
