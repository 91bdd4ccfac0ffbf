//! The service of this host: looks, starts and stops, one at a time, each in a task that reports back.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::disk::Disk;
use super::left::{Left, populated_entry};
use super::steps::{self, Interrupted, interrupted_at};
use super::{Input, Settings, entries};
use crate::check::{Record, Vantage};
use crate::config::{Loaded, Probe, Service};
use crate::decision::{BootId, Epoch, Event, OperationId, Presence, Role, StartOutcome};
use crate::journal::Entry;
use crate::script::kind::Action;
use crate::script::{
    Cancel, CancelHandle, Direction, Environment, ListEnd, ListLock, ListRun, OnStepFailure, Operation, Position,
    Script, StepEvent, cancel, cgroup, look_at_group, run_list,
};
use crate::stop::{self, StopContext, StopRun};

/// Between two tries of the local checks behind a start.
const VERIFY_EVERY: std::time::Duration = std::time::Duration::from_millis(50);

/// How long a process may take to leave the control group in which a failed start began it.
const LEAVES_WITHIN: std::time::Duration = std::time::Duration::from_millis(300);

/// What works on the service.
pub(super) struct ServiceWork {
    role: Role,
    boot: BootId,
    log: PathBuf,
    loaded: Arc<Loaded>,
    disk: Disk,
    inputs: mpsc::Sender<Input>,
    /// The journal's end at the start of the daemon: where an interrupted list stood.
    resume: Vec<Entry>,
    /// What own steps have left running: where a stop looks besides its conditions.
    left: Arc<Mutex<Left>>,
    /// Keeps two lists from running at once.
    lock: ListLock,
    running: Option<CancelHandle>,
}

impl ServiceWork {
    pub(super) fn new(
        settings: &Settings,
        boot: BootId,
        loaded: Arc<Loaded>,
        disk: Disk,
        inputs: mpsc::Sender<Input>,
        resume: Vec<Entry>,
        left: Arc<Mutex<Left>>,
    ) -> ServiceWork {
        let host = &loaded.config.host(settings.role).name;
        let log = settings.log_dir.join(format!("script_{host}.log"));
        let lock = ListLock::default();
        ServiceWork { role: settings.role, boot, log, loaded, disk, inputs, resume, left, lock, running: None }
    }

    /// Looks where the service runs that a daemon before this one has started: of that the journal may say nothing.
    pub(super) fn runs_already(&self) {
        let (loaded, boot) = (self.loaded.clone(), self.boot);
        let (disk, left) = (self.disk.clone(), self.left.clone());
        tokio::spawn(async move { remember_groups(&loaded.config.service, boot, &disk, &left).await });
    }

    /// What runs beside no list takes this first.
    pub(super) fn lock(&self) -> ListLock {
        self.lock.clone()
    }

    /// The next list runs by the new configuration; one that runs goes on by the old.
    pub(super) fn replace_config(&mut self, loaded: Arc<Loaded>) {
        self.loaded = loaded;
    }

    /// Looks whether anything of the service runs here.
    pub(super) fn look(&self, operation: OperationId) {
        let (loaded, inputs) = (self.loaded.clone(), self.inputs.clone());
        let context = self.context(self.environment(Epoch(0), Direction::Stop, "a look"));
        let disk = self.disk.clone();
        tokio::spawn(async move {
            let presence = look(&loaded.config.service, &context, &disk).await;
            report(&inputs, Event::Looked { operation, presence }).await;
        });
    }

