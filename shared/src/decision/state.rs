//! The states of a host, and which may follow which.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::peer::Duty;
use super::record::{Attempt, Proof, StopCause};
use super::types::{Epoch, Forced, Millis, OperationId, RequestId, StopMeans};

/// ```text
///                 boot                      peer heard, nothing runs
///   (new) ──────▶ Passive ────────────────────▶ Standby ◀──────────────────────────────┐
///                    │ service found running      │   ▲ heard again                   │
///                    ▼                            ▼   │                               │
///             ExclusivityError                  Suspect                               │
///                                                 │ no witness        refused,        │
///      verdict, checks, command, nobody active    ▼                   withdrawn       │
///   Standby ────────────────────────────────▶ Requesting ─────────────────────────────┤
///                                                 │ time-out ▶ Proving ▶ TakeoverBlocked
///                                           proof ▼              │ proof      │ proof │
///                                              Claimed ◀─────────┴────────────┘       │
///                                     durable     ▼                                   │
///                                              Starting ──fails──▶ Stopping ──▶ FailedStart
///                                     started     ▼                                   │
///                                               Active                                │
///                        demand, higher epoch     ▼          verified                 │
///                                              Stopping ─────────────────▶ Stopped ───┘
///                                                 │ not verified       peer has started
///                                                 ▼
///                                             FailedStop (a person: force-offline)
/// ```
/// Not drawn, but in [`StateName::successors`], which is the whole truth: `stop-here` makes every state but Starting
/// (Stopping first) `Stopped`; a demand that finds something running where nothing should leads to `ExclusivityError`,
/// and `ack` from there to Passive; `start-alone` leads from Passive to Claimed; a claim that is not durable is a
/// FailedStart, and one that the peer overtook is given up for Standby; a stop that is not durable is a FailedStop; a
/// command or a roll-back leads from Stopped and FailedStart to Requesting; `ack` ends a FailedStart.
///
/// Beside the states stand three conditions that withhold decisions without being places of their own: maintenance,
/// self-isolation and tilt. A host that is active and in maintenance is still active.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// Booted. Way out: a look that finds nothing, and the peer's beat; or `start-alone`.
    Passive {
        /// The look under way.
        looking: Option<OperationId>,
        /// The look found nothing running.
        clean: bool,
    },
    /// Nothing runs here; watches the peer.
    Standby,
    /// The peer is silent. Way out: it is heard again, or a demand.
    Suspect {
        /// When the witnesses were asked last.
        asked: Option<Millis>,
        /// They see the peer's service although the peer is silent here.
        link_cut: bool,
    },
    /// A demand is under way. Way out: its answer, or `shutdown_timeout`.
    Requesting {
        /// The try.
        attempt: Attempt,
        /// How far the demand is.
        progress: Progress,
    },
    /// The demand's time is over. Way out: the peer's lease ends, or the witnesses say whether silence may be taken for a
    /// stop.
    Proving {
        /// The try.
        attempt: Attempt,
        /// When the witnesses were asked; `None`: the peer's lease runs out.
        asked: Option<Millis>,
    },
    /// No allowed proof came. Way out: a late answer, the peer well again, `confirm-stopped`, `ack`.
    TakeoverBlocked {
        /// The try.
        attempt: Attempt,
        /// Why, in words.
        reason: String,
        /// When the demand was sent last.
        sent: Millis,
        /// When the witnesses were asked last.
        asked: Option<Millis>,
        /// The configuration takes silence for a stop, and the peer has not said otherwise.
        timeout_allowed: bool,
    },
    /// A proof came; the new epoch is being claimed. Way out: the claim is complete, lost, or given up at its limit.
    Claimed {
        /// The new epoch.
        epoch: Epoch,
        /// The try.
        attempt: Attempt,
        /// The proof.
        proof: Proof,
        /// How far the claim is.
        step: ClaimStep,
    },
    /// The start list runs.
    Starting {
        /// The epoch.
        epoch: Epoch,
        /// The try.
        attempt: Attempt,
        /// The proof.
        proof: Proof,
        /// The start.
        operation: OperationId,
    },
    /// The service runs here.
    Active {
        /// In this epoch.
        epoch: Epoch,
    },
    /// The stop list runs.
    Stopping {
        /// The epoch that ends.
        epoch: Epoch,
        /// Why.
        cause: StopCause,
        /// The demand that is answered at the end.
        answer_to: Option<RequestId>,
        /// The stop.
        operation: OperationId,
    },
    /// Stopped and verified. Way out: the peer starts, or `STOPPED_WAIT`.
    Stopped {
        /// Every epoch up to this one.
        epoch: Epoch,
        /// By what.
        means: StopMeans,
        /// Set when the ladder had to run.
        forced: Option<Forced>,
        /// Not yet durable: the write, and the demand that is answered after it.
        writing: Option<(OperationId, Option<RequestId>)>,
    },
    /// A start failed and was taken back. Way out: `ack` or a commanded move.
    FailedStart {
        /// Of this epoch.
        epoch: Epoch,
        /// Why.
        reason: String,
        /// A person had commanded the start: the peer is asked to take the service back until it does.
        commanded: bool,
        /// When it was asked last.
        asked: Option<Millis>,
    },
    /// A stop failed. Way out: a person stops it and says `force-offline`.
    FailedStop {
        /// Of this epoch.
        epoch: Epoch,
        /// Why.
        reason: String,
        /// The look that follows `force-offline`, with the ticket of its answer, or the guardian's end of the service.
        looking: Option<(OperationId, Option<u64>)>,
    },
    /// The service runs where it must not. Way out: a person stops it and says `ack`.
    ExclusivityError {
        /// What was found.
        reason: String,
        /// The look that follows `ack`.
        looking: Option<OperationId>,
    },
}

