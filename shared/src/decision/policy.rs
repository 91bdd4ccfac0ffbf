//! What the operator configured, as far as decisions need it. Spans are milliseconds of the host's own clock.

use serde::{Deserialize, Serialize};

use super::arbiter::LeaseTimes;
use super::types::{Millis, Role};

/// The rules of one host. Both hosts of a pair hold the same, but for `role`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Policy {
    /// The own role.
    pub role: Role,
    /// Digest of the configuration; differs from the peer's: no automatic demand.
    pub digest: u64,
    /// A verified acknowledgement is a proof of stop.
    pub proof_ack: bool,
    /// A named person's word is a proof of stop.
    pub proof_operator: bool,
    /// Silence past the time-out is taken for a stop, though two hosts may then be active.
    pub proof_timeout: bool,
    /// The arbiter's lease, run out by arithmetic, is a proof of stop. Needs `lease`.
    pub proof_lease: bool,
    /// A fence device that said done, read back, is a proof of stop.
    pub proof_fence: bool,
    /// An arbiter is configured: every start needs its claim and keeps its lease.
    pub lease: Option<LeaseTimes>,
    /// How long this host leaves a silent peer alone before it fences it. Not the same on both hosts, so that they never
    /// shoot each other at once.
    pub fence_delay_ms: Millis,
    /// How long all fence devices together may take.
    pub fence_limit_ms: Millis,
    /// A stop that cannot be verified waits for a person instead of letting the lease run out.
    pub hold_failed_stop: bool,
    /// The second way to a silent host is configured.
    pub rcmd: bool,
    /// The slave's death while it is active makes the master take over.
    pub reverse_protection: bool,
    /// Silence on all paths after which the peer is suspected (δ).
    pub suspect_after_ms: Millis,
    /// How long a demand may go unacknowledged.
    pub shutdown_timeout_ms: Millis,
    /// How long a whole start may take, its check included.
    pub start_limit_ms: Millis,
    /// How long a whole stop may take, ladder and verification included.
    pub stop_limit_ms: Millis,
    /// How long a host that boots waits for its peer before it pages.
    pub boot_wait_ms: Millis,
    /// How long both must be well before an automatic move is allowed again without `ack`.
    pub hold_down_ms: Millis,
}

impl Policy {
    /// How long a host keeps to an acknowledgement it gave, whatever a person says there; and how long the other may
    /// start on it.
    #[must_use]
    pub const fn leave_ms(&self) -> Millis {
        self.shutdown_timeout_ms.after(Policy::WITNESS_LIMIT_MS)
    }

    /// Between two sendings of a demand that nobody answers.
    pub const DEMAND_RETRY_MS: Millis = Millis(1_000);
    /// How long the first phase of a commanded move may take; after that the demand is made all the same.
    pub const PREPARE_LIMIT_MS: Millis = Millis(5_000);
    /// How long a demand may go unanswered before the second way is tried beside it.
    pub const RCMD_AFTER_MS: Millis = Millis(2_000);
    /// After a refusal, how long the same host keeps from demanding by itself.
    pub const REFUSED_PAUSE_MS: Millis = Millis(10_000);
    /// Between two questions to the witnesses while the peer is silent.
    pub const WITNESS_EVERY_MS: Millis = Millis(1_000);
    /// How long the witnesses may take to answer; after that they have seen nothing.
    pub const WITNESS_LIMIT_MS: Millis = Millis(3_000);
    /// A host that has become active and whose checks have not passed since then has failed them after this.
    pub const FIRST_CHECK_MS: Millis = Millis(30_000);
    /// How long both hosts must be seen idle before one starts by itself.
    pub const SETTLE_MS: Millis = Millis(1_000);
    /// How long the host that goes first must say that it is not ready before the other one starts in its place. A host
    /// that has just come up says so too, until its first look at itself is over.
    pub const STAND_IN_MS: Millis = Millis(8_000);
    /// How long a durable write may take before it counts as failed.
    pub const PERSIST_LIMIT_MS: Millis = Millis(10_000);
    /// How long the guardian may take to confirm that it guards.
    pub const GUARD_LIMIT_MS: Millis = Millis(10_000);
    /// Between two tries of a fence that failed.
    pub const FENCE_RETRY_MS: Millis = Millis(30_000);
    /// How long a stopped host waits for the other to start before it says that nobody does.
    pub const STOPPED_WAIT_MS: Millis = Millis(60_000);
    /// The longest maintenance that may be ordered at once.
    pub const MAINTENANCE_MAX_MS: Millis = Millis(7 * 24 * 3_600_000);
    /// Between two reminders that a host is in maintenance.
    pub const NAG_EVERY_MS: Millis = Millis(30 * 60_000);
    /// A loop that was late by this much doubts its own view of time.
    pub const TILT_AT_MS: Millis = Millis(2_000);
    /// How long loops must be punctual before the doubt ends.
    pub const TILT_MS: Millis = Millis(30_000);
}
