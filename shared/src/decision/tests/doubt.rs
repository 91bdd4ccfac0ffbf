//! What withholds a decision: doubt of the own view, a link that is cut, rules, and pauses.

use alloc::vec;

use crate::decision::{
    Action, Beat, Command, Duty, Epoch, Event, Millis, PageKind, Policy, Role, Rule, Sight, StateName, Symptom, Verdict,
};

use super::place::{active, standby, starting, suspect};
use super::story::{Story, move_here, policy};

fn slave() -> Policy {
    policy(Role::Slave)
}

/// The peer says that its service failed, and something else.
fn failing(change: impl Fn(&mut Beat)) -> Event {
    let mut beat = Beat { verdict: Verdict::Failed(Symptom::TimedOut), ..Story::beat_of(Duty::Active, 1, 1) };
    change(&mut beat);
    Event::Beat(beat)
}

const NOBODY: Event = Event::References { answering: 0, of: 2, link_up: true };
const SOMEBODY: Event = Event::References { answering: 1, of: 2, link_up: true };

#[test]
fn an_isolated_host_demands_nothing_because_of_silence_until_one_reference_answers() {
    for cut in [NOBODY, Event::References { answering: 2, of: 2, link_up: false }] {
        let mut story = standby(slave());
        story.tell(cut).pass(30_000).sees(Sight::NotServing, Sight::NotServing);
        assert_eq!((story.state(), story.node.withheld()), (StateName::Suspect, Some(Rule::WithheldSelfIsolated)));
        assert!(story.pages().is_empty(), "this ends by itself");
        story.tell(SOMEBODY).sees(Sight::NotServing, Sight::NotServing);
        assert_eq!(story.state(), StateName::Requesting);
    }
    let mut story = standby(slave());
    story.tell(Event::References { answering: 0, of: 0, link_up: true });
    assert!(!story.node.is_isolated(), "where no reference point is configured none is missing");
}

#[test]
fn a_host_whose_loop_was_late_does_not_trust_silence_for_thirty_seconds() {
    let mut story = suspect(slave());
    story.tell(Event::LoopLate(Millis(2_000))).sees(Sight::NotServing, Sight::NotServing);
    assert_eq!((story.state(), story.node.withheld()), (StateName::Suspect, Some(Rule::WithheldTilt)));
    story.pass(20_000).tell(Event::LoopLate(Millis(2_000))).pass(29_000);
    assert_eq!(story.node.withheld(), Some(Rule::WithheldTilt), "each late loop begins the time anew");
    story.pass(1_000).sees(Sight::NotServing, Sight::NotServing);
    assert_eq!(story.state(), StateName::Requesting);
    assert!(story.notes().contains(&Rule::TiltEnded));
}

#[test]
fn doubt_holds_neither_a_verdict_nor_an_answer_nor_a_command() {
    let mut story = standby(slave());
    story.tell(NOBODY).tell(Event::LoopLate(Millis(9_000))).tell(failing(|_| {}));
    assert_eq!(story.state(), StateName::Requesting);
    story.written(true).acked(1);
    assert_eq!(story.state(), StateName::Claimed);

    let mut story = standby(slave());
    story.tell(NOBODY).tell(Event::LoopLate(Millis(9_000)));
    story.command(move_here()).expect("a command is not held");
}

#[test]
fn a_late_loop_restarts_freshness_once_and_only_once() {
    let mut story = standby(slave());
    story.now += 2_900;
    story.tell(Event::LoopLate(Millis(1_600)));
    story.now += 200;
    story.tell(Event::TurnEnded);
    assert_eq!(story.state(), StateName::Standby, "beats may wait in the sockets");
    story.now += 2_700;
    story.tell(Event::LoopLate(Millis(1_600)));
    story.now += 200;
    story.tell(Event::TurnEnded);
    assert_eq!(story.state(), StateName::Suspect, "a loop that is always late cannot hide a dead peer for ever");
}

#[test]
fn silence_is_judged_only_after_every_socket_was_read() {
    let mut story = standby(slave());
    story.now += 10_000;
    let changes = story.steps.len();
    story.tell(Event::TurnBegan).hears(Duty::Active, 1, 1).tell(Event::TurnEnded);
    assert_eq!(story.steps.len(), changes, "not even for a moment");
    assert_eq!((story.state(), story.node.peer().2), (StateName::Standby, false));
}

