//! The daemon's side of its guardian: what is held, whether it is guarded, and whether the guardian lives.

use std::path::Path;

use super::entries;
use super::turn::Driver;
use crate::clock;
use crate::config::{self, Config};
use crate::decision::{BootId, Epoch, Event, GuardedLease, HeldLease, LeaseTimes, Millis, OperationId, Role};
use crate::guardian::{
    self, Arming, Guarded, GuardianIs, Guarding as GuardianSays, Holding, Lease, Moment, News, Plan, Report, Reset,
};
use crate::status::GuardianStatus;
use crate::telemetry::chain;

/// It says something each second, and is killed and replaced when it has not for three.
const GUARDIAN_ANSWERS_WITHIN: Millis = Millis(5_000);

/// The guardian of a host that keeps a lease.
#[derive(Debug)]
pub(super) struct Guarding {
    guarded: Result<Guarded, String>,
    times: Option<LeaseTimes>,
    /// Told and not confirmed yet.
    waiting: Option<OperationId>,
    /// The end that the core has heard of.
    ended: Option<Epoch>,
}

/// What a look at the guardian found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The order that is confirmed, or why it is not.
    pub(super) guarded: Option<(OperationId, Result<(), String>)>,
    /// It ended the service of this epoch.
    pub(super) ended: Option<Epoch>,
    /// What is wrong with it, in words.
    pub(super) trouble: Option<String>,
}

impl Guarding {
    /// Takes up the line to the guardian. Without an arbiter it only tells that the guardian is gone.
    pub(super) fn start(config: &Config, run_dir: &Path, role: Role, boot: BootId) -> Guarding {
        let guarded = Guarded::start(run_dir, role, boot, &plan(config)).map_err(|error| chain(&error));
        let times = config.arbiter.as_ref().map(|arbiter| arbiter.times);
        if let (Err(why), Some(_)) = (&guarded, times) {
            tracing::error!("there is no guardian, so nothing can be started: {why}");
        }
        Guarding { guarded, times, waiting: None, ended: None }
    }

    /// The lease that was held before this start of the daemon.
    pub(super) fn remembered(&self) -> Option<HeldLease> {
        let lease = self.guarded.as_ref().ok()?.page().remembered()?;
        let hold = match lease.holding {
            Holding::Held => false,
            Holding::Hold => true,
            Holding::Idle | Holding::Released => return None,
        };
        let age = Moment::now().since(lease.since);
        Some(HeldLease { epoch: lease.epoch, since: clock::now().since(age), hold, spans: lease.spans })
    }

    /// The guardian as it was seen last.
    pub(super) fn status(&self, config: &Config) -> GuardianStatus {
        let device = config.arbiter.as_ref().map(|arbiter| match &arbiter.guard {
            config::Guard::Watchdog { device, .. } => format!("watchdog {}", device.display()),
            config::Guard::GuardianOnly => "nothing (GuardianOnly)".to_string(),
        });
        let mut status = GuardianStatus { required: self.times.is_some(), device, ..GuardianStatus::default() };
        let guarded = match &self.guarded {
            Ok(guarded) => guarded,
            Err(why) => {
                status.trouble = Some(why.clone()).filter(|_| status.required);
                return status;
            }
        };
        status.pid = Some(guarded.guardian());
        let Some((report, age)) = guarded.report(Moment::now()) else { return status };
        status.answered_age_ms = Some(age.0);
        status.state = Some(does(report.guarding).to_string());
        status.trouble = trouble_of(report);
        status
    }

    /// Why a lease could not be guarded now, if that is so: then nothing can be started.
    pub(super) fn not_ready(&self) -> Option<String> {
        self.times?;
        let guarded = match &self.guarded {
            Ok(guarded) => guarded,
            Err(why) => return Some(format!("there is no guardian, and every lease needs one: {why}")),
        };
        let now = Moment::now();
        let silent = guarded.guardian_silent_for(now);
        if silent > GUARDIAN_ANSWERS_WITHIN {
            return Some(format!("the guardian has not answered for {silent}"));
        }
        let (report, _) = guarded.report(now)?;
        trouble_of(report).map(|trouble| format!("the guardian {trouble}"))
    }

    /// Tells the guardian. Confirmed, or not, by a later [`Guarding::look`].
    pub(super) fn tell(&mut self, operation: OperationId, told: GuardedLease) -> Result<(), String> {
        let guarded = self.guarded.as_mut().map_err(|why| why.clone())?;
        let Some(times) = self.times else { return Err("no arbiter is configured".into()) };
        let before = guarded.page().lease();
        let (holding, epoch, since) = match told {
            GuardedLease::Held { epoch, since } => (Holding::Held, epoch, moment(since)),
            GuardedLease::Hold { epoch } => (Holding::Hold, epoch, Moment::now()),
            GuardedLease::Ended => (Holding::Released, before.epoch, before.since),
        };
        // They never change inside an epoch.
        let spans = if epoch == before.epoch && before.holding != Holding::Idle { before.spans } else { times.spans() };
        guarded.publish(Lease { holding, epoch, since, spans }).map_err(|error| chain(&error))?;
        self.waiting = Some(operation);
        Ok(())
    }

