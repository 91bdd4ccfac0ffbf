//! The budgets that the program itself may add, measured in one run and printed as a table. Nothing is asserted: a
//! measured time says what this machine did today.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use failover_tests::bench::{Row, core, disk, mail, pair, steps};

fn main() -> ExitCode {
    let quick = std::env::args().any(|word| word == "--quick");
    match run(quick) {
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

fn run(quick: bool) -> Result<String> {
    failover_tests::demo::cleanup::adopt_orphans()?;
    let folder = tempfile::Builder::new().prefix("failover-bench-").tempdir().context("make a temporary folder")?;
    let moves = if quick { 6 } else { 30 };
    let mut rows = vec![disk::durable_write(folder.path())?, core::step()?];
    rows.extend(steps::overhead(folder.path(), if quick { 50 } else { 300 })?);
    let measured = pair::moves(folder.path(), moves);
    failover_tests::demo::cleanup::end_descendants()?;
    rows.extend(measured?);
    rows.push(mail::dialogues(folder.path(), if quick { 500 } else { 5_000 })?);
    failover_tests::demo::cleanup::end_descendants()?;
    table(&rows)
}

fn table(rows: &[Row]) -> Result<String> {
    let mut text = String::from("| what | budget | median | 99 % | n | note |\n|---|---|---|---|---|---|\n");
    for row in rows {
        let Row { what, budget, median, p99, count, note } = row;
        writeln!(text, "| {what} | {budget} | {median} | {p99} | {count} | {note} |")?;
    }
    Ok(text)
}
