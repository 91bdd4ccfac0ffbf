//! The users: one who hands in numbered mail without end, one who reads mail without end. Both know the balancer's
//! address only.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

use super::clock::now_us;
use super::mail::{self, MessageId};
use super::place::{finish, stand_on};
use super::{lmtp, pop3};
use crate::lab::Lab;
use crate::lab::service::dovecot;

/// Between two messages, and between two reads.
const PACE: Duration = Duration::from_millis(20);
/// How long one dialogue may take.
const DIALOGUE_LIMIT: Duration = Duration::from_secs(2);

/// What one user went through.
#[derive(Clone, Debug, Default)]
pub struct Experience {
    /// When it began.
    pub begin_us: u64,
    /// When it ended.
    pub end_us: u64,
    /// The end of each dialogue that worked.
    pub worked_us: Vec<u64>,
    /// How many did not.
    pub failures: usize,
    /// The messages that were accepted (deliverer only).
    pub accepted: Vec<MessageId>,
    /// What was read and was no whole message (reader only).
    pub wrong: Vec<String>,
}

impl Experience {
    /// The longest time without a dialogue that worked, begin and end of the watch counted: its begin, its length.
    #[must_use]
    pub fn longest_gap_us(&self) -> (u64, u64) {
        let mut longest = (self.begin_us, 0);
        let mut before = self.begin_us;
        for now in self.worked_us.iter().copied().chain([self.end_us]) {
            if now.saturating_sub(before) > longest.1 {
                longest = (before, now - before);
            }
            before = now;
        }
        longest
    }
}

/// A user at work.
pub struct User {
    stop: Arc<AtomicBool>,
    worked: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Result<Experience>>>,
}

impl User {
    /// Begins to deliver numbered messages by LMTP, each until it is accepted.
    ///
    /// # Errors
    /// When the client host is off.
    pub fn deliverer(lab: &Lab) -> Result<User> {
        let address = SocketAddr::new(IpAddr::V4(lab.balancer.address()), 24);
        let log = lab.folder().join("delivery.log");
        User::begin(lab, move |stop, worked| deliver(address, &log, stop, worked))
    }

    /// Begins to read the newest message by POP3.
    ///
    /// # Errors
    /// When the client host is off.
    pub fn reader(lab: &Lab) -> Result<User> {
        let address = SocketAddr::new(IpAddr::V4(lab.balancer.address()), 110);
        let log = lab.folder().join("reading.log");
        User::begin(lab, move |stop, worked| read(address, &log, stop, worked))
    }

    /// How many dialogues have worked so far.
    #[must_use]
    pub fn worked(&self) -> usize {
        self.worked.load(Ordering::Relaxed)
    }

    /// Ends the work.
    ///
    /// # Errors
    /// When the raw log could not be written.
    pub fn end(mut self) -> Result<Experience> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or_else(|| Ok(Experience::default()), finish)
    }

    fn begin(
        lab: &Lab,
        work: impl FnOnce(&AtomicBool, &AtomicUsize) -> Result<Experience> + Send + 'static,
    ) -> Result<User> {
        let (stop, worked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (flag, count) = (Arc::clone(&stop), Arc::clone(&worked));
        let thread = stand_on(&lab.client, move || work(&flag, &count))?;
        Ok(User { stop, worked, thread: Some(thread) })
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn deliver(address: SocketAddr, log: &Path, stop: &AtomicBool, worked: &AtomicUsize) -> Result<Experience> {
    let mut notes = Notes::begin(log)?;
    let mut id = MessageId { number: 1, attempt: 1 };
    while !stop.load(Ordering::Relaxed) {
        let outcome = lmtp::deliver(address, dovecot::USER, &mail::text(id), DIALOGUE_LIMIT);
        if notes.take(&id.to_string(), &outcome, worked)? {
            notes.experience.accepted.push(id);
            id = MessageId { number: id.number + 1, attempt: 1 };
        } else {
            id.attempt += 1;
        }
        std::thread::sleep(PACE);
    }
    notes.end()
}

fn read(address: SocketAddr, log: &Path, stop: &AtomicBool, worked: &AtomicUsize) -> Result<Experience> {
    let mut notes = Notes::begin(log)?;
    while !stop.load(Ordering::Relaxed) {
        let outcome = pop3::visit(address, dovecot::USER, dovecot::PASSWORD, DIALOGUE_LIMIT);
        if let Ok(visit) = &outcome
            && visit.messages > 0
            && mail::recognise(&visit.newest).is_none()
        {
            notes.experience.wrong.push(visit.newest.clone());
        }
        let messages = outcome.as_ref().map_or(0, |visit| visit.messages);
        notes.take(&format!("{messages} messages"), &outcome, worked)?;
        std::thread::sleep(PACE);
    }
    notes.end()
}

/// The raw log of a user, and what comes out of it.
struct Notes {
    log: BufWriter<File>,
    experience: Experience,
}

impl Notes {
    fn begin(log: &Path) -> Result<Notes> {
        let experience = Experience { begin_us: now_us(), ..Experience::default() };
        Ok(Notes { log: BufWriter::new(File::create(log)?), experience })
    }

    /// Notes one dialogue; gives whether it worked.
    fn take<T>(&mut self, what: &str, outcome: &Result<T>, worked: &AtomicUsize) -> Result<bool> {
        let now = now_us();
        match outcome {
            Ok(_) => {
                self.experience.worked_us.push(now);
                worked.fetch_add(1, Ordering::Relaxed);
                writeln!(self.log, "{now} {what} ok")?;
            }
            Err(error) => {
                self.experience.failures += 1;
                writeln!(self.log, "{now} {what} {error:#}")?;
            }
        }
        Ok(outcome.is_ok())
    }

    fn end(mut self) -> Result<Experience> {
        self.log.flush()?;
        self.experience.end_us = now_us();
        Ok(self.experience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_counts_the_time_before_the_first_and_after_the_last_success() {
        let mut seen = Experience { begin_us: 100, end_us: 1_000, worked_us: vec![200, 300], ..Experience::default() };
        assert_eq!(seen.longest_gap_us(), (300, 700));
        seen.worked_us = vec![900];
        assert_eq!(seen.longest_gap_us(), (100, 800));
    }
}
