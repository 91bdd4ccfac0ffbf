//! The one loop of a daemon. It reads the clock once a turn, hands every event to the core and performs what comes back.
//!
//! A turn: wait; safety timers; what woke it; every waiting beat and report; suspicion timers; the beat; the actions.
//! Nothing in it waits for a disk, a script, a device or the peer: that is done by tasks and threads which report back as
//! [`Input`]s. One exception, bounded by a second: after this process stood still, it first asks the disk whether
//! `stop-here` has stopped the service meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::arbitration::Arbitration;
use super::copies::Copies;
use super::disk::Disk;
use super::entries;
use super::facts::Facts;
use super::fences::Fences;
use super::guarding::Guarding;
use super::service::ServiceWork;
use super::watch::Watch;
use super::{Input, Settings};
use crate::channel::{self, Incoming, PeerClient, Replies};
use crate::clock;
use crate::config::Loaded;
use crate::control::Asked;
use crate::decision::{Action, ArbiterReply, Beat, BootId, Event, Millis, Node, RequestId, StateName};
use crate::guardian::News;
use crate::heartbeat::{Heard, Heartbeat};
use crate::key::KeyRing;
use crate::notify::Pager;
use crate::wire::HeaderSource;

/// The longest sleep: also the measure of how late the loop is when nothing is due.
const TICK_MS: Millis = Millis(500);
/// How late a turn must be before the core is told.
const LATE_MS: Millis = Millis(5);
/// How many inputs one turn takes before the timers are looked at again.
const INPUTS_PER_TURN: usize = 128;
/// Everything that the loop owns.
pub(super) struct Driver {
    pub(super) keys: KeyRing,
    pub(super) channel_counters: Arc<channel::Counters>,
    pub(super) settings: Settings,
    pub(super) loaded: Arc<Loaded>,
    pub(super) boot: BootId,
    pub(super) node: Node,
    pub(super) heartbeat: Heartbeat,
    pub(super) header: Arc<HeaderSource>,
    pub(super) peer: Arc<PeerClient>,
    pub(super) disk: Disk,
    pub(super) service: ServiceWork,
    pub(super) watch: Watch,
    pub(super) copies: Copies,
    pub(super) balancing: super::balancing::Balancing,
    pub(super) arbitration: Arbitration,
    pub(super) guarding: Guarding,
    pub(super) fences: Fences,
    pub(super) pager: Pager,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) facts: Facts,
    pub(super) refused_config: Option<String>,
    pub(super) troubles: BTreeMap<&'static str, String>,
    pub(super) replies: BTreeMap<RequestId, Replies>,
    pub(super) tickets: BTreeMap<u64, super::operator::Ticket>,
    pub(super) next_ticket: u64,
    actions: Vec<Action>,
    state: StateName,
    beat: Option<Beat>,
    loop_lag: Millis,
    loop_lag_at: Millis,
    pub(super) clock_lag: Millis,
    /// Told to end; it does as soon as nothing runs out behind its back.
    ending: bool,
}

/// What a daemon is put together from.
pub(super) struct Parts {
    pub(super) settings: Settings,
    pub(super) loaded: Arc<Loaded>,
    pub(super) boot: BootId,
    pub(super) node: Node,
    pub(super) heartbeat: Heartbeat,
    pub(super) header: Arc<HeaderSource>,
    pub(super) keys: KeyRing,
    pub(super) channel_counters: Arc<channel::Counters>,
    pub(super) peer: Arc<PeerClient>,
    pub(super) disk: Disk,
    pub(super) service: ServiceWork,
    pub(super) watch: Watch,
    pub(super) copies: Copies,
    pub(super) balancing: super::balancing::Balancing,
    pub(super) arbitration: Arbitration,
    pub(super) guarding: Guarding,
    pub(super) fences: Fences,
    pub(super) pager: Pager,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) troubles: BTreeMap<&'static str, String>,
}

/// What wakes the loop besides its timers and the beats.
pub(super) struct Sources {
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) incoming: mpsc::Receiver<Incoming>,
    pub(super) asked: mpsc::Receiver<Asked>,
    pub(super) signals: mpsc::Receiver<super::signals::Signal>,
}

enum Woken {
    Timer,
    Beats,
    Input(Option<Input>),
    Incoming(Option<Incoming>),
    Asked(Option<Asked>),
    Signal(Option<super::signals::Signal>),
    Guardian(News),
}

