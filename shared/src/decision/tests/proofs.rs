//! What may follow a demand: a start needs a proof of stop, and what is no proof never starts anything.

use crate::decision::{
    Action, Answer, Command, Duty, Epoch, Event, Incarnation, Millis, PageKind, Policy, Proof, Refusal, RequestId,
    Role, Rule, Sight, StartOutcome, State, StateName, StopMeans,
};

use super::place::{active, blocked, claimed, proving, requesting, requesting_a_silent_peer, starting};
use super::story::{Story, policy};

pub(super) fn slave() -> Policy {
    policy(Role::Slave)
}

fn confirm(epoch: Option<Epoch>, port_answers: bool) -> Command {
    Command::ConfirmStopped { host: Role::Master, by: "ann".into(), reason: "unplugged".into(), epoch, port_answers }
}

pub(super) fn proof(story: &Story) -> Option<Proof> {
    match story.node.state() {
        State::Claimed { proof, .. } | State::Starting { proof, .. } => Some(proof.clone()),
        _ => None,
    }
}

#[test]
fn a_demand_is_durable_before_it_is_sent_and_a_claim_before_anything_starts() {
    let mut story = super::place::standby(slave());
    story.hears_failure(1);
    assert_eq!((story.state(), story.demands()), (StateName::Requesting, 0));
    story.written(true);
    assert_eq!(story.demands(), 1);
    story.acked(1);
    assert_eq!((story.state(), story.asks_to_start()), (StateName::Claimed, false));
    story.written(true);
    assert_eq!((story.state(), story.asks_to_start()), (StateName::Starting, true));
    assert!(matches!(proof(&story), Some(Proof::Ack { by_rcmd: false, .. })));
}

#[test]
fn a_demand_or_a_claim_that_cannot_be_written_leads_to_nothing() {
    let mut story = super::place::standby(slave());
    story.hears_failure(1).written(false).hears_failure(1);
    assert_eq!((story.state(), story.demands()), (StateName::Standby, 0));
    assert_eq!(story.node.withheld(), Some(Rule::WithheldRefused), "it does not hammer a disk that fails");

    let mut failed = claimed(slave());
    failed.written(false);
    let mut slow = claimed(slave());
    slow.pass(10_000);
    for story in [failed, slow] {
        assert_eq!((story.state(), story.asks_to_start()), (StateName::FailedStart, false));
    }
}

#[test]
fn a_new_epoch_lies_above_every_known_one_and_has_the_own_parity() {
    for known in 1..6 {
        let mut story = requesting(slave());
        story.acked(known);
        let State::Claimed { epoch, .. } = story.node.state() else { panic!("{:?}", story.node.state()) };
        assert!(epoch.0 > known && epoch.0 % 2 == 0, "{epoch} after {known}");
    }
}

#[test]
fn an_answer_to_another_demand_proves_nothing() {
    let mut story = requesting(slave());
    let own = story.request();
    let old = RequestId { number: own.number + 1, ..own };
    let foreign = RequestId { incarnation: Incarnation(1), ..own };
    for request in [old, foreign] {
        let answer = Answer::Acked { epoch: Epoch(1), means: StopMeans::PostConditions, forced: None };
        let sent = story.sent;
        story.tell(Event::Answered { request, sent, answer });
        story.tell(Event::RcmdDone { request, sent, result: Ok((Epoch(1), StopMeans::PostConditions, None)) });
        assert_eq!(story.state(), StateName::Requesting);
    }
}

#[test]
fn an_acknowledgement_of_an_older_epoch_or_one_that_is_not_listed_blocks() {
    let mut story = requesting(slave());
    story.acked(0);
    assert_eq!((story.state(), story.pages()), (StateName::TakeoverBlocked, alloc::vec![PageKind::Blocked]));
    let mut story = requesting(Policy { proof_ack: false, ..slave() });
    story.acked(1);
    assert_eq!(story.state(), StateName::TakeoverBlocked);
}

