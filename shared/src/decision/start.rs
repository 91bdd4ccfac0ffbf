//! From a proof of stop to the running service: Claimed, Starting, Active, and the start that is taken back.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::action::{Action, Balance, PageKind};
use super::node::Node;
use super::peer::Duty;
use super::planted::{Bug, planted};
use super::record::{Attempt, LeaseProof, Phase, Proof, StopCause};
use super::rule::Rule;
use super::state::{ClaimStep, State};
use super::types::{Epoch, Millis, OperationId, StartOutcome, StopMeans, Verdict};

impl Node {
    /// A proof is there: the new epoch is made durable before anything starts.
    pub(super) fn claim(&mut self, now: Millis, attempt: Attempt, proof: Proof, rule: Rule, out: &mut Vec<Action>) {
        self.note(now, rule, &describe(&proof), out);
        self.rebooted = false;
        self.record.gave_leave = None;
        self.told.remove(&PageKind::Blocked);
        let highest = self.record.highest.max(attempt.epoch);
        if self.policy.lease.is_some() {
            // The arbiter keeps two hosts from one number, so the numbers are consecutive.
            let epoch = Epoch(highest.0.saturating_add(1));
            self.record.highest = epoch;
            self.arbitration.claim_began = now;
            let writing = self.persist(self.record.phase.clone(), out);
            self.note(now, Rule::Claimed, &format!("epoch {epoch}, with the arbiter"), out);
            return self.enter(now, State::Claimed { epoch, attempt, proof, step: ClaimStep::Noting(writing) });
        }
        let epoch = match self.policy.role {
            _ if planted(Bug::EpochUsedAgain) => highest,
            _ if planted(Bug::EpochsOfBothKinds) => Epoch(highest.0.saturating_add(1)),
            role => highest.next_for(role),
        };
        self.record.highest = epoch;
        self.record.owned = epoch;
        if attempt.automatic() {
            self.record.automatic = self.record.automatic.max(epoch);
        }
        // How old the proof is decides whether a daemon that crashes now may go on with the start.
        let proved = Attempt { began: now, ..attempt.clone() };
        let phase = Phase::Starting { epoch, attempt: proved, proof: proof.clone() };
        let writing = self.persist(phase, out);
        self.note(now, Rule::Claimed, &format!("epoch {epoch}"), out);
        self.enter(now, State::Claimed { epoch, attempt, proof, step: ClaimStep::Recording(writing) });
    }

    /// The proof covers every epoch up to the demanded one. If the peer runs a later one, the proof is old: it waited
    /// in a socket while this daemon was stopped, and another proof let the peer start meanwhile.
    pub(super) fn consider_claimed(&mut self, now: Millis, attempt: &Attempt, out: &mut Vec<Action>) {
        let overtaken = self
            .heard()
            .is_some_and(|beat| matches!(beat.duty, Duty::Starting | Duty::Active) && beat.owned > attempt.epoch);
        if overtaken {
            self.note(now, Rule::ClaimOvertaken, "", out);
            self.lease_ends(out);
            self.persist(Phase::Standby, out);
            self.enter(now, State::Standby);
        }
    }

    pub(super) fn start_done(
        &mut self,
        now: Millis,
        operation: OperationId,
        outcome: StartOutcome,
        out: &mut Vec<Action>,
    ) {
        let State::Starting { epoch, attempt, proof, operation: expected } = self.state.clone() else { return };
        if operation != expected {
            return;
        }
        match outcome {
            StartOutcome::Started => self.became_active(now, epoch, &attempt, &proof, out),
            StartOutcome::Failed { .. } if planted(Bug::ExitCodeIgnored) => {
                self.became_active(now, epoch, &attempt, &proof, out);
            }
            StartOutcome::Failed { step, reason } => {
                let reason = if step == 0 { reason } else { format!("start step {step}: {reason}") };
                self.take_back_start(now, epoch, attempt.commanded(), reason, out);
            }
        }
    }

    pub(super) fn take_back_start(
        &mut self,
        now: Millis,
        epoch: Epoch,
        commanded: bool,
        reason: String,
        out: &mut Vec<Action>,
    ) {
        self.note(now, Rule::StartFailed, &reason, out);
        self.stop_service(now, epoch, StopCause::StartFailed { reason, commanded }, None, out);
    }

    fn became_active(&mut self, now: Millis, epoch: Epoch, attempt: &Attempt, proof: &Proof, out: &mut Vec<Action>) {
        if attempt.commanded() {
            self.record.acknowledged = self.record.acknowledged.max(self.record.automatic);
        }
        self.persist(Phase::Active { epoch }, out);
        let shown = if planted(Bug::BalancerLowerEpoch) { Epoch(epoch.0.saturating_sub(2)) } else { epoch };
        out.push(Action::Balance(Balance::Here(shown)));
        out.push(Action::Notice(epoch));
        self.note(now, Rule::StartSucceeded, &format!("epoch {epoch}"), out);
        self.enter(now, State::Active { epoch });
        // The last verdict may speak of the time before the start; the start ended with checks that passed.
        self.facts.local = Verdict::Passed;
        self.told.clear();
        if attempt.automatic() || attempt.commanded() {
            self.page(
                PageKind::Moved,
                format!("{}. Proof of stop: {}.", attempt.evidence, describe(proof)),
                format!(
                    "The service runs on the {} in epoch {epoch}, {} after the decision.",
                    self.policy.role,
                    now.since(attempt.began)
                ),
                "failoverctl why; to bring it home later: failoverctl failback-sheet",
                out,
            );
            self.told.remove(&PageKind::Moved);
        }
    }
}

/// A proof in words.
pub(super) fn describe(proof: &Proof) -> String {
    match proof {
        Proof::Ack { means, forced, by_rcmd } => {
            let means = match means {
                StopMeans::PostConditions => "every post-condition verified",
                StopMeans::Rebooted => "the host booted anew and runs nothing",
                StopMeans::NotRunning => "nothing was running",
                StopMeans::Operator => "an operator said so there",
            };
            let way = if *by_rcmd { "signed statement" } else { "acknowledged" };
            match forced {
                Some(forced) => format!("{way}: {means} (forced, step {}: {})", forced.step, forced.reason),
                None => format!("{way}: {means}"),
            }
        }
        Proof::Lease(LeaseProof::Released) => "the peer released its lease".into(),
        Proof::Lease(LeaseProof::Own) => "the latest epoch is this host's own, and nothing of it runs here".into(),
        Proof::Lease(LeaseProof::Expired { unchanged_ms }) => {
            format!("the peer's lease ran out: not renewed for {unchanged_ms}")
        }
        Proof::Fence { device } => format!("fenced by {device}, read back"),
        Proof::Operator { by } => format!("confirmed by {by}"),
        Proof::Timeout => "none: the time-out passed (two actives are possible)".into(),
    }
}
