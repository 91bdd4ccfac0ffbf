//! What the two hosts tell each other, as the decision core sees it. How it travels is `channel` and `heartbeat`.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::fenced::{FenceAnswer, FenceNotice};
use super::types::{Epoch, Forced, Incarnation, Millis, RequestId, Role, StopMeans, Symptom, Verdict};

/// What a host does now, in the word that its beats carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Duty {
    /// Booted; not yet known whether anything runs here.
    Passive,
    /// Nothing runs here; would start if asked and ready.
    Standby,
    /// On its way to a start: suspects, demands or waits for a proof.
    Requesting,
    /// Runs the start list.
    Starting,
    /// Runs the service.
    Active,
    /// Runs the stop list.
    Stopping,
    /// Stopped and verified; waits for the peer to start.
    Stopped,
    /// Waits for a person: blocked take-over, failed start, failed stop or exclusivity error.
    Held,
}

impl Duty {
    /// A move to this host is under way, or held.
    #[must_use]
    pub const fn is_on_its_way(self) -> bool {
        matches!(self, Duty::Requesting | Duty::Starting | Duty::Held)
    }
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Duty::Passive => "passive",
            Duty::Standby => "standby",
            Duty::Requesting => "requesting",
            Duty::Starting => "starting",
            Duty::Active => "active",
            Duty::Stopping => "stopping",
            Duty::Stopped => "stopped",
            Duty::Held => "held",
        })
    }
}

/// What every heartbeat says of its sender.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Beat {
    /// The sender's daemon start.
    pub incarnation: Incarnation,
    /// What it does.
    pub duty: Duty,
    /// The highest epoch it knows of.
    pub epoch: Epoch,
    /// The highest epoch that it owned itself; zero if it never ran the service, or does not remember.
    pub owned: Epoch,
    /// Its own verdict on its own service. Means something only while it is active.
    pub verdict: Verdict,
    /// How old that verdict's evidence is.
    pub verdict_age_ms: Millis,
    /// It could start the service now.
    pub ready: bool,
    /// An operator told it to leave the service alone.
    pub maintenance: bool,
    /// Digest of its configuration.
    pub digest: u64,
    /// The epoch of the last automatic move it knows of.
    pub automatic: Epoch,
    /// Automatic moves up to this epoch are acknowledged (by `ack`, a commanded move or a quiet time).
    pub acknowledged: Epoch,
    /// How late its own loop has been lately, at worst.
    pub loop_lag_ms: Millis,
    /// The host that hears this was fenced by the sender, and is not let back yet.
    #[serde(default)]
    pub fence: Option<FenceNotice>,
    /// The sender's answer to such a notice.
    #[serde(default)]
    pub fence_answer: Option<FenceAnswer>,
}

/// On what a demand rests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Evidence {
    /// The active host itself said that its service failed.
    OwnVerdict(Symptom),
    /// The demanding host's checks of the active host failed.
    RemoteCheck(Symptom),
    /// The active host fell silent on every path; that long ago.
    Silence(Millis),
    /// An operator's command.
    Command {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Nobody runs the service: both have booted.
    NobodyActive,
    /// The peer's commanded start failed; the service returns to where it was well.
    RollBack,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::OwnVerdict(symptom) => write!(f, "the active host says its service failed: {symptom}"),
            Evidence::RemoteCheck(symptom) => write!(f, "the checks of the active host failed: {symptom}"),
            Evidence::Silence(span) => write!(f, "the active host is silent on every path for {span}"),
            Evidence::Command { by, reason } => write!(f, "commanded by {by}: {reason}"),
            Evidence::NobodyActive => f.write_str("nobody runs the service"),
            Evidence::RollBack => f.write_str("the commanded start failed on the other host"),
        }
    }
}

/// `SHUTDOWN_YOUR_SERVICE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Demand {
    /// Names the demand; a repetition carries the same.
    pub request: RequestId,
    /// Who demands.
    pub from: Role,
    /// The highest epoch that the demanding host knows: it wants every epoch up to this one stopped.
    pub epoch: Epoch,
    /// On what it rests.
    pub evidence: Evidence,
    /// The demanding host could start the service now.
    pub ready: bool,
    /// How long it stays valid, counted by the receiver from its arrival.
    pub lifetime_ms: Millis,
    /// The first phase of a commanded move: say whether it would be obeyed, and stop nothing yet.
    #[serde(default)]
    pub prepare: bool,
}

/// Why a demand is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// It speaks of an older epoch than the one that runs.
    Stale {
        /// The epoch that runs.
        epoch: Epoch,
    },
    /// Its lifetime was over.
    Expired,
    /// An operator told this host to leave the service alone.
    Maintenance,
    /// The demanding host could not start the service itself.
    NotReady,
    /// It rests on silence alone, and to have received it disproves the silence; the own checks pass.
    Healthy,
    /// This host is itself on its way to start, and goes first.
    Busy,
    /// The receiver cannot act on it now, in words.
    Unable(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Stale { epoch } => write!(f, "the demand is stale: epoch {epoch} runs"),
            Refusal::Expired => f.write_str("the demand's lifetime was over"),
            Refusal::Maintenance => f.write_str("the host is in maintenance"),
            Refusal::NotReady => f.write_str("the demanding host could not start the service"),
            Refusal::Healthy => f.write_str("the host is alive and its own checks pass"),
            Refusal::Busy => f.write_str("the host is itself about to start the service"),
            Refusal::Unable(why) => f.write_str(why),
        }
    }
}

/// The answer to a demand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// Stopped, verified and durable: a proof of stop for every epoch up to this one.
    Acked {
        /// The highest epoch that is now known to be stopped on the answering host.
        epoch: Epoch,
        /// By what the stop was verified.
        means: StopMeans,
        /// Set when the ladder had to run.
        forced: Option<Forced>,
    },
    /// Obeyed, but the stop could not be verified or not be made durable. No proof.
    AckedFailed {
        /// What is not verified.
        reason: String,
    },
    /// It would be obeyed: the answer to a demand that only prepares.
    Prepared,
    /// Not obeyed.
    Refused(Refusal),
}
