//! What a pair's keys hold at one moment.

use etcd_client::{GetResponse, KeyValue};

use super::keys::Keys;
use super::record::{Claims, Marked, RecordError};
use crate::decision::{ArbiterFailure, Claim, Role, Stamp, View};

/// A record, with the revision of the store at which it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept<T> {
    pub(super) record: T,
    /// As it stands in the store, to compare it byte by byte.
    pub(super) value: Vec<u8>,
    pub(super) revision: i64,
}

/// The records of a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) claims: Option<Kept<Claims>>,
    pub(super) master: Option<Kept<Marked>>,
    pub(super) slave: Option<Kept<Marked>>,
}

impl Contents {
    /// Reads the answer to a question for `keys.range()`.
    ///
    /// # Errors
    /// `Damaged` when a key of ours holds something else. Keys that are not ours are not looked at.
    pub(super) fn of(response: &GetResponse, keys: &Keys) -> Result<Contents, ArbiterFailure> {
        let mut contents = Contents::default();
        for pair in response.kvs() {
            if pair.key() == keys.claim().as_bytes() {
                contents.claims = Some(kept(pair, Claims::decode)?);
            } else if pair.key() == keys.slot(Role::Master).as_bytes() {
                contents.master = Some(kept(pair, Marked::decode)?);
            } else if pair.key() == keys.slot(Role::Slave).as_bytes() {
                contents.slave = Some(kept(pair, Marked::decode)?);
            }
        }
        Ok(contents)
    }

    pub(super) fn slot(&self, role: Role) -> Option<&Kept<Marked>> {
        match role {
            Role::Master => self.master.as_ref(),
            Role::Slave => self.slave.as_ref(),
        }
    }

    pub(super) fn slot_mut(&mut self, role: Role) -> &mut Option<Kept<Marked>> {
        match role {
            Role::Master => &mut self.master,
            Role::Slave => &mut self.slave,
        }
    }

    pub(super) fn claim(&self) -> Option<Claim> {
        self.claims.as_ref().map(|kept| kept.record.claim)
    }

    /// At which revision the claim was written; 0 where there is none, as etcd itself counts.
    pub(super) fn claim_revision(&self) -> i64 {
        self.claims.as_ref().map_or(0, |kept| kept.revision)
    }

    /// At which revision a slot was written; 0 where there is none.
    pub(super) fn slot_revision(&self, role: Role) -> i64 {
        self.slot(role).map_or(0, |kept| kept.revision)
    }

    /// The state on which a claim of `own` rests: the claim that it follows and the slot of the other host. Not the
    /// store's own revision, which moves with every write of every pair.
    pub(super) fn stamp(&self, own: Role) -> Stamp {
        let latest = self.claim_revision().max(self.slot_revision(own.peer()));
        Stamp(u64::try_from(latest).unwrap_or(0))
    }

    pub(super) fn view(&self, own: Role) -> View {
        View {
            claim: self.claim(),
            before: self.claims.as_ref().and_then(|kept| kept.record.before),
            master: self.master.as_ref().map(|kept| kept.record.slot),
            slave: self.slave.as_ref().map(|kept| kept.record.slot),
            stamp: self.stamp(own),
        }
    }

    /// What `earlier` held and this does not, in words: nothing of ours is ever deleted or written a second time at the
    /// same revision, so the store was put back to an older state.
    pub(super) fn lost_since(&self, earlier: &Contents) -> Option<String> {
        fn lost<T>(name: &str, now: Option<&Kept<T>>, earlier: Option<&Kept<T>>) -> Option<String> {
            let earlier = earlier?;
            match now {
                None => Some(format!("the {name} is gone")),
                Some(now) if now.revision < earlier.revision => {
                    Some(format!("the {name} is of revision {}, and was of {}", now.revision, earlier.revision))
                }
                Some(now) if now.revision == earlier.revision && now.value != earlier.value => {
                    Some(format!("the {name} of revision {} has another content than before", now.revision))
                }
                Some(_) => None,
            }
        }
        if let (Some(now), Some(earlier)) = (self.claim(), earlier.claim())
            && now.epoch < earlier.epoch
        {
            return Some(format!("the latest claim is of epoch {}, and was of {}", now.epoch, earlier.epoch));
        }
        lost("claim", self.claims.as_ref(), earlier.claims.as_ref())
            .or_else(|| lost("master's slot", self.master.as_ref(), earlier.master.as_ref()))
            .or_else(|| lost("slave's slot", self.slave.as_ref(), earlier.slave.as_ref()))
    }
}

fn kept<T>(pair: &KeyValue, decode: fn(&[u8]) -> Result<T, RecordError>) -> Result<Kept<T>, ArbiterFailure> {
    let record = decode(pair.value()).map_err(|error| {
        let key = String::from_utf8_lossy(pair.key());
        ArbiterFailure::Damaged(format!("the value of {key} in etcd cannot be used: {error}"))
    })?;
    Ok(Kept { record, value: pair.value().to_vec(), revision: pair.mod_revision() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{BootId, Epoch};

    fn claims(epoch: u64, revision: i64) -> Option<Kept<Claims>> {
        let claim = Claim { epoch: Epoch(epoch), owner: Role::Master, boot: BootId(1) };
        let record = Claims { claim, before: None };
        Some(Kept { record, value: record.encode().unwrap(), revision })
    }

    #[test]
    fn a_store_that_was_put_back_is_told_from_one_that_went_on() {
        let earlier = Contents { claims: claims(7, 20), ..Contents::default() };
        for on in [claims(7, 20), claims(8, 21)] {
            let now = Contents { claims: on, ..Contents::default() };
            assert_eq!(now.lost_since(&earlier), None);
        }
        for (back, word) in
            [(None, "gone"), (claims(6, 25), "epoch 6"), (claims(7, 19), "19"), (claims(8, 20), "another")]
        {
            let now = Contents { claims: back, ..Contents::default() };
            let lost = now.lost_since(&earlier).unwrap();
            assert!(lost.contains(word), "{lost}");
        }
    }

    #[test]
    fn the_stamp_of_an_empty_store_is_zero() {
        assert_eq!(Contents::default().stamp(Role::Slave), Stamp(0));
        assert_eq!(Contents { claims: claims(7, 20), ..Contents::default() }.stamp(Role::Slave), Stamp(20));
    }
}
