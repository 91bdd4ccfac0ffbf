//! Rounds on a beat: one small task a check.
//!
//! A task owns its check and the stream of the round that runs; it shares nothing but the asker's password store. Stopping it
//! at any await closes the stream (or kills the command's group) and leaves nothing behind, so dropping [`Checks`] is how
//! checks are stopped: at the end, and to start others after a new configuration.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::ask::Asker;
use super::failure::CheckFailure;
use super::record::Record;
use crate::config::{Check, MailProbe, Probe};
use crate::decision::Millis;

/// From where a check looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vantage {
    /// At the own host.
    Local,
    /// At the peer, past the balancer.
    Direct,
    /// At whoever the balancer sends clients to.
    ThroughBalancer,
}

impl fmt::Display for Vantage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Vantage::Local => "local",
            Vantage::Direct => "direct",
            Vantage::ThroughBalancer => "through the balancer",
        })
    }
}

/// A check and where it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledCheck {
    /// The check.
    pub check: Check,
    /// From where it looks.
    pub vantage: Vantage,
    /// The host that is asked; a look through the balancer asks the check's own `through` instead.
    pub target: IpAddr,
}

impl ScheduledCheck {
    /// How long after the beginning it is first asked: a resource may need its time after a start.
    pub(super) fn delay(&self) -> Duration {
        match &self.check.probe {
            Probe::Resource(resource) => resource.start_delay,
            Probe::Port { .. } | Probe::Pop3(_) | Probe::Imap(_) | Probe::Command(_) => Duration::ZERO,
        }
    }

    /// The looks of a host at itself: every check.
    #[must_use]
    pub fn local(checks: &[Check], target: IpAddr) -> Vec<ScheduledCheck> {
        let local = |check: &Check| ScheduledCheck { check: check.clone(), vantage: Vantage::Local, target };
        checks.iter().map(local).collect()
    }

    /// The looks of a host at its peer: every check that goes over the network, directly, and those that name a balancer
    /// through it as well. A command or a resource asks the host that it runs on, so it is left out.
    #[must_use]
    pub fn remote(checks: &[Check], target: IpAddr) -> Vec<ScheduledCheck> {
        let mut scheduled = Vec::new();
        for check in checks {
            let look = |vantage| ScheduledCheck { check: check.clone(), vantage, target };
            match &check.probe {
                Probe::Command(_) | Probe::Resource(_) => {}
                Probe::Port { .. } => scheduled.push(look(Vantage::Direct)),
                Probe::Pop3(MailProbe { through, .. }) | Probe::Imap(MailProbe { through, .. }) => {
                    scheduled.push(look(Vantage::Direct));
                    scheduled.extend(through.is_some().then(|| look(Vantage::ThroughBalancer)));
                }
            }
        }
        scheduled
    }
}

/// How one round went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The check's name.
    pub check: String,
    /// From where it looked.
    pub vantage: Vantage,
    /// When the round began, on the daemon's clock.
    pub started: Millis,
    /// When it ended.
    pub finished: Millis,
    /// How long the service took, or how it failed. [`crate::decision::Symptom::Stale`]: this host could not ask.
    pub result: Result<Duration, CheckFailure>,
}

/// The daemon's clock, as its loop reads it.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// The running checks. Dropping it stops them all.
#[derive(Debug)]
pub struct Checks {
    asked: Vec<(String, Vantage, Arc<Notify>)>,
    _tasks: JoinSet<()>,
}

impl Checks {
    /// Starts a task for each check; the first rounds begin at once. Each round ends in one [`Report`], unless
    /// [`Checks::check_now`] gave it up. When `reports` is full a task waits with its next round: a loop that does not
    /// read is not helped by more.
    ///
    /// Must be called inside the runtime.
    #[must_use]
    pub fn start(
        checks: Vec<ScheduledCheck>,
        asker: &Arc<Asker>,
        clock: &Clock,
        reports: &mpsc::Sender<Report>,
    ) -> Checks {
        let mut tasks = JoinSet::new();
        let mut asked = Vec::with_capacity(checks.len());
        for scheduled in checks {
            let notify = Arc::new(Notify::new());
            asked.push((scheduled.check.name.clone(), scheduled.vantage, Arc::clone(&notify)));
            let (asker, clock, reports) = (Arc::clone(asker), Arc::clone(clock), reports.clone());
            tasks.spawn(async move { rounds(&scheduled, &asker, &*clock, &notify, &reports).await });
        }
        Checks { asked, _tasks: tasks }
    }

    /// Begins a round of the named check from that vantage now, and gives up one that already runs: it began before
    /// whatever made the caller ask. The beat of the other rounds does not move. False: there is no such check.
    pub fn check_now(&self, check: &str, vantage: Vantage) -> bool {
        let wanted = self.asked.iter().find(|(name, from, _)| name == check && *from == vantage);
        wanted.map(|(_, _, notify)| notify.notify_one()).is_some()
    }
}

/// Rounds for ever, or until nobody reads the reports.
async fn rounds(
    scheduled: &ScheduledCheck,
    asker: &Asker,
    clock: &(dyn Fn() -> Millis + Send + Sync),
    asked: &Notify,
    reports: &mpsc::Sender<Report>,
) {
    let ScheduledCheck { check, vantage, target } = scheduled;
    let every = check.every.max(Duration::from_millis(1));
    let first = Instant::now() + scheduled.delay();
    let mut beat = interval_at(first, every);
    // Rounds stay on the beat; one that was missed is not made up for.
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = asked.notified() => if Instant::now() < first { continue },
            _ = beat.tick() => {}
        }
        let (started, result) = loop {
            let started = clock();
            let mut record = Record::brief();
            tokio::select! {
                biased;
                () = asked.notified() => {}
                result = asker.round(check, *vantage, *target, &mut record) => break (started, result),
            }
        };
        let report = Report { check: check.name.clone(), vantage: *vantage, started, finished: clock(), result };
        if reports.send(report).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
