//! Two hosts, what is around them, and everything that is due. One seed decides all of it.

use failover_shared::decision::{
    Action, ArbiterReply, Beat, BootId, Epoch, Event, Incarnation, Millis, Node, OperationId, RequestId, StateName,
};

use super::arbiter::Arbiter;
use super::balancer::Balancer;
use super::clock::Clock;
use super::fault::Fault;
use super::fence::Device;
use super::host::{Daemon, Host, role};
use super::judge::{Before, Judge, Law, Told};
use super::lease::Question;
use super::network::Network;
use super::options::Options;
use super::plan::Plan;
use super::random::Random;
use super::seen::Sight;
use super::trace::Trace;

/// Between two beats of a host.
pub const BEAT_EVERY_MS: u64 = 400;

/// Something that is due.
#[derive(Debug)]
pub enum Item {
    /// The loop of a daemon comes round.
    Turn(usize),
    /// A beat leaves.
    BeatDue(usize, Incarnation),
    /// A beat arrives, with the daemon start whose nonce it echoes.
    BeatArrives { to: usize, from: Incarnation, echo: Option<Incarnation>, beat: Beat },
    /// A host's checks ask.
    ProbeDue(usize),
    /// Over the control channel, for whichever daemon runs then.
    Arrives(usize, Event),
    /// A result for the daemon that asked.
    Result(usize, Incarnation, Event),
    /// A look at the own host ends.
    LookEnds(usize, Incarnation, OperationId),
    /// The first write in a disk's queue ends.
    WriteEnds(usize, u64),
    /// A step of a script list ends.
    StepEnds(usize, u64),
    /// A host's order reaches the balancer.
    Balance(usize, Incarnation),
    /// A question reaches the arbiter.
    ArbiterActs(Question),
    /// The second half of a renewal on shared storage.
    ArbiterLooks(Question),
    /// The arbiter's answer is back.
    ArbiterReplies(Question, ArbiterReply),
    /// One attempt's time is over.
    ArbiterTimesOut(usize, Incarnation, OperationId),
    /// The guardian of this kernel start looks at the time.
    GuardLooks(usize, BootId),
    /// The watchdog resets this kernel start.
    DogBites(usize, BootId),
    /// A dead guardian must have been noticed.
    GuardianMissed(usize, BootId),
    /// A fence device acts for this host.
    FenceActs(usize, Incarnation, OperationId),
    /// The second way reaches the other host.
    SecondWay { from: usize, incarnation: Incarnation, request: RequestId, epoch: Epoch },
    /// A host gets power.
    PowerOn(usize),
    /// A host's daemon is started.
    DaemonStarts(usize),
    /// A stopped daemon goes on.
    Thaws(usize),
    /// A machine that stood goes on.
    GoesOn(usize),
    /// The next fault of the mix.
    FaultDue,
    /// A fault at once, beside a change of state.
    Strike,
    /// One fault, planned by a story.
    StrikeThis(Fault, usize),
    /// A fault is mended.
    FaultEnds(Fault, usize),
    /// A person looks at both hosts.
    Person,
    /// A person acts in a story: the service is to move to this host.
    MoveHere(usize),
}

impl Item {
    /// The host on which it happens: it waits there while that machine stands still.
    fn place(&self) -> Option<usize> {
        match self {
            Item::Turn(host)
            | Item::BeatDue(host, _)
            | Item::BeatArrives { to: host, .. }
            | Item::ProbeDue(host)
            | Item::Arrives(host, _)
            | Item::Result(host, ..)
            | Item::LookEnds(host, ..)
            | Item::WriteEnds(host, _)
            | Item::StepEnds(host, _)
            | Item::ArbiterTimesOut(host, ..)
            | Item::GuardLooks(host, _)
            | Item::DogBites(host, _)
            | Item::GuardianMissed(host, _)
            | Item::DaemonStarts(host) => Some(*host),
            // The wire goes on without its sender, and what is done to a host from outside does not wait for it.
            Item::Balance(..)
            | Item::ArbiterActs(_)
            | Item::ArbiterLooks(_)
            | Item::ArbiterReplies(..)
            | Item::FenceActs(..)
            | Item::SecondWay { .. }
            | Item::PowerOn(_)
            | Item::Thaws(_)
            | Item::GoesOn(_)
            | Item::FaultDue
            | Item::Strike
            | Item::StrikeThis(..)
            | Item::FaultEnds(..)
            | Item::Person
            | Item::MoveHere(_) => None,
        }
    }
}

/// The world of one schedule.
#[derive(Debug)]
pub struct World {
    /// True time, known to nobody in it.
    pub now: u64,
    plan: Plan<Item>,
    /// What is due on a machine that stands.
    waiting: Vec<Item>,
    /// Master and slave.
    pub hosts: [Host; 2],
    /// Between them.
    pub network: Network,
    /// In front of them.
    pub balancer: Balancer,
    /// Grants the lease, if one is configured.
    pub arbiter: Option<Arbiter>,
    /// What each host fences the other with, and how it behaves next.
    pub devices: [Device; 2],
    /// The schedule's chance.
    pub random: Random,
    /// Looks on.
    pub judge: Judge,
    /// What the seed decided.
    pub options: Options,
    /// What happened.
    pub trace: Trace,
    /// No new faults: the pair has to come back to its service.
    pub healed: bool,
    /// Faults that have struck.
    pub struck: Vec<Fault>,
    /// Actions and changes of state so far: the positions at which a fault can be put.
    pub moment: u32,
    /// Faults that are put at positions, the first one last.
    pub put: Vec<(u32, Fault, usize)>,
    actions: Vec<Action>,
}

