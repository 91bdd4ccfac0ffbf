//! Pages the operator, by mail and by a command. Never in the way of a move: [`Pager::page`] only puts the page into a
//! bounded queue; a thread of the pager's own does the rest.
//!
//! The thread owns the spool and one lane for each way (each receiver of mail is one): a dead relay holds no command up,
//! and a refused receiver no other. Stopping it at any await is safe: what is not known to be delivered lies in the
//! spool and goes out after the next start, at worst twice, then with the same message id.

mod lane;
mod mail;
mod page;
mod queue;
mod spool;

pub use page::{Kind, Page};
pub use queue::Way;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::watch;

use crate::config::Notify;
use crate::secret::SecretError;
use lane::Lane;
use queue::Queue;
use spool::Spool;

/// Why the pager cannot be started.
#[derive(Debug, Error)]
pub enum NotifyError {
    /// No mail address.
    #[error("notify: {address:?} is no mail address")]
    Address {
        /// What stands in the configuration.
        address: String,
        /// What is wrong with it.
        #[source]
        source: lettre::address::AddressError,
    },
    /// No relay.
    #[error("notify: {relay:?} is no relay; write `host`, `host:port` or `[v6 address]:port`")]
    Relay {
        /// What stands in the configuration.
        relay: String,
    },
    /// The password would go out for everyone to read.
    #[error(
        "notify: a login needs TLS, or the password would be sent in clear text; set `tls: StartTls` or `tls: Implicit`"
    )]
    LoginWithoutTls,
    /// The password file.
    #[error("notify: the relays' password file cannot be used")]
    Password(#[source] SecretError),
    /// The spool folder.
    #[error("notify: the spool {} cannot be used", folder.display())]
    Spool {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The pager's thread.
    #[error("notify: the pager's thread cannot be started")]
    Thread(#[source] io::Error),
}

/// Where a pager lives.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The folder for pages that wait. Belongs to this pager alone.
    pub spool: &'a Path,
    /// The own host's name.
    pub host: &'a str,
    /// The pair's name.
    pub pair: &'a str,
    /// Where the command starts.
    pub folder: &'a Path,
}

/// How pages fare now.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Pages that wait.
    pub waiting: usize,
    /// When the oldest of them was raised.
    pub oldest: Option<Timestamp>,
    /// Pages that were merged into others since the start.
    pub merged: u64,
    /// Set while the spool cannot be written: pages still go out, but a crash would lose those that wait.
    pub spool_trouble: Option<String>,
    /// Each way's own state. Empty: nobody is paged.
    pub ways: BTreeMap<Way, WayStatus>,
}

/// How one way fares.
#[derive(Clone, Debug, Default)]
pub struct WayStatus {
    /// Pages that it delivered since the start.
    pub delivered: u64,
    /// When it last did.
    pub last_delivery: Option<Timestamp>,
    /// Why it does not deliver now, and since when. Tries go on.
    pub failing: Option<(String, Timestamp)>,
}

/// Pages the operator. Dropped, it tells its thread to end and does not wait for it; see [`Pager::stop`].
#[derive(Debug)]
pub struct Pager {
    shared: Arc<Shared>,
    ended: std::sync::mpsc::Receiver<()>,
}

/// How fast things go.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Repetitions within this time go out as one.
    quiet: Duration,
    /// The first pause after a failed delivery; it doubles.
    retry_min: Duration,
    /// The longest pause.
    retry_max: Duration,
}

const PACE: Pace =
    Pace { quiet: Duration::from_secs(60), retry_min: Duration::from_secs(1), retry_max: Duration::from_secs(300) };

/// What the pager's callers, its lanes and its spool share. The lock is held for moments only, never over I/O.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Counts changes, so that no lane misses one.
    signal: watch::Sender<Signal>,
    spool: Spool,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    ways: BTreeMap<Way, WayStatus>,
    spool_trouble: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Signal {
    changes: u64,
    stop: bool,
}

impl Pager {
    /// Starts the thread, unless nobody is to be paged, and takes up what an earlier one left in the spool.
    ///
    /// # Errors
    /// See [`NotifyError`]. Reads a password file and the spool: belongs to the start, not to a move.
    pub fn start(notify: &Notify, place: Place<'_>) -> Result<Pager, NotifyError> {
        Pager::start_at_pace(notify, place, PACE)
    }

