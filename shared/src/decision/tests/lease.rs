//! The lease as its holder sees it, told as stories of one host.

use alloc::vec::Vec;

use crate::decision::{
    Action, ArbiterReply, ArbiterRequest, BootId, Claim, ClaimStep, Duty, Epoch, Event, GuardedLease, HeldLease,
    LeaseTimes, Millis, OperationId, PageKind, Phase, Policy, Role, Rule, State, StateName, View,
};

use super::leased::{Leased, MASTER_BOOT, STANDARD, active, leased, masters, record, standing_by};
use super::story::BOOT;

#[test]
fn a_lost_arbiter_stops_the_holder_at_t_and_not_before() {
    let mut leased = active();
    leased.renews();
    leased.lost = true;
    leased.pass(11_900);
    assert_eq!(leased.state(), StateName::Active);
    assert!(leased.paged(PageKind::Arbiter), "a person hears of it before the stop");
    leased.pass(2_000);
    assert_eq!(leased.state(), StateName::Stopping);
    leased.story.stops();
    leased.serve();
    assert!(leased.guarded.contains(&GuardedLease::Ended));
    leased.lost = false;
    leased.pass(7_000);
    assert!(leased.view.slave.is_some_and(|slot| slot.released), "released as soon as the arbiter is back");
    assert!(leased.saw(Rule::ArbiterBack) && leased.saw(Rule::LeaseReleased));
}

#[test]
fn a_short_loss_of_the_arbiter_changes_nothing() {
    let mut leased = active();
    for _ in 0..5 {
        leased.lost = true;
        leased.pass(7_000);
        leased.lost = false;
        leased.pass(4_000);
    }
    assert_eq!(leased.state(), StateName::Active);
}

#[test]
fn a_reply_that_comes_after_t_does_not_revive_the_lease() {
    let mut leased = active();
    leased.renews();
    leased.story.clear();
    leased.answered = 0;
    // The renewal is sent and its answer is long under way; nothing else happens meanwhile.
    leased.story.now += 3_000;
    leased.story.tell(Event::TurnBegan);
    let sent: Vec<OperationId> = leased
        .story
        .out
        .iter()
        .filter_map(|action| match action {
            Action::Arbiter { operation, request: ArbiterRequest::Renew { .. } } => Some(*operation),
            _ => None,
        })
        .collect();
    leased.story.now += 9_500;
    let reply = ArbiterReply::Renewed;
    leased.story.tell(Event::Arbiter { operation: *sent.first().expect("a renewal is due"), reply });
    leased.story.tell(Event::TurnBegan);
    assert_eq!(leased.state(), StateName::Stopping);
}

#[test]
fn a_later_claim_deposes_the_holder() {
    let mut leased = active();
    leased.claimed(3, Role::Master, MASTER_BOOT);
    leased.pass(4_000);
    assert_eq!(leased.state(), StateName::Stopping);
    assert!(leased.saw(Rule::Deposed));
}

#[test]
fn what_cannot_be_guarded_is_not_started() {
    let mut leased = standing_by();
    leased.guards = false;
    leased.pass(75_000);
    assert_eq!(leased.state(), StateName::FailedStart);
    assert!(!leased.story.asks_to_start() && leased.saw(Rule::NotGuarded));
    leased.pass(5_000);
    assert!(leased.view.slave.is_some_and(|slot| slot.released), "and the lease is given back");
}

#[test]
fn a_guardian_that_is_slower_than_the_renewals_is_waited_for_but_not_for_ever() {
    let mut leased = standing_by();
    leased.silent_guardian = true;
    leased.pass(66_000);
    assert!(matches!(leased.story.node.state(), State::Claimed { step: ClaimStep::Guarding(_), .. }));
    let orders: Vec<OperationId> = leased.story.out.iter().filter_map(guard_order).collect();
    assert!(orders.len() > 1, "the lease was renewed meanwhile");
    // What is confirmed is the latest order, not the one that the claim waits for.
    leased.story.tell(Event::Guarded { operation: orders[orders.len() - 1], result: Ok(()) });
    leased.serve();
    assert!(leased.story.asks_to_start());

    let mut never = standing_by();
    never.silent_guardian = true;
    never.pass(80_000);
    assert!(never.saw(Rule::NotGuarded) && !never.story.asks_to_start());
}

fn guard_order(action: &Action) -> Option<OperationId> {
    match action {
        Action::Guard { operation, .. } => Some(*operation),
        _ => None,
    }
}

#[test]
fn a_host_that_boots_alone_starts_when_the_lease_is_its_own_or_over() {
    let own = View {
        claim: Some(Claim { epoch: Epoch(1), owner: Role::Slave, boot: BootId(3) }),
        slave: masters().master,
        ..View::default()
    };
    let mut leased = Leased::boots(leased_alone(), None, own);
    leased.pass(10_000);
    assert!(leased.story.asks_to_start(), "its former start is dead: {:?}", leased.story.node.state());

    let mut leased = Leased::boots(leased_alone(), None, masters());
    leased.pass(60_000);
    assert!(!leased.story.asks_to_start());
    leased.pass(5_000);
    assert!(leased.story.asks_to_start(), "{:?}", leased.story.node.state());
}

pub(super) fn leased_alone() -> Policy {
    Policy { reverse_protection: false, ..leased(Role::Slave) }
}

