//! The arbiter that grants the lease, and what stands behind a holder that does not let go by itself.

use std::path::PathBuf;

use serde::Serialize;

use super::model::Config;
use crate::decision::LeaseTimes;

/// Where the lease is kept, its spans, and its guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Arbiter {
    /// What keeps it.
    pub place: ArbiterPlace,
    /// Its spans. They hold 3R + I ≤ T, and the whole stop fits into the time of the scripts, if that is not zero.
    pub times: LeaseTimes,
    /// What ends a service whose daemon does not.
    pub guard: Guard,
    /// How the guardian resets a host whose service it could not end in time.
    pub reset: HostReset,
}

/// What keeps the lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ArbiterPlace {
    /// A folder on storage that both hosts have mounted all the time, under none of the managed mounts.
    SharedStorage {
        /// The folder.
        path: PathBuf,
    },
    /// etcd, version 3.4 or newer.
    Etcd(Etcd),
}

/// How etcd is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Etcd {
    /// `https://host:port`, one for each member; all https or all http.
    pub endpoints: Vec<String>,
    /// The keys are `PREFIX/PAIR/…`.
    pub prefix: String,
    /// etcd's user; never without `password_file`.
    pub user: Option<String>,
    /// The file with the user's password: mode 0600.
    pub password_file: Option<PathBuf>,
    /// The certificates that etcd's own must lead to. Always there with https.
    pub ca_file: Option<PathBuf>,
    /// The certificate that is shown to etcd; never without `client_key_file`.
    pub client_certificate_file: Option<PathBuf>,
    /// Its key: mode 0600.
    pub client_key_file: Option<PathBuf>,
}

/// What ends the service of a host that lost its lease, if its daemon does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Guard {
    /// The guardian, and a watchdog device behind it that resets the host.
    Watchdog {
        /// The device.
        device: PathBuf,
        /// Also the kernel's software watchdog, which a kernel that stands still does not obey.
        accept_softdog: bool,
    },
    /// The guardian alone. A host that stands still as a whole and goes on later can make two actives, which the file
    /// says in so many words.
    GuardianOnly,
}

/// How a host is reset by its guardian.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub enum HostReset {
    /// By the kernel, at once and without a sync (`b` to `/proc/sysrq-trigger`, admin-guide/sysrq).
    #[default]
    SysRq,
    /// By a program and its arguments, without a shell. It must not sync, nor wait for a disk.
    Command(Vec<String>),
}

impl Config {
    /// The spans of the lease; `None` without an arbiter.
    #[must_use]
    pub fn lease_times(&self) -> Option<LeaseTimes> {
        self.arbiter.as_ref().map(|arbiter| arbiter.times)
    }
}
