//! Processes of the host: found in `/proc`, told apart by their start time, signalled without hitting a stranger.
//!
//! A process number alone names nobody: the kernel gives it away again. [`ProcessId`] therefore carries the start time
//! too, and [`signal`] goes through a pidfd, which keeps meaning the process it was opened for.

mod aside;
mod socket;
mod table;

pub use aside::aside;
pub use socket::{Listener, listeners, owners_of_sockets};
pub use table::{
    Process, ProcessGroup, ProcessId, holders_of_path, in_group, list, look, named, protected, started_as,
    with_environment,
};

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::sys::signal::Signal;

/// Sends `which` to exactly this process. `Ok(false)`: it is gone, or its number belongs to another by now.
///
/// # Errors
/// What `pidfd_open(2)` or `pidfd_send_signal(2)` say: most often that this program is not allowed to.
pub fn signal(process: ProcessId, which: Signal) -> io::Result<bool> {
    let handle = match pidfd_open(process.pid) {
        Ok(handle) => handle,
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(false),
        Err(error) => return Err(error),
    };
    // Looked at after the handle exists: whoever has this start time now is whom the handle means.
    if look(process.pid)?.is_none_or(|found| found.id != process) {
        return Ok(false);
    }
    // SAFETY: the descriptor is open and ours; a null siginfo asks for the same as kill(2).
    #[allow(unsafe_code)] // Neither std nor nix wraps pidfd_send_signal(2).
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            handle.as_raw_fd(),
            which as libc::c_int,
            std::ptr::null::<libc::siginfo_t>(),
            0_u32,
        )
    };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESRCH) { Ok(false) } else { Err(error) }
}

/// Marks every open descriptor but the standard three close-on-exec, also those that this program was itself started
/// with: a script must not keep the daemon's sockets, locks or pipes open.
///
/// # Errors
/// What `close_range(2)` says: `ENOSYS` before Linux 5.9, `EINVAL` before 5.11.
pub fn keep_descriptors_from_children() -> io::Result<()> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed; only a flag is set on descriptors.
    #[allow(unsafe_code)] // Neither std nor nix wraps close_range(2).
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A descriptor of the process, close-on-exec, which becomes readable when it has ended. The number may belong to another
/// process by then: whoever minds compares its start time after this.
///
/// # Errors
/// What `pidfd_open(2)` says: `ESRCH` when there is no such process, `ENOSYS` before Linux 5.3.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain arguments; the result is checked before it is used.
    #[allow(unsafe_code)] // Neither std nor nix wraps pidfd_open(2).
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0_u32) };
    match i32::try_from(descriptor) {
        Ok(descriptor) if descriptor >= 0 => {
            // SAFETY: the kernel has just handed this descriptor to us alone.
            #[allow(unsafe_code)] // The only way to own a descriptor that a raw system call returned.
            let handle = unsafe { OwnedFd::from_raw_fd(descriptor) };
            Ok(handle)
        }
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests;
