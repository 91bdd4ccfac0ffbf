//! The judge of the one rule: never two actives.
//!
//! Every 5 ms a connection to each host's own POP3 address, from the client's place in the network, and a look at each
//! host's process list, from outside. Four threads, one for each host and means, so that a silent host slows nobody else.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

use super::clock::now_us;
use super::place::{finish, stand_on};
use super::pop3;
use crate::lab::Lab;

/// Between the beginnings of two looks.
const EVERY: Duration = Duration::from_millis(5);
/// How long a greeting may take: a silent host gives none.
const GREETING_LIMIT: Duration = Duration::from_millis(300);

/// By what a service was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Means {
    /// A greeting on the host's own address.
    Greeting,
    /// A process that serves or writes mail.
    Process,
}

/// One look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Which host: 0 is the master.
    pub host: usize,
    /// By what.
    pub means: Means,
    /// When the look began.
    pub begin_us: u64,
    /// When it ended.
    pub end_us: u64,
    /// Whether the service was there.
    pub up: bool,
}

/// A span in which both hosts were active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Its begin.
    pub from_us: u64,
    /// Its end.
    pub to_us: u64,
    /// By what the master was seen in it.
    pub master_by: Means,
    /// By what the slave was.
    pub slave_by: Means,
}

/// What the judge saw.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Every span with two actives. Empty is what the product promises.
    pub overlaps: Vec<Overlap>,
    /// How many looks there were, for each host, and how many of them found the service up.
    pub looks: [(usize, usize); 2],
    /// The longest time between two looks of one kind at one host: what the judge may have missed.
    pub blind_us_max: u64,
    /// Every look, one a line.
    pub log: PathBuf,
}

/// The judge at work.
pub struct Watch {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Vec<Look>>>>,
    log: PathBuf,
}

