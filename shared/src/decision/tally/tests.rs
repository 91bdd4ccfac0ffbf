//! The tally's rules as tables, then as properties of random histories.

use alloc::vec;

use proptest::prelude::*;

use super::*;
use Symptom::{Closed, LoginRefused, ProcessGone, Refused, Stale, TimedOut};

const RULES: TallyRules =
    TallyRules { fails: 3, of: 5, every: Millis(1_000), timeout: Millis(800), restart_grace: Millis(5_000) };

/// A tally and the time, so that a test reads as a story.
struct Story {
    tally: Tally,
    now: Millis,
    out: Vec<TallyAction>,
}

impl Story {
    fn new(rules: TallyRules) -> Story {
        Story { tally: Tally::new(rules, Millis(0)), now: Millis(0), out: Vec::new() }
    }

    /// One round that starts at the next second and takes 10 ms.
    fn round(&mut self, result: Result<(), Symptom>) -> Verdict {
        let started = self.now.after(Millis(990));
        self.now = started.after(Millis(10));
        let result = result.map(|()| Millis(10));
        self.tally.step(self.now, TallyEvent::Round { started, finished: self.now, result }, &mut self.out);
        self.tally.verdict()
    }

    fn died(&mut self) {
        self.tally.step(self.now, TallyEvent::ProcessDied, &mut self.out);
    }

    fn timer_at(&mut self, now: u64) -> Verdict {
        self.now = Millis(now);
        self.tally.step(self.now, TallyEvent::Timer, &mut self.out);
        self.tally.verdict()
    }

    fn actions(&mut self) -> Vec<TallyAction> {
        core::mem::take(&mut self.out)
    }
}

#[test]
fn rounds_become_verdicts_as_the_table_says() {
    type Round = Result<(), Symptom>;
    const P: Round = Ok(());
    const R: Round = Err(Refused);
    const C: Round = Err(Closed);
    const L: Round = Err(LoginRefused);
    let failed = Verdict::Failed;
    let table: &[(&str, &[Round], Verdict)] = &[
        ("not asked", &[], Verdict::Unknown),
        ("one pass", &[P], Verdict::Passed),
        ("too few failures at the start", &[R, R], Verdict::Unknown),
        ("N failures at the start", &[R, R, R], failed(Refused)),
        ("two of five", &[P, R, P, R, P], Verdict::Passed),
        ("three of five, not in a row", &[P, R, P, R, R], failed(Refused)),
        ("the latest failure names the symptom", &[R, R, C], failed(Closed)),
        ("and goes on naming it", &[R, R, R, C], failed(Closed)),
        ("failures out of the look-back do not count", &[R, R, P, P, P, P, R], Verdict::Passed),
        ("one pass is enough to recover", &[R, R, R, P], Verdict::Passed),
        ("a recovery clears the look-back", &[R, R, R, P, R, R], Verdict::Passed),
        ("until it fails N times again", &[R, R, R, P, R, R, R], failed(Refused)),
        ("refused logins fail by themselves", &[P, L, L, L], failed(LoginRefused)),
        ("a refused login is no third failure", &[P, L, L, R], failed(LoginRefused)),
        ("in no order", &[P, R, R, L], failed(LoginRefused)),
        ("and does not hide three failures", &[R, L, R, R], failed(Refused)),
        ("nor rename them", &[R, R, R, L], failed(Refused)),
    ];
    for (name, rounds, verdict) in table {
        let mut story = Story::new(RULES);
        for round in *rounds {
            story.round(*round);
        }
        assert_eq!(story.tally.verdict(), *verdict, "{name}: {rounds:?}");
    }
}

#[test]
fn a_verdict_is_told_once() {
    let mut story = Story::new(TallyRules { fails: 1, of: 1, ..RULES });
    for result in [Ok(()), Ok(()), Err(Refused), Err(Refused), Err(Closed), Ok(())] {
        story.round(result);
    }
    let told = [Verdict::Passed, Verdict::Failed(Refused), Verdict::Failed(Closed), Verdict::Passed];
    assert_eq!(story.actions(), told.map(TallyAction::Verdict));
}

#[test]
fn silence_of_the_check_itself_becomes_stale() {
    let mut story = Story::new(RULES);
    story.round(Ok(()));
    assert_eq!(story.tally.deadline(), Some(Millis(1_000 + 3_800)));
    assert_eq!(story.timer_at(4_799), Verdict::Passed);
    assert_eq!(story.timer_at(4_800), Verdict::Failed(Stale));
    assert_eq!(story.tally.deadline(), None, "a failure ends by a pass, not by a timer");
    assert_eq!(story.round(Err(Closed)), Verdict::Failed(Closed), "a failed round is a better word than its absence");
    assert_eq!(story.round(Ok(())), Verdict::Passed);
}

