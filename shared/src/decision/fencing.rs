//! Fencing a peer that cannot be asked: cutting it off, so that it cannot write any more whatever it does.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::action::{Action, PageKind};
use super::contend::Holder;
use super::node::Node;
use super::peer::Duty;
use super::policy::Policy;
use super::record::{Attempt, Proof};
use super::rule::Rule;
use super::state::State;
use super::timer::Timer;
use super::types::{Millis, OperationId};

/// The fence under way, and the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Fencing {
    pub(super) under_way: Option<(OperationId, Millis)>,
    /// A fence that failed is not tried again before this.
    not_before: Millis,
    /// The devices let the peer back. Never beside a fence: they would undo each other.
    pub(super) letting_back: Option<(OperationId, Millis)>,
    /// What failed to let it back is not tried again before this.
    pub(super) back_not_before: Millis,
}

impl Fencing {
    /// The devices are at work.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.is_some() || self.letting_back.is_some()
    }
}

impl Node {
    /// While a take-over waits for a proof: is it time to fetch one?
    pub(super) fn consider_fence(&mut self, now: Millis, out: &mut Vec<Action>) {
        if self.fence_at().is_none_or(|at| now < at) || self.holder(now) == Holder::Renewing {
            return;
        }
        let operation = self.operation();
        self.fencing.under_way = Some((operation, now));
        self.note(now, Rule::FenceBegan, "", out);
        if self.record.fenced.is_some() {
            // The peer may have booted since the earlier fence, and is cut off again all the same, at the latest when this
            // one's limit ends, whether that is ever told or not.
            self.fenced_until(now.after(self.policy.fence_limit_ms), operation);
            self.persist(self.record.phase.clone(), out);
        }
        out.push(Action::Fence { operation });
    }

    /// When the peer is fenced next, as things are. What rests on silence alone waits for doubt about the own host to end.
    fn fence_at(&self) -> Option<Millis> {
        let doubtful = self.tilt_until.is_some() || self.facts.isolated || self.frozen;
        if !self.policy.proof_fence || self.fencing.is_busy() || doubtful || self.in_maintenance() {
            return None;
        }
        let after_second_way = if self.policy.rcmd { Policy::RCMD_AFTER_MS } else { Millis(0) };
        let wait = match &self.state {
            State::Requesting { progress, .. } if progress.writing.is_none() && self.peer.silent => after_second_way,
            State::Proving { .. } | State::TakeoverBlocked { .. } if !self.is_stopping_there() => Millis(0),
            _ => return None,
        };
        Some(self.entered.after(wait).after(self.policy.fence_delay_ms).max(self.fencing.not_before))
    }

    fn is_stopping_there(&self) -> bool {
        self.heard().is_some_and(|beat| beat.duty == Duty::Stopping)
    }

    pub(super) fn fence_timers(&self, each: &mut dyn FnMut(Timer, Millis)) {
        // One that is due and was held back is weighed again with the next event.
        if let Some(at) = self.fence_at().filter(|at| *at > self.arbitration.judged_at) {
            each(Timer::FenceNext, at);
        }
        if let Some((_, began)) = self.fencing.under_way.or(self.fencing.letting_back) {
            each(Timer::FenceLimit, began.after(self.policy.fence_limit_ms));
        }
    }

    /// A fence whose end nobody reports.
    pub(super) fn judge_fence(&mut self, now: Millis, out: &mut Vec<Action>) {
        if let Some((operation, began)) = self.fencing.under_way
            && now.since(began) >= self.policy.fence_limit_ms
        {
            self.fence_done(now, operation, Err("no answer in time".into()), out);
        }
        if let Some((operation, began)) = self.fencing.letting_back
            && now.since(began) >= self.policy.fence_limit_ms
        {
            self.unfence_done(now, operation, Err("no answer in time".into()), out);
        }
    }

    pub(super) fn fence_done(
        &mut self,
        now: Millis,
        operation: OperationId,
        result: Result<String, String>,
        out: &mut Vec<Action>,
    ) {
        let Some((_, began)) = self.fencing.under_way.take_if(|(expected, _)| *expected == operation) else { return };
        let device = match result {
            Ok(device) => device,
            Err(why) => return self.fence_failed(now, &why, out),
        };
        // One that waited here while this daemon stood still is history: the peer may have booted and serve again.
        let is_fresh = now.since(began) < self.policy.fence_limit_ms;
        self.fenced_until(now, operation);
        let attempt: Option<Attempt> = match &self.state {
            State::Requesting { attempt, .. }
            | State::Proving { attempt, .. }
            | State::TakeoverBlocked { attempt, .. } => Some(attempt.clone()),
            _ => None,
        };
        match attempt {
            Some(_) if !is_fresh => {
                self.persist(self.record.phase.clone(), out);
                self.fence_failed(now, "its answer came too late to be a proof", out);
            }
            Some(attempt) => self.claim(now, attempt, Proof::Fence { device }, Rule::ProofFence, out),
            // Decided otherwise meanwhile; that it was fenced must be known all the same.
            None => {
                self.persist(self.record.phase.clone(), out);
            }
        }
    }

    fn fence_failed(&mut self, now: Millis, why: &str, out: &mut Vec<Action>) {
        self.fencing.not_before = now.after(Policy::FENCE_RETRY_MS);
        self.note(now, Rule::FenceFailed, why, out);
        let peer = self.policy.role.peer();
        self.page(
            PageKind::Fence,
            format!("The {peer} could not be fenced: {why}"),
            "The service is not started here on that; other proofs of stop are still waited for.",
            format!("failoverctl fence status {peer}; then mend the device, or cut the host off by hand and failoverctl confirm-stopped {peer} --reason …"),
            out,
        );
    }
}
