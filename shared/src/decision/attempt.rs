//! A demand under way and its answers: Requesting, Proving, TakeoverBlocked.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::action::{Action, PageKind};
use super::contend::Holder;
use super::node::Node;
use super::peer::{Answer, Demand, Duty, Evidence};
use super::planted::{Bug, planted};
use super::policy::Policy;
use super::record::{Attempt, Phase, Proof};
use super::rule::Rule;
use super::state::{Progress, State};
use super::types::{Epoch, Forced, Millis, RequestId, StopMeans, Verdict};

impl Node {
    pub(super) fn send_demand(&mut self, now: Millis, out: &mut Vec<Action>) {
        let (role, limit, ready) = (self.policy.role, self.policy.shutdown_timeout_ms, self.is_ready());
        let entered = self.entered;
        let (attempt, lifetime_ms, prepare) = match &mut self.state {
            State::Requesting { attempt, progress } => {
                progress.sent = Some(now);
                progress.again_at = None;
                let left = Millis(limit.0.saturating_sub(now.since(entered).0));
                (attempt.clone(), left, progress.preparing)
            }
            // Blocked: a returning peer may still answer that it has stopped.
            State::TakeoverBlocked { attempt, sent, .. } => {
                *sent = now;
                (attempt.clone(), limit, false)
            }
            _ => return,
        };
        let Attempt { request, evidence, epoch, .. } = attempt;
        let demand = Demand { request, from: role, epoch, evidence, ready, lifetime_ms, prepare };
        out.push(Action::SendDemand { demand, sent: now });
    }

    /// While a demand is under way: is its reason gone, may it be sent now?
    pub(super) fn consider_requesting(
        &mut self,
        now: Millis,
        attempt: &Attempt,
        progress: &Progress,
        out: &mut Vec<Action>,
    ) {
        if !progress.peer_obeys && self.reason_is_gone(attempt) {
            return self.withdraw(now, attempt.request, Rule::Withdrawn, out);
        }
        // A demand from before a restart of the daemon, and the first look at the own readiness is over.
        let resumed = progress.writing.is_none() && progress.sent.is_none() && progress.again_at.is_none();
        if resumed
            && self.facts.not_ready.is_some()
            && let State::Requesting { progress, .. } = &mut self.state
        {
            progress.again_at = Some(now);
        }
        if progress.writing.is_some() || !self.peer.silent {
            return;
        }
        match self.lease_over(now) {
            Some(proof) => self.claim(now, attempt.clone(), Proof::Lease(proof), Rule::ProofLease, out),
            None if matches!(attempt.evidence, Evidence::Silence(_)) && self.holder(now) == Holder::Renewing => {
                self.withdraw(now, attempt.request, Rule::LeaseRenewing, out);
            }
            None => {}
        }
    }

    /// The demand's time is over and the peer's lease is awaited.
    pub(super) fn consider_lease(&mut self, now: Millis, attempt: Attempt, out: &mut Vec<Action>) {
        if self.reason_is_gone(&attempt) {
            return self.withdraw(now, attempt.request, Rule::Withdrawn, out);
        }
        if let Some(proof) = self.lease_over(now) {
            return self.claim(now, attempt, Proof::Lease(proof), Rule::ProofLease, out);
        }
        let renewing = self.holder(now) == Holder::Renewing;
        if renewing && matches!(attempt.evidence, Evidence::Silence(_)) {
            self.withdraw(now, attempt.request, Rule::LeaseRenewing, out);
        } else if renewing || !self.peer.silent || !self.lease_is_awaited(now) {
            let allowed = self.policy.proof_timeout;
            self.block(now, attempt, Rule::NoProof, "the peer's lease does not run out", allowed, out);
        }
    }

