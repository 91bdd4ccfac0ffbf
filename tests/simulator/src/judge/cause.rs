//! The law of causes: who demands, why, and what may stop a running service. It holds what each daemon was told, and
//! asks no core for it.

use failover_shared::decision::{
    ArbiterReply, ArbiterRequest, Command, Epoch, Event, Evidence, LeaseProof, Millis, Node, Policy, Proof, Role, Slot,
    State, StateName, Symptom, Terms,
};

use super::super::host::Host;
use super::safety::{Before, Standing, Told};
use super::{Judge, Law};

/// What a daemon was told since its start.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The reasons that are in the way of a start; `None`: not yet told.
    not_ready: Option<bool>,
    isolated: bool,
    /// Its loop was late: until then, on its own clock, it does not trust its view of time.
    tilted_until: Millis,
    peer_digest: Option<u64>,
    /// A person has commanded a move.
    commanded: bool,
    /// The peer's slot as it was read last, and since when it is so, on the slower clock.
    slot: Option<(Option<Slot>, Millis)>,
    /// The highest epoch whose claim it has read.
    claim: Option<Epoch>,
    /// That epoch was held by this host itself, so the peer's was over before.
    was_holder: bool,
    /// It has read the arbiter since its claim was made.
    looked_since_claim: bool,
}

impl Judge {
    /// Before each step of a core: what it is told.
    pub fn hears(&mut self, host: &Host, fast: Millis, slow: Millis, event: &Event) {
        let heard = &mut self.heard[host.index()];
        match event {
            Event::Readiness(reasons) => heard.not_ready = Some(!reasons.is_empty()),
            Event::References { answering, of, link_up } => {
                heard.isolated = !link_up || (*of > 0 && *answering == 0);
            }
            Event::LoopLate(late) if *late >= Policy::TILT_AT_MS => heard.tilted_until = fast.after(Policy::TILT_MS),
            Event::Beat(beat) => heard.peer_digest = Some(beat.digest),
            Event::Command { command: Command::MoveHere { .. } | Command::StartAlone { .. }, .. } => {
                heard.commanded = true;
            }
            Event::Arbiter { reply: ArbiterReply::Claimed, .. } => {
                heard.looked_since_claim = false;
                if let Some(State::Claimed { epoch, .. }) = host.node().map(Node::state) {
                    heard.claim = heard.claim.max(Some(*epoch));
                }
            }
            Event::Arbiter { reply: ArbiterReply::Seen(view), .. } => {
                heard.looked_since_claim = true;
                // An arbiter that shows less than before says nothing of any lease.
                let claim = view.claim.map(|claim| claim.epoch);
                if claim < heard.claim {
                    return;
                }
                heard.claim = claim;
                let own = view.claim.filter(|claim| claim.owner == host.role).map(|claim| claim.epoch);
                heard.was_holder = own.is_some() && own == view.slot(host.role).map(|slot| slot.epoch);
                let slot = view.slot(host.role.peer()).copied();
                if heard.slot.is_none_or(|(known, _)| known != slot) {
                    heard.slot = Some((slot, slow));
                }
            }
            _ => {}
        }
    }

