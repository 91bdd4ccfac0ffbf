//! What one schedule is made of, drawn from its seed: the configuration, the mix of faults and how often each comes.

use failover_shared::decision::{LeaseTimes, Millis, Policy, Role};

use super::arbiter::Kind;

use super::fault::Fault;
use super::network::Manners;
use super::random::Random;

/// Everything that a seed decides before the first event.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed itself.
    pub seed: u64,
    /// The rules of the pair; each host has its own role.
    pub policy: Policy,
    /// Which faults come, and how likely each is beside the others.
    pub faults: Vec<(Fault, u64)>,
    /// Between two faults, on the average.
    pub mean_gap_ms: u64,
    /// How often a change of state is followed by a fault at once, of a hundred.
    pub company_percent: u64,
    /// How often a daemon crashes between two actions of one step, of ten thousand.
    pub crash_between: u64,
    /// How often a look or a witness sees nothing, of a hundred.
    pub blind_percent: u64,
    /// How often a write takes seconds, of a hundred.
    pub slow_disk_percent: u64,
    /// How often a person's word is wrong, of a hundred.
    pub wrong_word_percent: u64,
    /// How the network behaves.
    pub manners: Manners,
    /// How the arbiter is kept, if there is one.
    pub arbiter: Option<Kind>,
    /// How old a read of shared storage may be.
    pub stale_most_ms: u64,
    /// Rates of each host's boot clock and raw clock, in millionths off true time.
    pub rates_ppm: [(i64, i64); 2],
    /// Before the first fault.
    pub calm_ms: u64,
    /// How long faults come.
    pub trouble_ms: u64,
    /// How often a boot starts the service by itself, of ten thousand: the planted bug of [`super::canary`].
    pub canary: u64,
}

/// How far a clock's rate may be off (ρ), in millionths.
const RATE_MOST_PPM: i64 = 10_000;

impl Options {
    /// Draws them.
    #[must_use]
    pub fn draw(seed: u64) -> Options {
        let mut random = Random::new(seed ^ 0x5eed_0f5e_ed5e_ed00);
        let setup = random.one_of(Setup::ALL);
        let policy = policy(&mut random, setup);
        let share = random.between(15, 60);
        let mut faults = Vec::new();
        for fault in Fault::ALL {
            let share = if fault.breaks_an_assumption() { share / 5 } else { share };
            if random.percent(share) {
                faults.push((*fault, random.between(1, 8)));
            }
        }
        let rough = random.percent(50);
        Options {
            seed,
            policy,
            faults,
            mean_gap_ms: random.between(400, 12_000),
            company_percent: random.between(0, 25),
            crash_between: if random.percent(20) { 50 } else { 0 },
            blind_percent: if random.percent(10) { 20 } else { 0 },
            slow_disk_percent: if random.percent(20) { 15 } else { 0 },
            wrong_word_percent: if random.percent(5) { 50 } else { 0 },
            manners: if rough { manners(&mut random) } else { Manners { delay_most_ms: 2, ..Manners::default() } },
            arbiter: setup.arbiter(),
            stale_most_ms: if random.percent(30) { random.between(0, 300) } else { 0 },
            rates_ppm: [rates(&mut random), rates(&mut random)],
            calm_ms: random.between(0, 12_000),
            trouble_ms: random.between(5_000, 45_000),
            canary: 0,
        }
    }

    /// The same pair without chance: no faults but those that are put in, a good network, true clocks.
    #[must_use]
    pub fn calm(seed: u64, setup: Setup) -> Options {
        Options {
            seed,
            policy: setup.policy(),
            faults: Vec::new(),
            mean_gap_ms: 1_000,
            company_percent: 0,
            crash_between: 0,
            blind_percent: 0,
            slow_disk_percent: 0,
            wrong_word_percent: 0,
            manners: Manners { delay_most_ms: 2, ..Manners::default() },
            arbiter: setup.arbiter(),
            stale_most_ms: 0,
            rates_ppm: [(0, 0); 2],
            calm_ms: 0,
            trouble_ms: 0,
            canary: 0,
        }
    }

    /// The rules of one host.
    #[must_use]
    pub fn policy_of(&self, role: Role, digest: u64) -> Policy {
        // Never the same on both, so that they do not shoot each other at once.
        let fence_delay_ms = match role {
            Role::Master => Millis(0),
            Role::Slave => self.policy.fence_delay_ms,
        };
        // Another configuration has a longer lease, so that it matters by whose words a contender waits; or a shorter one,
        // so that it matters by which the holder's guardian acts.
        let other = |times: LeaseTimes| match self.seed % 2 {
            0 => LeaseTimes { scripts_ms: Millis(100), kill_ms: Millis(100), ..times },
            _ => LeaseTimes { stop_after_ms: Millis(3_000), ..times },
        };
        let lease = self.policy.lease.map(|times| if digest == 1 { times } else { other(times) });
        Policy { role, digest, fence_delay_ms, lease, ..self.policy.clone() }
    }
}

