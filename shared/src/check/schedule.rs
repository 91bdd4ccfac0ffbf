//! Checks on their way: one small task a check, rounds that never overlap, each within its time.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::{CheckFailure, run_at, run_once};
use crate::clock;
use crate::config::Check;
use crate::decision::Millis;

/// From where a check looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vantage {
    /// This host's own service.
    Local,
    /// The other host's, directly.
    Direct,
    /// Whoever the balancer leads to.
    ThroughBalancer,
}

impl Vantage {
    /// For status and journal.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Vantage::Local => "local",
            Vantage::Direct => "direct",
            Vantage::ThroughBalancer => "through the balancer",
        }
    }
}

/// A check with its place.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// The check.
    pub check: Check,
    /// From where.
    pub vantage: Vantage,
    /// Whose service; for [`Vantage::ThroughBalancer`] the balancer's address stands in the probe.
    pub target: IpAddr,
    /// The balancer's front address, where the check goes through it.
    pub front: Option<SocketAddr>,
}

/// A finished round.
#[derive(Clone, Debug)]
pub struct Report {
    /// The check's name.
    pub check: String,
    /// From where.
    pub vantage: Vantage,
    /// When the round began.
    pub started: Millis,
    /// How long it took, or how it failed.
    pub result: Result<Duration, CheckFailure>,
}

/// The running tasks. Dropping it ends them.
#[derive(Debug)]
pub struct Checks {
    tasks: Vec<JoinHandle<()>>,
    now: BTreeMap<String, Arc<Notify>>,
}

impl Checks {
    /// Starts a task for each check; the first rounds begin at once.
    pub fn start<T: From<Report> + Send + 'static>(
        checks: Vec<Scheduled>,
        directory: PathBuf,
        reports: &mpsc::Sender<T>,
    ) -> Checks {
        let mut started = Checks { tasks: Vec::new(), now: BTreeMap::new() };
        for scheduled in checks {
            let now = Arc::new(Notify::new());
            started.now.insert(scheduled.check.name.clone(), now.clone());
            started.tasks.push(tokio::spawn(repeat(scheduled, directory.clone(), now, reports.clone())));
        }
        started
    }

    /// Asks every check for a round now, beside its interval.
    pub fn check_now(&self) {
        for now in self.now.values() {
            now.notify_one();
        }
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Round after round. Owns at most one connection; stopping it anywhere closes it.
async fn repeat<T: From<Report>>(scheduled: Scheduled, directory: PathBuf, now: Arc<Notify>, reports: mpsc::Sender<T>) {
    let Scheduled { check, vantage, target, front } = scheduled;
    let mut interval = tokio::time::interval(check.every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = now.notified() => {}
        }
        let started = clock::now();
        let round = match front {
            Some(address) => run_at(&check, address, &directory).await,
            None => run_once(&check, target, &directory).await,
        };
        let report = Report { check: check.name.clone(), vantage, started, result: round.result };
        if reports.send(T::from(report)).await.is_err() {
            return;
        }
    }
}
