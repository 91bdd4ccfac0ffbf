//! The guardian and the watchdog of a host: who ends the service when its lease runs out and the daemon does not.
//!
//! The guardian lives by the t0 that the daemon handed over, on the host's own clock, and by nothing else: at T it kills
//! a daemon that does not stop the service, at T + G it kills the service, at P it pets no more. The watchdog resets the
//! host at most Wd after the last pet.

use failover_shared::decision::{Bug, StopMeans, StopOutcome, planted};
use failover_shared::decision::{Epoch, Event, GuardedLease, HeldLease, LeaseTimes, Millis, OperationId, StartOutcome};

use super::host::role;
use super::item::Item;
use super::seen::Sight;
use super::world::World;

/// What guards a host. All of it ends with the power.
#[derive(Clone, Debug)]
pub struct Guard {
    /// What the daemon handed over last: it outlives the daemon and the guardian, in a page of their own.
    pub lease: Option<GuardedLease>,
    /// The spans of that lease: they do not change inside an epoch, held without a limit or not.
    pub times: Option<LeaseTimes>,
    /// The last t0, for a lease that is held without a limit meanwhile.
    since: Millis,
    /// The guardian runs.
    pub is_alive: bool,
    /// The watchdog was opened and fires without pets.
    pub dog_is_armed: bool,
    /// The watchdog never fires: an assumption broken on purpose.
    pub dog_is_dead: bool,
    /// A look at the time is planned.
    is_watching: bool,
}

impl Default for Guard {
    fn default() -> Guard {
        Guard {
            lease: None,
            times: None,
            since: Millis(0),
            is_alive: true,
            dog_is_armed: false,
            dog_is_dead: false,
            is_watching: false,
        }
    }
}

impl Guard {
    /// What a daemon that starts is told of its forerunner's lease.
    #[must_use]
    pub fn held(&self) -> Option<HeldLease> {
        let spans = self.times?.spans();
        match self.lease? {
            GuardedLease::Held { epoch, since } => Some(HeldLease { epoch, since, hold: false, spans }),
            GuardedLease::Hold { epoch } => Some(HeldLease { epoch, since: self.since, hold: true, spans }),
            GuardedLease::Ended => None,
        }
    }

    /// The epoch of the lease that is held.
    fn epoch(&self) -> Option<Epoch> {
        match self.lease? {
            GuardedLease::Held { epoch, .. } | GuardedLease::Hold { epoch } => Some(epoch),
            GuardedLease::Ended => None,
        }
    }

    /// The lease that runs out, if one does: its epoch and t0.
    #[must_use]
    pub fn running(&self) -> Option<(Epoch, Millis)> {
        match self.lease? {
            GuardedLease::Held { epoch, since } => Some((epoch, since)),
            GuardedLease::Hold { .. } | GuardedLease::Ended => None,
        }
    }
}

impl World {
    /// The daemon hands over what holds from now on.
    pub fn guard(&mut self, index: usize, operation: OperationId, lease: GuardedLease) {
        let Some(incarnation) = self.hosts[index].incarnation() else { return };
        self.judge.s7_no_pet_beyond_what_was_validated(&self.hosts[index], lease);
        let times = self.hosts[index].node().and_then(|node| node.policy().lease);
        let guard = &mut self.hosts[index].guard;
        let result = if guard.is_alive { Ok(()) } else { Err("the guardian does not answer".to_string()) };
        if guard.is_alive {
            match (lease, guard.running()) {
                // Only an advancing t0 counts inside an epoch.
                (GuardedLease::Held { epoch, since }, Some((known, before))) if epoch == known && since < before => {}
                (GuardedLease::Held { epoch, since }, _) => {
                    if guard.epoch() != Some(epoch) {
                        guard.times = times;
                    }
                    guard.lease = Some(lease);
                    guard.since = since;
                    guard.dog_is_armed = true;
                }
                (GuardedLease::Hold { .. } | GuardedLease::Ended, _) => {
                    guard.lease = Some(lease);
                    guard.dog_is_armed = false;
                }
            }
        }
        if !std::mem::replace(&mut self.hosts[index].guard.is_watching, true) {
            self.watch(index);
        }
        self.after(1, 5, Item::result(index, incarnation, Event::Guarded { operation, result }));
    }

    /// Plans the next look at the time.
    fn watch(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let (Some((_, since)), Some(times)) = (host.guard.running(), host.guard.times) else {
            host.guard.is_watching = false;
            return;
        };
        let boot = host.boot;
        let local = host.clock.fast_ms(self.now);
        let stage = |after: Millis| Some(since.after(after).0).filter(|at| *at > local);
        let next =
            [times.stop_after_ms, times.stop_after_ms.after(times.scripts_ms), times.pet_until_ms(), times.lease_ms()]
                .into_iter()
                .find_map(stage);
        match next {
            Some(at) => {
                let at = host.clock.when(at, self.now);
                self.plan(at, Item::GuardLooks(index, boot));
            }
            None => host.guard.is_watching = false,
        }
    }