#[test]
fn a_cut_link_is_an_alarm_and_no_reason_to_demand() {
    let mut story = suspect(slave());
    story.clear();
    for _ in 0..60 {
        story.sees(Sight::NotServing, Sight::Serving).pass(1_000);
    }
    assert_eq!((story.state(), story.demands()), (StateName::Suspect, 0));
    assert_eq!((story.pages(), story.node.withheld()), (vec![PageKind::LinkCut], Some(Rule::LinkCut)));
    let asked = story.out.iter().filter(|action| matches!(action, Action::AskWitness)).count();
    assert!((50..=62).contains(&asked), "the witnesses are asked each second, and were asked {asked} times");
    story.hears(Duty::Active, 1, 1);
    assert_eq!((story.state(), story.node.withheld()), (StateName::Standby, None));
}

#[test]
fn a_failure_behind_a_cut_link_is_seen_through_the_balancer() {
    let mut story = suspect(slave());
    story.sees(Sight::NotServing, Sight::Serving).sees(Sight::NotServing, Sight::NotServing);
    assert_eq!(story.state(), StateName::Requesting);
}

#[test]
fn a_failed_check_counts_unless_the_balancer_still_reaches_the_service() {
    let failed = Verdict::Failed(Symptom::WrongAnswer);
    let known = || {
        let mut story = standby(slave());
        story.tell(Event::RemoteVerdict(Verdict::Passed));
        story
    };
    let mut story = known();
    story.tell(Event::ThroughVerdict(Verdict::Passed)).tell(Event::RemoteVerdict(failed));
    assert_eq!(story.state(), StateName::Standby);
    story.tell(Event::ThroughVerdict(failed));
    assert_eq!(story.state(), StateName::Requesting);
    let mut story = known();
    story.tell(Event::ThroughVerdict(failed)).pass_heard(5_000);
    assert_eq!(story.state(), StateName::Standby, "bad through the balancer but good direct is the balancer's matter");
}

#[test]
fn what_the_checks_found_while_the_link_was_cut_moves_nothing_when_it_is_whole_again() {
    let failed = Verdict::Failed(Symptom::Unreachable);
    let mut story = suspect(slave());
    story.tell(Event::RemoteVerdict(failed)).hears(Duty::Active, 1, 1).pass_heard(5_000);
    assert_eq!(story.state(), StateName::Standby, "the checks have not had the time to look again");
    story.tell(Event::RemoteVerdict(Verdict::Passed)).pass_heard(500);
    story.tell(Event::RemoteVerdict(failed)).pass_heard(500);
    assert_eq!(story.state(), StateName::Requesting, "a failure since then counts");

    let mut lasting = suspect(slave());
    lasting.tell(Event::RemoteVerdict(failed)).hears(Duty::Active, 1, 1).pass_heard(31_000);
    assert_eq!(lasting.state(), StateName::Requesting, "one that lasts does so too");
}