    /// After each step: a demand that begins has a cause, and its host is fit to make it.
    pub(super) fn demands_with_a_cause(&mut self, host: &Host, before: Before) {
        let Some(node) = host.node() else { return };
        let State::Requesting { attempt, .. } = node.state() else { return };
        if before.name == StateName::Requesting {
            return;
        }
        let (automatic, by_silence) = match attempt.evidence {
            Evidence::Silence(_) | Evidence::RemoteCheck(Symptom::Unreachable | Symptom::TimedOut) => (true, true),
            Evidence::OwnVerdict(_) | Evidence::RemoteCheck(_) => (true, false),
            Evidence::NobodyActive | Evidence::Command { .. } | Evidence::RollBack => (false, false),
        };
        let commanded = matches!(attempt.evidence, Evidence::Command { .. });
        let by_person = commanded || attempt.evidence == Evidence::RollBack;
        let heard = self.heard[host.index()].clone();
        let digests_differ = heard.peer_digest.is_some_and(|digest| digest != node.policy().digest);
        let wrongs = [
            (commanded && !heard.commanded, "nobody has commanded it"),
            (heard.not_ready != Some(false), "it could not start the service"),
            (!by_person && digests_differ, "the configurations differ"),
            (automatic && node.locked(), "an automatic move was made and is not acknowledged"),
            (by_silence && heard.isolated, "it reaches nobody itself"),
            (by_silence && node.entered() < heard.tilted_until, "its own loop was late"),
        ];
        for (wrong, why) in wrongs {
            self.must(Law::Cause, !wrong, || format!("the {} demands by {:?}, but {why}", host.role, attempt.evidence));
        }
    }

    /// After each step: a demand that stopped the running service was allowed to.
    pub(super) fn obeys_with_a_cause(&mut self, host: &Host, before: Before, told: Told) {
        let Told::Demand(_, _, standing) = told else { return };
        let Some(node) = host.node() else { return };
        if before.active.is_none() || node.state().name() != StateName::Stopping {
            return;
        }
        let wrongs = [
            (before.in_maintenance, "it is in maintenance"),
            (standing == Standing::Unready, "who demands could not start it"),
            (standing == Standing::Weak && before.is_well, "it is well, and who demands only does not hear it"),
        ];
        for (wrong, why) in wrongs {
            self.must(Law::Cause, !wrong, || format!("the {} obeys a demand, but {why}", host.role));
        }
    }

    /// S4, when a claim is asked for that rests on the arbiter: the wait is behind it, as long as the holder's own words
    /// say, unless its last words are that it has let go, or this host has held the lease since.
    pub fn s4_waited_first(&mut self, host: &Host, slow: Millis, request: &ArbiterRequest) {
        let (ArbiterRequest::Claim { epoch, .. }, Some(node)) = (request, host.node()) else { return };
        let State::Claimed { proof: Proof::Lease(proof), .. } = node.state() else { return };
        let heard = &self.heard[host.index()];
        let Some((slot, since)) = heard.slot else { return };
        let needed = match (slot, proof) {
            _ if heard.was_holder => 0,
            (Some(slot), _) if slot.released => 0,
            (Some(slot), _) => wait(slot.terms),
            // The peer has never said for how long; only an own epoch needs no such word.
            (None, LeaseProof::Own) => node.policy().lease.map_or(0, |times| wait(times.terms(1))),
            (None, LeaseProof::Expired { .. } | LeaseProof::Released) => 0,
        };
        let waited = slow.since(since).0;
        self.must(Law::S4, waited >= needed, || {
            format!("the {} claims epoch {epoch} on {proof:?} after {waited} ms of {needed} ms", host.role)
        });
    }

    /// S2, when a start list is about to run where an arbiter is configured: a renewal that came between the look and the
    /// claim was looked for.
    pub fn s2_looked_since_its_claim(&mut self, host: &Host, epoch: Epoch) {
        let looked = self.heard[host.index()].looked_since_claim;
        self.must(Law::S2, looked, || {
            format!("the {} starts epoch {epoch} without a look at the arbiter after its claim", host.role)
        });
    }

    /// S2, when a renewal on shared storage is validated: no later claim was there when the slot was written.
    pub fn s2_no_later_claim(&mut self, role: Role, later: bool, reply: &ArbiterReply) {
        let wrong = later && *reply == ArbiterReply::Renewed;
        self.must(Law::S2, !wrong, || format!("a renewal of the {role} counts, and there is a later claim"));
    }
}

/// W = L (1 + ρ) / (1 - ρ), in milliseconds, written down a second time.
fn wait(terms: Terms) -> u64 {
    let drift = u64::from(terms.drift_permille);
    (terms.lease_ms.0 * (1_000 + drift)).div_ceil(1_000 - drift)
}
