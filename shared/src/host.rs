//! What identifies this host: its name, its kernel start, this start of the daemon.

use std::path::Path;

use crate::decision::{BootId, Incarnation};

/// Why the host could not be identified.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The kernel's boot id could not be read.
    #[error("cannot read {path}: {source}")]
    BootId {
        /// The file.
        path: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The boot id is not a UUID.
    #[error("{path} does not hold a UUID: {text:?}")]
    BootIdForm {
        /// The file.
        path: &'static str,
        /// What it held.
        text: String,
    },
    /// The host name could not be read.
    #[error("cannot read the host name: {0}")]
    Name(#[source] nix::Error),
    /// No random numbers.
    #[error("the kernel gave no random numbers: {0}")]
    Random(#[source] getrandom::Error),
}

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The number of this kernel start (proc(5), random/boot_id).
///
/// # Errors
/// When the file cannot be read or is not a UUID.
pub fn boot_id() -> Result<BootId, HostError> {
    let text =
        std::fs::read_to_string(Path::new(BOOT_ID)).map_err(|source| HostError::BootId { path: BOOT_ID, source })?;
    let digits: String = text.trim().chars().filter(|letter| *letter != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32);
    number.map(BootId).ok_or(HostError::BootIdForm { path: BOOT_ID, text })
}

/// The host's name, as `hostname` prints it.
///
/// # Errors
/// When the kernel does not tell it.
pub fn name() -> Result<String, HostError> {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).map_err(HostError::Name)
}

/// Names the process for `ps` and `top`. Started through `/proc/self/exe` it would be called `exe`.
pub fn name_process(role: crate::decision::Role) {
    let name = match role {
        crate::decision::Role::Master => c"failover-master",
        crate::decision::Role::Slave => c"failover-slave",
    };
    if let Err(error) = nix::sys::prctl::set_name(name) {
        tracing::debug!(%error, "the process could not be named");
    }
}

/// A fresh random number for this start of the daemon.
///
/// # Errors
/// When the kernel gives no random numbers.
pub fn incarnation() -> Result<Incarnation, HostError> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_err(HostError::Random)?;
    Ok(Incarnation(u64::from_le_bytes(bytes)))
}