/// A way to configure what may follow a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Acknowledgement, or a person's word.
    Ack,
    /// That, and the second way.
    SecondWay,
    /// That, and silence taken for a stop.
    Timeout,
    /// A lease on shared storage.
    Storage,
    /// A lease in etcd.
    Etcd,
    /// A lease on shared storage, or a fence.
    StorageAndFence,
    /// A fence alone.
    Fence,
}

impl Setup {
    /// All of them.
    pub const ALL: &[Setup] = &[
        Setup::Ack,
        Setup::SecondWay,
        Setup::Timeout,
        Setup::Storage,
        Setup::Etcd,
        Setup::StorageAndFence,
        Setup::Fence,
    ];

    /// The rules.
    #[must_use]
    pub fn policy(self) -> Policy {
        let policy = short_policy();
        match self {
            Setup::Ack => policy,
            Setup::SecondWay => Policy { rcmd: true, ..policy },
            Setup::Timeout => Policy { proof_timeout: true, ..policy },
            Setup::Storage | Setup::Etcd => Policy { proof_lease: true, lease: Some(SHORT_LEASE), ..policy },
            Setup::StorageAndFence => {
                Policy { proof_lease: true, proof_fence: true, lease: Some(SHORT_LEASE), ..policy }
            }
            Setup::Fence => Policy { proof_fence: true, ..policy },
        }
    }

    /// How its arbiter is kept.
    #[must_use]
    pub fn arbiter(self) -> Option<Kind> {
        match self {
            Setup::Ack | Setup::SecondWay | Setup::Timeout | Setup::Fence => None,
            Setup::Storage | Setup::StorageAndFence => Some(Kind::Storage),
            Setup::Etcd => Some(Kind::Compare),
        }
    }
}

/// A lease of four seconds: much happens in a schedule.
const SHORT_LEASE: LeaseTimes = LeaseTimes {
    renew_ms: Millis(500),
    attempt_ms: Millis(300),
    stop_after_ms: Millis(1_800),
    scripts_ms: Millis(800),
    kill_ms: Millis(400),
    watchdog_ms: Millis(700),
    margin_ms: Millis(300),
    drift_permille: 10,
};

/// A pair's rules with short spans, so that much happens in a schedule.
#[must_use]
pub fn short_policy() -> Policy {
    Policy {
        role: Role::Master,
        digest: 1,
        proof_ack: true,
        proof_operator: true,
        proof_timeout: false,
        proof_lease: false,
        proof_fence: false,
        lease: None,
        fence_delay_ms: Millis(500),
        fence_limit_ms: Millis(2_000),
        hold_failed_stop: false,
        rcmd: false,
        reverse_protection: true,
        suspect_after_ms: Millis(1_200),
        shutdown_timeout_ms: Millis(5_000),
        start_limit_ms: Millis(4_000),
        stop_limit_ms: Millis(4_000),
        boot_wait_ms: Millis(3_000),
        hold_down_ms: Millis(15_000),
    }
}

fn policy(random: &mut Random, setup: Setup) -> Policy {
    let policy = setup.policy();
    Policy {
        proof_operator: random.percent(80),
        proof_timeout: policy.proof_timeout && random.percent(80),
        rcmd: policy.rcmd || random.percent(20),
        hold_failed_stop: random.percent(20),
        reverse_protection: random.percent(50),
        shutdown_timeout_ms: Millis(random.between(3_000, 8_000)),
        ..policy
    }
}

fn manners(random: &mut Random) -> Manners {
    Manners {
        beat_loss_percent: random.between(0, 30),
        beat_double_percent: random.between(0, 20),
        delay_most_ms: random.between(0, 400),
        connection_loss_percent: random.between(0, 20),
        replay_percent: if random.percent(50) { random.between(0, 50) } else { 0 },
    }
}

/// Often at the very limits: that is where arithmetic is wrong.
fn rates(random: &mut Random) -> (i64, i64) {
    let boot = rate(random);
    (boot, if random.percent(60) { boot } else { rate(random) })
}

fn rate(random: &mut Random) -> i64 {
    let any = i64::try_from(random.below(2 * RATE_MOST_PPM as u64)).unwrap_or(0) - RATE_MOST_PPM;
    random.one_of(&[0, -RATE_MOST_PPM, RATE_MOST_PPM, any])
}
