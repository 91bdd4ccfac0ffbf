//! A commanded move has two phases: the other host is asked whether it would obey, then it is told to.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::decision::{
    Action, Answer, Beat, Command, Demand, Duty, Event, Presence, Refusal, Role, Rule, StateName, Verdict,
};

use super::place::{active, standby, starting};
use super::story::{Story, commanded, move_here, policy};

fn demands(story: &Story) -> Vec<bool> {
    let sent = story.out.iter().filter_map(|action| match action {
        Action::SendDemand { demand, .. } => Some(demand.prepare),
        _ => None,
    });
    sent.collect()
}

fn preparing() -> Story {
    let mut story = standby(policy(Role::Master));
    story.hears(Duty::Active, 2, 2);
    story.command(move_here()).expect("accepted");
    story.written(true);
    story
}

#[test]
fn the_service_is_stopped_only_when_the_other_host_is_prepared() {
    let mut story = preparing();
    assert_eq!(demands(&story), [true]);
    story.answered(Answer::Prepared);
    assert_eq!(demands(&story), [true, false]);
    assert!(story.rules.contains(&Rule::Prepared));
    story.answered(Answer::Prepared);
    assert_eq!(demands(&story), [true, false], "said twice, it is done once");
    story.acked(2);
    assert_eq!(story.state(), StateName::Claimed);
}

#[test]
fn a_host_that_is_not_prepared_ends_the_move_and_nothing_was_stopped() {
    let mut story = preparing();
    story.answered(Answer::Refused(Refusal::Maintenance));
    assert_eq!(story.state(), StateName::Standby);
    assert_eq!(demands(&story), [true]);
}

#[test]
fn a_host_that_does_not_answer_the_first_phase_is_told_all_the_same() {
    let mut story = preparing();
    story.pass_heard(6_000);
    assert_eq!(demands(&story), [true, false]);
    let mut silent = standby(policy(Role::Master));
    silent.pass(3_500);
    silent.command(move_here()).expect("accepted");
    silent.written(true);
    assert_eq!(demands(&silent), [false], "a silent host cannot prepare");
}

#[test]
fn an_active_host_says_that_it_would_obey_and_goes_on() {
    let mut story = active(policy(Role::Slave));
    let prepare = Demand { prepare: true, ..story.demand(commanded(), 2) };
    story.tell(Event::DemandReceived(prepare.clone()));
    assert_eq!(story.answers(), [Answer::Prepared]);
    assert_eq!(story.state(), StateName::Active);
    story.tell(Event::DemandReceived(Demand { prepare: false, ..prepare }));
    assert_eq!(story.state(), StateName::Stopping);

    let mut idle = standby(policy(Role::Slave));
    let prepare = Demand { prepare: true, ..idle.demand(commanded(), 2) };
    idle.tell(Event::DemandReceived(prepare)).looked(Presence::NothingRuns).written(true);
    assert!(matches!(idle.answers()[..], [Answer::Acked { .. }]), "nothing runs there: {:?}", idle.answers());
}

#[test]
fn every_reason_against_a_move_is_told_at_once() {
    let mut story = standby(policy(Role::Master));
    story.tell(Event::Readiness(vec!["no store".into(), "no script".into()]));
    let beat = Beat { maintenance: true, digest: 2, ..Story::beat_of(Duty::Active, 2, 2) };
    story.tell(Event::Beat(Beat { verdict: Verdict::Passed, ..beat }));
    let reasons = story.command(move_here()).expect_err("refused");
    for wanted in ["no store", "no script", "maintenance", "configurations of the two hosts differ"] {
        assert!(reasons.contains(wanted), "{wanted:?} is missing in:\n{reasons}");
    }
    assert_eq!(demands(&story), [false; 0]);
}

#[test]
fn a_move_can_be_given_up_until_it_is_acknowledged() {
    let abort = || Command::Abort { by: String::from("ann") };
    let mut story = preparing();
    story.command(abort()).expect("nothing has happened yet");
    assert_eq!(story.state(), StateName::Standby);
    let mut obeyed = preparing();
    obeyed.answered(Answer::Prepared);
    let request = obeyed.request();
    obeyed.tell(Event::StillStopping { request, step: 1 });
    let said = obeyed.command(abort()).expect("not acknowledged yet");
    assert!(said.contains("starts it again"), "{said}");
    assert!(obeyed.rules.contains(&Rule::OperatorAborted));
    let mut forward = starting(policy(Role::Master));
    assert!(forward.command(abort()).expect_err("acknowledged").contains("goes forward"));
    assert!(standby(policy(Role::Master)).command(abort()).is_err());
}
