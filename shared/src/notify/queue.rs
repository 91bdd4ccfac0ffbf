//! The pages that wait, in memory: bounded, merged, and without I/O or a clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::page::{Kind, Page};

/// How many pages wait at most. There are fewer kinds than that, so a full queue always holds two of one kind.
pub(super) const PAGES_MAX: usize = 64;

/// One way to the operators.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Way {
    /// By mail to this address.
    Mail(String),
    /// By the command.
    Command,
}

/// A page that waits, as it also lies in the spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its number, unique in this spool.
    pub(super) id: u64,
    /// What is told.
    pub(super) page: Page,
    /// How many pages it stands for.
    pub(super) count: u32,
    /// When the first of them was raised.
    pub(super) first: Timestamp,
    /// When the last of them was raised.
    pub(super) last: Timestamp,
    /// The ways by which it has not been delivered yet.
    pub(super) left: Vec<Way>,
}

#[derive(Debug)]
struct Waiting {
    entry: Entry,
    /// Not before: its twin went out less than a quiet time ago.
    due: Instant,
    /// Ways that are delivering it at this moment.
    in_flight: u32,
    /// Differs from what lies in the spool.
    dirty: bool,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    ways: Vec<Way>,
    quiet: Duration,
    waiting: VecDeque<Waiting>,
    /// What was raised lately, so that a repetition waits for its siblings.
    recent: VecDeque<(Kind, String, Instant)>,
    /// Numbers whose spool files are to go.
    gone: Vec<u64>,
    next_id: u64,
    merged: u64,
}

impl Queue {
    /// An empty queue for these ways; repetitions within `quiet` are merged.
    pub(super) fn new(ways: Vec<Way>, quiet: Duration) -> Queue {
        let (waiting, recent) = (VecDeque::new(), VecDeque::new());
        Queue { ways, quiet, waiting, recent, gone: Vec::new(), next_id: 1, merged: 0 }
    }

    /// Takes an entry from the spool back in. Ways that are no longer configured are forgotten.
    pub(super) fn restore(&mut self, mut entry: Entry, now: Instant) {
        self.next_id = self.next_id.max(entry.id.saturating_add(1));
        entry.left.retain(|way| self.ways.contains(way));
        if entry.left.is_empty() {
            self.gone.push(entry.id);
            return;
        }
        self.make_room(entry.page.kind());
        self.waiting.push_back(Waiting { entry, due: now, in_flight: 0, dirty: false });
    }

    /// Takes a page in; it may be merged with one that waits.
    pub(super) fn add(&mut self, page: Page, now: Instant, wall: Timestamp) {
        let twin = |waiting: &&mut Waiting| {
            let known = &waiting.entry.page;
            known.kind() == page.kind() && known.subject() == page.subject() && waiting.untouched(&self.ways)
        };
        if let Some(waiting) = self.waiting.iter_mut().find(twin) {
            waiting.absorb(page, wall);
            self.merged += 1;
            return;
        }
        let quiet = self.quiet;
        self.recent.retain(|(_, _, raised)| now.duration_since(*raised) < quiet);
        let raised =
            self.recent.iter().rev().find(|(kind, subject, _)| *kind == page.kind() && subject == page.subject());
        let due = raised.map_or(now, |(_, _, raised)| *raised + quiet);
        self.recent.push_back((page.kind(), page.subject().to_owned(), due));
        if self.recent.len() > PAGES_MAX {
            self.recent.pop_front();
        }
        self.make_room(page.kind());
        let left = self.ways.clone();
        let entry = Entry { id: self.next_id, page, count: 1, first: wall, last: wall, left };
        self.next_id = self.next_id.saturating_add(1);
        self.waiting.push_back(Waiting { entry, due, in_flight: 0, dirty: true });
    }

    /// When full, folds the oldest page into the next one of its kind; of the coming page's kind if there are two.
    fn make_room(&mut self, coming: Kind) {
        if self.waiting.len() < PAGES_MAX {
            return;
        }
        let pair = self.pair_of(|kind| kind == coming).or_else(|| self.pair_of(|_| true));
        let Some((older, newer)) = pair else { return };
        let Some(old) = self.waiting.remove(older) else { return };
        self.gone.push(old.entry.id);
        self.merged += 1;
        // One place further to the front, now that the older one is out.
        if let Some(kept) = self.waiting.get_mut(newer - 1) {
            kept.entry.count = kept.entry.count.saturating_add(old.entry.count);
            kept.entry.first = kept.entry.first.min(old.entry.first);
            kept.entry.left.clone_from(&self.ways);
            kept.dirty = true;
        }
    }

