//! What the configuration promises, from text to model.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::script::Operation;

mod arbiter;
mod copies;
mod examples;
mod fence;
mod files;
mod machine;
mod outage;
mod refusals;
mod scripts;
mod syntax;

/// The sketch of the design, without its lease.
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

/// Every key and every variant that there is, once.
const EVERYTHING: &str = r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1.example.org", address: "192.0.2.11", heartbeat: ["192.0.2.11"], service_address: "192.0.2.21"),
    slave: (name: "cfg2.example.org", address: "192.0.2.12", heartbeat: ["192.0.2.12"], service_address: "192.0.2.22"),
    monitor_port: 1, monitor_port_slave: 2, heartbeat_port: 3,
    timing: Timing(
        beat: "1s", suspect_after: "3s", shutdown_timeout: "1h", restart_grace: "0s", script_timeout: "1min 30s",
        kill_after: "1s", start_verify: "1s", boot_wait: "3s", balancer_timeout: "5s", balancer_every: "1s",
    ),
    proof_of_stop: [Ack, Fence, Lease, Operator, Timeout(two_actives_possible: true)],
    arbiter: Etcd(
        endpoints: ["https://192.0.2.21:2379", "https://etcd2:2379"], prefix: "/pairs", user: "failover",
        password_file: "etcd.pass", ca_file: "etcd-ca.pem", client_certificate_file: "etcd.pem",
        client_key_file: "etcd.key", drift_permille: 20, guard: Watchdog(device: "/dev/watchdog1", accept_softdog: true),
        profile: Hard(
            renew: "10s", attempt: "5s", stop_after: "1min", scripts: "2min", kill: "5s", watchdog: "10s", margin: "3s",
        ),
        reset: Command(["/sbin/reboot", "-n", "-f"]),
    ),
    fence: [
        Agent(
            agent: "fence_ipmilan", options: {"lanplus": "1"}, options_file: "fence.options", timeout: "20s",
            master: {"ip": "192.0.2.31"}, slave: {"ip": "192.0.2.32"},
        ),
        Command(status: "./f.sh status", off: Step(command: "./f.sh off", timeout: "9s"), on: "./f.sh on", timeout: "8s"),
    ],
    fence_delay: FenceDelay(master: "1s", slave: "9s"),
    service: Service(
        startup_scripts: [
            "./a.sh", Step(command: "./b.sh", timeout: "7s"),
            [Plain(name: "c", command: ["/bin/c", "x"], run_as: "mail"), Plain(command: ["/bin/d"])],
            FailSafe1(script: "/e", testing: true, instances: {"e1": {"mount-point": "/shared"}}),
            ClusterManager(script: "/s", function: "s"), FailSafe2(name: "f", resource_type: "/f", attributes: {"monitor-level": 2}),
            Ocf(agent: "x/Y", parameters: {"ip": "192.0.2.30"}, secret_parameters: {"password": "y.pass"}, check_level: 10),
            Lsb(script: "/etc/init.d/l"), Systemd(unit: "u", manager: User),
        ],
        shutdown_scripts: [r"./c.sh \d"],
        stopped_when: [
            NoProcess("dovecot"), PortsClosed([110]), NotMounted("/mail"), PidFileGone("/run/d.pid"),
            CgroupEmpty("/sys/fs/cgroup/system.slice/dovecot.service"), Command(Step(command: "./s.sh", timeout: "1s")),
        ],
        directory: "scripts", cgroup: Some("system.slice/dovecot.service"), on_stop_failure: AskOperator,
        watch_processes: ["dovecot"],
    ),
    copies: [Copy(name: "users", command: "./copy.sh", timeout: "2min", every: "5min", max_age: "7min", when_old: Asks)],
    checks: [
        Pop3(name: "a", every: "5s", timeout: "5s", fails: 1, of: 2, port: 110, user: "u", password_file: "p",
             tls: StartTls, expect: "x", through: None),
        Imap(name: "b", user: "u", password_file: "/p", tls: Implicit, through: Some("[2001:db8::5]:993")),
        Port(name: "c", port: 25),
        Command(name: "d", command: "./check.sh"),
    ],
    balancer: Command(set: "./set.sh", observe: Step(command: "./observe.sh")),
    notify: [
        Mail(to: ["a@b"], from: "c@d", relays: ["mx:25"], login: (user: "u", password_file: "p"), tls: StartTls),
        Command("./page.sh"),
    ],
    rcmd: Rcmd(user: "u", ssh_arguments: ["-v"], remote_command: "/usr/bin/failoverctl", timeout: "9s"),
    security: Security(key_file: "k", old_key_file: "o", certificate_directory: "/c"),
    reverse_protection: true, hold_down: "1min", objective_outage: "2h",
    references: [Tcp("192.0.2.1:53"), Path("/mail")],
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
    assert_eq!(
        config.service.lists.giveaway[0][0].title(Operation::Giveaway),
        "./shutdown_1.sh >/var/log/foo.log 2>&1"
    );
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

