//! Which checks run, where and when, and what they add up to. Follows the duty: the own service is looked at while it
//! runs here, the peer's while it runs there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::disk::Disk;
use super::policy::Situation;
use super::restarts::Restarts;
use super::{Input, Settings, entries, readiness, references, witness};
use crate::balancer::{Driver as BalancerDriver, Reconciler};
use crate::check::{
    Asker, Change, Checks, Clock, Password, ProcessWatch, Report, Row, ScheduledCheck, Tallies, Vantage,
};
use crate::clock;
use crate::config::Loaded;
use crate::decision::{Duty, Epoch, Event, Millis, Node, Role, State, Symptom, TallyAction, Verdict};
use crate::script::{Environment, Operation, Script};
use crate::secret::Secret;
use crate::status::CheckStatus;
use crate::telemetry::chain;

/// After a process could not be watched.
const WATCH_AGAIN: Duration = Duration::from_secs(5);

/// The checks of both places, and the lookouts beside them.
pub(super) struct Watch {
    role: Role,
    inputs: mpsc::Sender<Input>,
    /// The own service.
    local: Option<Lookout>,
    /// The peer's service, directly and through the balancer.
    remote: Option<Lookout>,
    /// The peer is silent: the reference points are asked more often.
    tense: Arc<AtomicBool>,
    /// Nothing of the service should be running here.
    idle: Arc<AtomicBool>,
    /// What a failover policy is told.
    situation: watch::Sender<Situation>,
    lookouts: Vec<JoinHandle<()>>,
    state_dir: std::path::PathBuf,
}

/// Running checks and what they found. Dropping it ends all of it.
struct Lookout {
    checks: Checks,
    tallies: Tallies,
    vantages: Vec<Vantage>,
    told: BTreeMap<Vantage, Verdict>,
    restarts: Restarts,
    _tasks: JoinSet<()>,
}

impl Watch {
    /// Starts the lookouts that never rest: readiness and reference points.
    pub(super) fn start(settings: &Settings, loaded: &Arc<Loaded>, role: Role, inputs: mpsc::Sender<Input>) -> Watch {
        let mut watch = Watch {
            role,
            inputs,
            local: None,
            remote: None,
            tense: Arc::default(),
            idle: Arc::default(),
            situation: watch::Sender::default(),
            lookouts: Vec::new(),
            state_dir: settings.state_dir.clone(),
        };
        watch.start_lookouts(loaded);
        watch
    }

    fn start_lookouts(&mut self, loaded: &Arc<Loaded>) {
        for task in self.lookouts.drain(..) {
            task.abort();
        }
        let config = Arc::new(loaded.config.clone());
        let (idle, inputs) = (self.idle.clone(), self.inputs.clone());
        let ready = readiness::watch(
            loaded.clone(),
            self.role,
            self.state_dir.clone(),
            idle,
            self.situation.subscribe(),
            inputs,
        );
        let known = references::watch(config, self.role, self.tense.clone(), self.inputs.clone());
        self.lookouts.extend([tokio::spawn(ready), tokio::spawn(known)]);
    }

    pub(super) fn replace_config(&mut self, loaded: &Arc<Loaded>) {
        self.local = None;
        self.remote = None;
        self.start_lookouts(loaded);
    }

    /// Begins and ends checks as the duties ask. What ends with them is no longer known.
    pub(super) fn follow(&mut self, now: Millis, node: &Node, loaded: &Loaded) -> Vec<Event> {
        let mut events = Vec::new();
        let (beat, _, silent) = node.peer();
        self.tense.store(silent, Ordering::Relaxed);
        self.idle.store(matches!(node.state(), State::Standby | State::Suspect { .. }), Ordering::Relaxed);
        let active = matches!(node.state(), State::Active { .. });
        let peer_is_active = !silent && beat.is_some_and(|beat| beat.duty == Duty::Active);
        let owner = active.then_some(self.role).or(peer_is_active.then_some(self.role.peer()));
        let now_is = Situation { owner, peer_heard: !silent && beat.is_some() };
        self.situation.send_if_modified(|before| std::mem::replace(before, now_is) != now_is);
        match (active, self.local.is_some()) {
            (true, false) => self.local = Some(self.lookout(now, loaded, true)),
            (false, true) => {
                self.local = None;
                events.push(Event::LocalVerdict(Verdict::Unknown));
            }
            (true, true) | (false, false) => {}
        }
        if let Some(local) = &mut self.local {
            local.restarts.paused = node.record().maintenance.is_some();
        }
        let there = !active && beat.is_some_and(|beat| beat.duty == Duty::Active);
        match (there, self.remote.is_some()) {
            (true, false) => self.remote = Some(self.lookout(now, loaded, false)),
            (false, true) => {
                self.remote = None;
                events.extend([Event::RemoteVerdict(Verdict::Unknown), Event::ThroughVerdict(Verdict::Unknown)]);
            }
            (true, true) | (false, false) => {}
        }
        events
    }

