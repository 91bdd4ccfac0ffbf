//! What operators command: moves, their roll-back, and the ways out that the states print.

use crate::decision::{
    Action, Command, Duty, Epoch, Event, Evidence, PageKind, Policy, Presence, Role, Rule, StartOutcome, State,
    StateName, StopMeans,
};

use super::place::{at, failed_start, failed_stop, passive, requesting, standby, stopped};
use super::story::{Story, commanded, move_here, policy};

fn by() -> alloc::string::String {
    "ann".into()
}

fn force_offline() -> Command {
    Command::ForceOffline { by: by(), reason: "stopped by hand".into() }
}

fn start_alone() -> Command {
    Command::StartAlone { by: by(), reason: "the other one burnt".into(), despite_old_copy: false }
}

/// A move by command whose start fails: stopped again, and the peer still stands there stopped.
fn commanded_start_fails() -> Story {
    let mut story = standby(policy(Role::Slave));
    story.command(move_here()).expect("accepted");
    story.written(true).acked(1).written(true).start_fails();
    story.stops();
    story
}

fn times_asked(story: &Story) -> usize {
    story.out.iter().filter(|action| matches!(action, Action::StartPlease(_))).count()
}

#[test]
fn takeover_and_takeback_are_one_command_on_the_host_that_is_to_start() {
    for role in [Role::Slave, Role::Master] {
        let mut story = standby(policy(role));
        story.command(move_here()).expect("accepted");
        story.written(true).acked(1).written(true).start_ends(StartOutcome::Started);
        assert_eq!(story.state(), StateName::Active);
        assert!(story.pages().contains(&PageKind::Moved));
        assert!(!story.node.locked(), "a commanded move counts for no hold-down, and ends one");
    }
}

#[test]
fn a_commanded_move_ends_the_hold_down_of_an_automatic_one() {
    let mut story = stopped(policy(Role::Slave));
    assert!(story.node.locked());
    story.command(move_here()).expect("not held");
    story.written(true).acked(2).written(true);
    assert!(story.node.locked(), "not before it succeeded");
    story.start_ends(StartOutcome::Started);
    assert!(!story.node.locked());
}

#[test]
fn a_move_that_cannot_begin_is_refused_with_its_reason() {
    let refused = |name, expected: &str| {
        let why = at(name).command(move_here()).expect_err("refused");
        assert!(why.contains(expected), "{name:?}: {why}");
    };
    refused(StateName::Active, "already runs here");
    for name in [StateName::Requesting, StateName::Proving, StateName::Claimed, StateName::Starting] {
        refused(name, "under way");
    }
    refused(StateName::Stopping, "stopping");
    refused(StateName::Passive, "start-alone");
    refused(StateName::TakeoverBlocked, "confirm-stopped");
    refused(StateName::FailedStop, "force-offline");
    refused(StateName::ExclusivityError, "ack");
    let mut story = standby(policy(Role::Slave));
    story.tell(Event::Readiness(alloc::vec!["the store is not mounted".into()]));
    let why = story.command(move_here()).expect_err("refused");
    assert!(why.contains("the store is not mounted"), "{why}");
}

#[test]
fn a_commanded_start_that_fails_is_rolled_back_and_the_peer_asked_until_it_goes() {
    let mut story = commanded_start_fails();
    assert_eq!(story.state(), StateName::FailedStart);
    story.clear().hears(Duty::Stopped, 1, 1);
    assert_eq!(times_asked(&story), 1);
    // The message was lost, with its connection; then the daemon is restarted.
    story.pass_heard(3_000);
    assert!((3..=4).contains(&times_asked(&story)), "{}", times_asked(&story));
    let mut story = Story::boots(policy(Role::Slave), Some(story.node.record().clone()));
    story.hears(Duty::Standby, 2, 1);
    assert_eq!(times_asked(&story), 1);
    story.hears(Duty::Requesting, 2, 1).hears(Duty::Starting, 3, 3).hears(Duty::Active, 3, 3).pass_heard(10_000);
    assert_eq!(times_asked(&story), 1, "it goes");
    story.hears(Duty::Standby, 3, 3).pass_heard(10_000);
    assert_eq!(times_asked(&story), 1, "once, by one new epoch");
}

#[test]
fn the_host_that_was_well_takes_the_service_back_with_a_proof_and_a_new_epoch() {
    let mut story = stopped(policy(Role::Slave));
    story.tell(Event::StartPlease(Epoch(3)));
    let State::Requesting { attempt, .. } = story.node.state() else { panic!("{:?}", story.node.state()) };
    assert_eq!((&attempt.evidence, attempt.epoch), (&Evidence::RollBack, Epoch(3)));
    story.written(true).acked(3).written(true);
    assert!(matches!(story.node.state(), State::Starting { epoch: Epoch(4), .. }));
    story.clear().start_fails().stops().hears(Duty::Stopped, 4, 3).pass_heard(5_000);
    assert_eq!((story.state(), times_asked(&story)), (StateName::FailedStart, 0), "no second roll-back");
}

