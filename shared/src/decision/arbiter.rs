//! What the decision core asks of the arbiter, and what the arbiter answers. How it is kept (a folder on shared storage,
//! etcd) is `crate::arbiter`.
//!
//! The arbiter holds one *claim* for each epoch, made once and never changed, and one *slot* for each host, written by
//! that host alone. A holder renews by writing its slot and then looking for a later claim; a contender waits until the
//! holder's slot has not changed for longer than the lease can last, makes the next claim, and looks at the slot again.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::planted::{Bug, planted};
use super::types::{BootId, Epoch, Millis, Role};

/// One question to the arbiter. The core has at most one outstanding.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ArbiterRequest {
    /// Read the latest claims and both slots.
    Observe,
    /// Write the own slot and make it durable, *then* look for a claim above `epoch`.
    Renew {
        /// The epoch that is held.
        epoch: Epoch,
        /// Held without a time limit: an operator put the host into maintenance.
        hold: bool,
        /// What the slot says of the lease.
        terms: Terms,
    },
    /// Make the claim of `epoch`, if nothing changed since the view that carried `stamp`.
    Claim {
        /// The epoch to own.
        epoch: Epoch,
        /// The view on which the claim rests.
        stamp: Stamp,
    },
    /// Write into the own slot that `epoch` is over: its service is stopped and verified.
    Release {
        /// The epoch that ended.
        epoch: Epoch,
        /// What the slot says of the lease.
        terms: Terms,
    },
}

/// The answer to an [`ArbiterRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ArbiterReply {
    /// To `Observe`.
    Seen(View),
    /// To `Renew`: the slot is durable, and afterwards there was no later claim.
    Renewed,
    /// To `Renew`: there is a later claim, or this one is the peer's. The epoch is lost.
    Deposed(Claim),
    /// To `Claim`: the claim is this host's. Also when it already was.
    Claimed,
    /// To `Claim`: somebody else has that epoch, or the view was out of date.
    NotClaimed,
    /// To `Release`: durable.
    Released,
    /// To any of them. Whether it took effect is not known, and does not matter: a claim may be asked for again, and a
    /// renewal without an answer extends nothing.
    Failed(ArbiterFailure),
}

/// Why the arbiter could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ArbiterFailure {
    /// Not reached, not mounted, read-only, full, or an error of the system, in words.
    Unreachable(String),
    /// No answer within the time of one attempt; or an earlier attempt still hangs in the kernel.
    TimedOut,
    /// It holds less than it held before: restored from a copy, or another folder than before.
    RolledBack(String),
    /// Somebody else writes this host's slot: a clone of this machine.
    Cloned(String),
    /// What it holds is not a record of this pair and version.
    Damaged(String),
}

impl fmt::Display for ArbiterFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArbiterFailure::Unreachable(why) => write!(f, "the arbiter cannot be used: {why}"),
            ArbiterFailure::TimedOut => f.write_str("the arbiter did not answer in time"),
            ArbiterFailure::RolledBack(why) => write!(f, "the arbiter was rolled back: {why}"),
            ArbiterFailure::Cloned(why) => write!(f, "another machine writes this host's slot: {why}"),
            ArbiterFailure::Damaged(why) => write!(f, "the arbiter's records are damaged: {why}"),
        }
    }
}

/// Names a state of the arbiter (etcd: the revision). Zero where the arbiter cannot compare, as on shared storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub u64);

/// What the arbiter holds, read once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct View {
    /// The claim with the highest epoch.
    pub claim: Option<Claim>,
    /// The one below it that was made last.
    pub before: Option<Claim>,
    /// The master's slot.
    pub master: Option<Slot>,
    /// The slave's slot.
    pub slave: Option<Slot>,
    /// For a claim that rests on this view.
    pub stamp: Stamp,
}

impl View {
    /// The slot of one host.
    #[must_use]
    pub fn slot(&self, role: Role) -> Option<&Slot> {
        match role {
            Role::Master => self.master.as_ref(),
            Role::Slave => self.slave.as_ref(),
        }
    }
}

/// A claim: who owns an epoch, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The epoch.
    pub epoch: Epoch,
    /// Its owner.
    pub owner: Role,
    /// The kernel start in which the owner made it.
    pub boot: BootId,
}

