//! Which checks run, where and when, and what they add up to. Follows the duty: the own service is looked at while it
//! runs here, the peer's while it runs there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::disk::Disk;
use super::{Input, Settings, entries, readiness, references, witness};
use crate::balancer::{Driver as BalancerDriver, Reconciler};
use crate::check::{Checks, Report, Scheduled, Vantage, watch_process};
use crate::config::{Loaded, Probe};
use crate::decision::{Duty, Event, Millis, Node, Role, State, Tally, Verdict, combine};
use crate::status::CheckStatus;

/// Between two rounds while a dead process has time to come back.
const GRACE_EVERY: Duration = Duration::from_millis(200);

/// The checks of both places, and the lookouts beside them.
pub(super) struct Watch {
    role: Role,
    inputs: mpsc::Sender<Input>,
    /// The own service.
    local: Option<Lookout>,
    /// The peer's service, directly and through the balancer.
    remote: Option<Lookout>,
    tense: Arc<AtomicBool>,
    lookouts: Vec<JoinHandle<()>>,
    state_dir: std::path::PathBuf,
}

/// Running checks and what they found.
struct Lookout {
    checks: Checks,
    processes: Vec<JoinHandle<()>>,
    tallies: BTreeMap<(Vantage, String), Line>,
    told: BTreeMap<Vantage, Verdict>,
}

struct Line {
    tally: Tally,
    last: String,
    at: Option<Millis>,
}

impl Drop for Lookout {
    fn drop(&mut self) {
        for task in &self.processes {
            task.abort();
        }
    }
}

impl From<Report> for Input {
    fn from(report: Report) -> Input {
        Input::Check(report)
    }
}

impl From<String> for Input {
    fn from(name: String) -> Input {
        Input::ProcessDied(name)
    }
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
        let ready = readiness::watch(config.clone(), self.state_dir.clone(), self.inputs.clone());
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
        let active = matches!(node.state(), State::Active { .. });
        match (active, self.local.is_some()) {
            (true, false) => self.local = Some(self.lookout(now, loaded, true)),
            (false, true) => {
                self.local = None;
                events.push(Event::LocalVerdict(Verdict::Unknown));
            }
            (true, true) | (false, false) => {}
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
        let mut scheduled = Vec::new();
        for check in &config.checks {
            let vantage = if local { Vantage::Local } else { Vantage::Direct };
            // A command looks at the host it runs on; it says nothing about the other one.
            if local || !matches!(check.probe, Probe::Command(_)) {
                scheduled.push(Scheduled { check: check.clone(), vantage, target, front: None });
            }
            if let (false, Probe::Pop3(mail) | Probe::Imap(mail)) = (local, &check.probe)
                && let Some(front) = mail.through
            {
                let vantage = Vantage::ThroughBalancer;
                scheduled.push(Scheduled { check: check.clone(), vantage, target, front: Some(front) });
            }
        }
        let grace = if local { millis(config.timing.restart_grace) } else { Millis(0) };
        let tallies = scheduled.iter().map(|one| {
            let check = &one.check;
            let stale = millis(check.every * 3 + check.timeout);
            let tally = Tally::new(check.fails, check.of, stale, grace, now);
            ((one.vantage, check.name.clone()), Line { tally, last: "not asked yet".into(), at: None })
        });
        let tallies = tallies.collect();
        let names: &[String] = if local { &config.service.watch_processes } else { &[] };
        let processes =
            names.iter().map(|name| tokio::spawn(watch_process(name.clone(), self.inputs.clone()))).collect();
        let checks = Checks::start(scheduled, config.service.directory.clone(), &self.inputs);
        Lookout { checks, processes, tallies, told: BTreeMap::new() }
    }