#[test]
fn a_restarted_daemon_goes_on_with_a_lease_that_holds_and_stops_with_one_that_does_not() {
    let phase = Phase::Active { epoch: Epoch(2) };
    let held = |since| HeldLease { epoch: Epoch(2), since: Millis(since), hold: false, spans: STANDARD.spans() };
    let boots = |held| {
        let mut view = View { claim: Some(Claim { epoch: Epoch(2), owner: Role::Slave, boot: BOOT }), ..masters() };
        view.slave = view.master;
        Leased::boots_with(leased(Role::Slave), Some(record(phase.clone(), 2)), held, view)
    };
    assert_eq!(boots(Some(held(95_000))).state(), StateName::Active);
    assert_eq!(boots(Some(held(80_000))).state(), StateName::Stopping);
    assert_eq!(boots(None).state(), StateName::Stopping);
    let mut older = record(phase.clone(), 2);
    older.arbiter = Epoch(0);
    let before = Leased::boots_with(leased(Role::Slave), Some(older), None, View::default());
    assert_eq!(before.state(), StateName::Active, "claimed before there was an arbiter");
    assert!(before.saw(Rule::LeaseMissing));
}

#[test]
fn a_daemon_that_comes_back_with_a_shorter_lease_promises_what_its_guardian_does() {
    let shorter = LeaseTimes { stop_after_ms: Millis(6_000), scripts_ms: Millis(1_000), ..STANDARD };
    let longer = LeaseTimes { renew_ms: Millis(60_000), stop_after_ms: Millis(300_000), ..STANDARD };
    for times in [shorter, longer] {
        let held = HeldLease { epoch: Epoch(2), since: Millis(99_000), hold: false, spans: STANDARD.spans() };
        let mut view = View { claim: Some(Claim { epoch: Epoch(2), owner: Role::Slave, boot: BOOT }), ..masters() };
        view.slave = view.master;
        let policy = Policy { lease: Some(times), ..leased(Role::Slave) };
        let mut next = Leased::boots_with(policy, Some(record(Phase::Active { epoch: Epoch(2) }, 2)), Some(held), view);
        next.pass(STANDARD.stop_after_ms.0 * 2);
        assert_eq!(next.state(), StateName::Active, "it renews as often as the guardian needs it");
        let said = next.view.slave.map(|slot| slot.terms.lease_ms);
        assert_eq!(said, Some(STANDARD.lease_ms()));
    }
}

#[test]
fn maintenance_holds_the_lease_without_a_limit_and_guards_again_before_it_ends() {
    let mut leased = active();
    leased.story.command(super::maintenance::begin(3_600_000)).expect("accepted");
    leased.pass(4_000);
    assert!(leased.view.slave.is_some_and(|slot| slot.hold));
    assert_eq!(leased.guarded.last(), Some(&GuardedLease::Hold { epoch: Epoch(2) }));
    leased.lost = true;
    leased.pass(600_000);
    assert_eq!(leased.state(), StateName::Active, "nothing runs out");
    leased.story.command(super::maintenance::end()).expect("accepted");
    leased.pass(60_000);
    assert_eq!(leased.state(), StateName::Active, "not before the arbiter is back");
    leased.lost = false;
    leased.pass(7_000);
    assert!(leased.view.slave.is_some_and(|slot| !slot.hold));
    assert!(matches!(leased.guarded.last(), Some(GuardedLease::Held { .. })));
    leased.lost = true;
    leased.pass(20_000);
    assert_eq!(leased.state(), StateName::Stopping, "the limit counts again");
}

#[test]
fn a_failed_stop_lets_the_lease_run_out_unless_a_person_is_to_decide() {
    for ask in [false, true] {
        let mut leased = active();
        leased.story.tell(Event::PolicyChanged(Policy { hold_failed_stop: ask, ..leased_alone() }));
        leased.story.hears(Duty::Active, 3, 3).stop_is_not_verified();
        leased.serve();
        assert_eq!(leased.state(), StateName::FailedStop);
        let before = leased.view.slave.map(|slot| slot.sequence);
        leased.pass(30_000);
        assert_eq!(leased.view.slave.map(|slot| slot.sequence) != before, ask);
        leased.story.tell(Event::GuardianEnded { epoch: Epoch(2) });
        leased.serve();
        assert_eq!(leased.state(), StateName::Stopped, "the guardian ended it, a look verified that");
    }
}

#[test]
fn without_the_arbiter_a_host_is_not_ready_and_asks_nobody_to_stop() {
    let mut leased = standing_by();
    let ready = |leased: &Leased| leased.story.node.beat(Millis(0), Millis(0), Millis(0)).ready;
    let passes = |leased: &mut Leased| {
        for _ in 0..20 {
            leased.hears(Duty::Active, 1);
            leased.pass(500);
        }
    };
    passes(&mut leased);
    assert!(ready(&leased) && leased.story.node.not_ready().is_empty());
    leased.lost = true;
    passes(&mut leased);
    assert!(!ready(&leased), "a start would not get the claim");
    assert!(leased.story.node.not_ready()[0].contains("the arbiter cannot be used"));
    leased.story.hears_failure(1);
    leased.serve();
    assert_eq!(leased.state(), StateName::Standby, "the other host is not stopped for a start that cannot be");
    assert!(leased.saw(Rule::WithheldNotReady));
    leased.lost = false;
    passes(&mut leased);
    assert!(ready(&leased));
}