#[test]
fn a_check_that_is_never_asked_becomes_stale_too() {
    let mut story = Story::new(RULES);
    assert_eq!(story.timer_at(3_800), Verdict::Failed(Stale));
}

#[test]
fn a_loop_that_slept_itself_excuses_the_rounds_once() {
    let mut story = Story::new(RULES);
    story.round(Ok(()));
    story.actions();
    assert_eq!(story.timer_at(60_000), Verdict::Passed);
    assert_eq!(story.actions(), [TallyAction::CheckNow]);
    assert_eq!(story.tally.age(Millis(60_000)), Millis(59_000), "the evidence is as old as it is");
    assert_eq!(story.timer_at(120_000), Verdict::Failed(Stale), "once");
}

#[test]
fn a_round_that_the_askers_own_sleep_ended_says_nothing() {
    let rules = TallyRules { fails: 1, of: 1, ..RULES };
    let mut story = Story::new(rules);
    story.round(Ok(()));
    let slept = TallyEvent::Round { started: Millis(2_000), finished: Millis(60_000), result: Err(TimedOut) };
    story.tally.step(Millis(60_000), slept, &mut story.out);
    assert_eq!(story.tally.verdict(), Verdict::Passed);
    let honest = TallyEvent::Round { started: Millis(60_000), finished: Millis(60_801), result: Err(TimedOut) };
    story.tally.step(Millis(60_801), honest, &mut story.out);
    assert_eq!(story.tally.verdict(), Verdict::Failed(TimedOut));
}

#[test]
fn a_round_that_could_not_be_asked_keeps_nothing_fresh() {
    let mut story = Story::new(TallyRules { fails: 1, of: 1, ..RULES });
    story.round(Ok(()));
    for _ in 0..3 {
        assert_eq!(story.round(Err(Stale)), Verdict::Passed);
    }
    assert_eq!(story.timer_at(4_800), Verdict::Failed(Stale));
}

#[test]
fn a_restart_within_the_grace_is_noted_and_nothing_else() {
    let mut story = Story::new(RULES);
    story.round(Ok(()));
    story.actions();
    story.died();
    assert_eq!(story.actions(), [TallyAction::CheckNow]);
    for _ in 0..3 {
        assert_eq!(story.round(Err(Refused)), Verdict::Passed, "held");
    }
    assert!(story.tally.holds());
    assert_eq!(story.round(Ok(())), Verdict::Passed);
    assert_eq!(story.actions(), [TallyAction::Restarted { after: Millis(4_000) }]);
    assert_eq!(story.tally.failures(), 0, "held failures are forgotten");
    assert!(!story.tally.holds());
}

#[test]
fn a_dead_process_is_asked_for_again_after_each_failure() {
    let mut story = Story::new(RULES);
    story.round(Ok(()));
    story.died();
    story.round(Err(Refused));
    story.actions();
    assert_eq!(story.tally.deadline(), Some(Millis(2_500)));
    story.timer_at(2_500);
    assert_eq!(story.actions(), [TallyAction::CheckNow]);
    assert_eq!(story.tally.deadline(), Some(Millis(6_000)), "a round runs: only the end of the grace is left");
}

#[test]
fn a_process_that_stays_away_fails_the_check_at_the_end_of_the_grace() {
    let mut story = Story::new(RULES);
    story.round(Ok(()));
    story.died();
    story.round(Err(Refused));
    assert_eq!(story.timer_at(5_999), Verdict::Passed);
    assert_eq!(story.timer_at(6_000), Verdict::Failed(ProcessGone));
    assert_eq!(story.round(Err(Refused)), Verdict::Failed(ProcessGone), "the cause keeps its name");
    assert_eq!(story.round(Ok(())), Verdict::Passed);
}

#[test]
fn dying_in_a_loop_does_not_prolong_the_grace() {
    let mut story = Story::new(RULES);
    story.round(Ok(()));
    for _ in 0..4 {
        story.died();
        story.round(Err(Closed));
    }
    assert_eq!(story.timer_at(6_000), Verdict::Failed(ProcessGone));
}

#[test]
fn no_grace_means_at_once() {
    let mut story = Story::new(TallyRules { restart_grace: Millis(0), ..RULES });
    story.round(Ok(()));
    story.actions();
    story.died();
    assert_eq!(story.actions(), [TallyAction::Verdict(Verdict::Failed(ProcessGone)), TallyAction::CheckNow]);
}

#[test]
fn a_pass_that_began_before_the_death_does_not_vouch_for_the_living() {
    for restart_grace in [Millis(0), Millis(5_000)] {
        let mut story = Story::new(TallyRules { restart_grace, ..RULES });
        story.round(Ok(()));
        story.now = Millis(2_000);
        story.died();
        let before = story.tally.clone();
        let late = TallyEvent::Round { started: Millis(1_999), finished: Millis(2_001), result: Ok(Millis(2)) };
        story.tally.step(Millis(2_001), late, &mut story.out);
        assert_eq!(story.tally, before);
    }
}

