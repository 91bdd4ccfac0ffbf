//! The four questions, answered from the folder. Runs in the child; holds nothing between two questions.

use super::folder::Folder;
use super::memory::{Memory, RESTORED};
use super::name::{self, Names};
use super::question::{Answer, Place, Question};
use super::record::{ClaimRecord, SlotRecord};
use crate::decision::{ArbiterFailure, ArbiterReply, ArbiterRequest, Claim, Epoch, Role, Slot, Stamp, Terms, View};

/// So many claims are kept: the two highest are part of every view, the others are for people who look for what happened.
const CLAIMS_KEPT: usize = 16;

/// Answers one question.
pub(super) fn answer(question: Question) -> Answer {
    let Question { place, request, nonce, mut memory } = question;
    let reply = reply(&place, request, nonce, &mut memory).unwrap_or_else(ArbiterReply::Failed);
    Answer { reply, memory }
}

fn reply(
    place: &Place,
    request: ArbiterRequest,
    nonce: u64,
    memory: &mut Memory,
) -> Result<ArbiterReply, ArbiterFailure> {
    let mut asked = Asked::about(place, nonce, memory)?;
    match request {
        ArbiterRequest::Observe => asked.observe(),
        ArbiterRequest::Renew { epoch, hold, terms } => asked.renew(epoch, hold, terms),
        ArbiterRequest::Claim { epoch, stamp: _ } => asked.claim(epoch),
        ArbiterRequest::Release { epoch, terms } => asked.release(epoch, terms),
    }
}

/// One question on its way through the folder.
pub(super) struct Asked<'a> {
    place: &'a Place,
    folder: Folder<'a>,
    nonce: u64,
    memory: &'a mut Memory,
}

/// The own slot before it is written.
pub(super) struct OwnSlot {
    pub(super) names: Names,
    pub(super) newest: Option<Slot>,
    /// Of the next record.
    pub(super) sequence: u64,
}

