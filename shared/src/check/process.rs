//! Watches a service's main process and tells its death within a millisecond.
//!
//! Of all processes with a name the oldest is watched, by a pidfd (pidfd_open(2)): that is the master of a service that
//! forks. Its children come and go (Dovecot's login processes do all day) and say nothing. When it is dead, or none is there
//! yet, `/proc` is searched again once a second until one with the name exists.

mod table;

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use self::table::{Candidate, Table};
use crate::process::pidfd_open;

/// Between two searches for a process that is not there. Not sooner after a death either: whatever is left of the service then
/// is on its way out and would only be seen dying once more.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// What the kernel keeps of a process's name (TASK_COMM_LEN less the end mark).
const NAME_BYTES_MAX: usize = 15;

/// The processes cannot be watched.
#[derive(Debug, Error)]
pub enum WatchError {
    /// `/proc` cannot be read.
    #[error("/proc cannot be read: {0}")]
    Proc(#[source] io::Error),
    /// The kernel gives no pidfd. It has them since Linux 5.3.
    #[error("the process {pid} ({name}) cannot be watched: {source}")]
    Open {
        /// The process.
        pid: u32,
        /// Its name.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// A watched process died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Its name, as configured.
    pub name: String,
    /// Its number.
    pub pid: u32,
}

/// The watch. It owns a pidfd for each process that it watches; dropping it ends the watch and touches no process.
#[derive(Debug)]
pub struct ProcessWatch {
    watched: Vec<Watched>,
    table: Table,
    search: Interval,
}

#[derive(Debug)]
struct Watched {
    name: String,
    /// The oldest living process of that name, if there is one.
    main: Option<(u32, AsyncFd<OwnedFd>)>,
}

impl ProcessWatch {
    /// Watches the oldest process of each name. A name is compared as the kernel keeps it: its first 15 bytes.
    ///
    /// Must be called inside the runtime.
    ///
    /// # Errors
    /// [`WatchError`]: `/proc` cannot be read, or the kernel is too old.
    pub fn new(names: &[String]) -> Result<ProcessWatch, WatchError> {
        let watched = names.iter().map(|name| Watched { name: name.clone(), main: None }).collect();
        let mut search = interval_at(Instant::now() + SEARCH_EVERY, SEARCH_EVERY);
        search.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = ProcessWatch { watched, table: Table::default(), search };
        watch.search_missing()?;
        Ok(watch)
    }

    /// The numbers of the processes that are watched now, by name.
    #[must_use]
    pub fn watched(&self) -> Vec<(&str, Option<u32>)> {
        self.watched.iter().map(|one| (one.name.as_str(), one.main.as_ref().map(|(pid, _)| *pid))).collect()
    }

    /// The next death. Waits for ever while none dies. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`WatchError`] when a process that came up cannot be watched; the search for it goes on at the next call.
    pub async fn died(&mut self) -> Result<Death, WatchError> {
        poll_fn(|context| self.poll_died(context)).await
    }

    fn poll_died(&mut self, context: &mut Context<'_>) -> Poll<Result<Death, WatchError>> {
        loop {
            let is_over = |watched: &Watched, context: &mut Context<'_>| match &watched.main {
                Some((_, descriptor)) => descriptor.poll_read_ready(context).is_ready(),
                None => false,
            };
            for watched in &mut self.watched {
                if is_over(watched, context)
                    && let Some((pid, _)) = watched.main.take()
                {
                    self.search.reset();
                    return Poll::Ready(Ok(Death { name: watched.name.clone(), pid }));
                }
            }
            if self.watched.iter().all(|watched| watched.main.is_some()) {
                return Poll::Pending;
            }
            if self.search.poll_tick(context).is_pending() {
                return Poll::Pending;
            }
            // What is found now is polled in the next turn, so that its death wakes us.
            if let Err(error) = self.search_missing() {
                return Poll::Ready(Err(error));
            }
        }
    }

    /// Looks for the names that have no process yet.
    fn search_missing(&mut self) -> Result<(), WatchError> {
        let missing = || self.watched.iter().filter(|watched| watched.main.is_none());
        if missing().next().is_none() {
            return Ok(());
        }
        let wanted: Vec<&[u8]> = missing().map(|watched| as_kept(&watched.name)).collect();
        let found = self.table.search(&wanted).map_err(WatchError::Proc)?;
        for watched in self.watched.iter_mut().filter(|watched| watched.main.is_none()) {
            let named = found.iter().filter(|candidate| candidate.name == as_kept(&watched.name));
            if let Some(oldest) = named.min_by_key(|candidate| (candidate.started, candidate.pid)) {
                let open_error = |source| WatchError::Open { pid: oldest.pid, name: watched.name.clone(), source };
                watched.main = open(oldest).map_err(open_error)?.map(|descriptor| (oldest.pid, descriptor));
            }
        }
        Ok(())
    }
}

fn as_kept(name: &str) -> &[u8] {
    let name = name.as_bytes();
    name.get(..NAME_BYTES_MAX).unwrap_or(name)
}

/// A descriptor that becomes readable when the process ends. `None`: it ended before it could be opened.
fn open(candidate: &Candidate) -> io::Result<Option<AsyncFd<OwnedFd>>> {
    let number = i32::try_from(candidate.pid).map_err(io::Error::other)?;
    let descriptor = match pidfd_open(number) {
        Ok(descriptor) => descriptor,
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The number may have passed to another process since the search; a descriptor never does.
    if Candidate::read(candidate.pid).as_ref() != Some(candidate) {
        return Ok(None);
    }
    register(descriptor).map(Some)
}

#[allow(unsafe_code)] // tokio offers no other way: it cannot know that a type's descriptor stays open and the same.
fn register(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd gives the same open descriptor for as long as it lives, and the AsyncFd owns it.
    unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.map_err(io::Error::from)
}

#[cfg(test)]
mod tests;