#[test]
fn every_kind_of_key_is_read() {
    let config = good(EVERYTHING).config;
    assert_eq!(config.service.stopped_when.len(), 6);
    assert_eq!(config.service.cgroup, Some(PathBuf::from("system.slice/dovecot.service")));
    assert_eq!(config.service.on_stop_failure, OnStopFailure::AskOperator);
    let step = &config.service.lists.takeover[1][0];
    assert_eq!((step.title(Operation::Takeover), step.limit()), ("./b.sh".to_owned(), Duration::from_secs(7)));
    let Probe::Imap(imap) = &config.checks[1].probe else { panic!("{:?}", config.checks[1]) };
    assert_eq!((imap.port, imap.tls), (993, MailTls::Implicit));
    assert_eq!(imap.through.map(|through| through.to_string()).as_deref(), Some("[2001:db8::5]:993"));
    assert_eq!((config.checks[2].timeout, config.checks[2].of), (Duration::from_secs(5), 3));
    assert!(matches!(&config.balancer, Balancer::Command { set, .. } if set.timeout == Duration::from_secs(5)));
    assert!(config.notify.mail.is_some() && config.notify.command.is_some());
    assert_eq!(config.references.len(), 2);
    assert!(config.reverse_protection && config.rcmd.is_some());
}

#[test]
fn the_fastest_detector_of_the_design_is_allowed() {
    let config =
        good(&changed("beat: \"200ms\", suspect_after: \"3s\"", "beat: \"2ms\", suspect_after: \"28ms\"")).config;
    assert_eq!((config.timing.beat.as_millis(), config.timing.suspect_after.as_millis()), (2, 28));
}

#[test]
fn two_loopback_addresses_make_a_pair() {
    let text =
        SKETCH.replace("192.0.2.11", "127.0.1.1").replace("192.0.2.12", "127.0.1.2").replace("10.99.0.", "127.0.2.");
    good(&text);
}

#[test]
fn the_whole_configuration_tells_where_each_value_came_from() {
    let loaded = good(SKETCH);
    let find = |key: &str| loaded.resolved().iter().find(|value| value.key == key).unwrap_or_else(|| panic!("{key}"));
    assert_eq!(find("timing.beat").origin, Origin::Written { line: 9 });
    assert_eq!(find("timing.beat").value, "\"200ms\"");
    assert_eq!(
        (find("timing.kill_after").origin, find("timing.kill_after").value.as_str()),
        (Origin::Default, "\"2s\"")
    );
    assert_eq!((find("balancer").value.as_str(), find("checks[imap]").value.as_str()), ("HaProxy", "Port"));
    assert_eq!((find("references").origin, find("references").value.as_str()), (Origin::Default, "[]"));
    assert_eq!(find("checks[imap].of").value, "5");
    assert_eq!(find("checks[pop3].port").origin, Origin::Default);
    assert_eq!(find("slave.service_address").value, "\"192.0.2.12\"");
    assert_eq!(find("security.key_file").value, "\"/etc/failover/pair.key\"");
}

#[test]
fn layout_comments_and_order_leave_the_fingerprint_alone_and_values_do_not() {
    let loaded = good(SKETCH);
    let same = SKETCH.replace("    monitor_port: 7890,\n", "").replace("Pair(", "/* moved */ Pair(monitor_port: 7890,");
    assert_eq!(good(&same).digest, loaded.digest);
    // A default that is written out is another text.
    assert_ne!(good(&changed("Pair(", "Pair(heartbeat_port: 7892,")).digest, loaded.digest);
    let other = good(&changed("port: 143, every: \"2s\"", "port: 143, every: \"3s\"").replace("200ms", "100ms"));
    assert_ne!(other.digest, loaded.digest);
    assert_eq!(differing_keys(&loaded.key_digests, &other.key_digests), ["checks[imap].every", "timing.beat"]);
}

#[test]
fn relative_files_start_at_the_configurations_folder_whatever_the_working_folder_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("failover.ron");
    std::fs::write(&path, SKETCH).unwrap();
    let config = load(&path).unwrap_or_else(|problems| panic!("{problems}")).config;
    assert_eq!(config.security.key_file, dir.path().join("pair.key"));
    let missing = load(&dir.path().join("none.ron")).expect_err("a missing file was loaded").to_string();
    assert!(missing.contains("none.ron") && missing.contains("cannot be read"), "{missing}");
}