#[test]
fn an_acknowledged_failure_never_starts_anything_even_where_silence_would() {
    let mut story = requesting(Policy { proof_timeout: true, ..slave() });
    for _ in 0..50 {
        story.answered(Answer::AckedFailed { reason: "port 110 answers".into() }).pass(60_000);
        story.sees(Sight::NotServing, Sight::NotServing);
        assert_eq!((story.state(), story.asks_to_start()), (StateName::TakeoverBlocked, false));
    }
    let told = story.notes().iter().filter(|rule| **rule == Rule::PeerNotVerified).count();
    assert_eq!(told, 1, "the same answer to a repeated demand is no news");
    // A person verified it; or the peer can at last.
    story.answered(Answer::Acked { epoch: Epoch(1), means: StopMeans::Operator, forced: None });
    assert_eq!(story.state(), StateName::Claimed);
}

#[test]
fn a_refusal_ends_the_demand_and_holds_the_next_one_back() {
    let mut story = requesting(slave());
    story.answered(Answer::Refused(Refusal::Busy)).hears_failure(1);
    assert_eq!((story.state(), story.node.withheld()), (StateName::Standby, Some(Rule::WithheldRefused)));
    story.pass_heard(5_000);
    assert_eq!(story.state(), StateName::Standby);
    story.hears_failure(1).pass_heard(6_000);
    assert_eq!(story.state(), StateName::Requesting);
}

#[test]
fn a_demand_is_withdrawn_when_the_service_is_well_again_unless_the_peer_obeys() {
    let mut story = requesting(slave());
    story.clear().hears(Duty::Active, 1, 1);
    assert_eq!(story.state(), StateName::Standby);
    assert!(story.out.iter().any(|action| matches!(action, Action::Withdraw(_))));

    let mut story = requesting(slave());
    let request = story.request();
    story.tell(Event::StillStopping { request, step: 1 }).hears(Duty::Active, 1, 1);
    assert_eq!(story.state(), StateName::Requesting);
}

#[test]
fn a_demand_that_could_not_be_handed_over_is_sent_again() {
    let mut story = requesting(slave());
    let request = story.request();
    for sent in 1..5 {
        assert_eq!(story.demands(), sent);
        story.tell(Event::Unreachable { request, reason: "refused".into() }).pass(1_000);
    }
}

#[test]
fn silence_alone_blocks_and_calls_a_person_once() {
    let mut story = blocked(slave());
    assert_eq!((story.state(), story.asks_to_start()), (StateName::TakeoverBlocked, false));
    story.pass(3_600_000);
    assert_eq!((story.state(), story.asks_to_start()), (StateName::TakeoverBlocked, false));
    assert_eq!(story.pages().iter().filter(|kind| **kind == PageKind::Blocked).count(), 1);
}

#[test]
fn a_person_hears_of_an_unreachable_silent_host_before_the_time_out_and_once() {
    let unreachable = |story: &mut Story| {
        let request = story.request();
        story.tell(Event::Unreachable { request, reason: "no route".into() }).pass(1_000);
    };
    let mut story = requesting_a_silent_peer(slave());
    story.pass(20_000);
    unreachable(&mut story);
    unreachable(&mut story);
    assert_eq!((story.state(), story.pages()), (StateName::Requesting, alloc::vec![PageKind::Unreachable]));
    let until = story.out.iter().any(|action| matches!(action, Action::Page(page) if page.effect.contains("40.0 s")));
    assert!(until, "the page does not say until when: {:?}", story.out);
    story.command(confirm(None, false)).expect_err("the demand still runs");
    story.pass(60_000);
    assert_eq!(story.state(), StateName::TakeoverBlocked);
    assert_eq!(story.pages(), [PageKind::Unreachable, PageKind::Blocked]);

    // With a second way, its failure is waited for.
    let mut story = requesting_a_silent_peer(Policy { rcmd: true, ..slave() });
    unreachable(&mut story);
    assert_eq!(story.pages(), []);
    let (request, sent) = (story.request(), story.sent);
    story.tell(Event::RcmdDone { request, sent, result: Err("ssh: exit 255".into()) });
    assert_eq!((story.state(), story.pages()), (StateName::Requesting, alloc::vec![PageKind::Unreachable]));
}

