//! The budgets that the program itself may add, measured in one run and printed as a table. Nothing is asserted: a
//! measured time says what this machine did today.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use failover_tests::bench::{Row, core, death, disk, haproxy, idle, mail, pair, steps, suspicion};

/// Measures the rows of one subject.
type Subject<'a> = &'a dyn Fn() -> Result<Vec<Row>>;

/// How much is measured.
struct Amount {
    moves: u32,
    steps: u32,
    deaths: u32,
    dialogues: u32,
    suspicions: Duration,
    idle: Duration,
}

const QUICK: Amount = Amount {
    moves: 6,
    steps: 50,
    deaths: 6,
    dialogues: 500,
    suspicions: Duration::from_secs(20),
    idle: Duration::from_secs(20),
};
const USUAL: Amount = Amount { moves: 30, steps: 300, deaths: 20, dialogues: 5_000, ..QUICK };
/// The budget of false suspicions is one for ten minutes.
const LONG: Amount = Amount { suspicions: Duration::from_secs(600), idle: Duration::from_secs(60), ..USUAL };

/// Measures the budgets of docs/benchmarks.md and prints them as a table.
#[derive(Parser)]
struct Flags {
    /// Fewer values of each.
    #[arg(long, conflicts_with = "long")]
    quick: bool,
    /// Watches for false suspicions for ten minutes.
    #[arg(long)]
    long: bool,
    /// Measures one subject only.
    rows: Option<String>,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let amount = match (flags.quick, flags.long) {
        (true, _) => QUICK,
        (_, true) => LONG,
        _ => USUAL,
    };
    match run(&amount, flags.rows.as_deref()) {
        Ok(table) => {
            // A reader that is gone does not want the table.
            let _ = std::io::stdout().write_all(table.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(amount: &Amount, only: Option<&str>) -> Result<String> {
    failover_tests::demo::cleanup::adopt_orphans()?;
    let folder = tempfile::Builder::new().prefix("failover-bench-").tempdir().context("make a temporary folder")?;
    let place = folder.path();
    let subjects: [(&str, Subject<'_>); 8] = [
        ("core", &|| Ok(vec![core::step()?])),
        ("steps", &|| steps::rows(place, amount.steps)),
        ("moves", &|| pair::moves(place, amount.moves)),
        ("haproxy", &|| Ok(vec![haproxy::switch(place, 2 * amount.moves)?])),
        ("mail", &|| Ok(vec![mail::dialogues(place, amount.dialogues)?])),
        ("death", &|| death::rows(amount.deaths)),
        ("idle", &|| idle::rows(amount.idle)),
        ("suspicion", &|| suspicion::rows(amount.suspicions)),
    ];
    ensure!(
        only.is_none_or(|only| subjects.iter().any(|(name, _)| *name == only)),
        "no such rows; there are: {}",
        subjects.map(|(name, _)| name).join(", ")
    );
    let load_before = load()?;
    let durable = disk::durable_write(place)?;
    let write = durable.median.clone();
    let mut rows = vec![durable];
    for (name, measure) in subjects {
        if only.is_none_or(|only| only == name) {
            // Whatever a subject left running would be in the next one's figures.
            let measured = measure();
            failover_tests::demo::cleanup::end_descendants()?;
            rows.extend(measured.with_context(|| format!("measure {name}"))?);
        }
    }
    let cores = std::thread::available_parallelism()?;
    let machine = format!("{cores} cores; load of the last minute: {load_before} before, {} behind", load()?);
    Ok(format!("{}\n{machine}\n", table(&rows, &write)?))
}

/// How busy the machine was, this program included (proc_loadavg(5)).
fn load() -> Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().context("no load")?.into())
}

fn table(rows: &[Row], write: &str) -> Result<String> {
    let mut text =
        String::from("| what | budget | median | worst (99 %) | n | verdict | durable writes in it | note |\n");
    text += "|---|---|---|---|---|---|---|---|\n";
    for row in rows {
        let Row { what, budget, median, worst, count, verdict, writes, note } = row;
        let writes = if *writes == 0 { "none".to_owned() } else { format!("{writes} × {write}") };
        writeln!(text, "| {what} | {budget} | {median} | {worst} | {count} | {verdict} | {writes} | {note} |")?;
    }
    Ok(text)
}
