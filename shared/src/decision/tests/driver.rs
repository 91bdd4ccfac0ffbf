//! The acting half as the core's documents describe it: durable writes, messages, scripts, looks, checks and beats.

use alloc::format;

use crate::decision::{
    Action, Answer, Event, Forced, Incarnation, Millis, Node, OperationId, Presence, Record, RequestId, StartOutcome,
    State, StopMeans, StopOutcome, Symptom, Verdict,
};

use super::host::{Mood, Script};
use super::world::{BEAT_EVERY_MS, Item, World, role};

const PROBE_EVERY_MS: u64 = 400;

impl World {
    pub(super) fn act(&mut self, index: usize, action: Action) {
        let Some(incarnation) = self.hosts[index].daemon.as_ref().map(|daemon| daemon.incarnation) else { return };
        if self.trace.is_some() && !matches!(action, Action::Note(_)) {
            self.tell(|| format!("{}    {action:?}", role(index)));
        }
        match action {
            Action::Persist { operation, record } => self.persist(index, operation, record),
            Action::SendDemand(demand) => {
                let request = demand.request;
                let event = Event::DemandReceived(demand);
                match self.message(index) {
                    Some(at) => self.plan(at, Item::Arrives(1 - index, event)),
                    None => self.broke(index, incarnation, request),
                }
            }
            Action::Answer { request, answer } => {
                if matches!(answer, Answer::Acked { .. }) {
                    self.judge.acknowledges(&self.hosts[index], request);
                }
                match self.message(index) {
                    Some(at) => self.plan(at, Item::Arrives(1 - index, Event::Answered { request, answer })),
                    None => {
                        let event = Event::Unreachable { request, reason: "the connection broke".into() };
                        self.after(5, 2_000, Item::Arrives(1 - index, event));
                    }
                }
            }
            Action::Withdraw(request) => self.send(index, Event::DemandWithdrawn(request)),
            Action::Notice(epoch) => self.send(index, Event::TakeoverNotice(epoch)),
            Action::StartPlease(epoch) => {
                self.judge.saw("roll-back asked");
                self.send(index, Event::StartPlease(epoch));
            }
            Action::Rcmd { request, epoch } => {
                self.after(50, 1_500, Item::SecondWay { from: index, incarnation, request, epoch });
            }
            Action::Look { operation } => self.after(1, 20, Item::LookEnds(index, incarnation, operation)),
            Action::Start { operation, epoch, resume, .. } => {
                self.judge.starts(&self.hosts[index], epoch, resume);
                let mood = core::mem::replace(&mut self.hosts[index].start_mood, Mood::Works);
                self.run_script(index, true, operation, incarnation, mood);
            }
            Action::Stop { operation, .. } => {
                let mood = core::mem::replace(&mut self.hosts[index].stop_mood, Mood::Works);
                self.run_script(index, false, operation, incarnation, mood);
                self.progress(index);
            }
            Action::AskWitness => {
                let peer = 1 - index;
                let serves = self.hosts[peer].serves();
                let direct = self.network.sight(!self.network.cut_from[index] && !self.network.cut_from[peer], serves);
                let through = self.network.sight(self.network.balancer_sees[peer], serves);
                let event = Event::Witness { direct, through };
                if !self.random.percent(self.faults.blind_percent) {
                    self.after(1, 50, Item::Result(index, incarnation, event));
                }
            }
            Action::Page(page) => self.judge.paged(page.kind),
            // The pair in this file has no arbiter and no fence.
            Action::Arbiter { .. } | Action::Guard { .. } | Action::Fence { .. } | Action::Unfence => {}
            Action::Balance(_) | Action::Reply { .. } | Action::Note(_) => {}
        }
    }

    /// What a look finds is true when it ends.
    pub(super) fn look_ends(&mut self, index: usize, incarnation: Incarnation, operation: OperationId) {
        let blind = !self.healed && self.random.percent(self.faults.blind_percent);
        let presence = match (self.hosts[index].may_write(), blind) {
            (_, true) => Presence::CannotTell("the process list could not be read".into()),
            (true, false) => Presence::Runs("dovecot".into()),
            (false, false) => Presence::NothingRuns,
        };
        self.plan(self.now, Item::Result(index, incarnation, Event::Looked { operation, presence }));
    }

    fn message(&mut self, from: usize) -> Option<u64> {
        if !self.hosts[1 - from].powered || self.hosts[1 - from].daemon.is_none() {
            return None;
        }
        self.network.message(from, self.now, &mut self.random)
    }

    fn send(&mut self, from: usize, event: Event) {
        if let Some(at) = self.message(from) {
            self.plan(at, Item::Arrives(1 - from, event));
        }
    }

    fn broke(&mut self, index: usize, incarnation: Incarnation, request: RequestId) {
        let event = Event::Unreachable { request, reason: "no connection".into() };
        self.after(2, 1_000, Item::Result(index, incarnation, event));
    }

    /// The daemon says over the connection that it obeys and is still at it.
    fn progress(&mut self, index: usize) {
        let answer_to = match self.hosts[index].node().map(Node::state) {
            Some(State::Stopping { answer_to: Some(request), .. }) => *request,
            _ => return,
        };
        self.send(index, Event::StillStopping { request: answer_to, step: 1 });
    }

    fn persist(&mut self, index: usize, operation: OperationId, record: Record) {
        let host = &mut self.hosts[index];
        host.writes.push_back((operation, record));
        if host.writes.len() == 1 {
            self.next_write(index);
        }
    }

