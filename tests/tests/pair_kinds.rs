//! A service of one step of each kind of script, in a pair that fails over and back.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use failover_shared::decision::Role;
use failover_tests::lab::Host;
use failover_tests::lab::service::compat;
use failover_tests::pair::{Pair, Setup, own_service};
use nix::sys::signal::Signal;

/// One resource of each kind: its name, its entry, and what shows that it runs on a host. The examples that are handed
/// out are what is run.
const KINDS: [(&str, &str, Trace); 8] = [
    (
        "cpms",
        r#"start: "STEP_FILE=/run/cpms ./step.sh start >/run/cpms.log 2>&1", stop: "STEP_FILE=/run/cpms ./step.sh stop",
           status: "STEP_FILE=/run/cpms ./step.sh status""#,
        Trace::File("/run/cpms"),
    ),
    (
        "plain",
        r#"start: ["env", "STEP_FILE=/run/plain", "./step.sh", "start"],
           stop: ["env", "STEP_FILE=/run/plain", "./step.sh", "stop"],
           status: ["env", "STEP_FILE=/run/plain", "./step.sh", "status"]"#,
        Trace::File("/run/plain"),
    ),
    ("appclass", r#"script: "/var/ha/resources/appclass""#, Trace::File("/run/appclass.1")),
    (
        "action-scripts",
        r#"resource_type: "/usr/lib/failsafe/resource_types/template", attributes: {"command": "/run/web 86400"}"#,
        Trace::Process("web"),
    ),
    ("user-script", r#"script: "/usr/lib/clumanager/template", function: "myapp""#, Trace::File("/run/myapp.running")),
    ("agent", r#"agent: "example/web", parameters: {"state": "/run/agent"}"#, Trace::File("/run/agent")),
    ("init-script", r#"script: "/etc/failover/lsb.sh", timeout: "8s""#, Trace::File("/run/myapp.pid")),
    ("unit", r#"unit: "example.service", timeout: "8s""#, Trace::Process("unit")),
];
const WORDS: [&str; 8] = ["Step", "Plain", "FailSafe1", "FailSafe2", "ClusterManager", "Ocf", "Lsb", "Systemd"];

/// What a script leaves while its resource runs.
enum Trace {
    File(&'static str),
    Process(&'static str),
}

/// What the stand-in for systemctl runs: the unit's process, in a control group of its own as systemd would have it.
const UNIT_START: &str = "#!/bin/sh
group=/sys/fs/cgroup/system.slice/example.service
grep -q '^populated 1' $group/cgroup.events 2>/dev/null && exit 0
mkdir -p $group
setsid -f sh -c 'echo 0 >\"$0/cgroup.procs\"; exec /run/unit 86400' $group </dev/null >/dev/null 2>&1
for _ in 1 2 3 4 5 6 7 8 9; do
    grep -q '^populated 1' $group/cgroup.events && exit 0
    sleep 0.1
done
exit 1
";
const UNIT_STOP: &str = "#!/bin/sh
group=/sys/fs/cgroup/system.slice/example.service
[ ! -e $group ] || echo 1 >$group/cgroup.kill
for _ in 1 2 3 4 5 6 7 8 9; do
    grep -q '^populated 1' $group/cgroup.events 2>/dev/null || exit 0
    sleep 0.1
done
exit 1
";

/// Puts the examples and the stand-in for systemctl on a host.
fn furnish(host: &Host) -> Result<()> {
    compat::install(host)?;
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = |path: &str| fs::read_to_string(project.join(path)).with_context(|| path.to_owned());
    for (name, text, place) in [
        ("step.sh", text("scripts/examples/step.sh")?, ""),
        ("lsb.sh", text("scripts/examples/lsb.sh")?, ""),
        ("ocf.sh", text("scripts/examples/ocf.sh")?, "/usr/lib/ocf/resource.d/example/web"),
        ("systemctl", text("tests/src/lab/service/systemctl.sh")?, "/usr/local/bin/systemctl"),
        ("example.service", text("scripts/examples/systemd.service")?, "/run/systemd/system/example.service"),
        ("unit-start", UNIT_START.to_owned(), "/run/stand-in/example.service.start"),
        ("unit-stop", UNIT_STOP.to_owned(), "/run/stand-in/example.service.stop"),
        ("unit-group", "/system.slice/example.service\n".to_owned(), "/run/stand-in/example.service.group"),
        ("unit-state", "inactive\n".to_owned(), "/run/stand-in/example.service.state"),
    ] {
        host.write(&format!("/etc/failover/{name}"), &text, 0o755)?;
        if !place.is_empty() {
            host.run(&["install", "-D", &format!("/etc/failover/{name}"), place])?;
        }
    }
    for name in ["web", "unit"] {
        host.run(&["cp", "/bin/sleep", &format!("/run/{name}")])?;
    }
    Ok(())
}

/// The names of the resources that left their trace on the host.
fn running(host: &Host) -> Result<Vec<&'static str>> {
    let processes = host.processes()?;
    let there = |trace: &Trace| match trace {
        Trace::File(path) => host.run(&["test", "-e", path]).is_ok(),
        Trace::Process(name) => processes.iter().any(|process| process.name == *name),
    };
    Ok(KINDS.iter().filter(|(_, _, trace)| there(trace)).map(|(name, ..)| *name).collect())
}

#[test]
fn a_service_of_one_step_of_each_kind_fails_over_and_back() -> Result<()> {
    let test = "a_service_of_one_step_of_each_kind_fails_over_and_back";
    let Some(mut pair) = Pair::install(test, &Setup::default())? else { return Ok(()) };
    for host in pair.lab.pair() {
        furnish(host)?;
    }
    let entries = KINDS.iter().zip(WORDS).map(|((name, keys, _), word)| format!("{word}(name: \"{name}\", {keys}),"));
    // FailSafe 1 knows no question whether it runs.
    let checks = KINDS.iter().filter(|(name, ..)| *name != "appclass");
    let checks =
        checks.map(|(name, ..)| format!("Resource(name: \"{name}-runs\", resource: \"{name}\", every: \"2s\"),"));
    pair.use_resources(&format!("{}{}", entries.collect::<String>(), own_service()), "", &checks.collect::<String>())?;
    pair.come_up()?;
    let all: Vec<&str> = KINDS.iter().map(|(name, ..)| *name).collect();
    let none: Vec<&str> = Vec::new();
    let here = |role: Role| running(pair.host(role));
    assert_eq!((here(Role::Master)?, here(Role::Slave)?), (all.clone(), none.clone()), "{}", pair.story());

    pair.lab.cfg1.signal("dovecot", Signal::SIGKILL)?;
    pair.wait_active(Role::Slave)?;
    assert_eq!((here(Role::Master)?, here(Role::Slave)?), (none.clone(), all.clone()), "{}", pair.story());
    pair.wait_readable()?;

    pair.wait_for(Role::Master, "the master to be ready", |status| {
        status.not_ready.is_empty() && status.readiness_age_ms.is_some()
    })?;
    pair.order(Role::Master, &["takeback"])?;
    pair.wait_active(Role::Master)?;
    assert_eq!((here(Role::Master)?, here(Role::Slave)?), (all, none), "{}", pair.story());
    Ok(())
}
