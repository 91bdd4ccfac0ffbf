//! What happens by itself: timers, finished writes and looks, and the facts weighed after every event.

use alloc::format;
use alloc::vec::Vec;

use super::action::{Action, Balance, PageKind};
use super::node::Node;
use super::peer::Duty;
use super::planted::{Bug, planted};
use super::policy::Policy;
use super::record::{Proof, StopCause};
use super::rule::Rule;
use super::state::{ClaimStep, State};
use super::timer::Timer;
use super::types::{Millis, OperationId, Presence, Role, Verdict};

impl Node {
    /// Safety timers, before any input of the turn is looked at.
    pub(super) fn safety_timers(&mut self, now: Millis, out: &mut Vec<Action>) {
        match self.due(now, Timer::is_safety) {
            Some(Timer::PersistLimit) => {
                if let Some(writing) = self.gated_write() {
                    self.persisted(now, writing, false, out);
                }
            }
            Some(Timer::StartLimit) => {
                if let State::Starting { epoch, attempt, .. } = self.state.clone() {
                    self.take_back_start(now, epoch, attempt.commanded(), "the start ran out of time".into(), out);
                }
            }
            Some(Timer::StopLimit) => {
                if let State::Stopping { epoch, answer_to, .. } = self.state.clone() {
                    out.push(Action::Balance(Balance::Leave));
                    self.stop_failed(now, epoch, "the stop ran out of time".into(), answer_to, out);
                }
            }
            Some(Timer::LeaseStop) => self.lease_runs_out(now, out),
            Some(Timer::ArbiterLimit) => self.arbiter_silent(now, out),
            Some(Timer::GuardLimit) => self.claim_guarded(now, Err("no answer in time".into()), out),
            _ => {}
        }
    }

    /// Suspicion timers, after every ready socket was read.
    pub(super) fn suspicion_timers(&mut self, now: Millis, out: &mut Vec<Action>) {
        self.arbitration.judged_at = now;
        self.judge_silence(now);
        self.judge_tilt(now, out);
        self.judge_hold_down(now, out);
        self.judge_maintenance(now, out);
        self.demand_timers(now, out);
        self.judge_fence(now, out);
        match &self.state {
            State::Passive { .. } if now.since(self.entered) >= self.policy.boot_wait_ms => {
                self.boot_wait_over(now, out)
            }
            State::Requesting { attempt, progress } if now.since(self.entered) >= self.policy.shutdown_timeout_ms => {
                match progress.writing {
                    // It was never sent, so nobody has been silent about it; and it must not be sent from now on.
                    Some(_) => self.demand_not_durable(now, attempt.request, out),
                    None => self.shutdown_timed_out(now, attempt.clone(), out),
                }
            }
            State::Proving { attempt, asked: Some(asked) } if now.since(*asked) >= Policy::WITNESS_LIMIT_MS => {
                self.timeout_judged(now, attempt.clone(), false, out);
            }
            State::Claimed { .. } if self.claim_limit().is_some_and(|at| now >= at) => {
                self.claim_lost(now, "it was not complete in time", out);
            }
            State::Stopped { writing: None, .. } if now.since(self.entered) >= Policy::STOPPED_WAIT_MS => {
                self.nobody_started(now, out);
            }
            _ => {}
        }
    }

    fn nobody_started(&mut self, now: Millis, out: &mut Vec<Action>) {
        let peer_is_at_it = self.heard().is_some_and(|beat| matches!(beat.duty, Duty::Requesting | Duty::Starting));
        if peer_is_at_it || self.answering.is_some() {
            return;
        }
        self.note(now, Rule::PeerDidNotStart, "", out);
        self.page(
            PageKind::NobodyActive,
            format!("This host stopped the service for the {}, which has not started it.", self.policy.role.peer()),
            "The service runs nowhere.",
            "failoverctl status on both hosts; then failoverctl takeover / takeback",
            out,
        );
        self.enter(now, State::Standby);
    }

