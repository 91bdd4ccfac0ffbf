//! A lab: two hosts, a balancer and a client, each in namespaces of its own, joined by a switch.
//!
//! ```text
//!            client .9        balancer .5
//!                |                |
//!   switch:  ====+================+======  service   10.77.0.0/24
//!              |                     |
//!           cfg1 .11              cfg2 .12
//!              |                     |
//!   switch:  ==+=====================+===  heartbeat 10.78.0.0/24
//! ```
//! Labs do not see each other nor the world, so tests run side by side with the same addresses and the real ports.
//! What a lab is not: the hosts share one kernel and its clocks, and the store is a local folder bound into each host, a
//! stand-in for a filer's export.

mod cable;
pub mod fault;
pub mod hanging_store;
mod host;
pub mod network;
mod process;
mod running;
pub mod service;
pub mod tree;
pub mod watchdog;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

pub use host::Host;
pub use network::Cable;
pub use process::Process;
pub use running::{Output, Running};

/// Two hosts with everything around them. All of it ends with this value.
pub struct Lab {
    /// The master.
    pub cfg1: Host,
    /// The slave.
    pub cfg2: Host,
    /// Where HAProxy runs.
    pub balancer: Host,
    /// Where the mail clients and the judges are.
    pub client: Host,
    /// Kept to the end: hosts hang on it.
    _switch: Host,
    ground: Arc<Ground>,
}

/// What all hosts of a lab stand on: its folder, and its control group. Dropped after the hosts.
pub(crate) struct Ground {
    folder: TempDir,
    cgroup: Option<PathBuf>,
}

impl Lab {
    /// Makes a lab, with all hosts booted and able to reach each other.
    ///
    /// Gives `None` when the test cannot run here, after saying so: see [`not_run`].
    ///
    /// # Errors
    /// When a namespace or a mount is refused although we are root.
    pub fn new(test: &str) -> Result<Option<Lab>> {
        if !nix::unistd::geteuid().is_root() {
            not_run(test, "needs root, to make network and mount namespaces")?;
            return Ok(None);
        }
        Lab::within(&std::env::temp_dir()).map(Some)
    }

    /// Makes a lab with its folder in this one, as root.
    ///
    /// # Errors
    /// When a namespace or a mount is refused.
    pub fn within(folder: &Path) -> Result<Lab> {
        let ground = Arc::new(Ground::new(folder)?);
        let switch = Host::new(&ground, "switch", 1, false)?;
        switch.boot_alone()?;
        for cable in [Cable::Service, Cable::Heartbeat] {
            switch.network(&["link", "add", cable.bridge(), "type", "bridge"])?;
            switch.network(&["link", "set", cable.bridge(), "up"])?;
        }
        let [cfg1, cfg2, balancer, client] = network::MACHINES.map(|(name, number, second)| {
            let mut host = Host::new(&ground, name, number, second)?;
            host.plug_into(&switch)?;
            host.boot()?;
            anyhow::Ok(host)
        });
        Ok(Lab { cfg1: cfg1?, cfg2: cfg2?, balancer: balancer?, client: client?, _switch: switch, ground })
    }

    /// The lab's own folder: hosts' disks, outputs, raw logs of the judges. Gone with the lab.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.ground.folder.path()
    }

    /// The folder that stands in for the filer's export: `/store` on every host.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.ground.store()
    }

    /// Both hosts of the pair.
    #[must_use]
    pub fn pair(&self) -> [&Host; 2] {
        [&self.cfg1, &self.cfg2]
    }
}

/// Says that a test was not run and why, so that it is never taken for passed: one line on standard error, and one in
/// the file that `FAILOVER_NOT_RUN` names, which `scripts/test.sh` counts and prints in its summary.
///
/// # Errors
/// When that file cannot be written.
pub fn not_run(test: &str, why: &str) -> Result<()> {
    // One write each, so that tests that run side by side do not mix their lines.
    let line = format!("not run: {test}: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("FAILOVER_NOT_RUN") {
        let mut file = std::fs::File::options().create(true).append(true).open(file)?;
        file.write_all(line.as_bytes())?;
    }
    Ok(())
}

impl Ground {
    fn new(place: &Path) -> Result<Ground> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let folder =
            tempfile::Builder::new().prefix("failover-lab-").tempdir_in(place).context("make the lab's folder")?;
        std::fs::create_dir(folder.path().join("store"))?;
        let name = format!("failover-lab-{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let cgroup = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .iter()
            .map(Path::new)
            .find(|top| top.join("cgroup.procs").exists() && top.join("cgroup.controllers").exists())
            .map(|top| top.join(name))
            .filter(|group| std::fs::create_dir(group).is_ok());
        Ok(Ground { folder, cgroup })
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // The hosts are gone by now, so their groups hold no process; what a host made inside goes first.
        if let Some(group) = &self.cgroup {
            remove_groups(group);
        }
    }
}

/// Removes a control group and those below it.
fn remove_groups(group: &Path) {
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(group);
}