    fn next_write(&mut self, index: usize) {
        let generation = self.hosts[index].writes_generation;
        let stalls = self.random.percent(self.faults.slow_disk_percent) && !self.healed;
        let (low, high) = if stalls { (500, 14_000) } else { (1, 15) };
        self.after(low, high, Item::WriteEnds(index, generation));
    }

    pub(super) fn write_ends(&mut self, index: usize, generation: u64) {
        let host = &mut self.hosts[index];
        if host.writes_generation != generation {
            return;
        }
        let Some((operation, record)) = host.writes.pop_front() else { return };
        let durable = host.disk_works;
        if durable {
            host.disk = Some(record);
        } else {
            self.judge.saw("write failed");
        }
        let more = !self.hosts[index].writes.is_empty();
        self.give(index, Event::Persisted { operation, durable });
        if more {
            self.next_write(index);
        }
    }

    fn run_script(&mut self, index: usize, starts: bool, operation: OperationId, incarnation: Incarnation, mood: Mood) {
        let host = &mut self.hosts[index];
        let id = host.next_script;
        host.next_script += 1;
        host.started_by_another = false;
        // An earlier one, also an orphan of a crashed daemon, is ended first.
        host.script = Some(Script { id, starts, operation, incarnation, mood });
        let acts = self.random.between(10, 600);
        let ends = acts + self.random.between(1, 400);
        self.plan(self.now + acts, Item::ScriptActs(index, id));
        if mood != Mood::Hangs {
            self.plan(self.now + ends, Item::ScriptEnds(index, id));
        }
    }

    pub(super) fn script_acts(&mut self, index: usize, id: u64) {
        let half = self.random.percent(50);
        let host = &mut self.hosts[index];
        let Some(script) = host.script.as_ref().filter(|script| script.id == id) else { return };
        match (script.starts, script.mood) {
            (true, Mood::Works) => (host.service_runs, host.service_hangs) = (true, false),
            // A failed start may well leave something behind.
            (true, Mood::Fails | Mood::Hangs) => host.service_runs |= half,
            (false, Mood::Works) => host.service_runs = false,
            (false, Mood::Fails | Mood::Hangs) => {}
        }
        self.judge.processes(&self.hosts);
    }

    pub(super) fn script_ends(&mut self, index: usize, id: u64) {
        let forced = self.random.percent(30).then(|| Forced { step: 1, reason: "it ran out of time".into() });
        let host = &mut self.hosts[index];
        if host.script.as_ref().is_none_or(|script| script.id != id) {
            return;
        }
        let Some(Script { starts, operation, incarnation, mood, .. }) = host.script.take() else { return };
        let event = if starts {
            let outcome = match mood {
                Mood::Works => StartOutcome::Started,
                Mood::Fails | Mood::Hangs => StartOutcome::Failed { step: 2, reason: "exit 1".into() },
            };
            Event::StartDone { operation, outcome }
        } else {
            let outcome = match (host.service_runs, mood) {
                (false, Mood::Works) => StopOutcome::Stopped { means: StopMeans::PostConditions, forced },
                _ => StopOutcome::NotVerified { reason: "dovecot is still there".into() },
            };
            Event::StopDone { operation, outcome }
        };
        self.plan(self.now, Item::Result(index, incarnation, event));
    }

    pub(super) fn beat(&mut self, index: usize, incarnation: Incarnation) {
        let host = &self.hosts[index];
        let Some(daemon) = host.daemon.as_ref().filter(|daemon| daemon.incarnation == incarnation) else { return };
        let boot = host.boot;
        // Beats leave from a thread of their own, but a stopped process has no threads that run.
        if host.frozen_since.is_none() {
            let beat = daemon.node.beat(Millis(self.now), boot, Millis(0), Millis(0));
            for at in self.network.beat(index, self.now, &mut self.random).into_iter().flatten() {
                self.plan(at, Item::Arrives(1 - index, Event::Beat(beat.clone())));
            }
        }
        self.plan(self.now + BEAT_EVERY_MS, Item::BeatDue(index, incarnation));
    }

    /// The checks: of the own service, of the peer's, and through the balancer. Told only when they change.
    pub(super) fn probe(&mut self, index: usize) {
        self.plan(self.now + PROBE_EVERY_MS, Item::ProbeDue(index));
        if !self.hosts[index].listens() {
            return;
        }
        let peer = 1 - index;
        let own = match (self.hosts[index].service_runs, self.hosts[index].serves()) {
            (false, _) => Verdict::Failed(Symptom::ProcessGone),
            (true, false) => Verdict::Failed(Symptom::TimedOut),
            (true, true) => Verdict::Passed,
        };
        let cut = self.network.cut_from[index] || self.network.cut_from[peer];
        let remote = match (self.hosts[peer].powered && !cut, self.hosts[peer].serves()) {
            (false, _) => Verdict::Failed(Symptom::Unreachable),
            (true, false) => Verdict::Failed(Symptom::Refused),
            (true, true) => Verdict::Passed,
        };
        let seen = (0..2).any(|host| self.network.balancer_sees[host] && self.hosts[host].serves());
        let through = if seen { Verdict::Passed } else { Verdict::Failed(Symptom::Closed) };
        for (slot, verdict) in [own, remote, through].into_iter().enumerate() {
            if self.hosts[index].last_verdict[slot] == verdict {
                continue;
            }
            self.hosts[index].last_verdict[slot] = verdict;
            self.give(
                index,
                match slot {
                    0 => Event::LocalVerdict(verdict),
                    1 => Event::RemoteVerdict(verdict),
                    _ => Event::ThroughVerdict(verdict),
                },
            );
        }
    }
}
