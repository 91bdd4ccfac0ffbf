//! What can go wrong. Each schedule draws its own mix, so that rare mixes come up too.

use super::options::Setup;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The service's processes die.
    ServiceDies,
    /// They run and answer nobody.
    ServiceHangs,
    /// The daemon dies; the service runs on.
    DaemonCrashes,
    /// The daemon is told to end, does when nothing runs out behind it, and is started again some time later.
    DaemonTold,
    /// The daemon gets no processor time for a while.
    DaemonFreezes,
    /// The whole machine stands still for a while, its clocks too.
    MachineStands,
    /// One host loses power.
    PowerCut,
    /// Both do.
    BothPowerCut,
    /// Beats from one host are lost.
    BeatsCut,
    /// Everything between the hosts is lost, in one direction.
    OneWayCut,
    /// Everything between the hosts is lost.
    LinkCut,
    /// Only the control channel is lost.
    ControlCut,
    /// Nothing arrives for some seconds, then everything at once.
    Clog,
    /// The balancer does not reach a host's service.
    BalancerBlind,
    /// A host does not reach the balancer.
    BalancerCut,
    /// The balancer refuses orders.
    BalancerRefuses,
    /// The balancer obeys and its answer is lost.
    BalancerMute,
    /// The second way is lost.
    SecondWayCut,
    /// The disk refuses to write.
    DiskRefuses,
    /// A sync fails: that start of the daemon writes nothing more.
    SyncFails,
    /// The state is damaged at the next crash.
    StateTorn,
    /// A start would fail, and the daemon knows.
    NotReady,
    /// The two configurations differ.
    ConfigDiffers,
    /// None of a host's reference points answers.
    Isolated,
    /// The next start list goes wrong.
    StartGoesWrong,
    /// The next stop list goes wrong.
    StopGoesWrong,
    /// Somebody else starts the service.
    StartedByAnother,
    /// A host does not reach the arbiter.
    ArbiterCut,
    /// The arbiter answers nobody.
    ArbiterDown,
    /// It is slow.
    ArbiterSlow,
    /// Its answers are lost.
    ArbiterMute,
    /// It cannot be written.
    ArbiterReadOnly,
    /// It is restored from a copy: an assumption of the lease is broken.
    ArbiterRolledBack,
    /// The guardian dies.
    GuardianDies,
    /// The watchdog does not fire any more: an assumption of the lease is broken.
    WatchdogDead,
    /// The next fence says that it could not.
    FenceFails,
    /// The next fence works, and its answer is lost.
    FenceTimesOut,
    /// The next fence says done and did nothing: an assumption of the fence is broken.
    FenceLies,
    /// A host does not reach the fence device.
    FenceCut,
    /// The wall clock jumps.
    WallJumps,
    /// A person types something.
    Command,
}

impl Fault {
    /// Every kind.
    pub const ALL: &[Fault] = &[
        Fault::ServiceDies,
        Fault::ServiceHangs,
        Fault::DaemonCrashes,
        Fault::DaemonTold,
        Fault::DaemonFreezes,
        Fault::MachineStands,
        Fault::PowerCut,
        Fault::BothPowerCut,
        Fault::BeatsCut,
        Fault::OneWayCut,
        Fault::LinkCut,
        Fault::ControlCut,
        Fault::Clog,
        Fault::BalancerBlind,
        Fault::BalancerCut,
        Fault::BalancerRefuses,
        Fault::BalancerMute,
        Fault::SecondWayCut,
        Fault::DiskRefuses,
        Fault::SyncFails,
        Fault::StateTorn,
        Fault::NotReady,
        Fault::ConfigDiffers,
        Fault::Isolated,
        Fault::StartGoesWrong,
        Fault::StopGoesWrong,
        Fault::StartedByAnother,
        Fault::ArbiterCut,
        Fault::ArbiterDown,
        Fault::ArbiterSlow,
        Fault::ArbiterMute,
        Fault::ArbiterReadOnly,
        Fault::ArbiterRolledBack,
        Fault::GuardianDies,
        Fault::WatchdogDead,
        Fault::FenceFails,
        Fault::FenceTimesOut,
        Fault::FenceLies,
        Fault::FenceCut,
        Fault::WallJumps,
        Fault::Command,
    ];

    /// Those on which "never two" depends: tried in ordered pairs.
    pub const GRAVE: &[Fault] = &[
        Fault::DaemonCrashes,
        Fault::DaemonTold,
        Fault::DaemonFreezes,
        Fault::MachineStands,
        Fault::PowerCut,
        Fault::BothPowerCut,
        Fault::LinkCut,
        Fault::OneWayCut,
        Fault::ControlCut,
        Fault::SyncFails,
        Fault::ArbiterCut,
        Fault::ArbiterMute,
        Fault::GuardianDies,
        Fault::FenceFails,
        Fault::FenceTimesOut,
        Fault::StartGoesWrong,
        Fault::StopGoesWrong,
        Fault::Command,
    ];

    /// The same for both hosts.
    #[must_use]
    pub const fn is_of_both(self) -> bool {
        matches!(
            self,
            Fault::BothPowerCut
                | Fault::LinkCut
                | Fault::ControlCut
                | Fault::Clog
                | Fault::BalancerRefuses
                | Fault::BalancerMute
                | Fault::ArbiterDown
                | Fault::ArbiterSlow
                | Fault::ArbiterMute
                | Fault::ArbiterReadOnly
                | Fault::ArbiterRolledBack
        )
    }

    /// Whether it strikes something that a pair with these rules has.
    #[must_use]
    pub fn can_strike(self, setup: Setup) -> bool {
        let policy = setup.policy();
        match self {
            Fault::ArbiterCut
            | Fault::ArbiterDown
            | Fault::ArbiterSlow
            | Fault::ArbiterMute
            | Fault::ArbiterReadOnly
            | Fault::ArbiterRolledBack
            | Fault::GuardianDies
            | Fault::WatchdogDead => policy.lease.is_some(),
            Fault::FenceFails | Fault::FenceTimesOut | Fault::FenceLies | Fault::FenceCut => policy.proof_fence,
            Fault::SecondWayCut => policy.rcmd,
            _ => true,
        }
    }

    /// Whether it breaks an assumption of the guarantees on purpose. Rare, because much is forgiven after it.
    #[must_use]
    pub const fn breaks_an_assumption(self) -> bool {
        matches!(
            self,
            Fault::ArbiterRolledBack
                | Fault::WatchdogDead
                | Fault::FenceLies
                | Fault::MachineStands
                | Fault::StartedByAnother
        )
    }
}
