//! The dialogue with the arbiter: one question at a time, and what its failures mean.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::action::{Action, PageKind};
use super::arbiter::{ArbiterFailure, ArbiterReply, ArbiterRequest, LeaseTimes};
use super::contend::Seen;
use super::lease::Keeping;
use super::node::Node;
use super::planted::{Bug, misread, planted};
use super::rule::Rule;
use super::state::{ClaimStep, State};
use super::types::{Epoch, Millis, OperationId};

/// The dialogue with the arbiter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Arbitration {
    pub(super) asked: Option<Asked>,
    pub(super) next_at: Millis,
    /// The last turn in which silence was judged: what was due by then has been weighed.
    pub(super) judged_at: Millis,
    pub(super) failing: Option<(ArbiterFailure, Millis)>,
    /// It has failed for a renewal's interval or longer: a claim made now would fail as well.
    pub(super) unusable: bool,
    pub(super) seen: Option<Seen>,
    /// This epoch of the own is over, durably, and the slot does not say so yet.
    pub(super) release: Option<Epoch>,
    /// When the look was asked on which the own claim rests: before it, nobody saw that claim.
    pub(super) claim_from: Millis,
    /// When the proof came on which the claim under way rests, with however many numbers it is made.
    pub(super) claim_began: Millis,
}

/// The outstanding question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) operation: OperationId,
    pub(super) request: ArbiterRequest,
    pub(super) at: Millis,
    limit_ms: Millis,
}

impl Arbitration {
    pub(super) fn new(now: Millis) -> Arbitration {
        Arbitration {
            asked: None,
            next_at: now,
            judged_at: now,
            failing: None,
            unusable: false,
            seen: None,
            release: None,
            claim_from: now,
            claim_began: now,
        }
    }

    /// When the outstanding question counts as failed. The acting half keeps to one attempt's time; this is for the case
    /// that it does not.
    pub(super) fn limit(&self) -> Option<Millis> {
        self.asked.as_ref().map(|asked| asked.at.after(asked.limit_ms).after(asked.limit_ms))
    }
}

impl Node {
    /// Asks the next question when it is due and none is outstanding.
    pub(super) fn arbitrate(&mut self, now: Millis, out: &mut Vec<Action>) {
        let Some(times) = self.times() else { return };
        if self.arbitration.asked.is_some() || now < self.arbitration.next_at {
            return;
        }
        let request = self.next_question(&times);
        let operation = self.operation();
        out.push(Action::Arbiter { operation, request: request.clone() });
        self.arbitration.next_at = now.after(times.renew_ms);
        self.arbitration.asked = Some(Asked { operation, request, at: now, limit_ms: times.attempt_ms });
    }

    pub(super) fn times(&self) -> Option<LeaseTimes> {
        self.keeping.as_ref().map(|keeping| keeping.times).or(self.policy.lease)
    }

    fn next_question(&self, times: &LeaseTimes) -> ArbiterRequest {
        let terms = times.terms(self.policy.digest);
        if let State::Claimed { epoch, step, .. } = &self.state {
            match step {
                ClaimStep::Looking | ClaimStep::LookingAgain | ClaimStep::Waiting => return ArbiterRequest::Observe,
                ClaimStep::Claiming => {
                    let stamp = self.arbitration.seen.as_ref().map(|seen| seen.view.stamp).unwrap_or_default();
                    return ArbiterRequest::Claim { epoch: *epoch, stamp };
                }
                ClaimStep::Renewing => return ArbiterRequest::Renew { epoch: *epoch, hold: false, terms },
                ClaimStep::Noting(_) | ClaimStep::Guarding(_) | ClaimStep::Recording(_) => {}
            }
        }
        match (&self.keeping, self.arbitration.release) {
            (Some(keeping), _) if !keeping.lost && self.renews() => {
                let hold = self.wants_hold() || keeping.hold;
                ArbiterRequest::Renew { epoch: keeping.epoch, hold, terms }
            }
            (None, Some(epoch)) => ArbiterRequest::Release { epoch, terms },
            _ => ArbiterRequest::Observe,
        }
    }