/// How far a claim is. Without an arbiter it has the last step only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ClaimStep {
    /// The new epoch becomes durable before the arbiter hears of it.
    Noting(OperationId),
    /// The arbiter is looked at: the claim rests on what it shows.
    Looking,
    /// The claim is made.
    Claiming,
    /// Made; the peer's slot is looked at again.
    LookingAgain,
    /// It had changed: its wait runs anew.
    Waiting,
    /// The own lease begins with its first renewal.
    Renewing,
    /// The guardian is told of it.
    Guarding(OperationId),
    /// The start becomes durable.
    Recording(OperationId),
}

impl ClaimStep {
    /// The epoch is this host's own: from here on its beats say so.
    #[must_use]
    pub const fn is_owned(self) -> bool {
        match self {
            ClaimStep::Noting(_) | ClaimStep::Looking | ClaimStep::Claiming => false,
            ClaimStep::LookingAgain
            | ClaimStep::Waiting
            | ClaimStep::Renewing
            | ClaimStep::Guarding(_)
            | ClaimStep::Recording(_) => true,
        }
    }
}

/// How far a demand is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Progress {
    /// It is not yet durable: the write.
    pub writing: Option<OperationId>,
    /// When it was sent last.
    pub sent: Option<Millis>,
    /// The last sending could not be handed over; the next is due at this time.
    pub again_at: Option<Millis>,
    /// The peer said that it is stopping.
    pub peer_obeys: bool,
    /// The second way was tried.
    pub rcmd_tried: bool,
    /// A commanded move in its first phase: the other host is asked whether it would obey.
    pub preparing: bool,
}

/// A state's name without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is documented at the state of the same name")]
pub enum StateName {
    Passive,
    Standby,
    Suspect,
    Requesting,
    Proving,
    TakeoverBlocked,
    Claimed,
    Starting,
    Active,
    Stopping,
    Stopped,
    FailedStart,
    FailedStop,
    ExclusivityError,
}

impl State {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> StateName {
        match self {
            State::Passive { .. } => StateName::Passive,
            State::Standby => StateName::Standby,
            State::Suspect { .. } => StateName::Suspect,
            State::Requesting { .. } => StateName::Requesting,
            State::Proving { .. } => StateName::Proving,
            State::TakeoverBlocked { .. } => StateName::TakeoverBlocked,
            State::Claimed { .. } => StateName::Claimed,
            State::Starting { .. } => StateName::Starting,
            State::Active { .. } => StateName::Active,
            State::Stopping { .. } => StateName::Stopping,
            State::Stopped { .. } => StateName::Stopped,
            State::FailedStart { .. } => StateName::FailedStart,
            State::FailedStop { .. } => StateName::FailedStop,
            State::ExclusivityError { .. } => StateName::ExclusivityError,
        }
    }

