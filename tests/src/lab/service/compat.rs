//! What scripts of older systems expect, laid out on a host of the lab.

use anyhow::{Context as _, Result};

use crate::lab::Host;
use crate::program::program;

/// Runs `failoverctl compat install --root /` there. `/usr` is the machine's own, so a layer that only this host sees is
/// laid over it first; it is gone with the host's next power cut.
///
/// # Errors
/// When the kernel has no overlay file system, or the command fails.
pub fn install(host: &Host) -> Result<()> {
    host.run(&["mkdir", "-p", "/run/usr/upper", "/run/usr/work"])?;
    let layers = "lowerdir=/usr,upperdir=/run/usr/upper,workdir=/run/usr/work";
    host.run(&["mount", "-t", "overlay", "overlay", "-o", layers, "/usr"]).context("lay a layer over /usr")?;
    let ctl = program("failoverctl")?.display().to_string();
    host.run(&[ctl.as_str(), "compat", "install", "--root", "/"])?;
    Ok(())
}

/// [`install`], stand-ins for programs (place and lines of bash), and sleepers under other names in `/run`: on a host whose
/// old system is to find what it speaks to.
///
/// # Errors
/// When something of it cannot be written there.
pub fn furnish(host: &Host, stand_ins: &[(&str, &str)], sleepers: &[&str]) -> Result<()> {
    install(host)?;
    for (place, text) in stand_ins {
        stand_in(host, place, text)?;
    }
    for name in sleepers {
        host.run(&["cp", "/bin/sleep", &format!("/run/{name}")])?;
    }
    host.run(&["mkdir", "/run/shop"]).map(drop)
}

/// The smallest configuration with these resources, for commands that need no pair.
///
/// # Errors
/// When it cannot be written there.
pub fn configure(host: &Host, resources: &str) -> Result<()> {
    let text = format!(
        r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    timing: (shutdown_timeout: "1h"),
    proof_of_stop: [Operator],
    service: (resources: [{resources}]),
    checks: [Port(name: "web", port: 80)],
)
"#
    );
    host.write("/etc/failover/failover.ron", &text, 0o644)
}

/// A `mount.nfs` that mounts this host's own exports: those in `/run/exports`, as `exportfs -s` prints them.
pub const MOUNT_OWN_EXPORT: &str =
    r#"grep -q "^${1#localhost:} " /run/exports && exec mount --bind "${1#localhost:}" "$2""#;

/// Puts a program of some lines of bash on a host that has [`install`]'s layer over `/usr`.
///
/// # Errors
/// When it cannot be written there.
fn stand_in(host: &Host, place: &str, text: &str) -> Result<()> {
    host.write("/etc/failover/stand-in", &format!("#!/bin/bash\n{text}\n"), 0o755)?;
    host.run(&["cp", "/etc/failover/stand-in", place]).map(drop)
}

/// A network `lan1`, 198.18.77.2/24, on which nothing else depends, with the neighbour 198.18.77.1 in the namespace
/// `next`. He is silent unless he is asked something.
///
/// # Errors
/// When the kernel refuses it.
pub fn quiet_network(host: &Host) -> Result<()> {
    let lines = "ip netns add next && ip link add lan1 type veth peer name lan1 netns next && ip link set lan1 up && \
                 ip addr add 198.18.77.2/24 broadcast + dev lan1 && ip -n next link set lan1 up && \
                 ip -n next addr add 198.18.77.1/24 dev lan1";
    host.run(&["sh", "-c", lines]).map(drop)
}

/// What a command line says, on both its outputs, and then `exit` and its code: as a person at the host sees it.
///
/// # Errors
/// When no shell can be run there.
pub fn said(host: &Host, line: &str) -> Result<String> {
    host.run(&["sh", "-c", &format!("{{ {line}; }} 2>&1; echo exit $?")])
}
