//! The claim of a new epoch, step by step. With an arbiter every start needs it, whatever the proof.
//!
//! Wait first, claim last: when the claim is made, the peer's lease is over already. What the look after it shows is
//! only to catch a renewal that came in between; then the wait runs anew, with the claim standing, which deposes the
//! peer at its next renewal. After that wait the claim is made anew with the next number: see `claim_is_old`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::action::{Action, Balance};
use super::arbiter::View;
use super::node::Node;
use super::planted::{Bug, planted};
use super::record::{LeaseProof, Phase, Proof};
use super::rule::Rule;
use super::state::{ClaimStep, State};
use super::types::{Epoch, Millis};

impl Node {
    pub(super) fn claim_step(&mut self, now: Millis, next: ClaimStep) {
        if let State::Claimed { step, .. } = &mut self.state {
            *step = next;
            self.arbitration.next_at = now;
        }
        if matches!(next, ClaimStep::Noting(_) | ClaimStep::Recording(_)) {
            // The time of the write that is waited for now begins now, however long the claim has taken so far.
            self.entered = now;
        }
    }

    /// A durable write of the claim ended.
    pub(super) fn claim_written(&mut self, now: Millis, durable: bool, out: &mut Vec<Action>) {
        let State::Claimed { epoch, attempt, proof, step } = self.state.clone() else { return };
        if !durable {
            self.note(now, Rule::ClaimNotDurable, "", out);
            return self.claim_failed(now, Rule::ClaimNotDurable.sentence().into(), out);
        }
        match step {
            ClaimStep::Noting(_) => self.claim_step(now, ClaimStep::Looking),
            ClaimStep::Recording(_) => {
                self.note(now, Rule::ClaimDurable, &format!("epoch {epoch}"), out);
                let early = planted(Bug::BalancerTooEarly);
                out.push(Action::Balance(if early { Balance::Here(epoch) } else { Balance::Nowhere(epoch) }));
                let operation = self.operation();
                let evidence = attempt.evidence.clone();
                out.push(Action::Start { operation, epoch, resume: false, evidence });
                self.enter(now, State::Starting { epoch, attempt, proof, operation });
            }
            ClaimStep::Looking
            | ClaimStep::Claiming
            | ClaimStep::LookingAgain
            | ClaimStep::Waiting
            | ClaimStep::Renewing
            | ClaimStep::Guarding(_) => {}
        }
    }

    /// The arbiter was looked at; `before` is what it showed the time before.
    pub(super) fn claim_viewed(&mut self, now: Millis, asked_at: Millis, before: Option<View>, out: &mut Vec<Action>) {
        let State::Claimed { epoch, attempt, proof, step } = &self.state else { return };
        let by_lease = matches!(proof, Proof::Lease(_));
        // An own epoch that was held is proof for good, as long as it is still the latest: the peer's was over before it.
        let by_wait = matches!(proof, Proof::Lease(LeaseProof::Released | LeaseProof::Expired { .. }));
        let (epoch, step, covered) = (*epoch, *step, attempt.epoch);
        let Some(view) = self.arbitration.seen.as_ref().map(|seen| seen.view.clone()) else { return };
        let latest = view.claim.map_or(Epoch(0), |claim| claim.epoch);
        let mine = view.claim.is_some_and(|claim| claim.owner == self.policy.role);
        match step {
            ClaimStep::Looking if latest >= epoch && mine => self.claim_later(now, latest, out),
            ClaimStep::Looking if latest >= epoch => self.claim_lost(now, "the peer has the epoch", out),
            ClaimStep::Looking if by_lease && self.holds_nothing(now).is_none() => {
                self.claim_lost(now, "the peer renewed its lease", out);
            }
            // Other proofs speak of every epoch up to the demanded one. The answer to a demand may have been long under way,
            // and the peer may have begun another turn since.
            ClaimStep::Looking if self.peer_claimed_above(covered) && self.peer_is_over(now).is_none() => {
                self.claim_lost(now, "the peer has claimed an epoch that the proof does not cover", out);
            }
            ClaimStep::Looking => {
                self.arbitration.claim_from = asked_at;
                self.claim_step(now, ClaimStep::Claiming);
            }
            ClaimStep::LookingAgain | ClaimStep::Waiting if latest != epoch || !mine => {
                self.claim_lost(now, "there is a later claim", out);
            }
            // Somebody made a claim in between, by another number: whose epoch it is has to be seen from the start.
            ClaimStep::LookingAgain if before.is_some_and(|before| before.claim != view.before) => {
                self.claim_lost(now, "another claim was made at the same time", out);
            }
            ClaimStep::LookingAgain if by_wait && self.peer_is_over(now).is_none() => {
                self.note(now, Rule::ClaimWaits, "", out);
                if let State::Claimed { step, .. } = &mut self.state {
                    *step = ClaimStep::Waiting;
                }
            }
            ClaimStep::Waiting if self.peer_is_over(now).is_none() => {}
            ClaimStep::LookingAgain | ClaimStep::Waiting if self.claim_is_old(now) => {
                self.claim_again(now, epoch, out);
            }
            ClaimStep::LookingAgain | ClaimStep::Waiting => self.claim_step(now, ClaimStep::Renewing),
            ClaimStep::Noting(_)
            | ClaimStep::Claiming
            | ClaimStep::Renewing
            | ClaimStep::Guarding(_)
            | ClaimStep::Recording(_) => {}
        }
    }

