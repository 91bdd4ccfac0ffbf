//! The devices that cut a silent host off, so that it cannot write any more.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::model::{Config, Step};
use crate::decision::Role;

/// One way to cut a host off, to ask whether it is, and to let it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum FenceDevice {
    /// A program of the `fence-agents` collection, or one that keeps to its calling convention.
    Agent(FenceAgent),
    /// Own commands. They get `FAILOVER_TARGET` (host name) and `FAILOVER_TARGET_ROLE`.
    Command {
        /// Exits 0 if the target is on, 2 if it is off (the convention of the agents).
        status: Step,
        /// Exits 0 when the target is off.
        off: Step,
        /// Exits 0 when the target is let back. `None`: a person does that.
        on: Option<Step>,
    },
}

/// A fence agent and what it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FenceAgent {
    /// Its name (`fence_ipmilan`), or a full path.
    pub agent: String,
    /// Options for both hosts. No secrets.
    pub options: BTreeMap<String, String>,
    /// A file with further options as lines `name=value`, for the secrets: mode 0600.
    pub options_file: Option<PathBuf>,
    /// Options that point at the master; they win over the ones for both.
    pub master: BTreeMap<String, String>,
    /// Options that point at the slave.
    pub slave: BTreeMap<String, String>,
    /// How long one call may take.
    pub timeout: Duration,
}

/// How long each host leaves a silent peer alone before it fences it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FenceDelay {
    /// For the master's shots. Default 0.
    pub master: Duration,
    /// For the slave's shots. Default 5 s: if only the link between the hosts is cut, they do not shoot at once.
    pub slave: Duration,
}

/// For what a call takes besides the device's own work: to start it, and to end it at its limit.
const CALL_SLACK: Duration = Duration::from_secs(1);

impl FenceDevice {
    /// How long it may take to switch a host off and to read that back.
    #[must_use]
    pub fn limit(&self) -> Duration {
        let (off, status) = match self {
            FenceDevice::Agent(agent) => (agent.timeout, agent.timeout),
            FenceDevice::Command { off, status, .. } => (off.timeout, status.timeout),
        };
        off.saturating_add(status).saturating_add(CALL_SLACK)
    }
}

impl Config {
    /// How long the host of `role` leaves a silent peer alone before it fences it.
    #[must_use]
    pub fn fence_delay(&self, role: Role) -> Duration {
        match role {
            Role::Master => self.fence_delay.master,
            Role::Slave => self.fence_delay.slave,
        }
    }

    /// How long all fence devices, one after the other, may take together.
    #[must_use]
    pub fn fence_limit(&self) -> Duration {
        self.fence.iter().fold(Duration::ZERO, |sum, device| sum.saturating_add(device.limit()))
    }
}
