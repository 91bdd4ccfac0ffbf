//! What happened in the schedules. A property that forbids proves nothing about what never comes up, so a corpus that
//! missed something that must come up fails.

use std::collections::BTreeSet;

use failover_shared::decision::Rule;

/// Makes the list of sights, each with its words and, for those that every corpus must reach, by which setup.
macro_rules! sights {
    ($($name:ident = $words:literal, $required:ident;)*) => {
        /// Something that a schedule may reach.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each has its words beside it")]
        pub enum Sight { $($name),* }

        impl Sight {
            /// Every sight there is.
            pub const ALL: &[Sight] = &[$(Sight::$name),*];

            /// In words, and whether every large corpus must reach it.
            #[must_use]
            pub const fn words(self) -> (&'static str, Needed) {
                match self { $(Sight::$name => ($words, Needed::$required)),* }
            }
        }
    };
}

/// Whether a corpus must reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// It must.
    Always,
    /// It is counted.
    Counted,
}

sights! {
    Settled = "a healed pair served again", Always;
    ProofAck = "a start on an acknowledgement", Always;
    ProofStatement = "a start on a statement of the second way", Always;
    ProofOperator = "a start on a person's word", Always;
    ProofTimeout = "a start on a time-out", Always;
    ProofReleased = "a start on a released lease", Always;
    ProofExpired = "a start on a lease that ran out", Always;
    ProofOwn = "a start on an own epoch that is over", Always;
    ProofFence = "a start on a fence", Always;
    ArbiterTimedOut = "an attempt at the arbiter that timed out", Always;
    ArbiterAnswerLost = "an arbiter's answer that was lost", Always;
    ArbiterAnswerLate = "an arbiter's answer that came too late", Always;
    ArbiterHangs = "an attempt that found an earlier one hanging", Always;
    StaleRead = "an old read of the arbiter", Always;
    Deposed = "a holder that was deposed", Always;
    Released = "a lease that was released", Always;
    NotClaimed = "a claim that somebody else had", Always;
    RolledBackArbiter = "an arbiter that was found rolled back", Always;
    GuardianTookOver = "a guardian that found the daemon dead or frozen at T", Always;
    GuardianKilled = "a guardian that killed the service", Always;
    WatchdogReset = "a watchdog that reset the host", Always;
    FenceWorked = "a fence that worked", Always;
    FenceFailed = "a fence that failed", Always;
    FenceTimedOut = "a fence that worked and did not say so", Always;
    PageArbiter = "page: arbiter", Always;
    LetBack = "a fenced host that was let back", Always;
    PageFence = "page: fence", Always;
    AckForced = "an acknowledgement of a forced stop", Always;
    AckRebooted = "an acknowledgement of a host that booted anew", Always;
    AckNotRunning = "an acknowledgement of a host that ran nothing", Always;
    AckLost = "an answer that was lost on its way", Always;
    RefusedDemand = "a demand that was refused", Always;
    TwoActivesWithLeave = "two actives, after somebody gave leave", Always;
    BlockResolved = "a blocked take-over that a proof resolved", Always;
    RollBackAsked = "a failed commanded start that asked the peer back", Always;
    RolledBack = "a roll-back that started", Always;
    DaemonEnded = "a daemon that was told to end, and did", Always;
    DaemonEndedHolding = "a daemon that ended with its lease held without a limit", Always;
    StartResumed = "a start list gone on with after a crash", Always;
    StopResumed = "a stop list gone on with after a crash", Always;
    StopHere = "a stop by the second way", Always;
    WriteRefused = "a durable write that was refused", Always;
    SyncFailed = "a sync that failed", Always;
    WrittenNotSynced = "a crash between a write and its sync", Always;
    UnsyncedLost = "a power cut that lost what was not synced", Always;
    StateTorn = "a state that was torn", Always;
    LadderKilled = "a stop that needed the ladder's kill", Always;
    LadderFailed = "a stop that the ladder could not finish", Always;
    StopScriptLied = "a stop script that exited 0 and stopped nothing", Always;
    StartScriptLied = "a start script that exited 0 and started nothing", Always;
    ChildLeft = "a stop script that left a child behind", Always;
    OrphanStep = "a script step that outlived its daemon", Always;
    PersonNeeded = "a state that needed a person", Always;
    BeatWithoutEcho = "a beat that was dropped because it echoed an older start", Always;
    Replayed = "an old message that came again", Always;
    BalancerRefused = "a balancer that refused an order", Always;
    BalancerTookLate = "a balancer that obeyed and did not say so", Always;
    LoopLate = "a loop that came late", Always;
    Tilted = "a host in tilt", Always;
    Isolated = "a host cut off by its own evidence", Always;
    HoldDown = "a move withheld by the hold-down", Always;
    CrashBetweenActions = "a crash between two actions of one step", Always;
    MachineStood = "a machine that stood still and went on", Always;
    StatePassive = "state: Passive", Always;
    StateStandby = "state: Standby", Always;
    StateSuspect = "state: Suspect", Always;
    StateRequesting = "state: Requesting", Always;
    StateProving = "state: Proving", Always;
    StateTakeoverBlocked = "state: TakeoverBlocked", Always;
    StateClaimed = "state: Claimed", Always;
    StateStarting = "state: Starting", Always;
    StateActive = "state: Active", Always;
    StateStopping = "state: Stopping", Always;
    StateStopped = "state: Stopped", Always;
    StateFailedStart = "state: FailedStart", Always;
    StateFailedStop = "state: FailedStop", Always;
    StateExclusivityError = "state: ExclusivityError", Always;
    PageMoved = "page: moved", Always;
    PageBlocked = "page: blocked", Always;
    PageStartFailed = "page: start failed", Always;
    PageStopFailed = "page: stop failed", Always;
    PageExclusivity = "page: exclusivity", Always;
    PageTwoActives = "page: two actives", Always;
    PageNoTakeover = "page: no take-over", Always;
    PageLinkCut = "page: link cut", Always;
    PagePeerSilent = "page: peer silent", Always;
    PageNobodyActive = "page: nobody active", Always;
    PageConfigDiffers = "page: configuration differs", Always;
    PageState = "page: state", Always;
    PageOther = "page: another kind", Counted;
}

/// How often each was reached, and the rules by which the cores decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    counts: [u32; Sight::ALL.len()],
    rules: BTreeSet<Rule>,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen { counts: [0; Sight::ALL.len()], rules: BTreeSet::new() }
    }
}

impl Seen {
    /// Once more.
    pub fn saw(&mut self, sight: Sight) {
        let count = &mut self.counts[sight as usize];
        *count = count.saturating_add(1);
    }

    /// A core decided by this rule.
    pub fn decided_by(&mut self, rule: Rule) {
        self.rules.insert(rule);
    }

    /// How often.
    #[must_use]
    pub fn count(&self, sight: Sight) -> u32 {
        self.counts[sight as usize]
    }

    /// What another schedule reached comes on top.
    pub fn add(&mut self, other: &Seen) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine = mine.saturating_add(theirs);
        }
        self.rules.extend(&other.rules);
    }

    /// What must be reached and was not.
    #[must_use]
    pub fn missing(&self) -> Vec<Sight> {
        let needed = |sight: &Sight| sight.words().1 == Needed::Always && self.count(*sight) == 0;
        Sight::ALL.iter().copied().filter(needed).collect()
    }

    /// Rules by which no core decided.
    #[must_use]
    pub fn unused_rules(&self) -> Vec<Rule> {
        Rule::ALL.iter().copied().filter(|rule| !self.rules.contains(rule)).collect()
    }
}
