//! The file tree of a host: the machine's own programs, and the host's own `/etc/failover`, `/var`, `/run`, `/proc`.
//!
//! A fresh root on a tmpfs, so that mount points which the machine lacks can be made without touching the machine.
//! What has to outlive a power cut is bound from the host's `disk/` folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::pivot_root;

/// Top-level names that the host has of its own.
const OWN_AT_TOP: [&str; 10] = ["proc", "sys", "dev", "run", "tmp", "var", "etc", "mail", "store", "lost+found"];
/// Names in `/etc` that the host has of its own.
const OWN_IN_ETC: [&str; 6] = ["hosts", "hostname", "failover", "mtab", "dovecot", "haproxy"];
/// Folders in `/var/lib` that the host has of its own, on its disk.
const OWN_IN_VAR_LIB: [&str; 3] = ["failover", "dovecot", "haproxy"];

/// Makes the tree and moves into it. Needs a mount namespace of its own, and a PID namespace for `/proc`.
///
/// # Errors
/// When a mount is refused: the error names it.
pub fn build(name: &str, folder: &Path, store: &Path, cgroups: bool) -> Result<()> {
    // Nothing that is mounted here may show on the machine, and nothing of it must stay held from here.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("make the mounts private")?;
    let tree = Tree { root: folder.join("root"), disk: folder.join("disk") };
    fs::create_dir_all(&tree.root)?;
    fresh("tmpfs", &tree.root)?;
    tree.bind_machine()?;
    tree.own_etc(name)?;
    tree.own_var()?;
    tree.own_kernel_views(folder, cgroups)?;
    tree.bind(store, "store")?;
    // Where the start script mounts the store, as a shop does with its filer.
    fs::create_dir_all(tree.root.join("mail"))?;
    tree.enter()
}

struct Tree {
    root: PathBuf,
    disk: PathBuf,
}

impl Tree {
    /// Programs, libraries, homes and the temporary folder are the machine's.
    fn bind_machine(&self) -> Result<()> {
        for entry in fs::read_dir("/")? {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            if name.to_str().is_some_and(|name| OWN_AT_TOP.contains(&name) || name.starts_with('.')) {
                continue;
            }
            if kind.is_symlink() {
                symlink(fs::read_link(entry.path())?, self.root.join(&name))?;
            } else if kind.is_dir() {
                self.bind(&entry.path(), &name.to_string_lossy())?;
            }
        }
        self.bind(Path::new("/tmp"), "tmp")?;
        self.bind(Path::new("/dev"), "dev")?;
        fresh("tmpfs", &self.root.join("dev/shm"))?;
        self.bind(Path::new("/etc"), ".machine/etc")?;
        self.bind(Path::new("/var"), ".machine/var")
    }

    fn own_etc(&self, name: &str) -> Result<()> {
        self.link_others("etc", &OWN_IN_ETC)?;
        let etc = self.root.join("etc");
        fs::write(etc.join("hostname"), format!("{name}\n"))?;
        fs::write(etc.join("hosts"), super::network::hosts_file())?;
        self.bind(&self.on_disk("etc-failover")?, "etc/failover")
    }

    fn own_var(&self) -> Result<()> {
        self.link_others("var", &["lib", "log", "run", "lock"])?;
        symlink("/run", self.root.join("var/run"))?;
        self.link_others("var/lib", &OWN_IN_VAR_LIB)?;
        for name in OWN_IN_VAR_LIB {
            self.bind(&self.on_disk(&format!("lib-{name}"))?, &format!("var/lib/{name}"))?;
        }
        self.bind(&self.on_disk("log")?, "var/log")
    }

    /// `/run` is empty after each boot; `/proc`, `/sys` and the control groups show this host only.
    fn own_kernel_views(&self, folder: &Path, cgroups: bool) -> Result<()> {
        for (kind, place) in [("tmpfs", "run"), ("proc", "proc"), ("sysfs", "sys")] {
            let place = self.root.join(place);
            fs::create_dir_all(&place)?;
            fresh(kind, &place)?;
        }
        if cgroups {
            fresh("cgroup2", &self.root.join("sys/fs/cgroup"))?;
        }
        // A guardian's last means would reset the machine, not the host: its letter ends here.
        let trigger = self.root.join("proc/sysrq-trigger");
        // Kernels without sysrq have none.
        if trigger.exists() {
            bind(Path::new("/dev/null"), &trigger)?;
        }
        // All namespaces share the kernel's boot id; a host that boots anew must have another one.
        let boot_id = self.root.join("proc/sys/kernel/random/boot_id");
        bind(&folder.join("boot_id"), &boot_id)
    }

    /// Makes the folder `place` with links to all that the machine has there, but for `own`.
    fn link_others(&self, place: &str, own: &[&str]) -> Result<()> {
        let folder = self.root.join(place);
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(Path::new("/").join(place))? {
            let name = entry?.file_name();
            if !name.to_str().is_some_and(|name| own.contains(&name)) {
                symlink(Path::new("/.machine").join(place).join(&name), folder.join(&name))?;
            }
        }
        Ok(())
    }

    fn on_disk(&self, name: &str) -> Result<PathBuf> {
        let folder = self.disk.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn bind(&self, from: &Path, place: &str) -> Result<()> {
        let to = self.root.join(place);
        fs::create_dir_all(&to)?;
        bind(from, &to)
    }

    fn enter(&self) -> Result<()> {
        let old = self.root.join(".old");
        fs::create_dir(&old)?;
        pivot_root(&self.root, &old).context("change the root")?;
        std::env::set_current_dir("/")?;
        umount2("/.old", MntFlags::MNT_DETACH).context("let go of the machine's root")?;
        fs::remove_dir("/.old")?;
        Ok(())
    }
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .with_context(|| format!("bind {} to {}", from.display(), to.display()))
}

fn fresh(kind: &str, to: &Path) -> Result<()> {
    mount(Some(kind), to, Some(kind), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("mount {kind} at {}", to.display()))
}
