//! What the core is told. Facts change what it believes; the rest asks it for something or reports finished work.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::arbiter::ArbiterReply;
use super::peer::{Answer, Beat, Demand};
use super::policy::Policy;
use super::types::{
    Epoch, Forced, Millis, OperationId, Presence, RequestId, Role, StartOutcome, StopMeans, StopOutcome, Verdict,
};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// A turn of the loop began: safety deadlines are looked at before any input.
    TurnBegan,
    /// Every ready socket was read in this turn: only now may silence be judged.
    TurnEnded,
    /// The loop came round this much later than it had asked for.
    LoopLate(Millis),
    /// A beat that proves the peer alive arrived.
    Beat(Beat),
    /// The own checks of the own service changed their verdict.
    LocalVerdict(Verdict),
    /// The own checks of the peer's service, direct, changed their verdict.
    RemoteVerdict(Verdict),
    /// The checks through the balancer changed their verdict.
    ThroughVerdict(Verdict),
    /// The reference points were asked.
    References {
        /// So many answered.
        answering: u8,
        /// Of so many.
        of: u8,
        /// The own network link has a carrier.
        link_up: bool,
    },
    /// Why a start would fail now; empty: ready.
    Readiness(Vec<String>),
    /// Copies of the other host's data that are too old for a take-over nobody asked for, one sentence each.
    OldCopies(Vec<String>),
    /// The host that the failover policy names first, if there is such a policy and it has answered.
    Preferred(Option<Role>),
    /// The witnesses' answer to [`super::Action::AskWitness`].
    Witness {
        /// The peer's service, asked directly.
        direct: Sight,
        /// The service, asked through the balancer, or the balancer's own health check of the peer.
        through: Sight,
    },
    /// `SHUTDOWN_YOUR_SERVICE` arrived.
    DemandReceived(Demand),
    /// The demanding host took it back.
    DemandWithdrawn(RequestId),
    /// The answer to the own demand.
    Answered {
        /// The demand.
        request: RequestId,
        /// When the sending that is answered was ordered, on the own clock: the answer is not older.
        sent: Millis,
        /// The answer.
        answer: Answer,
    },
    /// The peer obeys and is still at it.
    StillStopping {
        /// The demand.
        request: RequestId,
        /// The step that runs there.
        step: u32,
    },
    /// The demand could not be handed over.
    Unreachable {
        /// The demand.
        request: RequestId,
        /// Why, in words.
        reason: String,
    },
    /// The second way came to an end.
    RcmdDone {
        /// The demand it served.
        request: RequestId,
        /// When it was ordered, on the own clock.
        sent: Millis,
        /// A signed statement's content, or why there is none.
        result: Result<(Epoch, StopMeans, Option<Forced>), String>,
    },
    /// The peer owns this epoch.
    TakeoverNotice(Epoch),
    /// The peer's commanded start of this epoch failed; its service is stopped and verified.
    StartPlease(Epoch),
    /// A durable write ended.
    Persisted {
        /// Which.
        operation: OperationId,
        /// It is on the disk.
        durable: bool,
    },
    /// A look at the own host ended.
    Looked {
        /// Which.
        operation: OperationId,
        /// What was found.
        presence: Presence,
    },
    /// A start ended.
    StartDone {
        /// Which.
        operation: OperationId,
        /// How.
        outcome: StartOutcome,
    },
    /// A stop ended.
    StopDone {
        /// Which.
        operation: OperationId,
        /// How.
        outcome: StopOutcome,
    },
    /// The arbiter answered.
    Arbiter {
        /// Which question.
        operation: OperationId,
        /// The answer.
        reply: ArbiterReply,
    },
    /// The guardian confirmed, or why it could not.
    Guarded {
        /// Which order.
        operation: OperationId,
        /// An error in words.
        result: Result<(), String>,
    },
    /// The guardian ended the service because its lease ran out, and verified that.
    GuardianEnded {
        /// The epoch that it ended.
        epoch: Epoch,
    },
    /// A fence came to an end.
    FenceDone {
        /// Which.
        operation: OperationId,
        /// The device that said done and whose state was read back; or why there is none.
        result: Result<String, String>,
    },
    /// The fenced peer was let back, or why it could not be.
    UnfenceDone {
        /// Which.
        operation: OperationId,
        /// Every device had it off the list, or what failed.
        result: Result<(), String>,
    },
    /// The slower of the host's clocks is so much behind the faster, counted from the daemon's start. The faster one is
    /// `now`, for what this host must have done by a time; the slower is for what another host must have done.
    ClocksDiffer(Millis),
    /// Somebody else on this host (`stop-here`) stopped the service and wrote so into the state.
    ForeignStop {
        /// Every epoch up to this one is stopped here.
        epoch: Epoch,
    },
    /// The daemon was told to end, and to leave the service as it is: see [`super::Node::may_end`].
    Ending,
    /// A new configuration is in force.
    PolicyChanged(Policy),
    /// An operator's command, with a ticket for its answer.
    Command {
        /// Names the answer.
        ticket: u64,
        /// What is wanted.
        command: Command,
    },
}

/// What a witness sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sight {
    /// No witness, or it could not be asked.
    #[default]
    Unknown,
    /// The peer's service answers.
    Serving,
    /// It does not.
    NotServing,
}

/// What an operator may want of a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Move the service to this host.
    MoveHere {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// Go on although the two configurations differ.
        despite_config_difference: bool,
        /// Go on although a copy is old.
        despite_old_copy: bool,
    },
    /// Give up the move to this host, if the other has not acknowledged yet.
    Abort {
        /// Who.
        by: String,
    },
    /// Start although the peer was never heard.
    StartAlone {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// Go on although a copy is old.
        despite_old_copy: bool,
    },
    /// The service is stopped on the other host: a person says so.
    ConfirmStopped {
        /// The host that is said to be stopped.
        host: Role,
        /// Who says so.
        by: String,
        /// Why.
        reason: String,
        /// The epoch, typed out, to override what speaks against it.
        epoch: Option<Epoch>,
        /// A managed port of that host answered a moment ago.
        port_answers: bool,
    },
    /// Seen: ends the hold-down, a failed start, a blocked command, an exclusivity error whose cause is gone.
    Acknowledge {
        /// Who.
        by: String,
    },
    /// The service is stopped on this host although that could not be verified: a person says so.
    ForceOffline {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Leave the service alone for a while.
    BeginMaintenance {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// For so long, up to [`Policy::MAINTENANCE_MAX_MS`].
        span_ms: Millis,
        /// Now by the wall clock, in seconds since 1970.
        now_utc_s: u64,
    },
    /// Watch over it again.
    EndMaintenance {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}
