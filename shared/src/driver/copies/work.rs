//! The task that copies, one copy at a time, while the other host runs the service and this one stands by.
//!
//! It owns the file with the ages. Stopping it anywhere kills the copy that runs, with its group; the data it was
//! bringing stays as old as it was.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::memory::{Memory, Record};
use super::moment::Moment;
use crate::config::{Loaded, StandbyCopy, show_duration};
use crate::decision::{BootId, Epoch, Role};
use crate::driver::disk::Disk;
use crate::driver::{Input, entries};
use crate::script::{Asked, CopyRun, Environment, ListLock, Operation, cancel, end_old_runs};

/// After a failure, unless the next run is due sooner.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How often an active host writes down that its data are the original. After a crash they look so much older.
const ORIGINAL_EVERY: Duration = Duration::from_secs(60);

/// What this host has to do with copies now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Part {
    /// Nothing: the other host does not run the service, or is not heard, or a move is under way.
    #[default]
    Rests,
    /// The other host runs the service in this epoch.
    Copies(Epoch),
    /// The service runs here: the data here are what is copied.
    Original,
}

/// What the task goes by.
#[derive(Clone)]
pub(super) struct Orders {
    pub(super) part: Part,
    pub(super) loaded: Arc<Loaded>,
}

/// What is known of one copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// When its data was that of the other host: the beginning of the last run that succeeded.
    pub(super) current_at: Option<Moment>,
    /// The last try in words.
    pub(super) last: Option<String>,
    /// The last try failed.
    pub(super) failed: bool,
    /// A run is under way.
    pub(super) runs: bool,
}

/// What the task tells the loop.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(super) rows: BTreeMap<String, Row>,
    pub(super) trouble: Option<String>,
}

/// What the task is made of.
pub(super) struct Setup {
    pub(super) file: PathBuf,
    pub(super) role: Role,
    pub(super) boot: BootId,
    pub(super) lock: ListLock,
    pub(super) disk: Disk,
    pub(super) inputs: mpsc::Sender<Input>,
}

struct Work {
    setup: Setup,
    orders: watch::Receiver<Orders>,
    record: Record,
    memory: Memory,
    rows: BTreeMap<String, Row>,
    /// When each is due. One that is not here is due at once.
    due: BTreeMap<String, Instant>,
}

/// Copies until the daemon ends.
pub(super) async fn work(setup: Setup, mut orders: watch::Receiver<Orders>) {
    let loaded = orders.borrow_and_update().loaded.clone();
    let environment = environment(&loaded, setup.role, Epoch(0), "the copies of a daemon that ended");
    end_old_runs(&loaded.config.copies, &environment, &setup.lock).await;
    // A pair without copies has no file for them.
    while orders.borrow_and_update().loaded.config.copies.is_empty() {
        if orders.changed().await.is_err() {
            return;
        }
    }
    let host = loaded.config.host(setup.role).name.clone();
    let (memory, record) = Memory::open(setup.file.clone(), host, loaded.config.name.clone()).await;
    let mut work = Work { setup, orders, record, memory, rows: BTreeMap::new(), due: BTreeMap::new() };
    work.go_on().await;
}

impl Work {
    async fn go_on(&mut self) {
        loop {
            let Orders { part, loaded } = self.orders.borrow_and_update().clone();
            let copies = &loaded.config.copies;
            self.know(copies);
            self.tell().await;
            let next = copies.iter().min_by_key(|copy| self.due.get(&copy.name).copied());
            let ends = match (part, next) {
                (Part::Original, _) => self.original(&loaded).await,
                (Part::Copies(epoch), Some(copy)) => self.copy(&loaded, copy, epoch).await,
                (Part::Rests, _) | (Part::Copies(_), None) => self.orders.changed().await.is_err(),
            };
            if ends {
                return;
            }
        }
    }

    /// What is here is current; known again at the end, so that its age counts from the moment it stopped being so.
    async fn original(&mut self, loaded: &Loaded) -> bool {
        self.mark(loaded).await;
        tokio::select! {
            () = sleep(ORIGINAL_EVERY) => false,
            changed = self.orders.changed() => {
                self.mark(loaded).await;
                changed.is_err()
            }
        }
    }

