//! What a pair in a lab is installed with: keys, certificates, configuration, scripts.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};

use crate::keys::{key_files, make_keys};
use crate::lab::service::{dovecot, haproxy, scripts, ssh};
use crate::lab::{Cable, Host, Lab};

/// The configuration file on a host.
pub const CONFIG: &str = "/etc/failover/failover.ron";

/// Short times, so that a test is over soon.
const TIMING: [(&str, &str); 10] = [
    ("beat", "100ms"),
    ("suspect_after", "1s"),
    ("shutdown_timeout", "8s"),
    ("restart_grace", "500ms"),
    ("script_timeout", "2s"),
    ("kill_after", "300ms"),
    ("start_verify", "8s"),
    ("boot_wait", "3s"),
    ("balancer_timeout", "1s"),
    ("balancer_every", "1s"),
];

/// Which proofs of stop the pair allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proofs {
    /// `[Ack, Operator]`.
    #[default]
    AckOperator,
    /// `[Ack, Operator, Timeout(two_actives_possible: true)]`.
    AckOperatorTimeout,
    /// `[Ack, Lease, Operator]`; the arbiter is written in `more`.
    AckLeaseOperator,
    /// `[Ack, Fence, Operator]`; the devices are written in `more`.
    AckFenceOperator,
}

/// How the pair is set up. The default is a shop's usual one with short times.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Allowed proofs.
    pub proofs: Proofs,
    /// The second way by ssh.
    pub rcmd: bool,
    /// The master takes over when the slave dies while active.
    pub reverse_protection: bool,
    /// The keys of `timing`. What is not there has the program's own default.
    pub timing: BTreeMap<&'static str, &'static str>,
    /// What is checked, instead of a POP3 dialogue and the IMAP port: the entries of `checks`.
    pub checks: Option<String>,
    /// Further lines of the configuration.
    pub more: &'static str,
    /// Post-conditions besides process, ports and mount.
    pub stopped_when: &'static str,
    /// The service's own control group is the only evidence of a stop.
    pub only_cgroup: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            proofs: Proofs::default(),
            rcmd: false,
            reverse_protection: false,
            timing: TIMING.into(),
            checks: None,
            more: "",
            stopped_when: "",
            only_cgroup: false,
        }
    }
}

impl Setup {
    /// With a key of `timing` set to another span.
    #[must_use]
    pub fn with_timing(mut self, key: &'static str, span: &'static str) -> Setup {
        self.timing.insert(key, span);
        self
    }

    /// The configuration's text.
    #[must_use]
    pub fn configuration(&self) -> String {
        let address = |number| Cable::Service.address(number).to_string();
        let second = |number| Cable::Heartbeat.address(number).to_string();
        let (cfg1, cfg2, front) = (address(11), address(12), address(5));
        let (second1, second2) = (second(11), second(12));
        let list = |names: &[&str]| names.iter().map(|name| format!("\"./{name}\"")).collect::<Vec<_>>().join(", ");
        let (start, stop) = (list(&scripts::START), list(&scripts::STOP));
        let proofs = match self.proofs {
            Proofs::AckOperator => "Ack, Operator",
            Proofs::AckOperatorTimeout => "Ack, Operator, Timeout(two_actives_possible: true)",
            Proofs::AckLeaseOperator => "Ack, Lease, Operator",
            Proofs::AckFenceOperator => "Ack, Fence, Operator",
        };
        let rcmd = if self.rcmd {
            let arguments: Vec<String> = ssh::ARGUMENTS.iter().map(|word| format!("{word:?}")).collect();
            // The lab's hosts have no failoverctl in their PATH.
            let ctl = crate::program::program("failoverctl").map(|path| path.display().to_string()).unwrap_or_default();
            format!(
                "rcmd: Rcmd(user: \"root\", ssh_arguments: [{}], remote_command: \"{ctl}\", timeout: \"20s\"),",
                arguments.join(", ")
            )
        } else {
            String::new()
        };
        let Setup { reverse_protection, more, stopped_when, .. } = self;
        let timing: String = self.timing.iter().map(|(key, span)| format!("{key}: \"{span}\", ")).collect();
        let evidence = if self.only_cgroup {
            // Neither process names nor ports: what is not in the group is not seen.
            "cgroup: \"mail\", stopped_when: [CgroupEmpty(\"mail\")],".to_string()
        } else {
            format!(
                r#"stopped_when: [
            // A killed master process leaves children that still serve mail.
            NoProcess("dovecot"), NoProcess("pop3-login"), NoProcess("imap-login"), NoProcess("pop3"), NoProcess("imap"),
            NoProcess("lmtp"), PortsClosed([110, 143, 24]), NotMounted("/mail"){stopped_when}
        ],"#
            )
        };
        let port = haproxy::ADMIN_PORT;
        let backends = haproxy::BACKENDS.map(|name| format!("{name:?}")).join(", ");
        let checks = self.checks.clone().unwrap_or_else(|| checks(&front));
        format!(
            r#"// The pair of the lab: a shop's configuration with short times.
Pair(
    name: "lab",
    master: Host(name: "cfg1", address: "{cfg1}", heartbeat: ["{cfg1}", "{second1}"]),
    slave: Host(name: "cfg2", address: "{cfg2}", heartbeat: ["{cfg2}", "{second2}"]),
    timing: ({timing}),
    proof_of_stop: [{proofs}],
    {rcmd}
    reverse_protection: {reverse_protection},
    service: (
        startup_scripts: [{start}],
        shutdown_scripts: [{stop}],
        {evidence}
        watch_processes: ["dovecot"],
    ),
    checks: [
        {checks}
    ],
    balancer: HaProxy(socket: "{front}:{port}", backends: [{backends}], master: "cfg1", slave: "cfg2"),
    references: [Tcp("{front}:{port}")],
    {more}
)
"#
        )
    }

    /// Puts all of it on both hosts.
    pub(super) fn install(&self, lab: &Lab) -> Result<()> {
        dovecot::install(lab)?;
        if self.rcmd {
            ssh::install(lab)?;
        }
        install_keys(lab)?;
        for host in lab.pair() {
            scripts::install(host)?;
            host.write(CONFIG, &self.configuration(), 0o644)?;
            host.write("/etc/failover/canary.pass", dovecot::CANARY_PASSWORD, 0o600)?;
        }
        Ok(())
    }
}

/// What a shop checks: that mail can be read, and that the other port is open.
fn checks(front: &str) -> String {
    let (canary, expect) = (dovecot::CANARY, dovecot::CANARY_TEXT);
    format!(
        r#"Pop3(
            name: "pop3", user: "{canary}", password_file: "canary.pass", expect: "{expect}",
            through: "{front}:110", every: "1s", timeout: "900ms", fails: 3, of: 3,
        ),
        Port(name: "imap", port: 143, every: "1s", timeout: "900ms", fails: 3, of: 3),"#
    )
}

/// Makes the pair's keys and certificates, and puts on each host what it needs of them.
///
/// # Errors
/// When one of them cannot be made or written.
pub fn install_keys(lab: &Lab) -> Result<()> {
    let keys = lab.folder().join("keys");
    let names = lab.pair().map(Host::name);
    fs::create_dir_all(&keys)?;
    make_keys(&keys, names)?;
    for host in lab.pair() {
        for file in key_files(host.name(), names) {
            let text = fs::read_to_string(keys.join(&file)).with_context(|| file.clone())?;
            host.write(&format!("/etc/failover/{file}"), &text, 0o600)?;
        }
    }
    Ok(())
}
