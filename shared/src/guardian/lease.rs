//! What the daemon holds, and whose turn it is by the clock.

pub use crate::decision::Spans;
use crate::decision::{Epoch, Millis};

use super::moment::Moment;

/// What the daemon tells its guardian about the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Whether and how it is held.
    pub holding: Holding,
    /// The epoch.
    pub epoch: Epoch,
    /// t0: read *before* the last validated renewal was sent, never when its answer came.
    pub since: Moment,
    /// How long each actor has. They never change inside an epoch.
    pub spans: Spans,
}

/// Whether and how a lease is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holding {
    /// None is.
    Idle,
    /// With a time limit: the service may run, and is ended when the limit is over.
    Held,
    /// Without one: maintenance. The watchdog is closed.
    Hold,
    /// It was, and the service's stop is verified.
    Released,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    /// Before T: the service runs.
    Serving,
    /// T … T + G: the daemon stops it.
    Stopping,
    /// T + G … P: the guardian ends it.
    Ending,
    /// From P on: the host is to be reset.
    Over,
}

impl Lease {
    /// The span at `now`; `None` if there is no time limit to keep.
    #[must_use]
    pub fn span(&self, now: Moment) -> Option<Span> {
        if self.holding != Holding::Held {
            return None;
        }
        let elapsed = now.since(self.since);
        Some(match self.ends() {
            [stop_after, _, _] if elapsed < stop_after => Span::Serving,
            [_, scripts, _] if elapsed < scripts => Span::Stopping,
            [_, _, kill] if elapsed < kill => Span::Ending,
            _ => Span::Over,
        })
    }

    /// How long until the next span begins; `None` if there is none.
    #[must_use]
    pub fn until_next(&self, now: Moment) -> Option<Millis> {
        let elapsed = now.since(self.since);
        let next = self.ends().into_iter().find(|end| *end > elapsed)?;
        (self.holding == Holding::Held).then(|| next.since(elapsed))
    }

    /// T, T + G and P, from t0.
    fn ends(&self) -> [Millis; 3] {
        let Spans { stop_after_ms, scripts_ms, kill_ms, .. } = self.spans;
        let scripts_end = stop_after_ms.after(scripts_ms);
        [stop_after_ms, scripts_end, scripts_end.after(kill_ms)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holding: Holding) -> Lease {
        let spans = Spans {
            stop_after_ms: Millis(12_000),
            scripts_ms: Millis(30_000),
            kill_ms: Millis(5_000),
            watchdog_ms: Millis(10_000),
        };
        Lease { holding, epoch: Epoch(3), since: Moment { boottime_ns: 0, raw_ns: 0 }, spans }
    }

    fn at(boottime_ms: u64, raw_ms: u64) -> Moment {
        Moment { boottime_ns: boottime_ms * 1_000_000, raw_ns: raw_ms * 1_000_000 }
    }

    #[test]
    fn each_span_ends_where_the_next_begins() {
        let spans: Vec<_> = [11_999, 12_000, 41_999, 42_000, 46_999, 47_000, u64::MAX / 1_000_000]
            .map(|ms| lease(Holding::Held).span(at(ms, 0)).unwrap())
            .to_vec();
        use Span::{Ending, Over, Serving, Stopping};
        assert_eq!(spans, [Serving, Stopping, Stopping, Ending, Ending, Over, Over]);
        assert_eq!(lease(Holding::Held).until_next(at(11_000, 11_500)), Some(Millis(500)));
        assert_eq!(lease(Holding::Held).until_next(at(47_000, 0)), None);
    }

    #[test]
    fn the_faster_clock_decides() {
        assert_eq!(lease(Holding::Held).span(at(0, 42_000)), Some(Span::Ending));
        assert_eq!(lease(Holding::Held).span(at(42_000, 0)), Some(Span::Ending));
    }

    #[test]
    fn only_a_held_lease_has_a_limit() {
        for holding in [Holding::Idle, Holding::Hold, Holding::Released] {
            assert_eq!(lease(holding).span(at(100_000, 0)), None);
            assert_eq!(lease(holding).until_next(at(1, 0)), None);
        }
    }
}
