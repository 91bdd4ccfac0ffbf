//! What the stand-by copies from the active host: how old it is, and what that means for a take-over.
//!
//! The host that owns the highest epoch known needs no copy: it ran the service last, so the data here are the original.

mod memory;
mod moment;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub(crate) use self::work::Told;
use self::work::{Orders, Part, Row, Setup, work};
use super::disk::Disk;
use super::turn::Driver;
use super::{Input, entries};
use crate::config::{Config, Loaded, StandbyCopy, WhenOld, oldest_in_use};
use crate::decision::{BootId, Duty, Event, Millis, Node, PageKind, Role, State};
use crate::script::ListLock;
use crate::status::CopyStatus;

/// The copies as the loop knows them. Dropping it ends the task, and a copy that runs.
pub(super) struct Copies {
    boot: BootId,
    orders: watch::Sender<Orders>,
    task: JoinHandle<()>,
    told: Told,
    /// Old ones that a person has been told of.
    old: BTreeSet<String>,
    /// What the core was told.
    asks: Vec<String>,
}

impl Copies {
    /// Starts the task; it copies when [`Copies::follow`] has seen an active peer.
    pub(super) fn start(
        loaded: &Arc<Loaded>,
        (role, boot): (Role, BootId),
        state_dir: &Path,
        lock: ListLock,
        disk: Disk,
        inputs: mpsc::Sender<Input>,
    ) -> Copies {
        let (orders, followed) = watch::channel(Orders { part: Part::Rests, loaded: loaded.clone() });
        let file = state_dir.join(format!("{role}.copies"));
        let task = tokio::spawn(work(Setup { file, role, boot, lock, disk, inputs }, followed));
        Copies { boot, orders, task, told: Told::default(), old: BTreeSet::new(), asks: Vec::new() }
    }

    /// A copy that runs goes on by the old configuration.
    pub(super) fn replace_config(&self, loaded: Arc<Loaded>) {
        self.orders.send_modify(|orders| orders.loaded = loaded);
    }

    /// Copies only beside an active peer that is heard: what a host leaves that is just stopping is no copy.
    pub(super) fn follow(&self, node: &Node) {
        let (beat, _, silent) = node.peer();
        let part = match (node.state(), beat) {
            (State::Active { .. }, _) => Part::Original,
            (State::Standby, Some(beat))
                if !silent && beat.duty == Duty::Active && node.record().maintenance.is_none() =>
            {
                Part::Copies(beat.epoch)
            }
            _ => Part::Rests,
        };
        self.orders.send_if_modified(|orders| std::mem::replace(&mut orders.part, part) != part);
    }

    /// Each copy as the status shows it.
    pub(super) fn status(&self, now: Millis, node: &Node, config: &Config) -> Vec<CopyStatus> {
        let (utc, original) = (Timestamp::now(), is_original(node));
        config.copies.iter().map(|copy| self.row(copy, &config.copies, now, utc, original)).collect()
    }

    /// Why ages would not survive a restart, and what is old.
    pub(super) fn troubles(&self, now: Millis, node: &Node, config: &Config) -> Vec<String> {
        let old = self.status(now, node, config).into_iter().filter(|copy| copy.is_old).map(|copy| sentence(&copy));
        self.told.trouble.clone().into_iter().chain(old).collect()
    }

