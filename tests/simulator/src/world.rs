//! Two hosts, what is around them, and everything that is due. One seed decides all of it.

use failover_shared::decision::{Action, BootId};

use super::arbiter::Arbiter;
use super::balancer::Balancer;
use super::fault::Fault;
use super::fence::Device;
use super::host::{Host, role};
use super::item::Item;
use super::judge::Judge;
use super::network::Network;
use super::options::Options;
use super::plan::Plan;
use super::random::Random;
use super::trace::Trace;

/// The world of one schedule.
#[derive(Clone, Debug)]
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
    /// Kept for its space.
    pub actions: Vec<Action>,
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
        while self.run_one(until) {}
        self.now = until.max(self.now);
    }

    /// The next thing that is due until `until`. False: there is none, or a law is broken.
    pub fn run_one(&mut self, until: u64) -> bool {
        if self.judge.breach.is_some() {
            return false;
        }
        let Some((at, item)) = self.plan.next(until) else { return false };
        self.now = at;
        match item.place() {
            Some(host) if self.hosts[host].stands => self.waiting.push(item),
            _ => self.perform(item),
        }
        true
    }

    fn perform(&mut self, item: Item) {
        self.trace.mix(&self.now);
        self.trace.mix(&std::mem::discriminant(&item));
        match item {
            Item::Turn(host) => self.turn(host),
            Item::BeatDue(host, incarnation) => self.beat(host, incarnation),
            Item::BeatArrives { to, from, echo, beat } => self.beat_arrives(to, from, echo, *beat),
            Item::ProbeDue(host) => self.probe(host),
            Item::Arrives(host, event) => self.give(host, *event),
            Item::Result(host, incarnation, event) => {
                if self.hosts[host].incarnation() == Some(incarnation) {
                    self.give(host, *event);
                }
            }
            Item::LookEnds(host, incarnation, operation) => self.look_ends(host, incarnation, operation),
            Item::WriteEnds(host, generation) => self.write_ends(host, generation),
            Item::StepEnds(host, id) => self.step_ends(host, id),
            Item::Balance(host, incarnation) => self.order_arrives(host, incarnation),
            Item::ArbiterActs(question) => self.arbiter_acts(*question),
            Item::ArbiterLooks(question) => self.arbiter_looks(*question),
            Item::ArbiterReplies(reply) => self.arbiter_replies(reply.0, reply.1),
            Item::ArbiterTimesOut(host, incarnation, operation) => {
                self.arbiter_times_out(host, incarnation, operation);
            }
            Item::GuardLooks(host, boot) if self.is_up(host, boot) => self.guard_looks(host),
            Item::DogBites(host, boot) if self.is_up(host, boot) => self.dog_bites(host),
            Item::GuardianMissed(host, boot) if self.is_up(host, boot) => self.guardian_missed(host),
            Item::GuardLooks(..) | Item::DogBites(..) | Item::GuardianMissed(..) => {}
            Item::FenceActs(host, incarnation, operation) => self.fence_acts(host, incarnation, operation),
            Item::SecondWay { from, incarnation, request, epoch, sent } => {
                self.second_way_arrives(from, incarnation, request, epoch, sent);
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
}
