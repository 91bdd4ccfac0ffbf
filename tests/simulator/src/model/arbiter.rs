//! The arbiter of the model: claims that are made once, and one slot a host.
//!
//! On shared storage a renewal is two acts, the write and then the look for a later claim, and others may act in between.
//! In etcd every request is one transaction, and a claim compares the revision.

use failover_shared::decision::{ArbiterReply, ArbiterRequest, BootId, Claim, Epoch, Role, Slot, Stamp, View};

/// How it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A folder on shared storage: link(2) and one slot a host.
    Storage,
    /// Compare and swap, as etcd has it.
    Compare,
}

/// The arbiter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arbiter {
    kind: Kind,
    claims: Vec<Claim>,
    slots: [Option<Slot>; 2],
    revision: u64,
}

/// What became of the first act of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Acted {
    /// That was all.
    Answers(ArbiterReply),
    /// The slot is written; the look for a claim above this epoch follows.
    Looks(Epoch),
}

impl Arbiter {
    /// An empty one.
    #[must_use]
    pub fn new(kind: Kind) -> Arbiter {
        Arbiter { kind, claims: Vec::new(), slots: [None; 2], revision: 0 }
    }

    /// How it is kept.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The first act of a request.
    pub fn act(&mut self, role: Role, boot: BootId, request: &ArbiterRequest) -> Acted {
        match *request {
            ArbiterRequest::Observe => Acted::Answers(ArbiterReply::Seen(self.view())),
            ArbiterRequest::Renew { epoch, hold, terms } => {
                if self.kind == Kind::Compare
                    && let Some(later) = self.later(epoch)
                {
                    return Acted::Answers(ArbiterReply::Deposed(later));
                }
                self.write(role, |sequence| Slot { epoch, sequence, boot, released: false, hold, terms });
                match self.kind {
                    Kind::Storage => Acted::Looks(epoch),
                    Kind::Compare => Acted::Answers(ArbiterReply::Renewed),
                }
            }
            ArbiterRequest::Claim { epoch, stamp } => Acted::Answers(self.claim(role, boot, epoch, stamp)),
            ArbiterRequest::Release { epoch, terms } => {
                self.write(role, |sequence| Slot { epoch, sequence, boot, released: true, hold: false, terms });
                Acted::Answers(ArbiterReply::Released)
            }
        }
    }

    /// The second act of a renewal on shared storage.
    #[must_use]
    pub fn look(&self, epoch: Epoch) -> ArbiterReply {
        self.later(epoch).map_or(ArbiterReply::Renewed, ArbiterReply::Deposed)
    }

    fn claim(&mut self, owner: Role, boot: BootId, epoch: Epoch, stamp: Stamp) -> ArbiterReply {
        if let Some(made) = self.claims.iter().find(|claim| claim.epoch == epoch) {
            return if made.owner == owner { ArbiterReply::Claimed } else { ArbiterReply::NotClaimed };
        }
        if self.kind == Kind::Compare && stamp != self.stamp() {
            return ArbiterReply::NotClaimed;
        }
        self.claims.push(Claim { epoch, owner, boot });
        self.claims.sort_unstable_by_key(|claim| claim.epoch);
        self.revision += 1;
        ArbiterReply::Claimed
    }

    fn write(&mut self, role: Role, slot: impl FnOnce(u64) -> Slot) {
        let kept = &mut self.slots[usize::from(role == Role::Slave)];
        *kept = Some(slot(kept.map_or(1, |slot| slot.sequence + 1)));
        self.revision += 1;
    }

    fn later(&self, epoch: Epoch) -> Option<Claim> {
        self.claims.last().filter(|claim| claim.epoch > epoch).copied()
    }

    fn view(&self) -> View {
        let mut latest = self.claims.iter().rev().copied();
        let [master, slave] = self.slots;
        View { claim: latest.next(), before: latest.next(), master, slave, stamp: self.stamp() }
    }

    fn stamp(&self) -> Stamp {
        match self.kind {
            Kind::Storage => Stamp(0),
            Kind::Compare => Stamp(self.revision),
        }
    }
}
