//! The own lease: held, renewed, lost, ended.
//!
//! All spans count from t0, the own clock *before the last validated renewal was sent*: a reply that was long under way
//! extends nothing.
//!
//! ```text
//!   t0 ──── R ──── R ──── R ──┬── T ─────────── T+G ──────── P ─────────── P+Wd ───── L
//!      renewals, each tried I │  stop scripts    guardian:   no pet any     the host    provably
//!      long at most           │  (this daemon)   kill, unmount   more       is reset    stopped
//! ```

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::action::{Action, GuardedLease, PageKind};
use super::arbiter::{Claim, LeaseTimes, Spans};
use super::node::Node;
use super::planted::{Bug, planted};
use super::policy::Policy;
use super::record::StopCause;
use super::rule::Rule;
use super::state::{ClaimStep, State};
use super::timer::Timer;
use super::types::{Epoch, Millis, OperationId};

/// A lease that an earlier start of this daemon held, as the guardian remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeldLease {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its t0, on the own clock.
    pub since: Millis,
    /// It had no time limit.
    pub hold: bool,
    /// The spans by which the guardian acts. They are those of the configuration with which the epoch began.
    pub spans: Spans,
}

/// The own lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Keeping {
    pub(super) epoch: Epoch,
    /// The first t0 of this start of the daemon.
    pub(super) began: Millis,
    /// t0.
    pub(super) since: Millis,
    /// They never change inside an epoch, whatever a new configuration says.
    pub(super) times: LeaseTimes,
    /// The arbiter holds it without a time limit.
    pub(super) hold: bool,
    /// Maintenance is over: the guardian is asked to guard again before the limit counts again.
    pub(super) guarding_again: Option<OperationId>,
    /// It ran out or was taken: nothing renews it any more.
    pub(super) lost: bool,
}

impl Keeping {
    /// When the stop has to begin.
    pub(super) fn stop_at(&self) -> Option<Millis> {
        (!self.hold && !self.lost).then(|| self.since.after(self.times.stop_after_ms))
    }
}

impl Node {
    /// A renewal was validated; it was sent at `sent`.
    pub(super) fn renewed(&mut self, now: Millis, epoch: Epoch, sent: Millis, hold: bool, out: &mut Vec<Action>) {
        if let State::Claimed { epoch: claimed, step: ClaimStep::Renewing, .. } = &self.state
            && *claimed == epoch
        {
            if self.claim_is_old(now) {
                return self.claim_again(now, epoch, out);
            }
            return self.lease_begins(now, epoch, sent, out);
        }
        let wants_hold = self.wants_hold();
        let Some(keeping) = self.keeping.as_mut().filter(|keeping| keeping.epoch == epoch && !keeping.lost) else {
            return;
        };
        if keeping.stop_at().is_some_and(|at| now >= at) {
            // It came too late to count: the stop has to begin, and it must not look as if it did not.
            return;
        }
        keeping.since = keeping.since.max(sent);
        let held = GuardedLease::Held { epoch, since: keeping.since };
        if hold && wants_hold {
            if !keeping.hold {
                keeping.hold = true;
                self.guard(GuardedLease::Hold { epoch }, out);
            }
        } else if keeping.hold {
            let operation = self.guard(held, out);
            if let Some(keeping) = &mut self.keeping {
                keeping.guarding_again.get_or_insert(operation);
            }
        } else {
            self.guard(held, out);
            if wants_hold {
                // This one was under way already when that was ordered.
                self.arbitration.next_at = now;
            }
        }
    }

    pub(super) fn guard(&mut self, lease: GuardedLease, out: &mut Vec<Action>) -> OperationId {
        let operation = self.operation();
        out.push(Action::Guard { operation, lease });
        operation
    }

    pub(super) fn guarded(
        &mut self,
        now: Millis,
        operation: OperationId,
        result: Result<(), String>,
        out: &mut Vec<Action>,
    ) {
        if let State::Claimed { step: ClaimStep::Guarding(expected), .. } = &self.state
            // The lease was renewed meanwhile, and the guardian told again: a later order confirms the earlier one.
            && operation >= *expected
        {
            return self.claim_guarded(now, result, out);
        }
        let Some(keeping) = self
            .keeping
            .as_mut()
            .filter(|keeping| keeping.guarding_again.is_some_and(|expected| operation >= expected))
        else {
            return;
        };
        keeping.guarding_again = None;
        match result {
            // From here on the limit counts again; the next renewal says so in the slot.
            Ok(()) => {
                keeping.hold = false;
                self.arbitration.next_at = now;
            }
            Err(why) => self.note(now, Rule::NotGuarded, &why, out),
        }
    }