    fn lookout(&self, now: Millis, loaded: &Loaded, local: bool) -> Lookout {
        let config = &loaded.config;
        let role = if local { self.role } else { self.role.peer() };
        let target = config.host(role).service_address;
        let (scheduled, vantages, grace) = if local {
            let grace = config.timing.restart_grace;
            (ScheduledCheck::local(&config.checks, target), vec![Vantage::Local], grace)
        } else {
            let vantages = vec![Vantage::Direct, Vantage::ThroughBalancer];
            (ScheduledCheck::remote(&config.checks, target), vantages, Duration::ZERO)
        };
        let tallies = Tallies::new(&scheduled, grace, now);
        let (reports, mut reported) = mpsc::channel::<Report>(64);
        let (inputs, mut tasks) = (self.inputs.clone(), JoinSet::new());
        tasks.spawn(async move {
            while let Some(report) = reported.recv().await {
                if inputs.send(Input::Check(report)).await.is_err() {
                    return;
                }
            }
        });
        if local && !config.service.watch_processes.is_empty() {
            tasks.spawn(watch_processes(config.service.watch_processes.clone(), self.inputs.clone()));
        }
        let clock: Clock = Arc::new(clock::now);
        let checks = Checks::start(scheduled, &asker(loaded, self.role), &clock, &reports);
        let restarts = Restarts::of(config);
        Lookout { checks, tallies, vantages, told: BTreeMap::new(), restarts, _tasks: tasks }
    }

    /// Takes a round in; the events say which combined verdicts changed.
    pub(super) fn report(&mut self, now: Millis, report: &Report, disk: &Disk) -> Vec<Event> {
        let lookout = match report.vantage {
            Vantage::Local => &mut self.local,
            Vantage::Direct | Vantage::ThroughBalancer => &mut self.remote,
        };
        if let Some(lookout) = lookout {
            let changes = lookout.tallies.report(now, report);
            lookout.take(now, changes, disk);
        }
        self.verdicts()
    }

    /// The service's main process died: the grace begins, and the checks are asked at once.
    pub(super) fn process_died(&mut self, now: Millis, name: &str, disk: &Disk) -> Vec<Event> {
        let Some(lookout) = &mut self.local else { return Vec::new() };
        tracing::warn!(process = name, "the service's process died");
        disk.note(entries::entry("check", &format!("process {name} died"), &[]));
        let changes = lookout.tallies.process_died(now);
        lookout.take(now, changes, disk);
        self.verdicts()
    }

    /// Graces that are over and rounds that grew old. Only after every ready report was taken in.
    pub(super) fn timer(&mut self, now: Millis, disk: &Disk) -> Vec<Event> {
        for lookout in [&mut self.local, &mut self.remote].into_iter().flatten() {
            let changes = lookout.tallies.timer(now);
            lookout.take(now, changes, disk);
        }
        self.verdicts()
    }

    /// The resource that is to be restarted on this host now, and the check that found it failed.
    pub(super) fn restart_due(&mut self) -> Option<(String, Script)> {
        self.local.as_mut()?.restarts.begin()
    }

    /// A restart ended: the check begins anew, or its failure counts now.
    pub(super) fn restarted(
        &mut self,
        now: Millis,
        check: &str,
        result: Result<(), String>,
        disk: &Disk,
    ) -> Vec<Event> {
        let Some(lookout) = &mut self.local else { return Vec::new() };
        let Some(start_delay) = lookout.restarts.ended(check) else { return Vec::new() };
        match result {
            Ok(()) => {
                disk.note(entries::entry("check", &format!("check {check}: the resource was restarted here"), &[]));
                lookout.tallies.begin_anew(check, now.after(start_delay));
                lookout.checks.check_now(check, Vantage::Local);
            }
            Err(why) => {
                let text = format!("check {check}: the restart failed, so the failure counts: {why}");
                tracing::warn!("{text}");
                disk.note(entries::entry("check", &text, &[]));
            }
        }
        self.verdicts()
    }

    fn verdicts(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for lookout in [&mut self.local, &mut self.remote].into_iter().flatten() {
            for vantage in &lookout.vantages {
                let held = |check: &str| lookout.restarts.holds(check);
                let Some(combined) = lookout.tallies.combined_without(*vantage, held) else { continue };
                let verdict = combined.verdict;
                if lookout.told.insert(*vantage, verdict) == Some(verdict) {
                    continue;
                }
                events.push(match vantage {
                    Vantage::Local => Event::LocalVerdict(verdict),
                    Vantage::Direct => Event::RemoteVerdict(verdict),
                    Vantage::ThroughBalancer => Event::ThroughVerdict(verdict),
                });
            }
        }
        events
    }

