//! How far a check goes: what may go wrong, how often, for how long.

use failover_shared::decision::{LeaseTimes, Millis, Policy, Role};

use super::arbiter::Kind;
use super::fault::Fault;

/// One step of true time.
pub const STEP_MS: u64 = 1_000;

/// The lease: five steps long. 3R + I ≤ T holds, and there is no margin, so that an error of one step shows.
pub const LEASE: LeaseTimes = LeaseTimes {
    renew_ms: Millis(500),
    attempt_ms: Millis(1_500),
    stop_after_ms: Millis(3_000),
    scripts_ms: Millis(1_000),
    kill_ms: Millis(0),
    watchdog_ms: Millis(1_000),
    margin_ms: Millis(0),
    drift_permille: 100,
};

/// What is explored.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// How the arbiter is kept.
    pub kind: Kind,
    /// Steps of time.
    pub steps: u64,
    /// Faults in one run, of any kind listed.
    pub faults: u8,
    /// Which faults.
    pub may: Vec<Fault>,
    /// Where a run begins.
    pub begins: Vec<Begin>,
    /// How the clocks differ.
    pub drifts: Vec<Drift>,
}

/// Where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Both hosts have just booted for the first time.
    Fresh,
    /// The master has run the service for a while.
    Running,
}

/// How the two clocks differ, for the whole run. A constant rate at the limit is the worst of all that stay within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drift {
    /// Not at all.
    None,
    /// The master's is fast and the slave's slow, as much as ρ allows.
    MasterFast,
    /// The other way round.
    SlaveFast,
    /// The slave's is fast and the master's slow, by twice what ρ allows: an assumption broken on purpose.
    BeyondRho,
}

impl Drift {
    /// What each host's clock shows for a step of true time.
    #[must_use]
    pub const fn step_ms(self) -> [u64; 2] {
        match self {
            Drift::None => [STEP_MS, STEP_MS],
            Drift::MasterFast => [1_100, 900],
            Drift::SlaveFast => [900, 1_100],
            Drift::BeyondRho => [800, 1_200],
        }
    }
}

impl Bounds {
    /// All within ρ.
    pub const DRIFTS: [Drift; 3] = [Drift::None, Drift::MasterFast, Drift::SlaveFast];

    /// The configuration of a host: all timers as short as steps allow.
    #[must_use]
    pub fn policy(role: Role) -> Policy {
        Policy {
            role,
            digest: 1,
            proof_ack: true,
            proof_operator: false,
            proof_timeout: false,
            proof_lease: true,
            proof_fence: false,
            lease: Some(LEASE),
            fence_delay_ms: Millis(0),
            fence_limit_ms: Millis(STEP_MS),
            hold_failed_stop: false,
            rcmd: false,
            reverse_protection: true,
            suspect_after_ms: Millis(2 * STEP_MS),
            shutdown_timeout_ms: Millis(2 * STEP_MS),
            start_limit_ms: Millis(3 * STEP_MS),
            stop_limit_ms: Millis(3 * STEP_MS),
            boot_wait_ms: Millis(2 * STEP_MS),
            hold_down_ms: Millis(2 * STEP_MS),
        }
    }
}
