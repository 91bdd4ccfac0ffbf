//! What the heartbeats sent, heard and dropped, counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It is no heartbeat.
    Malformed,
    /// Its protocol version is not spoken.
    Version,
    /// It belongs to another pair.
    Pair,
    /// Its sender is not in the peer's role.
    Role,
    /// Signed with an unknown key, or not signed right.
    Key,
    /// It was sent on another path.
    Path,
    /// It came from another address than the path's.
    Address,
    /// A repeated or overtaken beat.
    Old,
    /// Signed, but it does not echo this host's nonce: recorded, or of a peer that has just started.
    Unproven,
}

impl Dropped {
    const COUNT: usize = Dropped::Unproven as usize + 1;
}

/// The counters of a heartbeat. They only grow.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) send_failed: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) fresh: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) unreachable: AtomicU64,
    late_max_us: AtomicU64,
    dropped: [AtomicU64; Dropped::COUNT],
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CountersSnapshot {
    /// Packets sent, on all paths together.
    pub sent: u64,
    /// Packets that the kernel did not take: no route, no address, full buffer.
    pub send_failed: u64,
    /// Extra packets that showed a newly started peer this host's nonce and echoed its own.
    pub answered: u64,
    /// Beats heard that prove the peer alive.
    pub fresh: u64,
    /// Rounds left out because the beating thread was late by more than an interval.
    pub skipped: u64,
    /// The latest that a round has ever left, in microseconds.
    pub late_max_us: u64,
    /// Packets that are no heartbeat.
    pub malformed: u64,
    /// Packets of a protocol version that is not spoken.
    pub wrong_version: u64,
    /// Packets of another pair.
    pub wrong_pair: u64,
    /// Packets in the wrong role.
    pub wrong_role: u64,
    /// Packets with an unknown key or a wrong tag.
    pub wrong_key: u64,
    /// Packets that were sent on another path.
    pub wrong_path: u64,
    /// Packets from a foreign address.
    pub wrong_address: u64,
    /// Errors of the network that were read in place of a packet: nobody listens at the peer's port, no way to it.
    pub unreachable: u64,
    /// Repeated or overtaken beats.
    pub old: u64,
    /// Signed beats that do not echo this host's nonce.
    pub unproven: u64,
}

impl Counters {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self, why: Dropped) {
        Counters::count(&self.dropped[why as usize]);
    }

    pub(super) fn note_lateness(&self, late: Duration) {
        self.late_max_us.fetch_max(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> CountersSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let dropped = |why: Dropped| read(&self.dropped[why as usize]);
        CountersSnapshot {
            sent: read(&self.sent),
            send_failed: read(&self.send_failed),
            answered: read(&self.answered),
            fresh: read(&self.fresh),
            skipped: read(&self.skipped),
            late_max_us: read(&self.late_max_us),
            malformed: dropped(Dropped::Malformed),
            wrong_version: dropped(Dropped::Version),
            wrong_pair: dropped(Dropped::Pair),
            wrong_role: dropped(Dropped::Role),
            wrong_key: dropped(Dropped::Key),
            wrong_path: dropped(Dropped::Path),
            wrong_address: dropped(Dropped::Address),
            unreachable: read(&self.unreachable),
            old: dropped(Dropped::Old),
            unproven: dropped(Dropped::Unproven),
        }
    }
}