    async fn mark(&mut self, loaded: &Loaded) {
        let now = Moment::now(self.setup.boot);
        self.record.current_at = loaded.config.copies.iter().map(|copy| (copy.name.clone(), now.clone())).collect();
        self.know(&loaded.config.copies);
        self.tell().await;
        self.memory.write(self.record.clone()).await;
    }

    /// A row for each copy that there is, with its age.
    fn know(&mut self, copies: &[StandbyCopy]) {
        self.rows.retain(|name, _| copies.iter().any(|copy| copy.name == *name));
        for copy in copies {
            let row = self.rows.entry(copy.name.clone()).or_default();
            row.current_at = self.record.current_at.get(&copy.name).cloned();
        }
    }

    /// Waits until it is due and runs it. True: the daemon ends.
    async fn copy(&mut self, loaded: &Arc<Loaded>, copy: &StandbyCopy, epoch: Epoch) -> bool {
        if let Some(due) = self.due.get(&copy.name).copied() {
            tokio::select! {
                () = sleep_until(due) => {}
                changed = self.orders.changed() => return changed.is_err(),
            }
        }
        let (begun, current_at) = (Instant::now(), Moment::now(self.setup.boot));
        self.row(copy).runs = true;
        self.tell().await;
        let asked = self.run(loaded, copy, epoch).await;
        self.row(copy).runs = false;
        // Not sooner than its end: of two that take longer than `every`, both have their turn.
        let due = (begun + copy.every).max(Instant::now());
        match asked {
            None => {
                self.row(copy).last = Some("ended early: a move, or maintenance".to_owned());
                self.due.remove(&copy.name);
            }
            Some(asked) if asked.answer.passed() => {
                self.due.insert(copy.name.clone(), due);
                self.record.current_at.insert(copy.name.clone(), current_at);
                let took = show_duration(asked.duration);
                if self.row(copy).failed || self.row(copy).last.is_none() {
                    self.note(&format!("the copy {:?} was made, in {took}", copy.name), "");
                }
                *self.row(copy) = Row { last: Some(format!("made in {took}")), ..Row::default() };
                self.memory.write(self.record.clone()).await;
            }
            Some(asked) => {
                self.due.insert(copy.name.clone(), due.min(Instant::now() + AGAIN_AFTER));
                let said = format!("failed: {}", asked.answer.said);
                if self.row(copy).last.as_ref() != Some(&said) {
                    self.note(&format!("the copy {:?} {said}", copy.name), &asked.tail);
                }
                (self.row(copy).failed, self.row(copy).last) = (true, Some(said));
            }
        }
        false
    }

    /// `None`: a move ended it.
    async fn run(&self, loaded: &Arc<Loaded>, copy: &StandbyCopy, epoch: Epoch) -> Option<Asked> {
        let reason = format!("the copy {}", copy.name);
        let run = CopyRun {
            copy,
            environment: environment(loaded, self.setup.role, epoch, &reason),
            directory: loaded.config.service.directory.clone(),
            lock: self.setup.lock.clone(),
        };
        let (handle, mut cancelled) = cancel();
        let mut orders = self.orders.clone();
        let word = async {
            while orders.borrow_and_update().part == Part::Copies(epoch) && orders.changed().await.is_ok() {}
            handle.cancel();
            std::future::pending().await
        };
        tokio::select! {
            asked = run.run(&mut cancelled) => asked,
            asked = word => asked,
        }
    }

    fn row(&mut self, copy: &StandbyCopy) -> &mut Row {
        self.rows.entry(copy.name.clone()).or_default()
    }

    fn note(&self, text: &str, tail: &str) {
        tracing::info!("{text}");
        let fields = (!tail.is_empty()).then(|| ("tail", serde_json::json!(tail)));
        self.setup.disk.note(entries::entry("copy", text, fields.as_slice()));
    }

    async fn tell(&self) {
        let told = Told { rows: self.rows.clone(), trouble: self.memory.trouble.clone() };
        // The loop is gone: this task ends with it.
        let _ = self.setup.inputs.send(Input::Copies(told)).await;
    }
}

fn environment(loaded: &Loaded, role: Role, epoch: Epoch, reason: &str) -> Environment {
    Environment::of(loaded, role, Operation::start_of(role), epoch, reason)
}
