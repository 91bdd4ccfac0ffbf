//! Each decision leaves a reason: a rule with a sentence. `Story` checks that no state changes without one; that every rule is in
//! use is shown by the simulator, whose test names the few that only stories reach.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use crate::decision::{
    Action, Beat, Command, Duty, Epoch, Event, PageKind, Policy, Presence, Role, Rule, Sight, StateName, Symptom,
    Timer, Verdict,
};

use super::place::{
    active, at, blocked, passive, proving, requesting, requesting_a_silent_peer, standby, starting, suspect,
};
use super::story::{Story, commanded, move_here, policy};

fn slave() -> Policy {
    policy(Role::Slave)
}

#[test]
fn every_rule_has_a_sentence() {
    for rule in Rule::ALL {
        assert!(rule.sentence().ends_with('.') && rule.sentence().len() > 15, "{rule:?}: {}", rule.sentence());
    }
}

#[test]
fn a_core_that_catches_itself_in_a_wrong_belief_says_so_and_freezes() {
    let mut story = starting(slave());
    story.node.record.owned = Epoch(0);
    story.pass(1);
    story.tell(Event::Beat(Story::beat_of(Duty::Standby, 1, 1)));
    assert!(story.rules.contains(&Rule::InvariantBroken), "{:?}", story.rules);
    assert!(story.node.frozen);
}

#[test]
fn a_note_names_its_evidence_with_ages() {
    let mut story = requesting(slave());
    story.clear();
    story.now += 1_500;
    story.acked(1);
    let note = story.out.iter().find_map(|action| if let Action::Note(note) = action { Some(note) } else { None });
    let lines = note.expect("a claim says why").evidence.join("\n");
    for expected in
        ["every post-condition verified", "heard 1.5 s ago", "master: active", "slave: ", "checks of the peer"]
    {
        assert!(lines.contains(expected), "{expected:?} is missing in:\n{lines}");
    }
}

#[test]
fn a_page_has_a_cause_an_effect_and_a_next_step() {
    let mut stories = vec![active(slave()), blocked(slave()), at(StateName::FailedStart), at(StateName::FailedStop)];
    stories.push(at(StateName::ExclusivityError));
    let mut cut = suspect(slave());
    cut.sees(Sight::NotServing, Sight::Serving);
    let mut alone = passive(slave());
    alone.pass(60_000);
    let mut silent = active(slave());
    silent.pass(10_000);
    let mut withheld = standby(slave());
    withheld.tell(Event::Readiness(vec!["no store".into()])).hears_failure(1);
    stories.extend([cut, alone, silent, withheld]);
    for story in stories {
        let pages: Vec<_> = story
            .out
            .iter()
            .filter_map(|action| if let Action::Page(page) = action { Some(page) } else { None })
            .collect();
        assert!(!pages.is_empty());
        for page in pages {
            assert!(page.cause.len() > 20 && page.effect.len() > 20 && page.next.contains("failoverctl"), "{page:?}");
        }
    }
}

#[test]
fn an_automatic_move_tells_its_proof_and_a_time_out_its_risk() {
    let mut story = proving(slave());
    story.sees(Sight::NotServing, Sight::NotServing).written(true);
    story.start_ends(crate::decision::StartOutcome::Started);
    let page = story.out.iter().find_map(|action| match action {
        Action::Page(page) if page.kind == PageKind::Moved => Some(page),
        _ => None,
    });
    assert!(page.is_some_and(|page| page.cause.contains("two actives are possible")), "{page:?}");
}

#[test]
fn every_running_timer_has_a_name_and_safety_comes_first() {
    let timers = |story: Story| story.node.timers().into_iter().map(|(timer, _)| timer).collect::<Vec<Timer>>();
    assert!(timers(standby(slave())).contains(&Timer::SuspectAfter));
    assert!(timers(requesting_a_silent_peer(slave())).contains(&Timer::ShutdownTimeout));
    for (name, timer) in [
        (StateName::Claimed, Timer::PersistLimit),
        (StateName::Starting, Timer::StartLimit),
        (StateName::Stopping, Timer::StopLimit),
    ] {
        assert!(timer.is_safety() && timers(at(name)).contains(&timer), "{name:?}");
    }
}

#[test]
fn what_is_withheld_is_told_once_however_often_it_is_considered() {
    let mut story = standby(slave());
    story.tell(Event::Readiness(vec!["no store".into()])).clear();
    for _ in 0..100 {
        let verdict = Verdict::Failed(Symptom::TimedOut);
        story.tell(Event::Beat(Beat { verdict, ..Story::beat_of(Duty::Active, 1, 1) }));
    }
    assert_eq!(story.notes(), [Rule::WithheldNotReady]);
    let refusal = story.command(move_here()).expect_err("not ready");
    assert!(refusal.contains(&"no store".to_string()), "{refusal}");
    let look = story.demanded(commanded(), 1).looked(Presence::NothingRuns).written(true).answers();
    assert_eq!(look.len(), 1, "a host that is not ready still answers");
    story.command(Command::Acknowledge { by: "ann".into() }).expect("accepted");
}
