//! From rounds to a verdict: N failures among the last M, restart grace, staleness. Pure, as everything here.

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::types::{Millis, Symptom, Verdict};

/// The rounds of one check from one place, and what they add up to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tally {
    fails: u32,
    of: u32,
    stale_after_ms: Millis,
    restart_grace_ms: Millis,
    rounds: VecDeque<Option<Symptom>>,
    finished: Option<Millis>,
    died: Option<Millis>,
    verdict: Verdict,
}

impl Tally {
    /// No round yet. `stale_after_ms`: without a finished round for so long the verdict is `Failed(Stale)`, because a
    /// check that is stuck says nothing good. `restart_grace_ms`: how long a dead process may take to come back.
    #[must_use]
    pub fn new(fails: u32, of: u32, stale_after_ms: Millis, restart_grace_ms: Millis, now: Millis) -> Tally {
        Tally {
            fails: fails.max(1),
            of: of.max(fails).max(1),
            stale_after_ms,
            restart_grace_ms,
            rounds: VecDeque::new(),
            finished: Some(now),
            died: None,
            verdict: Verdict::Unknown,
        }
    }

    /// A round that began at `started` ended at `now`. One pass makes the verdict `Passed`: the service answers.
    pub fn round(&mut self, started: Millis, now: Millis, result: Result<(), Symptom>) -> Verdict {
        self.finished = Some(now);
        self.rounds.push_back(result.err());
        while self.rounds.len() > self.of as usize {
            self.rounds.pop_front();
        }
        match result {
            Ok(()) => {
                // A pass that began before the death says nothing about the time after it.
                if self.died.is_some_and(|died| started < died) {
                    return self.verdict;
                }
                self.died = None;
                self.verdict = Verdict::Passed;
            }
            Err(symptom) if self.died.is_none() && self.failures() >= self.fails => {
                self.verdict = Verdict::Failed(symptom);
            }
            Err(_) => {}
        }
        self.at(now)
    }

    /// The main process died. The verdict falls when the grace is over, unless a round passes before.
    pub fn process_died(&mut self, now: Millis) -> Verdict {
        self.died.get_or_insert(now);
        self.at(now)
    }

    /// The verdict at `now`: the grace may be over, the last round too old.
    pub fn at(&mut self, now: Millis) -> Verdict {
        if self.died.is_some_and(|died| now.since(died) >= self.restart_grace_ms) {
            self.verdict = Verdict::Failed(Symptom::ProcessGone);
        }
        let stale = self.finished.is_some_and(|finished| now.since(finished) >= self.stale_after_ms);
        if stale && !matches!(self.verdict, Verdict::Failed(_)) {
            self.verdict = Verdict::Failed(Symptom::Stale);
        }
        self.verdict
    }

    /// When [`Tally::at`] may say something new without a round.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        if matches!(self.verdict, Verdict::Failed(_)) {
            return None;
        }
        let grace = self.died.map(|died| died.after(self.restart_grace_ms));
        let stale = self.finished.map(|finished| finished.after(self.stale_after_ms));
        match (grace, stale) {
            (Some(grace), Some(stale)) => Some(grace.min(stale)),
            (grace, stale) => grace.or(stale),
        }
    }

    /// The process died and no round has passed since: rounds are wanted in quick succession.
    #[must_use]
    pub fn in_grace(&self) -> bool {
        self.died.is_some() && !matches!(self.verdict, Verdict::Failed(_))
    }

    /// The verdict as it was when something was last told.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Failures among the rounds looked back on.
    #[must_use]
    pub fn failures(&self) -> u32 {
        u32::try_from(self.rounds.iter().flatten().count()).unwrap_or(u32::MAX)
    }

    /// How many failures of how many rounds make a failure.
    #[must_use]
    pub fn limits(&self) -> (u32, u32) {
        (self.fails, self.of)
    }
}

