//! The arbiter as both kinds keep it: claims made once, and a slot for each host.
//!
//! On shared storage each operation is a row of file operations with time between them, reads may be a little old, and a
//! write may land after its sender has given up. In etcd each is one transaction on the newest state.

use std::collections::VecDeque;
use std::rc::Rc;

use failover_shared::decision::{
    ArbiterFailure, ArbiterReply, ArbiterRequest, BootId, Bug, Claim, Epoch, Role, Slot, Stamp, View, planted,
};

use super::host::role;

/// How it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder on shared storage: link(2), one slot a host, nothing to compare.
    Storage,
    /// etcd: compare and swap on the revision.
    Compare,
}

/// What is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Contents {
    /// Shared with the earlier contents that hold the same.
    claims: Rc<Vec<Claim>>,
    slots: [Option<Slot>; 2],
    revision: u64,
}

impl Contents {
    /// Each claim and the later writing of each slot.
    fn take_in(&mut self, other: Contents) {
        let claims = Rc::make_mut(&mut self.claims);
        for claim in other.claims.iter() {
            claims.retain(|known| known.epoch != claim.epoch);
            claims.push(*claim);
        }
        for (mine, theirs) in self.slots.iter_mut().zip(other.slots) {
            let sequence = |slot: &Option<Slot>| slot.map_or(0, |slot| slot.sequence);
            if sequence(&theirs) > sequence(mine) {
                *mine = theirs;
            }
        }
        self.revision = self.revision.max(other.revision) + 1;
    }
}

/// The arbiter.
#[derive(Clone, Debug)]
pub struct Arbiter {
    kind: Kind,
    now_holds: Contents,
    /// What it held before each change, and when that ended: reads may be so old.
    before: VecDeque<(u64, Contents)>,
    /// How old a read may be on shared storage.
    stale_most_ms: u64,
    /// The highest epoch and sequence that each host's daemon has seen: less than that is a rollback.
    known: [(Epoch, [u64; 2]); 2],
    /// What it held before it was rolled back.
    lost: Option<Contents>,
    /// It cannot be written.
    pub is_read_only: bool,
    /// It does not answer at all.
    pub is_down: bool,
    /// Operations take this much longer.
    pub slow_ms: u64,
    /// Answers are lost, of a hundred.
    pub mute_percent: u64,
}

/// States that are kept for stale reads and rollbacks.
const BEFORE_MOST: usize = 32;

impl Arbiter {
    /// An empty one.
    #[must_use]
    pub fn new(kind: Kind, stale_most_ms: u64) -> Arbiter {
        Arbiter {
            kind,
            now_holds: Contents::default(),
            before: VecDeque::new(),
            stale_most_ms,
            known: [(Epoch(0), [0; 2]); 2],
            lost: None,
            is_read_only: false,
            is_down: false,
            slow_ms: 0,
            mute_percent: 0,
        }
    }

    /// How it is kept.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How old a read may be.
    #[must_use]
    pub fn stale_most_ms(&self) -> u64 {
        match self.kind {
            Kind::Storage => self.stale_most_ms,
            Kind::Compare => 0,
        }
    }

    /// Whose claim of an epoch it holds now, seen by the judge and not through any cache.
    #[must_use]
    pub fn owner(&self, epoch: Epoch) -> Option<Role> {
        self.now_holds.claims.iter().find(|claim| claim.epoch == epoch).map(|claim| claim.owner)
    }

    /// A daemon starts: it remembers nothing of what its forerunner saw.
    pub fn forgotten_by(&mut self, host: usize) {
        self.known[host] = (Epoch(0), [0; 2]);
    }

    /// The first half of an operation takes effect at `now`; `Some` is the whole answer, `None`: a renewal on shared
    /// storage still has to look for a later claim.
    pub fn act(
        &mut self,
        now: u64,
        host: usize,
        boot: BootId,
        request: &ArbiterRequest,
        read_age_ms: u64,
    ) -> Option<ArbiterReply> {
        let writes = !matches!(request, ArbiterRequest::Observe);
        if writes && self.is_read_only {
            return Some(ArbiterReply::Failed(ArbiterFailure::Unreachable("it is read-only".into())));
        }
        match *request {
            ArbiterRequest::Observe => Some(self.observe(now, host, read_age_ms)),
            ArbiterRequest::Renew { epoch, hold, terms } => {
                if let Some(rolled_back) = self.rolled_back(host, &self.now_holds) {
                    return Some(rolled_back);
                }
                let looks_first = planted(Bug::ArbiterLooksFirst);
                if (self.kind == Kind::Compare || looks_first)
                    && let Some(later) = self.later(&self.now_holds, epoch)
                {
                    return Some(ArbiterReply::Deposed(later));
                }
                if looks_first && self.kind == Kind::Storage {
                    return None;
                }
                match self.now_holds.claims.iter().find(|claim| claim.epoch == epoch) {
                    Some(claim) if claim.owner != role(host) => return Some(ArbiterReply::Deposed(*claim)),
                    Some(_) => {}
                    None => return Some(gone()),
                }
                let sequence = self.next_sequence(host);
                self.write(now, host, Slot { epoch, sequence, boot, released: false, hold, terms });
                (self.kind == Kind::Compare).then_some(ArbiterReply::Renewed)
            }
            ArbiterRequest::Claim { epoch, stamp } => Some(self.claim(now, host, boot, epoch, stamp)),
            ArbiterRequest::Release { epoch, terms } => {
                if let Some(rolled_back) = self.rolled_back(host, &self.now_holds) {
                    return Some(rolled_back);
                }
                let sequence = self.next_sequence(host);
                self.write(now, host, Slot { epoch, sequence, boot, released: true, hold: false, terms });
                Some(ArbiterReply::Released)
            }
        }
    }

