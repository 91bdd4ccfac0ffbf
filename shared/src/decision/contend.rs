//! What the arbiter shows of the peer, and when that proves that the peer has stopped.
//!
//! The wait counts from the moment at which a state of the peer's slot was first seen, which is not earlier than the
//! renewal that wrote it was sent; and on the slower of the own clocks. `docs/verification.md` has the argument.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::arbiter::{ArbiterFailure, Claim, View};
use super::node::Node;
use super::planted::{Bug, planted};
use super::record::LeaseProof;
use super::state::State;
use super::types::{Epoch, Millis};

/// The arbiter as it was read last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) view: View,
    /// On the faster clock, as every age that is shown.
    pub(super) read_at: Millis,
    /// The peer's latest claim. Two own claims hide it in the view; then it is remembered.
    peer_claim: Option<Claim>,
    /// Since when that claim and the peer's slot are as they are, on the slower clock.
    unchanged_since: Millis,
    /// When they were last seen to have changed; `None`: there was only one look so far.
    changed_at: Option<Millis>,
}

/// What the arbiter says of a silent peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// No arbiter, or it cannot be used, or there is no claim in it.
    Unknown,
    /// The peer holds nothing.
    Nobody,
    /// It holds the lease and renewed it since it fell silent.
    Renewing,
    /// It holds the lease; too early to say whether it still renews it.
    Undecided,
    /// It holds the lease and has missed renewals.
    Quiet,
    /// It holds the lease without a time limit.
    Maintenance,
}

impl Node {
    /// The arbiter was looked at; that was asked at `asked_at`.
    pub(super) fn viewed(&mut self, now: Millis, asked_at: Millis, view: View, out: &mut Vec<Action>) {
        let highest = view.claim.map_or(Epoch(0), |claim| claim.epoch);
        if highest < self.record.arbiter && !planted(Bug::RollbackIgnored) {
            let why = format!("its latest claim is epoch {highest}, but {} was there before", self.record.arbiter);
            return self.arbiter_failed(now, ArbiterFailure::RolledBack(why), out);
        }
        self.learn_claim(view.claim, out);
        let (slow, peer) = (self.slow(now), self.policy.role.peer());
        let by_peer = |claim: &Option<Claim>| claim.filter(|claim| claim.owner == peer);
        let visible = by_peer(&view.claim).or(by_peer(&view.before));
        let known = self.arbitration.seen.as_ref();
        let peer_claim = visible.or(known.and_then(|known| known.peer_claim));
        let (unchanged_since, changed_at) = match known {
            Some(known) if known.peer_claim == peer_claim && known.view.slot(peer) == view.slot(peer) => {
                (known.unchanged_since, known.changed_at)
            }
            Some(_) => (slow, Some(now)),
            None => (slow, None),
        };
        let seen = Seen { view, read_at: now, peer_claim, unchanged_since, changed_at };
        let before = self.arbitration.seen.replace(seen);
        self.release_what_is_over(now);
        self.claim_viewed(now, asked_at, before.map(|seen| seen.view), out);
    }

    /// A claim outlives a lost state: what the arbiter knows of this host, this host knows again.
    fn learn_claim(&mut self, claim: Option<Claim>, out: &mut Vec<Action>) {
        let Some(claim) = claim else { return };
        let before = (self.record.arbiter, self.record.highest, self.record.owned);
        self.record.arbiter = self.record.arbiter.max(claim.epoch);
        self.learn_epoch(claim.epoch);
        if claim.owner == self.policy.role && !self.state.may_run_service() {
            self.record.owned = self.record.owned.max(claim.epoch);
        }
        if before != (self.record.arbiter, self.record.highest, self.record.owned) {
            self.persist(self.record.phase.clone(), out);
        }
    }