    pub(super) fn deposed(&mut self, now: Millis, epoch: Epoch, claim: Claim, out: &mut Vec<Action>) {
        self.record.arbiter = self.record.arbiter.max(claim.epoch);
        self.learn_epoch(claim.epoch);
        let detail = format!("epoch {epoch} here, the {} claimed epoch {}", claim.owner, claim.epoch);
        if matches!(self.state, State::Claimed { .. }) {
            return self.claim_lost(now, &detail, out);
        }
        let Some(keeping) = self.keeping.as_mut().filter(|keeping| keeping.epoch == epoch && !keeping.lost) else {
            return;
        };
        keeping.lost = true;
        self.note(now, Rule::Deposed, &detail, out);
        if matches!(self.state, State::Starting { .. } | State::Active { .. }) {
            self.page(
                PageKind::Arbiter,
                format!("This host lost its epoch: {detail}."),
                "The service stops here; the other host starts it when this host's lease is over.",
                "failoverctl why on both hosts: why did this host's renewals not come through?",
                out,
            );
            self.stop_service(now, epoch, StopCause::Deposed(claim.epoch), None, out);
        }
    }

    /// T is over without a renewal.
    pub(super) fn lease_runs_out(&mut self, now: Millis, out: &mut Vec<Action>) {
        if matches!(self.state, State::Claimed { .. }) {
            return self.claim_lost(now, "the lease was not renewed before the start", out);
        }
        let Some(keeping) = &mut self.keeping else { return };
        keeping.lost = true;
        let epoch = keeping.epoch;
        let detail = format!("the last renewal that counts was sent {} ago", now.since(keeping.since));
        self.note(now, Rule::LeaseNotRenewed, &detail, out);
        if matches!(self.state, State::Starting { .. } | State::Active { .. }) {
            self.page(
                PageKind::Arbiter,
                format!("The lease of epoch {epoch} could not be renewed: {detail}."),
                "The service stops here before the lease runs out; whichever host reaches the arbiter first starts it.",
                "failoverctl check names what is wrong with the arbiter's place",
                out,
            );
            self.stop_service(now, epoch, StopCause::LeaseLost, None, out);
        }
    }

    /// Nothing of the service runs here, verified.
    pub(super) fn lease_ends(&mut self, out: &mut Vec<Action>) {
        if self.keeping.take().is_some() {
            self.guard(GuardedLease::Ended, out);
        }
    }

    /// That is durable: the slot may say so, and the peer need not wait.
    pub(super) fn release(&mut self, now: Millis, epoch: Epoch) {
        if self.policy.lease.is_some() && epoch <= self.record.arbiter {
            self.arbitration.release = Some(epoch);
            self.arbitration.next_at = now;
        }
    }

    /// The guardian ended the service behind this daemon's back, because nobody did it in time.
    pub(super) fn guardian_ended(&mut self, now: Millis, epoch: Epoch, out: &mut Vec<Action>) {
        self.note(now, Rule::GuardianEnded, &format!("epoch {epoch}"), out);
        match &self.state {
            State::Starting { epoch, .. } | State::Active { epoch } => {
                let epoch = *epoch;
                self.stop_service(now, epoch, StopCause::LeaseLost, None, out);
            }
            State::FailedStop { looking: None, .. } => {
                let operation = self.operation();
                out.push(Action::Look { operation });
                if let State::FailedStop { looking, .. } = &mut self.state {
                    *looking = Some((operation, None));
                }
            }
            // A stop under way verifies by itself; elsewhere nothing runs.
            _ => {}
        }
    }