    /// The next sending and the second way. Only when every answer that waited was read: it may make them needless.
    pub(super) fn demand_timers(&mut self, now: Millis, out: &mut Vec<Action>) {
        match &self.state {
            State::Requesting { attempt, progress } if progress.writing.is_none() => {
                let Attempt { request, epoch, .. } = *attempt;
                let rcmd_due = self.policy.rcmd
                    && !progress.rcmd_tried
                    && progress.sent.is_some()
                    && self.peer.silent
                    && now.since(self.entered) >= Policy::RCMD_AFTER_MS;
                let prepared = progress.preparing && now.since(self.entered) >= Policy::PREPARE_LIMIT_MS;
                if progress.again_at.is_some_and(|at| now >= at) {
                    self.send_demand(now, out);
                }
                if prepared {
                    self.prepared(now, "it did not answer in time, so it is not asked any more", out);
                }
                if rcmd_due && let State::Requesting { progress, .. } = &mut self.state {
                    progress.rcmd_tried = true;
                    out.push(Action::Rcmd { request, epoch, sent: now });
                }
            }
            State::TakeoverBlocked { sent, .. } if now.since(*sent) >= Policy::DEMAND_RETRY_MS => {
                self.send_demand(now, out);
            }
            _ => {}
        }
    }

    /// What the peer says is a proof for as long as it keeps to it whatever a person says there. One that is older waited
    /// on its way, or in a socket while this daemon was stopped.
    fn is_fresh(&self, now: Millis, sent: Millis) -> bool {
        now.since(sent) < self.policy.leave_ms() || planted(Bug::AnswersStayFresh)
    }

    /// The service is well again where it runs, so there is nothing to move.
    fn reason_is_gone(&self, attempt: &Attempt) -> bool {
        let Some(beat) = self.heard() else { return false };
        let well_there = beat.duty == Duty::Active && beat.verdict == Verdict::Passed;
        match attempt.evidence {
            Evidence::OwnVerdict(_) | Evidence::Silence(_) => well_there,
            Evidence::RemoteCheck(_) => well_there && self.facts.remote == Verdict::Passed,
            Evidence::NobodyActive => matches!(beat.duty, Duty::Active | Duty::Starting),
            Evidence::Command { .. } | Evidence::RollBack => false,
        }
    }

    pub(super) fn withdraw(&mut self, now: Millis, request: RequestId, rule: Rule, out: &mut Vec<Action>) {
        out.push(Action::Withdraw(request));
        self.note(now, rule, &format!("demand {request}"), out);
        self.told.remove(&PageKind::Blocked);
        self.persist(Phase::Standby, out);
        self.enter(now, State::Standby);
    }

    pub(super) fn demand_not_durable(&mut self, now: Millis, request: RequestId, out: &mut Vec<Action>) {
        self.refused_until = now.after(Policy::REFUSED_PAUSE_MS);
        self.withdraw(now, request, Rule::DemandNotDurable, out);
    }

    pub(super) fn still_stopping(&mut self, request: RequestId) {
        if let State::Requesting { attempt, progress } = &mut self.state
            && attempt.request == request
        {
            progress.peer_obeys = true;
        }
    }

    pub(super) fn unreachable(&mut self, now: Millis, request: RequestId, out: &mut Vec<Action>) {
        if let State::Requesting { attempt, progress } = &mut self.state
            && attempt.request == request
        {
            progress.again_at = Some(now.after(Policy::DEMAND_RETRY_MS));
            if !self.policy.rcmd {
                self.warn_of_block(now, out);
            }
        }
    }

    /// The silent peer cannot be reached on any way, and no proof is allowed that comes without it or a person: so that
    /// person need not wait for the time-out to hear of it. What may follow the demand is the same as ever.
    fn warn_of_block(&mut self, now: Millis, out: &mut Vec<Action>) {
        let State::Requesting { progress, .. } = &self.state else { return };
        let Policy { proof_timeout, proof_lease, proof_fence, .. } = self.policy;
        let goes_on = proof_timeout || proof_lease || proof_fence;
        if !self.peer.silent || goes_on || progress.peer_obeys {
            return;
        }
        let peer = self.policy.role.peer();
        let ways =
            if self.policy.rcmd { "neither the demand nor the second way reaches it" } else { "no demand reaches it" };
        let left = Millis(self.policy.shutdown_timeout_ms.0.saturating_sub(now.since(self.entered).0));
        self.page(
            PageKind::Unreachable,
            format!("The {peer} is silent on every path, and {ways}."),
            format!(
                "Clients may have no service. An acknowledgement is waited for, for {left} more; without one the \
                 service is not started here."
            ),
            format!(
                "Look whether the {peer} is dead. When failoverctl status says TakeoverBlocked: failoverctl \
                 confirm-stopped {peer} --reason …"
            ),
            out,
        );
    }

