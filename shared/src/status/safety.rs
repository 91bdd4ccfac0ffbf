//! What makes it safe to act on silence, as far as this host knows: arbiter and lease, guardian, fence.

use serde::{Deserialize, Serialize};

use crate::decision::{Epoch, Role};

/// A guardian writes its report at least once a second, and is killed by its daemon when it has not for three.
const GUARDIAN_SILENT_AFTER_MS: u64 = 5_000;

/// The arbiter, and what it showed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArbiterStatus {
    /// `shared storage` or `etcd`.
    pub kind: String,
    /// The folder, or the endpoints.
    pub place: String,
    /// How long ago it answered last; `None`: never since this daemon started.
    pub answered_age_ms: Option<u64>,
    /// It does not answer, or not as it must.
    pub failing: Option<Failing>,
    /// The lease that this host holds.
    pub own: Option<OwnLease>,
    /// Who held it when the arbiter was read last; `None`: it was not read since this daemon started.
    pub seen: Option<PeerLease>,
}

/// A failure that lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Why, in words.
    pub why: String,
    /// Since when.
    pub age_ms: u64,
    /// So long that a claim made now would fail as well: nothing can be started.
    pub unusable: bool,
}

/// The lease of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnLease {
    /// Its epoch.
    pub epoch: Epoch,
    /// How long ago the last renewal that counts was sent.
    pub renewed_age_ms: u64,
    /// If it is not renewed, the service stops after this; `None`: it has no time limit, or is lost.
    pub stops_in_ms: Option<u64>,
    /// It has no time limit, because this host is in maintenance or its daemon was ended in an orderly way.
    pub hold: bool,
}

/// The latest claim, and its owner's slot, as they were read last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerLease {
    /// How long ago they were read.
    pub age_ms: u64,
    /// The epoch of the latest claim and its owner; `None`: there has been no claim yet.
    pub claim: Option<(Epoch, Role)>,
    /// What the owner's slot said.
    pub slot: SlotSays,
}

/// What a host's slot says of its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotSays {
    /// Nothing, or something about an earlier epoch.
    Nothing,
    /// It is held.
    Held,
    /// It is held without a time limit.
    HeldWithoutLimit,
    /// It was given back: nothing of the service runs there, verified.
    Released,
}

/// The guardian of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardianStatus {
    /// Every start needs it, because an arbiter is configured.
    pub required: bool,
    /// Its process; `None`: this daemon has none.
    pub pid: Option<u32>,
    /// How long ago it showed that it lives; `None`: never since this daemon started.
    pub answered_age_ms: Option<u64>,
    /// What it said that it does: `guards the lease`, `nothing to guard`.
    pub state: Option<String>,
    /// What stands behind it: `watchdog /dev/watchdog`, `nothing (GuardianOnly)`. `None` without an arbiter.
    pub device: Option<String>,
    /// It is missing, does not answer, or cannot guard: why.
    pub trouble: Option<String>,
}

/// One fence device, asked for the other host's state. Asking switches nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceStatus {
    /// `fence[1] fence_ipmilan`.
    pub device: String,
    /// What it said last; `None`: not asked yet.
    pub said: Option<FenceSays>,
    /// How long ago it was asked.
    pub age_ms: Option<u64>,
    /// It is asked at least so often; older than this and one call's time says nothing.
    pub stale_after_ms: u64,
}

/// What a fence device says of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FenceSays {
    /// It can write.
    On,
    /// It is cut off.
    Off,
    /// It could not be told: why.
    Unknown(String),
}

/// The other host was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FencedStatus {
    /// Its name.
    pub host: String,
    /// So long ago, or longer: this host may have booted since.
    pub at_least_ms: u64,
}

impl GuardianStatus {
    /// It is required and not there: a lease that ran out would end nothing.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        let silent = self.answered_age_ms.is_some_and(|age| age > GUARDIAN_SILENT_AFTER_MS);
        self.required && (self.pid.is_none() || silent)
    }
}

impl FenceStatus {
    /// It could not be asked, or has the other host cut off. One that was not asked yet is not bad.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.said.as_ref().is_some_and(|said| *said != FenceSays::On)
    }

    /// What it said is too old to count.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.age_ms.is_none_or(|age| age > self.stale_after_ms)
    }
}
