//! The orderly end of a daemon that holds a lease: the service runs on, and nobody takes it for stopped.

use crate::decision::{Duty, Epoch, Event, GuardedLease, HeldLease, Millis, PageKind, Phase, Role, Rule, StateName};

use super::leased::{Leased, STANDARD, active, leased, record, standing_by};
use super::place;
use super::story::policy;

fn told_to_end(mut leased: Leased) -> Leased {
    leased.story.tell(Event::Ending);
    leased
}

#[test]
fn a_daemon_without_a_lease_may_end_at_once() {
    let mut story = place::active(policy(Role::Slave));
    story.tell(Event::Ending);
    assert!(story.node.may_end() && story.state() == StateName::Active);
    assert!(told_to_end(standing_by()).story.node.may_end(), "it holds none");
}

#[test]
fn a_holder_ends_when_its_lease_is_held_without_a_limit_and_the_guardian_knows() {
    let mut leased = told_to_end(active());
    assert!(!leased.story.node.may_end(), "not yet told");
    leased.pass(10);
    assert!(leased.story.node.may_end(), "{:?}", leased.story.node.lease());
    assert!(leased.view.slave.is_some_and(|slot| slot.hold), "{:?}", leased.view);
    assert_eq!(leased.guarded.last(), Some(&GuardedLease::Hold { epoch: Epoch(2) }));
    assert!(leased.saw(Rule::DaemonEnds) && leased.state() == StateName::Active);
}

#[test]
fn the_next_daemon_guards_again_before_the_limit_counts_again() {
    let mut before = told_to_end(active());
    before.pass(10);
    let held = HeldLease { epoch: Epoch(2), since: Millis(before.story.now), hold: true, spans: STANDARD.spans() };
    let phase = Phase::Active { epoch: Epoch(2) };
    let mut next = Leased::boots_with(leased(Role::Slave), Some(record(phase, 2)), Some(held), before.view);
    assert_eq!(next.state(), StateName::Active);
    next.pass(7_000);
    assert!(next.view.slave.is_some_and(|slot| !slot.hold), "{:?}", next.view);
    assert!(matches!(next.guarded.last(), Some(GuardedLease::Held { .. })));
    assert!(!told_to_end(next).story.node.may_end(), "and its own end is another one");
}

#[test]
fn a_lost_arbiter_keeps_the_daemon_until_the_service_is_stopped_at_the_leases_end() {
    let mut leased = active();
    leased.renews();
    leased.lost = true;
    let mut leased = told_to_end(leased);
    leased.pass(STANDARD.stop_after_ms.0 - 1_000);
    assert!(!leased.story.node.may_end() && leased.state() == StateName::Active);
    leased.pass(1_000);
    assert!(!leased.story.node.may_end() && leased.state() == StateName::Stopping);
    leased.story.stops();
    leased.serve();
    assert!(leased.story.node.may_end(), "{:?}", leased.story.node.state());
}

#[test]
fn an_arbiter_that_comes_back_in_time_lets_it_end() {
    let mut leased = active();
    leased.lost = true;
    let mut leased = told_to_end(leased);
    leased.pass(6_000);
    leased.lost = false;
    leased.pass(3_000);
    assert!(leased.story.node.may_end() && leased.state() == StateName::Active);
}

#[test]
fn a_stop_that_cannot_be_verified_is_left_to_the_guardian() {
    let mut leased = active();
    leased.lost = true;
    leased.pass(STANDARD.stop_after_ms.0);
    leased.story.stop_is_not_verified();
    assert_eq!(leased.state(), StateName::FailedStop);
    assert!(told_to_end(leased).story.node.may_end());
}

#[test]
fn a_claim_that_started_nothing_is_given_back() {
    let mut waiting = standing_by();
    waiting.silent_guardian = true;
    for _ in 0..1_000 {
        if waiting.story.node.lease().is_some() {
            break;
        }
        waiting.pass(100);
    }
    assert_eq!(waiting.state(), StateName::Claimed);
    let mut ended = told_to_end(waiting);
    assert!(ended.story.node.may_end());
    // The driver ends it here, before it could think of another claim.
    ended.serve();
    assert_eq!(ended.guarded.last(), Some(&GuardedLease::Ended));
    assert!(ended.view.slave.is_some_and(|slot| slot.released), "{:?}", ended.view);
}

#[test]
fn the_peer_of_a_silent_holder_without_a_limit_starts_nothing_and_calls_a_person() {
    let mut peer = standing_by();
    let slot = peer.view.master.as_mut().expect("the master's slot");
    (slot.hold, slot.sequence) = (true, slot.sequence + 1);
    peer.pass(600_000);
    assert_eq!(peer.state(), StateName::Suspect);
    assert!(peer.paged(PageKind::PeerSilent) && peer.saw(Rule::WithheldMaintenance));
    peer.hears(Duty::Active, 1);
    assert_eq!(peer.state(), StateName::Standby);
}
