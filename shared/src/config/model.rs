//! The checked configuration: what the rest of the program holds. Only [`super::load`] builds it from text, so a value
//! of these types is one that passed every check.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::arbiter::Arbiter;
use super::copies::StandbyCopy;
use super::fence::{FenceDelay, FenceDevice};
use crate::decision::Role;
use crate::script::{FailoverPolicy, Lists, Script};

/// The whole pair, the same on both hosts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// The pair's name: in every message, so that two pairs on one network never mix.
    pub name: String,
    /// The host that prefers to run the service.
    pub master: Host,
    /// The host that stands by.
    pub slave: Host,
    /// TCP port of the master's socket server. Default 7890 (`MONITOR_PORT` of CPMS).
    pub monitor_port: u16,
    /// TCP port of the slave's socket server. Default 7891 (`MONITOR_PORT_SLAVE` of CPMS).
    pub monitor_port_slave: u16,
    /// UDP port of the heartbeats, on both hosts. Default 7892.
    pub heartbeat_port: u16,
    /// Every timer of the pair.
    pub timing: Timing,
    /// Which proofs of stop may be followed by a start. Never empty.
    pub proof_of_stop: Vec<Proof>,
    /// What grants the lease. Always there if `Lease` is allowed.
    pub arbiter: Option<Arbiter>,
    /// What cuts a silent host off, tried in this order. Never empty if `Fence` is allowed.
    pub fence: Vec<FenceDevice>,
    /// How long each host waits before it fences the other.
    pub fence_delay: FenceDelay,
    /// How the service is started and stopped, and how a stop is verified.
    pub service: Service,
    /// What the stand-by copies from the active host.
    pub copies: Vec<StandbyCopy>,
    /// The health questions.
    pub checks: Vec<Check>,
    /// What moves the clients.
    pub balancer: Balancer,
    /// Who is paged.
    pub notify: Notify,
    /// The second way to a silent host.
    pub rcmd: Option<Rcmd>,
    /// The pre-shared key and the certificates.
    pub security: Security,
    /// The master takes over when the slave dies while active. Default no.
    pub reverse_protection: bool,
    /// How long both hosts must be well before an automatic move is allowed again without `ack`. Default 10 min.
    pub hold_down: Duration,
    /// The outage that the shop accepts; `check` warns when the worst case is longer. Default 9 min.
    pub objective_outage: Duration,
    /// Reference points that tell a host whether it is itself cut off: gateway, store, resolver. The balancer's address
    /// is added by itself.
    pub references: Vec<Reference>,
}

impl Config {
    /// The host that holds `role`.
    #[must_use]
    pub fn host(&self, role: Role) -> &Host {
        match role {
            Role::Master => &self.master,
            Role::Slave => &self.slave,
        }
    }

    /// Where the socket server of `role` listens.
    #[must_use]
    pub fn channel_address(&self, role: Role) -> SocketAddr {
        match role {
            Role::Master => SocketAddr::new(self.master.address, self.monitor_port),
            Role::Slave => SocketAddr::new(self.slave.address, self.monitor_port_slave),
        }
    }

    /// Every fixed address of the other host than the one with `role`.
    #[must_use]
    pub fn peer_addresses(&self, role: Role) -> Vec<IpAddr> {
        let peer = self.host(role.peer());
        peer.heartbeat.iter().copied().chain([peer.address, peer.service_address]).collect()
    }

    /// The role of the host called `name`, by full name or by its part before the first dot.
    #[must_use]
    pub fn role_of(&self, name: &str) -> Option<Role> {
        let same = |host: &Host| host.name == name || name.split('.').next() == Some(host.name.as_str());
        if same(&self.master) {
            Some(Role::Master)
        } else if same(&self.slave) {
            Some(Role::Slave)
        } else {
            None
        }
    }
}

/// One of the two hosts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Host {
    /// Its host name, as `hostname` prints it.
    pub name: String,
    /// The address of its socket server, resolved when the file was loaded.
    pub address: IpAddr,
    /// The addresses of its heartbeat paths; the n-th of the master pairs with the n-th of the slave. Never empty, equally
    /// many on both hosts.
    pub heartbeat: Vec<IpAddr>,
    /// The address at which its service answers directly. Default: `address`.
    pub service_address: IpAddr,
}

/// Every timer. Sums that do not hold are refused at load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// Interval of the heartbeats (η). Default 200 ms.
    pub beat: Duration,
    /// Silence on all paths after which the peer is suspected (δ). Default 3 s.
    pub suspect_after: Duration,
    /// How long the demand may go unacknowledged (CPMS's time-out). Default 60 s.
    pub shutdown_timeout: Duration,
    /// How long a dead service process may take to come back by itself before it counts as failed. Default 5 s.
    pub restart_grace: Duration,
    /// How long a step of a script list may run unless it says otherwise. Default 60 s (FailSafe's long-timeout).
    pub script_timeout: Duration,
    /// Between TERM and KILL in the stop ladder. Default 2 s.
    pub kill_after: Duration,
    /// How long after the last start step the local checks may take to pass. Default 30 s.
    pub start_verify: Duration,
    /// How long a host that boots waits for its peer before it pages. Default 60 s.
    pub boot_wait: Duration,
    /// One call of the balancer. Default 5 s.
    pub balancer_timeout: Duration,
    /// Between two looks at the balancer's own view. Default 10 s.
    pub balancer_every: Duration,
}

