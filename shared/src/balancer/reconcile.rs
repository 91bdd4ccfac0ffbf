//! Keeps the device at what the active host wants, and says what it sees.
//!
//! The task owns nothing but its turn: the newest wish lives in the watch channel, the truth on the device. Stopping it
//! at any await is safe: a call cut in the middle leaves a device that the next reconciler reads first and then repairs.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::{BalancerError, Device, View, Wanted};
use crate::decision::{Epoch, Role};
use crate::failpoint::failpoint;

/// The first pause after a failed try; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause between two tries: a balancer that comes back is repaired within it.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What both hosts shall get. Only the host that runs the service, or is about to, has one: two hosts with a wish each
/// would fight over the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// For the master.
    pub master: Wanted,
    /// For the slave.
    pub slave: Wanted,
    /// The epoch on whose behalf.
    pub epoch: Epoch,
}

impl Wish {
    /// What the host with this role shall get.
    #[must_use]
    pub fn host(&self, role: Role) -> Wanted {
        match role {
            Role::Master => self.master,
            Role::Slave => self.slave,
        }
    }
}

/// What the reconciler tells.
#[derive(Clone, Debug)]
pub enum Report {
    /// The device was read back and agrees with the wish. Once for each wish, and after each divergence.
    Applied {
        /// The wish.
        wish: Wish,
        /// From the wish, or from the divergence, to the read-back.
        took: Duration,
    },
    /// The device could not be brought to the wish, or left it. Said again only when the reason changes; tries go on.
    Diverged {
        /// The wish.
        wish: Wish,
        /// Why, in words.
        reason: String,
        /// Since when.
        since: Instant,
    },
    /// The device was looked at.
    View {
        /// What it says.
        view: View,
        /// When it was asked.
        at: Instant,
    },
    /// The device was looked at without a wish, and did not answer. Said at each such look.
    Blind {
        /// Why, in words.
        reason: String,
    },
}

/// The task and its device.
#[derive(Debug)]
pub struct Reconciler<D> {
    device: Arc<D>,
    task: JoinHandle<()>,
}

impl<D: Device + Send + Sync + 'static> Reconciler<D> {
    /// Starts the task. It looks at the device every `every`, wish or no wish, and ends with the wishes' sender or the
    /// reports' receiver. Reports are never dropped: a receiver that stands still holds the task, not the wish, up.
    #[must_use]
    pub fn start(
        device: D,
        every: Duration,
        wishes: watch::Receiver<Option<Wish>>,
        reports: mpsc::Sender<Report>,
    ) -> Reconciler<D> {
        let device = Arc::new(device);
        let task = Task { device: Arc::clone(&device), every, wishes, reports };
        Reconciler { device, task: tokio::spawn(task.run()) }
    }

    /// Asks the device here and now, beside the task: the balancer as a witness of who serves.
    ///
    /// # Errors
    /// The device's own, or [`BalancerError::TimedOut`] after `limit`.
    pub async fn look_now(&self, limit: Duration) -> Result<View, BalancerError> {
        let look = tokio::time::timeout(limit, self.device.observe());
        look.await.map_err(|_| BalancerError::TimedOut { after: limit })?
    }
}

impl<D> Drop for Reconciler<D> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task<D> {
    device: Arc<D>,
    every: Duration,
    wishes: watch::Receiver<Option<Wish>>,
    reports: mpsc::Sender<Report>,
}

/// How far one wish has come.
struct Effort {
    wish: Wish,
    /// When the way to the wish began: with it, or with the divergence.
    began: Instant,
    /// The device agreed when it was last looked at.
    settled: bool,
    /// The reason that was last told.
    diverged: Option<String>,
    pause: Duration,
}

impl Effort {
    fn new(wish: Wish) -> Effort {
        Effort { wish, began: now(), settled: false, diverged: None, pause: PAUSE_MIN }
    }
}

/// The receiver of the reports is gone, and so is the reason to go on.
struct Gone;

impl<D: Device> Task<D> {
    async fn run(mut self) {
        let mut effort: Option<Effort> = None;
        loop {
            let wish = *self.wishes.borrow_and_update();
            if wish != effort.as_ref().map(|effort| effort.wish) {
                effort = wish.map(Effort::new);
            }
            let turn = match &mut effort {
                Some(effort) => self.turn(effort).await,
                None => self.look().await,
            };
            let Ok(pause) = turn else { return };
            tokio::select! {
                changed = self.wishes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Without a wish the device is looked at and left alone.
    async fn look(&self) -> Result<Duration, Gone> {
        match self.device.observe().await {
            Ok(view) => self.report(Report::View { view, at: now() }).await?,
            Err(error) => self.report(Report::Blind { reason: chain(&error) }).await?,
        }
        Ok(self.every)
    }

    /// One try to reach the wish, or one look whether it still holds. Returns how long to wait before the next.
    async fn turn(&self, effort: &mut Effort) -> Result<Duration, Gone> {
        let tried = if effort.settled { Ok(()) } else { self.switch(&effort.wish).await };
        let seen = match tried {
            Ok(()) => self.device.observe().await,
            Err(error) => Err(error),
        };
        let trouble = match seen {
            Ok(view) => {
                self.report(Report::View { view, at: now() }).await?;
                difference(&effort.wish, &view)
            }
            Err(error) => Some(chain(&error)),
        };
        let Some(reason) = trouble else {
            if !effort.settled || effort.diverged.is_some() {
                let took = now().duration_since(effort.began);
                self.report(Report::Applied { wish: effort.wish, took }).await?;
            }
            (effort.settled, effort.diverged, effort.pause) = (true, None, PAUSE_MIN);
            return Ok(self.every);
        };
        // A newer wish makes this one's troubles uninteresting.
        if self.wishes.has_changed().unwrap_or(true) {
            return Ok(Duration::ZERO);
        }
        if effort.settled {
            (effort.settled, effort.began) = (false, now());
        }
        if effort.diverged.as_ref() != Some(&reason) {
            effort.diverged = Some(reason.clone());
            self.report(Report::Diverged { wish: effort.wish, reason, since: effort.began }).await?;
        }
        let pause = effort.pause;
        effort.pause = (pause * 2).min(PAUSE_MAX).min(self.every.max(PAUSE_MIN));
        Ok(pause)
    }

    /// Break before make: nobody goes up until everyone else is known to have been told to go. A device that does not
    /// take the one does not get the other: clients at two hosts would be worse than clients that wait.
    async fn switch(&self, wish: &Wish) -> Result<(), BalancerError> {
        for wanted in [Wanted::Down, Wanted::Drain, Wanted::Up] {
            for host in [Role::Master, Role::Slave] {
                if wish.host(host) == wanted && !self.wishes.has_changed().unwrap_or(true) {
                    failpoint("balancer-before");
                    self.device.set(host, wanted, wish.epoch).await?;
                    failpoint("balancer-after");
                }
            }
        }
        Ok(())
    }

    async fn report(&self, report: Report) -> Result<(), Gone> {
        self.reports.send(report).await.map_err(|_| Gone)
    }
}

/// In what the device differs from the wish, in words.
fn difference(wish: &Wish, view: &View) -> Option<String> {
    let mut differences = Vec::new();
    for host in [Role::Master, Role::Slave] {
        let (seen, wanted) = (view.host(host).admin, wish.host(host));
        if !seen.is(wanted) {
            differences.push(format!("the balancer shows the {host} {seen} where {wanted} is wanted"));
        }
    }
    (!differences.is_empty()).then(|| differences.join("; "))
}

/// The error and its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The runtime's clock, which tests can hold still.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
