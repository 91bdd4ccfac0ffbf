//! What a node says of itself when it is asked: for beats, for the status, for the judges of the tests.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::action::PageKind;
use super::arbiter::{ArbiterFailure, View};
use super::lease::Keeping;
use super::node::Node;
use super::peer::Beat;
use super::policy::Policy;
use super::record::Record;
use super::rule::Rule;
use super::state::State;
use super::timer::Timer;
use super::types::{Epoch, Millis, Verdict};

impl Node {
    /// What the next beats say.
    #[must_use]
    pub fn beat(&self, now: Millis, verdict_age_ms: Millis, loop_lag_ms: Millis) -> Beat {
        Beat {
            incarnation: self.incarnation,
            duty: self.state.duty(),
            epoch: self.record.highest,
            owned: self.record.owned,
            verdict: self.facts.local,
            verdict_age_ms,
            ready: self.is_ready(),
            maintenance: self.in_maintenance(),
            digest: self.policy.digest,
            automatic: self.record.automatic,
            acknowledged: self.record.acknowledged,
            loop_lag_ms,
            fence: self.fence_notice(now),
            fence_answer: self.fence_answer,
        }
    }

    /// Where the host is.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Since when it is there.
    #[must_use]
    pub fn entered(&self) -> Millis {
        self.entered
    }

    /// What the disk is to remember.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The rules in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The last beat heard and when; and whether the peer counts as silent now.
    #[must_use]
    pub fn peer(&self) -> (Option<&Beat>, Option<Millis>, bool) {
        (self.peer.beat.as_ref(), self.peer.heard_at, self.peer.silent)
    }

    /// The rule that withholds a take-over now, if one does.
    #[must_use]
    pub fn withheld(&self) -> Option<Rule> {
        self.withheld
    }

    /// Decisions are frozen because the program caught itself in a wrong belief.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The own checks' verdict on the own service.
    #[must_use]
    pub fn local_verdict_now(&self) -> Verdict {
        self.facts.local
    }

    /// Cut off by its own evidence: no reference point answers.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.facts.isolated
    }

    /// A person was called for this condition, and it has not ended since.
    #[must_use]
    pub fn has_told(&self, kind: PageKind) -> bool {
        self.told.contains(&kind)
    }

    /// Until when decisions that rest on silence are held because the own loop was late.
    #[must_use]
    pub fn tilt_until(&self) -> Option<Millis> {
        self.tilt_until
    }

    /// An automatic move has been made and is not acknowledged: until when, if both hosts stay well.
    #[must_use]
    pub fn locked(&self) -> bool {
        self.record.automatic > self.record.acknowledged
    }

    /// When the hold-down ends by itself, if both hosts stay well.
    #[must_use]
    pub fn hold_down_ends(&self) -> Option<Millis> {
        self.quiet_since.filter(|_| self.locked()).map(|since| since.after(self.policy.hold_down_ms))
    }

    /// The timers that run now, by name, with the time at which each is due.
    #[must_use]
    pub fn timers(&self) -> Vec<(Timer, Millis)> {
        let mut timers = Vec::new();
        self.for_each_timer(&mut |timer, at| timers.push((timer, at)));
        timers
    }

    /// The own lease: its epoch, when the last validated renewal was sent, and whether it has no time limit
    /// (maintenance).
    #[must_use]
    pub fn lease(&self) -> Option<(Epoch, Millis, bool)> {
        self.keeping.as_ref().map(|keeping| (keeping.epoch, keeping.since, keeping.hold))
    }

    /// When the service stops unless the lease is renewed; `None`: there is no lease, it has no time limit, or it is lost.
    #[must_use]
    pub fn lease_stops_at(&self) -> Option<Millis> {
        self.keeping.as_ref().and_then(Keeping::stop_at)
    }

    /// What the arbiter showed last, and when it was read.
    #[must_use]
    pub fn arbiter_view(&self) -> Option<(&View, Millis)> {
        self.arbitration.seen.as_ref().map(|seen| (&seen.view, seen.read_at))
    }

    /// Why the arbiter cannot be used now, and since when.
    #[must_use]
    pub fn arbiter_failure(&self) -> Option<(&ArbiterFailure, Millis)> {
        self.arbitration.failing.as_ref().map(|(failure, since)| (failure, *since))
    }

    /// It has failed for so long that a claim made now would fail as well.
    #[must_use]
    pub fn arbiter_is_unusable(&self) -> bool {
        self.arbitration.unusable
    }

    /// Could start the service now, as far as is known. Every start needs the arbiter's claim.
    pub(super) fn is_ready(&self) -> bool {
        self.facts.not_ready.as_ref().is_some_and(Vec::is_empty) && !self.arbitration.unusable
    }

    /// Why it could not. Empty too as long as nothing was looked at.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons = self.facts.not_ready.clone().unwrap_or_default();
        if let Some((failure, _)) = self.arbitration.failing.as_ref().filter(|_| self.arbitration.unusable) {
            reasons.push(format!("the arbiter cannot be used, and every start needs its claim: {failure}"));
        }
        reasons
    }
}
