//! Two hosts on one virtual clock, and the driver that the core's events and actions describe.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::decision::{Action, Epoch, Event, Incarnation, Millis, Node, OperationId, Policy, RequestId, Role, Verdict};

use super::faults::Faults;
use super::host::{Daemon, Host};
use super::judge::Judge;
use super::network::Network;
use super::random::Random;

pub(super) const BEAT_EVERY_MS: u64 = 250;

/// Something that is due.
pub(super) enum Item {
    Turn(usize),
    BeatDue(usize, Incarnation),
    ProbeDue(usize),
    /// Over the network, for whichever daemon runs then.
    Arrives(usize, Event),
    /// A result for the daemon that asked.
    Result(usize, Incarnation, Event),
    LookEnds(usize, Incarnation, OperationId),
    WriteEnds(usize, u64),
    /// The script reaches the moment at which the service appears or goes.
    ScriptActs(usize, u64),
    ScriptEnds(usize, u64),
    SecondWay {
        from: usize,
        incarnation: Incarnation,
        request: RequestId,
        epoch: Epoch,
    },
    PowerOn(usize),
    DaemonStarts(usize),
    Thaws(usize),
    FaultDue,
    Strike,
    FaultEnds(super::faults::Fault, usize),
    Person,
}

pub(super) struct World {
    pub(super) now: u64,
    queue: BTreeMap<(u64, u64), Item>,
    serial: u64,
    pub(super) hosts: [Host; 2],
    pub(super) network: Network,
    pub(super) random: Random,
    pub(super) judge: Judge,
    pub(super) faults: Faults,
    pub(super) policy: Policy,
    pub(super) healed: bool,
    /// Written only when a failed schedule is run again to be shown.
    pub(super) trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, policy: Policy, trace: bool) -> World {
        let mut random = Random::new(seed);
        let faults = Faults::draw(&mut random);
        World {
            now: 1_000,
            queue: BTreeMap::new(),
            serial: 0,
            hosts: [Host::new(Role::Master), Host::new(Role::Slave)],
            network: Network::perfect(),
            random,
            judge: Judge::default(),
            faults,
            policy,
            healed: false,
            trace: trace.then(Vec::new),
        }
    }

    pub(super) fn plan(&mut self, at: u64, item: Item) {
        self.serial += 1;
        self.queue.insert((at, self.serial), item);
    }

    pub(super) fn after(&mut self, low: u64, high: u64, item: Item) {
        let at = self.now + self.random.between(low, high);
        self.plan(at, item);
    }

    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:>7} {}", line()));
        }
    }

    /// Runs what is due until `until` or until something is wrong.
    pub(super) fn run(&mut self, until: u64) {
        while self.judge.breach.is_none() {
            let Some((&key, _)) = self.queue.first_key_value() else { break };
            if key.0 > until {
                break;
            }
            self.now = key.0;
            if let Some(item) = self.queue.remove(&key) {
                self.perform(item);
            }
        }
        self.now = until;
    }

    fn perform(&mut self, item: Item) {
        match item {
            Item::Turn(host) => self.turn(host),
            Item::BeatDue(host, incarnation) => self.beat(host, incarnation),
            Item::ProbeDue(host) => self.probe(host),
            Item::Arrives(host, event) => self.give(host, event),
            Item::Result(host, incarnation, event) => {
                if self.hosts[host].daemon.as_ref().is_some_and(|daemon| daemon.incarnation == incarnation) {
                    self.give(host, event);
                }
            }
            Item::LookEnds(host, incarnation, operation) => self.look_ends(host, incarnation, operation),
            Item::WriteEnds(host, generation) => self.write_ends(host, generation),
            Item::ScriptActs(host, id) => self.script_acts(host, id),
            Item::ScriptEnds(host, id) => self.script_ends(host, id),
            Item::SecondWay { from, incarnation, request, epoch } => {
                let result = self.stop_here(1 - from, epoch);
                if result.is_ok() {
                    self.judge.states(request);
                }
                let at = self.now + self.random.between(5, 100);
                self.plan(at, Item::Result(from, incarnation, Event::RcmdDone { request, result }));
            }
            Item::PowerOn(host) => self.power_on(host),
            Item::DaemonStarts(host) => self.daemon_starts(host),
            Item::Thaws(host) => self.thaws(host),
            Item::FaultDue => self.fault_due(),
            Item::Strike => self.strike_any(),
            Item::FaultEnds(fault, host) => self.fault_ends(fault, host),
            Item::Person => self.person_comes(),
        }
    }

    pub(super) fn power_on(&mut self, host: usize) {
        if self.hosts[host].powered {
            return;
        }
        self.hosts[host].powered = true;
        self.hosts[host].boot.0 += 1;
        self.tell(|| format!("{} boots", role(host)));
        self.after(5, 300, Item::DaemonStarts(host));
    }

    pub(super) fn daemon_starts(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if !host.powered || host.daemon.is_some() {
            return;
        }
        host.incarnations += 1;
        let incarnation = Incarnation(host.boot.0 as u64 * 1_000 + host.incarnations);
        host.foreign_stop = None;
        host.last_verdict = [Verdict::Unknown; 3];
        let policy = Policy { role: host.role, digest: host.digest, ..self.policy.clone() };
        let mut out = Vec::new();
        let node = Node::new(policy, host.boot, incarnation, host.disk.clone(), None, Millis(self.now), &mut out);
        let (name, owned) = (node.state().name(), host.disk.as_ref().map_or(Epoch(0), |d| d.owned));
        host.daemon = Some(Daemon { node, incarnation, inbox: Vec::new(), turn_at: u64::MAX });
        self.judge.remembers(index, owned);
        self.tell(|| format!("{} daemon starts: {name:?}", role(index)));
        self.do_all(index, out);
        let ready = if self.hosts[index].ready { Vec::new() } else { alloc::vec!["the store".into()] };
        self.give(index, Event::Readiness(ready));
        self.after(1, BEAT_EVERY_MS, Item::BeatDue(index, incarnation));
        self.plan_turn(index, self.now + 1);
    }

    /// An event for the daemon's next turn.
    pub(super) fn give(&mut self, index: usize, event: Event) {
        let delay = self.random.below(3);
        let Some(daemon) = &mut self.hosts[index].daemon else { return };
        daemon.inbox.push(event);
        self.plan_turn(index, self.now + delay);
    }

    fn plan_turn(&mut self, index: usize, at: u64) {
        let Some(daemon) = &mut self.hosts[index].daemon else { return };
        if at < daemon.turn_at {
            daemon.turn_at = at;
            self.plan(at, Item::Turn(index));
        }
    }

    /// One turn of the loop: safety first, then everything that waited, then suspicion.
    fn turn(&mut self, index: usize) {
        let now = self.now;
        let host = &mut self.hosts[index];
        let Some(daemon) = &mut host.daemon else { return };
        if daemon.turn_at > now || host.frozen_since.is_some() {
            return;
        }
        let late = now - daemon.turn_at;
        daemon.turn_at = u64::MAX;
        let inbox = core::mem::take(&mut daemon.inbox);
        let foreign = host.foreign_stop.take().map(|epoch| Event::ForeignStop { epoch });
        let lateness = (late > 0).then_some(Event::LoopLate(Millis(late)));
        let inputs = foreign.into_iter().chain(lateness).chain(inbox);
        for event in core::iter::once(Event::TurnBegan).chain(inputs).chain(core::iter::once(Event::TurnEnded)) {
            self.step(index, event);
        }
        let deadline = self.hosts[index].node().and_then(Node::deadline);
        if let Some(Millis(at)) = deadline {
            self.judge.must(at > now, || {
                format!("the {} would turn for ever: a timer is due that does nothing", role(index))
            });
            self.plan_turn(index, at.max(now + 1));
        }
    }

    fn step(&mut self, index: usize, event: Event) {
        let line = self.trace.is_some().then(|| format!("{event:?}"));
        let Some(daemon) = &mut self.hosts[index].daemon else { return };
        let before = daemon.node.state().name();
        let mut out = Vec::new();
        daemon.node.step(Millis(self.now), event, &mut out);
        let after = daemon.node.state();
        self.judge.proof(index, before, &daemon.node);
        self.judge.explained(before, after.name(), &out);
        if let Some(line) =
            line.filter(|line| !line.starts_with("Turn") && !line.starts_with("Beat") || before != after.name())
        {
            let after = after.clone();
            self.tell(|| format!("{} {before:?} + {line} -> {after:?}", role(index)));
        }
        if self.judge.stepped(index, before, &self.hosts[index]) {
            self.keep_company();
        }
        self.do_all(index, out);
    }

    fn do_all(&mut self, index: usize, actions: Vec<Action>) {
        for action in actions {
            self.act(index, action);
        }
    }
}

pub(super) fn role(index: usize) -> Role {
    if index == 0 { Role::Master } else { Role::Slave }
}
