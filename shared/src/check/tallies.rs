//! The verdicts of all checks of a daemon, and the rows that an operator sees of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::failure::CheckFailure;
use super::schedule::{Report, ScheduledCheck, Vantage};
use crate::decision::{Combined, Millis, Tally, TallyAction, TallyEvent, TallyRules, Verdict};

/// A tally for each check and vantage, fed by the daemon's loop.
#[derive(Clone, Debug)]
pub struct Tallies {
    /// In the order of the configuration, which is the order of the status screen.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    check: String,
    vantage: Vantage,
    tally: Tally,
    /// The last round, whether or not it counted.
    last: Option<(Millis, Result<Duration, CheckFailure>)>,
    restarts: u32,
    /// Rounds that began before say nothing: the service was not started then, or is restarted.
    begins: Option<Millis>,
}

/// What an event changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The check.
    pub check: String,
    /// From where it looks.
    pub vantage: Vantage,
    /// What follows: a verdict, a wish to ask now ([`super::Checks::check_now`]), a restart to be noted.
    pub action: TallyAction,
}

/// One check for the status screen. Times are spans in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub check: String,
    /// From where it looks.
    pub vantage: Vantage,
    /// The verdict as it stands.
    pub verdict: Verdict,
    /// How many of the last `of` rounds failed.
    pub failures: u32,
    /// How many make the verdict `Failed`.
    pub fails: u32,
    /// How many rounds are looked back on.
    pub of: u32,
    /// How long ago the last round ended; `None` before the first.
    pub age: Option<Millis>,
    /// How old it may be and still count.
    pub stale_after: Millis,
    /// How long the service took, in microseconds, if the last round passed.
    pub latency_us: Option<u64>,
    /// How the last round failed, in words, if it did.
    pub failure: Option<String>,
    /// A dead process is being waited for: the verdict is held.
    pub held: bool,
    /// Restarts within the grace since the daemon started.
    pub restarts: u32,
}

impl Tallies {
    /// A tally for each check, none asked yet.
    #[must_use]
    pub fn new(checks: &[ScheduledCheck], restart_grace: Duration, now: Millis) -> Tallies {
        let entry = |scheduled: &ScheduledCheck| {
            let check = &scheduled.check;
            let rules = TallyRules {
                fails: check.fails,
                of: check.of,
                every: millis(check.every),
                timeout: millis(check.timeout),
                restart_grace: millis(restart_grace),
            };
            let begins = Some(scheduled.delay()).filter(|delay| !delay.is_zero()).map(|delay| now.after(millis(delay)));
            let tally = Tally::new(rules, begins.unwrap_or(now));
            Entry { check: check.name.clone(), vantage: scheduled.vantage, tally, last: None, restarts: 0, begins }
        };
        Tallies { entries: checks.iter().map(entry).collect() }
    }

    /// Takes a report. One of a check that is not tallied (from before a new configuration) changes nothing.
    pub fn report(&mut self, now: Millis, report: &Report) -> Vec<Change> {
        let mut changes = Vec::new();
        let wanted = |entry: &&mut Entry| entry.check == report.check && entry.vantage == report.vantage;
        if let Some(entry) = self.entries.iter_mut().find(wanted)
            && entry.begins.is_none_or(|begins| begins <= report.started)
        {
            let result = match &report.result {
                Ok(latency) => Ok(millis(*latency)),
                Err(failure) => Err(failure.symptom),
            };
            entry.last = Some((report.finished, report.result.clone()));
            let event = TallyEvent::Round { started: report.started, finished: report.finished, result };
            entry.step(now, event, &mut changes);
        }
        changes
    }

