//! Cutting a host off that cannot be asked: by its power, its hypervisor, or its export at the filer.
//!
//! Devices are tried in their order. A device counts only if its state, *read back* after it said done, is off: some
//! agents answer before the power is gone, some answer for the wrong outlet.
//!
//! Every call is a child in a process group of its own, with a limit and bounded output. To drop a future of this module
//! kills the call under way and is safe: the host is then off or not, and nobody was told that it is.

mod agent;
mod device;
mod error;
mod metadata;
mod options;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

pub use self::agent::check_agents;
use self::device::Device;
pub use self::error::{CallError, DeviceError, FenceError};
pub use self::metadata::AgentMetadata;
pub(crate) use self::options::check_options_file;
use crate::config::Config;
use crate::decision::Role;

/// Between two questions to a device that was told to switch.
const READ_BACK_EVERY: Duration = Duration::from_millis(500);

/// The configured devices, in their order.
#[derive(Debug)]
pub struct Fence {
    devices: Vec<Device>,
}

/// What a device says of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It can write.
    On,
    /// It is cut off.
    Off,
}

/// A host was cut off, and the device confirms it.
#[derive(Debug)]
pub struct Fenced {
    /// The device that did it: `fence[1] fence_ipmilan`.
    pub device: String,
    /// How the device put it when its state was read back; one line, bounded, without secrets.
    pub read_back: String,
    /// The devices before it, and why they did not.
    pub failed: Vec<DeviceError>,
}

/// A device and what it says of a host.
#[derive(Debug)]
pub struct DeviceStatus {
    /// `fence[1] fence_ipmilan`.
    pub device: String,
    /// On or off, or why that cannot be told.
    pub power: Result<Power, CallError>,
}

impl Fence {
    /// The devices of a configuration. Opens nothing.
    #[must_use]
    pub fn of(config: &Config) -> Fence {
        let devices = config.fence.iter().zip(1..).map(|(device, number)| Device::new(config, device, number));
        Fence { devices: devices.collect() }
    }

    /// None is configured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// The devices' names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.devices.iter().map(|device| device.name.as_str())
    }

    /// Cuts `target` off: the first device that says done and whose state reads off. Takes no longer than
    /// [`Config::fence_limit`].
    ///
    /// # Errors
    /// No device did, each with its reason; or none is configured.
    pub async fn off(&self, target: Role) -> Result<Fenced, FenceError> {
        let mut failed = Vec::new();
        for device in &self.devices {
            match switch(device, target, Power::Off).await {
                Ok(read_back) => return Ok(Fenced { device: device.name.clone(), read_back, failed }),
                Err(error) => failed.push(DeviceError { device: device.name.clone(), source: error }),
            }
        }
        Err(if failed.is_empty() { FenceError::NoDevice } else { FenceError::NotOff { target, failed } })
    }

    /// Lets `target` back: each device that has it off is told on, and read back. Gives the names of the devices that were
    /// told; none if all had it on. Only for a host that has booted anew since it was fenced: until then it may hold
    /// unwritten pages of the old service (fence_node(8)).
    ///
    /// # Errors
    /// A device still has it off, or cannot be asked. The others were told all the same.
    pub async fn on(&self, target: Role) -> Result<Vec<String>, FenceError> {
        let (mut told, mut failed) = (Vec::new(), Vec::new());
        for device in &self.devices {
            let name = || device.name.clone();
            match device.status(target, device.status_limit()).await {
                Ok((Power::On, _)) => {}
                Ok((Power::Off, _)) => match switch(device, target, Power::On).await {
                    Ok(_) => told.push(name()),
                    Err(source) => failed.push(DeviceError { device: name(), source }),
                },
                Err(source) => failed.push(DeviceError { device: name(), source }),
            }
        }
        match (self.devices.is_empty(), failed.is_empty()) {
            (true, _) => Err(FenceError::NoDevice),
            (false, true) => Ok(told),
            (false, false) => Err(FenceError::NotOn { target, failed }),
        }
    }

    /// What each device says of `target`. Switches nothing.
    pub async fn status(&self, target: Role) -> Vec<DeviceStatus> {
        let mut answers = Vec::new();
        for device in &self.devices {
            let power = device.status(target, device.status_limit()).await.map(|(power, _)| power);
            answers.push(DeviceStatus { device: device.name.clone(), power });
        }
        answers
    }
}

/// Tells a device, and asks it until it agrees or the time of a status call is over.
async fn switch(device: &Device, target: Role, wanted: Power) -> Result<String, CallError> {
    device.switch(target, wanted).await?;
    let limit = device.status_limit();
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now()).max(READ_BACK_EVERY.min(limit));
        let last = match device.status(target, left).await {
            Ok((power, words)) if power == wanted => return Ok(words),
            Ok((_, said)) => CallError::NotSo { wanted, said },
            Err(error) => error,
        };
        if timeout_at(until, sleep(READ_BACK_EVERY)).await.is_err() {
            return Err(last);
        }
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Power::On => "on",
            Power::Off => "off",
        })
    }
}
