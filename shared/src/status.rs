//! What a daemon says of itself when asked. Every value carries its age; nothing old is shown as fact.

mod safety;
mod severity;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decision::{Duty, Epoch, Role, StateName, Verdict};

pub use safety::{
    ArbiterStatus, Failing, FenceSays, FenceStatus, FencedStatus, GuardianStatus, OwnLease, PeerLease, SlotSays,
};
pub use severity::Severity;

/// One host's view of the pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// The pair's name.
    pub pair: String,
    /// The own host name.
    pub host: String,
    /// The own role.
    pub role: Role,
    /// When this was said, in UTC.
    pub utc: String,
    /// The machine's state.
    pub state: StateName,
    /// How long it has been there.
    pub state_age_ms: u64,
    /// The way out of it.
    pub way_out: String,
    /// The state in the word of the beats.
    pub duty: Duty,
    /// The highest epoch known.
    pub epoch: Epoch,
    /// The highest epoch owned by this host.
    pub owned: Epoch,
    /// Which proofs of stop are allowed, in words.
    pub proofs: Vec<String>,
    /// What they guarantee together, and on what that rests, in words.
    #[serde(default)]
    pub guarantee: String,
    /// The risks that the configuration accepts.
    #[serde(default)]
    pub risks: Vec<String>,
    /// What withholds a take-over now.
    pub withheld: Option<String>,
    /// An automatic move waits to be acknowledged.
    pub locked: Option<Locked>,
    /// The host was told to leave the service alone.
    #[serde(default)]
    pub maintenance: Option<MaintenanceStatus>,
    /// Decisions are frozen.
    pub frozen: bool,
    /// No reference point answers this host.
    pub isolated: bool,
    /// The own loop was late; for how much longer silence is not trusted.
    pub tilt_for_ms: Option<u64>,
    /// The own service, by the own checks.
    pub service: Verdict,
    /// The peer.
    pub peer: PeerStatus,
    /// Each check.
    pub checks: Vec<CheckStatus>,
    /// Why a start would fail now; empty: it would work, as far as is known.
    pub not_ready: Vec<String>,
    /// How old that look is; `None`: not looked yet.
    pub readiness_age_ms: Option<u64>,
    /// What the stand-by copies.
    #[serde(default)]
    pub copies: Vec<CopyStatus>,
    /// The arbiter and the lease in it; `None`: none is configured.
    #[serde(default)]
    pub arbiter: Option<ArbiterStatus>,
    /// The guardian.
    #[serde(default)]
    pub guardian: GuardianStatus,
    /// What each fence device says of the other host.
    #[serde(default)]
    pub fence: Vec<FenceStatus>,
    /// The other host was fenced, and has not booted anew since, as far as is known.
    #[serde(default)]
    pub fenced: Option<FencedStatus>,
    /// By how much this host's two clocks have come apart since the daemon started.
    #[serde(default)]
    pub clocks_differ_ms: u64,
    /// They come apart faster than the lease's arithmetic allows each (`drift_permille`).
    #[serde(default)]
    pub clocks_beyond_drift: bool,
    /// The balancer.
    pub balancer: BalancerStatus,
    /// The configuration.
    pub config: ConfigStatus,
    /// Timers that run, with the time left.
    pub timers: BTreeMap<String, u64>,
    /// The script step that runs now.
    pub step: Option<StepStatus>,
    /// The last reason noted.
    pub last_reason: Option<String>,
    /// Pages that are not delivered yet.
    pub pages_waiting: u64,
    /// Trouble with the own state, journal or privileges, in words.
    pub troubles: Vec<String>,
    /// Refused or malformed input, by kind.
    pub counters: BTreeMap<String, u64>,
}

/// An automatic move that is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// Its epoch.
    pub epoch: Epoch,
    /// When it ends by itself; `None`: not while a host is unwell.
    pub ends_in_ms: Option<u64>,
}

/// A host is in maintenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceStatus {
    /// Who ordered it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when, in UTC.
    pub began_utc: String,
    /// It ends by itself after this.
    pub left_ms: u64,
}

/// What is known of the other host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its name.
    pub host: String,
    /// Its role.
    pub role: Role,
    /// How long ago it was heard; `None`: never since this daemon started.
    pub heard_age_ms: Option<u64>,
    /// Silent longer than `suspect_after`.
    pub silent: bool,
    /// What it said last.
    pub duty: Option<Duty>,
    /// The highest epoch it said.
    pub epoch: Option<Epoch>,
    /// Its service by its own checks, as it said last.
    pub service: Option<Verdict>,
    /// It could start, as it said last.
    pub ready: Option<bool>,
    /// It is in maintenance, as it said last.
    #[serde(default)]
    pub maintenance: Option<bool>,
    /// Each heartbeat path.
    pub paths: Vec<PathStatus>,
    /// The control channel to it is open.
    pub channel_open: bool,
}

/// One heartbeat path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStatus {
    /// Both ends.
    pub name: String,
    /// How long ago the peer was heard on it.
    pub heard_age_ms: Option<u64>,
}

/// One check from one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStatus {
    /// Its name.
    pub name: String,
    /// From where: `local`, `direct`, `through the balancer`.
    pub vantage: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The last round in words.
    pub last: String,
    /// How old that round is.
    pub age_ms: Option<u64>,
    /// How old it may be and still count: `3 × every + timeout`. `None`: said by a version that did not tell.
    #[serde(default)]
    pub stale_after_ms: Option<u64>,
    /// Failures among the rounds looked back on, and how many make a failure.
    pub failures: String,
}

/// A copy of the other host's data, as it is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyStatus {
    /// Its name.
    pub name: String,
    /// This host ran the service last: the data here are what others copy.
    pub is_original: bool,
    /// When the data here was current, in UTC; `None`: it was never copied.
    pub current_at: Option<String>,
    /// How long ago that was, which is what a take-over now loses at most; `None`: not known.
    pub age_ms: Option<u64>,
    /// What is older is old.
    pub max_age_ms: u64,
    /// The most that a take-over loses while every copy succeeds.
    pub worst_loss_ms: u64,
    /// It is, or its age is not known.
    pub is_old: bool,
    /// What an old copy means for a take-over: `Allowed`, `Blocked`, `Asks`.
    pub when_old: String,
    /// The last try in words; `None`: not tried since this daemon started.
    pub last: Option<String>,
    /// That failed.
    pub failed: bool,
    /// It is just being made.
    pub runs: bool,
}

/// The balancer as last read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancerStatus {
    /// Which driver.
    pub kind: String,
    /// What this host wants of it; `None`: it leaves it to the other.
    pub wanted: Option<String>,
    /// What it says.
    pub view: Option<String>,
    /// How old that is.
    pub age_ms: Option<u64>,
    /// It does not do what it was told: why, and for how long.
    pub diverged: Option<String>,
}

/// The configuration in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// Its digest.
    pub digest: String,
    /// Equal to the peer's; `None`: the peer has not been heard.
    pub equal: Option<bool>,
    /// The keys that differ, where they are known.
    pub differing: Vec<String>,
    /// A newer file was refused: why.
    pub refused: Option<String>,
    /// Digests of the single keys, for the peer.
    pub key_digests: BTreeMap<String, u64>,
}

/// A script step that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// `start` or `stop`.
    pub list: String,
    /// From 1.
    pub index: u32,
    /// Of so many.
    pub of: u32,
    /// Its command line.
    pub command: String,
    /// For how long.
    pub age_ms: u64,
}
