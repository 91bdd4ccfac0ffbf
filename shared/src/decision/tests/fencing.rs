//! The fence, told as stories of one host that uses it and of one that was fenced.

use crate::decision::{
    Action, Beat, BootId, Duty, Event, FenceAnswer, FenceId, FenceNotice, Fenced, Incarnation, Millis, OperationId,
    PageKind, Policy, Record, Role, Rule, View,
};

use super::leased::Leased;
use super::story::{BOOT, Story, policy};

pub(super) fn fencing() -> Leased {
    let policy = Policy { proof_fence: true, fence_delay_ms: Millis(5_000), ..policy(Role::Slave) };
    let mut fencing = Leased::boots(policy, None, View::default());
    fencing.hears(Duty::Active, 1);
    fencing
}

pub(super) fn fence(leased: &Leased) -> Option<OperationId> {
    leased.story.out.iter().rev().find_map(|action| match action {
        Action::Fence { operation } => Some(*operation),
        _ => None,
    })
}

fn unfence(leased: &Leased) -> Option<OperationId> {
    leased.story.out.iter().rev().find_map(|action| match action {
        Action::Unfence { operation } => Some(*operation),
        _ => None,
    })
}

#[test]
fn a_silent_peer_is_fenced_after_the_delay_and_let_back_when_it_booted_anew() {
    let mut fencing = fencing();
    fencing.pass(7_900);
    assert_eq!(fence(&fencing), None, "the delay keeps both from shooting at once");
    fencing.pass(300);
    let operation = fence(&fencing).expect("fenced");
    fencing.story.tell(Event::FenceDone { operation, result: Err("no route to the device".into()) });
    assert!(fencing.paged(PageKind::Fence) && !fencing.story.asks_to_start());
    fencing.pass(31_000);
    let operation = fence(&fencing).expect("tried again");
    fencing.story.tell(Event::FenceDone { operation, result: Ok("pdu".into()) });
    fencing.serve();
    assert!(fencing.story.asks_to_start());
    let fenced = fencing.story.node.record().fenced.expect("on record");
    fencing.starts();
    fencing.pass(10_000);
    let answers = |id, booted_since| {
        let answer = Some(FenceAnswer { id, booted_since });
        Event::Beat(Beat { fence_answer: answer, ..Story::beat_of(Duty::Passive, 1, 1) })
    };
    let beat = fencing.story.node.beat(Millis(fencing.story.now), Millis(0), Millis(0));
    assert_eq!(beat.fence.expect("the peer is told").id, fenced.id);
    fencing.story.tell(Event::Beat(Story::beat_of(Duty::Passive, 1, 1)));
    assert!(!fencing.saw(Rule::FencedStillRuns), "it has not heard of the fence yet");
    fencing.story.tell(answers(fenced.id, false));
    assert!(fencing.saw(Rule::FencedStillRuns), "it says so itself");
    let another = FenceId { by: Incarnation(fenced.id.by.0 - 1), ..fenced.id };
    fencing.story.tell(answers(another, true));
    assert!(unfence(&fencing).is_none(), "of another fence");
    fencing.story.tell(answers(fenced.id, true));
    let operation = unfence(&fencing).expect("let back");
    assert_eq!(fencing.story.node.record().fenced, Some(fenced), "not before the devices have said so");
    fencing.story.tell(Event::UnfenceDone { operation, result: Err("no route to the device".into()) });
    assert!(fencing.saw(Rule::UnfenceFailed) && fencing.paged(PageKind::Fence));
    fencing.story.tell(answers(fenced.id, true));
    assert_eq!(unfence(&fencing), Some(operation), "not again at once");
    fencing.pass(Policy::FENCE_RETRY_MS.0);
    fencing.story.tell(answers(fenced.id, true));
    let again = unfence(&fencing).filter(|again| *again != operation).expect("tried again");
    fencing.story.tell(Event::UnfenceDone { operation, result: Ok(()) });
    assert!(!fencing.saw(Rule::Unfenced), "an answer to the try before");
    fencing.story.tell(Event::UnfenceDone { operation: again, result: Ok(()) });
    assert_eq!(fencing.story.node.record().fenced, None);
}