#[test]
fn each_rule_withholds_an_automatic_move_and_says_so() {
    let mut cases = vec![];
    let mut not_ready = standby(slave());
    not_ready.tell(Event::Readiness(vec!["the store is not mounted".into()])).tell(failing(|_| {}));
    cases.push((not_ready, Rule::WithheldNotReady));
    let mut old = standby(slave());
    old.tell(Event::OldCopies(vec!["the copy \"users\" is 2 h old".into()])).tell(failing(|_| {}));
    cases.push((old, Rule::WithheldOldCopy));
    let mut differs = standby(slave());
    differs.tell(failing(|beat| beat.digest = 2));
    assert!(differs.pages().contains(&PageKind::ConfigDiffers));
    cases.push((differs, Rule::WithheldConfigDiffers));
    let mut here = standby(slave());
    here.command(super::maintenance::begin(3_600_000)).expect("accepted");
    here.tell(failing(|_| {}));
    cases.push((here, Rule::WithheldMaintenance));
    let mut there = standby(slave());
    there.tell(failing(|beat| beat.maintenance = true));
    cases.push((there, Rule::WithheldMaintenance));
    let mut locked = standby(slave());
    locked.tell(failing(|beat| beat.automatic = Epoch(1)));
    cases.push((locked, Rule::WithheldHoldDown));
    let mut master = standby(Policy { reverse_protection: false, ..policy(Role::Master) });
    master.tell(failing(|_| {}));
    cases.push((master, Rule::WithheldNoReverse));
    let mut frozen = standby(slave());
    frozen.node.frozen = true;
    frozen.tell(failing(|_| {}));
    cases.push((frozen, Rule::WithheldFrozen));
    for (mut story, rule) in cases {
        assert_eq!((story.state(), story.node.withheld()), (StateName::Standby, Some(rule)));
        assert!(story.notes().contains(&rule));
        assert!(story.pages().contains(&PageKind::NoTakeover), "{rule:?} calls a person");
        let pages = story.pages().len();
        story.pass_heard(60_000);
        assert_eq!((story.state(), story.pages().len()), (StateName::Standby, pages), "once");
        story.hears(Duty::Active, 1, 1);
        if rule != Rule::WithheldFrozen && rule != Rule::WithheldNoReverse {
            assert_eq!(story.node.withheld(), None, "{rule:?} is not shown when nothing is wanted");
        }
    }
}

#[test]
fn an_old_copy_asks_for_a_person_who_may_go_on_with_it() {
    let old = || Event::OldCopies(vec!["the copy \"users\" is 2 h old".into()]);
    let mut story = standby(slave());
    story.tell(old()).tell(failing(|_| {}));
    let page = story.out.iter().find_map(|action| match action {
        Action::Page(page) if page.kind == PageKind::NoTakeover => Some(page.clone()),
        _ => None,
    });
    let page = page.expect("a person is called");
    assert!(
        page.effect.contains("\"users\" is 2 h old") && page.next.contains("takeover --despite-old-copy"),
        "{page:?}"
    );
    assert!(story.command(move_here()).expect_err("old").contains("--despite-old-copy"));
    let despite = |despite_old_copy| Command::MoveHere {
        by: "ann".into(),
        reason: "now".into(),
        despite_config_difference: false,
        despite_old_copy,
    };
    story.command(despite(true)).expect("told to go on");

    let mut fresh = standby(slave());
    fresh.tell(old()).tell(failing(|_| {})).tell(Event::OldCopies(vec![]));
    assert_eq!(fresh.state(), StateName::Requesting, "a copy that came through ends the block");

    let alone = |despite_old_copy| Command::StartAlone { by: "ann".into(), reason: "burnt".into(), despite_old_copy };
    let mut passive = super::place::passive(slave());
    passive.tell(old());
    assert!(passive.command(alone(false)).expect_err("old").contains("--despite-old-copy"));
    passive.command(alone(true)).expect("told to go on");
}

#[test]
fn an_old_copy_does_not_hold_what_was_begun_and_no_roll_back() {
    let old = || Event::OldCopies(vec!["the copy \"users\" is 2 h old".into()]);
    let mut story = standby(slave());
    story.tell(failing(|_| {})).written(true).tell(old()).acked(1);
    assert_eq!(story.state(), StateName::Claimed, "the peer has stopped: waiting would only be an outage");

    let mut asked = standby(slave());
    asked.tell(old()).hears(Duty::Held, 1, 1).tell(Event::StartPlease(Epoch(1)));
    assert_eq!(asked.state(), StateName::Requesting);
}

#[test]
fn configurations_that_agree_again_end_the_block() {
    let mut story = standby(slave());
    story.tell(failing(|beat| beat.digest = 2));
    assert!(story.command(move_here()).expect_err("differs").contains("--despite-config-difference"));
    story.tell(Event::PolicyChanged(Policy { digest: 2, ..slave() })).tell(failing(|beat| beat.digest = 2));
    assert_eq!(story.state(), StateName::Requesting);
    assert!(story.notes().contains(&Rule::ConfigEqual));

    let mut story = standby(slave());
    story.tell(failing(|beat| beat.digest = 2));
    let command = Command::MoveHere {
        by: "ann".into(),
        reason: "now".into(),
        despite_config_difference: true,
        despite_old_copy: false,
    };
    story.command(command).expect("told to go on");
}

