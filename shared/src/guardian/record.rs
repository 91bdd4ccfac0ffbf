//! The two records of the page, as lines of words.

use std::fmt;

use crate::decision::{BootId, Epoch, Millis};

use super::lease::{Holding, Lease, Spans};
use super::moment::Moment;

/// The longest sentence in a report, in bytes.
const WHY_BYTES_MAX: usize = 300;
/// Stands for an empty sentence: a line of the page must not end in a blank.
const NO_REASON: &str = "-";

/// What the daemon writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Grows by one with each write, and so with each turn of the daemon's loop: it shows that the daemon lives.
    pub(super) sequence: u64,
    /// The kernel start. Times of another one mean nothing.
    pub(super) boot: BootId,
    /// What it holds.
    pub(super) lease: Lease,
    /// The digest of the plan that the guardian is to follow.
    pub(super) plan: u64,
}

/// What the guardian writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Grows by one with each write: it shows that the guardian lives.
    pub pulse: u64,
    /// The kernel start.
    pub boot: BootId,
    /// The last of the daemon's records that it acted on.
    pub seen: u64,
    /// What it does.
    pub guarding: Guarding,
    /// The epoch that it does this for.
    pub epoch: Epoch,
    /// Why, for people; empty where there is nothing to say.
    pub why: String,
}

/// What the guardian does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarding {
    /// Nothing is held.
    Idle,
    /// The lease is guarded, and the watchdog open with its time-out read back.
    Armed,
    /// The lease is guarded, by this process alone.
    ArmedAlone,
    /// The lease is watched, but the watchdog cannot be had: nothing may be started.
    Refused,
    /// It ends the service.
    Ending,
    /// It has ended the service and verified that. The daemon looks for itself before it says so.
    Ended,
    /// It could not, and resets the host.
    Resetting,
}

const GUARDINGS: [(Guarding, &str); 7] = [
    (Guarding::Idle, "idle"),
    (Guarding::Armed, "armed"),
    (Guarding::ArmedAlone, "armed-alone"),
    (Guarding::Refused, "refused"),
    (Guarding::Ending, "ending"),
    (Guarding::Ended, "ended"),
    (Guarding::Resetting, "resetting"),
];

const HOLDINGS: [(Holding, &str); 4] =
    [(Holding::Idle, "idle"), (Holding::Held, "held"), (Holding::Hold, "hold"), (Holding::Released, "released")];

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lease { holding, epoch, since, spans } = self.lease;
        let Spans { stop_after_ms, scripts_ms, kill_ms, watchdog_ms } = spans;
        write!(f, "{} {:032x} {} {} ", self.sequence, self.boot.0, word(&HOLDINGS, holding), epoch.0)?;
        write!(f, "{} {} ", since.boottime_ns, since.raw_ns)?;
        write!(f, "{} {} {} {} ", stop_after_ms.0, scripts_ms.0, kill_ms.0, watchdog_ms.0)?;
        write!(f, "{:016x}", self.plan)
    }
}

impl Record {
    pub(super) fn parse(words: &str) -> Option<Record> {
        let mut words = words.split(' ');
        let mut number = |radix| u64::from_str_radix(words.next()?, radix).ok();
        let sequence = number(10)?;
        let boot = BootId(u128::from_str_radix(words.next()?, 16).ok()?);
        let holding = meaning(&HOLDINGS, words.next()?)?;
        let mut number = |radix| u64::from_str_radix(words.next()?, radix).ok();
        let lease = Lease {
            holding,
            epoch: Epoch(number(10)?),
            since: Moment { boottime_ns: number(10)?, raw_ns: number(10)? },
            spans: Spans {
                stop_after_ms: Millis(number(10)?),
                scripts_ms: Millis(number(10)?),
                kill_ms: Millis(number(10)?),
                watchdog_ms: Millis(number(10)?),
            },
        };
        let plan = number(16)?;
        words.next().is_none().then_some(Record { sequence, boot, lease, plan })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { pulse, boot, seen, guarding, epoch, why } = self;
        write!(f, "{pulse} {:032x} {seen} {} {} ", boot.0, word(&GUARDINGS, *guarding), epoch.0)?;
        let why = if why.trim().is_empty() { NO_REASON } else { why.trim() };
        let mut left = WHY_BYTES_MAX;
        for letter in why.chars().map(|letter| if letter.is_control() { ' ' } else { letter }) {
            left = left.saturating_sub(letter.len_utf8());
            if left == 0 {
                break;
            }
            write!(f, "{letter}")?;
        }
        Ok(())
    }
}

impl Report {
    pub(super) fn parse(words: &str) -> Option<Report> {
        let mut words = words.splitn(6, ' ');
        let pulse = words.next()?.parse().ok()?;
        let boot = BootId(u128::from_str_radix(words.next()?, 16).ok()?);
        let seen = words.next()?.parse().ok()?;
        let guarding = meaning(&GUARDINGS, words.next()?)?;
        let epoch = Epoch(words.next()?.parse().ok()?);
        let why = words.next().map(|why| if why == NO_REASON { "" } else { why })?.to_owned();
        Some(Report { pulse, boot, seen, guarding, epoch, why })
    }
}

fn word<T: PartialEq>(table: &[(T, &'static str)], wanted: T) -> &'static str {
    table.iter().find(|(meaning, _)| *meaning == wanted).map_or("", |(_, word)| word)
}

fn meaning<T: Copy>(table: &[(T, &str)], wanted: &str) -> Option<T> {
    table.iter().find(|(_, word)| *word == wanted).map(|(meaning, _)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn record(sequence: u64, holding: Holding) -> Record {
        let spans = Spans {
            stop_after_ms: Millis(u64::MAX),
            scripts_ms: Millis(2),
            kill_ms: Millis(3),
            watchdog_ms: Millis(4),
        };
        let since = Moment { boottime_ns: u64::MAX, raw_ns: 7 };
        let lease = Lease { holding, epoch: Epoch(u64::MAX), since, spans };
        Record { sequence, boot: BootId(u128::MAX), lease, plan: u64::MAX }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (holding, _) in HOLDINGS {
            let written = record(u64::MAX, holding);
            assert_eq!(Record::parse(&written.to_string()), Some(written));
        }
        for (guarding, _) in GUARDINGS {
            let why = "ä sentence".to_owned();
            let written = Report { pulse: 1, boot: BootId(2), seen: u64::MAX, guarding, epoch: Epoch(5), why };
            assert_eq!(Report::parse(&written.to_string()).as_ref(), Some(&written));
            let silent = Report { why: String::new(), ..written };
            assert_eq!(Report::parse(&silent.to_string()), Some(silent));
        }
    }

    #[test]
    fn a_long_or_broken_sentence_stays_one_short_line() {
        let why = "é\n".repeat(1_000);
        let report = Report { pulse: 1, boot: BootId(2), seen: 3, guarding: Guarding::Refused, epoch: Epoch(5), why };
        let line = report.to_string();
        assert!(line.len() < 400 && !line.contains('\n'), "{line}");
        assert!(Report::parse(&line).is_some());
    }

    #[test]
    fn a_line_with_too_few_or_too_many_words_is_no_record() {
        let whole = record(5, Holding::Held).to_string();
        for (cut, _) in whole.match_indices(' ') {
            assert_eq!(Record::parse(&whole[..cut]), None);
        }
        assert_eq!(Record::parse(&format!("{whole} 1")), None);
    }
}
