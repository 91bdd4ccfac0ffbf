//! The acting half's middle: it owns the decision core and is the only place where the other modules meet.

mod arbitration;
mod balancing;
mod copies;
mod disk;
mod entries;
mod facts;
mod fences;
mod guarding;
mod incoming;
mod left;
mod operator;
mod perform;
mod policy;
mod readiness;
mod references;
mod reload;
mod report;
mod restarts;
mod safety;
mod service;
mod setup;
mod signals;
mod steps;
mod turn;
mod watch;
mod witness;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::balancer;
use crate::check;
use crate::config::{Loaded, Problems};
use crate::decision::{Event, Role};
use crate::guardian::Plan;
use crate::status::FenceSays;

pub use left::{JOURNAL_ENTRIES, Left, left_by_steps};
pub use setup::{DriverError, run};

/// What a daemon is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The role of this host.
    pub role: Role,
    /// The configuration file.
    pub config: PathBuf,
    /// Durable state and journal.
    pub state_dir: PathBuf,
    /// Sockets and pid files.
    pub run_dir: PathBuf,
    /// Script output.
    pub log_dir: PathBuf,
    /// The own host name, if it is not to be asked of the system.
    pub host: Option<String>,
}

/// What reaches the loop from tasks and threads.
pub(crate) enum Input {
    /// For the core as it is.
    Core(Event),
    /// A round of a check.
    Check(check::Report),
    /// A local restart of a resource ended.
    Restarted {
        /// The check that had found the resource failed.
        check: String,
        /// `Err`: why it failed.
        result: Result<(), String>,
    },
    /// The main process of this name died.
    ProcessDied(String),
    /// What is known of the copies.
    Copies(copies::Told),
    /// The balancer's reconciler.
    Balancer(balancer::Report),
    /// The fence devices were asked.
    Fences(Vec<(String, FenceSays)>),
    /// A script step began or ended.
    Step(steps::StepProgress),
    /// The peer's digests of single configuration keys.
    PeerKeys(BTreeMap<String, u64>),
    /// The configuration was read again.
    Reloaded(Box<Result<(Loaded, Plan), Problems>>),
}
