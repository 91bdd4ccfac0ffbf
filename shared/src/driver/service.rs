//! The service of this host: looks, starts and stops, one at a time, each in a task that reports back.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::disk::Disk;
use super::{Input, Settings, entries};
use crate::check;
use crate::config::{Config, Loaded};
use crate::decision::{Epoch, Event, OperationId, Role, StartOutcome};
use crate::journal::Entry;
use crate::script::{
    Environment, List, ListEnd, ListRun, Operation, StepAt, StepEnd, StepWitness, kill_interrupted, run_list,
};
use crate::stop;

/// How long a new start or stop waits for an ended list to be gone.
const CANCEL_LIMIT: Duration = Duration::from_secs(15);
/// Between two tries of the local checks behind a start.
const VERIFY_EVERY: Duration = Duration::from_millis(50);

/// A step began or ended, for status and progress.
pub(crate) enum StepProgress {
    /// It runs.
    Begins(StepAt),
    /// It ended.
    Ended,
}

/// What works on the service.
pub(super) struct ServiceWork {
    role: Role,
    log: std::path::PathBuf,
    loaded: Arc<Loaded>,
    disk: Disk,
    inputs: mpsc::Sender<Input>,
    /// The journal's end at the start of the daemon: where an interrupted list stood.
    resume: Vec<Entry>,
    running: Option<Running>,
}

struct Running {
    cancel: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl ServiceWork {
    pub(super) fn new(
        settings: &Settings,
        loaded: Arc<Loaded>,
        disk: Disk,
        inputs: mpsc::Sender<Input>,
        resume: Vec<Entry>,
    ) -> ServiceWork {
        let host = &loaded.config.host(settings.role).name;
        let log = settings.log_dir.join(format!("script_{host}.log"));
        ServiceWork { role: settings.role, log, loaded, disk, inputs, resume, running: None }
    }

    /// The next list runs by the new configuration; one that runs goes on by the old.
    pub(super) fn replace_config(&mut self, loaded: Arc<Loaded>) {
        self.loaded = loaded;
    }

    /// Looks whether anything of the service runs here.
    pub(super) fn look(&self, operation: OperationId) {
        let (loaded, inputs) = (self.loaded.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let presence = stop::look(&loaded.config.service).await;
            report(&inputs, Event::Looked { operation, presence }).await;
        });
    }

    /// Runs the start list, then waits for the local checks.
    pub(super) fn start(&mut self, operation: OperationId, epoch: Epoch, resume: bool, reason: &str) {
        let run = self.list(List::Start, epoch, resume, reason);
        let (witness, loaded, role) = (self.witness(epoch), self.loaded.clone(), self.role);
        self.replace(move |mut cancel, inputs| async move {
            tidy_interrupted(&run, resume).await;
            let outcome = match run_list(&run, &witness, &mut cancel).await {
                ListEnd::Done => verify_start(&loaded.config, role, &mut cancel).await,
                ListEnd::Failed { step, reason } => StartOutcome::Failed { step, reason },
                ListEnd::Cancelled => return,
            };
            report(&inputs, Event::StartDone { operation, outcome }).await;
        });
    }

    /// Ends a start in progress, runs the stop list, verifies.
    pub(super) fn stop(&mut self, operation: OperationId, epoch: Epoch, resume: bool, reason: &str) {
        let run = self.list(List::Stop, epoch, resume, reason);
        let (witness, loaded) = (self.witness(epoch), self.loaded.clone());
        self.replace(move |_, inputs| async move {
            tidy_interrupted(&run, resume).await;
            let outcome = stop::stop_service(&loaded.config.service, &run, &witness).await;
            report(&inputs, Event::StopDone { operation, outcome }).await;
        });
    }

    /// One list at a time: the running one is ended, and gone, before the next begins.
    fn replace<F, W>(&mut self, work: F)
    where
        F: FnOnce(watch::Receiver<bool>, mpsc::Sender<Input>) -> W + Send + 'static,
        W: Future<Output = ()> + Send,
    {
        let (cancel, cancelled) = watch::channel(false);
        let (inputs, before) = (self.inputs.clone(), self.running.take());
        let task = tokio::spawn(async move {
            if let Some(Running { cancel, mut task }) = before {
                cancel.send_replace(true);
                if tokio::time::timeout(CANCEL_LIMIT, &mut task).await.is_err() {
                    task.abort();
                }
            }
            work(cancelled, inputs).await;
        });
        self.running = Some(Running { cancel, task });
    }

    fn list(&self, list: List, epoch: Epoch, resume: bool, reason: &str) -> ListRun {
        let config = &self.loaded.config;
        let steps = match list {
            List::Start => config.service.startup_scripts.clone(),
            List::Stop => config.service.shutdown_scripts.clone(),
        };
        ListRun {
            list,
            steps,
            from: if resume { interrupted_at(&self.resume, list, epoch) } else { 1 },
            environment: Environment {
                epoch,
                role: self.role,
                operation: Operation::of(self.role, list == List::Start),
                peer: config.host(self.role.peer()).name.clone(),
                reason: reason.to_string(),
            },
            directory: config.service.directory.clone(),
            log: self.log.clone(),
            kill_after: config.timing.kill_after,
        }
    }