impl Driver {
    pub(super) fn new(parts: Parts) -> Driver {
        let Parts { settings, loaded, boot, node, heartbeat, header, keys, channel_counters, peer, disk, .. } = parts;
        let Parts { service, watch, copies, balancing, arbitration, guarding, fences, pager, inputs, troubles, .. } =
            parts;
        Driver {
            state: node.state().name(),
            settings,
            loaded,
            boot,
            node,
            heartbeat,
            header,
            keys,
            channel_counters,
            peer,
            disk,
            service,
            watch,
            copies,
            balancing,
            arbitration,
            guarding,
            fences,
            pager,
            inputs,
            troubles,
            facts: Facts::new(clock::now()),
            refused_config: None,
            replies: BTreeMap::new(),
            tickets: BTreeMap::new(),
            next_ticket: 1,
            actions: Vec::new(),
            beat: None,
            loop_lag: Millis(0),
            loop_lag_at: Millis(0),
            clock_lag: Millis(0),
            ending: false,
        }
    }

    /// Runs until a signal ends it. The service is not touched at the end.
    pub(super) async fn run(&mut self, mut sources: Sources, first: Vec<Action>) {
        self.actions = first;
        self.finish_turn();
        loop {
            let asked_at = clock::now();
            let due = self.next_due(asked_at);
            let woken = self.wait(&mut sources, asked_at, due).await;
            let woke_at = clock::now();
            // Before any timer: an hour of sleep must not look like an hour in which the peer's lease ran out.
            self.clocks(woke_at);
            self.step(woke_at, Event::TurnBegan);
            self.guardian(woke_at);
            let now = self.judge_lateness(woke_at, due).await;
            match woken {
                Woken::Timer | Woken::Beats | Woken::Guardian(News::Report) => {}
                Woken::Guardian(News::Gone) => return self.replace_guardian(),
                Woken::Input(Some(input)) => self.input(now, input),
                Woken::Incoming(Some(incoming)) => self.incoming(now, incoming),
                Woken::Asked(Some(asked)) => self.asked(now, asked),
                Woken::Signal(Some(super::signals::Signal::Reload)) => self.reload(),
                Woken::Signal(Some(super::signals::Signal::End)) => self.told_to_end(now),
                Woken::Signal(None) | Woken::Input(None) | Woken::Incoming(None) | Woken::Asked(None) => {
                    return self.farewell();
                }
            }
            self.drain(now, &mut sources);
            self.step(now, Event::TurnEnded);
            self.finish_turn();
            if self.ending && self.node.may_end() {
                return self.farewell();
            }
        }
    }

    fn next_due(&self, now: Millis) -> Millis {
        [self.node.deadline(), self.watch.deadline()].into_iter().flatten().fold(now.after(TICK_MS), Millis::min)
    }

    async fn wait(&self, sources: &mut Sources, now: Millis, due: Millis) -> Woken {
        let pause = Duration::from_millis(due.since(now).0);
        tokio::select! {
            biased;
            input = sources.inputs.recv() => Woken::Input(input),
            incoming = sources.incoming.recv() => Woken::Incoming(incoming),
            () = self.heartbeat.readable() => Woken::Beats,
            news = self.guardian_news() => Woken::Guardian(news),
            signal = sources.signals.recv() => Woken::Signal(signal),
            asked = sources.asked.recv() => Woken::Asked(asked),
            () = tokio::time::sleep(pause) => Woken::Timer,
        }
    }

    /// The loop came round later than it had asked for: it may have missed something, or the whole host stood still.
    /// Gives the turn's time, which has gone on if the disk was asked.
    async fn judge_lateness(&mut self, now: Millis, due: Millis) -> Millis {
        let late = now.since(due);
        if late > self.loop_lag || now.since(self.loop_lag_at) > Millis(10_000) {
            self.loop_lag = late;
            self.loop_lag_at = now;
        }
        if late < LATE_MS {
            return now;
        }
        let mut now = now;
        if late >= TICK_MS {
            // While this process stood still, stop-here may have stopped the service: known before anything else is.
            let found = self.disk.foreign_stop().await;
            now = clock::now();
            if let Some(epoch) = found {
                self.step(now, Event::ForeignStop { epoch });
            }
        }
        self.step(now, Event::LoopLate(late));
        now
    }

    /// Everything that is ready now, before silence is judged.
    fn drain(&mut self, now: Millis, sources: &mut Sources) {
        let mut heard = Vec::new();
        self.heartbeat.drain(now, &mut heard);
        for beat in heard {
            self.heard(now, beat);
        }
        for _ in 0..INPUTS_PER_TURN {
            let Ok(input) = sources.inputs.try_recv() else { break };
            self.input(now, input);
        }
    }