    /// A stop that could not be verified lets the lease run out, and the guardian end what is left; unless a person is to
    /// decide.
    fn renews(&self) -> bool {
        !matches!(self.state, State::FailedStop { .. }) || self.policy.hold_failed_stop
    }

    pub(super) fn arbiter_answered(
        &mut self,
        now: Millis,
        operation: OperationId,
        reply: ArbiterReply,
        out: &mut Vec<Action>,
    ) {
        // A late answer to a question that was given up.
        let Some(asked) = self.arbitration.asked.take_if(|asked| asked.operation == operation) else { return };
        let reply = misread(&asked.request, reply);
        let Some(reply) = self.arbiter_works(now, reply, out) else { return };
        match (asked.request, reply) {
            (ArbiterRequest::Observe, ArbiterReply::Seen(view)) => self.viewed(now, asked.at, view, out),
            (ArbiterRequest::Renew { epoch, hold, .. }, ArbiterReply::Renewed) => {
                let sent = if planted(Bug::LeaseFromReply) { now } else { asked.at };
                self.renewed(now, epoch, sent, hold, out);
            }
            (ArbiterRequest::Renew { epoch, .. }, ArbiterReply::Deposed(claim)) => self.deposed(now, epoch, claim, out),
            (ArbiterRequest::Claim { epoch, .. }, ArbiterReply::Claimed) => self.claim_made(now, epoch, out),
            (ArbiterRequest::Claim { .. }, ArbiterReply::NotClaimed) => self.claim_not_made(now),
            (ArbiterRequest::Release { epoch, .. }, ArbiterReply::Released) => {
                if self.arbitration.release == Some(epoch) {
                    self.arbitration.release = None;
                    self.note(now, Rule::LeaseReleased, &format!("epoch {epoch}"), out);
                }
            }
            // An answer to another question than was asked says nothing.
            (_, _) => {}
        }
    }

    /// Keeps account of failures; what is left is an answer.
    fn arbiter_works(&mut self, now: Millis, reply: ArbiterReply, out: &mut Vec<Action>) -> Option<ArbiterReply> {
        match reply {
            ArbiterReply::Failed(failure) => {
                self.arbiter_failed(now, failure, out);
                None
            }
            reply => {
                self.arbitration.unusable = false;
                if self.arbitration.failing.take().is_some() {
                    self.told.remove(&PageKind::Arbiter);
                    self.note(now, Rule::ArbiterBack, "", out);
                }
                Some(reply)
            }
        }
    }

    pub(super) fn arbiter_failed(&mut self, now: Millis, failure: ArbiterFailure, out: &mut Vec<Action>) {
        let known = self.arbitration.failing.take();
        let news = known.as_ref().is_none_or(|(before, _)| before != &failure);
        let since = known.map_or(now, |(_, since)| since);
        if news {
            self.note(now, Rule::ArbiterLost, &format!("{failure}"), out);
        }
        let effect = match self.keeping.as_ref().and_then(Keeping::stop_at) {
            Some(at) => {
                format!("If it is not back within {}, the service stops before its lease runs out.", at.since(now))
            }
            None => String::from("Nothing can be started: every start needs the arbiter's claim."),
        };
        // The first failed attempt of a row is no news for a person: one more follows before anything is at stake.
        if now.since(since) >= self.times().map_or(Millis(0), |times| times.renew_ms) {
            self.arbitration.unusable = true;
            let next =
                "failoverctl check names what is wrong with the arbiter's place; failoverctl status shows its age";
            self.page(PageKind::Arbiter, format!("{failure}"), effect, next, out);
        }
        self.arbitration.failing = Some((failure, since));
        if let Some(keeping) = &self.keeping {
            // A holder has until T: it tries more often than it renews.
            let soon = now.after(Millis(keeping.times.attempt_ms.0 / 2));
            self.arbitration.next_at = self.arbitration.next_at.min(soon);
        }
    }

    /// The outstanding question's time is over.
    pub(super) fn arbiter_silent(&mut self, now: Millis, out: &mut Vec<Action>) {
        self.arbitration.asked = None;
        self.arbiter_failed(now, ArbiterFailure::TimedOut, out);
    }
}
