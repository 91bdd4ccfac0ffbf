//! The guardian's half of a lease: reads what the daemon holds, pets the watchdog, and acts when a span is over.
//!
//! Reading, judging and petting are one turn of one thread: a pet always follows from a look at the page.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::decision::{BootId, Epoch, Millis};

use super::ending::Ending;
use super::lease::{Holding, Lease, Span};
use super::moment::Moment;
use super::page::{Page, PageError, Side};
use super::plan::{Guard, Plan};
use super::record::{Guarding, Record, Report};
use super::reset::Resetter;
use super::watchdog::Watchdog;

/// The longest sleep. The daemon takes a report that has not moved for [`super::guarded`]'s limit for a guardian that
/// stands still.
const TICK: Duration = Duration::from_secs(1);
/// Between two steps of an end.
const ENDING_TICK: Duration = Duration::from_millis(25);
/// A daemon whose page did not move for this long stands still: its loop turns at least twice a second.
const SILENT_AFTER: Millis = Millis(2_000);
/// A watchdog is petted so many times in its time-out.
const PETS_A_TIMEOUT: u64 = 3;

/// Everything the guardian knows of the lease.
pub(super) struct LeaseWatch {
    page: Page,
    plan_path: PathBuf,
    boot: BootId,
    /// Whose descendants belong to the service, whatever they are called: the guardian's own number.
    family: i32,
    /// The last record that was taken.
    record: Option<Record>,
    moved_at: Moment,
    /// A record that was not taken, told once.
    refused: Option<u64>,
    plan: Option<(u64, Rc<Plan>)>,
    watchdog: Option<Watchdog>,
    petted_at: Option<Moment>,
    ending: Option<Ending>,
    /// The guardian has ended this epoch and all before it.
    ended: Option<Epoch>,
    /// The lease, by its epoch and t0, for which a daemon was already killed or started at T.
    relieved: Option<(Epoch, Moment)>,
    resetter: Resetter,
    report: Report,
}

/// What the guardian is to do with the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// Kill it: it stands still, or its time is over.
    pub(super) kill: bool,
    /// Do not wait for the end of a pause: start it.
    pub(super) start_now: bool,
    /// Start none.
    pub(super) start_none: bool,
}

impl LeaseWatch {
    /// Opens the page, and makes it if it is not there. The plan lies beside it, with the ending `guard`.
    pub(super) fn open(path: &Path, boot: BootId, now: Moment) -> Result<LeaseWatch, PageError> {
        let page = Page::open(path)?;
        let before = page.newest(Side::Guardian, |words| Report::parse(words).map(|report| (report.pulse, report)))?;
        let ended = before.as_ref().filter(|report| report.boot == boot && report.guarding == Guarding::Ended);
        let ended = ended.map(|report| report.epoch);
        let pulse = before.map_or(0, |report| report.pulse);
        let guarding = Guarding::Idle;
        let mut watch = LeaseWatch {
            page,
            plan_path: path.with_extension("guard"),
            boot,
            family: std::process::id().cast_signed(),
            record: None,
            moved_at: now,
            refused: None,
            plan: None,
            watchdog: None,
            petted_at: None,
            ending: None,
            ended,
            relieved: None,
            resetter: Resetter::default(),
            report: Report { pulse, boot, seen: 0, guarding, epoch: Epoch(0), why: String::new() },
        };
        // Known before the first daemon is started: what a guardian that died has left may have run out.
        watch.look(now)?;
        Ok(watch)
    }

    /// A turn. `daemon_runs`: there is a daemon that could act.
    pub(super) fn turn(&mut self, now: Moment, daemon_runs: bool) -> Orders {
        if let Err(error) = self.look(now) {
            // The clock goes on with what was read before: a page that cannot be read extends nothing.
            self.report.why = format!("{error}: {}", cause(&error));
        }
        let Some((lease, span)) = self.duty(now) else {
            self.rest(now);
            return Orders::default();
        };
        let mut orders = Orders::default();
        if span < Span::Ending {
            self.ending = None;
            self.arm(&lease);
            let silent = now.since(self.moved_at) >= SILENT_AFTER;
            let lease_id = (lease.epoch, lease.since);
            if span == Span::Stopping && (silent || !daemon_runs) && self.relieved != Some(lease_id) {
                tracing::error!(epoch = lease.epoch.0, daemon_runs, "the lease ran out and the daemon does not act");
                self.relieved = Some(lease_id);
                orders = Orders { kill: daemon_runs, start_now: true, start_none: false };
            }
        } else {
            orders = Orders { kill: daemon_runs, start_now: false, start_none: true };
            self.end(&lease, span, now);
            if self.ended == Some(lease.epoch) {
                // It finds the service ended, and looks for itself.
                orders = Orders { kill: daemon_runs, start_now: true, start_none: false };
            }
        }
        self.pet();
        orders
    }

