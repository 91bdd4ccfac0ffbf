//! What the beating thread asks of the kernel so that beats leave on time on a busy host. All of it is optional.

use std::io;

use nix::sys::mman::{MlockAllFlags, mlockall};

/// Above every ordinary process; below the kernel's own threads, which start at 50.
const REALTIME_PRIORITY: libc::c_int = 10;

/// Stack of the calling thread that is kept in memory, if not all of the daemon can be.
const STACK_BYTES: usize = 16 * 1024;

/// Asks for real-time priority for the calling thread and for locked memory; tells in words what was granted.
pub(super) fn ask() -> String {
    let priority = match realtime() {
        Ok(()) => format!("real-time priority {REALTIME_PRIORITY}"),
        Err(error) => format!("ordinary priority ({error}; LimitRTPRIO={REALTIME_PRIORITY} in the unit allows more)"),
    };
    let memory = match lock_all().or_else(|_| lock_stack()) {
        Ok(locked) => locked.to_owned(),
        Err(error) => {
            format!("memory may be swapped out ({error}; LimitMEMLOCK=infinity in the unit allows to lock it)")
        }
    };
    format!("{priority}; {memory}")
}

/// `SCHED_RESET_ON_FORK`, because children (the service's scripts!) of a real-time thread would inherit its priority.
#[allow(unsafe_code)]
fn realtime() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: REALTIME_PRIORITY };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: `parameters` outlives the call; 0 names the calling thread; nothing else is touched.
    let outcome = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Locks what is mapped now, page by page as it is touched. Not what will be mapped: under a limit (`RLIMIT_MEMLOCK`,
/// 8 MiB by default) that would make later allocations fail.
fn lock_all() -> io::Result<&'static str> {
    give_back_freed();
    let on_fault = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    mlockall(MlockAllFlags::MCL_CURRENT | on_fault)?;
    Ok("memory locked")
}

/// Gives back what starting up has freed: what is locked stays, used or not.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
fn give_back_freed() {
    // SAFETY: malloc_trim(3) takes a number, may be called from any thread, and gives back only what nobody holds.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn give_back_freed() {}

/// Locks the part of the calling thread's stack that the loop uses.
#[allow(unsafe_code)]
fn lock_stack() -> io::Result<&'static str> {
    let here = [0_u8; STACK_BYTES];
    // SAFETY: the range is the array above, which is mapped; locking pages changes no byte of them.
    let outcome = unsafe { libc::mlock(std::hint::black_box(here.as_ptr()).cast(), here.len()) };
    if outcome == 0 {
        Ok("the beating thread's stack locked, the rest may be swapped out")
    } else {
        Err(io::Error::last_os_error())
    }
}
