//! One line of the toy store: who wrote, and when.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, ensure};
use nix::time::{ClockId, clock_gettime};

/// One write to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The writer's `FAILOVER_EPOCH`.
    pub epoch: u64,
    /// Its host.
    pub host: String,
    /// Its process number on the host.
    pub pid: u32,
    /// Counts this writer's records.
    pub count: u64,
    /// The kernel's clock just before the write, in microseconds: see [`now_us`].
    pub at_us: u64,
}

/// `CLOCK_MONOTONIC` in microseconds: one clock for all hosts of a lab, which share the kernel. 0 if it cannot be read.
#[must_use]
pub fn now_us() -> u64 {
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    let (seconds, nanos) = (u64::try_from(now.tv_sec()), u64::try_from(now.tv_nsec()));
    seconds.unwrap_or(0) * 1_000_000 + nanos.unwrap_or(0) / 1_000
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} {} {} {}", self.epoch, self.host, self.pid, self.count, self.at_us)
    }
}

impl FromStr for Record {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Record> {
        let words: Vec<_> = line.split(' ').collect();
        let [epoch, host, pid, count, at_us] = words[..] else { anyhow::bail!("not a record: {line:?}") };
        let number = |word: &str| word.parse().with_context(|| format!("not a record: {line:?}"));
        ensure!(!host.is_empty(), "a record without a host: {line:?}");
        let pid = u32::try_from(number(pid)?)?;
        Ok(Record { epoch: number(epoch)?, host: host.into(), pid, count: number(count)?, at_us: number(at_us)? })
    }
}
