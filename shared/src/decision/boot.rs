//! After a start of the daemon: what the disk remembers decides where the machine begins.

use alloc::format;
use alloc::vec::Vec;

use super::action::{Action, Balance, PageKind};
use super::contend::Holder;
use super::lease::{HeldLease, Resumed::Lost};
use super::node::Node;
use super::planted::{Bug, planted};
use super::record::{Phase, StopCause};
use super::rule::Rule;
use super::state::{Progress, State};
use super::types::{BootId, Millis, OperationId, Presence};

impl Node {
    /// A record of this kernel start is gone on with; one of an earlier start is history, since its processes are gone.
    pub(super) fn boot(&mut self, boot: BootId, held: Option<HeldLease>, now: Millis, out: &mut Vec<Action>) {
        let same_start = self.record.boot == boot || planted(Bug::BootsActive);
        self.record.boot = boot;
        // When that was, nobody remembers; not later than now.
        if self.record.gave_leave.is_some() && !planted(Bug::LeaveForgotten) {
            self.let_go_at = Some(now);
        }
        self.resume_maintenance(now, same_start);
        if !same_start {
            self.rebooted = may_have_run(&self.record.phase);
            // Written with the new kernel start's number, the old phase would be taken for a running one.
            self.record.phase = Phase::Standby;
            return self.begin_passive(now, out);
        }
        // The kernel start in which the peer was known goes on, so its silence counts from here; a passive host waits.
        self.peer.heard_at = Some(now);
        match self.record.phase.clone() {
            Phase::Standby | Phase::Stopped { .. } => return self.begin_passive(now, out),
            Phase::Requesting(attempt) => {
                // Not sent before the own readiness is known: the peer would refuse a host that is not ready.
                let progress = Progress {
                    writing: None,
                    sent: None,
                    again_at: None,
                    peer_obeys: false,
                    rcmd_tried: false,
                    preparing: false,
                };
                self.enter(now, State::Requesting { attempt, progress });
            }
            // While this daemon was away, its silence may have earned the peer another proof, but not sooner than this.
            Phase::Starting { epoch, attempt, .. }
                if now.since(attempt.began) >= self.policy.shutdown_timeout_ms && !planted(Bug::OldStartResumed) =>
            {
                self.note(now, Rule::StartOvertaken, "", out);
                self.stop_service(now, epoch, StopCause::Overtaken, None, out);
            }
            Phase::Starting { epoch, .. } | Phase::Active { epoch } if self.resume_lease(now, epoch, held) == Lost => {
                self.note(now, Rule::LeaseNotRenewed, "it ran out while the daemon was away", out);
                self.stop_service(now, epoch, StopCause::LeaseLost, None, out);
            }
            Phase::Starting { epoch, attempt, proof } => {
                self.guard_again(out);
                let operation = self.operation();
                out.push(Action::Balance(Balance::Nowhere(epoch)));
                let evidence = attempt.evidence.clone();
                out.push(Action::Start { operation, epoch, resume: true, evidence });
                self.enter(now, State::Starting { epoch, attempt, proof, operation });
            }
            Phase::Active { epoch } => {
                if self.policy.lease.is_some() && self.keeping.is_none() {
                    self.note(now, Rule::LeaseMissing, &format!("epoch {epoch}"), out);
                }
                self.guard_again(out);
                // The clients are taken when the own checks pass: the service may have died with the daemon, and be elsewhere.
                self.enter(now, State::Active { epoch });
            }
            Phase::Stopping { epoch, cause } => {
                self.resume_lease(now, epoch, held);
                let operation = self.operation();
                out.push(Action::Balance(Balance::Nowhere(epoch)));
                out.push(Action::Stop { operation, epoch, resume: true, reason: "resumed after a restart".into() });
                let answer_to = match &cause {
                    StopCause::Demand(request) => Some(*request),
                    StopCause::HigherEpoch(_)
                    | StopCause::LeaseLost
                    | StopCause::Deposed(_)
                    | StopCause::StartFailed { .. }
                    | StopCause::Overtaken
                    | StopCause::Invariant => None,
                };
                self.enter(now, State::Stopping { epoch, cause, answer_to, operation });
            }
            Phase::FailedStart { epoch, reason, commanded } => {
                self.enter(now, State::FailedStart { epoch, reason, commanded, asked: None });
            }
            Phase::FailedStop { epoch, reason } => {
                self.resume_lease(now, epoch, held);
                self.enter(now, State::FailedStop { epoch, reason, looking: None });
            }
        }
        self.note(now, Rule::Resumed, "", out);
    }

