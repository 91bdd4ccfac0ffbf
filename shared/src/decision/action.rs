//! What the core wants done, in order. Slow work carries an operation id and comes back as an event.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::arbiter::ArbiterRequest;
use super::peer::{Answer, Demand, Evidence};
use super::record::Record;
use super::rule::Rule;
use super::types::{Epoch, Millis, OperationId, RequestId};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Make this durable and report. What depends on it is only asked for after the report.
    Persist {
        /// For the report.
        operation: OperationId,
        /// The whole durable state.
        record: Record,
    },
    /// Send `SHUTDOWN_YOUR_SERVICE` once; report the answer, progress, or that it could not be handed over.
    SendDemand {
        /// The demand.
        demand: Demand,
        /// Comes back with its answer. Each sending has an answer of its own.
        sent: Millis,
    },
    /// Tell the peer that the demand is withdrawn.
    Withdraw(RequestId),
    /// Try the second way once.
    Rcmd {
        /// The demand it serves.
        request: RequestId,
        /// Every epoch up to this one is to be stopped.
        epoch: Epoch,
        /// Comes back with the statement.
        sent: Millis,
    },
    /// Answer the peer's demand.
    Answer {
        /// The demand.
        request: RequestId,
        /// The answer.
        answer: Answer,
    },
    /// Look whether anything of the service runs here.
    Look {
        /// For the report.
        operation: OperationId,
    },
    /// Run the start list, then wait for the local checks.
    Start {
        /// For the report.
        operation: OperationId,
        /// The epoch that the scripts see.
        epoch: Epoch,
        /// Go on behind the last finished step instead of at the first.
        resume: bool,
        /// Why, for the scripts and the journal.
        evidence: Evidence,
    },
    /// End a start in progress, run the stop list, then verify. Never waits for the disk.
    Stop {
        /// For the report.
        operation: OperationId,
        /// The epoch that ends.
        epoch: Epoch,
        /// Go on at the interrupted step instead of at the first.
        resume: bool,
        /// Why, in words.
        reason: String,
    },
    /// Ask the arbiter and report its answer. At most one question is outstanding.
    Arbiter {
        /// For the report.
        operation: OperationId,
        /// The question.
        request: ArbiterRequest,
    },
    /// Tell the guardian what it guards, and report when it does.
    Guard {
        /// For the report.
        operation: OperationId,
        /// What holds from now on.
        lease: GuardedLease,
    },
    /// Fence the peer: devices in order, read back. Report.
    Fence {
        /// For the report.
        operation: OperationId,
    },
    /// Let the fenced peer back: its kernel was started after the fence. Report.
    Unfence {
        /// For the report.
        operation: OperationId,
    },
    /// What the balancer shall do from now on.
    Balance(Balance),
    /// Ask the witnesses whether the peer's service still answers.
    AskWitness,
    /// Tell the peer that this host owns the epoch.
    Notice(Epoch),
    /// Ask the peer to take the service back: the commanded start of this epoch failed here.
    StartPlease(Epoch),
    /// Answer an operator's command.
    Reply {
        /// Which.
        ticket: u64,
        /// Accepted, or why not.
        result: Result<String, String>,
    },
    /// Write down why.
    Note(Note),
    /// Call a person.
    Page(Page),
}

/// What the guardian is told of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GuardedLease {
    /// Held; the spans count from `since` (t0), on the own clock.
    Held {
        /// The epoch.
        epoch: Epoch,
        /// Before the last validated renewal was sent.
        since: Millis,
    },
    /// Held without a time limit: maintenance.
    Hold {
        /// The epoch.
        epoch: Epoch,
    },
    /// Nothing of the service runs here, verified: there is nothing to guard.
    Ended,
}

/// The traffic's wanted place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Balance {
    /// Clients go to this host, none to the peer.
    Here(Epoch),
    /// Clients go to neither host while the service moves.
    Nowhere(Epoch),
    /// This host does not run the service: it leaves the balancer to the other.
    Leave,
}

/// A decision's reason, as `failoverctl why` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Note {
    /// The rule that applied.
    pub rule: Rule,
    /// The evidence, with ages, and the timers that ran.
    pub evidence: Vec<String>,
}

/// A call for a person: cause, effect, next command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Page {
    /// What kind; pages of one kind within a minute are merged.
    pub kind: PageKind,
    /// What happened.
    pub cause: String,
    /// What it means for the service.
    pub effect: String,
    /// What to type or to look at next.
    pub next: String,
}

/// What a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PageKind {
    /// The service moved.
    Moved,
    /// A take-over waits for a person.
    Blocked,
    /// A start failed.
    StartFailed,
    /// A stop failed or cannot be proved.
    StopFailed,
    /// Something of the service runs where it must not.
    Exclusivity,
    /// Two hosts were active at once.
    TwoActives,
    /// The service failed and nobody can take over.
    NoTakeover,
    /// The peer is silent, though its service answers: the link is cut.
    LinkCut,
    /// The peer is silent.
    PeerSilent,
    /// A demand does not reach the silent peer either, and a person may be needed when its time is over.
    Unreachable,
    /// Nobody runs the service.
    NobodyActive,
    /// The two configurations differ.
    ConfigDiffers,
    /// The balancer does not do what it was told.
    BalancerDiverged,
    /// The state could not be read or written.
    State,
    /// The arbiter cannot be used.
    Arbiter,
    /// A host is in maintenance, or its maintenance is over.
    Maintenance,
    /// A fence failed, or did not do what it said.
    Fence,
    /// The program caught itself in a wrong belief.
    Invariant,
}
