//! Progress by the clock, without chance: a pair that nobody disturbs, an active host that dies for good, both hosts that
//! come back together.

use failover_shared::decision::StateName;

use super::item::Item;
use super::judge::Law;
use super::options::Options;
use super::schedule::{self, Outcome};
use super::world::World;

/// How long two hosts may take from power to service: the core's settling and a start list.
const BOOTS_WITHIN_MS: u64 = 10_000;

/// A pair that serves on the master.
fn serving(options: Options) -> World {
    let mut world = World::new(options, false);
    for host in 0..2 {
        world.plan(1_000, Item::PowerOn(host));
        world.plan(1_000, Item::ProbeDue(host));
    }
    world.run(1_000 + BOOTS_WITHIN_MS);
    let serves = schedule::is_settled(&world);
    world.judge.must(Law::V5, serves, || "two hosts booted, and nobody serves".into());
    world
}

/// V2: nothing happens to a healthy pair for so long.
#[must_use]
pub fn undisturbed(options: Options, span_ms: u64) -> Outcome {
    let manners = options.manners;
    let mut world = serving(options);
    world.network.behave(manners);
    let claims = world.hosts.each_ref().map(|host| host.node().map(|node| node.record().owned));
    world.run(world.now + span_ms);
    let now = world.hosts.each_ref().map(|host| host.node().map(|node| node.record().owned));
    let stays = schedule::is_settled(&world) && now == claims;
    world.judge.must(Law::V2, stays, || format!("nobody disturbed it, but: {now:?} after {claims:?}"));
    world.outcome()
}

/// V1: the active host dies for good; the other serves within `limit_ms`, without a person.
#[must_use]
pub fn master_dies(options: Options, limit_ms: u64) -> Outcome {
    let mut world = serving(options);
    world.hosts[0].power_goes(&mut world.random);
    world.run(world.now + limit_ms);
    let state = world.hosts[1].node().map(|node| node.state().name());
    let serves = state == Some(StateName::Active) && world.hosts[1].serves();
    world.judge.must(Law::V1, serves, || format!("the master died {limit_ms} ms ago, and the slave is {state:?}"));
    world.outcome()
}

/// V5: both hosts lose power at once and come back together.
#[must_use]
pub fn both_come_back(options: Options, limit_ms: u64) -> Outcome {
    let mut world = serving(options);
    for host in 0..2 {
        world.hosts[host].power_goes(&mut world.random);
        world.judge.lease_gone(host);
        world.plan(world.now + 500, Item::PowerOn(host));
    }
    world.run(world.now + limit_ms);
    let serves = schedule::is_settled(&world);
    world.judge.must(Law::V5, serves, || format!("both came back {limit_ms} ms ago, and the pair does not serve"));
    world.outcome()
}