/// A kind of proof of stop that the shop allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Proof {
    /// The other host's verified answer.
    Ack,
    /// A fence device that said done, and whose state was read back.
    Fence,
    /// The arbiter's lease has run out by arithmetic.
    Lease,
    /// A named person's word.
    Operator,
    /// Classic CPMS: silence past the time-out counts as dead. Two actives are possible, which the file says in so many
    /// words: `Timeout(two_actives_possible: true)`.
    Timeout,
}

/// How the service starts and stops.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Service {
    /// What is run to start and to stop, in order.
    pub lists: Lists,
    /// Where the service is written as resources: each of them, in the order of the file. They are in `lists` too.
    pub resources: Vec<Script>,
    /// What must hold before a stop is acknowledged.
    pub stopped_when: Vec<Postcondition>,
    /// Where relative script names start. Default: the configuration file's folder.
    pub directory: PathBuf,
    /// The service's control group, if it has one of its own (below the cgroup v2 mount point).
    pub cgroup: Option<PathBuf>,
    /// What to do when the stop list fails: run the ladder, or leave it to the operator.
    pub on_stop_failure: OnStopFailure,
    /// Processes whose death is seen at once: matched by name, as the kernel shows it.
    pub watch_processes: Vec<String>,
    /// Who is asked on which hosts the service may run, and on which first.
    pub failover_policy: Option<FailoverPolicy>,
}

impl Service {
    /// Conditions of a stop behind which something could run unseen by the guardian, as they are written. It runs no
    /// scripts: it sees control groups, processes by name and by descent, and mounts. A unit of systemd descends from
    /// nobody here, and is in a group of its own.
    #[must_use]
    pub fn unseen_by_guardian(&self) -> Vec<String> {
        let has = |seen: &dyn Fn(&Postcondition) -> bool| self.stopped_when.iter().any(seen);
        let shown = self.cgroup.is_some()
            || has(&|condition| {
                matches!(
                    condition,
                    Postcondition::CgroupEmpty(_) | Postcondition::NoProcess(_) | Postcondition::NotMounted(_)
                )
            });
        let is_hidden_unit = |script: &Script| {
            script.kind.unit().is_some_and(|unit| {
                !has(&|condition| matches!(condition, Postcondition::CgroupEmpty(group) if group.ends_with(unit)))
            })
        };
        if self.stopped_when.is_empty() && !shown {
            return vec!["the stop".to_owned()];
        }
        let unseen = |condition: &Postcondition| match condition {
            Postcondition::CgroupEmpty(_) | Postcondition::NoProcess(_) | Postcondition::NotMounted(_) => None,
            Postcondition::NotRunning(script) => {
                (!shown || is_hidden_unit(script)).then(|| format!("NotRunning({:?})", script.name))
            }
            Postcondition::PortsClosed(ports) => (!shown).then(|| format!("PortsClosed({ports:?})")),
            Postcondition::PidFileGone(path) => (!shown).then(|| format!("PidFileGone({path:?})")),
            Postcondition::Command(step) => (!shown).then(|| format!("Command({:?})", step.command)),
        };
        self.stopped_when.iter().filter_map(unseen).collect()
    }
}

/// What follows a failed stop list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum OnStopFailure {
    /// The ladder: TERM, KILL, `cgroup.kill`, unmount; then verify.
    #[default]
    Force,
    /// FailSafe's way: an error that a person clears.
    AskOperator,
}

/// A line for the shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The shell command line, as CPMS wrote it: redirections and all.
    pub command: String,
    /// How long it may run.
    pub timeout: Duration,
}

/// One thing that must hold for the service to count as stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Postcondition {
    /// No process with this name (first 15 bytes, as the kernel keeps it) runs.
    NoProcess(String),
    /// Nothing listens on these TCP ports of the host.
    PortsClosed(Vec<u16>),
    /// Nothing is mounted there.
    NotMounted(PathBuf),
    /// The process named by this pid file is gone.
    PidFileGone(PathBuf),
    /// This control group (below the cgroup v2 mount point) holds no process. No evidence if it was never populated.
    CgroupEmpty(PathBuf),
    /// This command exits 0.
    Command(Step),
    /// This resource says that it does not run here, by its own contract.
    NotRunning(Box<Script>),
}

