//! A daemon's life: it starts with its host or anew, takes turns, and sleeps until its core's next deadline.

use failover_shared::decision::{Action, Epoch, Event, Incarnation, Millis, Node, StateName};

use super::clock::Clock;
use super::host::{Daemon, role};
use super::item::Item;
use super::judge::{Before, Judge, Law, Told};
use super::seen::Sight;
use super::world::World;

/// Between two beats of a host.
pub const BEAT_EVERY_MS: u64 = 400;

impl World {
    /// A host gets power.
    pub fn power_on(&mut self, index: usize) {
        if self.hosts[index].powered {
            return;
        }
        let (boot_rate, raw_rate) = self.options.rates_ppm[index];
        let host = &mut self.hosts[index];
        host.powered = true;
        host.boot.0 += 1;
        host.clock = Clock::boots(self.now, boot_rate, raw_rate);
        self.tell(|| format!("{} boots", role(index)));
        self.canary_sings(index);
        self.after(5, 300, Item::DaemonStarts(index));
    }

    /// A host's daemon is started.
    pub fn daemon_starts(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if !host.powered || host.daemon.is_some() {
            return;
        }
        host.starts += 1;
        let incarnation = Incarnation(host.boot.0 as u64 * 1_000 + host.starts);
        host.foreign_stop = None;
        host.verdicts = Default::default();
        let behind = std::mem::take(&mut host.disk.is_behind);
        let record = host.disk.open();
        let (owned, highest) = record.as_ref().map_or((Epoch(0), Epoch(0)), |record| (record.owned, record.highest));
        let (local, lag) = (Millis(host.clock.fast_ms(self.now)), Millis(host.clock.lag_ms(self.now)));
        let held = host.guard.held();
        let policy = self.options.policy_of(host.role, host.digest);
        let mut out = Vec::new();
        let node = Node::new(policy, host.boot, incarnation, record, held, local, &mut out);
        let name = node.state().name();
        host.daemon = Some(Daemon {
            node,
            incarnation,
            inbox: Vec::new(),
            turn_at: u64::MAX,
            spins: 0,
            lag_told: lag,
            is_told_to_end: false,
            echoes: None,
        });
        if let Some(arbiter) = &mut self.arbiter {
            arbiter.forgotten_by(index);
        }
        self.judge.remembers(index, owned, highest);
        if behind {
            self.judge.forgets_order();
        }
        self.judge.came_to(name);
        if name == StateName::Stopping {
            self.judge.saw(Sight::StopResumed);
        }
        self.tell(|| format!("{} daemon starts: {name:?}", role(index)));
        self.do_all(index, &mut out);
        if self.hosts[index].incarnation() != Some(incarnation) {
            return;
        }
        let reasons = if self.hosts[index].ready { Vec::new() } else { vec!["the store".into()] };
        self.give(index, Event::Readiness(reasons));
        let isolated = self.hosts[index].isolated;
        self.give(index, Event::References { answering: if isolated { 0 } else { 2 }, of: 2, link_up: true });
        self.after(1, BEAT_EVERY_MS, Item::BeatDue(index, incarnation));
        self.plan_turn(index, self.now + 1);
    }

    /// An event for the daemon's next turn.
    pub fn give(&mut self, index: usize, event: Event) {
        let delay = self.random.below(3);
        let Some(daemon) = &mut self.hosts[index].daemon else { return };
        daemon.inbox.push(event);
        self.plan_turn(index, self.now + delay);
    }

    /// The loop is to come round at that true time, if nothing calls it earlier.
    pub fn plan_turn(&mut self, index: usize, at: u64) {
        let Some(daemon) = &mut self.hosts[index].daemon else { return };
        if at < daemon.turn_at {
            daemon.turn_at = at;
            self.plan(at, Item::Turn(index));
        }
    }

    /// One turn of the loop: safety first, then everything that waited, then suspicion.
    pub fn turn(&mut self, index: usize) {
        let now = self.now;
        let host = &mut self.hosts[index];
        let Some(daemon) = &mut host.daemon else { return };
        if daemon.turn_at > now || host.frozen {
            return;
        }
        let incarnation = daemon.incarnation;
        let late = host.clock.fast_ms(now).saturating_sub(host.clock.fast_ms(daemon.turn_at));
        let lag = Millis(host.clock.lag_ms(now));
        let differ = (lag != daemon.lag_told).then_some(Event::ClocksDiffer(lag));
        daemon.lag_told = lag;
        daemon.turn_at = u64::MAX;
        let mut inbox = std::mem::take(&mut daemon.inbox);
        let foreign = host.foreign_stop.take().map(|epoch| Event::ForeignStop { epoch });
        let lateness = (late > 0).then_some(Event::LoopLate(Millis(late)));
        if lateness.is_some() {
            self.judge.saw(Sight::LoopLate);
        }
        self.step(index, Event::TurnBegan);
        for event in [differ, foreign, lateness].into_iter().flatten().chain(inbox.drain(..)) {
            // A crash in the middle of a turn loses the rest of it.
            if self.hosts[index].incarnation() == Some(incarnation) {
                self.step(index, event);
            }
        }
        let Some(daemon) = self.hosts[index].daemon.as_mut().filter(|daemon| daemon.incarnation == incarnation) else {
            return;
        };
        if daemon.inbox.is_empty() {
            // Kept for its space.
            daemon.inbox = inbox;
        }
        self.step(index, Event::TurnEnded);
        if self.hosts[index].node().is_some_and(|node| node.tilt_until().is_some()) {
            self.judge.saw(Sight::Tilted);
        }
        self.rest(index);
        self.daemon_ends(index);
    }

