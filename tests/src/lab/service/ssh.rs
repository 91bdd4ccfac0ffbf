//! sshd on a host, with one key pair for the whole lab: the ground of the second way to a silent host.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::lab::{Host, Lab, Running};
use crate::wait::wait_until;

/// The arguments of `ssh`, before the host, with which the pair's hosts reach each other as root.
pub const ARGUMENTS: [&str; 8] = [
    "-i",
    "/etc/failover/ssh_key",
    "-o",
    "UserKnownHostsFile=/etc/failover/ssh_known_hosts",
    "-o",
    "StrictHostKeyChecking=yes",
    "-o",
    "BatchMode=yes",
];

/// Puts keys on both hosts.
///
/// # Errors
/// When `ssh-keygen` fails or a file cannot be written.
pub fn install(lab: &Lab) -> Result<()> {
    let key = lab.folder().join("ssh_key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).output()?;
    ensure!(made.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&made.stderr));
    let private = fs::read_to_string(&key)?;
    let public = fs::read_to_string(key.with_extension("pub"))?;
    // One key for everything: host key, login key, and the known host. It is worth nothing outside the lab.
    let words: Vec<_> = public.split_whitespace().take(2).collect();
    for host in lab.pair() {
        host.write("/etc/failover/ssh_key", &private, 0o600)?;
        host.write("/etc/failover/ssh_authorized_keys", &public, 0o600)?;
        let known: String = lab
            .pair()
            .iter()
            .flat_map(|host| [host.name().to_owned(), host.address().to_string()])
            .map(|name| format!("{name} {}\n", words.join(" ")))
            .collect();
        host.write("/etc/failover/ssh_known_hosts", &known, 0o644)?;
        host.write(
            "/etc/failover/sshd_config",
            "HostKey /etc/failover/ssh_key
AuthorizedKeysFile /etc/failover/ssh_authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
PidFile none
",
            0o600,
        )?;
    }
    Ok(())
}

/// Starts sshd on a host.
///
/// # Errors
/// When it does not listen within 5 s.
pub fn start(host: &Host) -> Result<Running> {
    host.run(&["mkdir", "-p", "/run/sshd"])?;
    let running = host.spawn(&["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/failover/sshd_config"])?;
    wait_until("sshd", Duration::from_secs(5), || Ok(running.stderr().contains("listening on")))?;
    Ok(running)
}
