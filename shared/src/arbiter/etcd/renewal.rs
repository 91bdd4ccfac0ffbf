//! The own slot: renewals and releases.

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use tokio::time::Instant;

use super::contents::{Contents, Kept};
use super::record::{Mark, Marked};
use super::{Etcd, Host, unchanged, unwritable};
use crate::decision::{ArbiterFailure, ArbiterReply, Claim, Epoch, Slot, Terms};

/// How often a write is tried within one question. The comparisons of the second rest on a reading made for it; that they
/// fail again means that others write at this very moment.
const ROUNDS: usize = 3;

/// What this process wrote into its slot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    /// The last write that is known to have taken effect.
    written: Option<Written>,
    /// The mark of those writes since then of which nothing is known. All rest on the same revision, so at most one of
    /// them takes effect, and one mark does for all.
    tried: Option<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Written {
    revision: i64,
    mark: Mark,
}

impl Own {
    /// Compares the slot in the store with what was written.
    fn check(&mut self, slot: Option<&Kept<Marked>>) -> Result<(), ArbiterFailure> {
        if let (Some(tried), Some(slot)) = (self.tried, slot)
            && slot.record.mark == tried
        {
            // An earlier write took effect after all; only its answer was lost.
            *self = Own { written: Some(Written { revision: slot.revision, mark: tried }), tried: None };
            return Ok(());
        }
        let Some(written) = self.written else {
            // A process that has not written yet goes on from whatever it finds: its forerunner's record.
            return Ok(());
        };
        match slot {
            Some(slot) if slot.record.mark == written.mark => Ok(()),
            Some(slot) if slot.revision > written.revision => Err(ArbiterFailure::Cloned(format!(
                "kernel start {} wrote sequence {} of epoch {}, and it was not this one",
                slot.record.slot.boot, slot.record.slot.sequence, slot.record.slot.epoch
            ))),
            Some(slot) => Err(ArbiterFailure::RolledBack(format!(
                "in etcd this host's slot is of revision {}, and {} was written",
                slot.revision, written.revision
            ))),
            None => Err(ArbiterFailure::RolledBack("in etcd this host's slot is gone".to_owned())),
        }
    }

    /// The mark of the next write.
    fn mark(&mut self) -> Result<Mark, ArbiterFailure> {
        if let Some(mark) = self.tried {
            return Ok(mark);
        }
        let mark = Mark::draw()
            .map_err(|error| ArbiterFailure::Unreachable(format!("the system gives no random numbers: {error}")))?;
        self.tried = Some(mark);
        Ok(mark)
    }
}

/// What a write puts into the slot.
#[derive(Clone, Copy)]
struct Wish {
    epoch: Epoch,
    released: bool,
    hold: bool,
    terms: Terms,
}

impl Etcd {
    /// One transaction in the usual case. If its comparisons do not hold, a reading tells why.
    pub(super) async fn renew(
        &mut self,
        epoch: Epoch,
        hold: bool,
        terms: Terms,
        until: Instant,
    ) -> Result<ArbiterReply, ArbiterFailure> {
        for _ in 0..ROUNDS {
            let contents = self.known(until).await?;
            if let Some(reply) = lost(self.host, epoch, contents.claim())? {
                return Ok(reply);
            }
            // The content as well as the revision: a store that was put back counts the same revisions once more.
            let claim = contents.claims.iter().flat_map(|kept| {
                let content = Compare::value(self.keys.claim(), CompareOp::Equal, kept.value.clone());
                [unchanged(self.keys.claim(), kept.revision), content]
            });
            let wish = Wish { epoch, released: false, hold, terms };
            if self.write_slot(wish, &contents, claim.collect(), until).await? {
                return Ok(ArbiterReply::Renewed);
            }
        }
        Err(unsettled())
    }

    /// Does not look at the claims: that a service was stopped stays true whoever owns what by now.
    pub(super) async fn release(
        &mut self,
        epoch: Epoch,
        terms: Terms,
        until: Instant,
    ) -> Result<ArbiterReply, ArbiterFailure> {
        for _ in 0..ROUNDS {
            let contents = self.known(until).await?;
            let wish = Wish { epoch, released: true, hold: false, terms };
            if self.write_slot(wish, &contents, Vec::new(), until).await? {
                return Ok(ArbiterReply::Released);
            }
        }
        Err(unsettled())
    }

    /// Writes the own slot if it is as in `contents` and `also` holds; says whether it did.
    async fn write_slot(
        &mut self,
        wish: Wish,
        contents: &Contents,
        also: Vec<Compare>,
        until: Instant,
    ) -> Result<bool, ArbiterFailure> {
        let Host { role, boot } = self.host;
        let present = contents.slot(role);
        self.own.check(present)?;
        let mark = self.own.mark()?;
        let Wish { epoch, released, hold, terms } = wish;
        let sequence = present.map_or(0_u64, |slot| slot.record.slot.sequence).saturating_add(1);
        let record = Marked { slot: Slot { epoch, sequence, boot, released, hold, terms }, mark };
        let value = record.encode().map_err(unwritable)?;
        let mut compares = also;
        compares.push(unchanged(self.keys.slot(role), contents.slot_revision(role)));
        let put = TxnOp::put(self.keys.slot(role), value.clone(), None);
        let Some(revision) = self.write(Txn::new().when(compares).and_then([put]), until).await? else {
            return Ok(false);
        };
        self.own = Own { written: Some(Written { revision, mark }), tried: None };
        self.remember(|contents| *contents.slot_mut(role) = Some(Kept { record, value, revision }));
        Ok(true)
    }
}

/// Whether `host` does not hold `epoch` any more, by the latest claim.
fn lost(host: Host, epoch: Epoch, latest: Option<Claim>) -> Result<Option<ArbiterReply>, ArbiterFailure> {
    let held = Claim { epoch, owner: host.role, boot: host.boot };
    match latest {
        Some(latest) if latest == held => Ok(None),
        // The same number: the store was put back, and the other host made the claim anew.
        Some(latest) if latest.epoch > epoch || (latest.epoch == epoch && latest.owner != host.role) => {
            Ok(Some(ArbiterReply::Deposed(latest)))
        }
        Some(latest) => Err(ArbiterFailure::RolledBack(format!(
            "in etcd the latest claim is the {}'s of epoch {} (kernel start {}), and this host holds epoch {epoch}",
            latest.owner, latest.epoch, latest.boot
        ))),
        None => {
            Err(ArbiterFailure::RolledBack(format!("in etcd there is no claim, and this host holds epoch {epoch}")))
        }
    }
}

fn unsettled() -> ArbiterFailure {
    ArbiterFailure::Unreachable(format!("the records in etcd changed before each of {ROUNDS} writes"))
}
