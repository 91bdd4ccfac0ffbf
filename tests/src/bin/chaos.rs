//! Random faults on a pair of real daemons: see `scripts/chaos.sh --help`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use failover_tests::chaos::configuration::Setup;
use failover_tests::chaos::fault::Keeper;
use failover_tests::chaos::report::{Outcome, Results, Summary};
use failover_tests::chaos::{Arena, run};

/// Lets random faults happen to a pair of real daemons in namespaces (needs root), and judges what its store shows.
///
/// Ends with 1 at the first violation, with what happened, and keeps both hosts' disks and logs.
#[derive(Parser)]
#[command(name = "chaos")]
struct Arguments {
    /// How many iterations the whole run has, those of a resumed file included.
    #[arg(long, default_value_t = 20)]
    iterations: u64,
    /// Decides every fault, its target and its times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What keeps the lease. For etcd the daemons must be built with it (--features etcd).
    #[arg(long, value_enum, default_value_t = Keeper::SharedStorage)]
    keeper: Keeper,
    /// Begins with this iteration: to see one again.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Goes on where the run in this file stopped, with its seed; appends to it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "from", "keeper", "results"])]
    resume: Option<PathBuf>,
    /// Where the iterations are written, one line of JSON each. Default: target/chaos/seed-SEED-from-FROM.jsonl
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
}

fn main() -> ExitCode {
    match carry_out(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing was violated.
fn carry_out(arguments: &Arguments) -> Result<bool> {
    ensure!(nix::unistd::geteuid().is_root(), "needs root, to make network and mount namespaces");
    let (mut results, mut outcomes) = match &arguments.resume {
        Some(file) => Results::resume(file)?,
        None => {
            let name = format!("target/chaos/seed-{}-from-{}.jsonl", arguments.seed, arguments.from);
            (Results::create(arguments.results.as_deref().unwrap_or(Path::new(&name)))?, Vec::new())
        }
    };
    let seed = outcomes.first().map_or(arguments.seed, |outcome: &Outcome| outcome.seed);
    let keeper = outcomes.first().map_or(arguments.keeper, |outcome| outcome.keeper);
    let from = outcomes.last().map_or(arguments.from, |outcome| outcome.iteration + 1);
    let end = outcomes.first().map_or(arguments.from, |outcome| outcome.iteration) + arguments.iterations;
    say(&format!(
        "seed {seed}, iterations {from} to {}, results in {}",
        end.saturating_sub(1),
        results.path().display()
    ));
    let mut arena =
        Arena::begin("chaos", Setup { keeper, ..Setup::default() })?.context("the lab cannot be made here")?;
    run::wait_serving(&mut arena, run::SERVES_WITHIN).with_context(|| run::story(&arena))?;
    for number in from..end {
        let outcome = run::iterate(&mut arena, seed, number)?;
        results.append(&outcome)?;
        say(&line(&outcome));
        let violated = !outcome.violations.is_empty();
        if violated {
            say(&outcome.timeline);
            let kept = keep(&arena, results.path(), &outcome)?;
            say(&format!("kept: {}", kept.display()));
        }
        outcomes.push(outcome);
        if violated {
            break;
        }
    }
    let summary = Summary::of(&outcomes);
    say(&summary.to_string());
    Ok(summary.violations.is_empty())
}

fn line(outcome: &Outcome) -> String {
    let faults: Vec<String> = outcome
        .faults
        .iter()
        .map(|one| {
            let refused = if one.refused.is_some() { " (could not happen)" } else { "" };
            format!("{} on the {} for {} ms{refused}", one.step.fault, one.role, one.step.for_ms)
        })
        .collect();
    let until = if outcome.until_moved { ", until moved" } else { "" };
    format!(
        "{:>4}: {}{until}; {} moves, outage {} ms, serves {} ms after, epoch {}{}",
        outcome.iteration,
        faults.join(" and "),
        outcome.moves,
        outcome.outage_ms,
        outcome.settled_ms,
        outcome.epoch,
        outcome.violations.iter().map(|what| format!("\n      VIOLATION: {what}")).collect::<String>()
    )
}

/// Puts all that a person needs beside the results: both hosts' disks, every output, the timeline, the store's turns.
fn keep(arena: &Arena, results: &Path, outcome: &Outcome) -> Result<PathBuf> {
    let name = format!("violation-seed-{}-iteration-{}", outcome.seed, outcome.iteration);
    let folder = results.parent().unwrap_or(Path::new(".")).join(name);
    std::fs::create_dir_all(&folder)?;
    let told = format!("{}\n{}\n{}", serde_json::to_string_pretty(outcome)?, outcome.timeline, run::story(arena));
    std::fs::write(folder.join("story.txt"), told)?;
    for host in arena.pair.lab.pair() {
        for from in [
            host.on_disk("/etc/failover"),
            host.on_disk("/var/lib/failover"),
            host.on_disk("/var/log"),
            host.output_folder(),
        ] {
            let to = folder.join(host.name());
            std::fs::create_dir_all(&to)?;
            let copied = Command::new("cp").arg("-a").arg(&from).arg(&to).output()?;
            ensure!(copied.status.success(), "cp: {}", String::from_utf8_lossy(&copied.stderr));
        }
    }
    Ok(folder)
}

/// A reader that is gone does not want it.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
