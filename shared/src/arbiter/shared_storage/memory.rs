//! What one process knows of the store from its earlier questions, and how it sees that the store was rolled back or that
//! a copy of this machine writes the same slot.

use serde::{Deserialize, Serialize};

use super::record::{Order, SlotRecord, StoreId};
use crate::decision::{ArbiterFailure, BootId, Epoch, Role};

/// So many writes whose end is not known are remembered: far more than a lease survives.
const ATTEMPTS_MAX: usize = 64;

/// Travels with each question to the child and comes back changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Which store it was.
    pub(super) store: Option<StoreId>,
    /// The highest claim ever seen.
    pub(super) claim: Epoch,
    /// The newest record of the own slot, as seen or written.
    own: Option<Seen>,
    /// The newest record of the peer's slot.
    peer: Option<Seen>,
    /// The slot file that is overwritten in place. `None` before the first write, and after one whose end is not known.
    file: Option<String>,
    /// The nonces of own writes whose end is not known: they may yet appear.
    attempts: Vec<u64>,
    /// This process has written its slot durably.
    wrote: bool,
}

/// Which record it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    order: Order,
    nonce: u64,
}

impl Seen {
    fn of(record: &SlotRecord) -> Seen {
        Seen { order: record.order(), nonce: record.nonce }
    }
}

impl Memory {
    /// A write is about to be tried. Gives the file that it may overwrite. Until the write is known to be durable that
    /// file is not written again: the write may still come, and would take the place of a later one.
    pub(super) fn attempt(&mut self, nonce: u64) -> Option<String> {
        if self.attempts.len() >= ATTEMPTS_MAX {
            self.attempts.remove(0);
        }
        self.attempts.push(nonce);
        self.file.take()
    }

    /// The write is durable.
    pub(super) fn written(&mut self, record: &SlotRecord, file: String) {
        self.attempts.retain(|nonce| *nonce != record.nonce);
        self.own = Some(Seen::of(record));
        self.file = Some(file);
        self.wrote = true;
    }

    /// The slot file that this process writes.
    pub(super) fn file(&self) -> Option<&String> {
        self.file.as_ref()
    }

    /// The newest of the own slot's records. Of two with one place in the order, the one that is known: the other one is
    /// a late write of before.
    pub(super) fn newest_own<'a>(&self, records: impl Iterator<Item = &'a SlotRecord>) -> Option<&'a SlotRecord> {
        let known = self.own.map(|seen| seen.nonce);
        records.max_by_key(|record| (record.order(), known == Some(record.nonce)))
    }

    /// The newest record of the own slot was looked at.
    pub(super) fn see_own(&mut self, newest: Option<&SlotRecord>, boot: BootId) -> Result<(), ArbiterFailure> {
        let seen = newest.map(Seen::of);
        if let Some(known) = self.own
            && seen.is_none_or(|seen| seen.nonce != known.nonce && !self.attempts.contains(&seen.nonce))
        {
            match newest {
                Some(record) if record.order() >= known.order => {
                    // The daemon that ran here before may have left a write on its way; it comes once, and early.
                    if self.wrote || record.slot.boot != boot {
                        return Err(cloned(record, boot));
                    }
                }
                _ => return Err(gone_back("this host's own slot", known.order, newest)),
            }
        }
        self.own = seen.or(self.own);
        Ok(())
    }

    /// The newest record of the peer's slot was looked at.
    pub(super) fn see_peer(&mut self, peer: Role, newest: Option<&SlotRecord>) -> Result<(), ArbiterFailure> {
        if let Some(known) = self.peer
            && newest.is_none_or(|record| record.order() < known.order)
        {
            return Err(gone_back(&format!("the {peer}'s slot"), known.order, newest));
        }
        self.peer = newest.map(Seen::of).or(self.peer);
        Ok(())
    }

    /// The highest claim was looked at.
    pub(super) fn see_claim(&mut self, highest: Option<Epoch>) -> Result<(), ArbiterFailure> {
        let highest = highest.unwrap_or_default();
        if highest < self.claim {
            let found = if highest == Epoch(0) { "none".to_owned() } else { format!("claim.{highest}") };
            return Err(ArbiterFailure::RolledBack(format!(
                "claim.{} was there and the highest claim is now {found}; {RESTORED}",
                self.claim
            )));
        }
        self.claim = highest;
        Ok(())
    }
}

/// What to do about a store that went back.
pub(super) const RESTORED: &str = "a restored copy or snapshot knows nothing of what happened since, so nobody may rely \
                                   on it; next: stop the service on one host, `failoverctl status` on both, then restart \
                                   both daemons";

fn gone_back(what: &str, known: Order, newest: Option<&SlotRecord>) -> ArbiterFailure {
    let found = newest.map_or("nothing".to_owned(), |record| record.order().to_string());
    ArbiterFailure::RolledBack(format!("{what} was at {known} and is at {found}; {RESTORED}"))
}

fn cloned(record: &SlotRecord, boot: BootId) -> ArbiterFailure {
    ArbiterFailure::Cloned(format!(
        "{}, written by a host called {} in its kernel start {}, and not by this daemon (kernel start {boot}); next: \
         find the copy of this machine, switch it off, then restart this daemon",
        record.order(),
        record.host,
        record.slot.boot
    ))
}
