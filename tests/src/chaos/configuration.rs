//! What the hosts of the chaos are installed with: the toy store as the service, and a lease with short spans.

use std::fs;

use anyhow::Result;

use super::etcd::Etcd;
use super::fault::Keeper;
use crate::lab::service::{haproxy, scripts};
use crate::lab::{Cable, Host, Lab};
use crate::pair::{CONFIG, install_keys};
use crate::program::program;

/// Where the lease's store is mounted on both hosts.
pub const LEASE: &str = "/run/failover-lab/lease";
/// Where the watchdog device is on both hosts.
pub const WATCHDOG: &str = "/run/failover-lab/watchdog";
/// The records' file on the store.
pub const RECORDS: &str = "records";
/// A process name as the kernel keeps it.
pub const SERVICE: &str = "toy-store";

/// What stands behind a silent host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// The lease, with a watchdog that resets the host.
    #[default]
    Watchdog,
    /// The lease, and the guardian alone: a frozen host can make two actives. For the proof that the judge sees them.
    GuardianOnly,
    /// No lease: silence counts as dead. For the same proof.
    Timeout,
}

/// Which spans the lease has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// L = 6 s, W = 6.1 s, written out.
    #[default]
    Short,
    /// L = 60 s.
    Standard,
}

/// A pair for the chaos.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// What keeps its lease.
    pub keeper: Keeper,
    /// What stands behind a silent host.
    pub guard: Guard,
    /// The lease's spans.
    pub profile: Profile,
}

/// Puts configuration, keys and scripts on both hosts.
pub(super) fn install(lab: &Lab, setup: Setup) -> Result<()> {
    install_keys(lab)?;
    for host in lab.pair() {
        host.write(CONFIG, &text(setup), 0o644)?;
        write_scripts(host)?;
    }
    fs::create_dir_all(lab.store())?;
    Ok(())
}

/// The same text on both hosts.
fn text(setup: Setup) -> String {
    let Setup { keeper, guard, profile } = setup;
    let address = |number| Cable::Service.address(number);
    let second = |number| Cable::Heartbeat.address(number);
    let (cfg1, cfg2, second1, second2) = (address(11), address(12), second(11), second(12));
    let front = format!("{}:{}", address(5), haproxy::ADMIN_PORT);
    let guarded = match guard {
        Guard::Watchdog => format!("Watchdog(\"{WATCHDOG}/watchdog\")"),
        _ => "GuardianOnly(host_freeze_can_make_two_actives: true)".to_owned(),
    };
    let profile = match profile {
        Profile::Short => {
            "Hard(renew: \"500ms\", attempt: \"500ms\", stop_after: \"2s\", scripts: \"0s\", kill: \"2s\", \
             watchdog: \"1s\", margin: \"1s\")"
        }
        Profile::Standard => "Standard",
    };
    let place = match keeper {
        Keeper::SharedStorage => format!("SharedStorage(path: {LEASE:?}"),
        Keeper::Etcd => format!("Etcd(endpoints: [{:?}]", Etcd::endpoint(address(9))),
    };
    // Where silence counts as dead, the time-out has to outlast the whole stop list.
    let shutdown_timeout = if guard == Guard::Timeout { "10s" } else { "3s" };
    let (proofs, arbiter) = if guard == Guard::Timeout {
        ("Ack, Timeout(two_actives_possible: true)", String::new())
    } else {
        ("Ack, Lease, Operator", format!("arbiter: {place}, guard: {guarded}, profile: {profile}),"))
    };
    let list = |names: &[&str]| names.iter().map(|name| format!("\"./{name}\"")).collect::<Vec<_>>().join(", ");
    let (start, stop) = (list(&scripts::START), list(&scripts::STOP));
    format!(
        r#"Pair(
    name: "lab",
    master: Host(name: "cfg1", address: "{cfg1}", heartbeat: ["{cfg1}", "{second1}"]),
    slave: Host(name: "cfg2", address: "{cfg2}", heartbeat: ["{cfg2}", "{second2}"]),
    timing: (
        beat: "100ms", suspect_after: "1s", shutdown_timeout: "{shutdown_timeout}", restart_grace: "100ms",
        script_timeout: "3s", kill_after: "300ms", start_verify: "5s", boot_wait: "3s",
        balancer_timeout: "1s", balancer_every: "1s",
    ),
    proof_of_stop: [{proofs}],
    {arbiter}
    reverse_protection: true,
    service: (
        startup_scripts: [{start}],
        shutdown_scripts: [{stop}],
        stopped_when: [NoProcess("{SERVICE}"), PortsClosed([110]), NotMounted("/mail")],
        watch_processes: ["{SERVICE}"],
    ),
    checks: [Port(name: "toy", port: 110, every: "500ms", timeout: "400ms", fails: 3, of: 3)],
    balancer: HaProxy(socket: "{front}", backends: ["pop3"], master: "cfg1", slave: "cfg2"),
    references: [Tcp("{front}")],
)
"#
    )
}

/// Started already, or stopped already, is what was wanted: an interrupted step runs again.
fn write_scripts(host: &Host) -> Result<()> {
    let store = program(SERVICE)?.display().to_string();
    let start = format!(
        "pidof {SERVICE} >/dev/null || setsid -f {store} --records /mail/{RECORDS} </dev/null >/dev/null 2>&1\n"
    );
    // A standby that was frozen may be asked to stop what is gone.
    let stop = format!(
        "pids=$(pidof {SERVICE}) || exit 0\nkill $pids || true\nwhile pidof {SERVICE} >/dev/null; do sleep 0.02; done\n"
    );
    let bodies = [
        (scripts::START[0], "mountpoint -q /mail || mount --bind /store /mail\n"),
        (scripts::START[1], start.as_str()),
        (scripts::START[2], "exit 0\n"),
        (scripts::STOP[0], "exit 0\n"),
        (scripts::STOP[1], stop.as_str()),
        (scripts::STOP[2], "if mountpoint -q /mail; then umount /mail; fi\n"),
    ];
    bodies.iter().try_for_each(|(name, body)| scripts::write(host, name, body))
}