    /// The guardian looks at the time.
    pub fn guard_looks(&mut self, index: usize) {
        let host = &self.hosts[index];
        let (Some((epoch, since)), Some(times)) = (host.guard.running(), host.guard.times) else {
            self.hosts[index].guard.is_watching = false;
            return;
        };
        let elapsed = Millis(host.clock.fast_ms(self.now)).since(since);
        self.judge.s6_over_means_stopped(&self.hosts, index, &times, elapsed);
        if self.hosts[index].guard.is_alive {
            self.guard_acts(index, epoch, &times, elapsed);
        }
        let pets = planted(Bug::PetsTooLong);
        if elapsed >= times.pet_until_ms() && self.hosts[index].guard.dog_is_armed && !pets {
            self.dog_barks(index, &times);
        }
        self.watch(index);
    }

    fn guard_acts(&mut self, index: usize, epoch: Epoch, times: &LeaseTimes, elapsed: Millis) {
        let host = &self.hosts[index];
        if elapsed >= times.stop_after_ms && (host.frozen || host.daemon.is_none()) && host.service.may_write() {
            self.judge.saw(Sight::GuardianTookOver);
            if host.frozen {
                self.tell(|| format!("{} guardian kills the frozen daemon", role(index)));
                self.daemon_is_killed(index);
            }
        }
        if elapsed >= times.stop_after_ms.after(times.scripts_ms) && self.hosts[index].service.may_write() {
            self.tell(|| format!("{} guardian kills the service", role(index)));
            self.judge.saw(Sight::GuardianKilled);
            self.list_is_ended(index);
            self.hosts[index].service.kill();
            if !self.hosts[index].service.is_there() {
                self.give(index, Event::GuardianEnded { epoch });
            }
        }
        let safe = !self.hosts[index].service.may_write();
        if elapsed >= times.pet_until_ms() && safe {
            // Nothing is left to guard: it may close the watchdog, as a daemon that is well would have had it do.
            self.hosts[index].guard.dog_is_armed = false;
        }
    }

    /// A list is ended from outside; its daemon sees its processes go.
    fn list_is_ended(&mut self, index: usize) {
        let Some(run) = self.hosts[index].service.run.take() else { return };
        let Some(incarnation) = run.incarnation else { return };
        let operation = run.operation;
        let event = if run.starts {
            let outcome = StartOutcome::Failed { step: run.step + 1, reason: "killed".into() };
            Event::StartDone { operation, outcome }
        } else if self.hosts[index].service.stuck {
            let outcome = StopOutcome::NotVerified { reason: "a process does not end".into() };
            Event::StopDone { operation, outcome }
        } else {
            let outcome = StopOutcome::Stopped { means: StopMeans::PostConditions, forced: None };
            Event::StopDone { operation, outcome }
        };
        self.plan(self.now + 1, Item::result(index, incarnation, event));
    }

    /// No pets any more: the host is reset within Wd.
    fn dog_barks(&mut self, index: usize, times: &LeaseTimes) {
        if self.hosts[index].guard.dog_is_dead {
            return;
        }
        self.hosts[index].guard.dog_is_armed = false;
        let boot = self.hosts[index].boot;
        let within = times.watchdog_ms.0.saturating_sub(times.watchdog_ms.0 / 50);
        self.after(within / 2, within, Item::DogBites(index, boot));
    }

    /// The watchdog resets the host.
    pub fn dog_bites(&mut self, index: usize) {
        self.judge.saw(Sight::WatchdogReset);
        self.tell(|| format!("{} the watchdog resets the host", role(index)));
        self.power_cut(index);
    }

    /// The guardian dies. A daemon that takes part notices and starts another; else nobody pets any more.
    pub fn guardian_dies(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if !host.powered || !host.guard.is_alive {
            return;
        }
        host.guard.is_alive = false;
        let boot = host.boot;
        let wait = self.options.policy.lease.map_or(0, |times| times.watchdog_ms.0 / 2);
        self.plan(self.now + wait, Item::GuardianMissed(index, boot));
    }

    /// So long after its death somebody must have noticed.
    pub fn guardian_missed(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if host.listens() || !host.guard.dog_is_armed {
            host.guard.is_alive = true;
            return;
        }
        let boot = host.boot;
        if !host.guard.dog_is_dead {
            self.plan(self.now + 1, Item::DogBites(index, boot));
        }
    }
}
