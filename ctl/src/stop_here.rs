//! `failoverctl stop-here`: the second way, as the silent host walks it. The other host's daemon calls it by ssh.
//!
//! Owns for its life: the right to stop (a lock file), and the daemon's freedom to run, if it took that away. Ended at any
//! await by SIGTERM, SIGHUP or SIGINT it gives the daemon its freedom back and has stated nothing; a stop that was begun
//! can be repeated.

mod held;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use failover_shared::config::{self, Config, load};
use failover_shared::decision::{
    Epoch, Forced, Incarnation, Phase, Presence, Record, RequestId, Role, StopMeans, StopOutcome,
};
use failover_shared::script::{
    Cancel, Direction, Environment, ListLock, ListRun, OnStepFailure, Operation, Position, StepEvent, run_list,
};
use failover_shared::statement::{Statement, sign};
use failover_shared::stop::{StopContext, StopRun};
use failover_shared::store::{Loaded, Store, StoreError};
use failover_shared::{driver, host, journal, provision, stop};
use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use self::held::HeldDaemon;
use crate::daemon::Daemon;
use crate::exit::Exit;
use crate::out::Out;
use crate::role;

/// How often the state is read again when a daemon that was just started writes it meanwhile.
const WRITES_MAX: u32 = 5;

/// Flags of `stop-here`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The demand that the statement shall name
    #[arg(long, value_parser = request)]
    request: RequestId,
    /// Every epoch up to this one is to be stopped
    #[arg(long)]
    epoch: u64,
    /// Stop although the daemon answers, and could be told by an ordinary demand
    #[arg(long)]
    although_daemon_answers: bool,
    /// Where the daemon keeps its state
    #[arg(long, default_value = "/var/lib/failover", value_name = "DIR")]
    state_dir: PathBuf,
    /// Where the scripts' output goes
    #[arg(long, default_value = "/var/log/failover", value_name = "DIR")]
    log_dir: PathBuf,
    /// This host's name in the configuration, if not the system's
    #[arg(long)]
    host: Option<String>,
}

/// As [`RequestId`] prints itself: 16 hexadecimal digits, a dash, a number.
fn request(text: &str) -> Result<RequestId, String> {
    let parsed = text.split_once('-').and_then(|(incarnation, number)| {
        let incarnation = Incarnation(u64::from_str_radix(incarnation, 16).ok()?);
        Some(RequestId { incarnation, number: number.parse().ok()? })
    });
    parsed.ok_or_else(|| "a request looks like 00c0ffee00c0ffee-1".to_string())
}

/// Whom it concerns, and what is known before anything is touched.
struct Order<'a> {
    loaded: &'a config::Loaded,
    config: &'a Config,
    role: Role,
    request: RequestId,
    epoch: Epoch,
    pid_file: PathBuf,
    state_file: PathBuf,
    journal: PathBuf,
    log: PathBuf,
}

pub(crate) async fn run(
    config: &Path,
    run_dir: &Path,
    typed: Option<Role>,
    arguments: &Arguments,
    out: &mut Out<'_>,
) -> anyhow::Result<Exit> {
    let loaded = load(config).map_err(|problems| anyhow::anyhow!("{}", problems.render(false)))?;
    let config = &loaded.config;
    let Some(role) = role::here(config, typed, arguments.host.as_deref())? else {
        bail!("this host is neither {} nor {}: nothing is stopped", config.master.name, config.slave.name);
    };
    // Without a key nothing could be stated; better to know that before the service is stopped.
    let key = provision::load_pair_key(&config.security.key_file)?;
    if !arguments.although_daemon_answers && Daemon::find(run_dir, Some(role))?.status().await.is_ok() {
        bail!(
            "the daemon here runs and answers, so the ordinary demand works: nothing is stopped\n\
             next:   failoverctl takeover or takeback; or, if you know better, --although-daemon-answers"
        );
    }
    let _alone = alone(&run_dir.join(format!("{role}.stop-here")))?;
    std::fs::create_dir_all(&arguments.log_dir).with_context(|| arguments.log_dir.display().to_string())?;
    let order = Order {
        loaded: &loaded,
        config,
        role,
        request: arguments.request,
        epoch: Epoch(arguments.epoch),
        pid_file: run_dir.join(format!("{role}.pid")),
        state_file: arguments.state_dir.join(format!("{role}.state")),
        journal: arguments.state_dir.join(format!("{role}.journal")),
        log: arguments.log_dir.join(format!("script_{}.log", config.host(role).name)),
    };
    let mut held = HeldDaemon::freeze(&order.pid_file)?;
    let statement = tokio::select! {
        statement = stop_and_state(&order, &mut held) => statement?,
        () = told_to_end() => bail!("ended by a signal: nothing is stated; the command can be given again"),
    };
    out.line(sign(&key, &statement)?)?;
    Ok(Exit::Ok)
}