/// Several checks of one place as one verdict: the first failure counts. A refused login counts as unknown: it speaks of
/// the canary's account, not of the service.
#[must_use]
pub fn combine(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let (mut passed, mut unknown) = (false, false);
    for verdict in verdicts {
        match verdict {
            Verdict::Failed(Symptom::LoginRefused) | Verdict::Unknown => unknown = true,
            Verdict::Failed(symptom) => return Verdict::Failed(symptom),
            Verdict::Passed => passed = true,
        }
    }
    if passed && !unknown { Verdict::Passed } else { Verdict::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(grace: u64) -> Tally {
        Tally::new(3, 5, Millis(10_000), Millis(grace), Millis(0))
    }

    #[test]
    fn three_failures_among_five_rounds_make_a_failure_and_one_pass_ends_it() {
        let mut tally = tally(5_000);
        let refused = Err(Symptom::Refused);
        let rounds = [Ok(()), refused, Ok(()), refused, refused, Ok(())];
        let verdicts: alloc::vec::Vec<Verdict> =
            (1..).zip(rounds).map(|(at, result)| tally.round(Millis(at), Millis(at), result)).collect();
        let failed = Verdict::Failed(Symptom::Refused);
        let passed = Verdict::Passed;
        assert_eq!(verdicts, [passed, passed, passed, passed, failed, passed]);
    }

    #[test]
    fn a_process_that_comes_back_within_the_grace_is_no_failure() {
        let mut tally = tally(5_000);
        tally.round(Millis(1), Millis(2), Ok(()));
        assert_eq!(tally.process_died(Millis(100)), Verdict::Passed);
        for at in 101..120 {
            assert_eq!(tally.round(Millis(at), Millis(at), Err(Symptom::Refused)), Verdict::Passed);
        }
        assert!(tally.in_grace());
        assert_eq!(tally.round(Millis(3_000), Millis(3_001), Ok(())), Verdict::Passed);
        assert!(!tally.in_grace());
        assert_eq!(tally.at(Millis(5_200)), Verdict::Passed);
    }

    #[test]
    fn a_process_that_stays_away_fails_at_the_end_of_the_grace_and_at_once_without_one() {
        let mut patient = tally(5_000);
        patient.process_died(Millis(100));
        assert_eq!(patient.deadline(), Some(Millis(5_100)));
        assert_eq!(patient.at(Millis(5_099)), Verdict::Unknown);
        assert_eq!(patient.at(Millis(5_100)), Verdict::Failed(Symptom::ProcessGone));
        assert_eq!(tally(0).process_died(Millis(7)), Verdict::Failed(Symptom::ProcessGone));
    }

    #[test]
    fn a_pass_that_began_before_the_death_does_not_hide_it() {
        let mut tally = tally(1_000);
        tally.process_died(Millis(100));
        tally.round(Millis(90), Millis(110), Ok(()));
        assert_eq!(tally.at(Millis(1_100)), Verdict::Failed(Symptom::ProcessGone));
    }

    #[test]
    fn a_check_that_is_stuck_goes_stale() {
        let mut tally = tally(0);
        tally.round(Millis(1), Millis(1), Ok(()));
        assert_eq!(tally.at(Millis(10_000)), Verdict::Passed);
        assert_eq!(tally.at(Millis(10_001)), Verdict::Failed(Symptom::Stale));
    }

    #[test]
    fn a_refused_canary_is_unknown_and_any_other_failure_counts() {
        let refused = Verdict::Failed(Symptom::LoginRefused);
        let dead = Verdict::Failed(Symptom::TimedOut);
        assert_eq!(combine([Verdict::Passed, refused].into_iter()), Verdict::Unknown);
        assert_eq!(combine([Verdict::Passed, refused, dead].into_iter()), dead);
        assert_eq!(combine([Verdict::Passed, Verdict::Passed].into_iter()), Verdict::Passed);
        assert_eq!(combine([].into_iter()), Verdict::Unknown);
    }
}
