use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use failover_shared::decision::{Attempt, Evidence, Millis, Proof};
use failover_shared::statement::{Expected, verify};

use super::held::state;
use super::*;
use crate::fake::{Fake, printed, status, yes};

const REQUEST: &str = "00c0ffee00c0ffee-3";

/// A master called cfg1 with a configuration, a key, and a stop script.
struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new(stop_script: &str) -> Host {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let text = format!(
            r#"Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    proof_of_stop: [Ack, Operator],
    timing: (kill_after: "100ms"),
    service: (
        startup_scripts: ["true"],
        shutdown_scripts: ["./stop.sh"],
        stopped_when: [PidFileGone("{0}/service.pid")],
    ),
    checks: [Port(name: "pop3", port: 110)],
)"#,
            at.display()
        );
        std::fs::write(at.join("failover.ron"), text).unwrap();
        provision::create_pair_key(at).unwrap();
        std::fs::write(at.join("stop.sh"), format!("#!/bin/sh\n{stop_script}\n")).unwrap();
        std::fs::set_permissions(at.join("stop.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        Host { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap_or_default().trim().to_string()
    }

    /// A process that holds the pid file as the daemon does, and the state file too if asked.
    fn daemon(&self, holds_state: bool) -> Silent {
        let mut command = Command::new("flock");
        command.args(["-n", "-F"]).arg(self.at("master.pid"));
        if holds_state {
            command.args(["flock", "-n", "-F"]).arg(self.at("master.state"));
        }
        let child = command.args(["sleep", "600"]).stdout(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        std::fs::write(self.at("master.pid"), format!("{pid}\n")).unwrap();
        let daemon = Silent { child, pid };
        daemon.wait_for("it runs sleep", |daemon| daemon.name() == "sleep");
        daemon
    }

    async fn stop_here(&self, although: bool) -> (anyhow::Result<Exit>, String) {
        let arguments = Arguments {
            request: request(REQUEST).unwrap(),
            epoch: 7,
            although_daemon_answers: although,
            state_dir: self.folder.path().into(),
            log_dir: self.folder.path().into(),
            host: Some("cfg1".into()),
        };
        let config = self.at("failover.ron");
        printed(async |out: &mut Out<'_>| run(&config, self.folder.path(), None, &arguments, out).await).await
    }

    fn remembered(&self) -> Loaded<Record> {
        Store::open::<Record>(&self.at("master.state"), "cfg1", "mail").unwrap().1
    }

    fn is_valid(&self, line: &str) -> bool {
        let key = provision::load_pair_key(&self.at("pair.key")).unwrap();
        let expected =
            Expected { pair: "mail", role: Role::Master, request: request(REQUEST).unwrap(), epoch: Epoch(7) };
        verify(&[key], line, expected).is_ok()
    }
}

/// A daemon that does not answer. Killed when dropped.
struct Silent {
    child: Child,
    pid: i32,
}

impl Silent {
    fn name(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default().trim().to_string()
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&Silent) -> bool) {
        let until = Instant::now() + Duration::from_secs(5);
        while !holds(self) {
            assert!(Instant::now() < until, "never seen: {what}; state {:?}, name {}", state(self.pid), self.name());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_request_is_read_as_it_is_printed() {
    assert_eq!(request(REQUEST).unwrap().to_string(), REQUEST);
    for wrong in ["", "-", "1", "x-1", "1-", "1-x"] {
        assert!(request(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_dead_daemons_service_is_stopped_written_down_and_stated() {
    let host = Host::new("echo $FAILOVER_OPERATION >stopped");
    let (exit, text) = host.stop_here(false).await;
    assert_eq!(exit.unwrap(), Exit::Ok);
    assert_eq!(host.read("stopped"), "giveaway");
    assert!(host.is_valid(text.trim()), "{text}");
    let Loaded::Valid(record) = host.remembered() else { panic!("{:?}", host.remembered()) };
    assert!(matches!(record.phase, Phase::Stopped { epoch: Epoch(7), .. }), "{record:?}");
    assert_eq!((record.highest, record.gave_leave), (Epoch(7), Some(Epoch(7))));
}

#[tokio::test]
async fn a_silent_daemon_stands_still_during_the_stop_and_goes_on_after_it() {
    let host = Host::new("cat /proc/$(cat master.pid)/stat >during");
    let daemon = host.daemon(false);
    let (exit, text) = host.stop_here(false).await;
    assert_eq!(exit.unwrap(), Exit::Ok);
    assert!(host.is_valid(text.trim()), "{text}");
    assert!(host.read("during").contains(") T "), "{}", host.read("during"));
    daemon.wait_for("it goes on", |daemon| state(daemon.pid) == Some('S'));
}

#[tokio::test]
async fn a_daemon_that_somebody_else_froze_stays_frozen() {
    let host = Host::new("true");
    let daemon = host.daemon(false);
    let found = failover_shared::process::look(daemon.pid).unwrap().unwrap();
    failover_shared::process::signal(found.id, nix::sys::signal::Signal::SIGSTOP).unwrap();
    daemon.wait_for("it is frozen", |daemon| state(daemon.pid) == Some('T'));
    let (exit, _) = host.stop_here(false).await;
    assert_eq!(exit.unwrap(), Exit::Ok);
    assert_eq!(state(daemon.pid), Some('T'));
}

#[tokio::test]
async fn a_stop_that_cannot_be_verified_states_nothing_and_frees_the_daemon() {
    let host = Host::new("exit 0");
    let daemon = host.daemon(false);
    // The service is this very test: the ladder spares it, so it is still there at the end.
    std::fs::write(host.at("service.pid"), format!("{}\n", std::process::id())).unwrap();
    let (exit, text) = host.stop_here(false).await;
    assert!(exit.unwrap_err().to_string().contains("could not be verified"));
    assert_eq!(text, "");
    assert!(!matches!(host.remembered(), Loaded::Valid(_)), "{:?}", host.remembered());
    daemon.wait_for("it goes on", |daemon| state(daemon.pid) == Some('S'));
}

#[tokio::test]
async fn a_frozen_daemon_that_keeps_the_state_locked_is_killed() {
    let host = Host::new("true");
    drop(Store::open::<Record>(&host.at("master.state"), "cfg1", "mail").unwrap());
    let daemon = host.daemon(true);
    let (exit, text) = host.stop_here(false).await;
    assert_eq!(exit.unwrap(), Exit::Ok);
    assert!(host.is_valid(text.trim()), "{text}");
    daemon.wait_for("it is dead", |daemon| state(daemon.pid) == Some('Z'));
}

#[tokio::test]
async fn a_daemon_that_answers_keeps_the_service_unless_the_operator_insists() {
    let host = Host::new("echo >stopped");
    let fake = Fake::start_in(host.folder.path(), Role::Master, |_| yes(status(Role::Master)));
    let (exit, _) = host.stop_here(false).await;
    assert!(exit.unwrap_err().to_string().contains("the ordinary demand works"));
    assert!(!host.at("stopped").exists());
    let (exit, text) = host.stop_here(true).await;
    assert_eq!(exit.unwrap(), Exit::Ok);
    assert!(host.at("stopped").exists() && host.is_valid(text.trim()), "{text}");
    drop(fake);
}

#[tokio::test]
async fn a_state_that_knows_a_higher_epoch_keeps_it() {
    let host = Host::new("true");
    let (mut store, _) = Store::open::<Record>(&host.at("master.state"), "cfg1", "mail").unwrap();
    let boot = host::boot_id().unwrap();
    let known =
        Record { highest: Epoch(9), owned: Epoch(9), phase: Phase::Active { epoch: Epoch(9) }, ..Record::fresh(boot) };
    store.write(&known).unwrap();
    let (exit, text) = host.stop_here(false).await;
    assert_eq!(exit.unwrap(), Exit::Ok);
    assert!(host.is_valid(text.trim()), "{text}");
    let Loaded::Valid(record) = host.remembered() else { panic!("{:?}", host.remembered()) };
    assert_eq!((record.highest, record.owned), (Epoch(9), Epoch(9)));
    assert!(matches!(record.phase, Phase::Stopped { epoch: Epoch(9), .. }), "{record:?}");
}

#[tokio::test]
async fn a_step_that_a_frozen_daemon_left_running_is_ended_before_the_stop() {
    let host = Host::new("true");
    let (mut store, _) = Store::open::<Record>(&host.at("master.state"), "cfg1", "mail").unwrap();
    let request = request(REQUEST).unwrap();
    let attempt = Attempt { request, evidence: Evidence::NobodyActive, epoch: Epoch(4), began: Millis(1) };
    let proof = Proof::Operator { by: "a test".into() };
    let phase = Phase::Starting { epoch: Epoch(5), attempt, proof };
    store.write(&Record { phase, ..Record::fresh(host::boot_id().unwrap()) }).unwrap();
    // What the engine marks a step's shell with.
    let log = host.at("script_cfg1.log");
    let marks = [("FAILOVER_EPOCH", "5"), ("FAILOVER_OPERATION", "takeback"), ("FAILOVER_PEER", "cfg2")];
    let mut step = Command::new("sleep");
    step.arg("600").envs(marks).env("FAILOVER_STEP", "1").env("FAILOVER_SCRIPT_LOG", log).process_group(0);
    let mut step = step.spawn().unwrap();
    let pid = i32::try_from(step.id()).unwrap();
    let (exit, _) = host.stop_here(false).await;
    let left = state(pid);
    step.kill().unwrap();
    step.wait().unwrap();
    assert_eq!(exit.unwrap(), Exit::Ok);
    assert_eq!(left, Some('Z'), "the start step still ran when the stop was stated");
}

#[tokio::test]
async fn a_number_in_the_pid_file_that_holds_no_lock_is_left_alone() {
    let host = Host::new("cat /proc/$(cat master.pid)/stat >during");
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    std::fs::write(host.at("master.pid"), format!("{}\n", other.id())).unwrap();
    let (exit, _) = host.stop_here(false).await;
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(exit.unwrap(), Exit::Ok);
    assert!(host.read("during").contains(") S "), "{}", host.read("during"));
}
