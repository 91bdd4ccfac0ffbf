use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::sync::mpsc;

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
        let steps = commands.iter().map(|command| step(command, Duration::from_secs(20))).collect();
        let environment = Environment {
            epoch: Epoch(7),
            role: Role::Slave,
            operation: Operation::Takeover,
            peer: "cfg1".to_owned(),
            reason: "the peer\nis silent".to_owned(),
            extra: BTreeMap::new(),
        };
        let run = ListRun {
            contract: Contract::ShellLine,
            steps,
            from_step: 1,
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

fn step(command: &str, timeout: Duration) -> Step {
    Step { command: command.to_owned(), timeout }
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
                other => events.push(other),
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

#[tokio::test]
async fn steps_run_in_order_with_their_redirections_and_are_told_before_and_after() {
    let bench = Bench::new();
    let seen = bench.run(&["echo one >>order 2>&1", "echo two >>order; echo printed", "echo three >>order"]).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert_eq!(bench.text("order"), "one\ntwo\nthree\n");
    let told: Vec<String> = seen
        .events
        .iter()
        .map(|event| match event {
            StepEvent::Before { index, of, .. } => format!("before {index}/{of}"),
            StepEvent::After { index, of, passed, .. } => format!("after {index}/{of} {passed}"),
            StepEvent::Note { text } => text.clone(),
        })
        .collect();
    assert_eq!(told, ["before 1/3", "after 1/3 true", "before 2/3", "after 2/3 true", "before 3/3", "after 3/3 true"]);
    assert_eq!(seen.tail(2), "printed\n");
    let log = bench.text("script_test.log");
    assert!(log.contains("takeover step 2 of 3, epoch 7: echo two >>order; echo printed\nprinted\n"), "{log}");
}

#[tokio::test]
async fn a_step_gets_the_defined_environment_and_nothing_else() {
    let bench = Bench::new();
    let seen = bench.run(&["env | sort; pwd; readlink /proc/$$/fd/0"]).await;
    let log_file = bench.path("script_test.log");
    let printed = seen.tail(1);
    let names: Vec<&str> = printed.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // PWD is the shell's own.
    let wanted = "FAILOVER_EPOCH FAILOVER_OPERATION FAILOVER_PEER FAILOVER_REASON FAILOVER_ROLE FAILOVER_SCRIPT_LOG \
                  FAILOVER_STEP HOME LANG PATH PWD";
    assert_eq!(names.join(" "), wanted, "{printed}");
    for line in ["FAILOVER_EPOCH=7", "FAILOVER_ROLE=slave", "FAILOVER_OPERATION=takeover", "FAILOVER_PEER=cfg1"] {
        assert!(printed.contains(line), "{line} is missing in {printed}");
    }
    assert!(printed.contains("FAILOVER_REASON=the peer is silent\n"));
    assert!(printed.contains(&format!("FAILOVER_SCRIPT_LOG={}\n", log_file.display())));
    assert!(printed.ends_with(&format!("{}\n/dev/null\n", bench.folder.path().display())), "{printed}");
}

#[tokio::test]
async fn a_step_inherits_no_descriptor_even_one_that_was_left_open_for_children() {
    use std::os::fd::AsRawFd;
    let bench = Bench::new();
    let file = fs::File::open("/dev/zero").unwrap();
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let shown = format!("ls -l /proc/self/fd; echo number {}", file.as_raw_fd());
    let printed = bench.run(&[&shown]).await.tail(1);
    let count = printed.lines().filter(|line| line.contains("->")).count();
    // Three, and the folder that `ls` itself reads.
    assert_eq!(count, 4, "{printed}");
}

#[tokio::test]
async fn a_failed_step_ends_the_list_and_its_exit_becomes_a_sentence() {
    let bench = Bench::new();
    fs::write(bench.path("plain.txt"), "not a program").unwrap();
    for (command, sentence) in [
        ("exit 3", "exited 3"),
        ("./plain.txt", "exited 126: the command was found but is not executable"),
        ("./missing.sh", "exited 127: the command was not found"),
        ("kill -9 $$", "ended by SIGKILL"),
        ("sh -c 'kill -TERM $$'; exit $?", "exited 143: its command was ended by SIGTERM, or it chose this code"),
    ] {
        let seen = bench.run(&["true", command, "echo reached >>reached"]).await;
        let ListEnd::Failed(failure) = &seen.outcome.end else { panic!("{command}: {:?}", seen.outcome) };
        assert_eq!(failure.reason, format!("step 2 ({command}) {sentence}"));
        assert_eq!(bench.text("reached"), "", "{command}: the list went on");
    }
}

#[tokio::test]
async fn a_list_that_goes_on_after_a_failure_runs_every_step_and_names_the_failed_ones() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&["exit 1", "echo two >>order", "exit 3"]);
    run.on_step_failure = OnStepFailure::GoOn;
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert_eq!(seen.outcome.failures.iter().map(|failure| failure.step).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(bench.text("order"), "two\n");
}

#[tokio::test]
async fn a_list_resumes_at_its_step() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&["echo one >>order", "echo two >>order", "echo three >>order"]);
    run.from_step = 2;
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert_eq!(bench.text("order"), "two\nthree\n");
}

