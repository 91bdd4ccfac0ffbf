//! What the status says of arbiter, lease, guardian and fence. Each value comes with its age.

use super::turn::Driver;
use crate::config::{ArbiterPlace, Config};
use crate::decision::{Millis, View};
use crate::status::{ArbiterStatus, Failing, FenceStatus, FencedStatus, OwnLease, PeerLease, SlotSays};

/// Clocks that have come apart by less say nothing about their rates yet.
const CLOCKS_JUDGED_FROM: Millis = Millis(1_000);

impl Driver {
    pub(super) fn arbiter_status(&self, now: Millis) -> Option<ArbiterStatus> {
        let node = &self.node;
        let (kind, place) = place(&self.loaded.config)?;
        Some(ArbiterStatus {
            kind,
            place,
            answered_age_ms: self.facts.arbiter_answered.map(|at| now.since(at).0),
            failing: node.arbiter_failure().map(|(why, since)| Failing {
                why: why.to_string(),
                age_ms: now.since(since).0,
                unusable: node.arbiter_is_unusable(),
            }),
            own: node.lease().map(|(epoch, since, hold)| OwnLease {
                epoch,
                renewed_age_ms: now.since(since).0,
                stops_in_ms: node.lease_stops_at().map(|at| at.since(now).0),
                hold,
            }),
            seen: node.arbiter_view().map(|(view, read_at)| seen(view, now.since(read_at))),
        })
    }

    pub(super) fn fence_status(&self, now: Millis) -> Vec<FenceStatus> {
        let stale_after_ms = self.fences.stale_after().0;
        let answers = self.fences.devices().map(|(device, answer)| FenceStatus {
            device: device.to_string(),
            said: answer.map(|(said, _)| said.clone()),
            age_ms: answer.map(|(_, at)| now.since(*at).0),
            stale_after_ms,
        });
        answers.collect()
    }

    pub(super) fn fenced_status(&self, now: Millis) -> Option<FencedStatus> {
        let ago = self.node.record().fenced?.ago(now, self.boot, self.clock_lag);
        let host = self.loaded.config.host(self.settings.role.peer()).name.clone();
        Some(FencedStatus { host, at_least_ms: ago.0 })
    }

    /// The two clocks of this host come apart faster than two clocks of a pair may.
    pub(super) fn clocks_beyond_drift(&self, now: Millis) -> bool {
        let Some(times) = self.loaded.config.lease_times() else { return false };
        let allowed = now.since(self.facts.began).0.saturating_mul(u64::from(times.drift_permille)) / 1_000;
        self.clock_lag >= CLOCKS_JUDGED_FROM && self.clock_lag.0 > allowed
    }
}

fn place(config: &Config) -> Option<(String, String)> {
    Some(match &config.arbiter.as_ref()?.place {
        ArbiterPlace::SharedStorage { path } => ("shared storage".to_string(), path.display().to_string()),
        ArbiterPlace::Etcd(etcd) => ("etcd".to_string(), etcd.endpoints.join(", ")),
    })
}

fn seen(view: &View, age: Millis) -> PeerLease {
    let claim = view.claim.map(|claim| (claim.epoch, claim.owner));
    let slot = claim.and_then(|(epoch, owner)| view.slot(owner).filter(|slot| slot.epoch >= epoch));
    let slot = match slot {
        None => SlotSays::Nothing,
        Some(slot) if slot.released => SlotSays::Released,
        Some(slot) if slot.hold => SlotSays::HeldWithoutLimit,
        Some(_) => SlotSays::Held,
    };
    PeerLease { age_ms: age.0, claim, slot }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{BootId, Claim, Epoch, Role, Slot, Terms};

    fn view(epoch: u64, released: bool, hold: bool) -> View {
        let terms = Terms { lease_ms: Millis(60_000), drift_permille: 10, digest: 1, version: 1 };
        let slot = Slot { epoch: Epoch(epoch), sequence: 9, boot: BootId(7), released, hold, terms };
        let claim = Claim { epoch: Epoch(3), owner: Role::Master, boot: BootId(7) };
        View { claim: Some(claim), master: Some(slot), ..View::default() }
    }

    #[test]
    fn a_slot_speaks_of_the_latest_claim_only_if_it_is_of_that_epoch() {
        let says = |view: &View| seen(view, Millis(5)).slot;
        assert_eq!(says(&view(3, false, false)), SlotSays::Held);
        assert_eq!(says(&view(3, false, true)), SlotSays::HeldWithoutLimit);
        assert_eq!(says(&view(3, true, false)), SlotSays::Released);
        assert_eq!(says(&view(1, false, false)), SlotSays::Nothing, "its claim is made, its lease is not held yet");
        assert_eq!(seen(&View::default(), Millis(5)).claim, None);
    }
}