    /// The own slot still says that an epoch is held which is over: after a crash, a reboot, or a lost answer.
    fn release_what_is_over(&mut self, now: Millis) {
        let nothing_runs = matches!(
            self.state,
            State::Standby | State::Suspect { .. } | State::Stopped { writing: None, .. } | State::FailedStart { .. }
        );
        let Some(seen) = self.arbitration.seen.as_ref().filter(|_| nothing_runs) else { return };
        let role = self.policy.role;
        let Some(claim) = seen.view.claim.filter(|claim| claim.owner == role) else { return };
        let held = seen.view.slot(role).is_some_and(|slot| slot.epoch == claim.epoch && !slot.released);
        if held && self.arbitration.release.is_none() {
            self.release(now, claim.epoch);
        }
    }

    /// Time by the slower clock: for what another host must have done.
    pub(super) fn slow(&self, now: Millis) -> Millis {
        if planted(Bug::WaitsByFastClock) { now } else { now.since(self.clock_lag) }
    }

    /// The peer's lease is over, and this is why.
    pub(super) fn lease_over(&self, now: Millis) -> Option<LeaseProof> {
        if !self.policy.proof_lease || self.tilt_until.is_some() || self.facts.isolated {
            return None;
        }
        self.holds_nothing(now)
    }

    pub(super) fn holds_nothing(&self, now: Millis) -> Option<LeaseProof> {
        let seen = self.arbitration.seen.as_ref().filter(|_| self.arbitration.failing.is_none())?;
        seen.view.claim?;
        if planted(Bug::ClaimsBeforeWaiting) && self.holder(now) == Holder::Quiet {
            return Some(LeaseProof::Expired { unchanged_ms: Millis(0) });
        }
        if self.is_own(seen) { Some(LeaseProof::Own) } else { self.peer_is_over(now) }
    }

    /// The peer has released its epoch, or its slot has not changed for longer than its lease can last.
    pub(super) fn peer_is_over(&self, now: Millis) -> Option<LeaseProof> {
        let seen = self.arbitration.seen.as_ref()?;
        if self.released(seen) {
            return Some(LeaseProof::Released);
        }
        let unchanged_ms = self.slow(now).since(seen.unchanged_since);
        let wait_ms = self.wait_ms(seen)?;
        let wait_ms = if planted(Bug::ClaimsWithoutWait) { Millis(0) } else { wait_ms };
        (unchanged_ms >= wait_ms).then_some(LeaseProof::Expired { unchanged_ms })
    }

    /// The latest epoch was *held* by this host, which it could only be after the peer's was over. A claim of its own that
    /// it never held proves nothing: the daemon may have died while it waited for the peer's lease to end.
    fn is_own(&self, seen: &Seen) -> bool {
        let role = self.policy.role;
        let own = seen.view.claim.filter(|claim| claim.owner == role);
        (planted(Bug::UnheldClaimIsOwn) && own.is_some())
            || own.is_some_and(|claim| seen.view.slot(role).is_some_and(|slot| slot.epoch == claim.epoch))
    }

    fn released(&self, seen: &Seen) -> bool {
        let epoch = seen.peer_claim.map(|claim| claim.epoch);
        let slot = seen.view.slot(self.policy.role.peer());
        slot.is_some_and(|slot| Some(slot.epoch) >= epoch && slot.released)
    }

    /// How long the peer's slot must stay unchanged: by the longer of its lease and the own. `None`: for ever.
    fn wait_ms(&self, seen: &Seen) -> Option<Millis> {
        let own = self.policy.lease?.terms(self.policy.digest).wait_ms();
        match seen.view.slot(self.policy.role.peer()) {
            Some(slot) if slot.hold && Some(slot.epoch) >= seen.peer_claim.map(|claim| claim.epoch) => None,
            Some(_) if planted(Bug::WaitsByOwnTerms) => Some(own),
            Some(slot) => Some(own.max(slot.terms.wait_ms())),
            None => Some(own),
        }
    }

    /// The peer's latest claim is of a later epoch.
    pub(super) fn peer_claimed_above(&self, epoch: Epoch) -> bool {
        let claim = self.arbitration.seen.as_ref().and_then(|seen| seen.peer_claim);
        claim.is_some_and(|claim| claim.epoch > epoch)
    }