#[test]
fn nobody_is_called_early_where_another_proof_may_come_or_the_peer_is_heard() {
    let by_timeout = Policy { proof_timeout: true, ..slave() };
    let by_lease = Policy { proof_lease: true, ..slave() };
    let by_fence = Policy { proof_fence: true, ..slave() };
    let silent = [by_timeout, by_lease, by_fence].map(requesting_a_silent_peer);
    for mut story in silent.into_iter().chain([requesting(slave())]) {
        let request = story.request();
        story.tell(Event::Unreachable { request, reason: "no route".into() });
        assert_eq!(story.pages(), []);
    }
}

#[test]
fn a_late_acknowledgement_resolves_a_block() {
    let mut story = blocked(slave());
    story.pass(3_600_000);
    story.answered(Answer::Acked { epoch: Epoch(1), means: StopMeans::Rebooted, forced: None });
    assert_eq!(story.state(), StateName::Claimed);
}

#[test]
fn a_proof_does_not_cover_what_the_peer_began_after_it() {
    // A beat from before the stop, which comes late, says no more than the demand.
    let mut story = claimed(slave());
    story.hears(Duty::Active, 1, 1);
    assert_eq!(story.state(), StateName::Claimed);
    story.clear().hears(Duty::Starting, 3, 3);
    assert_eq!((story.state(), story.asks_to_start()), (StateName::Standby, false));
}

#[test]
fn a_person_confirms_a_stop() {
    let mut story = blocked(slave());
    story.command(confirm(None, false)).expect("accepted");
    assert_eq!(proof(&story), Some(Proof::Operator { by: "ann".into() }));
}

#[test]
fn a_persons_word_is_refused_where_something_speaks_against_it() {
    let mut own = blocked(slave());
    let command = Command::ConfirmStopped {
        host: Role::Slave,
        by: "ann".into(),
        reason: "unplugged".into(),
        epoch: None,
        port_answers: false,
    };
    let mut unlisted = blocked(Policy { proof_operator: false, ..slave() });
    let mut not_blocked = requesting(slave());
    let mut serving = blocked(slave());
    let mut heard = requesting(slave());
    heard.answered(Answer::AckedFailed { reason: "port 110 answers".into() });
    let refusals = [
        own.command(command),
        unlisted.command(confirm(None, false)),
        not_blocked.command(confirm(None, false)),
        serving.command(confirm(None, true)),
        serving.command(confirm(Some(Epoch(9)), true)),
        heard.command(confirm(None, false)),
    ];
    for refusal in refusals {
        let why = refusal.expect_err("refused");
        assert!(why.len() > 20, "{why}");
    }
    serving.command(confirm(Some(Epoch(1)), true)).expect("the epoch was typed");
    heard.command(confirm(Some(Epoch(1)), false)).expect("the epoch was typed");
    assert_eq!((serving.state(), heard.state()), (StateName::Claimed, StateName::Claimed));
}

#[test]
fn silence_is_taken_for_a_stop_only_where_that_is_configured_and_no_witness_objects() {
    let mut story = proving(slave());
    story.sees(Sight::NotServing, Sight::Unknown);
    assert_eq!(proof(&story), Some(Proof::Timeout));

    for (direct, through) in [(Sight::Serving, Sight::NotServing), (Sight::NotServing, Sight::Serving)] {
        let mut story = proving(slave());
        story.clear().sees(direct, through);
        assert_eq!(story.state(), StateName::TakeoverBlocked);
        assert!(story.notes().contains(&Rule::TimeoutVetoed));
        // They lose sight of it: silence counts again.
        story.sees(Sight::NotServing, Sight::NotServing);
        assert_eq!(proof(&story), Some(Proof::Timeout));
    }

    let mut story = proving(slave());
    story.pass(3_000);
    assert_eq!(proof(&story), Some(Proof::Timeout), "witnesses that do not answer have seen nothing");
}