    fn begin_passive(&mut self, now: Millis, out: &mut Vec<Action>) {
        self.peer.heard_at = None;
        let operation = self.operation();
        out.push(Action::Look { operation });
        out.push(Action::Balance(Balance::Leave));
        let unseen = planted(Bug::BootsUnseen);
        let looking = (!unseen).then_some(operation);
        self.enter(now, State::Passive { looking, clean: unseen });
        self.note(now, Rule::BootPassive, "", out);
    }

    /// The look of a passive host ended.
    pub(super) fn looked_passive(
        &mut self,
        now: Millis,
        operation: OperationId,
        presence: Presence,
        out: &mut Vec<Action>,
    ) {
        let State::Passive { looking, clean } = &mut self.state else { return };
        if *looking != Some(operation) {
            return;
        }
        *looking = None;
        match presence {
            Presence::NothingRuns => *clean = true,
            Presence::Runs(what) | Presence::CannotTell(what) => {
                self.found_running(now, format!("found on a passive host: {what}"), out);
            }
        }
    }

    /// Something of the service runs where it must not, or nobody can tell that it does not.
    pub(super) fn found_running(&mut self, now: Millis, reason: alloc::string::String, out: &mut Vec<Action>) {
        self.note(now, Rule::ServiceFoundRunning, &reason, out);
        self.page(
            PageKind::Exclusivity,
            reason.clone(),
            "This host starts and acknowledges nothing until that is cleared; two hosts may be using the store.",
            "Stop the service here by hand, find out what started it (failoverctl check), then: failoverctl ack",
            out,
        );
        self.enter(now, State::ExclusivityError { reason, looking: None });
    }

    /// A passive host that found nothing running and hears its peer stands by; one that hears nobody pages.
    pub(super) fn consider_passive(&mut self, now: Millis, clean: bool, out: &mut Vec<Action>) {
        // With an arbiter nobody has to be heard: it knows whether anybody may run the service.
        let arbiter = self.policy.proof_lease && !matches!(self.holder(now), Holder::Unknown);
        if clean && (self.heard().is_some() || arbiter) && self.answering.is_none() {
            self.peer.heard_at.get_or_insert(now);
            self.note(now, Rule::BecameStandby, "", out);
            self.enter(now, State::Standby);
        }
    }

    pub(super) fn boot_wait_over(&mut self, now: Millis, out: &mut Vec<Action>) {
        if self.heard().is_none() && !self.told.contains(&PageKind::NobodyActive) {
            self.note(now, Rule::BootAlone, "", out);
            self.page(
                PageKind::NobodyActive,
                format!("The {} has not been heard since this host started.", self.policy.role.peer()),
                "The service is not started here: the other host might be running it.",
                "Bring the other host back, or verify that it does not run the service and type: failoverctl start-alone --reason …",
                out,
            );
        }
    }
}

/// Something of the service may have run in this phase.
fn may_have_run(phase: &Phase) -> bool {
    match phase {
        Phase::Starting { .. } | Phase::Active { .. } | Phase::Stopping { .. } | Phase::FailedStop { .. } => true,
        Phase::Standby | Phase::Requesting(_) | Phase::Stopped { .. } | Phase::FailedStart { .. } => false,
    }
}