impl Watch {
    /// Begins to watch both hosts.
    ///
    /// # Errors
    /// When the client host is off.
    pub fn begin(lab: &Lab) -> Result<Watch> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (host, machine) in lab.pair().into_iter().enumerate() {
            let address = SocketAddr::new(IpAddr::V4(machine.address()), 110);
            let (flag, first) = (Arc::clone(&stop), machine.watch_first());
            let greeted = move || pop3::greeting(address, GREETING_LIMIT).is_ok();
            threads.push(stand_on(&lab.client, move || Ok(look_until(&flag, host, Means::Greeting, greeted)))?);
            let flag = Arc::clone(&stop);
            threads.push(std::thread::spawn(move || {
                Ok(look_until(&flag, host, Means::Process, || serving_process(&first)))
            }));
        }
        Ok(Watch { stop, threads, log: lab.folder().join("actives.log") })
    }

    /// Ends the watch, keeps the raw log, and judges.
    ///
    /// # Errors
    /// When a thread could not do its work or the log cannot be written.
    pub fn end(mut self) -> Result<Verdict> {
        self.stop.store(true, Ordering::Relaxed);
        let mut looks = Vec::new();
        for thread in self.threads.drain(..) {
            looks.extend(finish(thread)?);
        }
        looks.sort_by_key(|look| look.begin_us);
        let mut log = BufWriter::new(File::create(&self.log)?);
        for look in &looks {
            let state = if look.up { "up" } else { "down" };
            writeln!(log, "{} {} cfg{} {:?} {state}", look.begin_us, look.end_us, look.host + 1, look.means)?;
        }
        log.flush()?;
        let count = |host| {
            let of_host = looks.iter().filter(|look| look.host == host);
            (of_host.clone().count(), of_host.filter(|look| look.up).count())
        };
        Ok(Verdict {
            overlaps: overlaps(&looks),
            looks: [count(0), count(1)],
            blind_us_max: blind_us_max(&looks),
            log: self.log.clone(),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Every span in which both hosts were surely up.
///
/// A host is surely up from the end of one look that found it up to the begin of the last of an unbroken row of such
/// looks. One look alone is a moment, not a span, and no overlap with another moment can be shown.
#[must_use]
pub fn overlaps(looks: &[Look]) -> Vec<Overlap> {
    let spans = |host: usize, means: Means| {
        let mut spans: Vec<(u64, u64)> = Vec::new();
        let mut row: Option<(u64, u64)> = None;
        for look in looks.iter().filter(|look| look.host == host && look.means == means) {
            row = match (look.up, row) {
                (true, None) => Some((look.end_us, look.begin_us)),
                (true, Some((from, _))) => Some((from, look.begin_us)),
                (false, row) => {
                    spans.extend(row);
                    None
                }
            };
        }
        spans.extend(row);
        spans.retain(|(from, to)| from < to);
        spans
    };
    let mut found = Vec::new();
    for master_by in [Means::Greeting, Means::Process] {
        for slave_by in [Means::Greeting, Means::Process] {
            for (from, to) in spans(0, master_by) {
                for (other_from, other_to) in spans(1, slave_by) {
                    let (from_us, to_us) = (from.max(other_from), to.min(other_to));
                    if from_us < to_us {
                        found.push(Overlap { from_us, to_us, master_by, slave_by });
                    }
                }
            }
        }
    }
    found
}

fn look_until(stop: &AtomicBool, host: usize, means: Means, is_up: impl Fn() -> bool) -> Vec<Look> {
    let mut looks = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begin_us = now_us();
        let up = is_up();
        let end_us = now_us();
        looks.push(Look { host, means, begin_us, end_us, up });
        std::thread::sleep(EVERY.saturating_sub(Duration::from_micros(end_us - begin_us)));
    }
    looks
}

/// Whether a process that serves or writes mail lives on the host: Dovecot's own first process, or one of its children,
/// which outlive it when it is killed. A process that has ended has no arguments any more.
fn serving_process(first: &AtomicI32) -> bool {
    let first = first.load(Ordering::Relaxed);
    if first == 0 {
        return false;
    }
    // The host's own /proc, seen through its root: lists this host's processes only.
    let own = Path::new("/proc").join(first.to_string()).join("root").join("proc");
    let Ok(list) = fs::read_dir(own) else { return false };
    for entry in list.flatten() {
        if !entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            continue;
        }
        let Ok(arguments) = fs::read(entry.path().join("cmdline")) else { continue };
        let program = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
        let program = String::from_utf8_lossy(program);
        let mail = program == "dovecot" || program.ends_with("/dovecot");
        if mail || ["dovecot/pop3", "dovecot/imap", "dovecot/lmtp"].iter().any(|child| program.starts_with(child)) {
            return true;
        }
    }
    false
}

fn blind_us_max(looks: &[Look]) -> u64 {
    let mut longest = 0;
    for host in [0, 1] {
        for means in [Means::Greeting, Means::Process] {
            let ends = looks.iter().filter(|look| look.host == host && look.means == means);
            for (before, after) in ends.clone().zip(ends.skip(1)) {
                longest = longest.max(after.begin_us.saturating_sub(before.end_us));
            }
        }
    }
    longest
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (host, (looks, up)) in self.looks.iter().enumerate() {
            writeln!(f, "cfg{}: {looks} looks, {up} of them found mail served", host + 1)?;
        }
        writeln!(f, "longest time without a look: {} ms", self.blind_us_max / 1_000)?;
        for overlap in &self.overlaps {
            writeln!(
                f,
                "TWO ACTIVES for {} ms from {} ms on: cfg1 by {:?}, cfg2 by {:?}",
                (overlap.to_us - overlap.from_us) / 1_000,
                overlap.from_us / 1_000,
                overlap.master_by,
                overlap.slave_by
            )?;
        }
        write!(f, "raw log: {}", self.log.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(host: usize, times_us: std::ops::Range<u64>, up: bool) -> impl Iterator<Item = Look> {
        times_us.step_by(5).map(move |time| Look { host, means: Means::Process, begin_us: time, end_us: time + 1, up })
    }

    #[test]
    fn one_after_the_other_is_no_overlap() {
        let looks: Vec<_> = row(0, 0..100, true)
            .chain(row(0, 100..200, false))
            .chain(row(1, 0..110, false))
            .chain(row(1, 110..200, true))
            .collect();
        assert_eq!(overlaps(&looks), []);
    }

    #[test]
    fn both_up_at_once_is_an_overlap_of_the_shared_time() {
        let looks: Vec<_> = row(0, 0..150, true).chain(row(0, 150..200, false)).chain(row(1, 100..200, true)).collect();
        assert_eq!(
            overlaps(&looks),
            [Overlap { from_us: 101, to_us: 145, master_by: Means::Process, slave_by: Means::Process }]
        );
    }
}
