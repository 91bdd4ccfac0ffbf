//! Bugs put into the core on purpose, to see that each of them is found. Only with the feature `planted`, which no
//! release build takes; without it [`planted`] is a constant `false` and leaves no trace in the program.
//!
//! To plant one: a line in the list below, and `planted(Bug::Name)` where the code is to go wrong.

use super::arbiter::{ArbiterReply, ArbiterRequest};

/// Makes the list of bugs.
macro_rules! bugs {
    ($($variant:ident = $name:literal, $sentence:literal;)*) => {
        /// One bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $(#[doc = $sentence] $variant),*
        }

        #[cfg(feature = "planted")]
        impl Bug {
            /// All of them, in the order in which they are tried.
            pub const ALL: &[Bug] = &[$(Bug::$variant),*];

            /// Its name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Bug::$variant => $name),* }
            }

            /// What it does.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Bug::$variant => $sentence),* }
            }
        }
    };
}

bugs! {
    TimeoutStarts = "timeout-starts", "Silence past the time-out is taken for a stop, though the configuration does not say so.";
    LeaseFromReply = "lease-from-reply", "The lease counts from the arbiter's answer, not from the question.";
    WaitsWithoutDrift = "waits-without-drift", "The contender waits as if all clocks ran alike.";
    WaitsByOwnTerms = "waits-by-own-terms", "The contender waits by its own configuration, not by what the holder's slot says.";
    WaitsByFastClock = "waits-by-fast-clock", "The contender waits on the faster of its two clocks.";
    ClaimsWithoutWait = "claims-without-wait", "A lease is over as soon as its slot was read.";
    ClaimsBeforeWaiting = "claims-before-waiting", "The claim is made as soon as the holder is quiet, and the wait comes after it.";
    NoSecondLook = "no-second-look", "The arbiter is not looked at again after the claim.";
    ClaimStaysYoung = "claim-stays-young", "The first renewal counts however long ago the claim was made.";
    ErrorIsFree = "error-is-free", "An arbiter that fails is taken for one that granted the claim.";
    ErrorRenews = "error-renews", "An arbiter that fails is taken for one that renewed the lease.";
    ResumesLostLease = "resumes-lost-lease", "A daemon that comes back goes on although its lease ran out.";
    SpansOfConfiguration = "spans-of-configuration", "A daemon that comes back promises what its configuration says, not what its guardian does.";
    UnheldClaimIsOwn = "unheld-claim-is-own", "An own claim that was never held counts as proof that the peer is over.";
    RollbackIgnored = "rollback-ignored", "An arbiter that shows less than before is believed.";
    StartsUnguarded = "starts-unguarded", "The guardian is told, and the watchdog armed, after the start has begun.";
    TimersSwapped = "timers-swapped", "The two classes of timers change places: suspicion before the sockets are read, safety after.";
    BootsActive = "boots-active", "What ran before the kernel's start is taken to run still.";
    BootsUnseen = "boots-unseen", "A booted host does not look whether something runs on it.";
    OldStartResumed = "old-start-resumed", "An interrupted start is gone on with however old its proof is.";
    AcksBeforeDurable = "acks-before-durable", "A stop is acknowledged before it is durable.";
    LostWriteCounts = "lost-write-counts", "A write that failed counts as durable.";
    NackIsAck = "nack-is-ack", "An answer that the stop could not be verified is taken for an acknowledgement.";
    RefusalIsAck = "refusal-is-ack", "A refusal is taken for an acknowledgement.";
    AnyAnswerCounts = "any-answer-counts", "The answer to another demand counts for the one under way.";
    AnswersStayFresh = "answers-stay-fresh", "An acknowledgement counts however long ago its demand was sent.";
    LeaveForgotten = "leave-forgotten", "A daemon that comes back forgets that it gave the peer leave to start.";
    FailedStopIsStop = "failed-stop-is-stop", "A stop that could not be verified counts as verified.";
    ExitCodeIgnored = "exit-code-ignored", "A start list that failed counts as done.";
    StaleDemandObeyed = "stale-demand-obeyed", "A demand for an older epoch stops the service.";
    SilenceObeyed = "silence-obeyed", "A demand that rests on silence alone stops a healthy service.";
    MaintenanceIgnored = "maintenance-ignored", "A host in maintenance is stopped by its peer.";
    EpochUsedAgain = "epoch-used-again", "A start uses the highest known epoch again.";
    EpochsOfBothKinds = "epochs-of-both-kinds", "Without an arbiter both hosts mint the same numbers.";
    HigherEpochIgnored = "higher-epoch-ignored", "Of two active hosts neither gives way.";
    ComesHomeByItself = "comes-home-by-itself", "The master takes a healthy service back without a command.";
    DemandsUnready = "demands-unready", "A host that could not start has the other stopped.";
    DigestIgnored = "digest-ignored", "Automatic moves go on although the configurations differ.";
    HoldDownIgnored = "hold-down-ignored", "A second automatic move follows the first.";
    TiltIgnored = "tilt-ignored", "A host whose loop was late trusts its view of time.";
    IsolationIgnored = "isolation-ignored", "A host that reaches nobody takes the peer for dead.";
    UnfencedAtOnce = "unfenced-at-once", "A fenced host is let back without having booted anew.";
    BalancerLowerEpoch = "balancer-lower-epoch", "The balancer is ordered with an epoch before the one that runs.";
    BalancerTooEarly = "balancer-too-early", "Clients are sent to a host whose start list still runs.";
    ArbiterLooksFirst = "arbiter-looks-first", "In the arbiter: a renewal looks for a later claim before it writes its slot.";
    PetsTooLong = "pets-too-long", "In the guardian: the watchdog is petted past P.";
    KillsPidOnly = "kills-pid-only", "In the scripts: the ladder ends the main process and not its group, and believes itself.";
    AcksBeforeUnmount = "acks-before-unmount", "In the scripts: a stop counts as verified although the store is still mounted.";
    EchoIgnored = "echo-ignored", "In the heartbeat: a beat counts although it does not echo this start's nonce.";
    EmptyGroupIsEvidence = "empty-group-is-evidence", "In the stop: a control group in which nothing was ever seen is evidence by being empty.";
}

