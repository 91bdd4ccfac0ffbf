//! A stand-in for a watchdog device: a FUSE file that answers the device's ioctls, and whose expiry is a call of ours.
//!
//! What it is not: hardware. It lives on the same kernel as what it watches, so it cannot show that a kernel which stands
//! still is reset. CUSE, which would give a real device node, is not available to the lab.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    IoctlFlags, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen,
    ReplyWrite, Request, SessionACL, WriteFlags,
};

/// The file's name below the mount point.
const NAME: &str = "watchdog";
const FILE: INodeNo = INodeNo(2);
/// Nothing is remembered by the kernel.
const TTL: Duration = Duration::ZERO;

// linux/watchdog.h.
const WDIOC_GETSUPPORT: u32 = 0x8028_5700;
const WDIOC_KEEPALIVE: u32 = 0x8004_5705;
const WDIOC_SETTIMEOUT: u32 = 0xc004_5706;
const WDIOC_GETTIMEOUT: u32 = 0x8004_5707;
const WDIOF_SETTIMEOUT: u32 = 0x0080;
const WDIOF_MAGICCLOSE: u32 = 0x0100;
const WDIOF_KEEPALIVEPING: u32 = 0x8000;

/// How the device behaves.
#[derive(Clone, Debug)]
pub struct WatchdogKind {
    /// What it calls itself.
    pub identity: String,
    /// Whether a `V` before the close stops it.
    pub magic_close: bool,
    /// The shortest time-out that it can do; a shorter one that is asked for becomes this one.
    pub timeout_min_s: i32,
}

impl Default for WatchdogKind {
    fn default() -> WatchdogKind {
        WatchdogKind { identity: "Lab Watchdog".to_owned(), magic_close: true, timeout_min_s: 1 }
    }
}

/// What can be seen of the device from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchdogView {
    /// A program has it open.
    pub open: bool,
    /// It counts.
    pub armed: bool,
    /// How often it was opened, petted, and stopped by the magic close.
    pub opens: u32,
    /// Pets.
    pub pets: u32,
    /// Stops.
    pub stops: u32,
    /// Its time-out.
    pub timeout_s: i32,
    /// It has run out: the host is reset.
    pub expired: bool,
}

/// The device. It is taken away with this value, and resets nothing after that.
pub struct LabWatchdog {
    path: PathBuf,
    device: Arc<Device>,
    session: Option<BackgroundSession>,
    timer: Option<std::thread::JoinHandle<()>>,
}

struct Device {
    kind: WatchdogKind,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    view: WatchdogView,
    /// The last letter written was a `V`.
    may_stop: bool,
    due: Option<Instant>,
    removed: bool,
}

impl LabWatchdog {
    /// Puts the device into an empty folder. Needs root. `on_expiry` is called once, from a thread of the device's own.
    ///
    /// # Errors
    /// When the file system cannot be mounted.
    pub fn start(folder: &Path, kind: WatchdogKind, on_expiry: impl FnOnce() + Send + 'static) -> Result<LabWatchdog> {
        let state = State { view: WatchdogView { timeout_s: 60, ..WatchdogView::default() }, ..State::default() };
        let device = Arc::new(Device { kind, state: Mutex::new(state), changed: Condvar::new() });
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("lab-watchdog".to_owned())];
        // Hosts of the lab are other mount and process namespaces.
        config.acl = SessionACL::All;
        let session = fuser::spawn_mount(Files(Arc::clone(&device)), folder, &config)
            .with_context(|| format!("mount a watchdog at {}", folder.display()))?;
        let timed = Arc::clone(&device);
        let timer = std::thread::spawn(move || timed.run_out(on_expiry));
        Ok(LabWatchdog { path: folder.join(NAME), device, session: Some(session), timer: Some(timer) })
    }

    /// The device's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is at now.
    #[must_use]
    pub fn view(&self) -> WatchdogView {
        self.device.state().view
    }
}

