//! Where a judge stands: a thread in the network of a host.

use std::fs::File;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use crate::lab::Host;

/// Runs `work` in a thread whose sockets are in the network of `host`. The rest of the program stays where it is: a
/// network namespace belongs to the thread.
///
/// # Errors
/// When the host is off.
pub fn stand_on<T: Send + 'static>(
    host: &Host,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<JoinHandle<Result<T>>> {
    let path = format!("/proc/{}/ns/net", host.first()?);
    let network = File::open(&path).with_context(|| path)?;
    Ok(std::thread::spawn(move || {
        setns(network, CloneFlags::CLONE_NEWNET).context("enter the host's network")?;
        work()
    }))
}

/// The result of a judge's thread.
///
/// # Errors
/// Its own, or that it panicked.
pub fn finish<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a judge's thread panicked"))?
}
