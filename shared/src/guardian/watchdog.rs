//! The watchdog device: a timer that resets the host unless it is petted (the kernel's watchdog-api).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::decision::Millis;

/// `WDIOF_MAGICCLOSE`: a `V` before the close stops the timer.
const MAGIC_CLOSE: u32 = 0x0100;
/// What the kernel's software watchdog calls itself.
const SOFTDOG: &str = "Software Watchdog";

/// `struct watchdog_info` of linux/watchdog.h.
#[repr(C)]
struct Info {
    options: u32,
    firmware_version: u32,
    identity: [u8; 32],
}

mod ioctl {
    use super::Info;
    nix::ioctl_read!(get_support, b'W', 0, Info);
    nix::ioctl_readwrite!(set_timeout, b'W', 6, libc::c_int);
    nix::ioctl_read!(get_timeout, b'W', 7, libc::c_int);
}

/// Why there is no watchdog.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// The device cannot be opened; `EBUSY` if another program has it.
    #[error("the watchdog {} cannot be opened: {source}", path.display())]
    Open {
        /// The device.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not answer as a watchdog does.
    #[error("{} does not say {what}: {source}", path.display())]
    Ask {
        /// The device.
        path: PathBuf,
        /// What was asked.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Its time-out is counted in seconds, and less than one is asked for.
    #[error("a watchdog counts whole seconds, and {asked} is less than one")]
    TooShort {
        /// What was asked for.
        asked: Millis,
    },
    /// It took another time-out than the one that the lease counts on.
    #[error("the watchdog {} resets after {found_s} s at the soonest, and the lease counts on {asked_s} s", path.display())]
    TooLong {
        /// The device.
        path: PathBuf,
        /// What was asked for, in seconds.
        asked_s: i32,
        /// What it read back, in seconds.
        found_s: i32,
    },
    /// The one that an earlier lease had opened cannot be stopped, and it must be petted.
    #[error(
        "the watchdog {} cannot guard while {} is open, which goes on when it is closed: restart the host, or write the \
         one that is open",
        path.display(), open.display()
    )]
    AnotherIsOpen {
        /// What was asked for.
        path: PathBuf,
        /// What is open.
        open: PathBuf,
    },
    /// It is the software watchdog, and that was not accepted.
    #[error("{} is the kernel's software watchdog, which does not end a kernel that stands still", path.display())]
    Softdog {
        /// The device.
        path: PathBuf,
    },
}

/// An open watchdog: while this lives, the host is reset unless it is petted.
#[derive(Debug)]
pub struct Watchdog {
    file: File,
    path: PathBuf,
    /// The time-out that was asked for and is kept. None is, before the first and after one that it did not take.
    kept_s: Option<i32>,
    /// What it read back last.
    timeout_s: i32,
    /// Why closing it would not stop it.
    stays: Option<&'static str>,
}

impl Watchdog {
    /// Opens the device, which starts it, and sees that it resets the host within `timeout` of the last pet.
    ///
    /// # Errors
    /// See [`WatchdogError`]. What was opened is closed again, with the letter that stops it.
    pub fn open(path: &Path, timeout: Millis, accept_softdog: bool) -> Result<Watchdog, WatchdogError> {
        let asked_s = whole_seconds(timeout)?;
        // The kernel gives a watchdog to one program at a time.
        let file = OpenOptions::new().write(true).open(path);
        let file = file.map_err(|source| WatchdogError::Open { path: path.to_owned(), source })?;
        let mut watchdog = Watchdog { file, path: path.to_owned(), kept_s: None, timeout_s: asked_s, stays: None };
        match watchdog.set_up(asked_s, accept_softdog) {
            Ok(()) => Ok(watchdog),
            Err(error) => {
                // It began to count when it was opened, and nobody would pet it.
                let _ = watchdog.close();
                Err(error)
            }
        }
    }

    /// Sees that it is the device at `path`, and resets the host within `timeout` of the last pet: one that cannot be
    /// stopped stays open from lease to lease, and the next one may count on another device or a shorter time.
    ///
    /// # Errors
    /// See [`WatchdogError`]. It stays open.
    pub fn serve(&mut self, path: &Path, timeout: Millis) -> Result<(), WatchdogError> {
        if !self.is_at(path) {
            return Err(WatchdogError::AnotherIsOpen { path: path.to_owned(), open: self.path.clone() });
        }
        let asked_s = whole_seconds(timeout)?;
        if self.kept_s == Some(asked_s) { Ok(()) } else { self.take_timeout(asked_s) }
    }