    /// The oldest two entries of one kind that nobody is delivering.
    fn pair_of(&self, wanted: impl Fn(Kind) -> bool) -> Option<(usize, usize)> {
        let idle = || self.waiting.iter().enumerate().filter(|(_, waiting)| waiting.in_flight == 0);
        idle().find_map(|(older, waiting)| {
            let kind = waiting.entry.page.kind();
            let mut later = idle().filter(|&(at, other)| at > older && other.entry.page.kind() == kind);
            later.next().filter(|_| wanted(kind)).map(|(newer, _)| (older, newer))
        })
    }

    /// The oldest page that is due on this way, marked as in flight; or when the next one will be due.
    pub(super) fn take(&mut self, way: &Way, now: Instant) -> Result<Entry, Option<Instant>> {
        let mut next = None;
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.entry.left.contains(way)) {
            if waiting.due <= now {
                waiting.in_flight += 1;
                return Ok(waiting.entry.clone());
            }
            next = next.map_or(Some(waiting.due), |next: Instant| Some(next.min(waiting.due)));
        }
        Err(next)
    }

    /// A delivery ended. Delivered by every way, the page is gone.
    pub(super) fn ended(&mut self, id: u64, way: &Way, delivered: bool) {
        let Some(at) = self.waiting.iter().position(|waiting| waiting.entry.id == id) else { return };
        let Some(waiting) = self.waiting.get_mut(at) else { return };
        waiting.in_flight = waiting.in_flight.saturating_sub(1);
        if !delivered {
            return;
        }
        waiting.entry.left.retain(|left| left != way);
        waiting.dirty = true;
        if waiting.entry.left.is_empty() {
            self.waiting.remove(at);
            self.gone.push(id);
        }
    }

    /// What the spool has to write and to remove to be equal again.
    pub(super) fn changes(&mut self) -> (Vec<Entry>, Vec<u64>) {
        let mut written = Vec::new();
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.dirty) {
            waiting.dirty = false;
            written.push(waiting.entry.clone());
        }
        (written, std::mem::take(&mut self.gone))
    }

    /// The spool could not write this one: tried again at the next change.
    pub(super) fn not_written(&mut self, id: u64) {
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.entry.id == id) {
            waiting.dirty = true;
        }
    }

    /// How many pages wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// When the oldest waiting page was raised.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|waiting| waiting.entry.first).min()
    }

    /// How many pages were merged into others.
    pub(super) fn merged(&self) -> u64 {
        self.merged
    }
}

impl Waiting {
    /// Nobody has got it, and nobody is getting it.
    fn untouched(&self, ways: &[Way]) -> bool {
        self.in_flight == 0 && self.entry.left.len() == ways.len()
    }