/// A health question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name in status, log and journal. Unique.
    pub name: String,
    /// What is asked.
    pub probe: Probe,
    /// Between the starts of two rounds.
    pub every: Duration,
    /// How long one round may take. Shorter than or equal to `every`.
    pub timeout: Duration,
    /// Failures among the last `of` rounds that make the verdict `Failed`.
    pub fails: u32,
    /// How many rounds are looked back on.
    pub of: u32,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Probe {
    /// A TCP port answers.
    Port {
        /// The port.
        port: u16,
    },
    /// The whole POP3 dialogue: greeting, login, STAT, RETR of a known message, QUIT.
    Pop3(MailProbe),
    /// IMAP: login, SELECT, FETCH of a known message, LOGOUT.
    Imap(MailProbe),
    /// A command exits 0.
    Command(Step),
    /// A resource of this host says that it runs, by its own contract.
    Resource(Box<ResourceProbe>),
}

/// What a look at a resource needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResourceProbe {
    /// The resource.
    pub script: Script,
    /// How often it is restarted on the same host before its failure counts. A restart that is longer ago than
    /// `hold_down` is forgotten.
    pub restarts: u32,
    /// How long after a start or a restart it is first asked.
    pub start_delay: Duration,
}

/// What a mail check needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MailProbe {
    /// The port. Default 110, 995 with implicit TLS; 143, 993 for IMAP.
    pub port: u16,
    /// The canary's user name.
    pub user: String,
    /// The file that holds its password: mode 0600, refused if looser.
    pub password_file: PathBuf,
    /// Whether and how the connection is encrypted.
    pub tls: MailTls,
    /// Text that the known message must hold, if one is wanted: the newest message is read and searched.
    pub expect: Option<String>,
    /// The balancer's address, if the dialogue is to be held through it as well.
    pub through: Option<SocketAddr>,
}

/// Encryption of a mail check. Certificates are not judged: the question is whether mail can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum MailTls {
    /// Plain text.
    #[default]
    None,
    /// TLS from the first byte.
    Implicit,
    /// STLS / STARTTLS.
    StartTls,
}

/// What moves the clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Balancer {
    /// Nothing: the clients find the active host by themselves.
    None,
    /// HAProxy's runtime socket.
    HaProxy {
        /// A unix path, or `host:port`.
        socket: String,
        /// The backends that hold both servers.
        backends: Vec<String>,
        /// The server's name of the master in each backend.
        master: String,
        /// The server's name of the slave.
        slave: String,
    },
    /// The operational switch of an Alteon, over its command line.
    Alteon {
        /// `host:port` for telnet.
        address: String,
        /// The user, on devices that ask for one.
        user: Option<String>,
        /// The file that holds the password: mode 0600.
        password_file: PathBuf,
        /// Number of the master's real server.
        master: u32,
        /// Number of the slave's real server.
        slave: u32,
        /// Sessions of a host that goes down are removed at once (fastage).
        drop_sessions: bool,
    },
    /// A pair of commands.
    Command {
        /// Run with `FAILOVER_TARGET` (host name), `FAILOVER_TARGET_ROLE` and `FAILOVER_WANTED` (`up`, `drain`, `down`).
        set: Step,
        /// Prints `up`, `drain` or `down` for `FAILOVER_TARGET`.
        observe: Step,
    },
}

/// Who is paged, and how. Never in the way of a move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Notify {
    /// By mail.
    pub mail: Option<MailNotify>,
    /// By a command that gets the page on its standard input and `FAILOVER_EVENT` in its environment.
    pub command: Option<Step>,
}

/// Pages by mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MailNotify {
    /// Receivers.
    pub to: Vec<String>,
    /// Sender. Default `failover@<host name>`.
    pub from: Option<String>,
    /// Relays as `host` or `host:port`, tried in order.
    pub relays: Vec<String>,
    /// User and password file for the relays that ask.
    pub login: Option<(String, PathBuf)>,
    /// TLS: none, required STARTTLS, or from the first byte.
    pub tls: MailTls,
}

/// The second way to a silent host: the system's `ssh` runs `failoverctl stop-here` there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rcmd {
    /// The remote login user (`RLOGIN_USER` of CPMS). Keys or agent only: there is no password.
    pub user: String,
    /// Extra arguments of `ssh`, before the host.
    pub ssh_arguments: Vec<String>,
    /// The remote command, if not `failoverctl`.
    pub remote_command: String,
    /// How long it may take altogether.
    pub timeout: Duration,
}

/// The pre-shared key and the certificates; all beside the configuration file unless named otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Security {
    /// The pre-shared key: `pair.key`, mode 0600.
    pub key_file: PathBuf,
    /// A key that is accepted too while keys are changed: `pair.key.old`, if it is there.
    pub old_key_file: PathBuf,
    /// The own private key: `<host>.key.pem`, mode 0600. One a host: the file's name says which.
    pub certificate_directory: PathBuf,
}

/// A reference point for self-doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Reference {
    /// A TCP connection is accepted, or refused by a host that lives.
    Tcp(SocketAddr),
    /// The path can be looked at within two seconds.
    Path(PathBuf),
}
