//! When a copy's data was current, in a form that outlives this process and this kernel start.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::decision::{BootId, Millis};

/// A point in time on two clocks: the kernel's, which nobody sets, and the wall's, which outlives a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moment {
    pub(super) utc: Timestamp,
    boot: BootId,
    at: Millis,
}

impl Moment {
    pub(super) fn now(boot: BootId) -> Moment {
        Moment { utc: Timestamp::now(), boot, at: clock::now() }
    }

    /// How long ago that was. `None`: it lies ahead, because the wall clock was set back over a boot.
    pub(super) fn age(&self, boot: BootId, now: Millis, utc: Timestamp) -> Option<Millis> {
        if self.boot == boot {
            return Some(now.since(self.at));
        }
        let spent = utc.duration_since(self.utc).as_millis();
        u64::try_from(spent).ok().map(Millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_goes_by_the_kernels_clock_and_over_a_boot_by_the_walls() {
        let utc: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
        let moment = Moment { utc, boot: BootId(1), at: Millis(60_000) };
        let set_back: Timestamp = "2026-11-20T06:00:00Z".parse().unwrap();
        assert_eq!(moment.age(BootId(1), Millis(90_000), set_back), Some(Millis(30_000)), "nobody set this clock");
        let later: Timestamp = "2026-11-21T07:00:01Z".parse().unwrap();
        assert_eq!(moment.age(BootId(2), Millis(5), later), Some(Millis(3_601_000)));
        assert_eq!(moment.age(BootId(2), Millis(5), set_back), None, "an age that cannot be told is none");
    }
}