    fn row(
        &self,
        copy: &StandbyCopy,
        all: &[StandbyCopy],
        now: Millis,
        utc: Timestamp,
        is_original: bool,
    ) -> CopyStatus {
        let unknown = Row::default();
        let row = self.told.rows.get(&copy.name).unwrap_or(&unknown);
        let age = row.current_at.as_ref().and_then(|moment| moment.age(self.boot, now, utc));
        let max_age = millis(copy.max_age);
        CopyStatus {
            name: copy.name.clone(),
            is_original,
            current_at: row.current_at.as_ref().map(|moment| moment.utc.to_string()),
            age_ms: age.map(|age| age.0),
            max_age_ms: max_age.0,
            worst_loss_ms: millis(oldest_in_use(all, copy)).0,
            is_old: !is_original && age.is_none_or(|age| age > max_age),
            when_old: format!("{:?}", copy.when_old),
            last: row.last.clone(),
            failed: row.failed,
            runs: row.runs,
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Driver {
    pub(super) fn copies_told(&mut self, now: Millis, told: Told) {
        self.copies.told = told;
        self.look_at_copies(now);
    }

    /// Tells the core, the journal and a person what has become old, and gives what keeps this host from starting.
    pub(super) fn look_at_copies(&mut self, now: Millis) -> Vec<String> {
        let rows = self.copies.status(now, &self.node, &self.loaded.config);
        let (mut blocked, mut asks) = (Vec::new(), Vec::new());
        let mut old = BTreeSet::new();
        for (copy, row) in self.loaded.config.copies.iter().zip(&rows).filter(|(_, row)| row.is_old) {
            match copy.when_old {
                WhenOld::Allowed => {}
                WhenOld::Blocked => blocked.push(sentence(row)),
                WhenOld::Asks => asks.push(sentence(row)),
            }
            old.insert(copy.name.clone());
        }
        // Old for want of a host to copy from is no news; the other host's failure is, and that has its own page.
        let copies = matches!(self.copies.orders.borrow().part, Part::Copies(_));
        let is_news = |row: &&CopyStatus| row.is_old && (row.failed || row.current_at.is_some());
        for row in rows.iter().filter(is_news).filter(|_| copies) {
            if self.copies.old.insert(row.name.clone()) {
                self.copy_is_old(row);
            }
        }
        for name in self.copies.old.iter().filter(|name| !old.contains(*name)) {
            self.disk.note(entries::entry("copy", &format!("the copy {name:?} is not old any more"), &[]));
        }
        self.copies.old.retain(|name| old.contains(name));
        if asks != self.copies.asks {
            self.copies.asks.clone_from(&asks);
            self.step(now, Event::OldCopies(asks));
        }
        blocked
    }

    fn copy_is_old(&self, row: &CopyStatus) {
        let cause = sentence(row);
        tracing::warn!("{cause}");
        let fields =
            [("age_ms", serde_json::json!(row.age_ms)), ("worst_loss_ms", serde_json::json!(row.worst_loss_ms))];
        self.disk.note(entries::entry("copy", &cause, &fields));
        let effect = match row.when_old.as_str() {
            "Blocked" => "This host does not take over until the copy is made.",
            "Asks" => "This host does not take over by itself until the copy is made.",
            _ => "A take-over goes on all the same, and loses what was changed on the other host since.",
        };
        let next =
            format!("mend what failoverctl history says of the copy {:?}; it is tried again by itself", row.name);
        self.page(PageKind::NoTakeover, &cause, effect, &next);
    }

    /// How much a start now may lose, for the journal.
    pub(super) fn note_copies(&self, now: Millis) {
        let rows = self.copies.status(now, &self.node, &self.loaded.config);
        if !rows.is_empty() {
            let ages: Vec<String> = rows.iter().map(in_short).collect();
            let text = format!("the service starts with these copies: {}", ages.join("; "));
            self.disk.note(entries::entry("copy", &text, &[("copies", serde_json::json!(rows))]));
        }
    }
}

/// This host ran the service last, as far as is known.
fn is_original(node: &Node) -> bool {
    node.record().owned == node.record().highest
}

/// An old copy, for a person.
fn sentence(row: &CopyStatus) -> String {
    let name = &row.name;
    let last = row.last.as_ref().map_or(String::new(), |last| format!("; the last try: {last}"));
    match (row.age_ms, &row.current_at) {
        (Some(age), _) => {
            let (age, max_age) = (Millis(age), Millis(row.max_age_ms));
            format!("the copy {name:?} is {age} old and its max_age is {max_age}{last}")
        }
        (None, Some(utc)) => format!(
            "how old the copy {name:?} is cannot be told: it was made at {utc}, by a clock that was ahead{last}"
        ),
        (None, None) => format!("the copy {name:?} has never been made on this host{last}"),
    }
}

fn in_short(row: &CopyStatus) -> String {
    match row.age_ms {
        Some(age) => format!("{} is {} old", row.name, Millis(age)),
        None => format!("{} of unknown age", row.name),
    }
}

fn millis(span: std::time::Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}
