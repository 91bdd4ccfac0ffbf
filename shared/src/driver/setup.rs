//! From flags to a running loop: reads, checks and opens everything, in the order in which it is needed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nix::fcntl::{Flock, FlockArg};
use tokio::sync::mpsc;

use super::arbitration::Arbitration;
use super::copies::Copies;
use super::disk::{self, Disk};
use super::fences::Fences;
use super::guarding::{self, Guarding};
use super::left::{self, JOURNAL_ENTRIES, left_by_steps};
use super::turn::{Driver, Sources};
use super::{Settings, balancing::Balancing, entries, service::ServiceWork, signals, watch::Watch};
use crate::channel::{self, ClientSettings, Listener, PeerClient, ServerSettings};
use crate::config::{self, Config, Loaded, Proof};
use crate::decision::{BootId, Millis, Node, Policy, Record, Role, StateName};
use crate::heartbeat::{Heartbeat, HeartbeatSettings};
use crate::journal::{Journal, JournalSize};
use crate::key::KeyRing;
use crate::notify::{self, Pager};
use crate::script::{Operation, limit};
use crate::secret::Secret;
use crate::store::{self, Store};
use crate::wire::HeaderSource;
use crate::{clock, control, host, provision};

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The configuration is refused.
    #[error("{0}")]
    Config(config::Problems),
    /// This host is not the one that the daemon is for.
    #[error(
        "this host is called {host:?}, but the {role} of the pair is {expected:?}; start the right daemon, or give --host"
    )]
    WrongHost {
        /// What this host is called.
        host: String,
        /// The daemon's role.
        role: Role,
        /// Who should have it.
        expected: String,
    },
    /// A daemon runs already.
    #[error("a daemon for the {role} already runs with {path}; end it first (SIGTERM), or give another --run-dir")]
    AlreadyRuns {
        /// Its role.
        role: Role,
        /// Its pid file.
        path: PathBuf,
    },
    /// Something the daemon needs could not be had.
    #[error("{what}: {source}")]
    Needs {
        /// What, in words.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl DriverError {
    /// The operator has to mend something first; a restart alone would not help (sysexits.h, `EX_CONFIG`).
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            DriverError::Config(_) | DriverError::WrongHost { .. } | DriverError::AlreadyRuns { .. } => true,
            DriverError::Needs { .. } => false,
        }
    }
}

fn needs<E: Into<Box<dyn std::error::Error + Send + Sync>>>(what: impl Into<String>) -> impl FnOnce(E) -> DriverError {
    let what = what.into();
    move |source| DriverError::Needs { what, source: source.into() }
}