    /// A durable write ended. Those that gate nothing only matter when they fail.
    pub(super) fn persisted(&mut self, now: Millis, operation: OperationId, durable: bool, out: &mut Vec<Action>) {
        let durable = durable || planted(Bug::LostWriteCounts);
        if !durable {
            self.page(
                PageKind::State,
                "The state could not be made durable.",
                "This host can still stop the service, but it starts and acknowledges nothing.",
                "Look at the disk that holds the state folder; failoverctl status shows when it works again.",
                out,
            );
        } else {
            self.told.remove(&PageKind::State);
        }
        if self.gated_write() != Some(operation) {
            return;
        }
        if self.answering.as_ref().is_some_and(|answering| answering.operation == operation) {
            return self.answer_written(now, durable, out);
        }
        match &mut self.state {
            State::Requesting { attempt, progress } => {
                progress.writing = None;
                let request = attempt.request;
                if durable {
                    self.send_demand(now, out);
                } else {
                    self.demand_not_durable(now, request, out);
                }
            }
            State::Claimed { .. } => self.claim_written(now, durable, out),
            State::Stopped { .. } => self.stop_written(now, durable, out),
            _ => {}
        }
    }

    /// The durable write that something waits for.
    fn gated_write(&self) -> Option<OperationId> {
        if let Some(answering) = &self.answering
            && answering.verified.is_some()
        {
            return Some(answering.operation);
        }
        match &self.state {
            State::Requesting { progress, .. } => progress.writing,
            State::Claimed { step: ClaimStep::Noting(writing) | ClaimStep::Recording(writing), .. } => Some(*writing),
            State::Stopped { writing, .. } => writing.map(|(operation, _)| operation),
            _ => None,
        }
    }

    /// A look at the own host ended.
    pub(super) fn looked(&mut self, now: Millis, operation: OperationId, presence: Presence, out: &mut Vec<Action>) {
        let for_answer = |node: &Node| {
            node.answering
                .as_ref()
                .is_some_and(|answering| answering.operation == operation && answering.verified.is_none())
        };
        if for_answer(self) {
            return self.looked_for_answer(now, presence, out);
        }
        match &self.state {
            State::Passive { .. } => self.looked_passive(now, operation, presence, out),
            State::FailedStop { looking: Some((expected, ticket)), .. } if *expected == operation => {
                self.looked_forced(now, *ticket, presence, out);
            }
            State::ExclusivityError { looking: Some(expected), .. } if *expected == operation => {
                self.looked_again(now, operation, presence, out);
            }
            // A result that nobody waits for any more.
            _ => {}
        }
    }

    /// After every event: do the facts call for a transition?
    pub(super) fn consider(&mut self, now: Millis, out: &mut Vec<Action>) {
        match self.state.clone() {
            State::Passive { looking: None, clean } => self.consider_passive(now, clean, out),
            State::Standby => self.consider_standby(now, out),
            State::Suspect { asked, .. } => self.consider_suspect(now, asked, out),
            State::Requesting { attempt, progress } => self.consider_requesting(now, &attempt, &progress, out),
            State::Claimed { attempt, .. } => self.consider_claimed(now, &attempt, out),
            State::Proving { attempt, asked: None } => self.consider_lease(now, attempt, out),
            State::Proving { attempt, asked: Some(_) } => {
                if let Some(proof) = self.lease_over(now) {
                    self.claim(now, attempt, Proof::Lease(proof), Rule::ProofLease, out);
                } else if !self.peer.silent {
                    self.withdraw(now, attempt.request, Rule::PeerHeardAgain, out);
                }
            }
            State::TakeoverBlocked { .. } => self.consider_blocked(now, out),
            State::Starting { epoch, .. } => self.consider_higher_epoch(now, epoch, out),
            State::Active { epoch } => self.consider_active(now, epoch, out),
            State::Stopped { epoch, writing: None, .. } => self.consider_stopped(now, epoch, out),
            State::FailedStart { .. } => self.ask_peer_to_start(now, out),
            State::Passive { .. }
            | State::Stopping { .. }
            | State::Stopped { .. }
            | State::FailedStop { .. }
            | State::ExclusivityError { .. } => {}
        }
    }

