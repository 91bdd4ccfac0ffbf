//! What the files of the store hold.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::decision::{Claim, Epoch, Role, Slot};

/// The number that [`super::initialise`] drew for this store. Every record carries it: one that was copied in from
/// another store is not taken for one of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreId(pub(super) u128);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// `lease.id`: this folder is the store of that pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    pub(super) pair: String,
    pub(super) id: StoreId,
    pub(super) version: u16,
}

/// `claim.EPOCH`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClaimRecord {
    pub(super) store: StoreId,
    pub(super) claim: Claim,
    /// For people.
    pub(super) host: String,
    /// Tells this attempt from every other one.
    pub(super) nonce: u64,
}

/// One half of `slot.ROLE.NONCE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SlotRecord {
    pub(super) store: StoreId,
    pub(super) role: Role,
    pub(super) slot: Slot,
    /// For people.
    pub(super) host: String,
    /// Drawn for this write: a machine that was copied while it ran writes other ones.
    pub(super) nonce: u64,
}

impl SlotRecord {
    pub(super) fn order(&self) -> Order {
        Order { epoch: self.slot.epoch, released: self.slot.released, sequence: self.slot.sequence }
    }
}

/// Of two records of one host the larger one is newer. An epoch that was released is never renewed, so a renewal of it
/// that arrives later was sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) epoch: Epoch,
    pub(super) released: bool,
    pub(super) sequence: u64,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let released = if self.released { ", released" } else { "" };
        write!(f, "epoch {} record {}{released}", self.epoch, self.sequence)
    }
}

pub(super) const MARKER_FILE: &str = "lease.id";
pub(super) const MARKER_KIND: &str = "marker";
pub(super) const MARKER_VERSION: u16 = 1;
pub(super) const CLAIM_KIND: &str = "claim";
pub(super) const SLOT_KIND: &str = "slot";
