//! What `scripts/bench.sh` measures, one subject a file.

pub mod core;
pub mod death;
pub mod disk;
pub mod haproxy;
pub mod idle;
pub mod mail;
pub mod pair;
pub mod steps;
pub mod suspicion;

use std::time::Duration;

/// What a pair in a lab runs, and what its network is made with.
const LAB_TOOLS: [&str; 6] = ["dovecot", "doveadm", "haproxy", "ip", "nft", "nsenter"];

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What the program may add at most.
    pub budget: String,
    /// The middle one.
    pub median: String,
    /// The slowest of all but one in a hundred; of less than a hundred, the slowest.
    pub worst: String,
    /// How many were measured.
    pub count: usize,
    /// Whether the budget was kept.
    pub verdict: &'static str,
    /// How many durable writes of the state are in it.
    pub writes: u32,
    /// What else to know.
    pub note: String,
}

impl Row {
    /// From single times, against a budget where there is one.
    #[must_use]
    pub fn of(what: &str, budget: Option<Duration>, mut times: Vec<Duration>, note: &str) -> Row {
        times.sort_unstable();
        let at = |part: usize| times.get(times.len() * part / 100).or(times.last()).copied().unwrap_or_default();
        let verdict = match budget {
            None => "-",
            Some(_) if times.is_empty() => "not run",
            Some(most) if at(99) <= most => "met",
            Some(most) if at(50) <= most => "met by the median",
            Some(_) => "over",
        };
        Row {
            what: what.into(),
            budget: budget.map_or("-".into(), |most| format!("{} ms", most.as_millis())),
            median: millis(at(50)),
            worst: millis(at(99)),
            count: times.len(),
            verdict,
            writes: 0,
            note: note.into(),
        }
    }

    /// One value that is no time.
    #[must_use]
    pub fn value(what: &str, budget: &str, value: String, met: Option<bool>, note: String) -> Row {
        let verdict = met.map_or("-", |met| if met { "met" } else { "over" });
        let worst = "-".into();
        Row { what: what.into(), budget: budget.into(), median: value, worst, count: 1, verdict, writes: 0, note }
    }

    /// What could not be measured here.
    #[must_use]
    pub fn not_run(what: &str, budget: &str, why: &str) -> Row {
        let none = || String::from("-");
        let (median, worst, note) = (none(), none(), format!("not run: {why}"));
        Row { what: what.into(), budget: budget.into(), median, worst, count: 0, verdict: "not run", writes: 0, note }
    }

    /// The same, with so many durable writes in it.
    #[must_use]
    pub fn with_writes(self, writes: u32) -> Row {
        Row { writes, ..self }
    }
}

/// Why there can be no lab with a pair in it here, if so.
#[must_use]
pub fn no_lab() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root, to make network and mount namespaces".into());
    }
    let missing: Vec<&str> = LAB_TOOLS.into_iter().filter(|tool| !is_installed(tool)).collect();
    (!missing.is_empty()).then(|| format!("not installed: {} (scripts/test.sh installs it)", missing.join(", ")))
}

fn is_installed(tool: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(tool).is_file())
}

/// In milliseconds, with as many digits as mean something.
#[must_use]
pub fn millis(span: Duration) -> String {
    format!("{:.3} ms", span.as_secs_f64() * 1_000.0)
}
