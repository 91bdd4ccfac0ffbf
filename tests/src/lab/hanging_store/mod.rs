//! A filer that fails on command: a folder in memory, mounted by FUSE as often as there are hosts.
//!
//! Each mount has its own fault, so one host's store can hang while the other's answers. A request that waits leaves its
//! process where a dead NFS server would: in the kernel, deaf even to SIGKILL. Nothing is cached, as on a mount with
//! `noac,lookupcache=none`. What it is not: a network, a second kernel, a client with its own retransmissions.

mod disk;
mod export;
mod gate;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use fuser::{Config, MountOption, Session};
use nix::mount::{MntFlags, umount2};

use self::disk::Disk;
use self::export::Export;
use self::gate::Gate;

pub use gate::Fault;

/// The server.
#[derive(Debug, Default)]
pub struct Filer(Arc<Mutex<Disk>>);

/// One host's mount of it. Unmounted when dropped; who still waits for an answer then gets an input/output error.
#[derive(Debug)]
pub struct HangingStore {
    point: PathBuf,
    gate: Arc<Gate>,
    session: Option<JoinHandle<()>>,
}

impl Filer {
    /// An empty store.
    #[must_use]
    pub fn new() -> Filer {
        Filer::default()
    }

    /// Whether FUSE can be had here, and if not, why.
    ///
    /// # Errors
    /// Why not: for [`super::not_run`].
    pub fn possible() -> Result<(), &'static str> {
        if !nix::unistd::geteuid().is_root() {
            return Err("needs root, to mount a store of its own (FUSE)");
        }
        if !Path::new("/dev/fuse").exists() {
            return Err("needs /dev/fuse, for a store that hangs on command");
        }
        Ok(())
    }

    /// Mounts it on a folder of this process's mount namespace.
    ///
    /// # Errors
    /// When the mount is refused.
    pub fn mount(&self, point: &Path) -> Result<HangingStore> {
        let gate = Arc::new(Gate::default());
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("lease-store".to_owned()), MountOption::NoAtime];
        let export = Export::new(Arc::clone(&self.0), Arc::clone(&gate));
        let session =
            Session::new(export, point, &config).with_context(|| format!("mount the store on {}", point.display()))?;
        let session = std::thread::Builder::new().name("lease-store".to_owned()).spawn(move || {
            // The end of the session is the unmount, which is no error of anybody.
            let _ = session.run();
        })?;
        Ok(HangingStore { point: point.to_owned(), gate, session: Some(session) })
    }

    /// Whether the server holds this name: asked at the server, past every fault.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        lock(&self.0).number(OsStr::new(name)).is_ok()
    }

    /// All names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        lock(&self.0).names().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
    }
}

impl HangingStore {
    /// From now on every request meets this fault.
    pub fn fault(&self, fault: Fault) {
        self.gate.set(Some(fault));
    }

    /// Requests are answered again, those that wait first of all.
    pub fn heal(&self) {
        self.gate.set(None);
    }

    /// A request waits for its answer.
    #[must_use]
    pub fn holds_a_request(&self) -> bool {
        self.gate.holds_a_request()
    }
}

impl Drop for HangingStore {
    fn drop(&mut self) {
        self.gate.close();
        // By force: that ends the session even if a host has bound the mount elsewhere (fuse, "Aborting a filesystem
        // connection"). Then out of the tree, whoever still has files of it open.
        let _ = umount2(&self.point, MntFlags::MNT_FORCE);
        let _ = umount2(&self.point, MntFlags::MNT_DETACH);
        if let Some(session) = self.session.take() {
            let _ = session.join();
        }
    }
}

/// The data is whole even if a test that held it has failed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
