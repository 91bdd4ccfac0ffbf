//! The one thread that writes: durable state and journal, strictly in the order asked.
//!
//! It owns both files. A disk that hangs holds up this thread only; the loop goes on, sees the write's time run out and
//! can still stop the service.

use std::path::Path;
use std::sync::mpsc as std_mpsc;

use tokio::sync::{mpsc, oneshot};

use super::Input;
use super::left::AGAIN_AFTER;
use crate::decision::{Epoch, Event, OperationId, Record};
use crate::failpoint::failpoint;
use crate::journal::{Entry, Journal};
use crate::store::{Loaded, Store, StoreError};

/// How many writes may wait. A loop that has this many open is told that the next one failed.
const WAITING_MAX: usize = 1024;

/// How long the loop waits for a look at the state file after it stood still.
const RECHECK_LIMIT: std::time::Duration = std::time::Duration::from_secs(1);

/// The writing thread's handle.
#[derive(Clone, Debug)]
pub struct Disk {
    requests: std_mpsc::SyncSender<Request>,
}

enum Request {
    Persist { operation: OperationId, record: Box<Record> },
    Append { entry: Box<Entry>, durable: bool, done: Option<oneshot::Sender<bool>> },
    Recheck { reply: oneshot::Sender<Option<Epoch>> },
    Tail { after: u64, count: usize, reply: oneshot::Sender<Vec<Entry>> },
}

impl Disk {
    /// Starts the thread. Finished writes come back as inputs. `known`: what must always be found near the journal's end;
    /// it is written behind the first entry, and again and again.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        store: Store,
        journal: Journal,
        inputs: mpsc::Sender<Input>,
        known: impl Fn() -> Vec<Entry> + Send + 'static,
    ) -> std::io::Result<Disk> {
        let (requests, waiting) = std_mpsc::sync_channel(WAITING_MAX);
        let work = move || work(store, journal, &waiting, &inputs, &known);
        std::thread::Builder::new().name("disk".into()).spawn(work)?;
        Ok(Disk { requests })
    }

    /// Makes `record` durable; the report is `Event::Persisted`. False: the queue is full, nothing will come.
    #[must_use]
    pub fn persist(&self, operation: OperationId, record: Record) -> bool {
        self.requests.try_send(Request::Persist { operation, record: Box::new(record) }).is_ok()
    }

    /// Writes a journal entry, some time soon. A lost entry is not worth holding up a move.
    pub fn note(&self, entry: Entry) {
        let _ = self.requests.try_send(Request::Append { entry: Box::new(entry), durable: false, done: None });
    }

    /// Writes a journal entry and says when it is durable; false if it is not.
    pub async fn note_durably(&self, entry: Entry) -> bool {
        self.append(entry, true).await
    }

    /// Writes a journal entry and says when the kernel has it; false if it has not. It then outlives this process, but
    /// not the kernel.
    pub async fn note_written(&self, entry: Entry) -> bool {
        self.append(entry, false).await
    }

    async fn append(&self, entry: Entry, durable: bool) -> bool {
        let (done, written) = oneshot::channel();
        if self.requests.try_send(Request::Append { entry: Box::new(entry), durable, done: Some(done) }).is_err() {
            return false;
        }
        written.await.unwrap_or(false)
    }

    /// Whether somebody else (`stop-here`) wrote meanwhile that the service is stopped, and up to which epoch. A disk
    /// that does not answer within a second has nothing to say.
    pub async fn foreign_stop(&self) -> Option<Epoch> {
        let (reply, found) = oneshot::channel();
        self.requests.try_send(Request::Recheck { reply }).ok()?;
        tokio::time::timeout(RECHECK_LIMIT, found).await.ok()?.ok()?
    }

    /// The newest journal entries behind `after`, oldest first.
    pub async fn tail(&self, after: u64, count: usize) -> Vec<Entry> {
        let (reply, entries) = oneshot::channel();
        if self.requests.try_send(Request::Tail { after, count, reply }).is_err() {
            return Vec::new();
        }
        entries.await.unwrap_or_default()
    }
}