    /// When [`Watch::timer`] may say something new.
    pub(super) fn deadline(&self) -> Option<Millis> {
        let lookouts = [&self.local, &self.remote].into_iter().flatten();
        lookouts.filter_map(|lookout| lookout.tallies.deadline()).min()
    }

    /// How old the evidence of the own verdict is.
    pub(super) fn local_age(&self, now: Millis) -> Millis {
        self.local.as_ref().map_or(Millis(0), |lookout| lookout.tallies.age(Vantage::Local, now))
    }

    /// Checks whose own login was refused: the canary's account wants a look.
    pub(super) fn login_refused(&self) -> Vec<String> {
        let lookouts = [&self.local, &self.remote].into_iter().flatten();
        let refused = |lookout: &Lookout| {
            lookout
                .vantages
                .iter()
                .flat_map(|vantage| lookout.tallies.combined(*vantage).login_refused)
                .collect::<Vec<_>>()
        };
        lookouts.flat_map(refused).collect()
    }

    pub(super) fn ask_witness(
        &self,
        loaded: &Arc<Loaded>,
        balancer: Option<Arc<Reconciler<BalancerDriver>>>,
        inputs: &mpsc::Sender<Input>,
    ) {
        let config = Arc::new(loaded.config.clone());
        tokio::spawn(witness::ask(config, self.role.peer(), balancer, inputs.clone()));
    }

    pub(super) fn rows(&self, now: Millis) -> Vec<CheckStatus> {
        let lookouts = [&self.local, &self.remote].into_iter().flatten();
        lookouts.flat_map(|lookout| lookout.tallies.rows(now)).map(row).collect()
    }
}

impl Lookout {
    /// Carries out what the tallies ask for, and writes down what they found.
    fn take(&mut self, now: Millis, changes: Vec<Change>, disk: &Disk) {
        for Change { check, vantage, action } in changes {
            let text = match action {
                TallyAction::CheckNow => {
                    self.checks.check_now(&check, vantage);
                    continue;
                }
                TallyAction::Verdict(verdict) => {
                    let claimed = (vantage == Vantage::Local && is_restartable(verdict))
                        .then(|| self.restarts.claim(now, &check))
                        .flatten();
                    let first = claimed.map_or(String::new(), |(number, of)| {
                        format!("; the resource is restarted here first, {number} of {of}")
                    });
                    format!("check {check} ({vantage}): {verdict}{first}")
                }
                TallyAction::Restarted { after } => {
                    format!(
                        "check {check}: the service came back within restart_grace, after {after}; nothing is moved"
                    )
                }
            };
            tracing::info!("{text}");
            disk.note(entries::entry("check", &text, &[]));
        }
    }
}

/// A failure that a restart may mend: not that of a check which could not be asked.
fn is_restartable(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Failed(symptom) if !matches!(symptom, Symptom::Stale | Symptom::LoginRefused))
}

/// Who holds the rounds of this configuration.
pub(super) fn asker(loaded: &Loaded, role: Role) -> Arc<Asker> {
    let load = |path: &std::path::Path| {
        let secret = Secret::read(path).map_err(|error| chain(&error))?;
        secret.expose_text().map(Password::new).ok_or_else(|| format!("{} does not hold text", path.display()))
    };
    let environment = Environment::of(loaded, role, Operation::start_of(role), Epoch(0), "a check");
    Arc::new(Asker::new(loaded.config.service.directory.clone(), Arc::new(load)).telling(environment))
}

/// Tells of each death. A kernel or a /proc that does not let us watch leaves it to the checks; that is said once.
async fn watch_processes(names: Vec<String>, inputs: mpsc::Sender<Input>) {
    let mut watch = match ProcessWatch::new(&names) {
        Ok(watch) => watch,
        Err(error) => return tracing::warn!(error = chain(&error), "processes are not watched; their checks are"),
    };
    loop {
        match watch.died().await {
            Ok(death) => {
                if inputs.send(Input::ProcessDied(death.name)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "a process cannot be watched");
                tokio::time::sleep(WATCH_AGAIN).await;
            }
        }
    }
}

fn row(row: Row) -> CheckStatus {
    let last = match (row.failure, row.latency_us) {
        (Some(failure), _) => failure,
        (None, Some(latency_us)) => format!("passed in {}.{} ms", latency_us / 1_000, latency_us % 1_000 / 100),
        (None, None) => "not asked yet".to_string(),
    };
    CheckStatus {
        name: row.check,
        vantage: row.vantage.to_string(),
        verdict: row.verdict,
        last,
        age_ms: row.age.map(|age| age.0),
        stale_after_ms: Some(row.stale_after.0),
        failures: format!("{} failed, fails at {} of {}", row.failures, row.fails, row.of),
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for task in &self.lookouts {
            task.abort();
        }
    }
}