    /// A watched process of this host died: every local check is asked now, and its verdict waits for the grace.
    pub fn process_died(&mut self, now: Millis) -> Vec<Change> {
        let mut changes = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.vantage == Vantage::Local) {
            entry.step(now, TallyEvent::ProcessDied, &mut changes);
        }
        changes
    }

    /// [`Tallies::deadline`] was reached, and everything that was ready has been taken in.
    pub fn timer(&mut self, now: Millis) -> Vec<Change> {
        let mut changes = Vec::new();
        for entry in &mut self.entries {
            if entry.tally.deadline().is_some_and(|deadline| deadline <= now) {
                entry.step(now, TallyEvent::Timer, &mut changes);
            }
        }
        changes
    }

    /// A resource was restarted: its check begins anew, and rounds that begin before `from` say nothing.
    pub fn begin_anew(&mut self, check: &str, from: Millis) {
        for entry in self.entries.iter_mut().filter(|entry| entry.vantage == Vantage::Local && entry.check == check) {
            entry.tally = Tally::new(*entry.tally.rules(), from);
            entry.last = None;
            entry.begins = Some(from);
            entry.restarts = entry.restarts.saturating_add(1);
        }
    }

    /// When [`Tallies::timer`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.entries.iter().filter_map(|entry| entry.tally.deadline()).min()
    }

    /// What all checks from one vantage say together.
    #[must_use]
    pub fn combined(&self, vantage: Vantage) -> Combined {
        Combined::of(self.seen_from(vantage).map(|entry| (entry.check.as_str(), entry.tally.verdict())))
    }

    /// The same without those that `held` names and those that wait for their first round. `None`: none is left, so
    /// nothing is known that was not known before.
    #[must_use]
    pub fn combined_without(&self, vantage: Vantage, held: impl Fn(&str) -> bool) -> Option<Combined> {
        let mut counted = self.seen_from(vantage).filter(|entry| !entry.waits() && !held(&entry.check)).peekable();
        let any = counted.peek().is_some() || self.seen_from(vantage).next().is_none();
        any.then(|| Combined::of(counted.map(|entry| (entry.check.as_str(), entry.tally.verdict()))))
    }

    /// How old the oldest evidence behind [`Tallies::combined`] is. Zero without checks.
    #[must_use]
    pub fn age(&self, vantage: Vantage, now: Millis) -> Millis {
        self.seen_from(vantage).map(|entry| entry.tally.age(now)).max().unwrap_or_default()
    }

    /// The rows of the status screen, in the order of the configuration.
    #[must_use]
    pub fn rows(&self, now: Millis) -> Vec<Row> {
        self.entries.iter().map(|entry| entry.row(now)).collect()
    }

    fn seen_from(&self, vantage: Vantage) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.vantage == vantage)
    }
}

impl Entry {
    /// It was told to begin later, and has not been asked since.
    fn waits(&self) -> bool {
        self.begins.is_some() && self.last.is_none() && self.tally.verdict() == Verdict::Unknown
    }

    fn step(&mut self, now: Millis, event: TallyEvent, changes: &mut Vec<Change>) {
        let mut actions = Vec::new();
        self.tally.step(now, event, &mut actions);
        for action in actions {
            if matches!(action, TallyAction::Restarted { .. }) {
                self.restarts = self.restarts.saturating_add(1);
            }
            changes.push(Change { check: self.check.clone(), vantage: self.vantage, action });
        }
    }

    fn row(&self, now: Millis) -> Row {
        let rules = self.tally.rules();
        let result = self.last.as_ref().map(|(_, result)| result);
        Row {
            check: self.check.clone(),
            vantage: self.vantage,
            verdict: self.tally.verdict(),
            failures: self.tally.failures(),
            fails: rules.fails,
            of: rules.of,
            age: self.last.as_ref().map(|(finished, _)| now.since(*finished)),
            stale_after: rules.stale_after(),
            latency_us: result.and_then(|result| result.as_ref().ok()).map(|latency| micros(*latency)),
            failure: result.and_then(|result| result.as_ref().err()).map(ToString::to_string),
            held: self.tally.holds(),
            restarts: self.restarts,
        }
    }
}