/// A host's slot: its last renewal or release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// The epoch that it holds, or that it released.
    pub epoch: Epoch,
    /// Grows by one with each write.
    pub sequence: u64,
    /// The kernel start that wrote it.
    pub boot: BootId,
    /// The epoch is over: stopped, verified, durable.
    pub released: bool,
    /// Held without a time limit.
    pub hold: bool,
    /// The lease that the holder keeps to.
    pub terms: Terms,
}

/// What a contender must know of the holder's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// After this much of its own time without a renewal the holder is provably stopped (L).
    pub lease_ms: Millis,
    /// How far two clocks' rates may differ from true time each, in thousandths (ρ).
    pub drift_permille: u32,
    /// Digest of its configuration.
    pub digest: u64,
    /// Version of the slot's meaning; 1.
    pub version: u16,
}

impl Terms {
    /// How long a contender must see the slot unchanged on its own clock: W = L(1+ρ)/(1−ρ), rounded up.
    #[must_use]
    pub fn wait_ms(&self) -> Millis {
        let drift = if planted(Bug::WaitsWithoutDrift) { 0 } else { self.drift_permille };
        self.lease_ms.on_another_clock(drift)
    }
}

/// The spans of the lease that this host keeps, each from its own clock before the last validated renewal was sent (t0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaseTimes {
    /// Between two renewals (R).
    pub renew_ms: Millis,
    /// One attempt (I).
    pub attempt_ms: Millis,
    /// Without a renewal the stop begins at t0 + T. Holds 3R + I ≤ T.
    pub stop_after_ms: Millis,
    /// The stop scripts have this long (G); at t0 + T + G the guardian takes over.
    pub scripts_ms: Millis,
    /// Its kill, unmount and verification have this long (K); at t0 + P = T + G + K the watchdog is petted no more.
    pub kill_ms: Millis,
    /// The watchdog resets the host this long after the last pet (Wd).
    pub watchdog_ms: Millis,
    /// For the reset itself and what is on its way (m).
    pub margin_ms: Millis,
    /// ρ in thousandths.
    pub drift_permille: u32,
}

impl LeaseTimes {
    /// Until t0 + P the watchdog may be petted.
    #[must_use]
    pub const fn pet_until_ms(&self) -> Millis {
        self.stop_after_ms.after(self.scripts_ms).after(self.kill_ms)
    }

    /// At t0 + L the host is provably stopped.
    #[must_use]
    pub const fn lease_ms(&self) -> Millis {
        self.pet_until_ms().after(self.watchdog_ms).after(self.margin_ms)
    }

    /// The part by which the guardian acts.
    #[must_use]
    pub const fn spans(&self) -> Spans {
        Spans {
            stop_after_ms: self.stop_after_ms,
            scripts_ms: self.scripts_ms,
            kill_ms: self.kill_ms,
            watchdog_ms: self.watchdog_ms,
        }
    }

    /// These times with the spans of an earlier configuration, by which a guardian acts still.
    #[must_use]
    pub fn with_spans(self, spans: Spans) -> LeaseTimes {
        let Spans { stop_after_ms, scripts_ms, kill_ms, watchdog_ms } = spans;
        let quarter = Millis(stop_after_ms.0 / 4);
        let fits = self.renew_ms.0.saturating_mul(3).saturating_add(self.attempt_ms.0) <= stop_after_ms.0;
        let (renew_ms, attempt_ms) = if fits { (self.renew_ms, self.attempt_ms) } else { (quarter, quarter) };
        LeaseTimes { renew_ms, attempt_ms, stop_after_ms, scripts_ms, kill_ms, watchdog_ms, ..self }
    }

    /// What its slot says.
    #[must_use]
    pub const fn terms(&self, digest: u64) -> Terms {
        Terms { lease_ms: self.lease_ms(), drift_permille: self.drift_permille, digest, version: 1 }
    }
}

/// The spans of a lease that concern the guardian, each counted from the end of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Spans {
    /// T: until then nothing happens.
    pub stop_after_ms: Millis,
    /// G: the daemon's stop scripts.
    pub scripts_ms: Millis,
    /// K: the guardian's kill, unmount and verification.
    pub kill_ms: Millis,
    /// Wd: the watchdog's time-out.
    pub watchdog_ms: Millis,
}
