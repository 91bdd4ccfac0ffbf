//! The faults, and how an iteration draws its own from its seed.

use std::fmt;

use serde::{Deserialize, Serialize};

use failover_simulator::random::{Random, mix};

/// What keeps the lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Keeper {
    /// A folder on a filer of the lab.
    #[default]
    SharedStorage,
    /// An etcd of one member, on a third host.
    Etcd,
}

/// One kind of fault. Those that last end when their time is over, or with the iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The service dies.
    KillService,
    /// The daemon dies.
    KillDaemon,
    /// The guardian dies.
    KillGuardian,
    /// Both die at once.
    KillBoth,
    /// The daemon stands still (SIGSTOP).
    StopDaemon,
    /// The guardian stands still.
    StopGuardian,
    /// The whole host stands still, as a paused machine does.
    FreezeHost,
    /// The power fails.
    PowerCut,
    /// The power of both hosts fails.
    PowerCutBoth,
    /// The hosts do not hear each other; everybody else is heard.
    CutLink,
    /// The host does not hear the other one, which hears it.
    Deaf,
    /// The host is cut off from every network; its store answers.
    Silence,
    /// 30 % of all packets are lost on every path, at both hosts.
    Loss,
    /// The service network's cable is out; the second path of the heartbeats works.
    CableOut,
    /// The disk with state and journal is full.
    FullDisk,
    /// The lease's store hangs for this host; what waits is carried out late.
    HangLease,
    /// It hangs for both.
    HangLeaseBoth,
    /// It does what it is asked, and the answers wait.
    LoseAnswers,
    /// It fails with EIO.
    FailLease,
    /// It is read-only.
    ReadOnlyLease,
    /// It is full.
    FullLease,
    /// Another, empty folder lies over it.
    LoseLease,
    /// etcd stands still: its connections stand, and nothing answers.
    StopEtcd,
    /// etcd dies, and is started again when the fault ends.
    KillEtcd,
    /// etcd hears this host, which does not hear it.
    DeafToEtcd,
    /// The balancer refuses to be told anything.
    BalancerRefuses,
    /// The balancer dies and, restarted, has forgotten all.
    BalancerDies,
    /// An operator moves the service to the other host.
    Move,
}

/// Those that do not touch what keeps the lease.
const COMMON: [Fault; 18] = [
    Fault::KillService,
    Fault::KillDaemon,
    Fault::KillGuardian,
    Fault::KillBoth,
    Fault::StopDaemon,
    Fault::StopGuardian,
    Fault::FreezeHost,
    Fault::PowerCut,
    Fault::PowerCutBoth,
    Fault::CutLink,
    Fault::Deaf,
    Fault::Silence,
    Fault::Loss,
    Fault::CableOut,
    Fault::FullDisk,
    Fault::BalancerRefuses,
    Fault::BalancerDies,
    Fault::Move,
];

impl Fault {
    /// All that can happen to a pair whose lease is kept there.
    #[must_use]
    pub fn all(keeper: Keeper) -> Vec<Fault> {
        let of_keeper: &[Fault] = match keeper {
            Keeper::SharedStorage => &[
                Fault::HangLease,
                Fault::HangLeaseBoth,
                Fault::LoseAnswers,
                Fault::FailLease,
                Fault::ReadOnlyLease,
                Fault::FullLease,
                Fault::LoseLease,
            ],
            Keeper::Etcd => &[Fault::StopEtcd, Fault::KillEtcd, Fault::DeafToEtcd],
        };
        [&COMMON, of_keeper].concat()
    }

    /// Whether the other host has to run the service after this alone, if it happens to the active one and lasts.
    #[must_use]
    pub const fn must_move(self) -> bool {
        matches!(
            self,
            Fault::KillBoth
                | Fault::StopDaemon
                | Fault::FreezeHost
                | Fault::PowerCut
                | Fault::HangLease
                | Fault::LoseAnswers
                | Fault::FailLease
                | Fault::LoseLease
                | Fault::DeafToEtcd
        )
    }

    /// A moment, not a span.
    #[must_use]
    pub const fn is_moment(self) -> bool {
        matches!(self, Fault::KillService | Fault::KillDaemon | Fault::KillGuardian | Fault::KillBoth | Fault::Move)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Whom a fault happens to: known only when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The host that wrote last.
    Active,
    /// The other one.
    Standby,
}

/// A fault of an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What.
    pub fault: Fault,
    /// To whom.
    pub target: Target,
    /// When it begins, from the iteration's begin.
    pub at_ms: u64,
    /// How long it lasts.
    pub for_ms: u64,
}

/// All of an iteration that chance decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One or two faults, in the order of their begins.
    pub steps: Vec<Step>,
    /// The one fault lasts until the other host writes, which it must.
    pub until_moved: bool,
}

impl Plan {
    /// The plan of iteration `number` of a run: the same for the same seed.
    #[must_use]
    pub fn draw(keeper: Keeper, seed: u64, number: u64) -> Plan {
        let faults = Fault::all(keeper);
        let mut random = Random::new(mix(seed) ^ number);
        let first = draw_step(&mut random, &faults, 300);
        if random.percent(40) {
            let until_moved = first.target == Target::Active && first.fault.must_move() && random.percent(60);
            return Plan { steps: vec![first], until_moved };
        }
        let mut second = draw_step(&mut random, &faults, 3_000);
        while second.fault == first.fault {
            second.fault = random.one_of(&faults);
        }
        let mut steps = vec![first, second];
        steps.sort_by_key(|step| step.at_ms);
        Plan { steps, until_moved: false }
    }
}

fn draw_step(random: &mut Random, faults: &[Fault], begin_ms_max: u64) -> Step {
    let fault = random.one_of(faults);
    let target = if random.percent(70) { Target::Active } else { Target::Standby };
    // The lease lasts 6 s: half of all spans are shorter than its first deadline, the others reach past it.
    let for_ms = match random.below(4) {
        _ if fault.is_moment() => 0,
        0 | 1 => random.between(100, 2_000),
        2 => random.between(2_000, 6_000),
        _ => random.between(6_000, 10_000),
    };
    Step { fault, target, at_ms: random.below(begin_ms_max), for_ms }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_plans_and_every_fault_comes_up() {
        for keeper in [Keeper::SharedStorage, Keeper::Etcd] {
            let draw = |seed| (0..500).map(move |number| Plan::draw(keeper, seed, number)).collect::<Vec<_>>();
            let plans = draw(7);
            assert_eq!(plans, draw(7));
            assert_ne!(plans, draw(8));
            let seen: BTreeSet<Fault> = plans.iter().flat_map(|plan| &plan.steps).map(|step| step.fault).collect();
            assert_eq!(seen, Fault::all(keeper).into_iter().collect());
            assert!(plans.iter().any(|plan| plan.until_moved) && plans.iter().any(|plan| plan.steps.len() == 2));
        }
    }
}
