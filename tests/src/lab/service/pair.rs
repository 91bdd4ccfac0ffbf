//! The product in the lab: its configuration and keys on both hosts, its daemons, and the operator's command.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{dovecot, haproxy, scripts};
use crate::lab::{Cable, Host, Lab, Output, Running};
use crate::program::program;
use crate::settings::{Settings, key_files, list, make_keys};
use crate::wait::wait_for;

/// The configuration file on a host.
pub const CONFIG: &str = "/etc/failover/failover.ron";
/// The names of the two hosts, the master first.
pub const HOSTS: [&str; 2] = ["cfg1", "cfg2"];

/// A pair that moves Dovecot behind HAProxy, with short timers, and with every process that serves mail as evidence.
#[must_use]
pub fn settings(lab: &Lab) -> Settings {
    let host = |host: &Host| {
        let paths = [Cable::Service, Cable::Heartbeat].map(|cable| host.address_on(cable).to_string());
        format!("Host(name: {:?}, address: {:?}, heartbeat: {})", host.name(), paths[0], list(&paths))
    };
    let balancer = lab.balancer.address();
    let relative = |names: &[&str]| list(&names.iter().map(|name| format!("./{name}")).collect::<Vec<_>>());
    let processes = ["dovecot", "pop3-login", "imap-login", "pop3", "imap", "lmtp"];
    let processes: String = processes.iter().map(|name| format!("NoProcess({name:?}), ")).collect();
    Settings::default()
        .pair("name", "\"mail\"")
        .pair("master", host(&lab.cfg1))
        .pair("slave", host(&lab.cfg2))
        .pair("proof_of_stop", "[Ack, Operator]")
        .pair(
            "checks",
            format!(
                "[\n        Pop3(name: \"pop3\", user: \"{}\", password_file: \"canary.pass\", expect: \"{}\", \
                 through: \"{balancer}:110\", every: \"500ms\", timeout: \"500ms\", fails: 2, of: 2),\n        \
                 Port(name: \"imap\", port: 143, every: \"500ms\", timeout: \"500ms\", fails: 2, of: 2),\n    ]",
                dovecot::CANARY,
                dovecot::CANARY_TEXT
            ),
        )
        .pair(
            "balancer",
            format!(
                "HaProxy(socket: \"{balancer}:{}\", backends: {}, master: \"cfg1\", slave: \"cfg2\")",
                haproxy::ADMIN_PORT,
                list(&haproxy::BACKENDS)
            ),
        )
        .pair("notify", "Command(\"./page.sh\")")
        .timing("beat", "100ms")
        .timing("suspect_after", "1s")
        .timing("script_timeout", "5s")
        .timing("shutdown_timeout", "20s")
        .timing("restart_grace", "0ms")
        .timing("kill_after", "500ms")
        .timing("start_verify", "10s")
        .timing("boot_wait", "5s")
        .timing("balancer_timeout", "1s")
        .timing("balancer_every", "1s")
        .service("startup_scripts", relative(&scripts::START))
        .service("shutdown_scripts", relative(&scripts::STOP))
        .service("stopped_when", format!("[{processes}PortsClosed([110, 143, 24]), NotMounted(\"/mail\")]"))
        .service("watch_processes", "[\"dovecot\"]")
}

/// Puts Dovecot, its scripts, the keys, the page script and this configuration on both hosts.
///
/// # Errors
/// When a file cannot be written.
pub fn install(lab: &Lab, settings: &Settings) -> Result<()> {
    dovecot::install(lab)?;
    let keys = lab.folder().join("keys");
    fs::create_dir(&keys)?;
    make_keys(&keys, HOSTS)?;
    for host in lab.pair() {
        scripts::install(host)?;
        // One page a line: the event, then the first line of the text.
        let page = "#!/bin/sh\nread -r line || :\necho \"$FAILOVER_EVENT $line\" >> /var/log/pages.log\n";
        host.write("/etc/failover/page.sh", page, 0o755)?;
        host.write("/etc/failover/canary.pass", &format!("{}\n", dovecot::CANARY_PASSWORD), 0o600)?;
        for file in key_files(host.name(), HOSTS) {
            host.write(&format!("/etc/failover/{file}"), &fs::read_to_string(keys.join(&file))?, 0o600)?;
        }
        configure(host, settings)?;
    }
    Ok(())
}