    /// Takes a round in; the events say which combined verdicts changed.
    pub(super) fn report(&mut self, now: Millis, report: Report, disk: &Disk) -> Vec<Event> {
        let lookout = match report.vantage {
            Vantage::Local => &mut self.local,
            Vantage::Direct | Vantage::ThroughBalancer => &mut self.remote,
        };
        let Some(lookout) = lookout else { return Vec::new() };
        let Some(line) = lookout.tallies.get_mut(&(report.vantage, report.check.clone())) else { return Vec::new() };
        let before = line.tally.verdict();
        let graced = line.tally.in_grace();
        let outcome = report.result.as_ref().map(drop).map_err(|failure| failure.symptom);
        let verdict = line.tally.round(report.started, now, outcome);
        line.at = Some(now);
        line.last = match &report.result {
            Ok(took) => format!("passed in {:.1} ms", took.as_secs_f64() * 1_000.0),
            Err(failure) => failure.to_string(),
        };
        if verdict != before {
            let text = format!("check {} ({}): {verdict}", report.check, report.vantage.words());
            tracing::info!(last = line.last, "{text}");
            disk.note(entries::entry("check", &text, &[("last", json!(line.last))]));
        } else if graced && !line.tally.in_grace() {
            let text = format!("check {}: the service came back within restart_grace; nothing is moved", report.check);
            tracing::info!("{text}");
            disk.note(entries::entry("check", &text, &[]));
        }
        if line.tally.in_grace() {
            self.ask_soon();
        }
        self.changes(now)
    }

    /// The service's main process died: the grace begins, and the checks are asked at once.
    pub(super) fn process_died(&mut self, now: Millis, name: &str, disk: &Disk) -> Vec<Event> {
        let Some(lookout) = &mut self.local else { return Vec::new() };
        tracing::warn!(process = name, "the service's process died");
        disk.note(entries::entry("check", &format!("process {name} died"), &[]));
        for line in lookout.tallies.values_mut() {
            line.tally.process_died(now);
            line.last = format!("process {name} died");
        }
        lookout.checks.check_now();
        self.changes(now)
    }

    /// Graces that are over and rounds that grew old.
    pub(super) fn changes(&mut self, now: Millis) -> Vec<Event> {
        let mut events = Vec::new();
        for lookout in [&mut self.local, &mut self.remote].into_iter().flatten() {
            let mut verdicts: BTreeMap<Vantage, Vec<Verdict>> = BTreeMap::new();
            for ((vantage, _), line) in &mut lookout.tallies {
                verdicts.entry(*vantage).or_default().push(line.tally.at(now));
            }
            for (vantage, all) in verdicts {
                let verdict = combine(all.into_iter());
                if lookout.told.insert(vantage, verdict) == Some(verdict) {
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

    /// When [`Watch::changes`] may say something new.
    pub(super) fn deadline(&self) -> Option<Millis> {
        let lookouts = [&self.local, &self.remote].into_iter().flatten();
        lookouts.flat_map(|lookout| lookout.tallies.values()).filter_map(|line| line.tally.deadline()).min()
    }

    /// Asks the local checks again shortly.
    fn ask_soon(&self) {
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            tokio::time::sleep(GRACE_EVERY).await;
            // The loop is gone: nobody wants to know.
            let _ = inputs.send(Input::AskChecks).await;
        });
    }

    pub(super) fn ask_now(&self) {
        for lookout in [&self.local, &self.remote].into_iter().flatten() {
            lookout.checks.check_now();
        }
    }

    /// How old the evidence of the own verdict is.
    pub(super) fn local_age(&self, now: Millis) -> Millis {
        let Some(lookout) = &self.local else { return Millis(0) };
        let oldest = lookout.tallies.values().filter_map(|line| line.at).min();
        oldest.map_or(Millis(0), |at| now.since(at))
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
        let lines = lookouts.flat_map(|lookout| &lookout.tallies);
        lines
            .map(|((vantage, name), line)| {
                let (fails, of) = line.tally.limits();
                CheckStatus {
                    name: name.clone(),
                    vantage: vantage.words().to_string(),
                    verdict: line.tally.verdict(),
                    last: line.last.clone(),
                    age_ms: line.at.map(|at| now.since(at).0),
                    failures: format!("{} failed, fails at {fails} of {of}", line.tally.failures()),
                }
            })
            .collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for task in &self.lookouts {
            task.abort();
        }
    }
}

fn millis(span: Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}