#[cfg(feature = "planted")]
mod active {
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::Bug;

    /// The number of the active bug, plus one; zero: none. For the whole process: one is tried at a time.
    static ACTIVE: AtomicUsize = AtomicUsize::new(0);

    /// From now on every core of this process has this bug and no other.
    pub fn plant(bug: Option<Bug>) {
        ACTIVE.store(bug.map_or(0, |bug| bug as usize + 1), Ordering::Relaxed);
    }

    /// Whether this bug is active now.
    #[must_use]
    pub fn planted(bug: Bug) -> bool {
        #[cfg(test)]
        super::super::tests::planting::plant_from_outside();
        ACTIVE.load(Ordering::Relaxed) == bug as usize + 1
    }
}

#[cfg(feature = "planted")]
pub use active::{plant, planted};

/// Whether this bug is active now.
#[cfg(not(feature = "planted"))]
#[inline(always)]
#[must_use]
pub const fn planted(_: Bug) -> bool {
    false
}

/// What a bug makes of the arbiter's answer: an error is taken for a free epoch, or for a renewal.
pub(super) fn misread(asked: &ArbiterRequest, reply: ArbiterReply) -> ArbiterReply {
    match (asked, &reply) {
        (ArbiterRequest::Claim { .. }, ArbiterReply::Failed(_)) if planted(Bug::ErrorIsFree) => ArbiterReply::Claimed,
        (ArbiterRequest::Renew { .. }, ArbiterReply::Failed(_)) if planted(Bug::ErrorRenews) => ArbiterReply::Renewed,
        _ => reply,
    }
}