#[test]
fn a_peer_that_nobody_reports_as_let_back_is_tried_again() {
    let policy = fencing().story.node.policy().clone();
    let id = FenceId { by: Incarnation(3), operation: OperationId(3) };
    let fenced = Some(Fenced { id, boot: BOOT, at: Millis(1) });
    let record = Record { fenced, ..fencing().story.node.record().clone() };
    let mut fencing = Leased::boots(policy, Some(record), View::default());
    let answer = Some(FenceAnswer { id, booted_since: true });
    let beat = || Event::Beat(Beat { fence_answer: answer, ..Story::beat_of(Duty::Standby, 3, 1) });
    fencing.story.tell(beat());
    let first = unfence(&fencing).expect("let back");
    let both = fencing.story.node.policy().fence_limit_ms.after(Policy::FENCE_RETRY_MS);
    for spent in (0..both.0 + 1_000).step_by(500) {
        assert!(spent >= both.0 || unfence(&fencing) == Some(first), "too early, after {spent} ms");
        fencing.pass(500);
        fencing.story.tell(beat());
    }
    assert!(fencing.saw(Rule::UnfenceFailed));
    assert!(unfence(&fencing).is_some_and(|again| again != first));
}

#[test]
fn a_host_says_that_it_booted_since_a_fence_only_when_the_fence_is_older_than_its_kernel_start() {
    let mut host = fencing();
    let id = FenceId { by: Incarnation(99), operation: OperationId(3) };
    let mut is_told = |ago_ms| {
        let notice = Some(FenceNotice { id, ago_ms: Millis(ago_ms) });
        host.story.tell(Event::Beat(Beat { fence: notice, ..Story::beat_of(Duty::Active, 1, 1) }));
        let now = host.story.now;
        (now, host.story.node.beat(Millis(now), Millis(0), Millis(0)).fence_answer)
    };
    let (up, answer) = is_told(0);
    assert_eq!(answer, Some(FenceAnswer { id, booted_since: false }));
    assert_eq!(is_told(up).1, Some(FenceAnswer { id, booted_since: false }), "two clocks may go differently");
    assert_eq!(is_told(up + up / 40).1, Some(FenceAnswer { id, booted_since: true }));
    assert_eq!(is_told(up).1, Some(FenceAnswer { id, booted_since: true }), "what was true stays true");
}

#[test]
fn a_fence_of_an_earlier_kernel_start_is_as_old_as_the_present_one_at_least() {
    let id = FenceId { by: Incarnation(99), operation: OperationId(3) };
    let fenced = Fenced { id, boot: BOOT, at: Millis(9_000) };
    assert_eq!(fenced.ago(Millis(10_000), BOOT, Millis(0)), Millis(1_000));
    assert_eq!(fenced.ago(Millis(10_000), BOOT, Millis(100)), Millis(900), "by the slower of the clocks");
    assert_eq!(fenced.ago(Millis(500), BootId(77), Millis(0)), Millis(500));
}

#[test]
fn a_fence_that_nobody_reports_has_failed() {
    let mut fencing = fencing();
    fencing.pass(8_500);
    assert!(fence(&fencing).is_some());
    fencing.pass(31_000);
    assert!(fencing.saw(Rule::FenceFailed));
}

#[test]
fn an_answer_to_an_earlier_fence_lets_nobody_back_while_the_peer_is_fenced_again() {
    let policy = fencing().story.node.policy().clone();
    let id = FenceId { by: Incarnation(3), operation: OperationId(3) };
    let record =
        Record { fenced: Some(Fenced { id, boot: BOOT, at: Millis(1) }), ..fencing().story.node.record().clone() };
    let mut fencing = Leased::boots(policy, Some(record), View::default());
    fencing.hears(Duty::Active, 3);
    fencing.pass(8_500);
    let second = fence(&fencing).expect("fenced again");
    let answer = Some(FenceAnswer { id, booted_since: true });
    fencing.story.tell(Event::Beat(Beat { fence_answer: answer, ..Story::beat_of(Duty::Standby, 3, 1) }));
    assert!(unfence(&fencing).is_none(), "it left before the second fence");
    fencing.story.tell(Event::FenceDone { operation: second, result: Err("no answer".into()) });
    fencing.story.tell(Event::Beat(Beat { fence_answer: answer, ..Story::beat_of(Duty::Standby, 3, 1) }));
    assert!(unfence(&fencing).is_none(), "one that seems to have failed may have worked");
    let id = fencing.story.node.record().fenced.expect("still on record").id;
    let answer = Some(FenceAnswer { id, booted_since: true });
    fencing.story.tell(Event::Beat(Beat { fence_answer: answer, ..Story::beat_of(Duty::Standby, 3, 1) }));
    assert!(unfence(&fencing).is_some());
}
