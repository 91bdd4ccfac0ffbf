//! The other side of a demand: refused, obeyed, answered.

use crate::decision::{
    Action, Answer, Balance, Demand, Duty, Epoch, Event, Evidence, Forced, Millis, OperationId, PageKind, Presence,
    Refusal, Role, Rule, StateName, StopMeans, StopOutcome, Symptom, Verdict,
};

use super::place::{active, at, blocked, claimed, proving, requesting, standby, starting, stopped, stopping};
use super::story::{Story, THEIRS, commanded, move_here, policy};

fn slave() -> crate::decision::Policy {
    policy(Role::Slave)
}

fn refusal_of(mut story: Story, demand: Demand) -> Option<Refusal> {
    story.clear().tell(Event::DemandReceived(demand));
    assert!(!story.asks_to_stop() || story.answers().is_empty());
    match &story.answers()[..] {
        [Answer::Refused(refusal)] => Some(refusal.clone()),
        _ => None,
    }
}

#[test]
fn each_refusal_has_its_reason() {
    let story = active(slave());
    let demand = story.demand(commanded(), 2);
    let stale = Demand { epoch: Epoch(1), ..demand.clone() };
    assert_eq!(refusal_of(active(slave()), stale), Some(Refusal::Stale { epoch: Epoch(2) }));
    let expired = Demand { lifetime_ms: Millis(0), ..demand.clone() };
    assert_eq!(refusal_of(active(slave()), expired), Some(Refusal::Expired));
    let not_ready = Demand { ready: false, ..demand.clone() };
    assert_eq!(refusal_of(active(slave()), not_ready), Some(Refusal::NotReady));
    let mut maintained = active(slave());
    maintained.command(super::maintenance::begin(3_600_000)).expect("accepted");
    assert_eq!(refusal_of(maintained, demand.clone()), Some(Refusal::Maintenance));
    for evidence in [
        Evidence::Silence(Millis(9_000)),
        Evidence::OwnVerdict(Symptom::Refused),
        Evidence::NobodyActive,
        Evidence::RollBack,
    ] {
        let demand = Demand { evidence: evidence.clone(), ..demand.clone() };
        assert_eq!(refusal_of(active(slave()), demand), Some(Refusal::Healthy), "{evidence}");
    }
    for busy in [claimed(slave()), starting(slave()), proving(slave())] {
        assert_eq!(refusal_of(busy, demand.clone()), Some(Refusal::Busy));
    }
}

#[test]
fn a_command_a_failed_remote_check_and_an_own_failure_are_obeyed() {
    let mut story = active(slave());
    story.demanded(commanded(), 2);
    assert_eq!(story.state(), StateName::Stopping);
    let mut story = active(slave());
    story.demanded(Evidence::RemoteCheck(Symptom::TimedOut), 2);
    assert_eq!(story.state(), StateName::Stopping);
    for evidence in [Evidence::Silence(Millis(9_000)), Evidence::OwnVerdict(Symptom::Refused)] {
        let mut story = active(slave());
        story.tell(Event::LocalVerdict(Verdict::Failed(Symptom::ProcessGone))).demanded(evidence, 2);
        assert_eq!(story.state(), StateName::Stopping);
    }
}

#[test]
fn a_stop_begins_before_anything_waits_for_the_disk() {
    let mut story = active(slave());
    story.clear().demanded(commanded(), 2);
    let place = |wanted: fn(&Action) -> bool| story.out.iter().position(wanted);
    let stop = place(|action| matches!(action, Action::Stop { .. }));
    let write = place(|action| matches!(action, Action::Persist { .. }));
    assert!(stop.is_some() && stop < write, "{:?}", story.out);
    assert!(story.out.contains(&Action::Balance(Balance::Nowhere(Epoch(2)))));
}

#[test]
fn a_verified_stop_is_acknowledged_only_when_it_is_durable() {
    let mut story = stopping(slave());
    let forced = Some(Forced { step: 1, reason: "it ran out of time".into() });
    story.clear().stop_ends(StopOutcome::Stopped { means: StopMeans::PostConditions, forced: forced.clone() });
    assert!(story.answers().is_empty());
    story.written(true);
    assert_eq!(story.answers(), [Answer::Acked { epoch: Epoch(2), means: StopMeans::PostConditions, forced }]);
}

