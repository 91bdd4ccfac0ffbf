//! Many schedules, one seed each, on all cores; and what they reached together.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::options::Options;
use super::schedule::{self, Outcome};
use super::seen::{Seen, Sight};
use super::story::Case;
use super::teller::Teller;
use super::{canary, trace};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// How many schedules.
    pub schedules: u64,
    /// The seed of the first; each has the next.
    pub first_seed: u64,
    /// On so many threads.
    pub threads: usize,
    /// The canary's rate, of ten thousand boots; zero: none.
    pub canary: u64,
    /// Stop after this many violations.
    pub violations_most: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Schedules that ran.
    pub schedules: u64,
    /// How long they lasted, in their own time.
    pub simulated_ms: u64,
    /// How long that took.
    pub took: Duration,
    /// What they reached.
    pub seen: Seen,
    /// Seeds of schedules that broke a law, with it, in the order of the seeds.
    pub violations: Vec<(u64, String)>,
}

/// Runs a corpus. The report does not depend on the number of threads, as long as no law is broken.
#[must_use]
pub fn run(order: &Order) -> Report {
    gather(order, 1, || |seed| Some(schedule::random(options(seed, order.canary), false)))
}

/// Each thread makes itself a way to run schedules, and takes so many in a row.
fn gather<One: FnMut(u64) -> Option<Outcome>>(order: &Order, in_a_row: u64, one: impl Fn() -> One + Sync) -> Report {
    let next = AtomicU64::new(0);
    let violations = AtomicU64::new(0);
    let began = Instant::now();
    let part = || {
        let (mut report, mut one) = (Report::default(), one());
        loop {
            let begin = next.fetch_add(in_a_row, Ordering::Relaxed);
            if begin >= order.schedules {
                return report;
            }
            for number in begin..order.schedules.min(begin + in_a_row) {
                if violations.load(Ordering::Relaxed) >= order.violations_most {
                    return report;
                }
                let seed = order.first_seed.wrapping_add(number);
                let Some(outcome) = one(seed) else { return report };
                report.schedules += 1;
                report.simulated_ms += outcome.lasted_ms;
                report.seen.add(&outcome.seen);
                if let Some(breach) = outcome.breach {
                    report.violations.push((seed, breach.to_string()));
                    violations.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    let parts: Vec<Report> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..order.threads.max(1)).map(|_| scope.spawn(part)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut report = Report::default();
    for part in parts {
        report.schedules += part.schedules;
        report.simulated_ms += part.simulated_ms;
        report.seen.add(&part.seen);
        report.violations.extend(part.violations);
    }
    report.violations.sort_unstable();
    report.took = began.elapsed();
    report
}

/// Neighbours are told together, because they have most in common.
const CASES_IN_A_ROW: u64 = 500;

/// Runs cases of stories. A violation's number is that of its case.
#[must_use]
pub fn run_cases(cases: &[Case], threads: usize) -> Report {
    let order = Order { schedules: cases.len() as u64, first_seed: 0, threads, canary: 0, violations_most: 10 };
    gather(&order, CASES_IN_A_ROW, || {
        let mut teller = Teller::default();
        move |number: u64| cases.get(number as usize).map(|case| teller.tell(case))
    })
}

/// The options of one seed in a corpus.
#[must_use]
pub fn options(seed: u64, canary: u64) -> Options {
    Options { canary, ..Options::draw(seed) }
}

/// Runs a schedule again and shows it: its options, its last lines, what it broke.
#[must_use]
pub fn show(seed: u64, canary: u64) -> String {
    let options = options(seed, canary);
    let head = format!("{options:#?}");
    explain(&head, &schedule::random(options, true), &format!("scripts/simulate.sh --replay {seed}"))
}

/// A schedule for a person: what it was made of, its last lines, what it broke, how to see it again.
#[must_use]
pub fn explain(head: &str, outcome: &Outcome, again: &str) -> String {
    let lines = outcome.lines.join("\n");
    let verdict = outcome.breach.as_ref().map_or("no law was broken".to_string(), |breach| format!("BROKEN: {breach}"));
    format!("{head}\nthe last {} lines:\n{lines}\n\n{verdict}\nagain: {again}", trace::LINES)
}

/// Whether the canary of this report sings as often as it must.
#[must_use]
pub fn canary_is_well(report: &Report) -> bool {
    let per_mille = report.violations.len() as u64 * 1_000 / report.schedules.max(1);
    canary::FAILS_PER_MILLE.contains(&per_mille)
}

impl Report {
    /// What a large corpus must reach and this one did not.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.seen.missing().into_iter().map(|sight| sight.words().0).collect()
    }

    /// How much ran, how fast, and how often a law was broken.
    #[must_use]
    pub fn summary(&self) -> String {
        let seconds = self.took.as_secs_f64().max(0.001);
        let simulated = self.simulated_ms as f64 / 1_000.0;
        format!(
            "{} schedules in {seconds:.1} s, {:.0} a second; {:.4} simulated years, {:.0} times faster than time; \
             {} violations",
            self.schedules,
            self.schedules as f64 / seconds,
            simulated / (365.25 * 86_400.0),
            simulated / seconds,
            self.violations.len(),
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sight in Sight::ALL {
            writeln!(f, "{:>10} {}", self.seen.count(*sight), sight.words().0)?;
        }
        f.write_str(&self.summary())
    }
}
