//! An instant on the two clocks that a lease is measured with.

use nix::time::{ClockId, clock_gettime};

use crate::decision::Millis;

/// One instant, read on both clocks, in nanoseconds since the kernel started.
///
/// `CLOCK_BOOTTIME` counts suspend, but a time service may slew it; `CLOCK_MONOTONIC_RAW` is not slewed, but stands still
/// during suspend (clock_gettime(2)). Neither alone is safe for the holder of a lease, the larger of both spans is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Moment {
    /// `CLOCK_BOOTTIME`.
    pub boottime_ns: u64,
    /// `CLOCK_MONOTONIC_RAW`.
    pub raw_ns: u64,
}

impl Moment {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Moment {
        Moment { boottime_ns: read(ClockId::CLOCK_BOOTTIME), raw_ns: read(ClockId::CLOCK_MONOTONIC_RAW) }
    }

    /// How long the holder must count since `earlier`: the larger span, rounded up to a millisecond.
    #[must_use]
    pub fn since(self, earlier: Moment) -> Millis {
        let span_ns = |now: u64, then: u64| now.saturating_sub(then);
        let longer = span_ns(self.boottime_ns, earlier.boottime_ns).max(span_ns(self.raw_ns, earlier.raw_ns));
        Millis(longer.div_ceil(1_000_000))
    }

    /// Whether either clock says that this lies before `other`.
    #[must_use]
    pub fn is_before(self, other: Moment) -> bool {
        self.boottime_ns < other.boottime_ns || self.raw_ns < other.raw_ns
    }
}

/// The end of time where the clock cannot be read: a lease is then over, and one that begins then is refused.
fn read(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else { return u64::MAX };
    let (seconds, nanos) = (u64::try_from(time.tv_sec()), u64::try_from(time.tv_nsec()));
    seconds.unwrap_or(u64::MAX).saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_counts_the_larger_span_and_rounds_up() {
        let start = Moment { boottime_ns: 5_000_000, raw_ns: 1_000_000 };
        let suspended = Moment { boottime_ns: 65_000_000, raw_ns: 2_000_000 };
        let slewed = Moment { boottime_ns: 6_000_000, raw_ns: 4_000_001 };
        assert_eq!(suspended.since(start), Millis(60));
        assert_eq!(slewed.since(start), Millis(4));
        assert_eq!(start.since(suspended), Millis(0));
    }

    #[test]
    fn one_clock_that_goes_back_is_enough_to_be_before() {
        let then = Moment { boottime_ns: 10, raw_ns: 10 };
        assert!(Moment { boottime_ns: 11, raw_ns: 9 }.is_before(then));
        assert!(!Moment { boottime_ns: 10, raw_ns: 11 }.is_before(then));
        assert!(!Moment::now().is_before(Moment { boottime_ns: 1, raw_ns: 1 }));
    }
}
