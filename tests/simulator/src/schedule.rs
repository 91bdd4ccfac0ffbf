//! One schedule: a calm beginning, a time of trouble, healing, and the time in which the pair must serve again.

use failover_shared::decision::{Node, StateName};

use super::item::Item;
use super::judge::{Breach, Law};
use super::options::Options;
use super::seen::{Seen, Sight};
use super::world::World;

/// A healed pair serves again within this time, the person's turns included: the longest wait of the core is the minute
/// for which a stopped host waits.
const SETTLES_WITHIN_MS: u64 = 200_000;
/// It must stay so for this long.
const STAYS_MS: u64 = 4_000;

/// What became of a schedule.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The law that was broken first.
    pub breach: Option<Breach>,
    /// The number of everything that happened.
    pub number: u64,
    /// What was reached.
    pub seen: Seen,
    /// How long it lasted, in true time of the simulation.
    pub lasted_ms: u64,
    /// The last lines, if they were wanted.
    pub lines: Vec<String>,
}

/// Runs the random schedule of these options.
#[must_use]
pub fn random(options: Options, with_lines: bool) -> Outcome {
    let (calm, trouble) = (options.calm_ms, options.trouble_ms);
    let mut world = World::new(options, with_lines);
    for host in 0..2 {
        world.after(0, 4_000, Item::PowerOn(host));
        world.after(0, 400, Item::ProbeDue(host));
    }
    world.run(world.now + calm);
    world.trouble_begins();
    world.run(world.now + trouble);
    world.heal();
    settle(&mut world);
    world.outcome()
}

/// After healing: exactly one host serves and says so, the other stands by, the clients reach it; and it stays so.
pub(super) fn settle(world: &mut World) {
    let until = world.now + SETTLES_WITHIN_MS;
    let mut calm_since = None;
    while world.judge.breach.is_none() {
        world.run(world.now + 500);
        if !is_settled(world) {
            calm_since = None;
        } else if world.now - *calm_since.get_or_insert(world.now) >= STAYS_MS {
            return world.judge.saw(Sight::Settled);
        }
        if world.now >= until {
            let states = world.hosts.each_ref().map(|host| host.node().map(Node::state));
            let (services, target) = (world.hosts.each_ref().map(|host| &host.service), world.balancer.target);
            let detail = format!("healed for long, but: {states:?}, {services:?}, clients to {target:?}");
            world.judge.must(Law::V5, false, || detail);
        }
    }
}

/// The pair serves as it should.
#[must_use]
pub(super) fn is_settled(world: &World) -> bool {
    let names = world.hosts.each_ref().map(|host| host.node().map(|node| node.state().name()));
    (0..2).any(|active| {
        names[active] == Some(StateName::Active)
            && world.hosts[active].serves()
            && !world.hosts[1 - active].service.may_write()
            && names[1 - active] == Some(StateName::Standby)
            && world.balancer.target.is_some_and(|(host, _)| host == active)
    })
}

impl World {
    /// The schedule is over.
    #[must_use]
    pub(super) fn outcome(self) -> Outcome {
        Outcome {
            lines: self.trace.lines().map(String::from).collect(),
            number: self.trace.number(),
            breach: self.judge.breach,
            seen: self.judge.seen,
            lasted_ms: self.now,
        }
    }
}