    /// Writes the report. `true`: it says something new, so the daemon should look.
    pub(super) fn tell(&mut self, before: &(u64, Guarding)) -> Result<bool, PageError> {
        self.report.pulse = self.report.pulse.saturating_add(1);
        self.page.write(Side::Guardian, self.report.pulse, &self.report.to_string())?;
        Ok(*before != self.told())
    }

    /// What [`LeaseWatch::tell`] compares.
    pub(super) fn told(&self) -> (u64, Guarding) {
        (self.report.seen, self.report.guarding)
    }

    /// Whether a lease with a limit is still guarded: then the guardian must not end.
    pub(super) fn is_bound(&self, now: Moment) -> bool {
        self.duty(now).is_some()
    }

    /// A daemon begins: its silence counts from now, and the page must be the one that it will find.
    pub(super) fn daemon_begins(&mut self, now: Moment) -> Result<(), PageError> {
        self.moved_at = now;
        self.page.follow()
    }

    /// Lets the watchdog go. What cannot be stopped is said.
    pub(super) fn close(&mut self) {
        let Some(watchdog) = self.watchdog.take() else { return };
        if let Some(why) = watchdog.stays() {
            tracing::error!(
                why,
                "the watchdog goes on when it is closed: the host will be reset, unless another petter comes"
            );
        }
        if let Err(error) = watchdog.close() {
            tracing::error!(%error, "the watchdog was not stopped: the host will be reset");
        }
    }

    /// How long to sleep.
    pub(super) fn pause(&self, now: Moment) -> Duration {
        let next = self.record.as_ref().and_then(|record| record.lease.until_next(now));
        let pet = self.watchdog.is_some().then(|| self.pet_every());
        let ending = self.ending.is_some().then_some(ENDING_TICK);
        let millis = |millis: Millis| Duration::from_millis(millis.0);
        [next.map(millis), pet.map(millis), ending].into_iter().flatten().fold(TICK, Duration::min)
    }

