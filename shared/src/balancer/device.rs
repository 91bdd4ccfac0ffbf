//! What every device can be asked, and how its answer is told.

use std::fmt;
use std::future::Future;

use serde::{Deserialize, Serialize};

use super::BalancerError;
use crate::decision::{Epoch, Role};

/// Something that sends the clients to one host or the other.
pub trait Device {
    /// Brings one host into the wanted state. Asking twice does no harm. `epoch` is for devices that can carry it on.
    fn set(&self, host: Role, wanted: Wanted, epoch: Epoch) -> impl Future<Output = Result<(), BalancerError>> + Send;

    /// What the device itself says of both hosts now.
    fn observe(&self) -> impl Future<Output = Result<View, BalancerError>> + Send;
}

/// What a host shall get from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// Clients.
    Up,
    /// No new clients; those that are there may finish.
    Drain,
    /// No clients; those that are there are cut off where the device can.
    Down,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wanted::Up => "up",
            Wanted::Drain => "drain",
            Wanted::Down => "down",
        })
    }
}

/// How a host is switched on the device, whatever its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    /// It may get clients.
    Up,
    /// It keeps its clients and gets no new ones.
    Drain,
    /// It gets none.
    Down,
    /// The device did not say, or its backends disagree.
    Unknown,
}

impl Admin {
    /// Whether this is what was wanted.
    #[must_use]
    pub fn is(self, wanted: Wanted) -> bool {
        matches!((self, wanted), (Admin::Up, Wanted::Up) | (Admin::Drain, Wanted::Drain) | (Admin::Down, Wanted::Down))
    }
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Admin::Up => "up",
            Admin::Drain => "drain",
            Admin::Down => "down",
            Admin::Unknown => "unknown",
        })
    }
}

/// One host as the device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// How it is switched.
    pub admin: Admin,
    /// What the device's own health check says; `None` where it has none, or none that counts now.
    pub serving: Option<bool>,
    /// Sessions that it holds, where the device counts them.
    pub sessions: Option<u64>,
}

impl Seen {
    /// A host of which the device said nothing.
    pub const NOTHING: Seen = Seen { admin: Admin::Unknown, serving: None, sessions: None };
}

/// Both hosts as the device sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The master.
    pub master: Seen,
    /// The slave.
    pub slave: Seen,
}

impl View {
    /// The host with this role.
    #[must_use]
    pub fn host(&self, role: Role) -> &Seen {
        match role {
            Role::Master => &self.master,
            Role::Slave => &self.slave,
        }
    }
}
