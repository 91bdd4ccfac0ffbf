//! The laws of the lease.

use failover_shared::decision::{ArbiterRequest, BootId, Epoch, GuardedLease, LeaseTimes, Millis, Role};

use super::super::host::Host;
use super::{Judge, Law};

/// What the judge knows of a host's lease: only renewals that came back in time, by the time at which they were sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Validated {
    epoch: Epoch,
    since: Millis,
    hold: bool,
}

impl Judge {
    /// A renewal was validated.
    pub fn renewed(&mut self, index: usize, epoch: Epoch, sent: Millis, hold: bool) {
        let known = self.validated[index];
        let since = if known.epoch == epoch { known.since.max(sent) } else { sent };
        self.validated[index] = Validated { epoch, since, hold };
    }

    /// The host lost its power: its lease says nothing any more.
    pub fn lease_gone(&mut self, index: usize) {
        self.validated[index] = Validated::default();
    }

    /// This kernel start of the peer was fenced.
    pub fn fenced(&mut self, by: usize, boot: BootId) {
        self.fenced[by] = Some(boot);
    }

    /// S2 and S8, when a start list is about to run where an arbiter is configured.
    pub fn s2_start_holds_the_claim(&mut self, host: &Host, epoch: Epoch, owner: Option<Role>) {
        self.must_unless_leave(Law::S2, owner == Some(host.role), || {
            format!("the {} starts epoch {epoch}, which belongs to {owner:?}", host.role)
        });
        let armed = match host.guard.lease {
            Some(GuardedLease::Held { epoch: guarded, .. }) => guarded == epoch && host.guard.dog_is_armed,
            // Maintenance: it leaves the watchdog closed, and began while the start ran.
            Some(GuardedLease::Hold { epoch: guarded }) => guarded == epoch,
            Some(GuardedLease::Ended) | None => false,
        };
        self.must(Law::S8, armed, || format!("the {} starts epoch {epoch} with {:?}", host.role, host.guard));
    }

    /// S8 and S9, when a claim is asked for.
    pub fn s8_fit_to_claim(&mut self, host: &Host, request: &ArbiterRequest) {
        let ArbiterRequest::Claim { epoch, .. } = request else { return };
        let fit = !host.service.may_write() || host.service.foreign;
        self.must(Law::S8, fit, || format!("the {} claims epoch {epoch} beside {:?}", host.role, host.service));
        let kept = host.disk.durable().is_some_and(|record| record.highest >= *epoch);
        self.must(Law::S9, kept, || {
            format!("the {} claims epoch {epoch}, the disk says {:?}", host.role, host.disk.durable())
        });
    }

    /// S6, when a slot is written: the peer waits by what it says, so that must not be shorter than what the guardian does.
    pub fn s6_promises_what_is_kept(&mut self, host: &Host, request: &ArbiterRequest) {
        let ArbiterRequest::Renew { epoch, terms, .. } = request else { return };
        let Some((guarded, _)) = host.guard.running() else { return };
        let Some(times) = host.guard.times.filter(|_| guarded == *epoch) else { return };
        self.must(Law::S6, terms.lease_ms >= times.lease_ms(), || {
            format!("the {} promises {terms:?}, and its guardian keeps to {times:?}", host.role)
        });
    }

    /// S6, at the moments of a lease.
    pub fn s6_over_means_stopped(&mut self, hosts: &[Host; 2], index: usize, times: &LeaseTimes, elapsed: Millis) {
        let validated = self.validated[index];
        let host = &hosts[index];
        if validated.hold || elapsed < times.lease_ms() {
            return;
        }
        self.must_unless_leave(Law::S6, !host.service.may_write(), || {
            format!("the lease of the {} is over for {elapsed}, and there is {:?}", host.role, host.service)
        });
    }

    /// S7, when the guardian is told: it pets by what it is told, so that must not go beyond what was validated.
    pub fn s7_no_pet_beyond_what_was_validated(&mut self, host: &Host, lease: GuardedLease) {
        let validated = self.validated[host.index()];
        match lease {
            GuardedLease::Held { epoch, since } => {
                let holds = epoch == validated.epoch && since <= validated.since;
                self.must(Law::S7, holds, || {
                    format!("the guardian of the {} is told {lease:?}, validated is {validated:?}", host.role)
                });
            }
            GuardedLease::Hold { epoch } => {
                let holds = epoch == validated.epoch && validated.hold;
                self.must(Law::S7, holds, || {
                    format!("the guardian of the {} is told {lease:?}, validated is {validated:?}", host.role)
                });
            }
            GuardedLease::Ended => {
                let ended = !host.service.may_write();
                self.must_unless_leave(Law::S12, ended, || {
                    format!(
                        "the guardian of the {} is told that nothing runs, and there is {:?}",
                        host.role, host.service
                    )
                });
            }
        }
    }

    /// S14, when a fenced peer is let back.
    pub fn s14_comes_back_anew(&mut self, by: &Host, peer: &Host) {
        let fenced = self.fenced[by.index()];
        self.must_unless_leave(Law::S14, fenced != Some(peer.boot), || {
            format!("the {} lets the {} back in the kernel start that was fenced", by.role, peer.role)
        });
    }
}