    /// After a restart of the daemon: the lease that the guardian still knows of, if it covers what ran.
    pub(super) fn resume_lease(&mut self, now: Millis, epoch: Epoch, held: Option<HeldLease>) -> Resumed {
        let Some(times) = self.policy.lease else { return Resumed::NotNeeded };
        if epoch > self.record.arbiter {
            // The epoch was claimed before there was an arbiter.
            return Resumed::NotNeeded;
        }
        let Some(held) = held.filter(|held| held.epoch == epoch) else { return Resumed::Lost };
        let HeldLease { since, hold, spans, .. } = held;
        // The configuration may be another one by now. What the slot promises has to be what the guardian does.
        let times = if planted(Bug::SpansOfConfiguration) { times } else { times.with_spans(spans) };
        let keeping = Keeping { epoch, began: since, since, times, hold, guarding_again: None, lost: false };
        let over = keeping.stop_at().is_some_and(|at| now >= at);
        self.keeping = Some(Keeping { lost: over, ..keeping });
        if over && !planted(Bug::ResumesLostLease) { Resumed::Lost } else { Resumed::Held }
    }

    /// The guardian may have been restarted as well.
    pub(super) fn guard_again(&mut self, out: &mut Vec<Action>) {
        if let Some(Keeping { epoch, since, hold, .. }) = self.keeping {
            let lease = if hold { GuardedLease::Hold { epoch } } else { GuardedLease::Held { epoch, since } };
            self.guard(lease, out);
        }
    }

    fn lease_begins(&mut self, now: Millis, epoch: Epoch, since: Millis, out: &mut Vec<Action>) {
        let Some(times) = self.policy.lease else { return };
        self.keeping =
            Some(Keeping { epoch, began: since, since, times, hold: false, guarding_again: None, lost: false });
        let operation = self.guard(GuardedLease::Held { epoch, since }, out);
        self.claim_step(now, ClaimStep::Guarding(operation));
        if planted(Bug::StartsUnguarded) {
            out.pop();
            self.claim_guarded(now, Ok(()), out);
            self.guard(GuardedLease::Held { epoch, since }, out);
        }
    }

    /// The timers of lease and claim, but for those that a state has for itself.
    pub(super) fn arbiter_timers(&self, each: &mut dyn FnMut(Timer, Millis)) {
        if let Some(at) = self.keeping.as_ref().and_then(Keeping::stop_at) {
            each(Timer::LeaseStop, at);
        }
        if let Some(at) = self.guard_limit() {
            each(Timer::GuardLimit, at);
        }
        match self.arbitration.limit() {
            Some(at) => each(Timer::ArbiterLimit, at),
            None if self.times().is_some() => each(Timer::ArbiterNext, self.arbitration.next_at),
            None => {}
        }
        let mut wait = |at: Option<Millis>| {
            if let Some(at) = at.filter(|at| *at > self.arbitration.judged_at) {
                each(Timer::LeaseWait, at);
            }
        };
        match &self.state {
            // Each look at the arbiter comes with an answer; these two say when the last one suffices.
            State::Suspect { .. } => {
                wait(self.quiet_at());
                wait(self.lease_over_at());
            }
            State::Requesting { .. } | State::Proving { .. } | State::TakeoverBlocked { .. } => {
                wait(self.lease_over_at());
            }
            _ => {}
        }
    }

    /// When a claim that is not complete is given up. Waiting for the peer's lease takes as long as that lasts.
    pub(super) fn claim_limit(&self) -> Option<Millis> {
        let wait = self.policy.lease.map(|times| times.terms(self.policy.digest).wait_ms())?;
        let limit = self.policy.shutdown_timeout_ms.after(wait).after(wait);
        match &self.state {
            State::Claimed { step: ClaimStep::Recording(_), .. } => None,
            State::Claimed { .. } => Some(self.arbitration.claim_began.after(limit)),
            _ => None,
        }
    }

    /// When the guardian's confirmation counts as missing.
    pub(super) fn guard_limit(&self) -> Option<Millis> {
        match &self.state {
            State::Claimed { step: ClaimStep::Guarding(_), .. } => {
                self.keeping.as_ref().map(|keeping| keeping.began.after(Policy::GUARD_LIMIT_MS))
            }
            _ => None,
        }
    }
}

/// What became of a lease over a restart of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resumed {
    /// There is no arbiter, or the epoch was not claimed in it.
    NotNeeded,
    /// It holds.
    Held,
    /// It ran out, or nobody knows.
    Lost,
}