/// Runs a daemon until a signal ends it.
///
/// # Errors
/// When it cannot start: see [`DriverError`].
pub async fn run(settings: Settings) -> Result<(), DriverError> {
    host::name_process(settings.role);
    let path = settings.config.clone();
    let loaded = tokio::task::spawn_blocking(move || config::load(&path))
        .await
        .map_err(needs("the configuration was not read"))?
        .map_err(DriverError::Config)?;
    let loaded = Arc::new(loaded);
    let config = &loaded.config;
    let role = settings.role;
    check_host(&settings, config)?;
    for folder in [&settings.state_dir, &settings.run_dir, &settings.log_dir] {
        std::fs::create_dir_all(folder).map_err(needs(format!("cannot make the folder {}", folder.display())))?;
    }
    let _pid_file = take_pid_file(&settings.run_dir.join(format!("{role}.pid")), role)?;
    let signals = signals::listen().map_err(needs("cannot listen for signals"))?;

    let boot = host::boot_id().map_err(needs("cannot tell this kernel start from others"))?;
    let incarnation = host::incarnation().map_err(needs("cannot draw a random number"))?;
    let (inputs, input_queue) = mpsc::channel(1024);
    let (state_file, journal_file) = disk::files(&settings.state_dir, role);
    let mut troubles = std::collections::BTreeMap::new();

    let own_name = config.host(role).name.clone();
    let (store, remembered) = Store::open::<Record>(&state_file, &own_name, &config.name)
        .map_err(needs(format!("cannot open the state {}", state_file.display())))?;
    let record = match remembered {
        store::Loaded::Valid(record) => Some(after_reboot(record, boot)),
        store::Loaded::Fresh => None,
        store::Loaded::Torn { detail } => {
            troubles.insert(
                "state",
                format!("the state file was damaged ({detail}): nothing is remembered, so this host begins passive"),
            );
            None
        }
        store::Loaded::OfAnotherHost { host, pair } => {
            troubles.insert(
                "state",
                format!(
                    "the state file belongs to host {host} of pair {pair}: it is not used, so this host begins passive"
                ),
            );
            None
        }
    };
    let (journal, recovered) = Journal::open(&journal_file, JournalSize::default())
        .map_err(needs(format!("cannot open the journal {}", journal_file.display())))?;
    if recovered.torn_bytes + recovered.spoiled_lines > 0 {
        tracing::warn!(?recovered, "the journal was damaged; what is whole is kept");
    }
    crate::process::keep_descriptors_from_children()
        .unwrap_or_else(|error| tracing::debug!(%error, "inherited descriptors stay open in scripts"));
    let resume = journal.tail(JOURNAL_ENTRIES).unwrap_or_default();
    let left = Arc::new(Mutex::new(left_by_steps(&resume, boot)));
    let known_left = left.clone();
    let known = move || left::again(&known_left, boot);
    let disk = Disk::start(store, journal, inputs.clone(), known).map_err(needs("no thread for the disk"))?;

    let folder = &config.security.certificate_directory;
    let keys = key_ring(config)?;
    let identity = provision::load_identity(folder, &own_name).map_err(needs("the own certificate is not usable"))?;
    let peer_name = &config.host(role.peer()).name;
    let peer_certificate =
        provision::peer_certificate(folder, peer_name).map_err(needs("the peer's certificate is not usable"))?;

    let header = Arc::new(HeaderSource::new(&config.name, role, boot, incarnation));
    header.set_digest(loaded.digest);
    let address = config.channel_address(role);
    let listener = Listener::bind(address).map_err(needs(format!("cannot listen on {address}")))?;
    let (incoming_sender, incoming) = mpsc::channel(64);
    let channel_counters = Arc::new(channel::Counters::default());
    let server = ServerSettings {
        identity,
        headers: header.clone(),
        keys: keys.clone(),
        peer_addresses: config.peer_addresses(role),
        limits: channel::Limits::default(),
        counters: channel_counters.clone(),
    };
    let server = channel::serve(listener, server, incoming_sender).map_err(needs("the socket server did not start"))?;
    tokio::spawn(server);
    let peer = Arc::new(
        PeerClient::new(ClientSettings {
            peer: config.channel_address(role.peer()),
            local: Some(config.host(role).address),
            peer_certificate,
            headers: header.clone(),
            keys: keys.clone(),
            counters: channel_counters.clone(),
        })
        .map_err(needs("the channel to the peer cannot be prepared"))?,
    );
    let heartbeat = Heartbeat::start(HeartbeatSettings {
        paths: paths(config, role),
        interval: config.timing.beat,
        pair: config.name.clone(),
        role,
        keys: keys.clone(),
        incarnation,
    })
    .map_err(needs("the heartbeats did not start"))?;

    let (asked_sender, asked) = mpsc::channel(32);
    control::serve(&control::socket_path(&settings.run_dir, role), asked_sender)
        .map_err(needs("the control socket did not start"))?;
    let (balancing, trouble) = Balancing::start(config, role, inputs.clone());
    if let Some(trouble) = trouble {
        troubles.insert("balancer", trouble);
    }
    let spool = settings.state_dir.join("pages");
    let place = notify::Place { spool: &spool, host: &own_name, pair: &config.name, folder: &config.service.directory };
    let pager = Pager::start(&config.notify, place).map_err(needs("the pager did not start"))?;

    let (arbitration, trouble) = Arbitration::start(config, role, boot, inputs.clone());
    if let Some(trouble) = trouble {
        troubles.insert("arbiter", trouble);
    }
    let fences = Fences::start(&loaded, role, inputs.clone());
    let plan = guarding::plan(config).await;
    let guarding = Guarding::start(config, &plan, &settings.run_dir, role, boot);
    let mut first = Vec::new();
    let node =
        Node::new(policy(&loaded, role), boot, incarnation, record, guarding.remembered(), clock::now(), &mut first);
    let service = ServiceWork::new(&settings, boot, loaded.clone(), disk.clone(), inputs.clone(), resume, left);
    if node.state().name() == StateName::Active {
        service.runs_already();
    }
    let watch = Watch::start(&settings, &loaded, role, inputs.clone());
    let place = (role, boot);
    let copies = Copies::start(&loaded, place, &settings.state_dir, service.lock(), disk.clone(), inputs.clone());
    let restarts = std::env::var("FAILOVER_RESTARTS").unwrap_or_default();
    disk.note(entries::entry(
        "daemon",
        &format!("the {role}'s daemon started in state {:?}", node.state().name()),
        &[
            ("version", serde_json::json!(env!("CARGO_PKG_VERSION"))),
            ("restarts", serde_json::json!(restarts)),
            // On a busy host, ordinary priority is where a silence that was none comes from.
            ("beats", serde_json::json!(heartbeat.privileges())),
        ],
    ));
    tracing::info!(%role, beats = heartbeat.privileges(), state = ?node.state().name(), %address, "the daemon runs");
    let mut driver = Driver::new(super::turn::Parts {
        settings,
        loaded,
        boot,
        node,
        heartbeat,
        header,
        keys,
        channel_counters,
        peer,
        disk,
        service,
        watch,
        copies,
        balancing,
        arbitration,
        guarding,
        fences,
        pager,
        inputs,
        troubles,
    });
    driver.run(Sources { inputs: input_queue, incoming, asked, signals }, first).await;
    Ok(())
}

