//! What is plugged into a host for one boot: its watchdog and its mount of the lease's store. Both are mounted in the
//! host's own tree, so nobody else sees them, and they are gone with the host.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, anyhow};
use failover_shared::arbiter::shared_storage;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};

use super::configuration::{LEASE, WATCHDOG};
use crate::lab::Host;
use crate::lab::hanging_store::{Filer, HangingStore};
use crate::lab::watchdog::{LabWatchdog, WatchdogKind};

/// The devices of one boot of a host. To be dropped when the host's processes are gone.
pub(super) struct Devices {
    space: File,
    reset: Arc<AtomicBool>,
    plugged: Option<(LabWatchdog, HangingStore)>,
    /// How many empty folders lie over the lease's store.
    covers: Cell<u32>,
}

impl Devices {
    /// Plugs them into a host that has just booted. When the watchdog runs out, every process of the host is killed.
    pub(super) fn plug(host: &Host, filer: &Filer) -> Result<Devices> {
        let first = host.first()?;
        let space = File::open(format!("/proc/{first}/ns/mnt")).context("the host's mounts")?;
        let reset = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&reset);
        let expire = move || {
            // The kernel then kills every other process of the host.
            let _ = kill(first, Signal::SIGKILL);
            flag.store(true, Ordering::SeqCst);
        };
        let plugged = inside(&space, || {
            fs::create_dir_all(WATCHDOG)?;
            fs::create_dir_all(LEASE)?;
            let watchdog = LabWatchdog::start(Path::new(WATCHDOG), WatchdogKind::default(), expire)?;
            let lease = filer.mount(Path::new(LEASE))?;
            Ok((watchdog, lease))
        })?;
        Ok(Devices { space, reset, plugged: Some(plugged), covers: Cell::new(0) })
    }

    /// The watchdog has killed the host.
    pub(super) fn has_reset(&self) -> bool {
        self.reset.load(Ordering::SeqCst)
    }

    /// The host's mount of the lease's store.
    pub(super) fn lease(&self) -> Result<&HangingStore> {
        self.plugged.as_ref().map(|(_, lease)| lease).context("the devices are unplugged")
    }

    /// Makes the files of the lease's store, as the operator does once.
    pub(super) fn initialise_lease(&self) -> Result<()> {
        inside(&self.space, || shared_storage::initialise(LEASE.as_ref(), "lab").context("make the lease's store"))?;
        Ok(())
    }

    /// Puts an empty folder over the lease's store, as when its mount is lost.
    pub(super) fn cover_lease(&self) -> Result<()> {
        inside(&self.space, || Ok(mount(Some("none"), LEASE, Some("tmpfs"), MsFlags::empty(), Some("size=1m"))?))?;
        self.covers.set(self.covers.get() + 1);
        Ok(())
    }

    /// Takes away all that lies over it. The store itself is not asked what it is: it may hang.
    pub(super) fn uncover_lease(&self) -> Result<()> {
        while self.covers.get() > 0 {
            inside(&self.space, || Ok(umount2(LEASE, MntFlags::MNT_DETACH)?))?;
            self.covers.set(self.covers.get() - 1);
        }
        Ok(())
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        let plugged = self.plugged.take();
        // They are unmounted by path, which means something in the host's tree only.
        let _ = inside(&self.space, move || {
            drop(plugged);
            Ok(())
        });
    }
}

/// A disk of a few MiB for a host's state, in memory. It outlives the host's boots, and can be filled.
pub(super) struct StateDisk(PathBuf);

impl StateDisk {
    /// Mounts it in place of the host's folder. The host sees it from its next boot on.
    pub(super) fn mount(host: &Host) -> Result<StateDisk> {
        let folder = host.on_disk("/var/lib/failover");
        fs::create_dir_all(&folder)?;
        mount(Some("state"), &folder, Some("tmpfs"), MsFlags::empty(), Some("size=32m"))
            .with_context(|| format!("mount a small disk on {}", folder.display()))?;
        Ok(StateDisk(folder))
    }

    /// Not one byte more fits.
    pub(super) fn fill(&self) -> Result<()> {
        use std::io::Write as _;
        let mut filler = File::options().create(true).append(true).open(self.0.join("filler"))?;
        for size in [1 << 20, 4096, 1] {
            let piece = vec![0_u8; size];
            // 32 MiB at most; the disk's end is the wanted error.
            while filler.write_all(&piece).is_ok() {}
        }
        Ok(())
    }

    /// Room again.
    pub(super) fn clear(&self) {
        let _ = fs::remove_file(self.0.join("filler"));
    }
}

impl Drop for StateDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// Gives this thread, and all that it starts, a mount table of its own: what is mounted for the chaos ends with it, however
/// that ends.
pub(super) fn own_mounts() -> Result<()> {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).context("a mount table of our own")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("make the mounts private")
}

/// Runs `work` in a thread that sees the mounts of this space.
fn inside<T: Send>(space: &File, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // A thread that shares its root with others cannot change it (setns(2)).
            unshare(CloneFlags::CLONE_FS)?;
            setns(space, CloneFlags::CLONE_NEWNS).context("enter the host's mounts")?;
            work()
        });
        thread.join().map_err(|_| anyhow!("a thread in a host's tree panicked"))?
    })
}