#[test]
fn a_host_that_doubts_itself_takes_no_silence_for_a_stop() {
    let mut isolated = proving(slave());
    isolated.tell(Event::References { answering: 0, of: 2, link_up: true });
    isolated.sees(Sight::NotServing, Sight::NotServing).pass(30_000).sees(Sight::NotServing, Sight::NotServing);
    assert_eq!(isolated.state(), StateName::TakeoverBlocked);
    isolated.tell(Event::References { answering: 1, of: 2, link_up: true }).sees(Sight::NotServing, Sight::NotServing);
    assert_eq!(proof(&isolated), Some(Proof::Timeout));

    let mut late = proving(slave());
    late.tell(Event::LoopLate(Millis(2_500))).sees(Sight::NotServing, Sight::NotServing);
    assert_eq!(late.state(), StateName::TakeoverBlocked);
}

#[test]
fn a_peer_that_is_heard_again_is_no_dead_one() {
    let mut story = proving(slave());
    story.hears(Duty::Active, 1, 1);
    assert_eq!((story.state(), story.asks_to_start()), (StateName::Standby, false));

    let mut heard = requesting(Policy { proof_timeout: true, ..slave() });
    heard.tell(Event::Beat(crate::decision::Beat {
        verdict: crate::decision::Verdict::Failed(crate::decision::Symptom::Stale),
        ..Story::beat_of(Duty::Active, 1, 1)
    }));
    heard.pass_heard(61_000);
    assert_eq!((heard.state(), heard.asks_to_start()), (StateName::TakeoverBlocked, false));
}

#[test]
fn the_second_way_is_tried_once_and_only_its_statement_is_a_proof() {
    let mut story = requesting_a_silent_peer(Policy { rcmd: true, ..slave() });
    let request = story.request();
    story.pass(30_000);
    let tries = story.out.iter().filter(|action| matches!(action, Action::Rcmd { .. })).count();
    assert_eq!(tries, 1);
    let sent = story.sent;
    story.tell(Event::RcmdDone { request, sent, result: Err("ssh: exit 255".into()) });
    story.tell(Event::RcmdDone { request, sent, result: Ok((Epoch(0), StopMeans::PostConditions, None)) });
    assert_eq!(story.state(), StateName::Requesting);
    story.tell(Event::RcmdDone { request, sent, result: Ok((Epoch(1), StopMeans::PostConditions, None)) });
    assert!(matches!(proof(&story), Some(Proof::Ack { by_rcmd: true, .. })));
}

#[test]
fn a_start_that_fails_or_takes_too_long_is_taken_back() {
    let mut failed = starting(slave());
    failed.start_fails();
    let mut slow = starting(slave());
    slow.pass(120_000);
    for mut story in [failed, slow] {
        assert_eq!((story.state(), story.asks_to_stop()), (StateName::Stopping, true));
        story.clear().stops();
        assert_eq!((story.state(), story.pages()), (StateName::FailedStart, alloc::vec![PageKind::StartFailed]));
        story.hears_failure(1).pass_heard(600_000);
        assert_eq!(story.state(), StateName::FailedStart, "an automatic move is not tried twice");
        assert!(!story.out.iter().any(|action| matches!(action, Action::StartPlease(_))));
    }
}

#[test]
fn a_start_has_one_result() {
    let mut story = active(slave());
    let writes = story.out.len();
    story.start_ends(StartOutcome::Started).start_fails();
    assert_eq!((story.state(), story.out.len()), (StateName::Active, writes));
    let mut other = starting(slave());
    other.tell(Event::StartDone { operation: crate::decision::OperationId(1), outcome: StartOutcome::Started });
    assert_eq!(other.state(), StateName::Starting);
    assert!(matches!(other.node.record().phase, crate::decision::Phase::Starting { .. }));
}
