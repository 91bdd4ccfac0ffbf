//! The start scripts for hosts without systemd, run as they are, with this package's `failoverctl`. The daemons are
//! doubles: shell scripts that mark their start and sleep; this test answers on the control socket in their place.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

#[path = "../src/fake/well.rs"]
mod well;

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use failover_shared::control::{Asked, serve, socket_path};
use failover_shared::decision::{Duty, Role};
use failover_shared::status::Severity;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts");

/// A host with a configuration, a folder of programs, and whatever its scripts started.
struct Host {
    folder: tempfile::TempDir,
    role: Role,
    slave_port: u16,
}

impl Host {
    fn new(role: Role, daemon: &str, slave_port: u16) -> Host {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_failoverctl"), bin.join("failoverctl")).unwrap();
        for name in ["failover-master", "failover-slave"] {
            std::fs::write(bin.join(name), format!("#!/bin/sh\n{daemon}\n")).unwrap();
            std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let config = format!(
            r#"Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "127.0.0.11"),
    slave: Host(name: "cfg2", address: "127.0.0.1"),
    monitor_port_slave: {slave_port},
    proof_of_stop: [Ack, Operator],
    service: (startup_scripts: ["true"], shutdown_scripts: ["true"], stopped_when: [NoProcess("nobody")]),
    checks: [Port(name: "pop3", port: 110)],
)"#
        );
        std::fs::write(folder.path().join("failover.ron"), config).unwrap();
        Host { folder, role, slave_port }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, name: &str, argument: &str) -> Command {
        let mut command = Command::new(Path::new(SCRIPTS).join(name));
        let host = if self.role == Role::Master { "cfg1" } else { "cfg2" };
        command.arg(argument).env("FAILOVER_CONFIG", self.at("failover.ron")).env("FAILOVER_HOST", host);
        command.env("FAILOVER_BIN", self.at("bin")).env("FAILOVER_WAIT_FOR_SLAVE", "300ms");
        for (name, folder) in [("STATE", "state"), ("RUN", "run"), ("LOG", "log")] {
            command.env(format!("FAILOVER_{name}_DIR"), self.at(folder));
        }
        command
    }

    /// The script's end, while the control socket answers as soon as the double runs.
    fn run(&self, name: &str, argument: &str) -> (bool, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let script = self.script(name, argument).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let (run_dir, role, marker) = (self.at("run"), self.role, self.at("run/started"));
        let output: Output = runtime.block_on(async {
            let end = tokio::task::spawn_blocking(move || script.wait_with_output().unwrap());
            let answering = tokio::spawn(async move {
                while !marker.exists() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                let (questions, mut asked) = tokio::sync::mpsc::channel(4);
                serve(&socket_path(&run_dir, role), questions).unwrap();
                // As after its start: it never heard its peer, so how the pair is cannot be told.
                let mut status = well::status(role);
                (status.duty, status.peer.heard_age_ms, status.peer.duty) = (Duty::Passive, None, None);
                assert_eq!(status.severity(), Severity::Unknown);
                while let Some(Asked { reply, .. }) = asked.recv().await {
                    // Who asked may have gone.
                    let _ = reply.send(Ok(serde_json::to_value(&status).unwrap()));
                }
            });
            let output = end.await.unwrap();
            answering.abort();
            output
        });
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    fn guardian(&self) -> Option<u32> {
        std::fs::read_to_string(self.at(&format!("run/{}.guardian.pid", self.role))).ok()?.trim().parse().ok()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(pid) = self.guardian() {
            // Most tests have ended it already.
            let _ = Command::new("kill").arg(pid.to_string()).stderr(std::process::Stdio::null()).status();
        }
    }
}

/// Marks its start beside the control socket, as `--run-dir` tells it, and sleeps as one process.
const SLEEPS: &str =
    r#"while [ "$1" != --run-dir ]; do shift; done; trap 'exit 0' TERM; : >"$2/started"; while :; do sleep 0.1; done"#;

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn the_host_name_chooses_the_daemon_and_stop_ends_it() {
    let host = Host::new(Role::Slave, SLEEPS, 7891);
    let (started, text) = host.run("start.sh", "start");
    assert!(started && text.contains("the slave's daemon runs"), "{text}");
    let pid = host.guardian().unwrap();
    assert!(is_alive(pid));

    let (again, text) = host.run("start.sh", "start");
    assert!(again && text.contains("runs already"), "{text}");
    assert_eq!(host.guardian(), Some(pid));

    let (stopped, text) = host.run("start.sh", "stop");
    assert!(stopped && text.contains("the service was not touched"), "{text}");
    let until = Instant::now() + Duration::from_secs(5);
    while is_alive(pid) {
        assert!(Instant::now() < until, "{pid} still lives");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_master_finds_the_slaves_socket_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = Host::new(Role::Master, SLEEPS, listener.local_addr().unwrap().port());
    let (started, text) = host.run("start.sh", "start");
    assert!(started, "{text}");
    assert!(text.contains(&format!("the socket server of cfg2 answers at 127.0.0.1:{}", host.slave_port)), "{text}");
    assert!(!text.contains("starts anyway"), "{text}");
}

#[test]
fn a_dead_slave_does_not_keep_the_master_down() {
    // Bound and closed again: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let host = Host::new(Role::Master, SLEEPS, port);
    let (started, text) = host.run("start.sh", "start");
    assert!(started && text.contains("the master starts anyway"), "{text}");
}

#[test]
fn a_daemon_that_ends_at_once_is_told_with_its_last_words() {
    let host = Host::new(Role::Slave, "echo 'the configuration is refused'; exit 78", 7891);
    let (started, text) = host.run("start.sh", "start");
    assert!(!started, "{text}");
    assert!(text.contains("ended at once") && text.contains("the configuration is refused"), "{text}");
}

#[test]
fn a_host_of_no_role_starts_nothing() {
    let host = Host::new(Role::Slave, SLEEPS, 7891);
    let output = host.script("start.sh", "start").env("FAILOVER_HOST", "elsewhere").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && text.contains("neither the master nor the slave"), "{text}");
    assert_eq!(host.guardian(), None);
}
