//! From single rounds of one check to its verdict: N failures of the last M, restart grace, staleness.
//!
//! - **Failed** when `fails` of the last `of` rounds failed; the symptom is that of the latest failure.
//! - **Passed** by one full pass. Nobody is moved by a pass, so it needs no second opinion; it also clears the look-back,
//!   or a single failure after a recovery would fail the check again.
//! - **Unknown** until the first pass or the N-th failure: one failed round of three says nothing yet.
//! - A refused login fails a check only by itself: it never helps other failures to reach N, because the canary's account
//!   is another thing than the service (see [`super::Combined`]).
//! - **Stale** when no round was finished for `3 × every + timeout`.
//! - A process that died gets `restart_grace` to come back: rounds that fail meanwhile are held back; one pass that began
//!   after the death ends it without a change. At its end the verdict is `ProcessGone`, which later failures do not
//!   rename: they are its consequence.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use serde::Serialize;

use super::types::{Millis, Symptom, Verdict};

/// The furthest look-back that is kept, in rounds.
pub const ROUNDS_MAX: u32 = 100;

/// By what rules rounds become a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct TallyRules {
    /// Failures among the last `of` rounds that make the verdict `Failed`. Taken as at least 1 and at most `of`.
    pub fails: u32,
    /// How many rounds are looked back on. Taken as at least 1 and at most [`ROUNDS_MAX`].
    pub of: u32,
    /// Between the starts of two rounds.
    pub every: Millis,
    /// How long a round may take.
    pub timeout: Millis,
    /// How long a dead process may take to come back. Zero: not at all.
    pub restart_grace: Millis,
}

impl TallyRules {
    /// Without a finished round for so long, the last answer is too old to count.
    #[must_use]
    pub const fn stale_after(&self) -> Millis {
        Millis(self.every.0.saturating_mul(3).saturating_add(self.timeout.0))
    }

    /// While a dead process may come back, the check asks again so long after each failure: ten looks in the grace,
    /// so that a service that is back is not judged by a look before its return.
    const fn ask_again_after(&self) -> Millis {
        let tenth = self.restart_grace.0 / 10;
        Millis(if tenth < 20 {
            20
        } else if tenth > 1_000 {
            1_000
        } else {
            tenth
        })
    }
}

/// What happens to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum TallyEvent {
    /// A round ended. `Err(Stale)` means that it could not be asked (no free descriptor): it counts as no round at all.
    Round {
        /// When it began.
        started: Millis,
        /// When it ended.
        finished: Millis,
        /// How long the service took, or how it failed.
        result: Result<Millis, Symptom>,
    },
    /// The service's main process ended.
    ProcessDied,
    /// [`Tally::deadline`] was reached.
    Timer,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum TallyAction {
    /// The verdict is now this one.
    Verdict(Verdict),
    /// Ask now, and give up a round that already runs: it began too early to tell.
    CheckNow,
    /// The process died and the service answered again within the grace: to be noted, nothing else.
    Restarted {
        /// From the death to the end of the round that passed.
        after: Millis,
    },
}

/// The state of one check.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Tally {
    rules: TallyRules,
    /// The last `of` rounds, oldest first; `None` is a pass.
    recent: VecDeque<Option<Symptom>>,
    verdict: Verdict,
    /// When the last round that counts ended; before the first one, when the tally began.
    answered_at: Millis,
    /// From when the time to staleness counts: `answered_at`, or later if the caller's own loop came late.
    fresh_at: Millis,
    /// The freshness was restarted once because the caller's own loop came late.
    excused: bool,
    /// The last death of the main process: a round that began before it may have been answered by the dead process.
    died_at: Option<Millis>,
    grace: Option<Grace>,
}

/// A process died and may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
struct Grace {
    /// The first death; later ones do not prolong the grace.
    died_at: Millis,
    ends_at: Millis,
    ask_again_at: Option<Millis>,
    /// It was restarted once because the caller's own loop came late.
    excused: bool,
}

impl Tally {
    /// A check that was never asked. Its freshness counts from `now`.
    #[must_use]
    pub fn new(rules: TallyRules, now: Millis) -> Tally {
        let of = rules.of.clamp(1, ROUNDS_MAX);
        let rules = TallyRules { of, fails: rules.fails.clamp(1, of), ..rules };
        Tally {
            rules,
            recent: VecDeque::new(),
            verdict: Verdict::Unknown,
            answered_at: now,
            fresh_at: now,
            excused: false,
            died_at: None,
            grace: None,
        }
    }

    /// Takes one event; what follows is appended to `out`.
    pub fn step(&mut self, now: Millis, event: TallyEvent, out: &mut Vec<TallyAction>) {
        match event {
            TallyEvent::Round { started, finished, result } => self.round(started, finished, result, out),
            TallyEvent::ProcessDied => self.process_died(now, out),
            TallyEvent::Timer => self.timer(now, out),
        }
    }

