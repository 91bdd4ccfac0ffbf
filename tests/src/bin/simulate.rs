//! Runs simulated schedules of a pair: see `scripts/simulate.sh --help`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use failover_tests::simulator::{canary, corpus};

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
    /// Threads; all cores if not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Stops after this many violations.
    #[arg(long, default_value_t = 5)]
    violations: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut text = String::new();
    let well = match arguments.replay {
        Some(seed) => {
            text = corpus::show(seed, 0);
            text.push('\n');
            !text.contains("BROKEN")
        }
        None => random(&arguments, &mut text),
    };
    // A reader that is gone does not want the text.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn random(arguments: &Arguments, text: &mut String) -> bool {
    let threads = arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let order = corpus::Order {
        schedules: arguments.schedules,
        first_seed: arguments.seed,
        threads,
        canary: 0,
        violations_most: arguments.violations,
    };
    let report = corpus::run(&order);
    let _ = writeln!(text, "{report}");
    for (seed, breach) in &report.violations {
        let _ = writeln!(text, "seed {seed}: {breach}");
    }
    if let Some((seed, _)) = report.violations.first() {
        let _ = writeln!(text, "\n{}", corpus::show(*seed, 0));
        return false;
    }
    let missing = report.missing();
    if !missing.is_empty() {
        let _ = writeln!(text, "never happened, so nothing is proved about it: {missing:?}");
    }
    let sung = corpus::run(&corpus::Order {
        schedules: (order.schedules / 20).clamp(1_000, 10_000),
        canary: canary::OFTEN,
        violations_most: u64::MAX,
        ..order
    });
    let found = sung.violations.len() as u64;
    let _ = writeln!(text, "canary: found in {found} of {} schedules", sung.schedules);
    let well = corpus::canary_is_well(&sung);
    if !well {
        let _ = writeln!(text, "the canary must be found in {:?} of a thousand", canary::FAILS_PER_MILLE);
    }
    missing.is_empty() && well
}