    /// To be called in each turn.
    pub(super) fn look(&mut self) -> Found {
        let mut found = Found::default();
        let Ok(guarded) = &mut self.guarded else { return found };
        match guarded.turn(Moment::now()) {
            Ok(GuardianIs::Alive) => {}
            Ok(GuardianIs::Killed) => found.trouble = Some("the guardian stood still and was killed".into()),
            Err(error) => found.trouble = Some(chain(&error)),
        }
        if let Some(operation) = self.waiting {
            let result = match guarded.arming() {
                Ok(Arming::Armed) => Some(Ok(())),
                Ok(Arming::Waiting) => None,
                Ok(Arming::Refused(why)) => Some(Err(why)),
                Err(error) => Some(Err(chain(&error))),
            };
            if let Some(result) = result {
                self.waiting = None;
                found.guarded = Some((operation, result));
            }
        }
        if let Some((report, _)) = guarded.report(Moment::now())
            && let GuardianSays::Ended = report.guarding
            && self.ended != Some(report.epoch)
        {
            self.ended = Some(report.epoch);
            found.ended = Some(report.epoch);
        }
        found
    }

    /// The guardian's line, to wait for.
    pub(super) fn line(&self) -> Option<&Guarded> {
        self.guarded.as_ref().ok()
    }

    /// Leaves another plan, when the configuration was read again.
    pub(super) fn replace_config(&mut self, config: &Config) -> Result<(), String> {
        self.times = config.arbiter.as_ref().map(|arbiter| arbiter.times);
        let Ok(guarded) = &mut self.guarded else { return Ok(()) };
        guarded.follow_plan(&plan(config)).map_err(|error| chain(&error))
    }
}

impl Driver {
    /// The guardian's line; silent for ever where there is none.
    pub(super) async fn guardian_news(&self) -> News {
        match self.guarding.line() {
            Some(guarded) => guarded.news().await,
            None => std::future::pending().await,
        }
    }

    /// The guardian is shown that this daemon lives, and looked at.
    pub(super) fn guardian(&mut self, now: Millis) {
        let found = self.guarding.look();
        if let Some((operation, result)) = found.guarded {
            self.step(now, Event::Guarded { operation, result });
        }
        if let Some(epoch) = found.ended {
            self.step(now, Event::GuardianEnded { epoch });
        }
        let before = self.troubles.remove("guardian");
        if let Some(trouble) = found.trouble {
            if before.as_ref() != Some(&trouble) {
                tracing::error!("{trouble}");
            }
            self.troubles.insert("guardian", trouble);
        }
    }

    /// The guardian is gone: this process becomes the start of the next one, and the service runs on.
    pub(super) fn replace_guardian(&mut self) {
        tracing::error!("the guardian is gone; this daemon makes place for a new one");
        self.disk.note(entries::entry("daemon", "the guardian is gone; a new one is started", &[]));
        if let Some(guarded) = self.guarding.line() {
            let error = guarded.replace_guardian();
            tracing::error!(%error, "no new guardian from here");
        }
        self.farewell();
    }
}

/// What the guardian does, in words.
fn does(guarding: GuardianSays) -> &'static str {
    match guarding {
        GuardianSays::Idle => "has nothing to guard",
        GuardianSays::Armed => "guards the lease, the watchdog is open",
        GuardianSays::ArmedAlone => "guards the lease alone",
        GuardianSays::Refused => "cannot guard the lease as it should",
        GuardianSays::Ending => "ends the service, whose lease has run out",
        GuardianSays::Ended => "has ended the service, whose lease had run out",
        GuardianSays::Resetting => "resets this host, since the service could not be ended",
    }
}

fn trouble_of(report: &Report) -> Option<String> {
    let why = Some(&report.why).filter(|why| !why.is_empty());
    match report.guarding {
        GuardianSays::Refused | GuardianSays::Ending | GuardianSays::Resetting => {
            let does = does(report.guarding);
            Some(why.map_or_else(|| does.to_string(), |why| format!("{does}: {why}")))
        }
        // Said without being in the way: a watchdog that goes on when it is closed.
        GuardianSays::Idle | GuardianSays::Armed | GuardianSays::ArmedAlone | GuardianSays::Ended => None,
    }
}

fn plan(config: &Config) -> Plan {
    let guard = match config.arbiter.as_ref().map(|arbiter| &arbiter.guard) {
        Some(config::Guard::Watchdog { device, accept_softdog }) => {
            guardian::Guard::Watchdog { path: device.clone(), accept_softdog: *accept_softdog }
        }
        Some(config::Guard::GuardianOnly) | None => guardian::Guard::GuardianOnly,
    };
    let reset = match config.arbiter.as_ref().map(|arbiter| &arbiter.reset) {
        Some(config::HostReset::Command(words)) => Reset::Command(words.clone()),
        Some(config::HostReset::SysRq) | None => Reset::default(),
    };
    Plan::of(&config.service, guard, reset)
}

/// The moment at which the own clock showed `since`: never later than it was, since the own clock is the faster one.
fn moment(since: Millis) -> Moment {
    let ago_ns = clock::now().since(since).0.saturating_add(1).saturating_mul(1_000_000);
    let now = Moment::now();
    Moment { boottime_ns: now.boottime_ns.saturating_sub(ago_ns), raw_ns: now.raw_ns.saturating_sub(ago_ns) }
}
