//! How long an acknowledgement holds: for the host that may start on it, and for the one that gave it.

use crate::decision::{
    Action, Answer, BootId, Command, Duty, Epoch, Event, Policy, Presence, Proof, Record, Role, Rule, StateName,
    StopMeans,
};

use super::place::{active, blocked, failed_stop, passive, proving, requesting, requesting_a_silent_peer, standby};
use super::proofs::{proof, slave};
use super::story::{Story, commanded, policy};

#[test]
fn an_acknowledgement_that_waited_in_a_stopped_daemon_is_asked_for_again() {
    for mut story in [requesting(slave()), blocked(slave()), proving(slave())] {
        let (request, sent) = (story.request(), story.sent);
        story.now += 3_600_000;
        let answer = Answer::Acked { epoch: Epoch(1), means: StopMeans::PostConditions, forced: None };
        story.clear().tell(Event::TurnBegan).tell(Event::Answered { request, sent, answer });
        assert!(proof(&story).is_none());
        assert!(story.notes().contains(&Rule::AnswerTooOld));
        story.tell(Event::RcmdDone { request, sent, result: Ok((Epoch(1), StopMeans::PostConditions, None)) });
        assert!(proof(&story).is_none());
    }
}

#[test]
fn an_answer_is_as_old_as_the_sending_that_it_answers_and_not_as_the_newest() {
    let mut story = requesting_a_silent_peer(slave());
    let (request, first) = (story.request(), story.sent);
    let answer = Answer::Acked { epoch: Epoch(1), means: StopMeans::PostConditions, forced: None };
    story.pass(64_000);
    assert_eq!(story.state(), StateName::TakeoverBlocked);
    assert!(story.sent > first, "it was sent again");
    story.clear().tell(Event::Answered { request, sent: first, answer: answer.clone() });
    assert!(proof(&story).is_none() && story.notes().contains(&Rule::AnswerTooOld));
    story.answered(answer);
    assert_eq!(story.state(), StateName::Claimed, "the newest one counts");
}

#[test]
fn a_statement_that_took_too_long_is_asked_for_again() {
    let mut story = requesting_a_silent_peer(Policy { rcmd: true, ..slave() });
    let request = story.request();
    story.pass(2_500);
    let Some(Action::Rcmd { sent, .. }) =
        story.out.iter().find(|action| matches!(action, Action::Rcmd { .. })).cloned()
    else {
        panic!("{:?}", story.out)
    };
    story.pass(64_000);
    assert_eq!(story.state(), StateName::TakeoverBlocked);
    let result = Ok((Epoch(1), StopMeans::PostConditions, None));
    story.clear().tell(Event::RcmdDone { request, sent, result: result.clone() });
    assert!(proof(&story).is_none() && story.notes().contains(&Rule::AnswerTooOld));
    assert!(story.out.iter().any(|action| matches!(action, Action::Rcmd { .. })), "{:?}", story.out);
    let sent = story.sent;
    story.tell(Event::RcmdDone { request, sent, result });
    assert!(matches!(proof(&story), Some(Proof::Ack { by_rcmd: true, .. })));
}

#[test]
fn no_persons_word_starts_a_host_that_has_just_let_the_other_one_start() {
    let start_alone =
        || Command::StartAlone { by: "ann".into(), reason: "the slave burnt".into(), despite_old_copy: false };
    let mut story = passive(policy(Role::Master));
    story.demanded(commanded(), 0);
    story.command(start_alone()).expect_err("the demand is being answered");
    story.looked(Presence::NothingRuns).written(true);
    story.command(start_alone()).expect_err("the answer may be under way");
    story.pass(63_000);
    story.command(start_alone()).expect("nobody can start on that answer any more");
}

#[test]
fn over_a_restart_a_host_remembers_that_it_let_the_other_one_start() {
    let start_alone =
        || Command::StartAlone { by: "ann".into(), reason: "the slave burnt".into(), despite_old_copy: false };
    let mut story = standby(policy(Role::Master));
    story.demanded(commanded(), 1).looked(Presence::NothingRuns);
    let written = story.node.record().clone();
    assert_eq!(written.gave_leave, Some(Epoch(1)), "in the very write that the answer waits for");
    // With its daemon or with its kernel: how long ago that was, nobody knows.
    for boot in [written.boot, BootId(99)] {
        let mut again = Story::boots(policy(Role::Master), Some(Record { boot, ..written.clone() }));
        again.tell(Event::Readiness(alloc::vec![])).looked(Presence::NothingRuns);
        let refused = again.command(start_alone()).expect_err("the answer may be under way still");
        assert!(refused.contains("that it may start"), "{refused}");
        again.pass(63_000).command(start_alone()).expect("nobody can start on that answer any more");
        assert_eq!(again.node.record().gave_leave, None, "it starts itself");
    }
    // The other host was seen to have used it; or cannot any more.
    let mut unused = story.clone();
    story.written(true).hears(Duty::Starting, 2, 2);
    assert_eq!(story.node.record().gave_leave, None);
    unused.written(true).hears(Duty::Standby, 1, 1).pass_heard(62_000);
    assert_eq!(unused.node.record().gave_leave, Some(Epoch(1)));
    unused.pass_heard(2_000);
    assert_eq!(unused.node.record().gave_leave, None);
}

#[test]
fn leave_is_durable_before_any_acknowledgement_leaves() {
    // Of a stop that was demanded.
    let mut demanded = active(slave());
    demanded.demanded(commanded(), 2).stops();
    assert_eq!(demanded.node.record().gave_leave, Some(Epoch(2)));
    // Of one that was not, with a demand that comes while it is written.
    let mut forced = failed_stop(slave());
    let command = Command::ForceOffline { by: "ann".into(), reason: "killed by hand".into() };
    forced.clear().tell(Event::Command { ticket: 1, command });
    forced.looked(Presence::NothingRuns);
    assert_eq!((forced.state(), forced.node.record().gave_leave), (StateName::Stopped, None));
    forced.demanded(commanded(), 2).written(true);
    assert!(forced.answers().is_empty(), "{:?}", forced.answers());
    forced.looked(Presence::NothingRuns);
    assert_eq!(forced.node.record().gave_leave, Some(Epoch(2)));
    forced.written(true);
    assert!(matches!(forced.answers()[..], [Answer::Acked { .. }]));
    // Of a stop by the second way.
    let mut stated = active(slave());
    stated.tell(Event::ForeignStop { epoch: Epoch(2) });
    assert_eq!(stated.node.record().gave_leave, Some(Epoch(2)));
}