    /// Runs the start list, then waits for the local checks.
    pub(super) fn start(&mut self, operation: OperationId, epoch: Epoch, resume: bool, reason: &str) {
        let cancelled = self.supersede();
        let events = self.recorder(Direction::Start, epoch);
        let config = &self.loaded.config;
        // A group that is not to be had is told by the list itself; its steps run all the same.
        let cgroup = config.service.cgroup.as_deref().and_then(|name| cgroup::folder(name).ok());
        let run = ListRun {
            stages: config.service.lists.of(Operation::start_of(self.role)).to_vec(),
            position: self.interrupted(resume, Direction::Start, epoch).position,
            resumed: resume,
            direction: Direction::Start,
            on_step_failure: OnStepFailure::EndList,
            environment: self.environment(epoch, Direction::Start, reason),
            directory: config.service.directory.clone(),
            log_file: self.log.clone(),
            kill_after: config.timing.kill_after,
            cgroup,
            lock: self.lock.clone(),
            events,
        };
        let (loaded, role, inputs) = (self.loaded.clone(), self.role, self.inputs.clone());
        let (left, disk, boot) = (self.left.clone(), self.disk.clone(), self.boot);
        tokio::spawn(async move {
            let outcome = run_list(run, cancelled.clone()).await;
            let outcome = match outcome.end {
                ListEnd::Completed => verify_start(&loaded, role, &cancelled).await,
                ListEnd::Failed(failure) => StartOutcome::Failed { step: failure.step, reason: failure.reason },
                ListEnd::NotBegun { step, reason } => StartOutcome::Failed { step, reason },
                ListEnd::Cancelled { .. } => return,
            };
            let service = &loaded.config.service;
            if outcome != StartOutcome::Started && !stop::populated_groups(service).await.is_empty() {
                // A look right behind a step would also see what is just on its way out of a group, as with
                // `systemctl start`.
                tokio::time::sleep(LEAVES_WITHIN).await;
            }
            remember_groups(service, boot, &disk, &left).await;
            report(&inputs, Event::StartDone { operation, outcome }).await;
        });
    }

    /// Restarts a resource here, because its check failed. A stop ends it; one at a time.
    pub(super) fn restart(&mut self, check: String, script: &Script, epoch: Epoch) {
        let cancelled = self.supersede();
        let config = &self.loaded.config;
        let reason = format!("check {check} failed");
        let run = ListRun {
            stages: vec![vec![script.to(Action::Restart)]],
            position: Position::first(),
            // What a daemon that died in a restart left running of it is ended, like any other interrupted step.
            resumed: true,
            direction: Direction::Restart,
            on_step_failure: OnStepFailure::EndList,
            environment: self.environment(epoch, Direction::Restart, &reason),
            directory: config.service.directory.clone(),
            log_file: self.log.clone(),
            kill_after: config.timing.kill_after,
            cgroup: config.service.cgroup.as_deref().and_then(|name| cgroup::folder(name).ok()),
            lock: self.lock.clone(),
            events: self.recorder(Direction::Restart, epoch),
        };
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let result = match run_list(run, cancelled).await.end {
                ListEnd::Completed => Ok(()),
                ListEnd::Failed(failure) => Err(failure.reason),
                ListEnd::NotBegun { reason, .. } => Err(reason),
                ListEnd::Cancelled { .. } => Err("it was cancelled".to_owned()),
            };
            // The loop is gone: the next one asks the resource itself.
            let _ = inputs.send(Input::Restarted { check, result }).await;
        });
    }

    /// Ends a start in progress, runs the stop list, verifies.
    pub(super) fn stop(
        &mut self,
        operation: OperationId,
        epoch: Epoch,
        resume: bool,
        after_failed_start: bool,
        reason: &str,
    ) {
        // The stop itself cannot be cancelled; the list before it is.
        let _ = self.supersede();
        let events = self.recorder(Direction::Stop, epoch);
        let Interrupted { position, failed } = self.interrupted(resume, Direction::Stop, epoch);
        let run = StopRun {
            service: Arc::new(self.loaded.config.service.clone()),
            context: self.context(self.environment(epoch, Direction::Stop, reason)),
            log_file: self.log.clone(),
            kill_after: self.loaded.config.timing.kill_after,
            position,
            resumed: resume,
            failed,
            ladder_only: false,
            after_failed_start,
            lock: self.lock.clone(),
            events,
        };
        let (inputs, left) = (self.inputs.clone(), self.left.clone());
        tokio::spawn(async move {
            let outcome = stop::stop_service(run).await;
            if matches!(outcome, crate::decision::StopOutcome::Stopped { .. }) {
                *left.lock().unwrap_or_else(PoisonError::into_inner) = Left::default();
            }
            report(&inputs, Event::StopDone { operation, outcome }).await;
        });
    }

    /// Ends the running list; the next waits for its lock.
    fn supersede(&mut self) -> Cancel {
        let (handle, cancelled) = cancel();
        if let Some(before) = self.running.replace(handle) {
            before.cancel();
        }
        cancelled
    }

    fn interrupted(&self, resume: bool, direction: Direction, epoch: Epoch) -> Interrupted {
        if resume { interrupted_at(&self.resume, direction, epoch) } else { Interrupted::nowhere() }
    }

    fn recorder(&self, direction: Direction, epoch: Epoch) -> mpsc::Sender<StepEvent> {
        steps::record(direction, epoch, self.boot, self.disk.clone(), self.inputs.clone(), self.left.clone())
    }

    fn environment(&self, epoch: Epoch, direction: Direction, reason: &str) -> Environment {
        let operation = match direction {
            Direction::Start | Direction::Restart => Operation::start_of(self.role),
            Direction::Stop => Operation::stop_of(self.role),
        };
        Environment::of(&self.loaded, self.role, operation, epoch, reason)
    }

    fn context(&self, environment: Environment) -> StopContext {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut context = StopContext::new(environment);
        context.groups = left.groups.into_iter().collect();
        context.populated = left.populated;
        context.peer_addresses = self.loaded.config.peer_addresses(self.role);
        context
    }
}