/// Writes this configuration on one host.
///
/// # Errors
/// When it cannot be written.
pub fn configure(host: &Host, settings: &Settings) -> Result<()> {
    host.write(CONFIG, &settings.text(), 0o644)
}

/// Starts the host's daemon in the foreground: `failover-master` on `cfg1`, `failover-slave` on `cfg2`.
///
/// # Errors
/// When it is not built, or cannot be started.
pub fn start_daemon(host: &Host) -> Result<Running> {
    let name = if host.name() == HOSTS[0] { "failover-master" } else { "failover-slave" };
    let path = program(name)?.display().to_string();
    host.spawn(&[
        &path,
        "--config",
        CONFIG,
        "--state-dir",
        "/var/lib/failover",
        "--run-dir",
        "/run/failover",
        "--log-dir",
        "/var/log/failover",
    ])
}

/// Runs `failoverctl` on the host, whatever its exit code says.
///
/// # Errors
/// When it is not built, or takes longer than `limit`.
pub fn operator(host: &Host, arguments: &[&str], limit: Duration) -> Result<Output> {
    let path = program("failoverctl")?.display().to_string();
    let argv = [&[path.as_str(), "--run-dir", "/run/failover"][..], arguments].concat();
    host.output(&argv, limit)
}

/// What the host's daemon says of itself: `here` of `failoverctl status --json`.
///
/// # Errors
/// When no daemon answers.
pub fn status(host: &Host) -> Result<Value> {
    let output = operator(host, &["status", "--json"], Duration::from_secs(10))?;
    let value: Value = serde_json::from_str(&output.stdout).with_context(|| output.to_string())?;
    value.get("here").cloned().with_context(|| output.to_string())
}

/// Waits until the host's daemon is in this state, and gives its status.
///
/// # Errors
/// When it is not within `limit`: with the newest status and the journal of both hosts.
pub fn wait_for_state(host: &Host, state: &str, limit: Duration) -> Result<Value> {
    let mut newest = Value::Null;
    let outcome = wait_for(&format!("{} to become {state}", host.name()), limit, || {
        newest = status(host)?;
        Ok((newest["state"] == state).then(|| newest.clone()))
    });
    outcome.with_context(|| {
        let history = operator(host, &["history"], Duration::from_secs(10));
        let history = history.map_or_else(|error| error.to_string(), |output| output.to_string());
        format!("newest status: {newest:#}\n{history}")
    })
}

/// The journal of both hosts as this one shows it, oldest first.
///
/// # Errors
/// When no daemon answers or a line is no JSON.
pub fn history(host: &Host) -> Result<Vec<Value>> {
    let output = operator(host, &["history", "--json", "--count", "1000"], Duration::from_secs(10))?;
    output.stdout.lines().map(|line| serde_json::from_str(line).with_context(|| output.to_string())).collect()
}

/// The pages that the host's daemon sent so far.
#[must_use]
pub fn pages(host: &Host) -> Vec<String> {
    let text = fs::read_to_string(host.on_disk("/var/log/pages.log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Starts both daemons and waits until the master runs the service and the slave could take it over.
///
/// # Errors
/// When that does not come about within 30 s.
pub fn start(lab: &Lab) -> Result<[Running; 2]> {
    let daemons = [start_daemon(&lab.cfg1)?, start_daemon(&lab.cfg2)?];
    let limit = Duration::from_secs(30);
    wait_for_state(&lab.cfg1, "Active", limit)?;
    wait_for_state(&lab.cfg2, "Standby", limit)?;
    wait_for("the slave to be ready", limit, || {
        let status = status(&lab.cfg2)?;
        let reasons = status["not_ready"].as_array().cloned().unwrap_or_default();
        ensure!(reasons.is_empty(), "not ready: {reasons:?}");
        Ok(status["readiness_age_ms"].is_u64().then_some(()))
    })?;
    Ok(daemons)
}