impl<'a> Asked<'a> {
    /// The folder is a store, and the one that it was.
    pub(super) fn about(place: &'a Place, nonce: u64, memory: &'a mut Memory) -> Result<Asked<'a>, ArbiterFailure> {
        let folder = Folder::open(place)?;
        match memory.store {
            Some(known) if known != folder.id => Err(ArbiterFailure::RolledBack(format!(
                "{} was the store {known} and is now the store {}; {RESTORED}",
                place.path.display(),
                folder.id
            ))),
            _ => {
                memory.store = Some(folder.id);
                Ok(Asked { place, folder, nonce, memory })
            }
        }
    }

    fn observe(&mut self) -> Result<ArbiterReply, ArbiterFailure> {
        let (names, records) = self.folder.slots(&[Role::Master, Role::Slave])?;
        self.memory.see_claim(names.claims.last().copied())?;
        let (own, peer) = (self.place.role, self.place.role.peer());
        let of = |role| records.iter().filter(move |record| record.role == role);
        let newest_own = self.memory.newest_own(of(own));
        let newest_peer = of(peer).max_by_key(|record| record.order());
        self.memory.see_own(newest_own, self.place.boot)?;
        self.memory.see_peer(peer, newest_peer)?;
        let mut highest = names.claims.iter().rev();
        let mut next = || highest.next().map(|epoch| self.folder.claim(*epoch)).transpose();
        let (claim, before) = (next()?, next()?);
        let slot = |role| (if role == own { newest_own } else { newest_peer }).map(|record| record.slot);
        Ok(ArbiterReply::Seen(View {
            claim: claim.map(|record| record.claim),
            before: before.map(|record| record.claim),
            master: slot(Role::Master),
            slave: slot(Role::Slave),
            stamp: Stamp::default(),
        }))
    }

    fn renew(&mut self, epoch: Epoch, hold: bool, terms: Terms) -> Result<ArbiterReply, ArbiterFailure> {
        let OwnSlot { names, newest, sequence } = self.own_slot()?;
        // To write would only make the new owner wait.
        if let Some(later) = self.later_claim(&names, epoch)? {
            return Ok(ArbiterReply::Deposed(later));
        }
        if let Some(others) = self.others_claim(&names, epoch)? {
            return Ok(ArbiterReply::Deposed(others));
        }
        if let Some(slot) = newest
            && (slot.epoch > epoch || (slot.epoch == epoch && slot.released))
        {
            let what = if slot.epoch > epoch { "this host's slot is already at" } else { "this host has released" };
            let found = slot.epoch;
            return Err(ArbiterFailure::RolledBack(format!(
                "{what} epoch {found}, so epoch {epoch} cannot be renewed; {RESTORED}"
            )));
        }
        let boot = self.place.boot;
        self.write(&names, Slot { epoch, sequence, boot, released: false, hold, terms })?;
        self.confirm(epoch)
    }

    /// The list after the write, on which the whole argument rests: see the module above.
    pub(super) fn confirm(&mut self, epoch: Epoch) -> Result<ArbiterReply, ArbiterFailure> {
        let names = self.folder.names()?;
        self.memory.see_claim(names.claims.last().copied())?;
        if let Some(later) = self.later_claim(&names, epoch)? {
            return Ok(ArbiterReply::Deposed(later));
        }
        if !names.claims.contains(&epoch) {
            return Err(claim_gone(epoch));
        }
        let mut others = names.slots_of(self.place.role).iter().filter(|name| self.memory.file() != Some(name));
        match others.next() {
            None => Ok(ArbiterReply::Renewed),
            // It could hide this renewal from the other host. The next one reads what it is, and removes it.
            Some(name) => Err(ArbiterFailure::Unreachable(format!(
                "{name} has just appeared, an earlier write of this host that arrived late, so this renewal does not \
                 count; the next one will"
            ))),
        }
    }

    fn claim(&mut self, epoch: Epoch) -> Result<ArbiterReply, ArbiterFailure> {
        let names = self.folder.names()?;
        self.memory.see_claim(names.claims.last().copied())?;
        // Those of earlier attempts: without its file a link that is still on its way finds nothing to link.
        for name in names.unfinished.get(&self.place.role).into_iter().flatten() {
            self.folder.remove(name)?;
        }
        match names.claims.last() {
            Some(highest) if *highest > epoch => return Ok(ArbiterReply::NotClaimed),
            Some(highest) if *highest == epoch => return self.owns(epoch),
            _ => {}
        }
        let Place { role, boot, host, .. } = self.place;
        let claim = Claim { epoch, owner: *role, boot: *boot };
        let unfinished = name::unfinished(*role, self.nonce);
        let record = ClaimRecord { store: self.folder.id, claim, host: host.clone(), nonce: self.nonce };
        self.folder.create_claim(&unfinished, &record)?;
        let linked = self.folder.link_claim(&unfinished, epoch);
        let removed = self.folder.remove(&unfinished);
        if !linked? {
            return self.owns(epoch);
        }
        removed?;
        // A process that stood still between its look and its link may have linked an epoch that was over and removed.
        let after = self.folder.names()?;
        self.memory.see_claim(after.claims.last().copied())?;
        if after.claims.last() != Some(&epoch) {
            return Ok(ArbiterReply::NotClaimed);
        }
        self.remove_old_claims(&after);
        Ok(ArbiterReply::Claimed)
    }

    fn release(&mut self, epoch: Epoch, terms: Terms) -> Result<ArbiterReply, ArbiterFailure> {
        let OwnSlot { names, newest: _, sequence } = self.own_slot()?;
        let boot = self.place.boot;
        self.write(&names, Slot { epoch, sequence, boot, released: true, hold: false, terms })?;
        Ok(ArbiterReply::Released)
    }

    /// Looks at the own slot before it is written.
    pub(super) fn own_slot(&mut self) -> Result<OwnSlot, ArbiterFailure> {
        let (names, records) = self.folder.slots(&[self.place.role])?;
        self.memory.see_claim(names.claims.last().copied())?;
        let newest = self.memory.newest_own(records.iter());
        self.memory.see_own(newest, self.place.boot)?;
        let highest = records.iter().map(|record| record.slot.sequence).max().unwrap_or(0);
        Ok(OwnSlot { names, newest: newest.map(|record| record.slot), sequence: highest.saturating_add(1) })
    }

    fn later_claim(&self, names: &Names, epoch: Epoch) -> Result<Option<Claim>, ArbiterFailure> {
        let later = names.claims.last().filter(|highest| **highest > epoch);
        later.map(|highest| self.folder.claim(*highest).map(|record| record.claim)).transpose()
    }

    /// The claim of `epoch`, if it is the other host's. The store was put back to a time before this host claimed it,
    /// and the other one made it anew: it may run the service by that.
    fn others_claim(&self, names: &Names, epoch: Epoch) -> Result<Option<Claim>, ArbiterFailure> {
        if !names.claims.contains(&epoch) {
            return Err(claim_gone(epoch));
        }
        let claim = self.folder.claim(epoch)?.claim;
        Ok((claim.owner != self.place.role).then_some(claim))
    }

    /// Somebody has the highest claim: is it this host, in this kernel start?
    fn owns(&self, epoch: Epoch) -> Result<ArbiterReply, ArbiterFailure> {
        let claim = self.folder.claim(epoch)?.claim;
        let own = claim.owner == self.place.role && claim.boot == self.place.boot;
        Ok(if own { ArbiterReply::Claimed } else { ArbiterReply::NotClaimed })
    }

    /// Writes the own slot, durably: in place, if its file is the only one of this host; otherwise into a new file, which
    /// then becomes the only one.
    pub(super) fn write(&mut self, names: &Names, slot: Slot) -> Result<(), ArbiterFailure> {
        let Place { role, host, .. } = self.place;
        let mut record = SlotRecord { store: self.folder.id, role: *role, slot, host: host.clone(), nonce: self.nonce };
        let in_place = self.memory.attempt(self.nonce).filter(|file| names.slots_of(*role) == [file.clone()]);
        let file = match in_place {
            Some(file) => file,
            None => {
                let file = name::slot(*role, self.nonce);
                self.folder.create_slot(&file, &record)?;
                names.slots_of(*role).iter().try_for_each(|name| self.folder.remove(name))?;
                // A write of before may have reached its file between the look and the removal. It has no higher number
                // than the first record here, and the other host may have seen it. So the first does not count.
                record.slot.sequence = record.slot.sequence.saturating_add(1);
                file
            }
        };
        self.folder.overwrite_slot(&file, &record)?;
        self.memory.written(&record, file);
        Ok(())
    }

    /// Removing is only for tidiness: who cannot remove an old claim has made his own all the same.
    fn remove_old_claims(&self, names: &Names) {
        for epoch in names.claims.iter().rev().skip(CLAIMS_KEPT) {
            let _ = self.folder.remove(&name::claim(*epoch));
        }
    }
}

fn claim_gone(epoch: Epoch) -> ArbiterFailure {
    ArbiterFailure::RolledBack(format!("claim.{epoch}, which this host holds, is gone; {RESTORED}"))
}
