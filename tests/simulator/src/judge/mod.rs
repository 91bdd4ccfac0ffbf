//! Judges a schedule from outside: it looks at processes, disks and what was sent, never at what a core believes of itself.

mod cause;
mod lease;
mod liveness;
mod safety;
mod start;

use std::fmt;

use failover_shared::decision::{Action, BootId, Epoch, PageKind, RequestId, Role, StateName};

use cause::Heard;
use lease::Validated;
pub use safety::{Before, Told};

use super::host::Host;
use super::seen::{Seen, Sight};

/// What must hold. The numbers are those of the safety notes; each is one function of the [`Judge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each has its sentence")]
pub enum Law {
    S1,
    S2,
    S3,
    S4,
    S5,
    S6,
    S7,
    S8,
    S9,
    S10,
    S11,
    S12,
    S13,
    S14,
    S16,
    Cause,
    V1,
    V2,
    V3,
    V4,
    V5,
    V6,
    /// Of the program itself: no wrong belief, no timer that is due and does nothing, a reason for every change.
    Core,
}

impl Law {
    /// What it says.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Law::S1 => "at most one host can write the store",
            Law::S2 => "a host that starts or is active owns the arbiter's claim of its epoch",
            Law::S3 => "epochs never decrease, and each has one owner for ever",
            Law::S4 => "every start rests on a proof of stop that somebody gave and the configuration lists",
            Law::S5 => "who acknowledges a stop has stopped, and never runs that epoch again",
            Law::S6 => "a lease that is over leaves nothing that can write",
            Law::S7 => "nobody pets the watchdog after P",
            Law::S8 => "nothing starts without an armed guard, and no unfit host claims",
            Law::S9 => "what others see was durable before they saw it",
            Law::S10 => "the balancer's epoch never decreases",
            Law::S11 => "no two script lists run at once on a host",
            Law::S12 => "a stop that failed is never taken for one that succeeded",
            Law::S13 => "an old or foreign message changes nothing",
            Law::S14 => "a fenced host comes back only with a new kernel start",
            Law::S16 => "nothing is written in an epoch after something was written in a later one",
            Law::Cause => "a demand has a cause, comes from a host that is fit, and is obeyed only then",
            Law::V1 => "a dead active host is followed by the other within its time",
            Law::V2 => "without faults the service stays where it is",
            Law::V3 => "every demand that is taken ends in an answer, in time",
            Law::V4 => "a state that waits for a person has called one",
            Law::V5 => "a healed pair serves on exactly one host, in time",
            Law::V6 => "at most one automatic move for each incident",
            Law::Core => "the program keeps its own rules",
        }
    }
}

/// The first thing that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// What was broken.
    pub law: Law,
    /// How.
    pub detail: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({}): {}", self.law, self.law.sentence(), self.detail)
    }
}

/// What must never happen, and what did.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    /// The first thing that must not be.
    pub breach: Option<Breach>,
    /// Two actives are nobody's fault any more: an assumption of the guarantee was broken on purpose, this one.
    pub leave: Option<&'static str>,
    /// How often what must be possible did happen.
    pub seen: Seen,
    acked: Vec<RequestId>,
    stated: Vec<RequestId>,
    /// Words of a person for a host that is to start.
    words: [u32; 2],
    owners: Vec<(Epoch, Role)>,
    highest_started: Epoch,
    /// Every epoch up to this one was acknowledged as stopped by the host.
    acked_through: [Epoch; 2],
    owned: [Epoch; 2],
    /// The highest epoch that a host knew before the claim it is at.
    known: [Epoch; 2],
    /// What its beats said that it owned.
    told_owned: [Epoch; 2],
    /// By whom which kernel start of the other was fenced.
    fenced: [Option<BootId>; 2],
    validated: [Validated; 2],
    /// A state was lost: order between epochs may be lost with it.
    is_forgetful: bool,
    balancer_epoch: Epoch,
    written_epoch: Epoch,
    /// A demand that a daemon took, and when.
    taken: [Option<(RequestId, u64)>; 2],
    /// What each daemon was told of itself and its peer.
    heard: [Heard; 2],
}

/// Why a schedule gives leave when a person lied.
pub const FALSE_WORD: &str = "a person said what was not so";

impl Judge {
    /// It was reached.
    pub fn saw(&mut self, sight: Sight) {
        self.seen.saw(sight);
    }

    /// An assumption of the guarantee does not hold any more in this schedule.
    pub fn gives_leave(&mut self, why: &'static str) {
        self.leave.get_or_insert(why);
    }

