//! What the configuration promises, from text to model.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

const SKETCH: &str = r#"
// The same text on both hosts.
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11", heartbeat: ["192.0.2.11", "10.99.0.11"]),
    slave:  Host(name: "cfg2", address: "192.0.2.12", heartbeat: ["192.0.2.12", "10.99.0.12"]),
    monitor_port: 7890,
    monitor_port_slave: 7891,
    timing: (beat: "200ms", suspect_after: "3s", shutdown_timeout: "60s"),
    proof_of_stop: [Ack, Operator],
    service: (
        shutdown_scripts: ["./shutdown_1.sh >/var/log/foo.log 2>&1", "./shutdown_2.sh"],
        startup_scripts:  ["./mount_store.sh", "./start_dovecot.sh"],
        stopped_when: [NoProcess("dovecot"), PortsClosed([110, 143]), NotMounted("/mail")],
    ),
    checks: [
        Pop3(name: "pop3", user: "canary", password_file: "canary.pass", every: "5s", timeout: "4s", fails: (3, of: 3)),
        Port(name: "imap", port: 143, every: "2s", timeout: "1s", fails: (3, of: 5)),
    ],
    balancer: HaProxy(socket: "192.0.2.5:9999", backend: "pop3", master: "cfg1", slave: "cfg2"),
    notify: Mail(to: ["ops@example.org"], relays: ["mx1.example.org", "mx2.example.net"]),
    objective_outage: "9min",
)
"#;

fn read(text: &str) -> Result<Loaded, Problems> {
    parse(text, Path::new("failover.ron"), Path::new("/etc/failover"))
}

/// The sketch with one piece of text replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(SKETCH.contains(from), "the sketch does not hold {from:?}");
    SKETCH.replacen(from, to, 1)
}

fn good(text: &str) -> Loaded {
    read(text).unwrap_or_else(|problems| panic!("refused:\n{problems}"))
}

fn refused(text: &str) -> Problems {
    match read(text) {
        Err(problems) => problems,
        Ok(loaded) => panic!("accepted: {:?}", loaded.config),
    }
}

#[test]
fn the_sketch_of_the_design_becomes_a_configuration() {
    let config = good(SKETCH).config;
    assert_eq!(config.name, "mail");
    assert_eq!(config.master.heartbeat.len(), 2);
    assert_eq!(config.slave.service_address, config.slave.address);
    assert_eq!(config.heartbeat_port, 7892);
    assert_eq!(config.timing.beat, Duration::from_millis(200));
    assert_eq!(config.timing.kill_after, Duration::from_secs(2));
    assert_eq!(config.proof_of_stop, [Proof::Ack, Proof::Operator]);
    assert_eq!(config.service.directory, PathBuf::from("/etc/failover"));
    assert_eq!(config.service.shutdown_scripts[0].command, "./shutdown_1.sh >/var/log/foo.log 2>&1");
    assert_eq!((config.checks[1].fails, config.checks[1].of), (3, 5));
    let Probe::Pop3(mail) = &config.checks[0].probe else { panic!("{:?}", config.checks[0]) };
    assert_eq!((mail.port, &mail.password_file), (110, &PathBuf::from("/etc/failover/canary.pass")));
    assert_eq!(config.notify.mail.as_ref().map(|mail| mail.relays.len()), Some(2));
    assert_eq!(config.objective_outage, Duration::from_secs(540));
}

#[test]
fn all_problems_are_told_at_once_with_their_places() {
    let text = changed("startup_scripts:  [", "startup_script:  [")
        .replacen("monitor_port: 7890", "monitor_port: \"7890\"", 1)
        .replacen("beat: \"200ms\"", "beat: 200", 1)
        .replacen("objective_outage: \"9min\"", "objective_outage: \"9min\", objective_outage: \"8min\"", 1);
    let problems = refused(&text);
    let shown = problems.to_string();
    for wanted in ["did you mean `startup_scripts`?", "without quotes", "\"200s\" or \"200ms\"", "stands here twice"] {
        assert!(shown.contains(wanted), "{wanted:?} is missing in:\n{shown}");
    }
    let twice = problems.list().iter().find(|problem| problem.message.contains("twice")).expect("a duplicate");
    assert_eq!((twice.line, twice.column), (22, 31), "{shown}");
    assert!(shown.contains("failover.ron:22:31"), "{shown}");
}