/// The core's rules from the configuration.
#[must_use]
pub(super) fn policy(loaded: &Loaded, role: Role) -> Policy {
    let config = &loaded.config;
    let timing = &config.timing;
    let allows = |proof| config.proof_of_stop.contains(&proof);
    let millis = |span: std::time::Duration| Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    let start = limit(config.service.lists.of(Operation::start_of(role)));
    let slack = std::time::Duration::from_secs(10);
    Policy {
        role,
        digest: loaded.digest,
        proof_ack: allows(Proof::Ack),
        proof_operator: allows(Proof::Operator),
        proof_timeout: allows(Proof::Timeout),
        proof_lease: allows(Proof::Lease),
        proof_fence: allows(Proof::Fence),
        lease: config.arbiter.as_ref().map(|arbiter| arbiter.times),
        fence_delay_ms: millis(config.fence_delay(role)),
        fence_limit_ms: millis(config.fence_limit() + slack),
        hold_failed_stop: config.service.on_stop_failure == config::OnStopFailure::AskOperator,
        rcmd: config.rcmd.is_some(),
        reverse_protection: config.reverse_protection,
        suspect_after_ms: millis(timing.suspect_after),
        shutdown_timeout_ms: millis(timing.shutdown_timeout),
        start_limit_ms: millis(start + timing.start_verify + slack),
        stop_limit_ms: millis(config::stop_limit(timing, &config.service) + slack),
        boot_wait_ms: millis(timing.boot_wait),
        hold_down_ms: millis(config.hold_down),
    }
}

/// How long the host was off only the wall clock can tell.
fn after_reboot(mut record: Record, boot: BootId) -> Record {
    if record.boot != boot {
        record.maintenance = record.maintenance.map(|order| Box::new(order.shortened(clock::utc_s())));
    }
    record
}

fn check_host(settings: &Settings, config: &Config) -> Result<(), DriverError> {
    let host = match &settings.host {
        Some(host) => host.clone(),
        None => host::name().map_err(needs("cannot tell this host's name"))?,
    };
    if config.role_of(&host) == Some(settings.role) {
        return Ok(());
    }
    let expected = config.host(settings.role).name.clone();
    Err(DriverError::WrongHost { host, role: settings.role, expected })
}

/// The n-th address of one host with the n-th of the other.
fn paths(config: &Config, role: Role) -> Vec<(SocketAddr, SocketAddr)> {
    let port = config.heartbeat_port;
    let own = config.host(role).heartbeat.iter();
    let theirs = config.host(role.peer()).heartbeat.iter();
    own.zip(theirs).map(|(from, to)| (SocketAddr::new(*from, port), SocketAddr::new(*to, port))).collect()
}

/// The pair's key, and the old one while keys are changed.
pub(super) fn key_ring(config: &Config) -> Result<KeyRing, DriverError> {
    let unusable = "the pair's key is not usable";
    let current = provision::load_pair_key(&config.security.key_file).map_err(needs(unusable))?;
    let old_file = &config.security.old_key_file;
    let old = if old_file.exists() {
        Some(provision::load_pair_key(old_file).map_err(needs("the pair's old key is not usable"))?)
    } else {
        None
    };
    KeyRing::new(current.expose(), old.as_ref().map(Secret::expose)).map_err(needs(unusable))
}

/// Holds the pid file for the daemon's life: one daemon a role and run folder, and `stop-here` finds it.
fn take_pid_file(path: &Path, role: Role) -> Result<Flock<std::fs::File>, DriverError> {
    let what = || format!("cannot write the pid file {}", path.display());
    let file = std::fs::File::options().create(true).truncate(false).write(true).open(path).map_err(needs(what()))?;
    let mut held = Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| DriverError::AlreadyRuns { role, path: path.to_path_buf() })?;
    held.set_len(0).map_err(needs(what()))?;
    std::io::Write::write_all(&mut *held, format!("{}\n", std::process::id()).as_bytes()).map_err(needs(what()))?;
    Ok(held)
}