    fn witness(&self, epoch: Epoch) -> Witness {
        Witness { epoch, disk: self.disk.clone(), inputs: self.inputs.clone() }
    }
}

/// Writes each step down and tells the loop.
struct Witness {
    epoch: Epoch,
    disk: Disk,
    inputs: mpsc::Sender<Input>,
}

impl StepWitness for Witness {
    async fn begins(&self, step: &StepAt) -> bool {
        let text = format!("{} step {}/{} begins", step.list.word(), step.index, step.of);
        let entry = entries::entry("step", &text, &fields(self.epoch, step, &[]));
        // Told first: the operator's view must not wait for the disk.
        let _ = self.inputs.send(Input::Step(StepProgress::Begins(step.clone()))).await;
        self.disk.note_durably(entry).await
    }

    async fn ended(&self, step: &StepAt, end: &StepEnd) {
        let result = end.failure();
        let said = result.as_deref().unwrap_or("exit 0");
        let text = format!("{} step {}/{}: {said}", step.list.word(), step.index, step.of);
        let more = [
            ("result", json!(said)),
            ("duration_ms", json!(u64::try_from(end.took.as_millis()).unwrap_or(u64::MAX))),
            ("tail", json!(end.tail)),
        ];
        // Not durable: the next step's beginning is, and it comes behind this entry in the same file.
        self.disk.note(entries::entry("step", &text, &fields(self.epoch, step, &more)));
        let _ = self.inputs.send(Input::Step(StepProgress::Ended)).await;
    }
}

fn fields<'a>(epoch: Epoch, step: &StepAt, more: &[(&'a str, serde_json::Value)]) -> Vec<(&'a str, serde_json::Value)> {
    let mut fields = vec![
        ("list", json!(step.list)),
        ("index", json!(step.index)),
        ("of", json!(step.of)),
        ("epoch", json!(epoch)),
        ("command", json!(step.command)),
    ];
    fields.extend_from_slice(more);
    fields
}

/// The step at which an interrupted list goes on: the one behind the last that ended, or the one that was running. Only
/// that one may run twice.
fn interrupted_at(journal: &[Entry], list: List, epoch: Epoch) -> u32 {
    let of_list = |entry: &&Entry| {
        entry.kind == "step"
            && entry.fields.get("list") == Some(&json!(list))
            && entry.fields.get("epoch") == Some(&json!(epoch))
    };
    let Some(last) = journal.iter().rev().find(of_list) else { return 1 };
    let index =
        last.fields.get("index").and_then(serde_json::Value::as_u64).and_then(|index| u32::try_from(index).ok());
    let index = index.unwrap_or(1);
    if last.fields.contains_key("result") { index.saturating_add(1) } else { index }
}

/// A step of the daemon that died may still be running beside its repetition.
async fn tidy_interrupted(run: &ListRun, resume: bool) {
    if resume {
        kill_interrupted(&run.environment.marker(run.from), run.kill_after).await;
    }
}

/// The start counts only when the local checks pass: scripts that exit 0 are no service yet.
async fn verify_start(config: &Config, role: Role, cancel: &mut watch::Receiver<bool>) -> StartOutcome {
    let target = config.host(role).service_address;
    let until = tokio::time::Instant::now() + config.timing.start_verify;
    for one in &config.checks {
        loop {
            let failure = match check::run_once(one, target, &config.service.directory).await.result {
                Ok(_) => break,
                // The canary's password says nothing about the service.
                Err(failure) if failure.symptom == crate::decision::Symptom::LoginRefused => break,
                Err(failure) => failure,
            };
            if tokio::time::Instant::now() >= until || *cancel.borrow() {
                let reason = format!("the scripts ended well, but check {:?} does not pass: {failure}", one.name);
                return StartOutcome::Failed { step: 0, reason };
            }
            tokio::time::sleep(VERIFY_EVERY).await;
        }
    }
    StartOutcome::Started
}

async fn report(inputs: &mpsc::Sender<Input>, event: Event) {
    // The loop is gone: the next start of the daemon goes on from the journal.
    let _ = inputs.send(Input::Core(event)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(list: List, index: u32, epoch: u64, ended: bool) -> Entry {
        let at = StepAt { list, index, of: 3, command: "x".into() };
        let more = [("result", json!("exit 0"))];
        entries::entry("step", "", &fields(Epoch(epoch), &at, if ended { &more } else { &[] }))
    }

    #[test]
    fn an_interrupted_list_goes_on_at_the_step_that_was_running() {
        let journal = [step(List::Start, 1, 4, false), step(List::Start, 1, 4, true), step(List::Start, 2, 4, false)];
        assert_eq!(interrupted_at(&journal, List::Start, Epoch(4)), 2);
        assert_eq!(interrupted_at(&journal[..2], List::Start, Epoch(4)), 2);
        assert_eq!(interrupted_at(&journal[..1], List::Start, Epoch(4)), 1);
    }

    #[test]
    fn steps_of_another_list_or_epoch_are_history() {
        let journal = [step(List::Stop, 3, 4, true), step(List::Start, 2, 2, true)];
        assert_eq!(interrupted_at(&journal, List::Start, Epoch(4)), 1);
        assert_eq!(interrupted_at(&[], List::Start, Epoch(4)), 1);
    }
}
