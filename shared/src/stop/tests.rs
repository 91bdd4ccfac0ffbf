use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::config::{Postcondition, Step};
use crate::decision::{Epoch, Role};
use crate::script::{Environment, List, Operation, StepAt, StepEnd};

struct Nobody(Mutex<u32>);

impl StepWitness for Nobody {
    async fn begins(&self, _: &StepAt) -> bool {
        *self.0.lock().unwrap() += 1;
        true
    }
    async fn ended(&self, _: &StepAt, _: &StepEnd) {}
}

fn service(folder: &Path, stop: &[&str], stopped_when: Vec<Postcondition>) -> (Service, ListRun) {
    let steps: Vec<Step> =
        stop.iter().map(|line| Step { command: (*line).into(), timeout: Duration::from_secs(2) }).collect();
    let service = Service {
        startup_scripts: Vec::new(),
        shutdown_scripts: steps.clone(),
        stopped_when,
        directory: folder.into(),
        cgroup: None,
        on_stop_failure: OnStopFailure::Force,
        watch_processes: Vec::new(),
    };
    let run = ListRun {
        list: List::Stop,
        steps,
        from: 1,
        environment: Environment {
            epoch: Epoch(1),
            role: Role::Master,
            operation: Operation::Giveaway,
            peer: "cfg2".into(),
            reason: "a test".into(),
        },
        directory: folder.into(),
        log: folder.join("log"),
        kill_after: Duration::from_millis(300),
    };
    (service, run)
}

/// A process of its own session with a name that no other has.
fn daemon(folder: &Path, name: &str, body: &str) -> std::process::Child {
    let program = folder.join(name);
    std::fs::copy("/bin/sh", &program).unwrap();
    std::process::Command::new(program).arg("-c").arg(body).spawn().unwrap()
}

async fn stop(service: &Service, run: &ListRun) -> StopOutcome {
    stop_service(service, run, &Nobody(Mutex::new(0))).await
}

#[tokio::test]
async fn a_clean_stop_is_acknowledged_by_its_post_conditions() {
    let folder = tempfile::tempdir().unwrap();
    let (service, run) = service(folder.path(), &["true"], vec![Postcondition::NoProcess("nobody-runs-it".into())]);
    assert_eq!(stop(&service, &run).await, StopOutcome::Stopped { means: StopMeans::PostConditions, forced: None });
    assert_eq!(look(&service).await, Presence::NothingRuns);
}

#[tokio::test]
async fn a_stop_script_that_lies_is_found_out_and_the_ladder_ends_what_it_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = daemon(folder.path(), "liar-left-me", "trap '' TERM; while :; do sleep 0.1; done");
    let (service, run) = service(folder.path(), &["exit 0"], vec![Postcondition::NoProcess("liar-left-me".into())]);
    assert!(matches!(look(&service).await, Presence::Runs(what) if what.contains("liar-left-me")));
    let outcome = stop(&service, &run).await;
    let StopOutcome::Stopped { forced: Some(forced), .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(forced.step, 0);
    child.wait().unwrap();
}

#[tokio::test]
async fn what_cannot_be_ended_is_named_and_is_no_proof() {
    let folder = tempfile::tempdir().unwrap();
    // Held by this test itself, which the ladder spares.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (service, run) = service(folder.path(), &["true"], vec![Postcondition::PortsClosed(vec![port])]);
    let outcome = stop(&service, &run).await;
    assert!(
        matches!(&outcome, StopOutcome::NotVerified { reason } if reason.contains(&port.to_string())),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_failing_and_a_hanging_stop_script_are_forced_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let gone = vec![Postcondition::NoProcess("nobody-runs-it".into())];
    for (line, expected) in [("exit 5", "exit 5"), ("sleep 30", "ran out of its time")] {
        let (service, mut run) = service(folder.path(), &[line], gone.clone());
        run.steps[0].timeout = Duration::from_millis(200);
        let outcome = stop(&service, &run).await;
        let StopOutcome::Stopped { forced: Some(forced), .. } = outcome else { panic!("{line}: {outcome:?}") };
        assert_eq!(forced.step, 1);
        assert!(forced.reason.contains(expected), "{}", forced.reason);
    }
}

#[tokio::test]
async fn ask_operator_leaves_what_runs_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = daemon(folder.path(), "left-for-human", "while :; do sleep 0.1; done");
    let (mut service, run) =
        service(folder.path(), &["exit 1"], vec![Postcondition::NoProcess("left-for-human".into())]);
    service.on_stop_failure = OnStopFailure::AskOperator;
    let outcome = stop(&service, &run).await;
    assert!(matches!(outcome, StopOutcome::NotVerified { .. }), "{outcome:?}");
    assert!(child.try_wait().unwrap().is_none(), "the process was ended");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_pid_file_a_command_and_a_group_that_never_was_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let step = |command: &str| Step { command: command.into(), timeout: Duration::from_secs(2) };
    let conditions =
        |command: &str| vec![Postcondition::PidFileGone(pid_file.clone()), Postcondition::Command(step(command))];
    let (holds, _) = service(folder.path(), &[], conditions("true"));
    assert_eq!(look(&holds).await, Presence::NothingRuns);
    let (says_no, _) = service(folder.path(), &[], conditions("false"));
    assert!(matches!(look(&says_no).await, Presence::Runs(_)));
    std::fs::write(&pid_file, format!("{}\n", std::process::id())).unwrap();
    assert!(matches!(look(&holds).await, Presence::Runs(_)));
    std::fs::write(&pid_file, "rubbish").unwrap();
    assert!(matches!(look(&holds).await, Presence::CannotTell(_)));
    let never = vec![Postcondition::CgroupEmpty("failover-test-never-made".into())];
    let (never, _) = service(folder.path(), &[], never);
    assert!(matches!(look(&never).await, Presence::CannotTell(_)), "an unmade group is no evidence");
}
