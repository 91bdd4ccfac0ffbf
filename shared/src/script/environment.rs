//! What every step is told. Nothing else of the daemon's environment reaches it.

use std::collections::BTreeMap;

use crate::decision::{Epoch, Role};

/// FailSafe's four operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The slave starts.
    Takeover,
    /// The master starts.
    Takeback,
    /// The master stops.
    Giveaway,
    /// The slave stops.
    Giveback,
}

impl Operation {
    /// The operation of a start or stop on the host with `role`.
    #[must_use]
    pub const fn of(role: Role, start: bool) -> Operation {
        match (role, start) {
            (Role::Slave, true) => Operation::Takeover,
            (Role::Master, true) => Operation::Takeback,
            (Role::Master, false) => Operation::Giveaway,
            (Role::Slave, false) => Operation::Giveback,
        }
    }

    /// FailSafe's word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Operation::Takeover => "takeover",
            Operation::Takeback => "takeback",
            Operation::Giveaway => "giveaway",
            Operation::Giveback => "giveback",
        }
    }
}

/// The environment of the steps.
#[derive(Clone, Debug)]
pub struct Environment {
    /// `FAILOVER_EPOCH`: the fencing token.
    pub epoch: Epoch,
    /// `FAILOVER_ROLE`: `master` or `slave`.
    pub role: Role,
    /// `FAILOVER_OPERATION`.
    pub operation: Operation,
    /// `FAILOVER_PEER`: the other host's name.
    pub peer: String,
    /// `FAILOVER_REASON`: one line.
    pub reason: String,
}

impl Environment {
    /// The name that marks the processes of one step, so that a restarted daemon can end what an interrupted one left.
    #[must_use]
    pub fn marker(&self, index: u32) -> String {
        format!("{}-{}-{index}", self.operation.word(), self.epoch)
    }

    pub(super) fn variables(&self, index: u32) -> BTreeMap<&'static str, String> {
        let reason: String = self.reason.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        BTreeMap::from([
            ("FAILOVER_EPOCH", self.epoch.to_string()),
            ("FAILOVER_ROLE", self.role.to_string()),
            ("FAILOVER_OPERATION", self.operation.word().to_string()),
            ("FAILOVER_PEER", self.peer.clone()),
            ("FAILOVER_REASON", reason),
            ("FAILOVER_STEP", self.marker(index)),
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_string()),
            ("LANG", "C.UTF-8".to_string()),
            ("HOME", "/".to_string()),
        ])
    }
}