    pub(super) fn answered(
        &mut self,
        now: Millis,
        request: RequestId,
        sent: Millis,
        answer: Answer,
        out: &mut Vec<Action>,
    ) {
        let attempt = match &self.state {
            State::Requesting { attempt, .. }
            | State::Proving { attempt, .. }
            | State::TakeoverBlocked { attempt, .. }
                if attempt.request == request || planted(Bug::AnyAnswerCounts) =>
            {
                attempt.clone()
            }
            // The answer to a demand that is not under way any more proves nothing now.
            _ => return,
        };
        // With an arbiter the claim decides, however old the answer is.
        let claims = matches!(self.state, State::Proving { asked: None, .. });
        if matches!(answer, Answer::Acked { .. }) && !claims && !self.is_fresh(now, sent) {
            return self.note(now, Rule::AnswerTooOld, &format!("demand {request}"), out);
        }
        match answer {
            Answer::Acked { epoch, means, forced } if epoch >= attempt.epoch && self.policy.proof_ack => {
                self.learn_epoch(epoch);
                let attempt = Attempt { epoch, ..attempt };
                self.claim(now, attempt, Proof::Ack { means, forced, by_rcmd: false }, Rule::ProofAck, out);
            }
            Answer::Acked { .. } => {
                self.block(
                    now,
                    attempt,
                    Rule::NoProof,
                    "the acknowledgement is for an older epoch, or not allowed",
                    false,
                    out,
                );
            }
            Answer::Prepared => self.prepared(now, "", out),
            Answer::AckedFailed { .. } if planted(Bug::NackIsAck) => {
                let means = StopMeans::PostConditions;
                self.claim(now, attempt, Proof::Ack { means, forced: None, by_rcmd: false }, Rule::ProofAck, out);
            }
            Answer::AckedFailed { reason } => {
                self.block(now, attempt, Rule::PeerNotVerified, &reason, false, out);
            }
            Answer::Refused(_) if planted(Bug::RefusalIsAck) => {
                let means = StopMeans::NotRunning;
                self.claim(now, attempt, Proof::Ack { means, forced: None, by_rcmd: false }, Rule::ProofAck, out);
            }
            Answer::Refused(refusal) => {
                self.refused_until = now.after(Policy::REFUSED_PAUSE_MS);
                self.note(now, Rule::PeerRefused, &format!("{refusal}"), out);
                self.told.remove(&PageKind::Blocked);
                self.persist(Phase::Standby, out);
                self.enter(now, State::Standby);
            }
        }
    }

    /// The first phase is over, by an answer or by its limit: the demand itself follows.
    pub(super) fn prepared(&mut self, now: Millis, detail: &str, out: &mut Vec<Action>) {
        if let State::Requesting { progress, .. } = &mut self.state
            && progress.preparing
        {
            progress.preparing = false;
            self.note(now, Rule::Prepared, detail, out);
            self.send_demand(now, out);
        }
    }

    pub(super) fn rcmd_done(
        &mut self,
        now: Millis,
        request: RequestId,
        sent: Millis,
        result: Result<(Epoch, StopMeans, Option<Forced>), String>,
        out: &mut Vec<Action>,
    ) {
        let attempt = match &self.state {
            State::Requesting { attempt, .. }
            | State::Proving { attempt, .. }
            | State::TakeoverBlocked { attempt, .. }
                if attempt.request == request =>
            {
                attempt.clone()
            }
            _ => return,
        };
        if result.is_ok() && !self.is_fresh(now, sent) {
            // There and back it took longer than its word holds. Nothing is left to stop there, so the next is quick.
            out.push(Action::Rcmd { request, epoch: attempt.epoch, sent: now });
            return self.note(now, Rule::AnswerTooOld, &format!("the second way, demand {request}"), out);
        }
        match result {
            Ok((epoch, means, forced)) if epoch >= attempt.epoch && self.policy.proof_ack => {
                self.learn_epoch(epoch);
                let attempt = Attempt { epoch, ..attempt };
                self.claim(now, attempt, Proof::Ack { means, forced, by_rcmd: true }, Rule::ProofRcmd, out);
            }
            Ok(_) => self.note(now, Rule::NoProof, "the second way's statement is for an older epoch", out),
            Err(reason) => {
                self.note(now, Rule::NoProof, &format!("the second way brought no statement: {reason}"), out);
                self.warn_of_block(now, out);
            }
        }
    }