    /// Takes the daemon's newest record if it goes forward.
    fn look(&mut self, now: Moment) -> Result<(), PageError> {
        let newest =
            self.page.newest(Side::Daemon, |words| Record::parse(words).map(|record| (record.sequence, record)))?;
        let Some(record) = newest else { return Ok(()) };
        if self.record.is_some_and(|before| before.sequence == record.sequence) {
            return Ok(());
        }
        self.moved_at = now;
        // Read after the record: what was written a moment ago does not lie ahead.
        match self.objection(&record, Moment::now()) {
            None => {
                self.report.seen = record.sequence;
                self.record = Some(record);
                self.refused = None;
            }
            Some(why) if self.refused.is_none() => {
                tracing::error!(why, sequence = record.sequence, "what the daemon says of its lease is not taken");
                self.refused = Some(record.sequence);
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn objection(&self, record: &Record, now: Moment) -> Option<&'static str> {
        let lease = &record.lease;
        if record.boot != self.boot {
            return Some("it is of another kernel start");
        }
        if now.is_before(lease.since) {
            return Some("its time lies ahead");
        }
        if self.ended.is_some_and(|ended| lease.epoch <= ended)
            && matches!(lease.holding, Holding::Held | Holding::Hold)
        {
            return Some("the guardian has ended this epoch");
        }
        let before = self.record.as_ref()?;
        if record.sequence < before.sequence {
            return Some("its number goes back");
        }
        if lease.epoch < before.lease.epoch {
            return Some("its epoch goes back");
        }
        if lease.epoch > before.lease.epoch {
            return None;
        }
        match (before.lease.holding, lease.holding) {
            (Holding::Released, Holding::Held | Holding::Hold) => Some("the epoch was released"),
            (Holding::Held, Holding::Held) if lease.since.is_before(before.lease.since) => Some("its time goes back"),
            (Holding::Held, Holding::Held) if lease.spans != before.lease.spans => {
                Some("its spans changed inside an epoch")
            }
            _ => None,
        }
    }

    /// The lease that has a limit, and whose turn it is.
    fn duty(&self, now: Moment) -> Option<(Lease, Span)> {
        let lease = self.record.as_ref()?.lease;
        if self.ended.is_some_and(|ended| lease.epoch <= ended) {
            return None;
        }
        Some((lease, lease.span(now)?))
    }

    /// Nothing has a limit: the watchdog is closed, if it can be.
    fn rest(&mut self, now: Moment) {
        self.ending = None;
        self.resetter = Resetter::default();
        let lease = self.record.as_ref().map(|record| record.lease);
        // Until the daemon says that it has looked: by a release, or by a higher epoch.
        let ended = self.ended.filter(|ended| {
            let holds = |lease: &Lease| matches!(lease.holding, Holding::Held | Holding::Hold);
            lease.as_ref().is_none_or(|lease| lease.epoch <= *ended && holds(lease))
        });
        self.report.guarding = if ended.is_some() { Guarding::Ended } else { Guarding::Idle };
        self.report.epoch = ended.or(lease.map(|lease| lease.epoch)).unwrap_or_default();
        self.report.why.clear();
        match self.watchdog.as_ref().and_then(Watchdog::stays) {
            // Petted for as long as the host is to run: there is nothing that could write any more.
            Some(why) => {
                self.report.why = format!("the watchdog is petted on without a lease: {why}");
                self.pet_at(now);
            }
            None => self.close(),
        }
    }

    /// Has the watchdog open, or says why not. Also after a guardian died: the device counts on meanwhile.
    fn arm(&mut self, lease: &Lease) {
        self.report.epoch = lease.epoch;
        let armed = self.armed(lease);
        if let Err(why) = &armed
            && (self.report.guarding, &self.report.why) != (Guarding::Refused, why)
        {
            tracing::error!(why, "the lease is not guarded as it should be");
        }
        (self.report.guarding, self.report.why) = match armed {
            Ok(guarding) => (guarding, String::new()),
            Err(why) => (Guarding::Refused, why),
        };
    }

    fn armed(&mut self, lease: &Lease) -> Result<Guarding, String> {
        let plan = self.plan()?;
        let Guard::Watchdog { path, accept_softdog } = &plan.guard else { return Ok(Guarding::ArmedAlone) };
        let timeout = lease.spans.watchdog_ms;
        match &mut self.watchdog {
            Some(open) if open.is_at(path) || open.stays().is_some() => open.serve(path, timeout),
            _ => Watchdog::open(path, timeout, *accept_softdog).map(|opened| {
                // The one before, if a daemon with another configuration has come up: not before its successor counts.
                self.close();
                self.watchdog = Some(opened);
                self.petted_at = None;
            }),
        }
        .map_err(|error| error.to_string())?;
        Ok(Guarding::Armed)
    }

    /// The plan that the daemon names.
    fn plan(&mut self) -> Result<Rc<Plan>, String> {
        let digest = self.record.as_ref().map(|record| record.plan).unwrap_or_default();
        match &self.plan {
            Some((known, plan)) if *known == digest => Ok(Rc::clone(plan)),
            _ => {
                let read = Plan::read(&self.plan_path, digest);
                let plan = Rc::new(read.map_err(|error| format!("{error}: {}", cause(&error)))?);
                self.plan = Some((digest, Rc::clone(&plan)));
                Ok(plan)
            }
        }
    }

    fn end(&mut self, lease: &Lease, span: Span, now: Moment) {
        let done = match self.plan() {
            Ok(plan) => {
                let (kill_ms, family) = (lease.spans.kill_ms, self.family);
                let ending = self.ending.get_or_insert_with(|| {
                    tracing::error!(epoch = lease.epoch.0, "the lease runs out: the guardian ends the service");
                    Ending::new(plan, family, kill_ms, now)
                });
                ending.step(now)
            }
            Err(why) => Err(why),
        };
        self.report.epoch = lease.epoch;
        match done {
            Ok(()) => {
                tracing::warn!(epoch = lease.epoch.0, "the guardian has ended the service, and verified it");
                self.ended = Some(lease.epoch);
                self.rest(now);
            }
            Err(why) if span == Span::Over => {
                self.report.guarding = Guarding::Resetting;
                self.report.why = why;
                let reset = self.plan.as_ref().map(|(_, plan)| plan.reset.clone()).unwrap_or_default();
                self.resetter.ask(&reset, now);
            }
            Err(why) => {
                self.report.guarding = Guarding::Ending;
                self.report.why = why;
            }
        }
    }

    /// Pets if the lease still allows it, by a clock that is read here: a moment ago it may have.
    fn pet(&mut self) {
        let now = Moment::now();
        if self.duty(now).is_some_and(|(_, span)| span < Span::Over) {
            self.pet_at(now);
        }
    }

    fn pet_at(&mut self, now: Moment) {
        let every = self.pet_every();
        let Some(watchdog) = &mut self.watchdog else { return };
        if self.petted_at.is_some_and(|petted_at| now.since(petted_at) < every) {
            return;
        }
        match watchdog.pet() {
            Ok(()) => self.petted_at = Some(now),
            Err(error) => {
                tracing::error!(%error, "the watchdog was not petted; it is opened anew");
                self.watchdog = None;
            }
        }
    }

    fn pet_every(&self) -> Millis {
        let wanted = self.record.as_ref().map_or(Millis(0), |record| record.lease.spans.watchdog_ms);
        // A device that did not take another time-out runs out by the one it has.
        let timeout = self.watchdog.as_ref().map_or(wanted, |open| open.timeout().min(wanted));
        Millis((timeout.0 / PETS_A_TIMEOUT).clamp(100, 10_000))
    }
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

impl From<PageError> for io::Error {
    fn from(error: PageError) -> io::Error {
        io::Error::other(error)
    }
}

#[cfg(test)]
mod tests;
