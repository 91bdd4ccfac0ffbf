//! The judge of the store: reads what the toy stores wrote, in the order in which it was written, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::record::{Record, now_us};

/// What must never be found in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// A record of an epoch after one of a higher epoch (safety.md, S16).
    Stale {
        /// The record.
        late: Record,
        /// One that was there before.
        after: Record,
    },
    /// Two hosts wrote with one epoch.
    TwoOwners {
        /// The record.
        second: Record,
        /// The host that had the epoch.
        first_host: String,
    },
    /// Of two processes of one epoch, the one that was followed by the other wrote again.
    TwoWriters {
        /// The record.
        again: Record,
        /// The last one of the other process.
        after: Record,
    },
}

/// What was written since the last [`Judge::take`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Records.
    pub records: u64,
    /// How often a higher epoch began to write.
    pub moves: u32,
    /// The longest time without a record.
    pub outage_us: u64,
    /// All breaches, up to a bound.
    pub breaches: Vec<Breach>,
}

/// Breaches that are kept: one is enough to fail, some more help to see what happened.
const BREACHES_MAX: usize = 8;
/// Of the end of the store, for a report.
const TURNS_MAX: usize = 60;

/// The judge at work, from the store's first record on.
#[derive(Debug)]
pub struct Judge {
    path: PathBuf,
    file: Option<File>,
    rest: Vec<u8>,
    /// The first record of the highest epoch seen.
    highest: Option<Record>,
    last: Option<Record>,
    owners: BTreeMap<u64, String>,
    /// Processes of the highest epoch that were followed by another one.
    followed: BTreeSet<u32>,
    /// The first and last record of each row of one writer.
    turns: Vec<(Record, Record)>,
    sum: Sum,
}

