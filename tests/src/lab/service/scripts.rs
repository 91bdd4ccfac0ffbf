//! The ordered scripts of the service, each of which notes its run, so that "each once, in order" can be checked; and the
//! bad ones that faults are made of.

use std::fs;

use anyhow::{Context as _, Result};

use crate::lab::Host;

/// The start scripts, in order.
pub const START: [&str; 3] = ["start_1_mount.sh", "start_2_dovecot.sh", "start_3_ready.sh"];
/// The stop scripts, in order.
pub const STOP: [&str; 3] = ["stop_1_leaving.sh", "stop_2_dovecot.sh", "stop_3_unmount.sh"];

/// Where the runs are noted on each host.
const RUNS: &str = "/var/log/script-runs.log";

/// One run of a script, as it noted it itself when it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptRun {
    /// The script's file name.
    pub script: String,
    /// Nanoseconds since 1970, by the host's clock.
    pub began_ns: u128,
    /// `FAILOVER_EPOCH`, or `-`.
    pub epoch: String,
    /// `FAILOVER_OPERATION`, or `-`.
    pub operation: String,
}

/// Ways in which a script can be bad: bodies for [`write`].
pub mod bad {
    /// Fails at once.
    pub const FAILS: &str = "echo 'this script fails' >&2\nexit 3\n";
    /// Does nothing and says that all is well.
    pub const LIES: &str = "exit 0\n";
    /// Never ends by itself, and does not listen to TERM.
    pub const HANGS: &str = "trap '' TERM\nwhile :; do sleep 1; done\n";
    /// Does the work and leaves a daemonised child that is neither in its session nor in its process group.
    pub const LEAVES_CHILD: &str =
        "doveadm -c /etc/failover/dovecot.conf stop\nsetsid -f sh -c 'exec sleep 3600' </dev/null >/dev/null 2>&1\n";
    /// Starts Dovecot outside the control group that started it: a double of what `systemctl start` does.
    pub const STARTS_ELSEWHERE: &str = "mkdir -p /sys/fs/cgroup/elsewhere
setsid -f sh -c 'echo 0 > /sys/fs/cgroup/elsewhere/cgroup.procs; exec dovecot -F -c /etc/failover/dovecot.conf' \\
  </dev/null >/dev/null 2>&1\n";
}

/// Puts the good scripts on a host, in `/etc/failover`.
///
/// # Errors
/// When a file cannot be written.
pub fn install(host: &Host) -> Result<()> {
    let bodies = [
        (START[0], "mountpoint -q /mail || mount --bind /store /mail\n"),
        // A step that was interrupted by the daemon's death runs again: started already is what was wanted.
        (START[1], "pidof dovecot >/dev/null || dovecot -c /etc/failover/dovecot.conf\n"),
        (START[2], "exit 0\n"),
        (STOP[0], "exit 0\n"),
        // Stopped already is what was wanted: stop scripts can be run twice.
        (STOP[1], "doveadm -c /etc/failover/dovecot.conf stop || ! pidof dovecot >/dev/null\n"),
        (STOP[2], "if mountpoint -q /mail; then umount /mail; fi\n"),
    ];
    bodies.iter().try_for_each(|(name, body)| write(host, name, body))
}

/// Puts one script on a host: it notes its run, then does `body`.
///
/// # Errors
/// When the file cannot be written.
pub fn write(host: &Host, name: &str, body: &str) -> Result<()> {
    let text = format!(
        "#!/bin/sh\nset -eu\necho \"{name} $(date +%s%N) ${{FAILOVER_EPOCH:--}} ${{FAILOVER_OPERATION:--}}\" \
         >> {RUNS}\n{body}"
    );
    host.write(&format!("/etc/failover/{name}"), &text, 0o755)
}

/// All runs on a host so far, in order.
///
/// # Errors
/// When a line is not what a script writes.
pub fn runs(host: &Host) -> Result<Vec<ScriptRun>> {
    let Ok(text) = fs::read_to_string(host.on_disk(RUNS)) else { return Ok(Vec::new()) };
    text.lines()
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let [script, began, epoch, operation] = words[..] else { anyhow::bail!("not a run: {line}") };
            let began_ns = began.parse().with_context(|| format!("not a run: {line}"))?;
            Ok(ScriptRun { script: script.into(), began_ns, epoch: epoch.into(), operation: operation.into() })
        })
        .collect()
}

/// Forgets all runs on a host.
///
/// # Errors
/// When the file cannot be removed.
pub fn forget_runs(host: &Host) -> Result<()> {
    match fs::remove_file(host.on_disk(RUNS)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