    fn absorb(&mut self, page: Page, wall: Timestamp) {
        self.entry.count = self.entry.count.saturating_add(1);
        self.entry.last = wall;
        self.entry.page = page;
        self.dirty = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(60);

    fn queue() -> Queue {
        Queue::new(vec![Way::Mail("ops@example.org".to_owned()), Way::Command], QUIET)
    }

    fn page(kind: Kind, subject: &str) -> Page {
        Page::new(kind, subject, "text")
    }

    fn deliver(queue: &mut Queue, way: &Way, now: Instant) -> Result<Entry, Option<Instant>> {
        let entry = queue.take(way, now)?;
        queue.ended(entry.id, way, true);
        Ok(entry)
    }

    #[test]
    fn a_page_is_gone_when_every_way_has_delivered_it() {
        let (mut queue, now) = (queue(), Instant::now());
        queue.add(page(Kind::Move, "moved"), now, Timestamp::now());
        let mail = Way::Mail("ops@example.org".to_owned());
        let id = deliver(&mut queue, &mail, now).unwrap().id;
        assert_eq!(queue.take(&mail, now), Err(None));
        assert_eq!(queue.changes().1, [] as [u64; 0]);
        deliver(&mut queue, &Way::Command, now).unwrap();
        assert_eq!((queue.changes(), queue.len()), ((vec![], vec![id]), 0));
    }

    #[test]
    fn a_failed_delivery_leaves_the_page() {
        let (mut queue, now) = (queue(), Instant::now());
        queue.add(page(Kind::Move, "moved"), now, Timestamp::now());
        let entry = queue.take(&Way::Command, now).unwrap();
        queue.ended(entry.id, &Way::Command, false);
        assert_eq!(queue.take(&Way::Command, now).unwrap(), entry);
    }

    #[test]
    fn repetitions_wait_for_a_minute_and_go_out_as_one() {
        let (mut queue, start) = (Queue::new(vec![Way::Command], QUIET), Instant::now());
        queue.add(page(Kind::Blocked, "blocked"), start, Timestamp::now());
        assert_eq!(deliver(&mut queue, &Way::Command, start).unwrap().count, 1);
        for second in [10, 20, 30] {
            queue.add(page(Kind::Blocked, "blocked"), start + Duration::from_secs(second), Timestamp::now());
        }
        assert_eq!(queue.take(&Way::Command, start + Duration::from_secs(59)), Err(Some(start + QUIET)));
        // Another subject is no repetition.
        queue.add(page(Kind::Blocked, "other"), start + Duration::from_secs(31), Timestamp::now());
        assert_eq!(
            deliver(&mut queue, &Way::Command, start + Duration::from_secs(31)).unwrap().page.subject(),
            "other"
        );
        assert_eq!(deliver(&mut queue, &Way::Command, start + QUIET).unwrap().count, 3);
        // Still no more than one a minute.
        queue.add(page(Kind::Blocked, "blocked"), start + Duration::from_secs(70), Timestamp::now());
        assert_eq!(queue.take(&Way::Command, start + Duration::from_secs(119)), Err(Some(start + QUIET * 2)));
    }

    #[test]
    fn a_page_in_delivery_or_half_delivered_does_not_swallow_a_new_one() {
        let (mut queue, now) = (queue(), Instant::now());
        queue.add(page(Kind::Move, "moved"), now, Timestamp::now());
        let entry = queue.take(&Way::Command, now).unwrap();
        queue.add(page(Kind::Move, "moved"), now, Timestamp::now());
        assert_eq!(queue.len(), 2);
        queue.ended(entry.id, &Way::Command, true);
        queue.add(page(Kind::Move, "moved"), now, Timestamp::now());
        assert_eq!((queue.len(), queue.merged()), (2, 1));
    }

    #[test]
    fn a_full_queue_folds_the_oldest_of_a_kind_and_loses_no_kind() {
        let (mut queue, now) = (queue(), Instant::now());
        queue.add(page(Kind::FailedStop, "the only one of its kind"), now, Timestamp::now());
        for number in 0..500 {
            queue.add(page(Kind::Link, &format!("link {number}")), now, Timestamp::now());
            assert!(queue.len() <= PAGES_MAX);
        }
        queue.add(page(Kind::Move, "moved"), now, Timestamp::now());
        let mut entries = Vec::new();
        while let Ok(entry) = deliver(&mut queue, &Way::Command, now) {
            entries.push(entry);
        }
        assert_eq!(entries.iter().map(|entry| entry.count).sum::<u32>(), 502);
        assert_eq!(entries.first().unwrap().page.kind(), Kind::FailedStop);
        assert_eq!(entries.last().unwrap().page.kind(), Kind::Move);
    }

    #[test]
    fn a_restored_page_goes_only_where_it_has_not_been() {
        let (mut queue, now) = (queue(), Instant::now());
        let wall = Timestamp::now();
        let entry = |id, left| Entry { id, page: page(Kind::Move, "moved"), count: 2, first: wall, last: wall, left };
        queue.restore(entry(7, vec![Way::Command]), now);
        queue.restore(entry(8, vec![Way::Mail("gone@example.org".to_owned())]), now);
        assert_eq!(queue.changes(), (vec![], vec![8]));
        assert_eq!(deliver(&mut queue, &Way::Command, now).unwrap().count, 2);
        queue.add(page(Kind::Move, "again"), now, wall);
        assert_eq!(queue.take(&Way::Command, now).unwrap().id, 9);
    }
}
