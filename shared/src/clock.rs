//! The one place that reads a clock for decisions.
//!
//! Wall clock is for people only and decides nothing. Of the two clocks that are left, `CLOCK_BOOTTIME` counts suspend but
//! is slewed by time servers (chrony: up to 8 %), `CLOCK_MONOTONIC_RAW` is not slewed but does not count suspend. So time
//! is taken in short spans: [`now`] adds up the longer reading of each span, for what this host must have done by a time;
//! and [`lag`] tells by how much the sum of the shorter readings is behind it, for what another host must have done.

use std::sync::{Mutex, PoisonError};

use nix::time::{ClockId, clock_gettime};

use crate::decision::Millis;

/// Spans are not shorter: the two clocks are read one after the other, and what passes in between would add up.
const SPAN_MICROS: u64 = 200_000;

/// What the spans so far have added up to, in microseconds.
#[derive(Debug)]
struct Track {
    boottime: u64,
    raw: u64,
    /// By how much the sum of the longer readings is ahead of `boottime`.
    ahead: u64,
    /// By how much the sum of the shorter readings is behind the sum of the longer ones.
    lag: u64,
}

static TRACK: Mutex<Option<Track>> = Mutex::new(None);

/// Milliseconds since the kernel started, by the faster of the two clocks.
#[must_use]
pub fn now() -> Millis {
    let boottime = micros(ClockId::CLOCK_BOOTTIME);
    let mut track = TRACK.lock().unwrap_or_else(PoisonError::into_inner);
    let track = track.get_or_insert_with(|| Track::begun(boottime, micros(ClockId::CLOCK_MONOTONIC_RAW)));
    if boottime.saturating_sub(track.boottime) >= SPAN_MICROS {
        track.move_on(boottime, micros(ClockId::CLOCK_MONOTONIC_RAW));
    }
    Millis(boottime.saturating_add(track.ahead) / 1_000)
}

/// By how much the slower of the two clocks is behind [`now`], counted from the start of this process.
#[must_use]
pub fn lag() -> Millis {
    let track = TRACK.lock().unwrap_or_else(PoisonError::into_inner);
    // Up: what another host must have done is never counted too early.
    Millis(track.as_ref().map_or(0, |track| track.lag.div_ceil(1_000)))
}

/// Microseconds since the kernel started, for time lines and benchmarks.
#[must_use]
pub fn now_micros() -> u128 {
    u128::from(micros(ClockId::CLOCK_BOOTTIME))
}

/// Seconds since 1970, UTC, by the wall clock: for people, and for what outlives a reboot.
#[must_use]
pub fn utc_s() -> u64 {
    micros(ClockId::CLOCK_REALTIME) / 1_000_000
}

impl Track {
    fn begun(boottime: u64, raw: u64) -> Track {
        Track { boottime, raw, ahead: 0, lag: 0 }
    }

    fn move_on(&mut self, boottime: u64, raw: u64) {
        let by_boottime = boottime.saturating_sub(self.boottime);
        let by_raw = raw.saturating_sub(self.raw);
        self.ahead = self.ahead.saturating_add(by_raw.saturating_sub(by_boottime));
        self.lag = self.lag.saturating_add(by_raw.abs_diff(by_boottime));
        (self.boottime, self.raw) = (boottime, raw);
    }
}

/// No call can fail: the clocks exist since Linux 2.6.39, and the pointer is valid.
fn micros(clock: ClockId) -> u64 {
    clock_gettime(clock)
        .map(|time| {
            let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
            let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
            seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000)
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_counts_the_longer_reading_of_each_span_and_the_contender_the_shorter() {
        let mut track = Track::begun(1_000_000, 5_000_000);
        // Slewed down for ten seconds: the raw clock is the longer one.
        track.move_on(11_000_000, 15_800_000);
        assert_eq!((track.ahead, track.lag), (800_000, 800_000));
        // Asleep for an hour: only boot time counted it.
        track.move_on(3_611_000_000, 15_800_000);
        assert_eq!((track.ahead, track.lag), (800_000, 3_600_800_000));
    }

    #[test]
    fn a_suspended_hour_does_not_hide_a_slewed_minute_behind_it() {
        let mut track = Track::begun(0, 0);
        track.move_on(3_600_000_000, 0);
        track.move_on(3_660_000_000, 65_000_000);
        assert_eq!(track.ahead, 5_000_000, "each span is judged by itself");
    }

    #[test]
    fn time_goes_on() {
        let (before, lag_before) = (now(), lag());
        assert!(now() >= before && lag() >= lag_before);
    }
}
