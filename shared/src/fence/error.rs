//! Why a host was not cut off, or not let back.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::Power;
use crate::child::RunError;
use crate::decision::Role;
use crate::secret::SecretError;

/// No device did what was wanted.
#[derive(Debug, Error)]
pub enum FenceError {
    /// The key `fence` is empty.
    #[error("no fence device is configured")]
    NoDevice,
    /// Every device failed to cut the host off.
    #[error("the {target} is not fenced: {}", Each(failed))]
    NotOff {
        /// Which host.
        target: Role,
        /// Each device with its reason.
        failed: Vec<DeviceError>,
    },
    /// At least one device may still hold the host off.
    #[error("the {target} may still be fenced: {}", Each(failed))]
    NotOn {
        /// Which host.
        target: Role,
        /// Each device that failed, with its reason.
        failed: Vec<DeviceError>,
    },
}

/// One device's failure.
#[derive(Debug, Error)]
#[error("{device}: {source}")]
pub struct DeviceError {
    /// `fence[1] fence_ipmilan`.
    pub device: String,
    /// Why.
    pub source: CallError,
}

/// Why one call of a device was of no use. Holds no secrets.
#[derive(Debug, Error)]
pub enum CallError {
    /// It did not run to its end.
    #[error("`{action}`: {source}")]
    Run {
        /// `off`, `on`, `status`, `metadata`.
        action: &'static str,
        /// Why.
        source: RunError,
    },
    /// It ran, and says that it failed.
    #[error("`{action}` ended with {status}, saying {said:?}")]
    Failed {
        /// `off`, `on`, `status`, `metadata`.
        action: &'static str,
        /// Its exit.
        status: std::process::ExitStatus,
        /// The end of what it said; one line, bounded, without secrets.
        said: String,
    },
    /// It said done, and its state is another one: it lies, is slow, or is wired to another host.
    #[error("it said done, but its status is not {wanted} (it says {said:?})")]
    NotSo {
        /// What it was told.
        wanted: Power,
        /// How it put its state.
        said: String,
    },
    /// The device has no command for this.
    #[error("it has no `on`: a person lets the host back")]
    NoOn,
    /// Its secrets cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Its secrets are not what an agent reads.
    #[error("line {line} of {} is no option: write `name=value`, and no `action`", path.display())]
    Options {
        /// The file.
        path: PathBuf,
        /// Which line, from 1. It is not shown: it may hold the secret.
        line: usize,
    },
}

/// All of them in one line.
struct Each<'a>(&'a [DeviceError]);

impl fmt::Display for Each<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}