#[tokio::test]
async fn a_resumed_list_ends_the_interrupted_step_first_but_leaves_the_daemons_it_started() {
    let bench = Bench::new();
    let line = "setsid sleep 60 & echo $! >daemon; echo $$ >>shells; [ -e again ] || { touch again; sleep 60; }; true";
    let (run, mut seen) = bench.list(&[line]);
    // The interrupted step, as a daemon that died leaves it: begun with the same marks, watched by nobody.
    let mut variables = run.environment.variables();
    variables.insert("FAILOVER_STEP".to_owned(), "1".to_owned());
    variables.insert("FAILOVER_SCRIPT_LOG".to_owned(), run.log_file.display().to_string());
    let mut orphan = tokio::process::Command::new("/bin/sh")
        .args(["-c", line])
        .env_clear()
        .envs(variables)
        .current_dir(bench.folder.path())
        .process_group(0)
        .spawn()
        .unwrap();
    until("the first run is in its sleep", || bench.path("again").exists()).await;
    let daemon = bench.text("daemon");
    let (mut again, seen_again) = bench.list(&[line]);
    again.resumed = true;
    let seen_again = watch(again, seen_again, Cancel::never()).await;
    assert_eq!(seen_again.outcome.end, ListEnd::Completed, "{}", seen_again.notes());
    assert!(seen_again.notes().contains("step 1 still runs as sh"), "{}", seen_again.notes());
    assert_eq!(bench.text("shells").lines().count(), 2);
    assert!(!orphan.wait().await.unwrap().success(), "the interrupted step was not ended");
    assert!(lives(&daemon), "the daemon that it had started was ended too");
    kill(&daemon);
    kill(&bench.text("daemon"));
    drop(run);
    assert!(seen.recv().await.is_none());
}

#[tokio::test]
async fn a_step_past_its_limit_is_ended_with_its_children_even_if_they_ignore_term() {
    let bench = Bench::new();
    let line = "trap '' TERM; sleep 60 & echo $! >child; sh -c 'echo $$ >grandchild; while :; do sleep 1; done'";
    let (mut run, seen) = bench.list(&[line, "echo reached >>reached"]);
    run.steps[0].timeout = Duration::from_millis(300);
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.exit(1), StepExit::TimedOut(Duration::from_millis(300)));
    let ListEnd::Failed(failure) = &seen.outcome.end else { panic!("{:?}", seen.outcome) };
    assert!(failure.reason.ends_with("still running after its limit of 300 ms, and ended"), "{}", failure.reason);
    assert!(!lives(&bench.text("child")) && !lives(&bench.text("grandchild")));
    assert_eq!(bench.text("reached"), "");
}

#[tokio::test]
async fn a_step_past_its_limit_may_end_cleanly_on_term() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&["trap 'echo clean; exit 0' TERM; sleep 60 & wait"]);
    run.steps[0].timeout = Duration::from_millis(300);
    run.kill_after = Duration::from_secs(10);
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.exit(1), StepExit::TimedOut(Duration::from_millis(300)));
    assert_eq!(seen.tail(1), "clean\n");
}

