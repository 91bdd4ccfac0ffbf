//! What `scripts/bench.sh` measures, one subject a file.

pub mod core;
pub mod disk;
pub mod mail;
pub mod pair;
pub mod steps;

use std::time::Duration;

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What the program may add at most.
    pub budget: String,
    /// The middle one.
    pub median: String,
    /// All but one in a hundred are faster.
    pub p99: String,
    /// How many were measured.
    pub count: usize,
    /// What else to know.
    pub note: String,
}

impl Row {
    /// From single times.
    #[must_use]
    pub fn of(what: &str, budget: &str, mut times: Vec<Duration>, note: &str) -> Row {
        times.sort_unstable();
        let at = |part: usize| times.get(times.len() * part / 100).or(times.last()).copied().unwrap_or_default();
        Row {
            what: what.into(),
            budget: budget.into(),
            median: millis(at(50)),
            p99: millis(at(99)),
            count: times.len(),
            note: note.into(),
        }
    }
}

/// In milliseconds, with as many digits as mean something.
#[must_use]
pub fn millis(span: Duration) -> String {
    format!("{:.3} ms", span.as_secs_f64() * 1_000.0)
}