    fn consider_active(&mut self, now: Millis, epoch: super::Epoch, out: &mut Vec<Action>) {
        self.consider_higher_epoch(now, epoch, out);
        if !matches!(self.state, State::Active { .. }) {
            return;
        }
        let peer = self.policy.role.peer();
        if self.peer.silent && !self.told.contains(&PageKind::PeerSilent) {
            self.note(now, Rule::PeerSilent, "the service here goes on", out);
            self.page(
                PageKind::PeerSilent,
                format!("The {peer} is silent on every path."),
                "The service runs on; nobody would take it over if it failed.",
                format!("Look at the {peer} and at the link to it: failoverctl status"),
                out,
            );
        }
        let can_take_over = self.heard().is_some_and(|beat| beat.ready);
        if let Verdict::Failed(symptom) = self.facts.local
            && !can_take_over
            && !self.told.contains(&PageKind::NoTakeover)
        {
            self.note(now, Rule::NoTakeoverPossible, &format!("own checks: {symptom}"), out);
            self.page(
                PageKind::NoTakeover,
                format!(
                    "The service on the {} failed ({symptom}) and the {peer} cannot take it over.",
                    self.policy.role
                ),
                "Clients have no service, or a bad one.",
                "failoverctl status names what is missing on the other host; mend the service here or that.",
                out,
            );
        }
    }

    /// Two hosts run the service: the lower epoch stops at once, both call a person. Only beats that came after this
    /// host began count; an older one speaks of the time before. The same number twice can only be after the arbiter's
    /// store was put back to an older state; then it is the slave that stops.
    fn consider_higher_epoch(&mut self, now: Millis, epoch: super::Epoch, out: &mut Vec<Action>) {
        let newer_beat = self.peer.heard_at.is_some_and(|at| at > self.entered);
        let Some(beat) = self.heard().filter(|_| newer_beat) else { return };
        if !matches!(beat.duty, Duty::Active | Duty::Starting) {
            return;
        }
        let theirs = beat.owned;
        let goes_first = theirs > epoch || (theirs == epoch && self.policy.role == Role::Slave);
        let higher = goes_first && !planted(Bug::HigherEpochIgnored);
        // A beat that left before the peer stopped may still be under way for a while.
        let may_be_late = now.since(self.entered) < self.policy.suspect_after_ms;
        if !higher && (may_be_late || self.told.contains(&PageKind::TwoActives)) {
            return;
        }
        let rule = if higher { Rule::HigherEpoch } else { Rule::LowerEpoch };
        self.note(now, rule, &format!("here epoch {epoch}, there {theirs}"), out);
        self.page(
            PageKind::TwoActives,
            format!(
                "Two hosts run the service: epoch {epoch} here, epoch {theirs} on the {}.",
                self.policy.role.peer()
            ),
            "The lower epoch stops at once, or of the same one the slave. What both wrote meanwhile may conflict.",
            "Look through the store for conflicting writes; failoverctl history on both hosts shows since when.",
            out,
        );
        if higher {
            self.stop_service(now, epoch, StopCause::HigherEpoch(theirs), None, out);
        }
    }

    fn consider_stopped(&mut self, now: Millis, epoch: super::Epoch, out: &mut Vec<Action>) {
        let since_stop = self.peer.heard_at.unwrap_or_default().since(self.entered);
        let Some(beat) = self.heard().filter(|_| self.answering.is_none()) else { return };
        // The stopped epoch is the highest known: after a stop for a higher epoch it is the peer's own. And no earlier turn
        // of the peer's had an epoch of this host's.
        let is_newer = beat.owned >= self.record.owned.min(epoch);
        if matches!(beat.duty, Duty::Starting | Duty::Active) && is_newer {
            self.note(now, Rule::PeerStarted, "", out);
            self.enter(now, State::Standby);
        } else if beat.duty == Duty::Standby && since_stop >= self.policy.suspect_after_ms {
            // Said so long after the stop, it has given up its demand: there is nothing to wait for.
            self.note(now, Rule::PeerDidNotStart, "", out);
            self.enter(now, State::Standby);
        }
    }

    /// The first timer of a class that is due.
    fn due(&self, now: Millis, class: fn(Timer) -> bool) -> Option<Timer> {
        let mut found = None;
        self.for_each_timer(&mut |timer, at| {
            if found.is_none() && class(timer) && now >= at {
                found = Some(timer);
            }
        });
        found
    }