    /// When [`Node::lease_over`] becomes true if nothing changes, on the faster clock.
    pub(super) fn lease_over_at(&self) -> Option<Millis> {
        let seen = self.arbitration.seen.as_ref().filter(|_| self.policy.proof_lease)?;
        let waits = seen.view.claim.is_some() && !self.is_own(seen) && !self.released(seen);
        let wait = self.wait_ms(seen)?;
        waits.then(|| seen.unchanged_since.after(wait).after(self.clock_lag))
    }

    /// What the arbiter says of the peer, seen from a host that does not hear it.
    pub(super) fn holder(&self, now: Millis) -> Holder {
        let (Some(seen), None) = (&self.arbitration.seen, &self.arbitration.failing) else { return Holder::Unknown };
        if seen.view.claim.is_none() {
            return Holder::Unknown;
        }
        if self.is_own(seen) || self.released(seen) {
            return Holder::Nobody;
        }
        if self.wait_ms(seen).is_none() {
            return Holder::Maintenance;
        }
        let quiet = self.slow(now).since(seen.unchanged_since) >= self.missed_ms();
        let silent_since = self.peer.heard_at.map_or(Millis(0), |at| at.after(self.policy.suspect_after_ms));
        match seen.changed_at {
            _ if quiet => Holder::Quiet,
            Some(at) if at > silent_since => Holder::Renewing,
            _ => Holder::Undecided,
        }
    }

    /// A holder that wrote nothing for so long has missed a renewal, as far as this host's looks can tell.
    fn missed_ms(&self) -> Millis {
        self.policy.lease.map_or(Millis(0), |times| times.renew_ms.after(times.renew_ms).after(times.attempt_ms))
    }

    /// The configuration under which the peer renewed last.
    pub(super) fn slot_digest(&self) -> Option<u64> {
        let seen = self.arbitration.seen.as_ref()?;
        seen.view.slot(self.policy.role.peer()).map(|slot| slot.terms.digest)
    }

    /// When an undecided holder turns quiet, on the faster clock.
    pub(super) fn quiet_at(&self) -> Option<Millis> {
        let seen = self.arbitration.seen.as_ref()?;
        Some(seen.unchanged_since.after(self.missed_ms()).after(self.clock_lag))
    }

    /// The arbiter can say when the peer's lease is over, so that a blocked take-over need not wait for a person.
    pub(super) fn lease_is_awaited(&self, now: Millis) -> bool {
        self.policy.proof_lease
            && matches!(self.holder(now), Holder::Quiet | Holder::Undecided | Holder::Nobody)
            && self.lease_over_at().is_some_and(|at| at > now || self.holds_nothing(now).is_some())
    }

    pub(super) fn arbiter_evidence(&self, now: Millis) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some((failure, since)) = &self.arbitration.failing {
            lines.push(format!("{failure}, for {}", now.since(*since)));
        }
        if let Some(seen) = &self.arbitration.seen {
            let claim = seen.view.claim.map_or_else(
                || String::from("no claim"),
                |claim| format!("epoch {} belongs to the {}", claim.epoch, claim.owner),
            );
            let slot = match seen.view.slot(self.policy.role.peer()) {
                None => String::from("empty"),
                Some(slot) if slot.released => format!("released epoch {}", slot.epoch),
                Some(slot) if slot.hold => format!("epoch {}, held for maintenance", slot.epoch),
                Some(slot) => format!(
                    "epoch {}, renewal {}, unchanged for {}",
                    slot.epoch,
                    slot.sequence,
                    self.slow(now).since(seen.unchanged_since)
                ),
            };
            let (peer, age) = (self.policy.role.peer(), now.since(seen.read_at));
            lines.push(format!("arbiter, read {age} ago: {claim}; the {peer}'s slot: {slot}"));
        }
        if let Some(keeping) = &self.keeping {
            let limit = if keeping.hold { ", without a limit (maintenance)" } else { "" };
            lines.push(format!("own lease: epoch {}, renewed {} ago{limit}", keeping.epoch, now.since(keeping.since)));
        }
        lines
    }
}
