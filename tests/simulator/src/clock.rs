//! The clocks of one host. True time is the simulator's own and known to nobody in it.

/// The clocks of one kernel start, in milliseconds. Both begin anew with each boot; each has its own rate.
#[derive(Clone, Debug)]
pub struct Clock {
    /// True time of the boot.
    booted_at: u64,
    boot_rate_ppm: i64,
    raw_rate_ppm: i64,
    /// True time that passed while the whole machine stood still.
    stood_ms: u64,
    standing_since: Option<u64>,
    /// The wall clock minus true time. Private, and read by nobody: no decision may rest on it (S15).
    wall_offset_ms: i64,
}

/// What a boot clock shows when the daemon can first run.
const FIRST_MS: u64 = 5_000;

impl Clock {
    /// A boot at true time `now`.
    #[must_use]
    pub fn boots(now: u64, boot_rate_ppm: i64, raw_rate_ppm: i64) -> Clock {
        Clock { booted_at: now, boot_rate_ppm, raw_rate_ppm, stood_ms: 0, standing_since: None, wall_offset_ms: 0 }
    }

    /// `CLOCK_BOOTTIME`.
    #[must_use]
    pub fn boot_ms(&self, now: u64) -> u64 {
        FIRST_MS + scaled(self.ran_ms(now), self.boot_rate_ppm)
    }

    /// `CLOCK_MONOTONIC_RAW`.
    #[must_use]
    pub fn raw_ms(&self, now: u64) -> u64 {
        FIRST_MS + scaled(self.ran_ms(now), self.raw_rate_ppm)
    }

    /// The faster of the two: for what this host must have done by a time. The core lives by it.
    #[must_use]
    pub fn fast_ms(&self, now: u64) -> u64 {
        self.boot_ms(now).max(self.raw_ms(now))
    }

    /// How much the slower is behind.
    #[must_use]
    pub fn lag_ms(&self, now: u64) -> u64 {
        self.boot_ms(now).abs_diff(self.raw_ms(now))
    }

    /// The first true time, from `now` on, at which the faster clock shows `local`; if the machine goes on standing,
    /// this comes too early.
    #[must_use]
    pub fn when(&self, local: u64, now: u64) -> u64 {
        let left = local.saturating_sub(self.fast_ms(now));
        if left == 0 {
            return now;
        }
        // At most one step off for the rounding of `scaled`.
        let rate = 1_000_000 + self.boot_rate_ppm.max(self.raw_rate_ppm).max(-500_000);
        let mut at = now + left.saturating_mul(1_000_000) / rate.unsigned_abs();
        while self.standing_since.is_none() && self.fast_ms(at) < local {
            at += 1;
        }
        at
    }

    /// The machine stands still: its clocks do too, as those of a paused guest do.
    pub fn stand(&mut self, now: u64) {
        self.standing_since.get_or_insert(now);
    }

    /// The machine goes on.
    pub fn go_on(&mut self, now: u64) {
        if let Some(since) = self.standing_since.take() {
            self.stood_ms += now - since;
        }
    }

    /// The wall clock jumps.
    pub fn wall_jumps(&mut self, by_ms: i64) {
        self.wall_offset_ms = self.wall_offset_ms.wrapping_add(by_ms);
    }

    fn ran_ms(&self, now: u64) -> u64 {
        let standing = self.standing_since.map_or(0, |since| now.saturating_sub(since));
        now.saturating_sub(self.booted_at).saturating_sub(self.stood_ms + standing)
    }
}

fn scaled(span_ms: u64, rate_ppm: i64) -> u64 {
    // Not in 128 bits, whose division would be a seventh of the simulator's time: 300 years at 1 % are within 63.
    let span = i64::try_from(span_ms).unwrap_or(i64::MAX);
    let drift = span.saturating_mul(rate_ppm) / 1_000_000;
    u64::try_from(span.saturating_add(drift)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_at_the_first_moment_that_shows_it_at_any_rate() {
        for rate in [-10_000, -9_999, -1, 0, 1, 250, 10_000] {
            let clock = Clock::boots(777, rate, -250);
            for now in [777, 1_000, 123_456] {
                for left in [0, 1, 2, 99, 60_000, 3_600_000] {
                    let local = clock.fast_ms(now) + left;
                    let at = clock.when(local, now);
                    assert!(clock.fast_ms(at) >= local, "rate {rate}, {left} ms from {now}");
                    assert!(at == now || clock.fast_ms(at - 1) < local, "rate {rate}, {left} ms from {now}: late");
                }
            }
        }
    }

    #[test]
    fn clocks_stand_while_the_machine_stands() {
        let mut clock = Clock::boots(0, 0, 0);
        clock.stand(1_000);
        assert_eq!((clock.boot_ms(5_000), clock.raw_ms(5_000)), (FIRST_MS + 1_000, FIRST_MS + 1_000));
        assert_eq!(clock.when(FIRST_MS + 3_000, 5_000), 7_000, "too early, and not never");
        clock.go_on(5_000);
        assert_eq!(clock.boot_ms(5_500), FIRST_MS + 1_500);
    }
}