fn work(
    mut store: Store,
    mut journal: Journal,
    waiting: &std_mpsc::Receiver<Request>,
    inputs: &mpsc::Sender<Input>,
    known: &dyn Fn() -> Vec<Entry>,
) {
    let mut since_known = AGAIN_AFTER;
    while let Ok(request) = waiting.recv() {
        match request {
            Request::Persist { operation, record } => {
                let durable = match store.write(&record) {
                    Ok(()) => true,
                    Err(StoreError::ForeignWrite { .. }) => {
                        if let Some(epoch) = taken_over(&mut store)
                            && inputs.blocking_send(Input::Core(Event::ForeignStop { epoch })).is_err()
                        {
                            return;
                        }
                        false
                    }
                    Err(error) => {
                        tracing::error!(%error, "the state could not be made durable");
                        false
                    }
                };
                if inputs.blocking_send(Input::Core(Event::Persisted { operation, durable })).is_err() {
                    return;
                }
            }
            Request::Append { entry, durable, done } => {
                if durable {
                    failpoint("entry-before");
                }
                let written = journal.append(&entry, durable);
                if let Err(error) = &written {
                    tracing::warn!(%error, "a journal entry was lost");
                }
                if let Some(done) = done {
                    // Nobody waits any more: the step was given up.
                    let _ = done.send(written.is_ok());
                }
                since_known += 1;
                if since_known >= AGAIN_AFTER {
                    since_known = 0;
                    for entry in known() {
                        if let Err(error) = journal.append(&entry, false) {
                            tracing::warn!(%error, "a journal entry was lost");
                        }
                    }
                }
            }
            Request::Recheck { reply } => {
                let found = match store.changed_by_other() {
                    Ok(true) => taken_over(&mut store),
                    Ok(false) => None,
                    Err(error) => {
                        tracing::warn!(%error, "the state file cannot be looked at");
                        None
                    }
                };
                // The loop gave up waiting: the next write finds the same.
                let _ = reply.send(found);
            }
            Request::Tail { after, count, reply } => {
                let read = if after == 0 { journal.tail(count) } else { journal.since(after, count) };
                let entries = read.unwrap_or_else(|error| {
                    tracing::warn!(%error, "the journal cannot be read");
                    Vec::new()
                });
                let _ = reply.send(entries);
            }
        }
    }
}

/// Somebody else wrote the state: only `stop-here` does, and only to say that the service is stopped up to this epoch.
fn taken_over(store: &mut Store) -> Option<Epoch> {
    match store.reload::<Record>() {
        Ok(Loaded::Valid(record)) => return Some(record.highest),
        Ok(_) => tracing::error!("the state file was changed by somebody else and is not readable now"),
        Err(error) => tracing::error!(%error, "the state file was changed by somebody else and cannot be read"),
    }
    None
}

/// Where the state and the journal of a host live.
#[must_use]
pub fn files(state_dir: &Path, role: crate::decision::Role) -> (std::path::PathBuf, std::path::PathBuf) {
    (state_dir.join(format!("{role}.state")), state_dir.join(format!("{role}.journal")))
}

#[cfg(test)]
mod tests {
    use super::super::left::{JOURNAL_ENTRIES, left_by_steps, populated_entry};
    use super::*;
    use crate::decision::BootId;
    use crate::journal::{self, JournalSize};

    #[tokio::test]
    async fn what_a_stop_must_know_is_always_near_the_journals_end() {
        const BOOT: BootId = BootId(7);
        let folder = tempfile::tempdir().unwrap();
        let (state, path) = files(folder.path(), crate::decision::Role::Master);
        let (store, _) = Store::open::<Record>(&state, "cfg1", "mail").unwrap();
        let (journal, _) = Journal::open(&path, JournalSize::default()).unwrap();
        let known = || vec![populated_entry(Path::new("mail"), BOOT)];
        let disk = Disk::start(store, journal, mpsc::channel(1).0, known).unwrap();
        // The first one begins the disk's work; what is known comes behind it.
        assert!(disk.note_written(Entry::now("daemon", "it starts")).await);
        for number in 0..3 * JOURNAL_ENTRIES {
            assert!(disk.note_written(Entry::now("check", "of no interest here")).await);
            if number % 32 > 0 {
                continue;
            }
            let end = journal::tail(&path, JOURNAL_ENTRIES).unwrap();
            assert!(left_by_steps(&end, BOOT).populated.contains(Path::new("mail")), "behind {number} entries");
        }
    }
}