#[test]
fn after_one_automatic_move_the_next_waits_for_ack_or_a_quiet_time() {
    let mut quiet = active(slave());
    assert!(quiet.node.locked());
    quiet.tell(Event::LocalVerdict(Verdict::Passed)).pass_heard(599_000);
    assert!(quiet.node.locked() && quiet.node.hold_down_ends().is_some());
    quiet.pass_heard(3_000);
    assert!(!quiet.node.locked());
    assert!(quiet.notes().contains(&Rule::HoldDownEnded));

    let mut broken = active(slave());
    broken.pass_heard(500_000).tell(Event::LocalVerdict(Verdict::Failed(Symptom::Refused))).pass_heard(1_000);
    broken.tell(Event::LocalVerdict(Verdict::Passed)).pass_heard(500_000);
    assert!(broken.node.locked(), "a failure begins the quiet time anew");

    let mut acked = active(slave());
    acked.command(Command::Acknowledge { by: "ann".into() }).expect("accepted");
    assert!(!acked.node.locked());

    // The peer counts the same move, and hears of the acknowledgement.
    let mut peer = standby(policy(Role::Master));
    peer.tell(failing(|beat| beat.automatic = Epoch(2)));
    assert_eq!(peer.node.withheld(), Some(Rule::WithheldHoldDown));
    peer.tell(failing(|beat| (beat.automatic, beat.acknowledged) = (Epoch(2), Epoch(2))));
    assert_eq!(peer.state(), StateName::Requesting);
}

#[test]
fn an_active_host_whose_service_fails_says_whether_anybody_can_take_over() {
    let mut story = active(slave());
    story.clear().tell(Event::LocalVerdict(Verdict::Failed(Symptom::ProcessGone)));
    assert!(story.pages().is_empty(), "the peer is ready");
    story.tell(Event::LocalVerdict(Verdict::Passed));
    story.tell(Event::Beat(Beat { ready: false, ..Story::beat_of(Duty::Standby, 2, 1) }));
    story.tell(Event::LocalVerdict(Verdict::Failed(Symptom::ProcessGone)));
    assert_eq!(story.pages(), [PageKind::NoTakeover]);
    assert!(story.notes().contains(&Rule::OwnServiceWell));
}

#[test]
fn a_start_ends_with_checks_that_passed_whatever_was_known_before() {
    let mut story = starting(slave());
    story.tell(Event::LocalVerdict(Verdict::Failed(Symptom::ProcessGone)));
    story.start_ends(crate::decision::StartOutcome::Started);
    let beat = story.node.beat(Millis(story.now), Millis(0), Millis(0));
    assert_eq!((beat.duty, beat.verdict), (Duty::Active, Verdict::Passed));
}

#[test]
fn a_broken_belief_ends_a_start_but_leaves_a_running_service_alone() {
    let mut story = starting(slave());
    story.node.record.owned = Epoch(0);
    story.clear().pass(1);
    assert_eq!((story.state(), story.node.is_frozen(), story.asks_to_stop()), (StateName::Stopping, true, true));
    assert_eq!(story.pages(), [PageKind::Invariant]);

    let mut story = active(slave());
    story.node.record.owned = Epoch(0);
    story.clear().pass(1);
    assert_eq!((story.state(), story.node.is_frozen(), story.asks_to_stop()), (StateName::Active, true, false));
    story.command(Command::Acknowledge { by: "ann".into() }).expect("accepted");
}

#[test]
fn nobody_that_can_start_is_a_reason_to_call_a_person_as_soon_as_it_is_known() {
    let mut story = Story::boots(policy(Role::Master), None);
    story.looked(crate::decision::Presence::NothingRuns).hears(Duty::Standby, 0, 0).pass_heard(5_000);
    assert!(story.pages().is_empty(), "readiness was not looked at yet");
    story.tell(Event::Readiness(vec!["the store is not mounted".into()])).pass_heard(2_000);
    assert_eq!((story.node.withheld(), story.pages()), (Some(Rule::WithheldNotReady), vec![PageKind::NoTakeover]));
    story.tell(Event::Readiness(vec![])).pass_heard(2_000);
    assert_eq!(story.state(), StateName::Requesting);
}
