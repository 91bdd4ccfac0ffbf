//! Stopping the service so that it can be believed: the stop list, the ladder where that is not enough, and a look at
//! every post-condition. Exit codes are no evidence.

mod ladder;
mod verify;

use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use verify::{Finding, Holds, verify};

use crate::config::{OnStopFailure, Service};
use crate::decision::{Forced, Presence, StopMeans, StopOutcome};
use crate::script::{ListEnd, ListRun, StepWitness, run_list};

/// How long the post-conditions may take to come true behind the last rung: sockets close and mounts go a moment after
/// their processes.
const SETTLE: Duration = Duration::from_secs(2);

/// How long one post-condition may be looked at; one that hangs is one that cannot be told.
pub const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// Runs the stop list, the ladder if it is needed and allowed, and verifies.
pub async fn stop_service<W: StepWitness>(service: &Service, run: &ListRun, witness: &W) -> StopOutcome {
    let (_keep, mut never) = watch::channel(false);
    let list = run_list(run, witness, &mut never).await;
    let trouble = match list {
        ListEnd::Done => None,
        ListEnd::Failed { step, reason } => Some(Forced { step, reason }),
        ListEnd::Cancelled => Some(Forced { step: 0, reason: "the stop list was ended from outside".into() }),
    };
    if trouble.is_none() && settled(service).await.is_empty() {
        return StopOutcome::Stopped { means: StopMeans::PostConditions, forced: None };
    }
    let broken = broken(&verify(service).await);
    if trouble.is_some() && broken.is_empty() {
        // The list failed, yet everything it was for is done, and seen to be done.
        return StopOutcome::Stopped { means: StopMeans::PostConditions, forced: trouble };
    }
    let forced =
        trouble.unwrap_or_else(|| Forced { step: 0, reason: format!("left by the stop list: {}", broken.join("; ")) });
    if service.on_stop_failure == OnStopFailure::AskOperator {
        let reason = format!("{}; on_stop_failure is AskOperator: {}", forced.reason, broken.join("; "));
        return StopOutcome::NotVerified { reason };
    }
    ladder::climb(service, run.kill_after).await;
    let left = settled(service).await;
    if left.is_empty() {
        StopOutcome::Stopped { means: StopMeans::PostConditions, forced: Some(forced) }
    } else {
        StopOutcome::NotVerified { reason: left.join("; ") }
    }
}

/// Whether anything of the service runs here.
pub async fn look(service: &Service) -> Presence {
    let findings = verify(service).await;
    let of = |wanted: fn(&Holds) -> Option<&String>| -> Vec<String> {
        findings.iter().filter_map(|finding| wanted(&finding.holds).map(|why| why.to_string())).collect()
    };
    let runs = of(|holds| if let Holds::No(why) = holds { Some(why) } else { None });
    if !runs.is_empty() {
        return Presence::Runs(runs.join("; "));
    }
    let untold = of(|holds| if let Holds::CannotTell(why) = holds { Some(why) } else { None });
    if !untold.is_empty() {
        return Presence::CannotTell(untold.join("; "));
    }
    Presence::NothingRuns
}

/// What does not hold, after a short time to settle.
async fn settled(service: &Service) -> Vec<String> {
    let until = Instant::now() + SETTLE;
    loop {
        let broken = broken(&verify(service).await);
        if broken.is_empty() || Instant::now() >= until {
            return broken;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn broken(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .filter_map(|finding| match &finding.holds {
            Holds::Yes => None,
            Holds::No(why) | Holds::CannotTell(why) => Some(why.clone()),
        })
        .collect()
}

#[cfg(test)]
mod tests;
