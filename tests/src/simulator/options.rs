//! What one schedule is made of, drawn from its seed: the configuration, the mix of faults and how often each comes.

use failover_shared::decision::{Millis, Policy, Role};

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
    /// Rates of the boot clocks, in millionths off true time.
    pub rates_ppm: [i64; 2],
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
        let policy = policy(&mut random);
        let share = random.between(15, 60);
        let mut faults = Vec::new();
        for fault in Fault::ALL {
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
            rates_ppm: [rate(&mut random), rate(&mut random)],
            calm_ms: random.between(0, 12_000),
            trouble_ms: random.between(5_000, 45_000),
            canary: 0,
        }
    }

    /// The same pair without chance: no faults but those that are put in, a good network, true clocks.
    #[must_use]
    pub fn calm(seed: u64, policy: Policy) -> Options {
        Options {
            seed,
            policy,
            faults: Vec::new(),
            mean_gap_ms: 1_000,
            company_percent: 0,
            crash_between: 0,
            blind_percent: 0,
            slow_disk_percent: 0,
            wrong_word_percent: 0,
            manners: Manners { delay_most_ms: 2, ..Manners::default() },
            rates_ppm: [0, 0],
            calm_ms: 0,
            trouble_ms: 0,
            canary: 0,
        }
    }

    /// The rules of one host.
    #[must_use]
    pub fn policy_of(&self, role: Role, digest: u64) -> Policy {
        Policy { role, digest, ..self.policy.clone() }
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
}

impl Setup {
    /// All of them.
    pub const ALL: &[Setup] = &[Setup::Ack, Setup::SecondWay, Setup::Timeout];

    /// The rules.
    #[must_use]
    pub fn policy(self) -> Policy {
        let policy = short_policy();
        match self {
            Setup::Ack => policy,
            Setup::SecondWay => Policy { rcmd: true, ..policy },
            Setup::Timeout => Policy { proof_timeout: true, ..policy },
        }
    }
}

/// A pair's rules with short spans, so that much happens in a schedule.
#[must_use]
pub fn short_policy() -> Policy {
    Policy {
        role: Role::Master,
        digest: 1,
        proof_ack: true,
        proof_operator: true,
        proof_timeout: false,
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

fn policy(random: &mut Random) -> Policy {
    Policy {
        proof_operator: random.percent(80),
        proof_timeout: random.percent(25),
        rcmd: random.percent(40),
        reverse_protection: random.percent(50),
        shutdown_timeout_ms: Millis(random.between(3_000, 8_000)),
        ..short_policy()
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
fn rate(random: &mut Random) -> i64 {
    let any = i64::try_from(random.below(2 * RATE_MOST_PPM as u64)).unwrap_or(0) - RATE_MOST_PPM;
    random.one_of(&[0, -RATE_MOST_PPM, RATE_MOST_PPM, any])
}