    /// The second half of a renewal on shared storage: is there a later claim?
    pub fn look_for_claim(
        &mut self,
        now: u64,
        host: usize,
        boot: BootId,
        request: &ArbiterRequest,
        read_age_ms: u64,
    ) -> ArbiterReply {
        let ArbiterRequest::Renew { epoch, hold, terms } = *request else { return ArbiterReply::Renewed };
        if planted(Bug::ArbiterLooksFirst) {
            let sequence = self.next_sequence(host);
            self.write(now, host, Slot { epoch, sequence, boot, released: false, hold, terms });
            return ArbiterReply::Renewed;
        }
        match self.later(self.as_of(now.saturating_sub(read_age_ms)), epoch) {
            Some(claim) => ArbiterReply::Deposed(claim),
            None => ArbiterReply::Renewed,
        }
    }

    /// It is restored from a copy. False: there is none that is older.
    pub fn roll_back(&mut self, steps: usize) -> bool {
        let Some((_, older)) = self.before.iter().rev().nth(steps) else { return false };
        let later = std::mem::replace(&mut self.now_holds, older.clone());
        self.lost.get_or_insert_default().take_in(later);
        self.before.clear();
        true
    }

    /// A person brings back what was lost, beside what came since.
    pub fn restore(&mut self) {
        if let Some(lost) = self.lost.take() {
            self.now_holds.take_in(lost);
            self.before.clear();
        }
    }

    fn observe(&mut self, now: u64, host: usize, read_age_ms: u64) -> ArbiterReply {
        let seen = self.as_of(now.saturating_sub(read_age_ms)).clone();
        if read_age_ms == 0
            && let Some(rolled_back) = self.rolled_back(host, &seen)
        {
            return rolled_back;
        }
        let highest = |below: Option<Claim>| {
            let below = seen.claims.iter().filter(|claim| below.is_none_or(|known| claim.epoch < known.epoch));
            below.max_by_key(|claim| claim.epoch).copied()
        };
        let claim = highest(None);
        let before = claim.and_then(|claim| highest(Some(claim)));
        let known = &mut self.known[host];
        known.0 = known.0.max(claim.map_or(Epoch(0), |claim| claim.epoch));
        for (known, slot) in known.1.iter_mut().zip(&seen.slots) {
            *known = (*known).max(slot.map_or(0, |slot| slot.sequence));
        }
        let stamp = Stamp(if self.kind == Kind::Compare { seen.revision } else { 0 });
        let [master, slave] = seen.slots;
        ArbiterReply::Seen(View { claim, before, master, slave, stamp })
    }

    fn claim(&mut self, now: u64, host: usize, boot: BootId, epoch: Epoch, stamp: Stamp) -> ArbiterReply {
        let owner = role(host);
        if let Some(rolled_back) = self.rolled_back(host, &self.now_holds) {
            return rolled_back;
        }
        if let Some(made) = self.now_holds.claims.iter().find(|claim| claim.epoch == epoch) {
            let mine = made.owner == owner;
            return if mine { ArbiterReply::Claimed } else { ArbiterReply::NotClaimed };
        }
        if self.kind == Kind::Compare && stamp.0 != self.now_holds.revision {
            return ArbiterReply::NotClaimed;
        }
        self.changes(now);
        Rc::make_mut(&mut self.now_holds.claims).push(Claim { epoch, owner, boot });
        ArbiterReply::Claimed
    }

    fn write(&mut self, now: u64, host: usize, slot: Slot) {
        self.changes(now);
        self.now_holds.slots[host] = Some(slot);
        self.known[host].1[host] = slot.sequence;
    }

    fn changes(&mut self, now: u64) {
        if self.before.len() == BEFORE_MOST {
            self.before.pop_front();
        }
        self.before.push_back((now, self.now_holds.clone()));
        self.now_holds.revision += 1;
    }

    fn next_sequence(&self, host: usize) -> u64 {
        self.now_holds.slots[host].map_or(1, |slot| slot.sequence + 1)
    }

    /// What it held at that time.
    fn as_of(&self, at: u64) -> &Contents {
        self.before.iter().find(|(ended, _)| *ended > at).map_or(&self.now_holds, |(_, contents)| contents)
    }

    /// There is a claim above this epoch, seen by the judge and not through any cache.
    #[must_use]
    pub fn has_later(&self, epoch: Epoch) -> bool {
        self.later(&self.now_holds, epoch).is_some()
    }

    fn later(&self, contents: &Contents, epoch: Epoch) -> Option<Claim> {
        contents.claims.iter().filter(|claim| claim.epoch > epoch).max_by_key(|claim| claim.epoch).copied()
    }

    fn rolled_back(&self, host: usize, seen: &Contents) -> Option<ArbiterReply> {
        let (epoch, sequences) = self.known[host];
        let highest = seen.claims.iter().map(|claim| claim.epoch).max().unwrap_or_default();
        let fewer = |(slot, known): (&Option<Slot>, &u64)| slot.map_or(0, |slot| slot.sequence) < *known;
        let less = highest < epoch || seen.slots.iter().zip(&sequences).any(fewer);
        less.then(gone)
    }
}

fn gone() -> ArbiterReply {
    ArbiterReply::Failed(ArbiterFailure::RolledBack("it holds less than before".into()))
}