impl Judge {
    /// Of the file in which the toy stores write, which need not be there yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Judge {
        Judge {
            path,
            file: None,
            rest: Vec::new(),
            highest: None,
            last: None,
            owners: BTreeMap::new(),
            followed: BTreeSet::new(),
            turns: Vec::new(),
            sum: Sum::default(),
        }
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// When the file cannot be read or holds anything but records.
    pub fn read(&mut self) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => match File::open(&self.path) {
                Ok(file) => none.insert(file),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error).with_context(|| self.path.display().to_string()),
            },
        };
        file.read_to_end(&mut self.rest)?;
        // What stands behind the last end of a line is being written.
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        String::from_utf8_lossy(&whole).lines().try_for_each(|line| {
            self.judge(line.parse()?);
            Ok(())
        })
    }

    /// The last record and its age in microseconds.
    #[must_use]
    pub fn last(&self) -> Option<(&Record, u64)> {
        self.last.as_ref().map(|record| (record, now_us().saturating_sub(record.at_us)))
    }

    /// The highest epoch that ever wrote.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.highest.as_ref().map_or(0, |record| record.epoch)
    }

    /// What was found since the last time. A time without records that lasts still is counted up to now.
    pub fn take(&mut self) -> Sum {
        let mut sum = std::mem::take(&mut self.sum);
        if let Some((_, age_us)) = self.last() {
            sum.outage_us = sum.outage_us.max(age_us);
        }
        sum
    }

    /// Whether anything was found that must not be.
    #[must_use]
    pub fn breached(&self) -> bool {
        !self.sum.breaches.is_empty()
    }

    /// Who wrote when, newest last: for a report.
    #[must_use]
    pub fn turns(&self) -> String {
        let line = |(first, last): &(Record, Record)| {
            let Record { epoch, host, pid, .. } = first;
            format!(
                "{:>12} us to {:>12} us: epoch {epoch} on {host}, process {pid}, records {} to {}\n",
                first.at_us, last.at_us, first.count, last.count
            )
        };
        self.turns.iter().map(line).collect()
    }

    fn judge(&mut self, record: Record) {
        self.sum.records += 1;
        self.sum.breaches.extend(self.breach(&record));
        self.sum.breaches.truncate(BREACHES_MAX);
        if self.highest.as_ref().is_none_or(|highest| record.epoch > highest.epoch) {
            // The first one of all is a start, not a move.
            self.sum.moves += u32::from(self.highest.is_some());
            self.highest = Some(record.clone());
            self.followed.clear();
        }
        self.owners.entry(record.epoch).or_insert_with(|| record.host.clone());
        if let Some(last) = &self.last {
            self.sum.outage_us = self.sum.outage_us.max(record.at_us.saturating_sub(last.at_us));
            if last.epoch == record.epoch && last.pid != record.pid {
                self.followed.insert(last.pid);
            }
        }
        let same = |last: &Record| (last.epoch, &last.host, last.pid) == (record.epoch, &record.host, record.pid);
        match self.turns.last_mut() {
            Some((_, last)) if same(last) => *last = record.clone(),
            _ => self.turns.push((record.clone(), record.clone())),
        }
        if self.turns.len() > TURNS_MAX {
            self.turns.remove(0);
        }
        self.last = Some(record);
    }

    fn breach(&self, record: &Record) -> Option<Breach> {
        let (highest, last) = (self.highest.as_ref()?, self.last.as_ref()?);
        if record.epoch < highest.epoch {
            return Some(Breach::Stale { late: record.clone(), after: highest.clone() });
        }
        match self.owners.get(&record.epoch) {
            Some(owner) if *owner != record.host => {
                return Some(Breach::TwoOwners { second: record.clone(), first_host: owner.clone() });
            }
            _ => {}
        }
        let again = record.epoch == highest.epoch && self.followed.contains(&record.pid);
        again.then(|| Breach::TwoWriters { again: record.clone(), after: last.clone() })
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Breach::Stale { late, after } => write!(
                f,
                "epoch {} wrote on {} {} us after the first record of epoch {} on {}",
                late.epoch,
                late.host,
                late.at_us.saturating_sub(after.at_us),
                after.epoch,
                after.host
            ),
            Breach::TwoOwners { second, first_host } => {
                write!(f, "epoch {} was written by {first_host} and by {}", second.epoch, second.host)
            }
            Breach::TwoWriters { again, after } => write!(
                f,
                "of epoch {} process {} wrote again after process {} of {}",
                again.epoch, again.pid, after.pid, after.host
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn judged(lines: &[&str]) -> Result<(Sum, Judge)> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("records");
        let mut judge = Judge::new(path.clone());
        judge.read()?;
        let mut file = File::create(path)?;
        for line in lines {
            // In two pieces, as a reader may meet a line that is being written.
            let (head, tail) = line.split_at(line.len() / 2);
            file.write_all(head.as_bytes())?;
            judge.read()?;
            writeln!(file, "{tail}")?;
            judge.read()?;
        }
        Ok((std::mem::take(&mut judge.sum), judge))
    }

    #[test]
    fn one_writer_after_the_other_is_in_order() -> Result<()> {
        let lines = ["1 cfg1 7 1 1000", "1 cfg1 7 2 2000", "1 cfg1 9 1 3000", "2 cfg2 7 1 8000", "3 cfg1 7 1 9000"];
        let (sum, judge) = judged(&lines)?;
        assert_eq!((sum.records, sum.moves, sum.outage_us), (5, 2, 5000));
        assert_eq!(sum.breaches, []);
        assert_eq!(judge.epoch(), 3);
        Ok(())
    }

    #[test]
    fn each_way_to_have_two_writers_is_a_breach() -> Result<()> {
        let stale = judged(&["1 cfg1 7 1 1", "2 cfg2 7 1 2", "1 cfg1 7 2 3"])?.0.breaches;
        assert!(matches!(stale[..], [Breach::Stale { .. }]), "{stale:?}");
        let owners = judged(&["1 cfg1 7 1 1", "1 cfg2 7 1 2"])?.0.breaches;
        assert!(matches!(owners[..], [Breach::TwoOwners { .. }]), "{owners:?}");
        let writers = judged(&["1 cfg1 7 1 1", "1 cfg1 9 1 2", "1 cfg1 7 2 3"])?.0.breaches;
        assert!(matches!(writers[..], [Breach::TwoWriters { .. }]), "{writers:?}");
        Ok(())
    }
}
