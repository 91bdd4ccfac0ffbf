//! The stop from its first script to its verdict.
//!
//! The future owns the step that runs. Dropping it kills that step's group and leaves the service as it is then: not
//! stopped as far as anyone may say.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::config::{OnStopFailure, Postcondition, Service};
use crate::decision::{Forced, StopMeans, StopOutcome};
use crate::failpoint::failpoint;
use crate::process;
use crate::script::{
    Cancel, Direction, ListEnd, ListLock, ListOutcome, ListRun, OnStepFailure, Position, StepEvent, run_list,
};

use super::condition::remember;
use super::evidence::populated_groups;
use super::ladder::Targets;
use super::verify::{StopContext, Verification, verify};

/// How long a stop may take to show after the ladder has run.
const SETTLE_AFTER_LADDER: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How long reading the pid files may take.
const REMEMBER_LIMIT: Duration = Duration::from_secs(2);
/// How long a note waits for the one who keeps the journal.
const TELL_LIMIT: Duration = Duration::from_millis(500);

/// A stop to carry out.
#[derive(Debug)]
pub struct StopRun {
    /// The service.
    pub service: Arc<Service>,
    /// What is known beside the configuration, and what the scripts are told.
    pub context: StopContext,
    /// The host's script log.
    pub log_file: PathBuf,
    /// Between TERM and KILL; also how long a stop list that passed may take to show.
    pub kill_after: Duration,
    /// Where to begin in the stop list.
    pub position: Position,
    /// The daemon died while this stop ran.
    pub resumed: bool,
    /// The step before `position` had failed when the daemon died.
    pub failed: Option<Forced>,
    /// No stop list: the ladder at once. For the lower epoch of two actives.
    pub ladder_only: bool,
    /// A start has failed in the middle. The stop list, which its author wrote in the start's reverse order, then runs
    /// to its end whatever its steps say: what was never started cannot be stopped. What is left decides, as always.
    pub after_failed_start: bool,
    /// Shared by all lists of the host.
    pub lock: ListLock,
    /// Who keeps the journal. Never holds up the stop for longer than its bounds.
    pub events: mpsc::Sender<StepEvent>,
}

/// Stops the service and verifies it. Always ends: the steps have limits, and so has everything else.
pub async fn stop_service(mut run: StopRun) -> StopOutcome {
    run.remember_pid_files().await;
    run.context.populated.extend(populated_groups(&run.service).await);
    let (reason, rest) = match run.list().await {
        Ok(()) => return run.verified(None),
        Err(failed) => failed,
    };
    if run.service.on_stop_failure == OnStopFailure::AskOperator && !run.ladder_only {
        let reason = format!("{}; on_stop_failure is AskOperator, so nothing was forced", reason.reason);
        return StopOutcome::NotVerified { reason };
    }
    let tell = Teller(run.events.clone());
    tell.note(format!("ladder: {}", reason.reason)).await;
    Targets::of(&run.service, &run.context).end_processes(run.kill_after, &tell).await;
    let goes_on = rest.is_some();
    if let Some(rest) = rest {
        // What the failed step should have done, the ladder did. What comes after it is still to be done.
        let outcome = run.steps(rest, false, OnStepFailure::GoOn).await;
        run.context.groups.extend(outcome.groups);
    }
    let targets = Targets::of(&run.service, &run.context);
    if goes_on {
        targets.end_processes(run.kill_after, &tell).await;
    }
    targets.unmount(&run.context.environment.variables(), &tell).await;
    let verification = run.settled(SETTLE_AFTER_LADDER).await;
    if verification.holds {
        return run.verified(Some(reason));
    }
    StopOutcome::NotVerified { reason: verification.missing() }
}

impl StopRun {
    /// The stop list and a first look. `Err`: why the ladder is needed, and where the list then goes on.
    async fn list(&mut self) -> Result<(), (Forced, Option<Position>)> {
        if self.ladder_only {
            let reason = "the ladder was asked for at once".to_owned();
            return Err((Forced { step: 0, reason }, None));
        }
        if let Some(failed) = self.failed.take().filter(|_| !self.after_failed_start) {
            return Err((failed, Some(self.position.clone())));
        }
        let on_step_failure = if self.after_failed_start { OnStepFailure::GoOn } else { OnStepFailure::EndList };
        let outcome = self.steps(self.position.clone(), self.resumed, on_step_failure).await;
        self.context.groups.extend(outcome.groups);
        let ended = outcome.ended;
        let go_on_at = |step: u32| Some(Position { step, ended: ended.clone() });
        match outcome.end {
            ListEnd::Completed => {}
            ListEnd::Failed(failure) => {
                let forced = Forced { step: failure.step, reason: failure.reason };
                return Err((forced, go_on_at(failure.step.saturating_add(1))));
            }
            ListEnd::Cancelled { step } => {
                let reason = format!("step {step} was cancelled");
                return Err((Forced { step, reason }, go_on_at(step.saturating_add(1))));
            }
            ListEnd::NotBegun { step, reason } => {
                return Err((Forced { step, reason }, go_on_at(step)));
            }
        }
        let verification = self.settled(self.kill_after).await;
        if verification.holds {
            return Ok(());
        }
        let reason = format!("every step ended, and yet: {}", verification.missing());
        Err((Forced { step: 0, reason }, None))
    }

    async fn steps(&self, position: Position, resumed: bool, on_step_failure: OnStepFailure) -> ListOutcome {
        let run = ListRun {
            stages: self.service.lists.of(self.context.environment.operation).to_vec(),
            position,
            resumed,
            direction: Direction::Stop,
            on_step_failure,
            environment: self.context.environment.clone(),
            directory: self.service.directory.clone(),
            log_file: self.log_file.clone(),
            kill_after: self.kill_after,
            cgroup: None,
            lock: self.lock.clone(),
            events: self.events.clone(),
        };
        run_list(run, Cancel::never()).await
    }

    /// Looks until everything holds, or nothing more is to be expected within `span`: services end a moment after the
    /// command that told them to.
    async fn settled(&self, span: Duration) -> Verification {
        let limit = Instant::now() + span;
        loop {
            let verification = verify(&self.service, &self.context).await;
            // What could not be told has had its own time; only what is still ending may change.
            if verification.broken().is_empty() || Instant::now() >= limit {
                return verification;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn verified(&self, forced: Option<Forced>) -> StopOutcome {
        failpoint("stop-verified");
        StopOutcome::Stopped { means: StopMeans::PostConditions, forced }
    }

    async fn remember_pid_files(&mut self) {
        for condition in &self.service.stopped_when {
            let Postcondition::PidFileGone(path) = condition else { continue };
            let path = path.clone();
            // A file that cannot be read now cannot be read when the stop is verified either, which then says so.
            if let Some(Ok(found)) = process::aside(REMEMBER_LIMIT, move || remember(&path)).await {
                self.context.remembered.extend(found);
            }
        }
    }
}

/// Tells the rungs of the ladder, and is never held up by it for long.
pub(super) struct Teller(mpsc::Sender<StepEvent>);

impl Teller {
    pub(super) async fn note(&self, text: String) {
        let _ = self.0.send_timeout(StepEvent::Note { text }, TELL_LIMIT).await;
    }
}
