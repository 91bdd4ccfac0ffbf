//! The small nouns that the whole program shares. Each is plain data: comparable, hashable, serialisable.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// A point on the host's own clock, or a span of it, in milliseconds. Never wall-clock time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// This point moved on by `span`; stays at the end of time instead of wrapping.
    #[must_use]
    pub const fn after(self, span: Millis) -> Millis {
        Millis(self.0.saturating_add(span.0))
    }

    /// How long ago `earlier` was, seen from here; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Millis) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// The longest that another host's clock can show while this host's shows this span, rounded up, if each clock's rate
    /// is off true time by at most ρ: times (1+ρ)/(1−ρ). ρ is in thousandths, and taken as 500 if it is more.
    #[must_use]
    pub const fn on_another_clock(self, drift_permille: u32) -> Millis {
        let drift = if drift_permille < 500 { drift_permille as u64 } else { 500 };
        Millis(self.0.saturating_mul(1_000 + drift).div_ceil(1_000 - drift))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms < 1_000 => write!(f, "{ms} ms"),
            ms if ms < 60_000 => write!(f, "{}.{} s", ms / 1_000, ms % 1_000 / 100),
            ms if ms < 3_600_000 => write!(f, "{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
            ms => write!(f, "{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
        }
    }
}

/// The role of a host, fixed by the configuration: preferred home, or hot stand-by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The service's preferred home.
    Master,
    /// The hot stand-by.
    Slave,
}

impl Role {
    /// The other host of the pair.
    #[must_use]
    pub const fn peer(self) -> Role {
        match self {
            Role::Master => Role::Slave,
            Role::Slave => Role::Master,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Master => "master",
            Role::Slave => "slave",
        })
    }
}

/// A number that grows with each change of duty; scripts, balancer and arbiter see it. Zero: the service never ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The smallest epoch above this one that `role` may mint without an arbiter: the master mints odd numbers, the
    /// slave even ones, so two hosts that cannot talk never mint the same.
    #[must_use]
    pub const fn next_for(self, role: Role) -> Epoch {
        let parity = match role {
            Role::Master => 1,
            Role::Slave => 0,
        };
        let next = self.0.saturating_add(1);
        if next % 2 == parity { Epoch(next) } else { Epoch(next.saturating_add(1)) }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One start of a host's kernel (`/proc/sys/kernel/random/boot_id`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub u128);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 96)
    }
}

/// One start of a daemon: a random number drawn by the acting half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

/// Names one demand for ever: which daemon start made it, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The daemon start that made the demand.
    pub incarnation: Incarnation,
    /// Its number in that start, from 1.
    pub number: u32,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.incarnation.0, self.number)
    }
}

/// Names one piece of slow work, so that a late result of an older one is known as stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub u64);

/// How a check failed. Each class has another likely cause, so each has its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Symptom {
    /// The port refused the connection: nothing listens there.
    Refused,
    /// The host did not answer at all: no route, or packets vanish.
    Unreachable,
    /// Connected, but no full answer came within the time.
    TimedOut,
    /// An answer came and was wrong: not the protocol, or not the known message.
    WrongAnswer,
    /// The server refused the checking user's password. More often the canary's account than the service.
    LoginRefused,
    /// The connection ended in the middle of the dialogue.
    Closed,
    /// The watched process is gone.
    ProcessGone,
    /// The check's own command failed.
    CommandFailed,
    /// The last answer is too old to count: a stuck host that still breathes.
    Stale,
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Symptom::Refused => "connection refused",
            Symptom::Unreachable => "host unreachable",
            Symptom::TimedOut => "no answer in time",
            Symptom::WrongAnswer => "wrong answer",
            Symptom::LoginRefused => "login refused",
            Symptom::Closed => "connection closed early",
            Symptom::ProcessGone => "process gone",
            Symptom::CommandFailed => "command failed",
            Symptom::Stale => "answer too old",
        })
    }
}

/// The answer of a health question, after N of M and restart grace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Not asked yet, or the asker could not ask.
    #[default]
    Unknown,
    /// Healthy.
    Passed,
    /// Failed, and how.
    Failed(Symptom),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Unknown => f.write_str("unknown"),
            Verdict::Passed => f.write_str("passed"),
            Verdict::Failed(symptom) => write!(f, "failed ({symptom})"),
        }
    }
}

/// By what a stop was verified. An acknowledgement names its means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StopMeans {
    /// Every configured post-condition was looked at and held.
    PostConditions,
    /// The host booted anew and found nothing running.
    Rebooted,
    /// Nothing was running when the demand came.
    NotRunning,
    /// An operator asserted it by name (`force-offline`).
    Operator,
}

/// A stop that needed the ladder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Forced {
    /// The step of the stop list that failed or ran out of time, counted from 1; zero when every step passed but a
    /// post-condition did not hold.
    pub step: u32,
    /// What went wrong with it, in words.
    pub reason: String,
}

/// How a stop of the own service ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StopOutcome {
    /// Verified: no writer is left.
    Stopped {
        /// By what that was verified.
        means: StopMeans,
        /// Set when the ladder had to run.
        forced: Option<Forced>,
    },
    /// At least one post-condition could not be verified. No proof of anything.
    NotVerified {
        /// Which, and what was found, in words.
        reason: String,
    },
}

/// How a start of the own service ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StartOutcome {
    /// Every step exited as its contract asks and the local checks passed.
    Started,
    /// A step failed. What had been started is still to be stopped.
    Failed {
        /// The step, counted from 1; zero when the steps passed but the local check did not.
        step: u32,
        /// What went wrong, in words.
        reason: String,
    },
}

/// What a look at the own host found, before anything is started.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Presence {
    /// Every post-condition of a stop holds: nothing of the service runs here.
    NothingRuns,
    /// Something of the service runs, in words.
    Runs(String),
    /// It could not be told, in words. Counts as running.
    CannotTell(String),
}