    /// The loop sleeps until the core's next deadline. Two that are due at once take two turns, but not for ever.
    fn rest(&mut self, index: usize) {
        const SPINS_MOST: u32 = 5;
        let now = self.now;
        let host = &mut self.hosts[index];
        let local = host.clock.fast_ms(now);
        let Some(daemon) = &mut host.daemon else { return };
        let Some(Millis(at)) = daemon.node.deadline() else { return };
        daemon.spins = if at > local { 0 } else { daemon.spins + 1 };
        let (spins, timers) = (daemon.spins, || daemon.node.timers());
        self.judge.must(Law::Core, spins < SPINS_MOST, || {
            let name = role(index);
            format!("the {name} would turn for ever at {local}: a timer is due that does nothing: {:?}", timers())
        });
        let at = host.clock.when(at, now).max(now + 1);
        self.plan_turn(index, at);
    }

    fn step(&mut self, index: usize, event: Event) {
        let now = self.now;
        let line = self.trace.has_lines().then(|| format!("{event:?}"));
        let told = Told::of(&event);
        if matches!(event, Event::DemandWithdrawn(_) | Event::ForeignStop { .. }) {
            self.judge.v3_no_demand(index);
        }
        let host = &mut self.hosts[index];
        let local = Millis(host.clock.fast_ms(now));
        let Some(daemon) = &mut host.daemon else { return };
        let before = Before::of(&daemon.node);
        let slow = Millis(local.0.saturating_sub(host.clock.lag_ms(now)));
        self.judge.hears(&self.hosts[index], local, slow, &event);
        let Some(daemon) = &mut self.hosts[index].daemon else { return };
        let mut out = std::mem::take(&mut self.actions);
        if Judge::is_stale(before, told) {
            // Time alone may call for a step of its own.
            let mut twin = daemon.node.clone();
            twin.step(local, Event::TakeoverNotice(Epoch(0)), &mut Vec::new());
            daemon.node.step(local, event, &mut out);
            self.judge.s13_stale_changes_nothing(told, &daemon.node, &twin);
        } else {
            daemon.node.step(local, event, &mut out);
        }
        let host = &self.hosts[index];
        let changed = self.judge.stepped(now, host, before, told, &out);
        let after = host.node().map_or(before.name, |node| node.state().name());
        self.trace.mix(&after);
        self.trace.mix(out.as_slice());
        if let Some(line) = line.filter(|line| {
            changed || !["Turn", "Beat(", "LoopLate", "ClocksDiffer"].iter().any(|dull| line.starts_with(dull))
        }) {
            let state = self.hosts[index].node().map(|node| node.state().clone());
            self.tell(|| match state.filter(|_| changed) {
                Some(state) => format!("{} {:?} + {line} -> {state:?}", role(index), before.name),
                None => format!("{} {:?} + {line}", role(index), before.name),
            });
        }
        if changed {
            self.keep_company();
            self.moment_passes();
        }
        self.do_all(index, &mut out);
        self.actions = out;
        self.actions.clear();
    }

    /// Performs what a core asked for, in order. A crash in between loses the rest.
    fn do_all(&mut self, index: usize, actions: &mut Vec<Action>) {
        let incarnation = self.hosts[index].incarnation();
        for action in actions.drain(..) {
            if self.is_position(index, &action) {
                self.moment_passes();
                self.crash_between(index);
            }
            if self.hosts[index].incarnation() != incarnation {
                return self.judge.saw(Sight::CrashBetweenActions);
            }
            self.act(index, action);
        }
    }

    /// The unchanging round of renewals and looks is one position like any other moment of calm; each of its steps counts
    /// while a claim is made.
    fn is_position(&self, index: usize, action: &Action) -> bool {
        match action {
            Action::Note(_) => false,
            Action::Arbiter { .. } | Action::Guard { .. } => {
                self.hosts[index].node().is_some_and(|node| node.state().name() == StateName::Claimed)
            }
            _ => true,
        }
    }

    /// A position at which a story may have put a fault.
    fn moment_passes(&mut self) {
        self.moment += 1;
        while let Some((at, fault, host)) = self.put.last().copied()
            && at <= self.moment
        {
            self.put.pop();
            self.strike(fault, host);
        }
    }
}