#[tokio::test]
async fn a_daemonised_child_that_keeps_the_pipe_holds_up_nothing_and_survives_its_own_printing() {
    let bench = Bench::new();
    let line = "echo started; (while :; do echo chatter || exit 1; sleep 0.01; done) & echo $! >daemon";
    let seen = bench.run(&[line]).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert!(seen.tail(1).starts_with("started\n"));
    let daemon = bench.text("daemon");
    let [group] = seen.outcome.groups[..] else { panic!("the left process is not named: {:?}", seen.outcome) };
    let names = |pid: i32| pid.to_string() == daemon.trim();
    assert!(process::in_group(group).unwrap().iter().any(|left| names(left.id.pid)));
    // It prints on, to a pipe that nobody reads. A broken pipe would end it at its next line.
    let printed = || {
        let stat = fs::read_to_string(format!("/proc/{}/io", daemon.trim())).unwrap_or_default();
        stat.lines().find_map(|line| line.strip_prefix("syscw: ")).and_then(|count| count.parse::<u64>().ok())
    };
    let before = printed().expect("the daemonised child has ended");
    until("the child has printed ten more lines", || printed().is_some_and(|now| now > before + 10)).await;
    for left in process::in_group(group).unwrap() {
        process::signal(left.id, Signal::SIGKILL).unwrap();
    }
}

#[tokio::test]
async fn a_hundred_mebibytes_of_output_are_bounded_in_the_tail_and_in_the_log() {
    let bench = Bench::new();
    let seen = bench.run(&["head -c 104857600 /dev/zero | tr '\\0' 'x'; echo; echo the end"]).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    let tail = seen.tail(1);
    assert_eq!(tail.len(), output::TAIL_BYTES_MAX);
    assert!(tail.ends_with("x\nthe end\n"));
    let log = bench.text("script_test.log");
    assert!(log.len() as u64 <= output::LOGGED_BYTES_MAX + 2 * output::TAIL_BYTES_MAX as u64, "{} bytes", log.len());
    if seen.notes().is_empty() {
        assert!(log.contains("bytes left out]") && log.contains("the end\n"));
    }
}

#[tokio::test]
async fn output_that_is_no_utf8_is_kept_readable() {
    let bench = Bench::new();
    let seen = bench.run(&["printf 'caf\\351\\n'"]).await;
    assert_eq!(seen.tail(1), "caf\u{fffd}\n");
    assert!(fs::read(bench.path("script_test.log")).unwrap().windows(5).any(|bytes| bytes == b"caf\xe9\n"));
}

#[tokio::test]
async fn a_step_does_not_begin_before_its_entry_is_confirmed() {
    let bench = Bench::new();
    let (run, mut seen) = bench.list(&["touch begun"]);
    let list = tokio::spawn(run_list(run, Cancel::never()));
    let Some(StepEvent::Before { gate, .. }) = seen.recv().await else { panic!("no Before came") };
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!bench.path("begun").exists(), "the step ran before its entry was durable");
    gate.open();
    assert!(matches!(seen.recv().await, Some(StepEvent::After { passed: true, .. })));
    assert!(bench.path("begun").exists());
    list.await.unwrap();
}

#[tokio::test]
async fn without_a_durable_entry_a_start_does_not_run_and_a_stop_does() {
    for (direction, runs) in [(Direction::Start, false), (Direction::Stop, true)] {
        let bench = Bench::new();
        let (mut run, mut seen) = bench.list(&["touch begun"]);
        run.direction = direction;
        let list = tokio::spawn(run_list(run, Cancel::never()));
        let mut notes = String::new();
        while let Some(event) = seen.recv().await {
            match event {
                StepEvent::Before { gate, .. } => drop(gate),
                StepEvent::Note { text } => notes.push_str(&text),
                StepEvent::After { .. } => {}
            }
        }
        let outcome = list.await.unwrap();
        assert_eq!(bench.path("begun").exists(), runs, "{direction:?}");
        match direction {
            Direction::Start => assert!(matches!(outcome.end, ListEnd::NotBegun { step: 1, .. }), "{outcome:?}"),
            Direction::Stop => assert!(notes.contains("without a durable journal entry"), "{notes}"),
        }
    }
}

#[tokio::test]
async fn a_stop_runs_even_if_the_one_who_keeps_the_journal_is_gone() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&["touch begun"]);
    run.direction = Direction::Stop;
    drop(seen);
    assert_eq!(run_list(run, Cancel::never()).await.end, ListEnd::Completed);
    assert!(bench.path("begun").exists());
}

