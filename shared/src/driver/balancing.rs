//! What this host wants of the balancer, and what the balancer said last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::Input;
use crate::balancer::{Driver, Reconciler, Report, View, Wanted, Wish};
use crate::config::{self, Config};
use crate::decision::{Balance, Role, Sight};
use crate::status::BalancerStatus;

/// The reconciler and the last it told.
pub(super) struct Balancing {
    kind: &'static str,
    role: Role,
    wishes: watch::Sender<Option<Wish>>,
    reconciler: Option<Arc<Reconciler<Driver>>>,
    view: Option<(Instant, View)>,
    diverged: Option<(Instant, String)>,
    blind: Option<String>,
}

impl Balancing {
    /// Starts the reconciler, if there is a balancer. `trouble` says why there is none although one is configured.
    pub(super) fn start(config: &Config, role: Role, inputs: mpsc::Sender<Input>) -> (Balancing, Option<String>) {
        let (wishes, wanted) = watch::channel(None);
        let (driver, trouble) = match Driver::from_config(&config.balancer, config) {
            Ok(driver) => (driver, None),
            Err(error) => (None, Some(format!("the balancer is not driven: {error}"))),
        };
        let reconciler = driver.map(|driver| {
            let (reports, mut told) = mpsc::channel(16);
            tokio::spawn(async move {
                while let Some(report) = told.recv().await {
                    if inputs.send(Input::Balancer(report)).await.is_err() {
                        return;
                    }
                }
            });
            Arc::new(Reconciler::start(driver, config.timing.balancer_every, wanted, reports))
        });
        let kind = kind(&config.balancer);
        (Balancing { kind, role, wishes, reconciler, view: None, diverged: None, blind: None }, trouble)
    }

    /// The core's newest wish.
    pub(super) fn wish(&mut self, balance: Balance) {
        let (here, there, epoch) = match balance {
            Balance::Here(epoch) => (Wanted::Up, Wanted::Down, epoch),
            Balance::Nowhere(epoch) => (Wanted::Down, Wanted::Down, epoch),
            Balance::Leave => {
                self.diverged = None;
                self.wishes.send_replace(None);
                return;
            }
        };
        let (master, slave) = match self.role {
            Role::Master => (here, there),
            Role::Slave => (there, here),
        };
        self.wishes.send_replace(Some(Wish { master, slave, epoch }));
    }

    /// Takes a report in; the answer is what to write down, and whether a person must know.
    pub(super) fn report(&mut self, report: Report) -> Option<Told> {
        match report {
            Report::Applied { wish, took } => {
                self.diverged = None;
                self.blind = None;
                Some(Told {
                    text: format!("the balancer does what it was told: {}", in_words(&wish)),
                    took: Some(took),
                    diverged: None,
                })
            }
            Report::Diverged { wish, reason, since } => {
                self.diverged = Some((since, reason.clone()));
                Some(Told {
                    text: format!("the balancer diverges from {}", in_words(&wish)),
                    took: None,
                    diverged: Some(reason),
                })
            }
            Report::View { view, at } => {
                self.blind = None;
                self.view = Some((at, view));
                None
            }
            Report::Blind { reason } => {
                self.blind = Some(reason);
                None
            }
        }
    }

    /// A way to ask the device from a task.
    pub(super) fn witness(&self) -> Option<Arc<Reconciler<Driver>>> {
        self.reconciler.clone()
    }

    pub(super) fn status(&self) -> BalancerStatus {
        let now = Instant::now();
        let wanted = *self.wishes.borrow();
        BalancerStatus {
            kind: self.kind.to_string(),
            wanted: wanted.as_ref().map(in_words),
            view: self.view.as_ref().map(|(_, view)| seen(view)),
            age_ms: self.view.as_ref().map(|(at, _)| millis(now.saturating_duration_since(*at))),
            diverged: self
                .diverged
                .as_ref()
                .map(|(since, why)| format!("{why} (for {:.1} s)", now.saturating_duration_since(*since).as_secs_f32()))
                .or_else(|| self.blind.as_ref().map(|why| format!("it does not answer: {why}"))),
        }
    }
}

/// Something that the balancer's reconciler told.
pub(super) struct Told {
    /// For the journal.
    pub(super) text: String,
    /// How long the change took.
    pub(super) took: Option<Duration>,
    /// Why it diverges.
    pub(super) diverged: Option<String>,
}

/// What the balancer's own health check says of the host with `role`.
pub(super) fn sight(view: &View, role: Role) -> Sight {
    match view.host(role).serving {
        Some(true) => Sight::Serving,
        Some(false) => Sight::NotServing,
        None => Sight::Unknown,
    }
}

fn in_words(wish: &Wish) -> String {
    format!("master {}, slave {}", word(wish.master), word(wish.slave))
}

fn word(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::Up => "up",
        Wanted::Drain => "drain",
        Wanted::Down => "down",
    }
}

fn seen(view: &View) -> String {
    let one = |role| {
        let seen = view.host(role);
        let health = match seen.serving {
            Some(true) => ", answers",
            Some(false) => ", does not answer",
            None => "",
        };
        format!("{role} {:?}{health}", seen.admin).to_lowercase()
    };
    format!("{}; {}", one(Role::Master), one(Role::Slave))
}

fn kind(balancer: &config::Balancer) -> &'static str {
    match balancer {
        config::Balancer::None => "none",
        config::Balancer::HaProxy { .. } => "HAProxy",
        config::Balancer::Alteon { .. } => "Alteon",
        config::Balancer::Command { .. } => "command",
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