impl Drop for LabWatchdog {
    fn drop(&mut self) {
        self.device.state().removed = true;
        self.device.changed.notify_all();
        if let Some(timer) = self.timer.take() {
            let _ = timer.join();
        }
        // Ends the session with the mount.
        drop(self.session.take());
    }
}

impl Device {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the time-out to run out. Ends with it, or with the device.
    fn run_out(&self, on_expiry: impl FnOnce()) {
        let mut state = self.state();
        while !state.removed {
            let left = state.due.map(|due| due.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                state.view.expired = true;
                drop(state);
                return on_expiry();
            }
            let wait = left.unwrap_or(Duration::from_secs(3_600));
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn count_anew(&self, state: &mut State) {
        let timeout = Duration::from_secs(u64::from(state.view.timeout_s.unsigned_abs()));
        state.due = Some(Instant::now() + timeout);
        state.view.armed = true;
        self.changed.notify_all();
    }

    fn open(&self) -> bool {
        let mut state = self.state();
        if state.view.open {
            return false;
        }
        state.view.open = true;
        state.view.opens += 1;
        state.may_stop = false;
        self.count_anew(&mut state);
        true
    }

    fn write(&self, data: &[u8]) {
        let mut state = self.state();
        state.may_stop = self.kind.magic_close && data.contains(&b'V');
        if !state.may_stop {
            state.view.pets += 1;
        }
        self.count_anew(&mut state);
    }

    fn release(&self) {
        let mut state = self.state();
        state.view.open = false;
        if state.may_stop {
            state.view.stops += 1;
            state.view.armed = false;
            state.due = None;
        }
        self.changed.notify_all();
    }

    fn ioctl(&self, command: u32, data: &[u8]) -> Option<Vec<u8>> {
        let mut state = self.state();
        match command {
            WDIOC_GETSUPPORT => {
                let magic = if self.kind.magic_close { WDIOF_MAGICCLOSE } else { 0 };
                let mut info = (WDIOF_SETTIMEOUT | WDIOF_KEEPALIVEPING | magic).to_ne_bytes().to_vec();
                info.extend_from_slice(&1_u32.to_ne_bytes());
                info.extend(self.kind.identity.bytes().chain(std::iter::repeat(0)).take(32));
                Some(info)
            }
            WDIOC_KEEPALIVE => {
                state.view.pets += 1;
                self.count_anew(&mut state);
                Some(vec![0; 4])
            }
            WDIOC_SETTIMEOUT => {
                let asked = i32::from_ne_bytes(data.get(..4)?.try_into().ok()?);
                state.view.timeout_s = asked.max(self.kind.timeout_min_s);
                self.count_anew(&mut state);
                // As some drivers do: the answer is what was asked. Only reading it back tells the truth.
                Some(asked.to_ne_bytes().to_vec())
            }
            WDIOC_GETTIMEOUT => Some(state.view.timeout_s.to_ne_bytes().to_vec()),
            _ => None,
        }
    }
}

/// The file system: a folder with one file.
struct Files(Arc<Device>);

fn attributes(ino: INodeNo) -> FileAttr {
    let folder = ino == INodeNo::ROOT;
    FileAttr {
        ino,
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: if folder { FileType::Directory } else { FileType::RegularFile },
        perm: if folder { 0o755 } else { 0o600 },
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 512,
        flags: 0,
    }
}

impl Filesystem for Files {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent == INodeNo::ROOT && name == NAME {
            reply.entry(&TTL, &attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &attributes(ino));
    }

    fn open(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if self.0.open() {
            // Every write reaches the device, at once and as it is.
            reply.opened(FileHandle(1), FopenFlags::FOPEN_DIRECT_IO);
        } else {
            reply.error(Errno::EBUSY);
        }
    }

    fn write(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.0.write(data);
        reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX));
    }

    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _flags: IoctlFlags,
        command: u32,
        data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        match self.0.ioctl(command, data) {
            Some(answer) => reply.ioctl(0, &answer),
            None => reply.error(Errno::ENOTTY),
        }
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.0.release();
        reply.ok();
    }
}