    fn heard(&mut self, now: Millis, heard: Heard) {
        self.facts.paths.insert(heard.path, now);
        if heard.farewell {
            self.disk.note(entries::entry("daemon", "the peer's daemon ends; its service runs on", &[]));
        }
        // An older beat that came later on a slower path says nothing new.
        if heard.newest {
            self.step(now, Event::Beat(heard.beat));
        }
    }

    fn input(&mut self, now: Millis, input: Input) {
        match input {
            Input::Core(Event::Readiness(mut reasons)) => {
                reasons.extend(self.look_at_copies(now));
                self.facts.readiness = Some(now);
                reasons.extend(self.guarding.not_ready());
                self.step(now, Event::Readiness(reasons));
            }
            Input::Core(event) => {
                if let Event::Arbiter { reply, .. } = &event
                    && !matches!(reply, ArbiterReply::Failed(_))
                {
                    self.facts.arbiter_answered = Some(now);
                }
                self.step(now, event);
            }
            Input::Check(report) => {
                for event in self.watch.report(now, &report, &self.disk) {
                    self.step(now, event);
                }
            }
            Input::Restarted { check, result } => {
                for event in self.watch.restarted(now, &check, result, &self.disk) {
                    self.step(now, event);
                }
            }
            Input::ProcessDied(name) => {
                for event in self.watch.process_died(now, &name, &self.disk) {
                    self.step(now, event);
                }
            }
            Input::Copies(told) => self.copies_told(now, told),
            Input::Balancer(report) => self.balancer_reported(now, report),
            Input::Fences(answers) => self.fences.answered(now, answers),
            Input::Step(step) => self.step_progress(now, step),
            Input::PeerKeys(keys) => self.facts.peer_keys = Some(keys),
            Input::Reloaded(result) => self.reloaded(now, *result),
        }
    }

    /// One event for the core; its actions are performed at the end of the turn, in order.
    pub(super) fn step(&mut self, now: Millis, event: Event) {
        self.node.step(now, event, &mut self.actions);
    }

    /// By how much the host's clocks differ, when that has changed.
    fn clocks(&mut self, now: Millis) {
        let lag = clock::lag();
        if lag != self.clock_lag {
            self.clock_lag = lag;
            self.step(now, Event::ClocksDiffer(lag));
        }
    }

    fn finish_turn(&mut self) {
        let now = clock::now();
        self.follow(now);
        self.note_transition();
        // Before the actions: an acknowledgement must not overtake the beat that says what became of this host.
        self.publish(now);
        for action in std::mem::take(&mut self.actions) {
            self.perform(now, action);
        }
    }

    fn note_transition(&mut self) {
        let state = self.node.state().name();
        if state == self.state {
            return;
        }
        let epoch = self.node.record().highest.0;
        tracing::info!(from = ?self.state, to = ?state, epoch, "state");
        self.disk.note(entries::transition(self.state, state, epoch));
        self.state = state;
    }

    /// Checks begin and end with the duties; what they say may in turn change the state.
    fn follow(&mut self, now: Millis) {
        self.copies.follow(&self.node);
        let mut events = self.watch.follow(now, &self.node, &self.loaded);
        events.extend(self.watch.timer(now, &self.disk));
        for event in events {
            self.step(now, event);
        }
        if let Some((check, script)) = self.watch.restart_due() {
            self.service.restart(check, &script, self.node.record().highest);
        }
    }

    fn publish(&mut self, now: Millis) {
        let verdict_age = self.watch.local_age(now);
        let beat = self.node.beat(now, verdict_age, self.loop_lag);
        self.header.set_epoch(beat.epoch);
        let urgent = self.beat.as_ref().is_none_or(|last| {
            (last.duty, last.epoch, last.verdict, last.ready) != (beat.duty, beat.epoch, beat.verdict, beat.ready)
        });
        if let Err(error) = self.heartbeat.publish(&beat, urgent) {
            tracing::error!(%error, "the beat could not be published");
        }
        self.beat = Some(beat);
    }

    fn told_to_end(&mut self, now: Millis) {
        self.ending = true;
        self.step(now, Event::Ending);
        if !self.node.may_end() {
            tracing::info!("the daemon is told to end, and does when its lease is held without a time limit");
        }
    }

    /// The end of this daemon; the service runs on.
    pub(super) fn farewell(&mut self) {
        self.heartbeat.farewell();
        let entry = entries::entry("daemon", "the daemon ends; the service is not touched", &[]);
        self.disk.note(entry);
        tracing::info!("the daemon ends; the service is not touched");
    }
}