#[test]
fn a_commanded_claim_that_is_not_durable_is_rolled_back_too() {
    let mut story = standby(policy(Role::Slave));
    story.command(move_here()).expect("accepted");
    story.written(true).acked(1).written(false).clear().hears(Duty::Stopped, 1, 1);
    assert_eq!((story.state(), times_asked(&story)), (StateName::FailedStart, 1));
}

#[test]
fn a_person_starts_a_host_alone() {
    let mut story = passive(policy(Role::Slave));
    story.command(start_alone()).expect("accepted");
    story.written(true);
    assert!(story.asks_to_start());
}

#[test]
fn start_alone_is_refused_where_it_has_no_place() {
    let mut standing_by = standby(policy(Role::Slave));
    let mut unlisted = passive(Policy { proof_operator: false, ..policy(Role::Slave) });
    let mut not_ready = passive(policy(Role::Slave));
    not_ready.tell(Event::Readiness(alloc::vec!["the store is not mounted".into()]));
    let mut unseen = Story::boots(policy(Role::Slave), None);
    unseen.tell(Event::Readiness(alloc::vec![]));
    let mut heard = Story::boots(policy(Role::Slave), None);
    heard.hears(Duty::Active, 1, 1);
    for story in [&mut standing_by, &mut unlisted, &mut not_ready, &mut unseen, &mut heard] {
        let before = story.state();
        story.command(start_alone()).expect_err("refused");
        assert_eq!(story.state(), before);
        assert!(story.notes().contains(&Rule::CommandRefused));
    }
}

#[test]
fn a_failed_stop_ends_with_a_persons_word_unless_something_visibly_runs() {
    let mut story = failed_stop(policy(Role::Slave));
    story.tell(Event::Command { ticket: 77, command: force_offline() });
    assert_eq!(story.reply(), None, "the answer comes with the look");
    story.looked(Presence::Runs("dovecot".into()));
    assert!(story.reply().is_some_and(|reply| reply.is_err()));
    assert_eq!(story.state(), StateName::FailedStop);

    for (presence, expected) in [
        (Presence::NothingRuns, StopMeans::PostConditions),
        (Presence::CannotTell("no process list".into()), StopMeans::Operator),
    ] {
        story = failed_stop(policy(Role::Slave));
        story.tell(Event::Command { ticket: 77, command: force_offline() }).looked(presence);
        assert!(matches!(story.node.state(), State::Stopped { means, .. } if *means == expected));
    }
    // From here a demand is answered like any other.
    story.written(true).clear().demanded(commanded(), 2).looked(Presence::NothingRuns).written(true);
    assert_eq!(story.answers().len(), 1);
    at(StateName::Standby).command(force_offline()).expect_err("no failed stop waits there");
}

#[test]
fn ack_clears_what_waited_for_it_and_says_what() {
    let ack = || Command::Acknowledge { by: by() };
    let mut story = failed_start(policy(Role::Slave));
    assert!(story.command(ack()).expect("accepted").contains("failed start"));
    assert_eq!(story.state(), StateName::Standby);

    let mut story = at(StateName::ExclusivityError);
    story.command(ack()).expect("accepted");
    story.looked(Presence::Runs("dovecot".into()));
    assert_eq!(story.state(), StateName::ExclusivityError, "what runs is not talked away");
    story.command(ack()).expect("accepted");
    story.looked(Presence::NothingRuns).hears(Duty::Active, 1, 1);
    assert_eq!(story.state(), StateName::Standby);

    let mut story = standby(policy(Role::Slave));
    assert!(story.command(ack()).expect("accepted").contains("nothing waited"));
}

#[test]
fn a_blocked_command_is_given_up_by_ack_and_a_blocked_automatic_move_is_not() {
    let mut story = standby(policy(Role::Slave));
    story.command(move_here()).expect("accepted");
    story.written(true).pass(60_000);
    assert_eq!(story.state(), StateName::TakeoverBlocked);
    story.clear().command(Command::Acknowledge { by: by() }).expect("accepted");
    assert_ne!(story.state(), StateName::TakeoverBlocked);
    assert!(story.out.iter().any(|action| matches!(action, Action::Withdraw(_))));

    let mut story = at(StateName::TakeoverBlocked);
    story.command(Command::Acknowledge { by: by() }).expect("accepted");
    assert_eq!(story.state(), StateName::TakeoverBlocked);
}

#[test]
fn a_commanded_demand_is_not_withdrawn_because_the_service_is_well() {
    let mut story = standby(policy(Role::Slave));
    story.command(move_here()).expect("accepted");
    story.written(true).hears(Duty::Active, 1, 1);
    assert_eq!(story.state(), StateName::Requesting);
    assert_eq!(requesting(policy(Role::Slave)).hears(Duty::Active, 1, 1).state(), StateName::Standby);
}