    /// The demand's time is over.
    pub(super) fn shutdown_timed_out(&mut self, now: Millis, attempt: Attempt, out: &mut Vec<Action>) {
        // A peer that is heard can be asked again, and answers for itself.
        if self.peer.silent && self.lease_is_awaited(now) {
            let at = self.lease_over_at().map_or(Millis(0), |at| at.since(now));
            self.note(now, Rule::LeaseAwaited, &format!("over in {at} at the earliest"), out);
            self.enter(now, State::Proving { attempt, asked: None });
        } else if (self.policy.proof_timeout || planted(Bug::TimeoutStarts)) && self.peer.silent {
            self.note(now, Rule::ShutdownTimedOut, "", out);
            out.push(Action::AskWitness);
            self.enter(now, State::Proving { attempt, asked: Some(now) });
        } else {
            let allowed = self.policy.proof_timeout;
            self.block(now, attempt, Rule::NoProof, "shutdown_timeout passed without an answer", allowed, out);
        }
    }

    /// The witnesses have spoken, or were silent themselves: may silence be taken for a stop?
    pub(super) fn timeout_judged(&mut self, now: Millis, attempt: Attempt, seen: bool, out: &mut Vec<Action>) {
        if seen || !self.peer.silent || self.facts.isolated || self.tilt_until.is_some() {
            self.block(now, attempt, Rule::TimeoutVetoed, "", true, out);
        } else {
            self.claim_by_timeout(now, attempt, out);
        }
    }

    pub(super) fn claim_by_timeout(&mut self, now: Millis, attempt: Attempt, out: &mut Vec<Action>) {
        if self.facts.isolated || self.tilt_until.is_some() {
            return;
        }
        self.claim(now, attempt, Proof::Timeout, Rule::ProofTimeout, out);
    }

    fn block(
        &mut self,
        now: Millis,
        attempt: Attempt,
        rule: Rule,
        detail: &str,
        timeout_allowed: bool,
        out: &mut Vec<Action>,
    ) {
        let reason = if detail.is_empty() { rule.sentence().into() } else { format!("{} ({detail})", rule.sentence()) };
        if let State::TakeoverBlocked { reason: known, timeout_allowed: allowed, .. } = &mut self.state
            && *known == reason
        {
            // The same answer to a repeated demand is no news.
            return *allowed = timeout_allowed;
        }
        self.note(now, rule, detail, out);
        let peer = self.policy.role.peer();
        self.page(
            PageKind::Blocked,
            reason.clone(),
            "The service is not started here: the other host might still run it. Clients may have no service.",
            format!(
                "Verify that the {peer} does not run the service, then: failoverctl confirm-stopped {peer} --reason …"
            ),
            out,
        );
        self.enter(now, State::TakeoverBlocked { attempt, reason, sent: now, asked: None, timeout_allowed });
    }

    /// Blocked: the demand goes on being sent, the peer may come back well, the witnesses may lose sight of it.
    pub(super) fn consider_blocked(&mut self, now: Millis, out: &mut Vec<Action>) {
        let State::TakeoverBlocked { attempt, asked, timeout_allowed, .. } = &self.state else { return };
        let (attempt, asked, timeout_allowed) = (attempt.clone(), *asked, *timeout_allowed);
        if self.reason_is_gone(&attempt) {
            return self.withdraw(now, attempt.request, Rule::Withdrawn, out);
        }
        if let Some(proof) = self.lease_over(now) {
            return self.claim(now, attempt, Proof::Lease(proof), Rule::ProofLease, out);
        }
        let ask =
            timeout_allowed && self.peer.silent && asked.is_none_or(|at| now.since(at) >= Policy::WITNESS_LIMIT_MS);
        if ask && let State::TakeoverBlocked { asked, .. } = &mut self.state {
            *asked = Some(now);
            out.push(Action::AskWitness);
        }
    }
}
