//! One host of the lab: makes its namespaces, builds its file tree, and is its first process.
//!
//! Two processes. The *keeper* makes the namespaces and waits. The *first process* (PID 1 of the host) reaps what is left
//! to it and ends when its standard input ends, which is a pipe from the test: however the test ends, also by SIGKILL, the
//! kernel then kills every process of the host and takes its network and mounts away. Nothing is left to clean up.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use failover_tests::lab::tree;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::sethostname;

#[derive(Parser)]
#[command(about = "One host of the lab (started by the tests)")]
struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Makes the namespaces.
    Keeper(Place),
    /// Is the host's first process.
    First(Place),
}

#[derive(clap::Args, Clone)]
struct Place {
    /// The host's name.
    #[arg(long)]
    name: String,
    /// The host's own folder in the lab: `disk/` outlives a power cut.
    #[arg(long)]
    folder: PathBuf,
    /// The folder that all hosts share.
    #[arg(long)]
    store: PathBuf,
    /// The host's control group (v2), if the machine has them.
    #[arg(long)]
    cgroup: Option<PathBuf>,
    /// The host's clocks begin now (time_namespaces(7)).
    #[arg(long)]
    own_clock: bool,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().part {
        Part::Keeper(place) => keep(&place),
        Part::First(place) => be_first(&place),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The test reads this from the host's own log and puts it into its failure.
            let _ = writeln!(std::io::stderr(), "lab-host: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the namespaces, starts the first process in them, says its number, and waits for its end.
fn keep(place: &Place) -> Result<()> {
    // Entered before the control group namespace is made, so that the host sees this group as the root of all.
    if let Some(cgroup) = &place.cgroup {
        std::fs::write(cgroup.join("cgroup.procs"), "0").with_context(|| format!("enter {}", cgroup.display()))?;
    }
    let mut spaces = CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    if place.cgroup.is_some() {
        spaces |= CloneFlags::CLONE_NEWCGROUP;
    }
    if place.own_clock {
        spaces |= CloneFlags::from_bits_retain(nix::libc::CLONE_NEWTIME);
    }
    unshare(spaces).context("make the namespaces")?;
    if place.own_clock {
        begin_clocks()?;
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("first").arg("--name").arg(&place.name).arg("--folder").arg(&place.folder);
    command.arg("--store").arg(&place.store);
    if let Some(cgroup) = &place.cgroup {
        command.arg("--cgroup").arg(cgroup);
    }
    let mut first = command.spawn().context("start the first process")?;
    let mut out = std::io::stdout();
    writeln!(out, "first {}", first.id())?;
    out.flush()?;
    first.wait()?;
    Ok(())
}

/// For the first process, which is not there yet: nobody can be moved between clocks later.
fn begin_clocks() -> Result<()> {
    let since = |clock| anyhow::Ok(clock_gettime(clock)?.tv_sec());
    let (monotonic, boottime) = (since(ClockId::CLOCK_MONOTONIC)?, since(ClockId::CLOCK_BOOTTIME)?);
    let offsets = format!("monotonic -{monotonic} 0\nboottime -{boottime} 0\n");
    std::fs::write("/proc/self/timens_offsets", offsets).context("set the clocks")
}

/// Builds the file tree, says "ready", and reaps until standard input ends.
fn be_first(place: &Place) -> Result<()> {
    // The keeper's death must end the host too: it is what the test holds in its hand.
    set_pdeathsig(Signal::SIGKILL)?;
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    // Before the thread is made, so that it has the same mask and the signal waits for `wait` below.
    children.thread_block()?;
    tree::build(&place.name, &place.folder, &place.store, place.cgroup.is_some()).context("build the file tree")?;
    sethostname(&place.name)?;
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    out.flush()?;
    std::thread::spawn(|| {
        let mut nothing = [0_u8; 64];
        while matches!(std::io::stdin().read(&mut nothing), Ok(count) if count > 0) {}
        std::process::exit(0);
    });
    loop {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("reap"),
            }
        }
        children.wait()?;
    }
}
