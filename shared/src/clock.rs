//! The one place that reads a clock for decisions.
//!
//! `CLOCK_BOOTTIME` counts suspend as well; wall clock is for people only and decides nothing.

use nix::time::{ClockId, clock_gettime};

use crate::decision::Millis;

/// Milliseconds since the kernel started.
#[must_use]
pub fn now() -> Millis {
    Millis(u64::try_from(now_micros() / 1_000).unwrap_or(u64::MAX))
}

/// Microseconds since the kernel started, for time lines and benchmarks.
#[must_use]
pub fn now_micros() -> u128 {
    // BOOTTIME exists since Linux 2.6.39; the call cannot fail with a valid pointer.
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map(|time| {
            let seconds = u128::try_from(time.tv_sec()).unwrap_or(0);
            let nanos = u128::try_from(time.tv_nsec()).unwrap_or(0);
            seconds * 1_000_000 + nanos / 1_000
        })
        .unwrap_or(0)
}