    /// Records a breach if it does not hold.
    pub fn must(&mut self, law: Law, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds && self.breach.is_none() {
            self.breach = Some(Breach { law, detail: otherwise() });
        }
    }

    /// As [`Judge::must`], for what an assumption of the guarantee carries.
    fn must_unless_leave(&mut self, law: Law, holds: bool, otherwise: impl FnOnce() -> String) {
        if self.leave.is_none() {
            self.must(law, holds, otherwise);
        }
    }

    /// After each step of a core: everything that can be told from it. True: it changed the core's state.
    pub fn stepped(&mut self, now: u64, host: &Host, before: Before, told: Told, out: &[Action]) -> bool {
        let Some(node) = host.node() else { return false };
        self.s3_epochs_never_decrease(host.index(), host);
        self.s4_start_follows_a_proof(host, before);
        self.s12_failed_list_is_no_success(before, told, node);
        self.demands_with_a_cause(host, before);
        self.obeys_with_a_cause(host, before, told);
        self.v3_demands_end(now, host, told, out);
        self.v4_a_person_is_called(host, before, out);
        self.core_keeps_its_rules(host, before, out)
    }

    /// A person speaks for a start on this host.
    pub fn person_spoke(&mut self, starts: usize, is_so: bool) {
        self.words[starts] += 1;
        if !is_so {
            self.gives_leave(FALSE_WORD);
        }
    }

    /// The second way brought a statement.
    pub fn states(&mut self, request: RequestId) {
        self.stated.push(request);
    }

    /// A daemon begins with what its disk remembers; a claim that was not durable never was.
    pub fn remembers(&mut self, index: usize, owned: Epoch, highest: Epoch) {
        self.owned[index] = owned;
        self.known[index] = highest;
        self.taken[index] = None;
        self.heard[index] = Heard::default();
    }

    /// A daemon begins with a state that is older than what was done: the writes after it failed.
    pub fn forgets_order(&mut self) {
        self.is_forgetful = true;
    }

    /// A state was torn. What no disk remembers any more, no host can keep to.
    pub fn forgotten(&mut self, index: usize, hosts: &[Host; 2]) {
        self.saw(Sight::StateTorn);
        let known = hosts.iter().filter_map(|host| host.disk.durable()).map(|record| record.highest).max();
        self.highest_started = self.highest_started.min(known.unwrap_or_default());
        self.acked_through[index] = Epoch(0);
        self.told_owned[index] = Epoch(0);
        self.is_forgetful = true;
    }

    /// A person was called.
    pub fn paged(&mut self, kind: PageKind) {
        self.saw(match kind {
            PageKind::Moved => Sight::PageMoved,
            PageKind::Blocked => Sight::PageBlocked,
            PageKind::StartFailed => Sight::PageStartFailed,
            PageKind::StopFailed => Sight::PageStopFailed,
            PageKind::Exclusivity => Sight::PageExclusivity,
            PageKind::TwoActives => Sight::PageTwoActives,
            PageKind::NoTakeover => Sight::PageNoTakeover,
            PageKind::LinkCut => Sight::PageLinkCut,
            PageKind::PeerSilent => Sight::PagePeerSilent,
            PageKind::NobodyActive => Sight::PageNobodyActive,
            PageKind::ConfigDiffers => Sight::PageConfigDiffers,
            PageKind::State => Sight::PageState,
            PageKind::Arbiter => Sight::PageArbiter,
            PageKind::Fence => Sight::PageFence,
            PageKind::Maintenance | PageKind::BalancerDiverged | PageKind::Unreachable | PageKind::Invariant => {
                Sight::PageOther
            }
        });
    }

    /// A host came to a state.
    pub fn came_to(&mut self, state: StateName) {
        self.saw(match state {
            StateName::Passive => Sight::StatePassive,
            StateName::Standby => Sight::StateStandby,
            StateName::Suspect => Sight::StateSuspect,
            StateName::Requesting => Sight::StateRequesting,
            StateName::Proving => Sight::StateProving,
            StateName::TakeoverBlocked => Sight::StateTakeoverBlocked,
            StateName::Claimed => Sight::StateClaimed,
            StateName::Starting => Sight::StateStarting,
            StateName::Active => Sight::StateActive,
            StateName::Stopping => Sight::StateStopping,
            StateName::Stopped => Sight::StateStopped,
            StateName::FailedStart => Sight::StateFailedStart,
            StateName::FailedStop => Sight::StateFailedStop,
            StateName::ExclusivityError => Sight::StateExclusivityError,
        });
    }
}
