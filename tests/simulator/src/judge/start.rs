//! The laws of a start: what it rests on and what must be there before it.

use failover_shared::decision::{Epoch, Evidence, LeaseProof, Millis, Phase, Policy, Proof, State, StateName};

use super::super::host::Host;
use super::super::seen::Sight;
use super::safety::Before;
use super::{Judge, Law};

impl Judge {
    /// S3, S5 and S9, when a start list is about to run.
    pub fn starts(&mut self, host: &Host, local: Millis, epoch: Epoch, resumed: bool) {
        let index = host.index();
        let kept = host.disk.durable().is_some_and(|record| {
            record.boot == host.boot && matches!(&record.phase, Phase::Starting { epoch: kept, .. } if *kept == epoch)
        });
        self.must(Law::S9, kept, || {
            format!("the {} starts epoch {epoch}, the disk says {:?}", host.role, host.disk.durable())
        });
        let acked = self.acked_through[index];
        self.must(Law::S5, epoch > acked, || {
            format!("the {} starts epoch {epoch}, and acknowledged that all up to {acked} is stopped", host.role)
        });
        self.s3_one_owner(host, epoch);
        let before = self.highest_started;
        self.highest_started = before.max(epoch);
        if resumed {
            self.s4_is_not_overtaken(host, local, epoch);
            return self.saw(Sight::StartResumed);
        }
        let doubled = host.service.may_write() && !host.service.foreign;
        self.must(Law::S1, !doubled, || format!("the {} starts epoch {epoch} on top of {:?}", host.role, host.service));
        // Without an arbiter, a host that starts without its peer's answer can only stay above what it knows itself.
        let acknowledged = matches!(
            host.node().map(|node| node.state()),
            Some(State::Starting { proof: Proof::Ack { .. }, .. } | State::Claimed { proof: Proof::Ack { .. }, .. })
        );
        let arbitrated = host.node().is_some_and(|node| node.policy().lease.is_some());
        let below = if acknowledged || arbitrated { before } else { self.known[index] };
        self.must_unless_leave(Law::S3, epoch > below, || {
            format!("the {} starts epoch {epoch} after {below}", host.role)
        });
        // Nobody told it of an epoch that its peer ran meanwhile, unheard: that one is over, and its number is larger.
        self.is_forgetful |= epoch < before;
    }

    /// S4, when an interrupted start is gone on with: the silence meanwhile can have earned the peer no proof.
    fn s4_is_not_overtaken(&mut self, host: &Host, local: Millis, epoch: Epoch) {
        let Some(node) = host.node() else { return };
        let State::Starting { attempt, .. } = node.state() else { return };
        let (age, most) = (local.since(attempt.began), node.policy().shutdown_timeout_ms);
        self.must(Law::S4, age < most, || {
            format!("the {} goes on with the start of epoch {epoch}, {age} after its demand, of {most}", host.role)
        });
    }

    fn s3_one_owner(&mut self, host: &Host, epoch: Epoch) {
        let owner = match self.owners.iter().find(|(known, _)| *known == epoch) {
            Some((_, owner)) => *owner,
            None => {
                self.owners.push((epoch, host.role));
                host.role
            }
        };
        self.must_unless_leave(Law::S3, owner == host.role, || {
            format!("epoch {epoch} of the {owner} started by the {}", host.role)
        });
    }

    /// S4, after a step that came to a claim.
    pub fn s4_start_follows_a_proof(&mut self, host: &Host, before: Before) {
        let Some(node) = host.node() else { return };
        let State::Claimed { attempt, proof, .. } = node.state() else { return };
        if before.name == StateName::Claimed {
            return;
        }
        let given = match proof {
            Proof::Ack { by_rcmd: false, .. } => {
                self.saw(Sight::ProofAck);
                self.acked.contains(&attempt.request)
            }
            Proof::Ack { by_rcmd: true, .. } => {
                self.saw(Sight::ProofStatement);
                self.stated.contains(&attempt.request)
            }
            Proof::Operator { .. } => {
                self.saw(Sight::ProofOperator);
                self.words[host.index()] > 0
            }
            Proof::Lease(proof) => {
                self.saw(match proof {
                    LeaseProof::Released => Sight::ProofReleased,
                    LeaseProof::Expired { .. } => Sight::ProofExpired,
                    LeaseProof::Own => Sight::ProofOwn,
                });
                true
            }
            Proof::Fence { .. } => {
                self.saw(Sight::ProofFence);
                self.fenced[host.index()].is_some()
            }
            Proof::Timeout => {
                self.saw(Sight::ProofTimeout);
                self.gives_leave("silence was taken for a stop");
                true
            }
        };
        if before.name == StateName::TakeoverBlocked {
            self.saw(Sight::BlockResolved);
        }
        if attempt.evidence == Evidence::RollBack {
            self.saw(Sight::RolledBack);
        }
        let listed = is_listed(node.policy(), proof);
        self.must(Law::S4, listed, || format!("the configuration does not list {proof:?}"));
        self.must(Law::S4, given, || format!("nobody gave {proof:?} for {attempt:?}"));
    }
}

fn is_listed(policy: &Policy, proof: &Proof) -> bool {
    match proof {
        Proof::Ack { .. } => policy.proof_ack,
        Proof::Operator { .. } => policy.proof_operator,
        Proof::Lease(_) => policy.proof_lease,
        Proof::Fence { .. } => policy.proof_fence,
        Proof::Timeout => policy.proof_timeout,
    }
}
