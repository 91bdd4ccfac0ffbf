//! The rules that decisions name. `failoverctl why` prints the sentence; the journal keeps the name.

use serde::{Deserialize, Serialize};

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $sentence:literal,)*) => {
        /// Why something was decided, or withheld.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Rule { $($(#[$doc])* #[doc = $sentence] $name,)* }

        impl Rule {
            /// Every rule, for tests and manuals.
            pub const ALL: &'static [Rule] = &[$(Rule::$name,)*];

            /// The rule as a sentence for the operator.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Rule::$name => $sentence,)* }
            }
        }
    };
}

rules! {
    BootPassive = "A host that boots runs nothing until it has looked at itself and heard its peer.",
    BootAlone = "The peer was not heard since the boot: nothing is started without its answer or a person's word.",
    ServiceFoundRunning = "The service was found running on a host that does not own it.",
    NothingRunsAnyMore = "Nothing of the service runs here any more.",
    Resumed = "The daemon was restarted and goes on where it was; the service is neither stopped nor moved.",
    StoppedMeanwhile = "The service was stopped by stop-here while the daemon did not run; the daemon is standby.",
    BecameStandby = "Nothing runs here and the peer is heard: standing by.",
    NobodyActive = "Nobody runs the service and both hosts are heard: the host starts that the failover policy names first; without a policy the owner of the highest epoch, or the master where there is none; the other one if that host is not ready.",
    PeerSilent = "The peer is silent on every path longer than suspect_after.",
    PeerHeardAgain = "The peer is heard again.",
    LinkCut = "The peer is silent here but its service answers through the balancer: the link is cut, nothing is moved.",
    DemandOwnVerdict = "The active host says that its own service failed.",
    DemandRemoteCheck = "The checks of the active host's service failed.",
    DemandSilence = "The active host is silent and no witness sees its service.",
    DemandCommand = "An operator commanded the move.",
    DemandRollBack = "The peer's commanded start failed: the service returns.",
    WithheldNotReady = "Withheld: this host could not start the service itself.",
    WithheldHoldDown = "Withheld: an automatic move has been made and is not acknowledged yet.",
    WithheldConfigDiffers = "Withheld: the two configurations differ.",
    WithheldMaintenance = "Withheld: a host is in maintenance, or holds its lease without a time limit.",
    WithheldSelfIsolated = "Withheld: no reference point answers either, so this host may be the one that is cut off.",
    WithheldTilt = "Withheld: the own loop was late; its view of silence is not trusted yet.",
    WithheldNoReverse = "Withheld: reverse_protection is off, so the master does not take over by itself.",
    WithheldOldCopy = "Withheld: a copy of the other host's data is older than its max_age, and a person is to be asked.",
    WithheldRefused = "Withheld: the last demand was refused or could not be written; the next is held back for a while.",
    WithheldAnswering = "Withheld: a demand of the peer is being answered.",
    WithheldFrozen = "Withheld: the program caught itself in a wrong belief; decisions are frozen until acknowledged.",
    DemandNotDurable = "The demand could not be made durable: it is not sent.",
    ShutdownTimedOut = "shutdown_timeout passed in silence: the witnesses are asked before silence is taken for a stop.",
    PeerRefused = "The peer refused the demand.",
    Prepared = "The other host would obey: the demand is made.",
    PreparesLeave = "The peer asked whether this host would stop its service: it would.",
    OperatorAborted = "An operator gave the move up before the other host had acknowledged.",
    Withdrawn = "The peer's service is well again: the demand is withdrawn.",
    YieldedToPeer = "Both hosts demanded at once: the slave yields to the master, and everything to a command.",
    ProofAck = "The peer acknowledged a verified stop.",
    ProofRcmd = "The second way brought a signed statement of a verified stop.",
    ProofOperator = "A named person said that the service is stopped there.",
    ProofTimeout = "The time-out passed in silence, which the configuration takes for a stop: two actives are possible.",
    TimeoutVetoed = "The time-out passed, but a witness sees the peer's service or the peer is heard: no start.",
    NoProof = "No allowed proof of stop came: a person has to decide.",
    AnswerTooOld = "What the peer said was so long on its way that it may not hold any more: it is asked again.",
    PeerNotVerified = "The peer obeyed but could not verify the stop: that is no proof.",
    ProofLease = "The peer's lease is over.",
    ProofFence = "The peer was fenced, and the device's state read back.",
    LeaseAwaited = "The peer is silent and its lease runs out: the start waits for that.",
    LeaseRenewing = "The peer is silent here but goes on renewing its lease: the link is cut, nothing is moved.",
    LeaseNotRenewed = "The lease could not be renewed: the service is stopped before it runs out.",
    Deposed = "The peer claimed a later epoch, or this one anew: this host lost it and stops.",
    LeaseReleased = "The lease is released: the peer need not wait.",
    DaemonEnds = "The daemon is told to end: its lease is held without a time limit, and the service runs on.",
    LeaseMissing = "The service runs without a lease: its epoch was claimed before there was an arbiter.",
    ArbiterLost = "The arbiter cannot be used.",
    ArbiterBack = "The arbiter can be used again.",
    ClaimMade = "The claim of the epoch is made in the arbiter.",
    ClaimLost = "The claim was not got, or came to nothing: this host stands by.",
    ClaimWaits = "The peer renewed its lease while the claim was made: waiting for its lease to end.",
    ClaimTooOld = "The own claim was made too long ago to be held: it is made anew, with the next number.",
    Guarded = "The guardian guards the lease.",
    NotGuarded = "The guardian does not guard the lease: nothing is started.",
    GuardianEnded = "The lease ran out and the guardian ended the service.",
    FenceBegan = "The silent peer is fenced.",
    FenceFailed = "The fence failed.",
    FencedStillRuns = "The fenced peer goes on in the same kernel start: it has to boot anew before it is let back.",
    Unfenced = "The fenced peer has booted anew and is let back.",
    UnfenceFailed = "The fenced peer has booted anew, and could not be let back.",
    Claimed = "With a proof of stop a new epoch is claimed.",
    ClaimDurable = "The claim is durable: the start list runs.",
    ClaimNotDurable = "The claim could not be made durable: nothing is started.",
    StartSucceeded = "The start list ran and the local checks passed.",
    StartFailed = "The start failed: what was started is stopped again in reverse.",
    StartOvertaken = "The start was interrupted too long: the proof under it may not hold any more, so it is taken back.",
    ClaimOvertaken = "The peer runs an epoch that the proof does not cover: the claim is given up.",
    ObeyedDemand = "The peer's demand is valid: the service is stopped here.",
    RefusedDemand = "The peer's demand is not obeyed.",
    AnsweredNotRunning = "The peer's demand found nothing running here: acknowledged.",
    StopVerified = "The stop is verified.",
    StopNotVerified = "The stop could not be verified: no acknowledgement.",
    StopNotDurable = "Stopped, but not durable: no proof.",
    PeerStarted = "The peer runs the service: standing by.",
    PeerDidNotStart = "The service was stopped for the peer, but the peer has not started it.",
    HigherEpoch = "The peer runs a higher epoch, or as the master the same one: this host stops at once.",
    LowerEpoch = "The peer runs a lower epoch, or as the slave the same one: it will stop; this host goes on.",
    NoTakeoverPossible = "The own service failed and the peer cannot take over.",
    OwnServiceFailed = "The own service failed: the peer decides what follows.",
    OwnServiceWell = "The own service is well again.",
    Restarted = "Freshness was restarted once: the own loop was late.",
    TiltBegan = "The own loop was late by seconds: decisions that rest on silence are held for 30 s.",
    TiltEnded = "The own loop has been punctual: decisions may rest on silence again.",
    SelfIsolated = "No reference point answers: this host may be cut off.",
    SelfIsolationEnded = "A reference point answers again.",
    HoldDownEnded = "The hold-down is over.",
    ConfigDiffers = "The two configurations differ: automatic moves are blocked.",
    ConfigEqual = "The two configurations are equal again.",
    CommandRefused = "The operator's command was refused.",
    OperatorAcknowledged = "An operator acknowledged.",
    OperatorForcedOffline = "An operator said that the service is stopped here.",
    MaintenanceChanged = "An operator changed the maintenance mode.",
    MaintenanceOver = "The time of the maintenance is over: the pair watches over the service again.",
    InvariantBroken = "The program caught itself in a wrong belief.",
}
