//! The disk under a host's state file, with the two steps of a durable write: written, where the next program that opens
//! the file reads it, and synced, where a power cut leaves it.

use std::collections::VecDeque;

use failover_shared::decision::{OperationId, Record};

use super::random::Random;

/// One host's disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// What a power cut leaves.
    durable: Option<Record>,
    /// What a program reads.
    visible: Option<Record>,
    /// Asked for and not done, in order.
    pub writes: VecDeque<(OperationId, Record)>,
    /// Grows with each loss of waiting writes, so that the end of a lost one is known as stale.
    pub generation: u64,
    /// Writing fails.
    pub refuses: bool,
    /// Writing works, the sync fails.
    pub sync_fails: bool,
    /// A sync has failed: this start of the daemon writes nothing more.
    pub gave_up: bool,
    /// What was asked for last could not be written: the state on the disk is older than what the daemon did.
    pub is_behind: bool,
    /// The state will be found torn after the next crash.
    pub tears: bool,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// On the disk.
    Durable,
    /// Nothing was written.
    Refused,
    /// Written, and perhaps not on the disk.
    SyncFailed,
}

impl Disk {
    /// What a power cut would leave now.
    #[must_use]
    pub fn durable(&self) -> Option<&Record> {
        self.durable.as_ref()
    }

    /// What whoever opens the file now reads.
    #[must_use]
    pub fn visible(&self) -> Option<&Record> {
        self.visible.as_ref()
    }

    /// What a daemon that starts reads. Opening the file syncs it: what is acted on must be there after a power cut.
    pub fn open(&mut self) -> Option<Record> {
        self.durable.clone_from(&self.visible);
        self.durable.clone()
    }

    /// The write that was asked for first ends.
    pub fn write_ends(&mut self) -> Option<(OperationId, Written)> {
        let (operation, record) = self.writes.pop_front()?;
        self.is_behind = self.refuses || self.gave_up || self.sync_fails;
        if self.refuses || self.gave_up {
            return Some((operation, Written::Refused));
        }
        self.visible = Some(record);
        if self.sync_fails {
            self.gave_up = true;
            return Some((operation, Written::SyncFailed));
        }
        self.durable.clone_from(&self.visible);
        Some((operation, Written::Durable))
    }

    /// `stop-here` writes over whatever the daemon was about to write. False: it could not.
    pub fn overwrite(&mut self, record: Record) -> bool {
        if self.refuses || self.sync_fails {
            return false;
        }
        self.visible = Some(record);
        self.durable.clone_from(&self.visible);
        self.writes.clear();
        self.generation += 1;
        true
    }

    /// The daemon ends. A write under way may have been written, and not synced. True: it was.
    pub fn daemon_dies(&mut self, random: &mut Random) -> bool {
        let under_way = self.writes.front().filter(|_| !self.refuses && !self.gave_up && random.percent(50));
        let unsynced = under_way.is_some();
        if let Some((_, record)) = under_way {
            self.visible = Some(record.clone());
        }
        self.writes.clear();
        self.generation += 1;
        self.gave_up = false;
        unsynced
    }

    /// The power goes. What was not synced may be lost. True: it was.
    pub fn power_goes(&mut self, random: &mut Random) -> bool {
        let lost = self.visible != self.durable && random.percent(50);
        if lost {
            self.visible.clone_from(&self.durable);
        } else {
            self.durable.clone_from(&self.visible);
        }
        lost
    }

    /// Both slots are damaged.
    pub fn torn(&mut self) {
        self.durable = None;
        self.visible = None;
    }

    /// It works again.
    pub fn heal(&mut self) {
        self.refuses = false;
        self.sync_fails = false;
        self.tears = false;
    }
}