    /// When [`TallyEvent::Timer`] is due. Late is harmless; early does nothing.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        match self.grace {
            Some(grace) => Some(grace.ask_again_at.map_or(grace.ends_at, |at| at.min(grace.ends_at))),
            None => (!self.has_failed()).then(|| self.stale_at()),
        }
    }

    /// The verdict as it stands.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// How many of the last `of` rounds failed.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.count(|_| true)
    }

    /// The rules, with their bounds applied.
    #[must_use]
    pub fn rules(&self) -> &TallyRules {
        &self.rules
    }

    /// How old the evidence is: since the end of the last round that counts, or since the tally began.
    #[must_use]
    pub fn age(&self, now: Millis) -> Millis {
        now.since(self.answered_at)
    }

    /// A dead process is being waited for: the verdict is held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.grace.is_some()
    }

    fn round(
        &mut self,
        started: Millis,
        finished: Millis,
        result: Result<Millis, Symptom>,
        out: &mut Vec<TallyAction>,
    ) {
        let too_early = result.is_ok() && self.died_at.is_some_and(|died_at| started < died_at);
        if too_early || result == Err(Symptom::Stale) || self.asker_was_late(started, finished, result) {
            return;
        }
        self.answered_at = self.answered_at.max(finished);
        self.fresh_at = self.fresh_at.max(finished);
        self.excused = false;
        if let Some(grace) = &mut self.grace {
            if result.is_err() {
                grace.ask_again_at = Some(finished.after(self.rules.ask_again_after()));
                return;
            }
            out.push(TallyAction::Restarted { after: finished.since(grace.died_at) });
            self.grace = None;
        }
        if result.is_ok() && self.has_failed() {
            self.recent.clear();
        }
        if self.recent.len() >= self.rules.of as usize {
            self.recent.pop_front();
        }
        self.recent.push_back(result.err());
        let verdict = match result {
            Ok(_) => Verdict::Passed,
            Err(symptom) => self.verdict_after(symptom),
        };
        self.change(verdict, out);
    }

    /// The verdict after a failed round.
    fn verdict_after(&self, symptom: Symptom) -> Verdict {
        if self.verdict == Verdict::Failed(Symptom::ProcessGone) {
            return self.verdict;
        }
        let is_service = |failure: Symptom| failure != Symptom::LoginRefused;
        if self.count(is_service) >= self.rules.fails {
            let latest = self.recent.iter().rev().flatten().copied().find(|failure| is_service(*failure));
            Verdict::Failed(latest.unwrap_or(symptom))
        } else if self.failures() >= self.rules.fails {
            Verdict::Failed(Symptom::LoginRefused)
        } else if self.has_failed() {
            // It failed before (by age, say) and still does; now there is a better word for how.
            Verdict::Failed(symptom)
        } else {
            self.verdict
        }
    }

    /// A round that ran out of time long after its limit was stopped by the asker's own sleep (a paused machine, a
    /// frozen daemon), not by the service. Bounded: such rounds do not keep the check fresh.
    fn asker_was_late(&self, started: Millis, finished: Millis, result: Result<Millis, Symptom>) -> bool {
        let timeout = self.rules.timeout.0;
        result == Err(Symptom::TimedOut) && finished.since(started).0 > timeout.saturating_add(timeout / 2).max(100)
    }

    fn process_died(&mut self, now: Millis, out: &mut Vec<TallyAction>) {
        self.died_at = Some(now);
        if let Some(grace) = &mut self.grace {
            // A further death inside the grace does not prolong it: a service that dies in a loop is not well.
            grace.ask_again_at = None;
        } else if self.has_failed() {
            // Only a pass can end a failure, so there is nothing to hold.
        } else if self.rules.restart_grace == Millis(0) {
            self.change(Verdict::Failed(Symptom::ProcessGone), out);
        } else {
            let ends_at = now.after(self.rules.restart_grace);
            self.grace = Some(Grace { died_at: now, ends_at, ask_again_at: None, excused: false });
        }
        out.push(TallyAction::CheckNow);
    }

    fn timer(&mut self, now: Millis, out: &mut Vec<TallyAction>) {
        if self.grace.is_some() {
            // The grace ends before anything else is judged.
            return self.timer_of_grace(now, out);
        }
        // Why it failed is better known than that it was not asked since.
        if now < self.stale_at() || self.has_failed() {
            return;
        }
        // The caller looks at timers after everything that was ready. If it comes this late, it slept itself, and
        // no round could have ended: once, the rounds get their time again.
        let late = now.since(self.stale_at());
        if late.0 > self.rules.stale_after().0 / 2 && !self.excused {
            self.excused = true;
            self.fresh_at = now;
            out.push(TallyAction::CheckNow);
            return;
        }
        self.change(Verdict::Failed(Symptom::Stale), out);
    }

    fn timer_of_grace(&mut self, now: Millis, out: &mut Vec<TallyAction>) {
        let Some(grace) = &mut self.grace else { return };
        if now >= grace.ends_at {
            let late = now.since(grace.ends_at);
            if late.0 > self.rules.restart_grace.0 / 2 && late.0 > 100 && !grace.excused {
                grace.excused = true;
                grace.ends_at = now.after(self.rules.restart_grace);
                grace.ask_again_at = None;
                out.push(TallyAction::CheckNow);
                return;
            }
            self.grace = None;
            self.change(Verdict::Failed(Symptom::ProcessGone), out);
        } else if grace.ask_again_at.is_some_and(|at| now >= at) {
            grace.ask_again_at = None;
            out.push(TallyAction::CheckNow);
        }
    }

    fn has_failed(&self) -> bool {
        matches!(self.verdict, Verdict::Failed(_))
    }

    fn stale_at(&self) -> Millis {
        self.fresh_at.after(self.rules.stale_after())
    }

    fn count(&self, wanted: impl Fn(Symptom) -> bool) -> u32 {
        let failures = self.recent.iter().flatten().filter(|failure| wanted(**failure)).count();
        u32::try_from(failures).unwrap_or(u32::MAX)
    }

    fn change(&mut self, verdict: Verdict, out: &mut Vec<TallyAction>) {
        if verdict != self.verdict {
            self.verdict = verdict;
            out.push(TallyAction::Verdict(verdict));
        }
    }
}

#[cfg(test)]
mod tests;