#[test]
fn a_stop_that_is_not_verified_or_not_durable_or_too_slow_is_no_proof() {
    let mut unverified = stopping(slave());
    unverified.clear().stop_is_not_verified();
    let mut unwritten = stopping(slave());
    unwritten.clear().stops().written(false);
    let mut slow_disk = stopping(slave());
    slow_disk.clear().stops().pass(10_000);
    let mut slow = stopping(slave());
    slow.clear().pass(90_000);
    assert!(slow.out.contains(&Action::Balance(Balance::Leave)), "the balancer is left to the other host");
    for mut story in [unverified, unwritten, slow_disk, slow] {
        assert_eq!(story.state(), StateName::FailedStop);
        assert!(story.pages().contains(&PageKind::StopFailed));
        // A repeated demand gets the same answer, for as long as it takes a person to come.
        story.pass(3_600_000).demanded(commanded(), 2);
        assert_eq!(story.answers().len(), 2);
        assert!(story.answers().iter().all(|answer| matches!(answer, Answer::AckedFailed { .. })));
    }
}

#[test]
fn a_late_report_of_an_old_stop_changes_nothing() {
    let mut story = stopping(slave());
    let outcome = StopOutcome::Stopped { means: StopMeans::PostConditions, forced: None };
    story.tell(Event::StopDone { operation: OperationId(1), outcome });
    assert_eq!(story.state(), StateName::Stopping);
}

#[test]
fn a_demand_that_is_repeated_during_the_stop_is_answered_once_it_is_done() {
    let mut story = stopping(slave());
    story.clear().demanded(commanded(), 2).stops().demanded(commanded(), 2).written(true);
    assert!(matches!(story.answers()[..], [Answer::Acked { .. }]));
}

