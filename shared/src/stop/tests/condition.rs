//! Each post-condition: what holds, what does not, what cannot be told.

use super::*;

#[tokio::test]
async fn without_a_condition_nothing_is_ever_proved() {
    let bench = Bench::new("no");
    let (outcome, _) = bench.stop(bench.service(&["true"], vec![])).await;
    assert!(not_verified(&outcome).contains("stopped_when"), "{outcome:?}");
}

#[tokio::test]
async fn a_port_of_the_peers_address_alone_is_not_ours() {
    let socket = TcpListener::bind("127.0.0.2:0").unwrap();
    let closed = Postcondition::PortsClosed(vec![socket.local_addr().unwrap().port()]);
    assert!(matches!(state_of(closed.clone(), &context()).await, State::Broken(_)));
    let mut known = context();
    known.peer_addresses.push("127.0.0.2".parse().unwrap());
    assert_eq!(state_of(closed, &known).await, State::Holds);

    let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
    let closed = Postcondition::PortsClosed(vec![everywhere.local_addr().unwrap().port()]);
    assert!(matches!(state_of(closed, &known).await, State::Broken(_)));
}

#[tokio::test]
async fn a_pid_file_tells_gone_running_stale_and_nonsense_apart() {
    let mut bench = Bench::new("pi");
    let file = bench.path("service.pid");
    let gone = async || state_of(Postcondition::PidFileGone(file.clone()), &context()).await;
    assert_eq!(gone().await, State::Holds);
    fs::write(&file, "no number").unwrap();
    assert!(matches!(gone().await, State::CannotTell(why) if why.contains("holds no process number")));
    let pid = bench.start();
    fs::write(&file, format!("{pid}\n")).unwrap();
    assert!(matches!(gone().await, State::Broken(found) if found.contains(&format!("(pid {pid})"))));
    let yesterday = std::time::SystemTime::now() - Duration::from_secs(86_400);
    fs::File::options().write(true).open(&file).unwrap().set_modified(yesterday).unwrap();
    assert!(matches!(gone().await, State::CannotTell(why) if why.contains("began after the file was written")));
}

#[tokio::test]
async fn a_command_tells_stopped_running_and_no_answer_apart() {
    let said = async |line: &str, limit_ms: u64| {
        let timeout = Duration::from_millis(limit_ms);
        state_of(Postcondition::Command(Step { command: line.to_owned(), timeout }), &context()).await
    };
    assert_eq!(said("test \"$FAILOVER_PEER\" = cfg2", 10_000).await, State::Holds);
    assert_eq!(
        said("echo one job; exit 1", 10_000).await,
        State::Broken("echo one job; exit 1 exited 1: one job".into())
    );
    assert!(matches!(said("./missing", 10_000).await, State::CannotTell(_)));
    assert!(matches!(said("sleep 60", 100).await, State::CannotTell(_)));
}

#[tokio::test]
async fn a_look_before_a_start_tells_what_runs() {
    let mut bench = Bench::new("lo");
    let service = bench.service(&[], vec![bench.no_process(), Postcondition::CgroupEmpty("failover-test-none".into())]);
    assert_eq!(look(&service, &context()).await, Presence::NothingRuns);
    let pid = bench.start();
    let found = look(&service, &context()).await;
    assert_eq!(found, Presence::Runs(format!("{} (pid {pid}) still runs", bench.name)));
    let hangs = Postcondition::Command(Step { command: "sleep 60".to_owned(), timeout: Duration::from_millis(50) });
    let found = look(&bench.service(&[], vec![hangs]), &context()).await;
    assert!(matches!(found, Presence::CannotTell(_)), "{found:?}");
}

#[test]
fn an_empty_group_proves_nothing_unless_ours_was_seen_in_it() {
    let group = tempfile::tempdir().unwrap();
    fs::write(group.path().join("cgroup.events"), "populated 0\nfrozen 0\n").unwrap();
    let missing = group.path().join("none");
    for folder in [group.path(), &missing] {
        assert!(
            matches!(crate::stop::condition::cgroup_empty(folder, false).unwrap(), State::CannotTell(why) if why.contains("no evidence"))
        );
        assert_eq!(crate::stop::condition::cgroup_empty(folder, true).unwrap(), State::Holds);
    }
}

#[tokio::test]
async fn an_empty_control_group_is_evidence_only_if_it_was_ever_populated() {
    let name = format!("failover-test-{}-evidence", std::process::id());
    let Some(group) = Group::new(&name) else { return };
    let empty = Postcondition::CgroupEmpty(name.clone().into());
    assert!(matches!(state_of(empty.clone(), &context()).await, State::CannotTell(why) if why.contains("no evidence")));
    let mut known = context();
    known.populated.insert(name.into());
    assert_eq!(state_of(empty.clone(), &known).await, State::Holds);

    let mut bench = Bench::new("ev");
    let pid = bench.start();
    fs::write(group.0.join("cgroup.procs"), pid.to_string()).unwrap();
    assert!(matches!(state_of(empty.clone(), &context()).await, State::Broken(found) if found.contains("(pid ")));
    drop(bench);
    drop(group);
    assert_eq!(state_of(empty, &known).await, State::Holds, "a removed group was empty");
}