/// Two of these at once would free each other's daemon.
fn alone(path: &Path) -> anyhow::Result<Flock<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| anyhow::anyhow!("another stop-here is under way on this host; wait for it, then ask again"))
}

async fn told_to_end() {
    let listen = |kind| signal(kind).ok();
    let kinds = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
    let [Some(mut terminate), Some(mut hangup), Some(mut interrupt)] = kinds.map(listen) else {
        // Signals then do what they always do.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn stop_and_state(order: &Order<'_>, held: &mut HeldDaemon) -> anyhow::Result<Statement> {
    let (config, host) = (order.config, &order.config.host(order.role).name);
    let boot = host::boot_id()?;
    let (mut store, loaded) = Store::open::<Record>(&order.state_file, host, &config.name)?;
    let record = remembered(loaded, boot);
    let epoch = order.epoch.max(record.highest);
    let (events, told) = mpsc::channel(16);
    tokio::spawn(tell_steps(told));
    end_interrupted_steps(order, &record, &events).await;

    let forced = match stop::stop_service(stop_run(order, epoch, &events)).await {
        StopOutcome::Stopped { forced, .. } => forced,
        StopOutcome::NotVerified { reason } => bail!("the stop could not be verified, so nothing is stated: {reason}"),
    };
    // A guardian may have started a new daemon meanwhile, and that one may have gone on with an interrupted start.
    if held.freeze_newcomer(&order.pid_file)? {
        end_interrupted_steps(order, &record, &events).await;
        match stop::look(&config.service, &context(order, epoch)).await {
            Presence::NothingRuns => {}
            Presence::Runs(what) | Presence::CannotTell(what) => {
                bail!("a new daemon came up during the stop, and now: {what}; nothing is stated, ask again")
            }
        }
    }
    let epoch = write_down(&mut store, &record, epoch, forced.as_ref(), held)?;
    Ok(Statement {
        pair: config.name.clone(),
        host: order.role,
        request: order.request,
        epoch,
        means: StopMeans::PostConditions,
        forced,
        boot,
        signed_at: Timestamp::now(),
    })
}

/// What the disk remembers. A state that is not there or not readable is none; writing a whole one mends it.
fn remembered(loaded: Loaded<Record>, boot: failover_shared::decision::BootId) -> Record {
    match loaded {
        Loaded::Valid(record) => Record { boot, ..record },
        Loaded::Fresh | Loaded::Torn { .. } | Loaded::OfAnotherHost { .. } => Record::fresh(boot),
    }
}

/// A frozen daemon's running step goes on without it: a start script could start the service behind the verification.
/// A resumed list ends what an interrupted step left before anything else; this one has no steps besides.
async fn end_interrupted_steps(order: &Order<'_>, record: &Record, events: &mpsc::Sender<StepEvent>) {
    let (service, role) = (&order.config.service, order.role);
    let steps = |operation| service.lists.of(operation).iter().map(Vec::len).sum::<usize>();
    let (epoch, direction, steps) = match &record.phase {
        Phase::Starting { epoch, .. } => (*epoch, Direction::Start, steps(Operation::start_of(role))),
        Phase::Stopping { epoch, .. } => (*epoch, Direction::Stop, steps(Operation::stop_of(role))),
        Phase::Standby
        | Phase::Requesting(_)
        | Phase::Active { .. }
        | Phase::Stopped { .. }
        | Phase::FailedStart { .. }
        | Phase::FailedStop { .. } => return,
    };
    for index in 1..=u32::try_from(steps).unwrap_or(u32::MAX) {
        let run = ListRun {
            stages: Vec::new(),
            position: Position::at(index),
            resumed: true,
            direction,
            on_step_failure: OnStepFailure::GoOn,
            environment: environment(order, epoch, direction),
            directory: service.directory.clone(),
            log_file: order.log.clone(),
            kill_after: order.config.timing.kill_after,
            cgroup: None,
            lock: ListLock::default(),
            events: events.clone(),
        };
        run_list(run, Cancel::never()).await;
    }
}

fn stop_run(order: &Order<'_>, epoch: Epoch, events: &mpsc::Sender<StepEvent>) -> StopRun {
    StopRun {
        service: Arc::new(order.config.service.clone()),
        context: context(order, epoch),
        log_file: order.log.clone(),
        kill_after: order.config.timing.kill_after,
        position: Position::first(),
        resumed: false,
        failed: None,
        ladder_only: false,
        after_failed_start: false,
        lock: ListLock::default(),
        events: events.clone(),
    }
}

/// What is known beside the configuration: the daemon's journal tells what its steps have left, and in which group.
fn context(order: &Order<'_>, epoch: Epoch) -> StopContext {
    let mut context = StopContext::new(environment(order, epoch, Direction::Stop));
    context.peer_addresses = order.config.peer_addresses(order.role);
    if let (Ok(boot), Ok(entries)) = (host::boot_id(), journal::tail(&order.journal, driver::JOURNAL_ENTRIES)) {
        let left = driver::left_by_steps(&entries, boot);
        context.groups = left.groups.into_iter().collect();
        context.populated = left.populated;
    }
    context
}

fn environment(order: &Order<'_>, epoch: Epoch, direction: Direction) -> Environment {
    let operation = match direction {
        Direction::Start | Direction::Restart => Operation::start_of(order.role),
        Direction::Stop => Operation::stop_of(order.role),
    };
    let reason = format!("stop-here for request {}", order.request);
    Environment::of(order.loaded, order.role, operation, epoch, &reason)
}

/// Makes "stopped" durable, so that a daemon that thaws or starts later finds it. Returns the epoch that is stopped.
fn write_down(
    store: &mut Store,
    record: &Record,
    mut epoch: Epoch,
    forced: Option<&Forced>,
    held: &mut HeldDaemon,
) -> anyhow::Result<Epoch> {
    let mut record = record.clone();
    for _ in 0..WRITES_MAX {
        epoch = epoch.max(record.highest);
        let phase = Phase::Stopped { epoch, means: StopMeans::PostConditions, forced: forced.cloned() };
        let stopped = Record { highest: epoch, phase, gave_leave: Some(epoch), ..record.clone() };
        match store.write(&stopped) {
            Ok(()) => return Ok(epoch),
            Err(StoreError::ForeignWrite { .. }) => record = remembered(store.reload()?, record.boot),
            // Frozen in the middle of a write, the daemon keeps the lock. Its guardian starts a new one.
            Err(StoreError::Locked(_)) if held.kill() => {}
            Err(error) => return Err(error).context("the service is stopped, but that could not be made durable"),
        }
    }
    bail!("the service is stopped, but the state was written by others again and again; ask again")
}

/// The steps go to the error output: on the other host it is the journal that wants them.
async fn tell_steps(mut told: mpsc::Receiver<StepEvent>) {
    while let Some(event) = told.recv().await {
        match event {
            StepEvent::Before { index, of, command, gate } => {
                tell(format_args!("stop {index}/{of} {command}"));
                gate.open();
            }
            StepEvent::After { index, of, said, duration, gate, .. } => {
                tell(format_args!("stop {index}/{of} {said} after {} ms", duration.as_millis()));
                gate.open();
            }
            StepEvent::Note { text } => tell(format_args!("{text}")),
        }
    }
}

fn tell(text: std::fmt::Arguments<'_>) {
    // An ssh connection that is gone must not keep the stop from its end.
    let _ = writeln!(std::io::stderr(), "{text}");
}