/// The post-conditions are looked at first; where they show nothing, the resources are asked themselves.
async fn look(service: &Service, context: &StopContext, disk: &Disk) -> Presence {
    let presence = stop::look(service, context).await;
    if presence != Presence::NothingRuns {
        return presence;
    }
    let Some(group) = look_at_group(&service.resources, &context.environment, &service.directory).await else {
        return presence;
    };
    let state = group.state.map_or("not to be told".to_owned(), |state| state.to_string());
    disk.note(entries::entry("service", &format!("resource group: {state}"), &[("found", group.found.clone().into())]));
    group.presence()
}

/// The start counts only when the local checks pass: scripts that exit 0 are no service yet.
async fn verify_start(loaded: &Loaded, role: Role, cancel: &Cancel) -> StartOutcome {
    let config = &loaded.config;
    let target = config.host(role).service_address;
    let until = tokio::time::Instant::now() + config.timing.start_verify;
    let asker = super::watch::asker(loaded, role);
    for one in config.checks.iter().filter(|check| !is_delayed(&check.probe)) {
        loop {
            let failure = match asker.round(one, Vantage::Local, target, &mut Record::brief()).await {
                Ok(_) => break,
                // The canary's password says nothing about the service.
                Err(failure) if failure.symptom == crate::decision::Symptom::LoginRefused => break,
                Err(failure) => failure,
            };
            if tokio::time::Instant::now() >= until || cancel.is_cancelled() {
                let reason = format!("the scripts ended well, but check {:?} does not pass: {failure}", one.name);
                return StartOutcome::Failed { step: 0, reason };
            }
            tokio::time::sleep(VERIFY_EVERY).await;
        }
    }
    StartOutcome::Started
}

/// It is to be asked only some time after a start, so it says nothing about the start itself.
fn is_delayed(probe: &Probe) -> bool {
    matches!(probe, Probe::Resource(resource) if !resource.start_delay.is_zero())
}

/// Notes the control groups that hold the service now that it runs: only of those does emptiness say something later.
async fn remember_groups(service: &Service, boot: BootId, disk: &Disk, left: &Mutex<Left>) {
    for group in stop::populated_groups(service).await {
        if left.lock().unwrap_or_else(PoisonError::into_inner).populated.insert(group.clone()) {
            disk.note(populated_entry(&group, boot));
        }
    }
}

async fn report(inputs: &mpsc::Sender<Input>, event: Event) {
    // The loop is gone: the next start of the daemon goes on from the journal.
    let _ = inputs.send(Input::Core(event)).await;
}

#[cfg(test)]
mod tests;