    /// The peer may have begun to wait when the claim was made. As a holder has to renew within T, so has the first
    /// renewal to come within T of that: a look that is a little out of date, at the end of the peer's wait, still shows
    /// it. (A host that stands still beside its claim for as long as a lease lasts would be missed by one.)
    pub(super) fn claim_is_old(&self, now: Millis) -> bool {
        let most = self.policy.lease.map_or(Millis(0), |times| times.stop_after_ms);
        now.since(self.arbitration.claim_from) >= most && !planted(Bug::ClaimStaysYoung)
    }

    /// The proof is as good as it was; the peer's wait begins anew with a new number.
    pub(super) fn claim_again(&mut self, now: Millis, epoch: Epoch, out: &mut Vec<Action>) {
        self.note(now, Rule::ClaimTooOld, &format!("epoch {epoch}"), out);
        self.claim_later(now, epoch, out);
    }

    /// An own claim of that number or a later one is there already, from before the state was lost.
    fn claim_later(&mut self, now: Millis, latest: Epoch, out: &mut Vec<Action>) {
        let next = Epoch(latest.0.saturating_add(1));
        self.learn_epoch(next);
        let writing = self.persist(self.record.phase.clone(), out);
        if let State::Claimed { epoch, .. } = &mut self.state {
            *epoch = next;
        }
        self.claim_step(now, ClaimStep::Noting(writing));
    }

    pub(super) fn claim_made(&mut self, now: Millis, made: Epoch, out: &mut Vec<Action>) {
        let State::Claimed { epoch, step: ClaimStep::Claiming, .. } = &self.state else { return };
        if *epoch != made {
            return;
        }
        self.record.owned = made;
        self.record.arbiter = self.record.arbiter.max(made);
        self.note(now, Rule::ClaimMade, &format!("epoch {made}"), out);
        let looks = !planted(Bug::NoSecondLook);
        self.claim_step(now, if looks { ClaimStep::LookingAgain } else { ClaimStep::Renewing });
    }

    /// Somebody else's, or the view was out of date: the next look tells.
    pub(super) fn claim_not_made(&mut self, now: Millis) {
        if matches!(self.state, State::Claimed { step: ClaimStep::Claiming, .. }) {
            self.claim_step(now, ClaimStep::Looking);
        }
    }

    /// The guardian confirmed, or did not.
    pub(super) fn claim_guarded(&mut self, now: Millis, result: Result<(), String>, out: &mut Vec<Action>) {
        let State::Claimed { epoch, attempt, proof, .. } = self.state.clone() else { return };
        if let Err(why) = result {
            self.note(now, Rule::NotGuarded, &why, out);
            return self.claim_failed(now, format!("{} ({why})", Rule::NotGuarded.sentence()), out);
        }
        self.note(now, Rule::Guarded, &format!("epoch {epoch}"), out);
        if attempt.automatic() {
            self.record.automatic = self.record.automatic.max(epoch);
        }
        let proved = super::record::Attempt { began: now, ..attempt };
        let writing = self.persist(Phase::Starting { epoch, attempt: proved, proof }, out);
        self.claim_step(now, ClaimStep::Recording(writing));
    }

    /// Nothing was started: the host stands by again, and the pair decides anew.
    pub(super) fn claim_lost(&mut self, now: Millis, why: &str, out: &mut Vec<Action>) {
        let State::Claimed { epoch, attempt, .. } = &self.state else { return };
        let (epoch, request, held) = (*epoch, attempt.request, self.keeping.is_some());
        out.push(Action::Withdraw(request));
        self.note(now, Rule::ClaimLost, &format!("epoch {epoch}: {why}"), out);
        self.lease_ends(out);
        self.persist(Phase::Standby, out);
        self.enter(now, State::Standby);
        // A claim that was never held stays as it is: to release it would say that the peer's epoch is over as well.
        if held {
            self.release(now, epoch);
        }
    }

    /// Nothing was started, and it is no use to try again by itself.
    fn claim_failed(&mut self, now: Millis, reason: String, out: &mut Vec<Action>) {
        let State::Claimed { epoch, attempt, .. } = &self.state else { return };
        let (epoch, commanded, held) = (*epoch, attempt.commanded(), self.keeping.is_some());
        self.lease_ends(out);
        self.failed_start(now, epoch, reason, commanded, out);
        if held {
            self.release(now, epoch);
        }
    }
}