    fn start_at_pace(notify: &Notify, place: Place<'_>, pace: Pace) -> Result<Pager, NotifyError> {
        let lanes = Lane::all(notify, place)?;
        let trouble = |source| NotifyError::Spool { folder: place.spool.to_owned(), source };
        let spool = Spool::open(place.spool).map_err(trouble)?;
        let ways: Vec<Way> = lanes.iter().map(|lane| lane.way().clone()).collect();
        let mut queue = Queue::new(ways.clone(), pace.quiet);
        if !ways.is_empty() {
            for entry in spool.load().map_err(trouble)? {
                queue.restore(entry, Instant::now());
            }
        }
        let ways = ways.into_iter().map(|way| (way, WayStatus::default())).collect();
        let state = Mutex::new(State { queue, ways, spool_trouble: None });
        let shared = Arc::new(Shared { state, signal: watch::Sender::default(), spool });
        let (sender, ended) = std::sync::mpsc::channel();
        if !lanes.is_empty() {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(NotifyError::Thread)?;
            let in_thread = Arc::clone(&shared);
            let work = move || {
                runtime.block_on(async {
                    let lanes = lanes.into_iter().map(|lane| lane.run(&in_thread, pace));
                    tokio::join!(in_thread.keep_saved(), futures_util::future::join_all(lanes));
                });
                in_thread.save();
                // A resolver that hangs in a helper thread must not hold the end up.
                runtime.shutdown_background();
                drop(sender);
            };
            std::thread::Builder::new().name("pager".to_owned()).spawn(work).map_err(NotifyError::Thread)?;
        }
        Ok(Pager { shared, ended })
    }

    /// Pages. Never blocks and never fails; when the queue is full, older pages are merged, and the page says so.
    pub fn page(&self, page: Page) {
        let mut state = self.shared.lock();
        if state.ways.is_empty() {
            return;
        }
        state.queue.add(page, Instant::now(), Timestamp::now());
        drop(state);
        self.shared.changed();
    }

    /// How pages fare now.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.shared.lock();
        Status {
            waiting: state.queue.len(),
            oldest: state.queue.oldest(),
            merged: state.queue.merged(),
            spool_trouble: state.spool_trouble.clone(),
            ways: state.ways.clone(),
        }
    }

    /// Ends the thread after it has saved what waits; waits for that no longer than `limit`. Returns whether it ended.
    #[must_use]
    pub fn stop(self, limit: Duration) -> bool {
        self.shared.signal.send_modify(|signal| signal.stop = true);
        // The thread sends nothing: it drops its end.
        !matches!(self.ended.recv_timeout(limit), Err(std::sync::mpsc::RecvTimeoutError::Timeout))
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        self.shared.signal.send_modify(|signal| signal.stop = true);
    }
}

impl Shared {
    /// A poisoned lock still holds a whole queue: no code that could panic runs between two halves of a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.signal.send_modify(|signal| signal.changes = signal.changes.wrapping_add(1));
    }

    /// Saves each change until told to stop, whatever the lanes are waiting for.
    async fn keep_saved(&self) {
        let mut signals = self.signal.subscribe();
        while !signals.borrow_and_update().stop {
            self.save();
            if signals.changed().await.is_err() {
                return;
            }
        }
    }

    /// Makes the spool equal to the queue. Called in the pager's thread only, so two never write at once.
    fn save(&self) {
        let (written, gone) = self.lock().queue.changes();
        let mut trouble = None;
        for entry in &written {
            if let Err(error) = self.spool.write(entry) {
                self.lock().queue.not_written(entry.id);
                trouble = Some(error.to_string());
            }
        }
        for id in gone {
            if let Err(error) = self.spool.remove(id) {
                trouble = Some(error.to_string());
            }
        }
        let mut state = self.lock();
        match (&state.spool_trouble, &trouble) {
            (None, Some(reason)) => tracing::warn!(%reason, "pages that wait cannot be saved; a crash would lose them"),
            (Some(_), None) if !written.is_empty() => tracing::info!("pages that wait are saved again"),
            _ => {}
        }
        if trouble.is_some() || !written.is_empty() {
            state.spool_trouble = trouble;
        }
    }
}

#[cfg(test)]
mod tests;