#[test]
fn a_loop_that_slept_through_the_grace_asks_once_more() {
    let mut story = Story::new(RULES);
    story.round(Ok(()));
    story.died();
    story.actions();
    assert_eq!(story.timer_at(4_700), Verdict::Passed);
    assert_eq!(story.timer_at(60_000), Verdict::Passed);
    assert!(story.actions().contains(&TallyAction::CheckNow));
    story.now = Millis(62_000);
    story.round(Err(Refused));
    assert_eq!(story.timer_at(65_000), Verdict::Failed(ProcessGone));
}

#[test]
fn rules_out_of_bounds_are_brought_into_them() {
    let tally = Tally::new(TallyRules { fails: 0, of: 0, ..RULES }, Millis(0));
    assert_eq!((tally.rules().fails, tally.rules().of), (1, 1));
    let tally = Tally::new(TallyRules { fails: 9_999, of: 5_000, ..RULES }, Millis(0));
    assert_eq!((tally.rules().fails, tally.rules().of), (ROUNDS_MAX, ROUNDS_MAX));
}

/// What happens in a random history: a pause, then this.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Round(Result<(), Symptom>),
    Died,
    Nothing,
}

fn histories() -> impl Strategy<Value = Vec<(u64, Happening)>> {
    let happening = prop_oneof![
        4 => Just(Happening::Round(Ok(()))),
        2 => Just(Happening::Round(Err(Refused))),
        2 => Just(Happening::Round(Err(TimedOut))),
        1 => Just(Happening::Round(Err(LoginRefused))),
        1 => Just(Happening::Died),
        1 => Just(Happening::Nothing),
    ];
    prop::collection::vec((prop_oneof![4 => 0_u64..1_500, 1 => 0_u64..100_000], happening), 0..80)
}

/// Plays a history; calls `look` after each step with what the step said. Timers fire when they are due.
fn play(
    rules: TallyRules,
    history: &[(u64, Happening)],
    mut look: impl FnMut(&Tally, Millis, &[TallyAction]),
) -> Tally {
    let mut tally = Tally::new(rules, Millis(0));
    let mut now = Millis(0);
    let mut out = vec![];
    for (pause, happening) in history {
        let until = now.after(Millis(*pause));
        // Each timer that fires must move its deadline or end it, or a daemon would spin.
        for _ in 0..2_000 {
            let Some(deadline) = tally.deadline().filter(|deadline| *deadline <= until) else { break };
            now = now.max(deadline);
            out.clear();
            tally.step(now, TallyEvent::Timer, &mut out);
            look(&tally, now, &out);
            assert!(tally.deadline().is_none_or(|next| next > now), "a timer that stays due at {now}: {tally:?}");
        }
        now = until;
        let event = match happening {
            Happening::Round(result) => {
                let result = result.map(|()| Millis(1));
                TallyEvent::Round { started: now, finished: now, result }
            }
            Happening::Died => TallyEvent::ProcessDied,
            Happening::Nothing => TallyEvent::Timer,
        };
        out.clear();
        tally.step(now, event, &mut out);
        look(&tally, now, &out);
    }
    tally
}

proptest! {
    #[test]
    fn the_told_verdicts_and_the_kept_one_never_differ(history in histories()) {
        let mut told = Verdict::Unknown;
        play(RULES, &history, |tally, _, out| {
            for action in out {
                if let TallyAction::Verdict(verdict) = action {
                    assert_ne!(*verdict, told, "told twice");
                    told = *verdict;
                }
            }
            assert_eq!(told, tally.verdict());
            assert!(tally.recent.len() <= RULES.of as usize);
        });
    }

    #[test]
    fn a_pass_always_ends_in_passed(history in histories()) {
        let mut tally = play(RULES, &history, |_, _, _| {});
        let now = Millis(1_000_000_000);
        tally.step(now, TallyEvent::Round { started: now, finished: now, result: Ok(Millis(1)) }, &mut vec![]);
        prop_assert_eq!(tally.verdict(), Verdict::Passed);
        prop_assert!(!tally.holds());
    }

    #[test]
    fn nothing_but_failures_ends_in_failed(history in histories()) {
        let mut tally = play(RULES, &history, |_, _, _| {});
        let mut now = Millis(1_000_000_000);
        for _ in 0..20 {
            now = now.after(Millis(1_000));
            tally.step(now, TallyEvent::Timer, &mut vec![]);
            tally.step(now, TallyEvent::Round { started: now, finished: now, result: Err(Refused) }, &mut vec![]);
        }
        prop_assert!(matches!(tally.verdict(), Verdict::Failed(_)));
    }
}