#[test]
fn an_answer_that_was_lost_is_given_again_with_its_means() {
    let mut story = stopping(slave());
    let forced = Some(Forced { step: 1, reason: "it ran out of time".into() });
    story.stop_ends(StopOutcome::Stopped { means: StopMeans::PostConditions, forced }).written(true);
    story.demanded(commanded(), 2).looked(Presence::NothingRuns).written(true);
    let answers = story.answers();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_demand_that_comes_while_a_failed_start_is_taken_back_is_answered_after_it() {
    let mut story = starting(slave());
    story.start_fails().demanded(commanded(), 2);
    story.clear().stops().looked(Presence::NothingRuns).written(true);
    assert_eq!(story.state(), StateName::FailedStart);
    assert!(matches!(story.answers()[..], [Answer::Acked { means: StopMeans::NotRunning, .. }]));
}

#[test]
fn where_nothing_runs_that_is_looked_at_and_durable_before_it_is_acknowledged() {
    for name in [StateName::Passive, StateName::Standby, StateName::Suspect, StateName::Stopped, StateName::FailedStart]
    {
        let mut story = at(name);
        story.clear().demanded(commanded(), 2);
        assert!(story.answers().is_empty(), "{name:?}");
        story.looked(Presence::NothingRuns);
        assert!(story.answers().is_empty(), "{name:?}");
        story.written(true);
        assert!(matches!(story.answers()[..], [Answer::Acked { .. }]), "{name:?}: {:?}", story.answers());
    }
}

#[test]
fn where_something_runs_or_the_disk_fails_nothing_is_acknowledged() {
    let mut runs = standby(slave());
    runs.demanded(commanded(), 2).looked(Presence::Runs("dovecot".into()));
    assert_eq!(runs.state(), StateName::ExclusivityError);
    let mut unwritten = standby(slave());
    unwritten.demanded(commanded(), 2).looked(Presence::NothingRuns).written(false);
    let mut slow_disk = standby(slave());
    slow_disk.demanded(commanded(), 2).looked(Presence::NothingRuns).pass(10_000);
    for story in [runs, unwritten, slow_disk] {
        assert!(matches!(story.answers()[..], [Answer::AckedFailed { .. }]), "{:?}", story.answers());
    }
}

#[test]
fn an_answer_promises_no_epoch_that_is_not_written_yet() {
    let mut story = standby(slave());
    story.demanded(commanded(), 1).looked(Presence::NothingRuns);
    let write = story.last_write();
    story.hears(Duty::Requesting, 7, 1).tell(Event::Persisted { operation: write, durable: true });
    assert!(matches!(story.answers()[..], [Answer::Acked { epoch: Epoch(1), .. }]), "{:?}", story.answers());
}

#[test]
fn a_demand_that_is_withdrawn_is_not_answered() {
    let mut story = standby(slave());
    story.demanded(commanded(), 2).tell(Event::DemandWithdrawn(THEIRS)).looked(Presence::NothingRuns);
    assert!(story.answers().is_empty());
}

#[test]
fn no_attempt_begins_while_a_demand_is_being_answered() {
    let mut story = standby(slave());
    story.demanded(commanded(), 1).hears_failure(1);
    assert_eq!((story.state(), story.node.withheld()), (StateName::Standby, Some(Rule::WithheldAnswering)));
    assert!(story.command(move_here()).is_err());
}

#[test]
fn when_both_demand_a_command_goes_first_and_then_the_master() {
    // (own role, own demand is a command, the peer's is) and whether the own goes on.
    let cases = [
        (Role::Slave, false, false, false),
        (Role::Slave, true, false, true),
        (Role::Slave, false, true, false),
        (Role::Slave, true, true, false),
        (Role::Master, false, false, true),
        (Role::Master, true, false, true),
        (Role::Master, false, true, false),
        (Role::Master, true, true, true),
    ];
    for (role, own_command, their_command, goes_on) in cases {
        let mut story = if own_command {
            let mut story = standby(policy(role));
            story.command(move_here()).expect("accepted");
            story.written(true);
            story
        } else {
            requesting(policy(role))
        };
        let evidence = if their_command { commanded() } else { Evidence::OwnVerdict(Symptom::Refused) };
        story.clear().demanded(evidence, 1);
        let busy = story.answers() == [Answer::Refused(Refusal::Busy)];
        assert_eq!(busy, goes_on, "{role}, own command {own_command}, theirs {their_command}");
        if !goes_on {
            assert!(story.out.iter().any(|action| matches!(action, Action::Withdraw(_))));
            assert!(story.notes().contains(&Rule::YieldedToPeer));
            story.looked(Presence::NothingRuns).written(true);
            assert!(matches!(story.answers()[..], [Answer::Acked { .. }]));
        }
    }
    let mut story = blocked(slave());
    story.clear().demanded(commanded(), 1).looked(Presence::NothingRuns).written(true);
    assert!(matches!(story.answers()[..], [Answer::Acked { .. }]), "a blocked host lets the other go, too");
}

#[test]
fn a_stopped_host_waits_for_the_other_and_says_when_nobody_starts() {
    let mut story = stopped(slave());
    story.hears(Duty::Starting, 3, 3);
    assert_eq!(story.state(), StateName::Standby);

    let mut story = stopped(slave());
    story.clear().pass(60_000);
    assert!(story.pages().contains(&PageKind::NobodyActive));
    assert!(story.notes().contains(&Rule::PeerDidNotStart));

    // It gave its demand up while the answer was under way: there is nothing to wait for.
    let mut story = stopped(slave());
    story.hears(Duty::Requesting, 2, 1).pass_heard(2_000);
    assert_eq!(story.state(), StateName::Stopped);
    story.hears(Duty::Standby, 2, 1).pass_heard(2_000);
    assert_eq!(story.state(), StateName::Requesting, "the owner of the highest epoch starts again");
}

#[test]
fn a_stop_by_the_second_way_makes_the_daemon_stand_by_and_ends_a_start_for_good() {
    let mut story = active(slave());
    story.clear().tell(Event::ForeignStop { epoch: Epoch(2) });
    assert_eq!(story.state(), StateName::Stopped);
    assert!(!story.asks_to_stop() && !story.asks_to_start());

    let mut story = starting(slave());
    story.clear().tell(Event::ForeignStop { epoch: Epoch(2) });
    assert!(story.asks_to_stop(), "the rest of the start list must not run");
    story.stops().written(true);
    assert_eq!(story.state(), StateName::Stopped);

    let mut story = stopping(slave());
    story.tell(Event::ForeignStop { epoch: Epoch(2) }).clear().stops().written(true);
    assert!(matches!(story.answers()[..], [Answer::Acked { .. }]));
}

#[test]
fn of_two_active_hosts_the_lower_epoch_stops_and_both_call_a_person() {
    let mut lower = active(slave());
    lower.clear().hears(Duty::Active, 3, 3);
    assert_eq!((lower.state(), lower.pages()), (StateName::Stopping, alloc::vec![PageKind::TwoActives]));

    let mut higher = active(slave());
    higher.clear().hears(Duty::Active, 2, 1);
    assert!(higher.pages().is_empty(), "a beat from before the stop may still be under way");
    higher.pass_heard(5_000);
    assert_eq!((higher.state(), higher.pages()), (StateName::Active, alloc::vec![PageKind::TwoActives]));
}

#[test]
fn of_two_active_hosts_with_the_same_epoch_the_slave_stops() {
    let mut slave = active(slave());
    slave.clear().hears(Duty::Active, 2, 2);
    assert_eq!((slave.state(), slave.pages()), (StateName::Stopping, alloc::vec![PageKind::TwoActives]));
    slave.stops().written(true).pass_heard(2_000).hears(Duty::Active, 2, 2).pass(1);
    assert_eq!(slave.state(), StateName::Standby, "it does not wait for a start that was");

    let mut master = active(policy(Role::Master));
    master.clear().hears(Duty::Active, 2, 2).pass_heard(5_000);
    assert_eq!((master.state(), master.pages()), (StateName::Active, alloc::vec![PageKind::TwoActives]));
}