#[tokio::test]
async fn a_cancelled_list_ends_its_step_and_goes_no_further() {
    let bench = Bench::new();
    let (run, seen) = bench.list(&["sleep 60 & echo $! >child; touch begun; wait", "touch second"]);
    let (handle, word) = cancel();
    let begun = bench.path("begun");
    let (seen, ()) = tokio::join!(watch(run, seen, word), async {
        until("the step has begun", || begun.exists()).await;
        handle.cancel();
    });
    assert_eq!(seen.outcome.end, ListEnd::Cancelled { step: 1 });
    assert!(!lives(&bench.text("child")) && !bench.path("second").exists());
}

#[tokio::test]
async fn a_forgotten_list_kills_its_step() {
    let bench = Bench::new();
    let (run, mut seen) = bench.list(&["sleep 60 & echo $! >child; touch begun; wait"]);
    let list = tokio::spawn(run_list(run, Cancel::never()));
    let Some(StepEvent::Before { gate, .. }) = seen.recv().await else { panic!("no Before came") };
    gate.open();
    until("the step has begun", || bench.path("begun").exists()).await;
    list.abort();
    let child = bench.text("child");
    until("the step's child is gone", || !lives(&child)).await;
}

#[tokio::test]
async fn two_lists_of_one_host_never_run_at_once() {
    let bench = Bench::new();
    let line = "mkdir only || echo both >>both; sleep 0.2; rmdir only";
    let lines = [line, line];
    let (first, second) = tokio::join!(bench.run(&lines), bench.run(&lines));
    assert_eq!((first.outcome.end, second.outcome.end), (ListEnd::Completed, ListEnd::Completed));
    assert_eq!(bench.text("both"), "");
}

#[tokio::test]
async fn what_cannot_even_begin_is_a_failed_step_with_its_cause() {
    let bench = Bench::new();
    let seen = bench.run(&["true\0"]).await;
    assert!(matches!(seen.exit(1), StepExit::NotRun(_)), "{:?}", seen.events);

    let (mut run, seen) = bench.list(&["true"]);
    run.directory = bench.path("missing");
    let seen = watch(run, seen, Cancel::never()).await;
    let StepExit::NotRun(why) = seen.exit(1) else { panic!("{:?}", seen.events) };
    assert!(why.contains("missing is not there"), "{why}");
}

#[tokio::test]
async fn a_step_that_ends_while_the_log_cannot_be_written_still_counts_and_says_so() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&["echo printed"]);
    run.log_file = PathBuf::from("/dev/full");
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert_eq!(seen.tail(1), "printed\n");
    assert!(seen.notes().contains("the script log cannot be written: No space left"), "{}", seen.notes());
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

#[tokio::test]
async fn what_a_start_step_leaves_is_in_the_services_control_group() {
    let name = format!("failover-test-{}-script", std::process::id());
    let Ok(folder) = cgroup::folder(name.as_ref()) else {
        println!("not run: this host has no cgroup v2");
        return;
    };
    if let Err(error) = fs::create_dir(&folder) {
        println!("not run: no control group can be made here: {error}");
        return;
    }
    let group = Group(folder.clone());
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&["true"]);
    run.cgroup = Some(folder.clone());
    let seen = watch(run, seen, Cancel::never()).await;
    assert!(!seen.outcome.cgroup_populated, "a step that left nothing is no evidence");

    let (mut run, seen) = bench.list(&["setsid sleep 60 >/dev/null 2>&1 & echo $! >daemon"]);
    run.cgroup = Some(folder.clone());
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert!(seen.outcome.cgroup_populated);
    assert_eq!(cgroup::processes(&folder).unwrap(), [bench.text("daemon").trim().parse::<i32>().unwrap()]);
    drop(group);
}

#[tokio::test]
async fn a_control_group_that_cannot_be_made_is_said_and_the_start_goes_on() {
    let bench = Bench::new();
    let (mut run, seen) = bench.list(&["touch begun"]);
    run.cgroup = Some(PathBuf::from("/dev/null/mail"));
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert!(bench.path("begun").exists() && !seen.outcome.cgroup_populated);
    assert!(seen.notes().contains("runs without its control group"), "{}", seen.notes());
}
