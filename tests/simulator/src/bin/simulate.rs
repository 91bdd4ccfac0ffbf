//! Runs simulated schedules of a pair: see `scripts/simulate.sh --help`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use failover_simulator::options::Setup;
use failover_simulator::{canary, corpus, story};

/// Runs simulated schedules of a pair and judges them. Ends with 1 when a law was broken, when something that must come
/// up did not, or when the planted bug was not found.
#[derive(Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// How many random schedules.
    #[arg(long, default_value_t = 100_000)]
    schedules: u64,
    /// The seed of the first; each has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs one schedule and shows it.
    #[arg(long, value_name = "SEED")]
    replay: Option<u64>,
    /// Also every single fault at every position of the base stories, and every ordered pair of the grave ones.
    #[arg(long)]
    exhaustive: bool,
    /// Runs one case of `--exhaustive` and shows it.
    #[arg(long, value_name = "NUMBER")]
    case: Option<usize>,
    /// Runs the core with this bug planted, until it is found.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
    /// Says the names of the bugs that can be planted.
    #[cfg(feature = "planted")]
    #[arg(long)]
    bugs: bool,
    /// Only the canary: ends with 1 when it is not found as often as it must.
    #[arg(long)]
    canary: bool,
    /// Threads; all cores if not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Stops after this many violations.
    #[arg(long, default_value_t = 5)]
    violations: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "planted")]
    if let Some(found) = planted(&arguments) {
        return if found { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let well = match (arguments.replay, arguments.case) {
        (Some(seed), _) => replay(seed),
        (None, Some(number)) => case(number),
        (None, None) => {
            let threads =
                arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
            let exhausted = !arguments.exhaustive || exhaustive(threads);
            let order = corpus::Order {
                schedules: arguments.schedules,
                first_seed: arguments.seed,
                threads,
                canary: 0,
                violations_most: arguments.violations,
            };
            if arguments.canary { sings(order) } else { exhausted && random(order) }
        }
    };
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64) -> bool {
    let text = corpus::show(seed, 0);
    say(&text);
    !text.contains("BROKEN")
}

fn cases() -> Vec<story::Case> {
    let mut cases = story::singles(Setup::ALL);
    cases.extend(story::pairs(Setup::ALL));
    cases
}

fn case(number: usize) -> bool {
    let Some(case) = cases().into_iter().nth(number) else {
        say("there is no case of this number");
        return false;
    };
    let text = case.show(number);
    say(&text);
    !text.contains("BROKEN")
}

/// Tells whether the planted bug was found; `None`: nothing was asked about bugs.
#[cfg(feature = "planted")]
fn planted(arguments: &Arguments) -> Option<bool> {
    use failover_shared::decision::{Bug, plant};
    if arguments.bugs {
        Bug::ALL.iter().for_each(|bug| say(bug.name()));
        return Some(true);
    }
    let name = arguments.bug.as_deref()?;
    let Some(bug) = Bug::ALL.iter().copied().find(|bug| bug.name() == name) else {
        say(&format!("no bug is called {name}: --bugs says the names"));
        return Some(false);
    };
    plant(Some(bug));
    // One thread: the number of schedules is then the same in every run.
    let order = corpus::Order {
        schedules: arguments.schedules,
        first_seed: arguments.seed,
        threads: 1,
        canary: 0,
        violations_most: 1,
    };
    let report = corpus::run(&order);
    match report.violations.first() {
        Some((_, breach)) => say(&format!("{name} caught after {} schedules: {breach}", report.schedules)),
        None => say(&format!("{name} NOT caught in {} schedules: {}", report.schedules, bug.sentence())),
    }
    Some(!report.violations.is_empty())
}

fn exhaustive(threads: usize) -> bool {
    let cases = cases();
    let report = corpus::run_cases(&cases, threads);
    say(&format!("single faults at every position, and ordered pairs: {}", report.summary()));
    tell_violations(&report);
    if let Some((number, _)) = report.violations.first() {
        let number = usize::try_from(*number).unwrap_or(usize::MAX);
        say(&cases.get(number).map(|case| case.show(number)).unwrap_or_default());
    }
    report.violations.is_empty()
}

fn random(order: corpus::Order) -> bool {
    let report = corpus::run(&order);
    say(&report.to_string());
    tell_violations(&report);
    if let Some((seed, _)) = report.violations.first() {
        say(&corpus::show(*seed, 0));
        return false;
    }
    let missing = report.missing();
    if !missing.is_empty() {
        say(&format!("never happened, so nothing is proved about it: {missing:?}"));
    }
    missing.is_empty() && sings(order)
}

/// The bug that must be found in about one seed of a hundred is found as often.
fn sings(order: corpus::Order) -> bool {
    let sung = corpus::run(&corpus::Order {
        schedules: (order.schedules / 20).clamp(1_000, 10_000),
        canary: canary::OFTEN,
        violations_most: u64::MAX,
        ..order
    });
    say(&format!("canary: found in {} of {} schedules", sung.violations.len(), sung.schedules));
    let well = corpus::canary_is_well(&sung);
    if !well {
        say(&format!("the canary must be found in {:?} of a thousand", canary::FAILS_PER_MILLE));
    }
    well
}

fn tell_violations(report: &corpus::Report) {
    for (number, breach) in &report.violations {
        say(&format!("{number}: {breach}"));
    }
}

/// A reader that is gone does not want the text.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
