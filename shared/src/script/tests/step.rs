//! One step: what it gets, how it is limited, what is kept of it, what it leaves.

use super::*;

#[tokio::test]
async fn a_step_gets_the_defined_environment_and_nothing_else() {
    let bench = Bench::new();
    let seen = bench.run(&["env | sort; pwd; readlink /proc/$$/fd/0"]).await;
    let log_file = bench.path("script_test.log");
    let printed = seen.tail(1);
    let names: Vec<&str> = printed.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // PWD is the shell's own.
    let wanted = "FAILOVER_CONFIG FAILOVER_CONFIG_DIGEST FAILOVER_EPOCH FAILOVER_HOST FAILOVER_OPERATION FAILOVER_PEER FAILOVER_REASON FAILOVER_ROLE FAILOVER_SCRIPT_LOG \
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
async fn a_step_past_its_limit_is_ended_with_its_children_even_if_they_ignore_term() {
    let bench = Bench::new();
    let line = "trap '' TERM; sleep 60 & echo $! >child; sh -c 'echo $$ >grandchild; while :; do sleep 1; done'";
    let (mut run, seen) = bench.list(&[line, "echo reached >>reached"]);
    run.stages[0] = vec![super::line(&run.stages[0][0].script.name, Duration::from_millis(300))];
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
    run.stages[0] = vec![super::line(&run.stages[0][0].script.name, Duration::from_millis(300))];
    run.kill_after = Duration::from_secs(10);
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.exit(1), StepExit::TimedOut(Duration::from_millis(300)));
    assert_eq!(seen.tail(1), "clean\n");
}

#[tokio::test]
async fn a_daemonised_child_that_keeps_the_pipe_holds_up_nothing_and_survives_its_own_printing() {
    let bench = Bench::new();
    let line = "echo started; (while :; do printf '%8192s' x; echo round >>rounds; sleep 0.01; done) & echo $! >daemon";
    let seen = bench.run(&[line]).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert!(bench.text("script_test.log").contains("started\n"));
    let daemon = bench.text("daemon");
    let [group] = seen.outcome.groups[..] else { panic!("the left process is not named: {:?}", seen.outcome) };
    let left = process::in_group(group).unwrap();
    assert!(left.iter().any(|process| process.id.pid.to_string() == daemon.trim()), "{left:?}");
    // It prints on into a pipe that nobody reads: a broken pipe would end it at once, a full one would stop it after
    // eight rounds.
    let rounds = || bench.text("rounds").lines().count();
    let before = rounds();
    until("the child has printed twenty more times", || rounds() > before + 20).await;
    for process in process::in_group(group).unwrap() {
        process::signal(process.id, Signal::SIGKILL).unwrap();
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
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert_eq!(cgroup::populated(&folder).unwrap(), Some(false), "a step that left nothing is no evidence");

    let (mut run, seen) = bench.list(&["setsid sleep 60 >/dev/null 2>&1 & echo $! >daemon"]);
    run.cgroup = Some(folder.clone());
    let seen = watch(run, seen, Cancel::never()).await;
    assert_eq!(seen.outcome.end, ListEnd::Completed);
    assert_eq!(cgroup::populated(&folder).unwrap(), Some(true));
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
    assert!(bench.path("begun").exists());
    assert!(seen.notes().contains("runs without its control group"), "{}", seen.notes());
}
