//! One clock for all judges: microseconds since the first look at it.

use std::sync::OnceLock;
use std::time::Instant;

/// Microseconds since this program first asked.
#[must_use]
pub fn now_us() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGIN.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX)
}
