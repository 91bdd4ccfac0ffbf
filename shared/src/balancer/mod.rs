//! What moves the clients: the load balancer in front of the pair, told host by host and read back.
//!
//! A device is never believed for having said yes: what counts is what it shows when it is asked again. An Alteon
//! forgets its operational state at a reset and HAProxy forgets its own at a reload, so [`Reconciler`] keeps looking.
//!
//! The devices that were at hand: HAProxy 2.6 is tested against the real one. **Nothing here was tested against a real
//! Alteon**; its driver talks to a double that speaks recorded prompts.

mod alteon;
mod command;
mod device;
mod error;
mod haproxy;
mod reconcile;

pub use alteon::Alteon;
#[cfg(any(test, feature = "doubles"))]
pub use alteon::double::AlteonDouble;
pub use command::CommandPair;
pub use device::{Admin, Device, Seen, View, Wanted};
pub use error::BalancerError;
pub use haproxy::HaProxy;
pub use reconcile::{Reconciler, Report, Wish};

use std::time::Duration;

use crate::config::{self, Config};
use crate::decision::{Epoch, Role};
use crate::secret::Secret;

/// The configured device. Every call ends within the pair's `balancer_timeout`.
///
/// A call that is dropped half way leaves the device in an unknown state, never a broken one: both calls can be
/// repeated, and the next look shows what was reached.
#[derive(Debug)]
pub struct Driver {
    kind: Kind,
    limit: Duration,
}

/// The kinds that the program knows. A virtual IP and a passive endpoint belong here too, once they exist.
#[derive(Debug)]
enum Kind {
    HaProxy(HaProxy),
    Alteon(Alteon),
    Command(CommandPair),
}

impl Driver {
    /// The driver that `balancer` asks for; `None` when there is nothing to drive. Reads the Alteon's password file, so
    /// it belongs to loading the configuration, not to a move.
    ///
    /// # Errors
    /// [`BalancerError::Settings`] for a name that the device could not be given safely,
    /// [`BalancerError::Password`] when the password file cannot be read or is open to others.
    pub fn from_config(balancer: &config::Balancer, pair: &Config) -> Result<Option<Driver>, BalancerError> {
        let kind = match balancer {
            config::Balancer::None => return Ok(None),
            config::Balancer::HaProxy { socket, backends, master, slave } => {
                Kind::HaProxy(HaProxy::new(socket, backends, master, slave)?)
            }
            config::Balancer::Alteon { address, user, password_file, master, slave, drop_sessions } => {
                let password = Secret::read(password_file).map_err(BalancerError::Password)?;
                let numbers = alteon::RealServers { master: *master, slave: *slave };
                Kind::Alteon(Alteon::new(address, user.as_deref(), password, numbers, *drop_sessions)?)
            }
            config::Balancer::Command { set, observe } => Kind::Command(CommandPair::new(
                set,
                observe,
                &pair.master.name,
                &pair.slave.name,
                &pair.service.directory,
            )),
        };
        Ok(Some(Driver { kind, limit: pair.timing.balancer_timeout }))
    }
}

impl Device for Driver {
    async fn set(&self, host: Role, wanted: Wanted, epoch: Epoch) -> Result<(), BalancerError> {
        let call = async {
            match &self.kind {
                Kind::HaProxy(device) => device.set(host, wanted, epoch).await,
                Kind::Alteon(device) => device.set(host, wanted, epoch).await,
                Kind::Command(device) => device.set(host, wanted, epoch).await,
            }
        };
        tokio::time::timeout(self.limit, call).await.map_err(|_| BalancerError::TimedOut { after: self.limit })?
    }

    async fn observe(&self) -> Result<View, BalancerError> {
        let call = async {
            match &self.kind {
                Kind::HaProxy(device) => device.observe().await,
                Kind::Alteon(device) => device.observe().await,
                Kind::Command(device) => device.observe().await,
            }
        };
        tokio::time::timeout(self.limit, call).await.map_err(|_| BalancerError::TimedOut { after: self.limit })?
    }
}
