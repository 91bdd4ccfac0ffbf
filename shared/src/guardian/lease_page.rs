//! The daemon's pen: writes what is held into the page, and reads the guardian's report.

use std::path::Path;

use crate::decision::{BootId, Epoch, Millis};

use super::lease::{Holding, Lease, Spans};
use super::moment::Moment;
use super::page::{Page, PageError, Side};
use super::plan::{Plan, PlanError};
use super::record::{Guarding, Record, Report};

const NO_LEASE: Lease = Lease {
    holding: Holding::Idle,
    epoch: Epoch(0),
    since: Moment { boottime_ns: 0, raw_ns: 0 },
    spans: Spans { stop_after_ms: Millis(0), scripts_ms: Millis(0), kill_ms: Millis(0), watchdog_ms: Millis(0) },
};

/// The page as the daemon has it open. One daemon at a time.
#[derive(Debug)]
pub struct LeasePage {
    page: Page,
    record: Record,
    remembered: Option<Lease>,
    plan_path: std::path::PathBuf,
}

/// Whether a start may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arming {
    /// The guardian has not seen the lease yet.
    Waiting,
    /// It guards the lease: the watchdog is open and its time-out was read back, or the plan has none.
    Armed,
    /// It does not, and why. Nothing may be started; it goes on trying.
    Refused(String),
}

/// Why the page or the plan beside it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LeasePageError {
    /// The page cannot be used.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The plan cannot be written.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl LeasePage {
    /// Opens the page and leaves the plan for the guardian. What was held before stays in force until
    /// [`LeasePage::publish`].
    ///
    /// # Errors
    /// See [`LeasePageError`].
    pub fn open(path: &Path, boot: BootId, plan: &Plan) -> Result<LeasePage, LeasePageError> {
        let plan_path = path.with_extension("guard");
        let digest = plan.write(&plan_path)?;
        let page = Page::open(path)?;
        let newest = page.newest(Side::Daemon, |words| Record::parse(words).map(|record| (record.sequence, record)))?;
        let remembered = newest.filter(|record| record.boot == boot).map(|record| record.lease);
        let sequence = newest.map_or(0, |record| record.sequence);
        let lease = remembered.unwrap_or(NO_LEASE);
        let record = Record { sequence, boot, lease, plan: digest };
        let mut page = LeasePage { page, record, remembered, plan_path };
        page.beat()?;
        Ok(page)
    }

    /// What the daemon before this one held, in this kernel start. `Held` with a span past [`super::Span::Serving`] is
    /// over: the service is to be stopped, and nothing gone on with.
    #[must_use]
    pub fn remembered(&self) -> Option<Lease> {
        self.remembered
    }

    /// The lease as it was published last.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.record.lease
    }

    /// Writes what is held from now on. The guardian takes only what goes forward: a higher epoch, or a later t0.
    ///
    /// # Errors
    /// The page cannot be written. The guardian then goes on with what it knows.
    pub fn publish(&mut self, lease: Lease) -> Result<(), PageError> {
        self.record.lease = lease;
        self.beat()
    }

    /// Writes the same again under the next number: this daemon lives.
    ///
    /// # Errors
    /// The page cannot be written.
    pub fn beat(&mut self) -> Result<(), PageError> {
        self.record.sequence = self.record.sequence.saturating_add(1);
        self.page.write(Side::Daemon, self.record.sequence, &self.record.to_string())
    }

    /// Leaves another plan, when the configuration was read again.
    ///
    /// # Errors
    /// See [`LeasePageError`]; the plan before is then in force.
    pub fn follow_plan(&mut self, plan: &Plan) -> Result<(), LeasePageError> {
        self.record.plan = plan.write(&self.plan_path)?;
        Ok(self.beat()?)
    }

    /// What the guardian said last, if it did in this kernel start.
    ///
    /// # Errors
    /// The page cannot be read.
    pub fn report(&self) -> Result<Option<Report>, PageError> {
        let parse = |words: &str| Report::parse(words).map(|report| (report.pulse, report));
        Ok(self.page.newest(Side::Guardian, parse)?.filter(|report| report.boot == self.record.boot))
    }

    /// Whether the lease that was published last is guarded.
    ///
    /// # Errors
    /// The page cannot be read.
    pub fn arming(&self) -> Result<Arming, PageError> {
        let lease = self.record.lease;
        if lease.holding != Holding::Held {
            return Ok(Arming::Refused("no lease is held".to_owned()));
        }
        let Some(report) = self.report()?.filter(|report| report.epoch == lease.epoch) else {
            return Ok(Arming::Waiting);
        };
        Ok(match report.guarding {
            Guarding::Armed | Guarding::ArmedAlone => Arming::Armed,
            Guarding::Idle => Arming::Waiting,
            Guarding::Refused => Arming::Refused(report.why),
            Guarding::Ending | Guarding::Resetting => Arming::Refused("its time is over".to_owned()),
            Guarding::Ended => Arming::Refused("the guardian has ended this epoch".to_owned()),
        })
    }
}
