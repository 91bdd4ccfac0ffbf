use std::sync::Mutex;
use std::time::Instant;

use super::*;
use crate::decision::{Epoch, Role};
use crate::process;

struct Told(Mutex<Vec<String>>, bool);

impl StepWitness for Told {
    async fn begins(&self, step: &StepAt) -> bool {
        self.0.lock().unwrap().push(format!("begins {}", step.index));
        self.1
    }
    async fn ended(&self, step: &StepAt, end: &StepEnd) {
        self.0.lock().unwrap().push(format!("ended {} {:?}", step.index, end.failure()));
    }
}

fn list(folder: &std::path::Path, list: List, commands: &[&str]) -> ListRun {
    ListRun {
        list,
        steps: commands
            .iter()
            .map(|command| Step { command: (*command).into(), timeout: Duration::from_secs(5) })
            .collect(),
        from: 1,
        environment: Environment {
            epoch: Epoch(4),
            role: Role::Slave,
            operation: Operation::of(Role::Slave, list == List::Start),
            peer: "cfg1".into(),
            reason: "a\ntest".into(),
        },
        directory: folder.into(),
        log: folder.join("script.log"),
        kill_after: Duration::from_millis(200),
    }
}

async fn go(run: &ListRun) -> (ListEnd, Vec<String>, String) {
    let told = Told(Mutex::default(), true);
    let (_keep, mut cancel) = watch::channel(false);
    let end = run_list(run, &told, &mut cancel).await;
    (end, told.0.into_inner().unwrap(), std::fs::read_to_string(&run.log).unwrap_or_default())
}

#[tokio::test]
async fn steps_run_in_order_with_redirections_and_the_documented_environment() {
    let folder = tempfile::tempdir().unwrap();
    let run = list(
        folder.path(),
        List::Start,
        &[
            "echo $FAILOVER_EPOCH $FAILOVER_ROLE $FAILOVER_OPERATION $FAILOVER_PEER $FAILOVER_REASON >out 2>&1",
            "cat out",
        ],
    );
    let (end, told, log) = go(&run).await;
    assert_eq!(end, ListEnd::Done);
    assert_eq!(told, ["begins 1", "ended 1 None", "begins 2", "ended 2 None"]);
    assert!(log.contains("4 slave takeover cfg1 a test\n"), "{log}");
}

#[tokio::test]
async fn a_failing_start_step_ends_the_list_and_a_failing_stop_step_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (end, told, _) = go(&list(folder.path(), List::Start, &["exit 3", "touch second"])).await;
    assert_eq!(end, ListEnd::Failed { step: 1, reason: "exit 3".into() });
    assert_eq!(told.len(), 2);
    assert!(!folder.path().join("second").exists());
    let (end, _, _) = go(&list(folder.path(), List::Stop, &["exit 3", "touch second", "exit 4"])).await;
    assert_eq!(end, ListEnd::Failed { step: 1, reason: "exit 3".into() });
    assert!(folder.path().join("second").exists());
}

#[tokio::test]
async fn every_bad_ending_is_a_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plain"), "not a program").unwrap();
    for (command, expected) in [
        ("./plain", "exit 126: a command in it is not executable (chmod +x?)"),
        ("./missing", "exit 127: a command in it was not found"),
        ("kill -SEGV $$", "ended by SIGSEGV"),
        ("printf '\\377\\376'; exit 9", "exit 9"),
        ("exec >&- 2>&-; exit 7", "exit 7"),
    ] {
        let (end, _, _) = go(&list(folder.path(), List::Start, &[command])).await;
        assert_eq!(end, ListEnd::Failed { step: 1, reason: expected.into() }, "{command}");
    }
}

#[tokio::test]
async fn a_step_that_ignores_term_is_killed_with_its_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let mut run =
        list(folder.path(), List::Start, &["trap '' TERM; sleep 61 & echo $! >child; while :; do sleep 1; done"]);
    run.steps[0].timeout = Duration::from_millis(300);
    let (end, _, _) = go(&run).await;
    assert!(matches!(end, ListEnd::Failed { step: 1, .. }), "{end:?}");
    let pid: i32 = std::fs::read_to_string(folder.path().join("child")).unwrap().trim().parse().unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    while process::with_pid(pid).is_some() {
        assert!(Instant::now() < until, "the grandchild {pid} is left running");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_daemonised_child_that_keeps_the_output_open_does_not_hold_up_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let run = list(folder.path(), List::Start, &["setsid sleep 62 & echo $! >child", "true"]);
    let (end, _, _) = go(&run).await;
    assert_eq!(end, ListEnd::Done);
    let pid: i32 = std::fs::read_to_string(folder.path().join("child")).unwrap().trim().parse().unwrap();
    let child = process::with_pid(pid).expect("the daemonised child lives on");
    process::signal(&child, nix::sys::signal::Signal::SIGKILL);
}

#[tokio::test]
async fn a_flood_of_output_is_bounded_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let run = list(folder.path(), List::Start, &["head -c 100000000 /dev/zero | tr '\\0' x; sleep 0.6; echo end"]);
    let (end, _, log) = go(&run).await;
    assert_eq!(end, ListEnd::Done);
    assert!(log.len() < 20_000_000, "{} bytes are left", log.len());
    assert!(log.ends_with("end\n"));
}

#[tokio::test]
async fn a_start_step_that_cannot_be_written_down_is_not_run_but_a_stop_step_is() {
    let folder = tempfile::tempdir().unwrap();
    let told = Told(Mutex::default(), false);
    let (_keep, mut cancel) = watch::channel(false);
    let start = list(folder.path(), List::Start, &["touch started"]);
    assert!(matches!(run_list(&start, &told, &mut cancel).await, ListEnd::Failed { step: 1, .. }));
    assert!(!folder.path().join("started").exists());
    let stop = list(folder.path(), List::Stop, &["touch stopped"]);
    assert_eq!(run_list(&stop, &told, &mut cancel).await, ListEnd::Done);
    assert!(folder.path().join("stopped").exists());
}

#[tokio::test]
async fn what_an_interrupted_step_left_is_ended_but_not_the_daemon_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let run = list(folder.path(), List::Start, &["setsid sleep 63 & echo $! >daemon; echo $$ >shell; sleep 64; true"]);
    let told = Told(Mutex::default(), true);
    let (_keep, mut cancel) = watch::channel(false);
    let mut list = Box::pin(run_list(&run, &told, &mut cancel));
    let until = Instant::now() + Duration::from_secs(5);
    while !folder.path().join("shell").exists() {
        assert!(Instant::now() < until, "the step never began");
        let _ = tokio::time::timeout(Duration::from_millis(10), &mut list).await;
    }
    // The daemon dies here; the step lives on.
    std::mem::drop(list);
    kill_interrupted(&run.environment.marker(1), Duration::from_secs(1)).await;
    let pid =
        |name: &str| -> i32 { std::fs::read_to_string(folder.path().join(name)).unwrap().trim().parse().unwrap() };
    assert_eq!(process::with_pid(pid("shell")), None);
    let daemon = process::with_pid(pid("daemon")).expect("the service it started lives on");
    process::signal(&daemon, nix::sys::signal::Signal::SIGKILL);
}
