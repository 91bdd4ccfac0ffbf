//! A guardian takes its whole process over, so each test runs one in a process of its own: this test program again, told
//! by its environment to be a guardian over a shell script.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);
const SCRIPT: &str = "FAILOVER_TEST_GUARDED_SCRIPT";
const PATIENCE: &str = "FAILOVER_TEST_STOP_LIMIT_MS";

/// Not a test of its own: what the others start. Without its environment it does nothing.
#[test]
fn a_guardian_for_the_other_tests() {
    let Ok(script) = std::env::var(SCRIPT) else { return };
    let stop_limit = std::env::var(PATIENCE).ok().and_then(|ms| ms.parse().ok()).map_or(LIMIT, Duration::from_millis);
    let pace = Pace {
        pause_min: Duration::from_millis(10),
        pause_max: Duration::from_millis(80),
        well_after: Duration::from_secs(60),
        stop_limit,
    };
    let daemon = || {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]).env_remove(SCRIPT);
        command
    };
    // `run` but for its opaque exit, which could not be handed over from a thread of the test harness.
    let code = guard(Path::new("page"), daemon, pace).unwrap();
    std::process::exit(code.into());
}

struct Guarded {
    folder: tempfile::TempDir,
    guardian: Child,
}

impl Guarded {
    fn start(script: &str) -> Guarded {
        Guarded::start_with_patience(script, LIMIT)
    }

    fn start_with_patience(script: &str, stop_limit: Duration) -> Guarded {
        let folder = tempfile::tempdir().unwrap();
        let guardian = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "guardian::keeper::tests::a_guardian_for_the_other_tests",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(SCRIPT, script)
            .env(PATIENCE, stop_limit.as_millis().to_string())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Guarded { folder, guardian }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        // A line counts once its end is written.
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| line.trim().to_owned()).collect()
    }

    fn wait_for_lines(&self, name: &str, count: usize) -> Vec<String> {
        wait_for(&format!("{count} lines in {name}"), || self.lines(name).len() >= count);
        self.lines(name)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.guardian.id() as i32), signal).unwrap();
    }

    fn exit(&mut self) -> Option<i32> {
        let mut status = None;
        wait_for("the guardian's end", || {
            status = self.guardian.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.guardian.kill();
        let _ = self.guardian.wait();
        // Known by the folder that they work in: the number alone could be someone else's by now.
        for name in ["daemon", "service"] {
            for pid in self.lines(name).iter().filter_map(|line| line.parse::<i32>().ok()) {
                let folder = fs::read_link(Path::new("/proc").join(pid.to_string()).join("cwd"));
                if folder.is_ok_and(|folder| folder == self.folder.path()) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
        }
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < until, "never seen: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The parent of a process, by stat's fourth field (proc(5)).
fn parent(pid: i32) -> Option<u32> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[test]
fn a_clean_exit_and_a_wrong_configuration_end_the_guardian_with_the_same_code() {
    assert_eq!(Guarded::start("exit 0").exit(), Some(0));
    assert_eq!(Guarded::start("exit 78").exit(), Some(78));
}

#[test]
fn a_daemon_that_fails_or_is_killed_is_started_again_and_knows_how_often() {
    let script = "echo $FAILOVER_RESTARTS $FAILOVER_GUARDIAN $PPID >>starts
        case $FAILOVER_RESTARTS in 0) exit 1;; 1) kill -9 $$;; 2) kill -SEGV $$;; 3) exit 0;; esac";
    let mut guarded = Guarded::start(script);
    assert_eq!(guarded.exit(), Some(0));
    let pid = guarded.guardian.id();
    let expected: Vec<String> = (0..4).map(|restart| format!("{restart} {pid} {pid}")).collect();
    assert_eq!(guarded.lines("starts"), expected);
}

#[test]
fn signals_reach_the_daemon_and_its_exit_is_the_guardians() {
    let script = "trap 'echo HUP >>got' HUP; trap 'echo TERM >>got; exit 7' TERM; echo ready >>got
        while :; do sleep 0.05; done";
    let mut guarded = Guarded::start(script);
    guarded.wait_for_lines("got", 1);
    guarded.signal(Signal::SIGHUP);
    guarded.wait_for_lines("got", 2);
    guarded.signal(Signal::SIGTERM);
    assert_eq!(guarded.exit(), Some(7), "told to end, it does not start the daemon again");
    assert_eq!(guarded.lines("got"), ["ready", "HUP", "TERM"]);
}

#[test]
fn a_daemon_that_dies_of_the_very_signal_ended_as_it_was_told() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        // A plain `sleep` keeps the default action.
        let mut guarded = Guarded::start("echo $$ >>daemon; exec sleep 600");
        guarded.wait_for_lines("daemon", 1);
        guarded.signal(signal);
        assert_eq!(guarded.exit(), Some(0), "{signal}");
    }
}

#[test]
fn a_daemon_that_does_not_end_in_time_is_killed() {
    let script = "trap '' TERM; echo $$ >>daemon; while :; do sleep 0.05; done";
    let mut guarded = Guarded::start_with_patience(script, Duration::from_millis(100));
    guarded.wait_for_lines("daemon", 1);
    guarded.signal(Signal::SIGTERM);
    assert_eq!(guarded.exit(), Some(128 + 9));
}

#[test]
fn a_stop_between_two_starts_ends_the_guardian() {
    let mut guarded = Guarded::start("echo x >>starts; exit 1");
    // Deaths follow each other at most 80 ms apart, so that the signal falls between two of them, or into one.
    guarded.wait_for_lines("starts", 4);
    guarded.signal(Signal::SIGTERM);
    let code = guarded.exit();
    assert!(matches!(code, Some(0 | 1)), "by itself, or with the exit of the daemon that just died: {code:?}");
}

#[test]
fn what_the_daemon_started_outlives_it_under_the_guardian_and_leaves_no_zombie() {
    let script = "echo $$ >>daemon
        test $FAILOVER_RESTARTS = 0 && { sh -c 'echo $$ >>service; exec sleep 600' & }
        while :; do sleep 0.05; done";
    let guarded = Guarded::start(script);
    let service: i32 = guarded.wait_for_lines("service", 1)[0].parse().unwrap();
    let daemon: i32 = guarded.wait_for_lines("daemon", 1)[0].parse().unwrap();
    kill(Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
    guarded.wait_for_lines("daemon", 2);
    assert_eq!(parent(service), Some(guarded.guardian.id()), "alive, and the guardian's child");
    kill(Pid::from_raw(service), Signal::SIGKILL).unwrap();
    wait_for("the orphan's reaping", || !Path::new("/proc").join(service.to_string()).exists());
    assert_eq!(guarded.lines("daemon").len(), 2, "an orphan's end starts nothing");
}

#[test]
fn a_daemon_that_cannot_be_started_at_all_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    // It takes over the signals of the whole test program, which is one test a process.
    let refused = guard(&folder.path().join("page"), || Command::new("/nonexistent/daemon"), Pace::default());
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::NotFound);
}