fn millis(span: Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Check, Probe};
    use crate::decision::Symptom;

    fn scheduled(name: &str, vantage: Vantage) -> ScheduledCheck {
        let check = Check {
            name: name.into(),
            probe: Probe::Port { port: 110 },
            every: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            fails: 2,
            of: 3,
        };
        ScheduledCheck { check, vantage, target: [127, 0, 0, 1].into() }
    }

    fn report(check: &str, vantage: Vantage, finished: u64, result: Result<Duration, Symptom>) -> Report {
        let result = result.map_err(|symptom| CheckFailure::new(symptom, "connect", "in words"));
        Report { check: check.into(), vantage, started: Millis(finished), finished: Millis(finished), result }
    }

    #[test]
    fn each_vantage_has_a_verdict_of_its_own() {
        let checks = [scheduled("a", Vantage::Local), scheduled("a", Vantage::Direct), scheduled("b", Vantage::Local)];
        let mut tallies = Tallies::new(&checks, Duration::from_secs(5), Millis(0));
        for at in [1, 2] {
            tallies.report(Millis(at), &report("a", Vantage::Direct, at, Err(Symptom::Closed)));
            tallies.report(Millis(at), &report("a", Vantage::Local, at, Ok(Duration::from_micros(1_500))));
        }
        assert_eq!(tallies.combined(Vantage::Local).verdict, Verdict::Unknown, "b was not asked yet");
        tallies.report(Millis(3), &report("b", Vantage::Local, 3, Ok(Duration::ZERO)));
        assert_eq!(tallies.combined(Vantage::Local).verdict, Verdict::Passed);
        let direct = tallies.combined(Vantage::Direct);
        assert_eq!((direct.verdict, direct.failed.as_deref()), (Verdict::Failed(Symptom::Closed), Some("a")));
        assert_eq!(tallies.combined(Vantage::ThroughBalancer).verdict, Verdict::Unknown);
        assert_eq!(tallies.age(Vantage::Local, Millis(10)), Millis(8));

        let rows = tallies.rows(Millis(10));
        assert_eq!(rows[0].latency_us, Some(1_500));
        assert_eq!(rows[0].age, Some(Millis(8)));
        assert_eq!(rows[1].failure.as_deref(), Some("connection closed early at connect: in words"));
        assert_eq!((rows[1].failures, rows[1].fails, rows[1].of), (2, 2, 3));
        let text = serde_json::to_string(&rows).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Row>>(&text).unwrap(), rows);
    }

    #[test]
    fn a_death_concerns_the_local_checks_only() {
        let checks = [scheduled("a", Vantage::Local), scheduled("a", Vantage::Direct)];
        let mut tallies = Tallies::new(&checks, Duration::ZERO, Millis(0));
        let changes = tallies.process_died(Millis(1));
        assert!(changes.iter().all(|change| change.vantage == Vantage::Local), "{changes:?}");
        assert_eq!(tallies.combined(Vantage::Local).verdict, Verdict::Failed(Symptom::ProcessGone));
        assert_eq!(tallies.combined(Vantage::Direct).verdict, Verdict::Unknown);
    }

    #[test]
    fn the_timer_fires_what_is_due_and_an_unknown_report_changes_nothing() {
        let mut tallies = Tallies::new(&[scheduled("a", Vantage::Local)], Duration::ZERO, Millis(0));
        assert_eq!(tallies.report(Millis(1), &report("gone", Vantage::Local, 1, Ok(Duration::ZERO))), []);
        assert_eq!(tallies.deadline(), Some(Millis(7_000)));
        assert_eq!(tallies.timer(Millis(6_999)), []);
        let changes = tallies.timer(Millis(7_000));
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].action, TallyAction::Verdict(Verdict::Failed(Symptom::Stale)));
    }

    #[test]
    fn a_check_with_a_start_delay_says_nothing_before_it_and_holds_up_nobody() {
        let mut late = scheduled("late", Vantage::Local);
        late.check.probe = resource("20s");
        let mut tallies = Tallies::new(&[late, scheduled("a", Vantage::Local)], Duration::ZERO, Millis(0));
        let said = |tallies: &Tallies| tallies.combined_without(Vantage::Local, |_| false).map(|all| all.verdict);
        tallies.report(Millis(1), &report("a", Vantage::Local, 1, Ok(Duration::ZERO)));
        assert_eq!(said(&tallies), Some(Verdict::Passed));
        for at in [19_000, 19_500] {
            tallies.report(Millis(at), &report("late", Vantage::Local, at, Err(Symptom::CommandFailed)));
        }
        assert_eq!(said(&tallies), Some(Verdict::Passed), "asked too early");
        assert_eq!(tallies.deadline(), Some(Millis(7_000 + 1)), "it grows old before it begins");
        for at in [20_000, 22_000] {
            tallies.report(Millis(at), &report("late", Vantage::Local, at, Err(Symptom::CommandFailed)));
        }
        assert_eq!(said(&tallies), Some(Verdict::Failed(Symptom::CommandFailed)));
    }

    #[test]
    fn a_restarted_resource_begins_anew_and_a_held_check_is_left_out() {
        let mut tallies = Tallies::new(&[scheduled("a", Vantage::Local)], Duration::ZERO, Millis(0));
        for at in [1, 2] {
            tallies.report(Millis(at), &report("a", Vantage::Local, at, Err(Symptom::CommandFailed)));
        }
        assert_eq!(tallies.combined_without(Vantage::Local, |check| check == "a"), None);
        tallies.begin_anew("a", Millis(5_000));
        tallies.report(Millis(4_000), &report("a", Vantage::Local, 4_000, Err(Symptom::CommandFailed)));
        assert_eq!(tallies.combined_without(Vantage::Local, |_| false), None, "the old failure is remembered");
        tallies.report(Millis(6_000), &report("a", Vantage::Local, 6_000, Ok(Duration::ZERO)));
        let combined = tallies.combined_without(Vantage::Local, |_| false).unwrap();
        assert_eq!((combined.verdict, tallies.rows(Millis(6_000))[0].restarts), (Verdict::Passed, 1));
    }

    fn resource(start_delay: &str) -> Probe {
        let text = format!(
            r#"
Pair(
    name: "mail",
    master: Host(name: "cfg1", address: "192.0.2.11"),
    slave: Host(name: "cfg2", address: "192.0.2.12"),
    proof_of_stop: [Operator],
    service: (resources: [Step(name: "a", start: "true", stop: "true", status: "true")]),
    checks: [Resource(name: "a", resource: "a", start_delay: "{start_delay}")],
)
"#
        );
        let path = std::path::Path::new("/");
        let loaded = crate::config::parse(&text, path, path).unwrap_or_else(|wrong| panic!("{wrong}"));
        loaded.config.checks[0].probe.clone()
    }
}
