//! What survives a crash: the durable state of one host, written whole.

use alloc::boxed::Box;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::fenced::Fenced;
use super::maintenance::Maintenance;
use super::peer::Evidence;
use super::types::{BootId, Epoch, Forced, Millis, RequestId, StopMeans};

/// The durable state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The kernel start in which it was written. A phase of another one is history: its processes are gone.
    pub boot: BootId,
    /// The highest epoch known.
    pub highest: Epoch,
    /// The highest epoch owned by this host.
    pub owned: Epoch,
    /// What the host was doing.
    pub phase: Phase,
    /// The epoch of the last automatic move known.
    pub automatic: Epoch,
    /// Automatic moves up to this epoch are acknowledged.
    pub acknowledged: Epoch,
    /// An operator told the host to leave the service alone.
    /// (Under the bare name a mere `true` or `false` once stood.)
    #[serde(default, rename = "maintenance_order")]
    pub maintenance: Option<Box<Maintenance>>,
    /// The highest claim ever seen in the arbiter. One that shows less has been rolled back.
    #[serde(default)]
    pub arbiter: Epoch,
    /// The peer was fenced, and is not let back yet.
    #[serde(default)]
    pub fenced: Option<Fenced>,
    /// Every epoch up to this one was acknowledged as stopped, or is about to be, and the peer was not seen to start since:
    /// it may do so on that at any moment.
    #[serde(default)]
    pub gave_leave: Option<Epoch>,
}

impl Record {
    /// A host that remembers nothing.
    #[must_use]
    pub fn fresh(boot: BootId) -> Record {
        Record {
            boot,
            highest: Epoch(0),
            owned: Epoch(0),
            phase: Phase::Standby,
            automatic: Epoch(0),
            acknowledged: Epoch(0),
            maintenance: None,
            arbiter: Epoch(0),
            fenced: None,
            gave_leave: None,
        }
    }
}

/// What a host was doing when the record was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing ran.
    Standby,
    /// It had a demand under way.
    Requesting(Attempt),
    /// It ran the start list.
    Starting {
        /// The claimed epoch.
        epoch: Epoch,
        /// On what the start rests; it begins with the proof.
        attempt: Attempt,
        /// The proof that allowed it.
        proof: Proof,
    },
    /// It ran the service.
    Active {
        /// In this epoch.
        epoch: Epoch,
    },
    /// It ran the stop list.
    Stopping {
        /// Of this epoch.
        epoch: Epoch,
        /// Why.
        cause: StopCause,
    },
    /// Stopped and verified.
    Stopped {
        /// Every epoch up to this one.
        epoch: Epoch,
        /// By what that was verified.
        means: StopMeans,
        /// Set when the ladder had to run.
        forced: Option<Forced>,
    },
    /// A start failed; what had been started is stopped and verified.
    FailedStart {
        /// Of this epoch.
        epoch: Epoch,
        /// Why.
        reason: String,
        /// A person had commanded the start: the peer is asked to take the service back.
        commanded: bool,
    },
    /// A stop failed or could not be verified.
    FailedStop {
        /// Of this epoch.
        epoch: Epoch,
        /// Why.
        reason: String,
    },
}

/// One try to bring the service to this host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Names the demand.
    pub request: RequestId,
    /// On what it rests.
    pub evidence: Evidence,
    /// Every epoch up to this one is demanded.
    pub epoch: Epoch,
    /// When it began, on the own clock of this kernel start.
    pub began: Millis,
}

impl Attempt {
    /// A person wants it.
    #[must_use]
    pub fn commanded(&self) -> bool {
        matches!(self.evidence, Evidence::Command { .. })
    }

    /// The program decided it because something failed; this is what the hold-down counts.
    #[must_use]
    pub fn automatic(&self) -> bool {
        matches!(self.evidence, Evidence::OwnVerdict(_) | Evidence::RemoteCheck(_) | Evidence::Silence(_))
    }
}

/// The proof of stop that a start rests on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Proof {
    /// The other host's verified answer.
    Ack {
        /// By what it was verified.
        means: StopMeans,
        /// Set when the ladder had to run.
        forced: Option<Forced>,
        /// It came by the second way, as a signed statement.
        by_rcmd: bool,
    },
    /// The peer's lease in the arbiter is over.
    Lease(LeaseProof),
    /// A fence device said done, and its state was read back.
    Fence {
        /// Which device.
        device: String,
    },
    /// A named person's word.
    Operator {
        /// Who.
        by: String,
    },
    /// None: silence past the time-out. Two actives are possible.
    Timeout,
}

/// Why a lease is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LeaseProof {
    /// The peer wrote into its slot that its epoch is over.
    Released,
    /// The peer's slot did not change for longer than its lease can last.
    Expired {
        /// For so long, on the slower of two own clocks.
        unchanged_ms: Millis,
    },
    /// The latest epoch is this host's own, and nothing of it runs here any more.
    Own,
}

/// Why a host stops its service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StopCause {
    /// The peer demanded it.
    Demand(RequestId),
    /// The peer runs a higher epoch.
    HigherEpoch(Epoch),
    /// The own start failed; what was started goes again.
    StartFailed {
        /// Why.
        reason: String,
        /// A person had commanded the start: the peer is asked to take the service back.
        commanded: bool,
    },
    /// The lease was not renewed in time: the arbiter cannot be used.
    LeaseLost,
    /// The peer made a later claim, or the same one anew.
    Deposed(Epoch),
    /// The own start was interrupted so long, or so thoroughly, that the proof under it may not hold any more.
    Overtaken,
    /// The program caught itself in a wrong belief during a start.
    Invariant,
}
