//! What is remembered of the copies: a file of two slots beside the state, because it is nothing that the core needs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::moment::Moment;
use crate::process;
use crate::store::{Loaded, Store};
use crate::telemetry::chain;

/// How long the disk may take. Nothing waits for it that has to do with a move.
const DISK_LIMIT: Duration = Duration::from_secs(10);

/// Since when each copy's data is of the other host no more, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) current_at: BTreeMap<String, Moment>,
}

/// The open file. Lent to a thread for each write; one that hangs keeps it, and then nothing more is written.
pub(super) struct Memory {
    store: Option<Store>,
    /// Why the ages would not survive a restart now.
    pub(super) trouble: Option<String>,
}

impl Memory {
    pub(super) async fn open(path: PathBuf, host: String, pair: String) -> (Memory, Record) {
        let opened = process::aside(DISK_LIMIT, move || Store::open::<Record>(&path, &host, &pair)).await;
        let (store, trouble, record) = match opened {
            Some(Ok((store, Loaded::Valid(record)))) => (Some(store), None, record),
            Some(Ok((store, Loaded::Fresh))) => (Some(store), None, Record::default()),
            Some(Ok((store, Loaded::Torn { detail }))) => {
                let trouble = format!("what was known of the copies' ages is lost: {detail}");
                (Some(store), Some(trouble), Record::default())
            }
            Some(Ok((store, Loaded::OfAnotherHost { host, pair }))) => {
                let trouble = format!("the file of the copies' ages is of host {host} of pair {pair}, and not used");
                (Some(store), Some(trouble), Record::default())
            }
            Some(Err(error)) => (None, Some(chain(&error)), Record::default()),
            None => (None, Some("the disk does not answer".to_owned()), Record::default()),
        };
        (Memory { store, trouble }, record)
    }

    /// Waits for the disk, but not longer than its limit.
    pub(super) async fn write(&mut self, record: Record) {
        let Some(mut store) = self.store.take() else { return };
        let written = process::aside(DISK_LIMIT, move || {
            let result = store.write(&record);
            (store, result)
        });
        self.trouble = match written.await {
            Some((store, Ok(()))) => {
                self.store = Some(store);
                None
            }
            Some((store, Err(error))) => {
                self.store = Some(store);
                Some(format!("the copies' ages are not written, and a restart would not know them: {}", chain(&error)))
            }
            None => {
                Some("the copies' ages are not written any more since the disk hung: restart the daemon".to_owned())
            }
        };
    }
}