    /// Every timer that runs now.
    pub(super) fn for_each_timer(&self, each: &mut dyn FnMut(Timer, Millis)) {
        let entered = self.entered;
        if self.gated_write().is_some() {
            let began = self.answering.as_ref().map_or(entered, |answering| answering.began);
            each(Timer::PersistLimit, began.after(Policy::PERSIST_LIMIT_MS));
        }
        if let (Some(at), false) = (self.peer.heard_at, self.peer.silent) {
            each(Timer::SuspectAfter, at.after(self.policy.suspect_after_ms));
        }
        if let Some(at) = self.tilt_until {
            each(Timer::TiltEnd, at);
        }
        if let Some(at) = self.hold_down_ends() {
            each(Timer::HoldDownEnd, at);
        }
        match &self.state {
            State::Passive { .. } => {
                if !self.told.contains(&PageKind::NobodyActive) && self.heard().is_none() {
                    each(Timer::BootWait, entered.after(self.policy.boot_wait_ms));
                }
            }
            State::Standby => {
                if let (Some(until), None) = (self.idle_until, self.withheld) {
                    each(Timer::Settle, until);
                }
                self.refused_timer(each);
            }
            State::Suspect { asked, .. } => match (asked, self.withheld) {
                (Some(asked), None | Some(Rule::LinkCut | Rule::LeaseRenewing)) => {
                    let at = asked.after(Policy::WITNESS_EVERY_MS);
                    // While the arbiter speaks for the peer, its next answer is the occasion.
                    if at > self.arbitration.judged_at {
                        each(Timer::Witness, at);
                    }
                }
                // What withholds ends with an event, and the pause with its own timer.
                (Some(_) | None, _) => self.refused_timer(each),
            },
            State::Requesting { progress, .. } => {
                each(Timer::ShutdownTimeout, entered.after(self.policy.shutdown_timeout_ms));
                if progress.preparing && progress.writing.is_none() {
                    each(Timer::PrepareLimit, entered.after(Policy::PREPARE_LIMIT_MS));
                }
                if let (Some(at), None) = (progress.again_at, progress.writing) {
                    each(Timer::DemandRetry, at);
                }
                if self.policy.rcmd && !progress.rcmd_tried && self.peer.silent && progress.sent.is_some() {
                    each(Timer::RcmdAfter, entered.after(Policy::RCMD_AFTER_MS));
                }
            }
            State::Proving { asked: Some(asked), .. } => each(Timer::Witness, asked.after(Policy::WITNESS_LIMIT_MS)),
            State::TakeoverBlocked { sent, asked, timeout_allowed, .. } => {
                each(Timer::DemandRetry, sent.after(Policy::DEMAND_RETRY_MS));
                if let (true, true, Some(asked)) = (*timeout_allowed, self.peer.silent, asked) {
                    each(Timer::Witness, asked.after(Policy::WITNESS_LIMIT_MS));
                }
            }
            State::Starting { .. } => each(Timer::StartLimit, entered.after(self.policy.start_limit_ms)),
            State::Stopping { .. } => each(Timer::StopLimit, entered.after(self.policy.stop_limit_ms)),
            State::Stopped { writing: None, .. } => {
                let due = entered.after(Policy::STOPPED_WAIT_MS);
                let peer_is_at_it =
                    self.heard().is_some_and(|beat| matches!(beat.duty, Duty::Requesting | Duty::Starting));
                if !peer_is_at_it && self.answering.is_none() {
                    each(Timer::StoppedWait, due);
                }
            }
            State::FailedStart { asked, .. } => {
                if let (true, Some(asked)) = (self.peer_is_to_start(), asked) {
                    each(Timer::RollBack, asked.after(Policy::DEMAND_RETRY_MS));
                }
            }
            State::Claimed { .. } => {
                if let Some(at) = self.claim_limit() {
                    each(Timer::ClaimLimit, at);
                }
            }
            State::Proving { asked: None, .. }
            | State::Active { .. }
            | State::Stopped { .. }
            | State::FailedStop { .. }
            | State::ExclusivityError { .. } => {}
        }
        self.maintenance_timers(each);
        self.arbiter_timers(each);
        self.fence_timers(each);
    }

    fn refused_timer(&self, each: &mut dyn FnMut(Timer, Millis)) {
        if self.withheld == Some(Rule::WithheldRefused) && self.refused_until > self.arbitration.judged_at {
            each(Timer::RefusedPause, self.refused_until);
        }
    }
}