    /// It was opened by this path.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        self.path == path
    }

    /// Its time-out now.
    #[must_use]
    pub fn timeout(&self) -> Millis {
        Millis(u64::try_from(self.timeout_s).unwrap_or(0).saturating_mul(1_000))
    }

    /// The host is reset one time-out from now, and no sooner.
    ///
    /// # Errors
    /// What the device says.
    pub fn pet(&mut self) -> io::Result<()> {
        // Any write but of a V pets, on every driver; WDIOC_KEEPALIVE is known by most.
        self.file.write_all(b".")
    }

    /// Why the device goes on after a close: then it must be petted for as long as the host is to run.
    #[must_use]
    pub fn stays(&self) -> Option<&'static str> {
        self.stays
    }

    /// Stops the device, if it can be stopped, and gives it free.
    ///
    /// # Errors
    /// What the device says to the letter; the host is then reset one time-out after the last pet.
    pub fn close(mut self) -> io::Result<()> {
        self.file.write_all(b"V")
    }

    fn set_up(&mut self, asked_s: i32, accept_softdog: bool) -> Result<(), WatchdogError> {
        let path = self.path.as_path();
        let info = support(&self.file).map_err(ask(path, "what it is (WDIOC_GETSUPPORT)"))?;
        let name = info.identity.split(|byte| *byte == 0).next().unwrap_or_default();
        if info.options & MAGIC_CLOSE == 0 {
            self.stays = Some("its driver does not know the magic close");
        } else if nowayout(path) {
            self.stays = Some("it was loaded with nowayout");
        }
        if name == SOFTDOG.as_bytes() && !accept_softdog {
            return Err(WatchdogError::Softdog { path: path.to_owned() });
        }
        self.take_timeout(asked_s)
    }

    fn take_timeout(&mut self, asked_s: i32) -> Result<(), WatchdogError> {
        self.kept_s = None;
        let path = self.path.as_path();
        set_timeout(&self.file, asked_s).map_err(ask(path, "that it takes a time-out (WDIOC_SETTIMEOUT)"))?;
        // A driver rounds to what its hardware can, and may answer with what it was asked: only this counts.
        let found_s = get_timeout(&self.file).map_err(ask(path, "its time-out (WDIOC_GETTIMEOUT)"))?;
        self.timeout_s = found_s;
        if !(1..=asked_s).contains(&found_s) {
            return Err(WatchdogError::TooLong { path: path.to_owned(), asked_s, found_s });
        }
        self.kept_s = Some(asked_s);
        Ok(())
    }
}

fn whole_seconds(timeout: Millis) -> Result<i32, WatchdogError> {
    match i32::try_from(timeout.0 / 1_000).unwrap_or(i32::MAX) {
        0 => Err(WatchdogError::TooShort { asked: timeout }),
        seconds => Ok(seconds),
    }
}

fn ask(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> WatchdogError {
    move |source| WatchdogError::Ask { path: path.to_owned(), what, source }
}

/// Whether the kernel keeps it running after a close: sysfs-class-watchdog. `/dev/watchdog` is `watchdog0`.
fn nowayout(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = if name == "watchdog" { "watchdog0" } else { name };
    let flag = fs::read_to_string(Path::new("/sys/class/watchdog").join(name).join("nowayout"));
    flag.is_ok_and(|flag| flag.trim() == "1")
}

fn support(file: &File) -> io::Result<Info> {
    let mut info = Info { options: 0, firmware_version: 0, identity: [0; 32] };
    // SAFETY: the kernel fills exactly one watchdog_info, which `info` is.
    #[allow(unsafe_code)] // A watchdog is asked by ioctl(2) only.
    unsafe { ioctl::get_support(file.as_raw_fd(), &raw mut info) }?;
    Ok(info)
}

fn set_timeout(file: &File, mut seconds: i32) -> io::Result<()> {
    // SAFETY: the kernel reads and writes one int, which `seconds` is.
    #[allow(unsafe_code)] // A watchdog is asked by ioctl(2) only.
    unsafe { ioctl::set_timeout(file.as_raw_fd(), &raw mut seconds) }?;
    Ok(())
}

fn get_timeout(file: &File) -> io::Result<i32> {
    let mut seconds = 0;
    // SAFETY: the kernel writes one int, which `seconds` is.
    #[allow(unsafe_code)] // A watchdog is asked by ioctl(2) only.
    unsafe { ioctl::get_timeout(file.as_raw_fd(), &raw mut seconds) }?;
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_watchdog_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watchdog");
        let open = |timeout| Watchdog::open(&path, Millis(timeout), true).unwrap_err();
        assert!(matches!(open(10_000), WatchdogError::Open { .. }));
        fs::write(&path, "").unwrap();
        assert!(matches!(open(10_000), WatchdogError::Ask { .. }));
        assert!(matches!(open(999), WatchdogError::TooShort { .. }));
    }
}
