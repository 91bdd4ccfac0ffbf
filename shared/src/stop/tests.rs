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
use crate::script::{Environment, ListLock, Operation, StepEvent, cgroup};

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
            startup_scripts: Vec::new(),
            shutdown_scripts: stop.iter().map(|line| step(line)).collect(),
            stopped_when,
            directory: self.folder.path().to_owned(),
            cgroup: None,
            on_stop_failure: OnStopFailure::Force,
            watch_processes: Vec::new(),
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
            from_step: 1,
            resumed: false,
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
                    StepEvent::After { .. } => {}
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

fn context() -> StopContext {
    StopContext::new(Environment {
        epoch: Epoch(7),
        role: Role::Master,
        operation: Operation::Giveaway,
        peer: "cfg2".to_owned(),
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

#[tokio::test]
async fn a_stop_list_that_does_its_work_is_a_verified_stop_without_force() {
    let mut bench = Bench::new("cl");
    let pid = bench.start();
    let (outcome, notes) = bench.stop(bench.service(&[&format!("kill {pid}")], vec![bench.no_process()])).await;
    assert_eq!(outcome, clean(), "{notes}");
}

#[tokio::test]
async fn a_service_that_ends_a_moment_after_its_stop_command_needs_no_ladder() {
    let mut bench = Bench::new("mo");
    let pid = bench.start();
    let line = format!("(sleep 0.1; kill {pid}) >/dev/null 2>&1 &");
    let service = bench.service(&[&line], vec![bench.no_process()]);
    let (outcome, notes) = bench.stop_with(service, |run| run.kill_after = Duration::from_secs(10)).await;
    assert_eq!(outcome, clean(), "{notes}");
}

#[tokio::test]
async fn a_stop_script_that_lies_is_found_out_and_the_ladder_ends_the_service() {
    let mut bench = Bench::new("li");
    let pid = bench.start();
    let (outcome, notes) = bench.stop(bench.service(&["true"], vec![bench.no_process()])).await;
    let (step, reason) = forced(&outcome);
    assert_eq!(step, 0);
    assert!(reason.contains(&format!("{} (pid {pid}) still runs", bench.name)), "{reason}");
    assert!(notes.contains(&format!("TERM to {} (pid {pid})", bench.name)), "{notes}");
    assert!(!lives(pid));
}

#[tokio::test]
async fn a_service_deaf_to_term_or_stopped_in_its_tracks_is_killed() {
    let mut bench = Bench::new("de");
    let deaf = bench.start_deaf();
    let stopped = bench.start();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(stopped), nix::sys::signal::Signal::SIGSTOP).unwrap();
    let (outcome, notes) = bench.stop(bench.service(&["exit 1"], vec![bench.no_process()])).await;
    assert_eq!(forced(&outcome), (1, "step 1 (exit 1) exited 1"));
    assert!(notes.contains(&format!("KILL to {} (pid {deaf})", bench.name)), "{notes}");
    assert!(!lives(deaf) && !lives(stopped));
}

#[tokio::test]
async fn a_stop_step_that_hangs_is_ended_and_the_steps_after_it_still_run() {
    let mut bench = Bench::new("ha");
    bench.start();
    let mut service = bench.service(&["sleep 60", "echo two >>order"], vec![bench.no_process()]);
    service.shutdown_scripts[0].timeout = Duration::from_millis(200);
    let (outcome, _) = bench.stop(service).await;
    let (step, reason) = forced(&outcome);
    assert_eq!(step, 1);
    assert!(reason.contains("still running after its limit of 200 ms"), "{reason}");
    assert_eq!(fs::read_to_string(bench.path("order")).unwrap(), "two\n");
}

#[tokio::test]
async fn a_daemonised_child_of_a_stop_step_is_no_clean_stop() {
    let bench = Bench::new("da");
    let line = format!("./{} 60 >/dev/null 2>&1 & echo $! >child", bench.name);
    // Its name is in no condition: only that our own step left it shows it.
    let service = bench.service(&[&line], vec![Postcondition::NotMounted(bench.path("nowhere"))]);
    let (outcome, _) = bench.stop(service).await;
    let (_, reason) = forced(&outcome);
    assert!(reason.contains("left by our own steps still runs"), "{reason}");
    assert!(!lives(fs::read_to_string(bench.path("child")).unwrap().trim().parse().unwrap()));
}

#[tokio::test]
async fn what_start_steps_left_behind_is_ended_by_the_ladder() {
    let mut bench = Bench::new("gr");
    let pid = bench.start();
    let leader = process::look(pid).unwrap().unwrap();
    let service = bench.service(&["true"], vec![Postcondition::NotMounted(bench.path("nowhere"))]);
    let (outcome, _) = bench
        .stop_with(service, |run| {
            run.context.groups.push(process::ProcessGroup { leader: leader.id, session: leader.session });
        })
        .await;
    assert!(forced(&outcome).1.contains("left by our own steps"));
    assert!(!lives(pid));
}

#[tokio::test]
async fn one_thing_that_is_left_makes_it_no_proof_and_is_named() {
    let mut bench = Bench::new("on");
    let pid = bench.start();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let conditions = vec![bench.no_process(), Postcondition::PortsClosed(vec![port])];
    let (outcome, _) = bench.stop(bench.service(&["true"], conditions)).await;
    let reason = not_verified(&outcome);
    assert!(reason.contains(&format!("port {port} is still open on 127.0.0.1")), "{reason}");
    assert!(reason.contains(&format!("(pid {})", std::process::id())), "{reason}");
    assert!(!lives(pid), "what can be ended is ended all the same");
}

#[tokio::test]
async fn the_ladder_never_touches_this_process_or_its_parents() {
    let bench = Bench::new("ow");
    let own = process::look(i32::try_from(std::process::id()).unwrap()).unwrap().unwrap();
    // Threads have names of their own; the process's is the one that counts.
    let parent = process::look(own.parent).unwrap().unwrap();
    let conditions = vec![Postcondition::NoProcess(own.name.clone())];
    let (outcome, notes) = bench.stop_with(bench.service(&[], conditions), |run| run.ladder_only = true).await;
    assert!(not_verified(&outcome).contains(&own.name));
    assert!(!notes.contains(&format!("(pid {})", own.id.pid)), "{notes}");
    assert!(lives(parent.id.pid));
}

#[tokio::test]
async fn ask_operator_forces_nothing() {
    let mut bench = Bench::new("as");
    let pid = bench.start();
    for line in ["exit 1", "true"] {
        let mut service = bench.service(&[line], vec![bench.no_process()]);
        service.on_stop_failure = OnStopFailure::AskOperator;
        let (outcome, notes) = bench.stop(service).await;
        assert!(not_verified(&outcome).contains("AskOperator"), "{outcome:?}");
        assert!(lives(pid) && !notes.contains("TERM"), "{notes}");
    }
}

#[tokio::test]
async fn the_ladder_alone_runs_no_script() {
    let mut bench = Bench::new("la");
    let pid = bench.start();
    let service = bench.service(&["touch ran"], vec![bench.no_process()]);
    let (outcome, _) = bench.stop_with(service, |run| run.ladder_only = true).await;
    assert_eq!(forced(&outcome), (0, "the ladder was asked for at once"));
    assert!(!lives(pid) && !bench.path("ran").exists());
}

#[tokio::test]
async fn after_a_failed_start_every_stop_step_runs_and_only_what_is_left_counts() {
    let mut bench = Bench::new("fa");
    let pid = bench.start();
    let service = bench.service(&["exit 1", &format!("kill {pid}")], vec![bench.no_process()]);
    let (outcome, notes) = bench.stop_with(service, |run| run.after_failed_start = true).await;
    assert_eq!(outcome, clean(), "{notes}");
}

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
async fn a_stop_script_that_only_removes_the_pid_file_has_not_stopped_the_process() {
    let mut bench = Bench::new("rm");
    let pid = bench.start();
    let file = bench.path("service.pid");
    fs::write(&file, pid.to_string()).unwrap();
    let service = bench.service(&["rm service.pid"], vec![Postcondition::PidFileGone(file.clone())]);
    let (outcome, _) = bench.stop(service).await;
    assert!(forced(&outcome).1.contains("still runs"), "{outcome:?}");
    assert!(!lives(pid));
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

#[tokio::test]
async fn the_ladder_kills_whatever_is_in_the_services_control_group() {
    let name = format!("failover-test-{}-ladder", std::process::id());
    let Some(group) = Group::new(&name) else { return };
    let mut bench = Bench::new("cg");
    let deaf = bench.start_deaf();
    fs::write(group.0.join("cgroup.procs"), deaf.to_string()).unwrap();
    let service = bench.service(&["true"], vec![Postcondition::CgroupEmpty(name.clone().into())]);
    let (outcome, notes) = bench
        .stop_with(service, |run| {
            run.context.populated.insert(name.into());
        })
        .await;
    assert!(forced(&outcome).1.contains("still in the control group"));
    assert!(notes.contains("killed the control group"), "{notes}");
    assert!(!lives(deaf));
}

/// Ends as the only test of a process that has a mount namespace of its own.
const MOUNTS: &str = "FAILOVER_TEST_MOUNTS";

#[test]
fn managed_mounts_are_seen_unmounted_with_what_is_below_them_and_named_when_in_use() {
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "stop::tests::mounts_in_a_namespace_of_their_own", "--nocapture"])
        .env(MOUNTS, "yes")
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("unshare failed") => {
            println!("not run: no mount namespace here: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(output) => panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        Err(error) => println!("not run: no unshare: {error}"),
    }
}

#[tokio::test]
async fn mounts_in_a_namespace_of_their_own() {
    if std::env::var_os(MOUNTS).is_none() {
        return;
    }
    let bench = Bench::new("mt");
    let point = bench.path("the mail");
    let mount = |path: &Path| {
        fs::create_dir_all(path).unwrap();
        assert!(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(path).status().unwrap().success());
    };
    mount(&point);
    mount(&point.join("below"));
    mount(&point);
    let conditions = vec![Postcondition::NotMounted(point.clone())];
    let (outcome, notes) = bench.stop(bench.service(&["true"], conditions.clone())).await;
    assert!(forced(&outcome).1.contains("the mail is still mounted"), "{outcome:?} {notes}");
    assert!(verify(&bench.service(&[], conditions.clone()), &context()).await.holds);

    mount(&point);
    std::os::unix::fs::symlink(&point, bench.path("link")).unwrap();
    let by_link = vec![Postcondition::NotMounted(bench.path("link"))];
    assert!(!verify(&bench.service(&[], by_link), &context()).await.holds, "a link hid the mount");

    let held = fs::File::create(point.join("held")).unwrap();
    let (outcome, notes) = bench.stop(bench.service(&["true"], conditions)).await;
    let reason = not_verified(&outcome);
    assert!(reason.contains("still mounted, used by") && reason.contains(&std::process::id().to_string()), "{reason}");
    assert!(notes.contains("cannot be unmounted"), "{notes}");
    // Or the folder could not be removed.
    drop(held);
    assert!(Command::new("umount").arg(&point).status().unwrap().success());
}
