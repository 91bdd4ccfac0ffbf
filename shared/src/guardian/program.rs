//! The program `failover-guardian`, and how a daemon's program turns into it.
//!
//! A program of its own, because it must stay small and must never wait for anything that a failing host has not: what a
//! daemon links (TLS, the runtime) made up most of its memory when both were one program.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::fcntl::{OFlag, open};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::stat::Mode;

use super::keeper::{self, EXIT_SYSTEM, Pace};
use super::log;
use crate::decision::Role;

const PROGRAM: &str = "failover-guardian";

/// Where daemon and guardian of one role meet.
pub(super) fn page_path(run_dir: &Path, role: Role) -> PathBuf {
    run_dir.join(format!("{role}.lease"))
}

/// Turns this process into the guardian of a daemon: this very program with the same arguments and `--no-guardian`. The
/// guardian's program lies beside this one. Returns only if that fails.
///
/// # Errors
/// The run folder cannot be made, or the guardian's program is not there.
pub fn start_under(role: Role, run_dir: &Path, log_json: bool) -> io::Result<Infallible> {
    std::fs::create_dir_all(run_dir)?;
    // Held by a descriptor, and handed on: the very program that runs now, even when an upgrade puts another in its place.
    let daemon = open("/proc/self/exe", OFlag::O_PATH, Mode::empty())?;
    let path = std::env::current_exe()?.with_file_name(PROGRAM);
    let mut guardian = Command::new(&path);
    guardian.arg(format!("failover-{role}")).arg(page_path(run_dir, role)).arg(if log_json { "json" } else { "text" });
    guardian
        .arg(format!("/proc/self/fd/{}", daemon.as_raw_fd()))
        .args(std::env::args_os().skip(1))
        .arg("--no-guardian");
    let error = guardian.exec();
    Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// What `failover-guardian` does. Its arguments are [`start_under`]'s, in that order: a name to be seen under, the page,
/// the form of the log, the daemon's program and its arguments. It is not for people.
#[must_use]
pub fn main() -> ExitCode {
    // Before there are threads, whose reserved memory would count as well. Only what is mapped now: a limit would make
    // later allocations fail otherwise (mlockall(2), MCL_FUTURE).
    let locked = mlockall(MlockAllFlags::MCL_CURRENT);
    let mut arguments = std::env::args_os().skip(1);
    let (Some(name), Some(page), Some(form), Some(program)) =
        (arguments.next(), arguments.next(), arguments.next(), arguments.next())
    else {
        log::start(false);
        tracing::error!("the guardian is started by failover-master and failover-slave, not by hand");
        return ExitCode::from(EXIT_SYSTEM);
    };
    log::start(form == "json");
    if let Err(error) = locked {
        tracing::warn!(%error, "the guardian's memory may be swapped out, and have to come from a disk that hangs");
    }
    if let Ok(name) = CString::new(name.as_bytes())
        && let Err(error) = prctl::set_name(&name)
    {
        tracing::debug!(%error, "the process could not be named");
    }
    let rest: Vec<OsString> = arguments.collect();
    let daemon = move || {
        let mut daemon = Command::new(&program);
        daemon.args(&rest);
        daemon
    };
    keeper::run(Path::new(&page), daemon, Pace::default())
}
