//! What the channel refused, counted; and said in the log, at most once a minute.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Between two log lines about refusals. A flood must not fill the disk that the journal needs.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Why a connection or a line was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// The key proof failed, or no key is common.
    Key,
    /// The TLS handshake failed, or the certificate is not the pinned one.
    Tls,
    /// It belongs to another pair.
    Pair,
    /// It claims a role that the peer does not have.
    Role,
    /// Its protocol version is not spoken.
    Version,
    /// It did not finish its handshake in time, or broke it off.
    HandshakeUnfinished,
    /// Its half-open connection made room for a newer one.
    HalfOpenDropped,
    /// Its address, or all strangers together, had no room left.
    NoRoom,
    /// An established connection made room for a newer one of the same peer.
    EstablishedDropped,
    /// A line passed its bound.
    LongLine,
    /// A line was no message.
    BadLine,
}

impl Refused {
    const ALL: [Refused; 11] = [
        Refused::Key,
        Refused::Tls,
        Refused::Pair,
        Refused::Role,
        Refused::Version,
        Refused::HandshakeUnfinished,
        Refused::HalfOpenDropped,
        Refused::NoRoom,
        Refused::EstablishedDropped,
        Refused::LongLine,
        Refused::BadLine,
    ];

    /// In the words of log and status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Refused::Key => "wrong key",
            Refused::Tls => "wrong certificate or no TLS",
            Refused::Pair => "another pair's name",
            Refused::Role => "wrong role",
            Refused::Version => "protocol version not spoken",
            Refused::HandshakeUnfinished => "handshake not finished",
            Refused::HalfOpenDropped => "half-open connection made room",
            Refused::NoRoom => "no room",
            Refused::EstablishedDropped => "older connection made room",
            Refused::LongLine => "line too long",
            Refused::BadLine => "line not understood",
        }
    }
}

/// The counters of a channel's server or client. Shared behind an `Arc`; they only grow.
#[derive(Debug, Default)]
pub struct Counters {
    refused: [AtomicU64; Refused::ALL.len()],
    accepted: AtomicU64,
    established: AtomicU64,
    last_log: Mutex<Option<Instant>>,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CountersSnapshot {
    /// Connections that reached the socket.
    pub accepted: u64,
    /// Connections that passed the proof.
    pub established: u64,
    /// What was refused, by the words of [`Refused::as_str`]; kinds that never happened are left out.
    pub refused: std::collections::BTreeMap<&'static str, u64>,
}

impl Counters {
    /// The numbers now.
    #[must_use]
    pub fn snapshot(&self) -> CountersSnapshot {
        CountersSnapshot {
            accepted: self.accepted.load(Ordering::Relaxed),
            established: self.established.load(Ordering::Relaxed),
            refused: Refused::ALL
                .into_iter()
                .map(|kind| (kind.as_str(), self.refused(kind)))
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }

    /// How often this was refused.
    #[must_use]
    pub fn refused(&self, kind: Refused) -> u64 {
        self.refused[kind as usize].load(Ordering::Relaxed)
    }

    pub(super) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_established(&self) {
        self.established.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self, kind: Refused) {
        self.refused[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a refusal, and logs it if the last such line is a minute old.
    pub(super) fn refuse(&self, kind: Refused, from: IpAddr, why: &dyn fmt::Display) {
        self.count(kind);
        if self.may_log(Instant::now()) {
            let refused: u64 = Refused::ALL.into_iter().map(|kind| self.refused(kind)).sum();
            tracing::warn!(
                %from, %why, refused,
                "refused a connection ({}); nothing was changed by it. More of them are counted in \
                 `failoverctl status` and logged at most once a minute",
                kind.as_str(),
            );
        }
    }

    fn may_log(&self, now: Instant) -> bool {
        let mut last = self.last_log.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now.saturating_duration_since(last) >= LOG_EVERY);
        if may {
            *last = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_counter_and_name() {
        let counters = Counters::default();
        for kind in Refused::ALL {
            counters.count(kind);
        }
        let snapshot = counters.snapshot();
        assert_eq!(snapshot.refused.len(), Refused::ALL.len());
        assert!(snapshot.refused.values().all(|count| *count == 1), "{snapshot:?}");
    }

    #[test]
    fn refusals_are_logged_once_a_minute_and_again_after_it() {
        let counters = Counters::default();
        let start = Instant::now();
        assert!(counters.may_log(start));
        assert!(!counters.may_log(start + Duration::from_secs(59)));
        assert!(counters.may_log(start + Duration::from_secs(60)));
        assert!(!counters.may_log(start + Duration::from_secs(61)));
    }
}