    /// The word for it in beats.
    #[must_use]
    pub const fn duty(&self) -> Duty {
        match self {
            State::Passive { .. } => Duty::Passive,
            State::Standby | State::Suspect { .. } => Duty::Standby,
            State::Requesting { .. } | State::Proving { .. } => Duty::Requesting,
            State::Claimed { step, .. } if !step.is_owned() => Duty::Requesting,
            State::Claimed { .. } | State::Starting { .. } => Duty::Starting,
            State::Active { .. } => Duty::Active,
            State::Stopping { .. } => Duty::Stopping,
            State::Stopped { .. } => Duty::Stopped,
            State::TakeoverBlocked { .. }
            | State::FailedStart { .. }
            | State::FailedStop { .. }
            | State::ExclusivityError { .. } => Duty::Held,
        }
    }

    /// Something of the service may run on this host in this state.
    #[must_use]
    pub const fn may_run_service(&self) -> bool {
        match self {
            State::Starting { .. }
            | State::Active { .. }
            | State::Stopping { .. }
            | State::FailedStop { .. }
            | State::ExclusivityError { .. } => true,
            State::Passive { .. }
            | State::Standby
            | State::Suspect { .. }
            | State::Requesting { .. }
            | State::Proving { .. }
            | State::TakeoverBlocked { .. }
            | State::Claimed { .. }
            | State::Stopped { .. }
            | State::FailedStart { .. } => false,
        }
    }
}

impl StateName {
    /// Every state.
    pub const ALL: &'static [StateName] = &[
        StateName::Passive,
        StateName::Standby,
        StateName::Suspect,
        StateName::Requesting,
        StateName::Proving,
        StateName::TakeoverBlocked,
        StateName::Claimed,
        StateName::Starting,
        StateName::Active,
        StateName::Stopping,
        StateName::Stopped,
        StateName::FailedStart,
        StateName::FailedStop,
        StateName::ExclusivityError,
    ];

    /// The states that may follow this one in a single step. Everything else is a broken belief and is caught by the
    /// invariants, in release builds too.
    #[must_use]
    pub const fn successors(self) -> &'static [StateName] {
        use StateName as S;
        match self {
            S::Passive => &[S::Standby, S::Claimed, S::ExclusivityError, S::Stopped],
            S::Standby => &[S::Suspect, S::Requesting, S::Stopped, S::ExclusivityError],
            S::Suspect => &[S::Standby, S::Requesting, S::Stopped, S::ExclusivityError],
            S::Requesting => &[S::Standby, S::Proving, S::TakeoverBlocked, S::Claimed, S::Stopped],
            S::Proving => &[S::Standby, S::TakeoverBlocked, S::Claimed, S::Stopped],
            S::TakeoverBlocked => &[S::Standby, S::Claimed, S::Stopped],
            S::Claimed => &[S::Starting, S::Standby, S::FailedStart, S::Stopped],
            S::Starting => &[S::Active, S::Stopping],
            S::Active => &[S::Stopping, S::Stopped],
            S::Stopping => &[S::Stopped, S::FailedStart, S::FailedStop],
            S::Stopped => &[S::Standby, S::FailedStop, S::Requesting, S::ExclusivityError],
            S::FailedStart => &[S::Standby, S::Requesting, S::Stopped, S::ExclusivityError],
            S::FailedStop => &[S::Stopped],
            S::ExclusivityError => &[S::Passive, S::Stopped],
        }
    }

    /// The way out, for status and manual.
    #[must_use]
    pub const fn way_out(self) -> &'static str {
        match self {
            StateName::Passive => "ends when the peer is heard; alone: failoverctl start-alone --reason …",
            StateName::Standby => "takes over when the active host fails; by hand: failoverctl takeover / takeback",
            StateName::Suspect => "ends when the peer is heard again, or with a demand",
            StateName::Requesting => "ends with the peer's answer, or after shutdown_timeout",
            StateName::Proving => "ends when the peer's lease is over, or the witnesses have answered",
            StateName::TakeoverBlocked => {
                "verify that the service is stopped there, then: failoverctl confirm-stopped HOST --reason …"
            }
            StateName::Claimed => "ends when the claim is complete, or at its limit; look at the arbiter",
            StateName::Starting => "ends with the start list, or at its limit",
            StateName::Active => "by hand: failoverctl takeover / takeback",
            StateName::Stopping => "ends with the stop list and its ladder, or at their limit",
            StateName::Stopped => "ends when the peer has started, or after a minute",
            StateName::FailedStart => "mend the cause (failoverctl history), then: failoverctl ack",
            StateName::FailedStop => {
                "stop the service by hand, verify it, then: failoverctl force-offline HOST --reason …"
            }
            StateName::ExclusivityError => "stop the service here by hand, then: failoverctl ack",
        }
    }
}