impl World {
    /// Both hosts without power.
    #[must_use]
    pub fn new(options: Options, with_lines: bool) -> World {
        World {
            now: 1_000,
            plan: Plan::default(),
            waiting: Vec::new(),
            hosts: [Host::new(role(0)), Host::new(role(1))],
            network: Network::perfect(),
            balancer: Balancer::default(),
            arbiter: options.arbiter.map(|kind| Arbiter::new(kind, options.stale_most_ms)),
            devices: Default::default(),
            random: Random::new(options.seed),
            judge: Judge::default(),
            options,
            trace: Trace::new(with_lines),
            healed: false,
            struck: Vec::new(),
            moment: 0,
            put: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// Plans a thing at a true time.
    pub fn plan(&mut self, at: u64, item: Item) {
        self.plan.at(at, item);
    }

    /// Plans a thing some time from now.
    pub fn after(&mut self, low: u64, high: u64, item: Item) {
        let at = self.now + self.random.between(low, high);
        self.plan(at, item);
    }

    /// A line for a person.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        self.trace.tell(self.now, line);
    }

    /// Runs what is due until `until`, or until a law is broken.
    pub fn run(&mut self, until: u64) {
        while self.judge.breach.is_none() {
            let Some((at, item)) = self.plan.next(until) else { break };
            self.now = at;
            match item.place() {
                Some(host) if self.hosts[host].stands => self.waiting.push(item),
                _ => self.perform(item),
            }
        }
        self.now = until.max(self.now);
    }

    fn perform(&mut self, item: Item) {
        self.trace.mix(&self.now);
        self.trace.mix(&std::mem::discriminant(&item));
        match item {
            Item::Turn(host) => self.turn(host),
            Item::BeatDue(host, incarnation) => self.beat(host, incarnation),
            Item::BeatArrives { to, from, echo, beat } => self.beat_arrives(to, from, echo, beat),
            Item::ProbeDue(host) => self.probe(host),
            Item::Arrives(host, event) => self.give(host, event),
            Item::Result(host, incarnation, event) => {
                if self.hosts[host].incarnation() == Some(incarnation) {
                    self.give(host, event);
                }
            }
            Item::LookEnds(host, incarnation, operation) => self.look_ends(host, incarnation, operation),
            Item::WriteEnds(host, generation) => self.write_ends(host, generation),
            Item::StepEnds(host, id) => self.step_ends(host, id),
            Item::Balance(host, incarnation) => self.order_arrives(host, incarnation),
            Item::ArbiterActs(question) => self.arbiter_acts(question),
            Item::ArbiterLooks(question) => self.arbiter_looks(question),
            Item::ArbiterReplies(question, reply) => self.arbiter_replies(question, reply),
            Item::ArbiterTimesOut(host, incarnation, operation) => {
                self.arbiter_times_out(host, incarnation, operation);
            }
            Item::GuardLooks(host, boot) if self.is_up(host, boot) => self.guard_looks(host),
            Item::DogBites(host, boot) if self.is_up(host, boot) => self.dog_bites(host),
            Item::GuardianMissed(host, boot) if self.is_up(host, boot) => self.guardian_missed(host),
            Item::GuardLooks(..) | Item::DogBites(..) | Item::GuardianMissed(..) => {}
            Item::FenceActs(host, incarnation, operation) => self.fence_acts(host, incarnation, operation),
            Item::SecondWay { from, incarnation, request, epoch } => {
                self.second_way_arrives(from, incarnation, request, epoch);
            }
            Item::PowerOn(host) => self.power_on(host),
            Item::DaemonStarts(host) => self.daemon_starts(host),
            Item::Thaws(host) => self.thaws(host),
            Item::GoesOn(host) => self.goes_on(host),
            Item::FaultDue => self.fault_due(),
            Item::Strike => self.strike_any(),
            Item::StrikeThis(fault, host) => self.strike(fault, host),
            Item::FaultEnds(fault, host) => self.fault_ends(fault, host),
            Item::Person => self.person_comes(),
            Item::MoveHere(host) => self.commands_move(host),
        }
    }

    fn is_up(&self, index: usize, boot: BootId) -> bool {
        self.hosts[index].powered && self.hosts[index].boot == boot
    }

    /// What waited on a machine that stood happens now, in its order.
    pub fn release(&mut self, host: usize) {
        let (due, kept) = std::mem::take(&mut self.waiting).into_iter().partition(|item| item.place() == Some(host));
        self.waiting = kept;
        let due: Vec<Item> = due;
        for item in due {
            self.plan(self.now, item);
        }
    }

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
    fn turn(&mut self, index: usize) {
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
        let inbox = std::mem::take(&mut daemon.inbox);
        let foreign = host.foreign_stop.take().map(|epoch| Event::ForeignStop { epoch });
        let lateness = (late > 0).then_some(Event::LoopLate(Millis(late)));
        if lateness.is_some() {
            self.judge.saw(Sight::LoopLate);
        }
        let inputs = differ.into_iter().chain(foreign).chain(lateness).chain(inbox);
        for event in std::iter::once(Event::TurnBegan).chain(inputs).chain(std::iter::once(Event::TurnEnded)) {
            // A crash in the middle of a turn loses the rest of it.
            if self.hosts[index].incarnation() != Some(incarnation) {
                return;
            }
            self.step(index, event);
        }
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
