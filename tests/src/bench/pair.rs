//! A whole pair on loopback, as in the demo: times of its moves, read from both hosts' journals.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;

use super::Row;
use crate::demo::{Loopback, MASTER, Place, SLAVE, Stage};
use crate::wait::{wait_for, wait_until};

const LIMIT: Duration = Duration::from_secs(30);

/// Plays `count` moves: the service dies, is taken over, and comes back by command.
///
/// # Errors
/// When the pair does not do it.
pub fn moves(folder: &Path, count: u32) -> Result<Vec<Row>> {
    let stage = Loopback::set(folder)?;
    stage.start()?;
    wait_state(&stage, MASTER, "Active")?;
    wait_until("readiness", LIMIT, || Ok(here(&stage, SLAVE)?["readiness_age_ms"].is_u64()))?;
    let mut spans = Spans::default();
    for _ in 0..count {
        stage.kill_service(MASTER)?;
        wait_state(&stage, SLAVE, "Active")?;
        wait_state(&stage, MASTER, "Standby")?;
        spans.add(&stage)?;
        operator(&stage, SLAVE, &["takeback", "--reason", "bench"])?;
        wait_state(&stage, MASTER, "Active")?;
        wait_state(&stage, SLAVE, "Standby")?;
        operator(&stage, MASTER, &["ack"])?;
    }
    let suspected = suspicion(&stage)?;
    let Spans { to_stop, to_start, whole, balancer } = spans;
    let mut rows = vec![
        Row::of(
            "verdict → demand → the first stop step begins",
            Some(Duration::from_millis(5)),
            to_stop,
            "the write: the demand",
        )
        .with_writes(1),
        Row::of(
            "acknowledged → the first start step begins",
            Some(Duration::from_millis(5)),
            to_start,
            "the write: the claim",
        )
        .with_writes(1),
        Row::of(
            "verdict → active on the other host",
            None,
            whole,
            "with the demo's scripts, checks and every durable write",
        ),
    ];
    let note = "the demo's balancer, which speaks HAProxy's runtime socket; whole milliseconds";
    rows.push(Row::of("balancer switch and read-back, in a move", None, balancer, note));
    rows.push(suspected);
    Ok(rows)
}

#[derive(Default)]
struct Spans {
    to_stop: Vec<Duration>,
    to_start: Vec<Duration>,
    whole: Vec<Duration>,
    balancer: Vec<Duration>,
}

impl Spans {
    /// The newest move from master to slave, from both journals: their clocks are one here.
    fn add(&mut self, stage: &Loopback) -> Result<()> {
        let answer = stage.operator(SLAVE, &["history", "--json", "--count", "80"], LIMIT)?;
        let entries: Vec<Value> = answer.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let newest = |host: &str, text: &str| {
            let fits = |entry: &&Value| {
                entry["host"] == host && entry["text"].as_str().is_some_and(|found| found.starts_with(text))
            };
            let entry = entries.iter().rev().find(fits).with_context(|| format!("{host} never noted {text:?}"))?;
            let utc: Timestamp = entry["utc"].as_str().context("an entry without a time")?.parse()?;
            anyhow::Ok(utc)
        };
        // Both hosts watch; whichever verdict was first led to the demand.
        let by_itself = newest("cfg2", "The active host says that its own service failed");
        let by_checks = newest("cfg2", "The checks of the active host");
        let verdict = match (by_itself, by_checks) {
            (Ok(one), Ok(other)) => one.max(other),
            (found, other) => found.or(other)?,
        };
        let begins = entries.iter().rev().filter(|entry| entry["host"] == "cfg1");
        let begins = begins.filter(|entry| entry["text"].as_str().is_some_and(|text| text.ends_with("begins")));
        let first = begins.filter_map(|entry| entry["utc"].as_str()?.parse::<Timestamp>().ok());
        let first = first.filter(|utc| *utc >= verdict).min().context("no stop step behind the verdict")?;
        let acked = newest("cfg2", "The peer acknowledged")?;
        let starts = entries.iter().filter(|entry| entry["host"] == "cfg2");
        let starts = starts.filter(|entry| {
            entry["text"].as_str().is_some_and(|text| text.starts_with("start step 1/") && text.ends_with("begins"))
        });
        let starts = starts.filter_map(|entry| entry["utc"].as_str()?.parse::<Timestamp>().ok());
        let started = starts.filter(|utc| *utc >= acked).min().context("no start step behind the acknowledgement")?;
        let active = newest("cfg2", "Starting -> Active")?;
        let span = |from: Timestamp, to: Timestamp| Duration::try_from(to.duration_since(from)).unwrap_or_default();
        self.to_stop.push(span(verdict, first));
        self.to_start.push(span(acked, started));
        self.whole.push(span(verdict, active));
        // The slowest of the switches of this and earlier moves that are still in view.
        let took = entries.iter().filter(|entry| entry["kind"] == "balancer" && entry["host"] == "cfg2");
        let took = took.filter_map(|entry| entry["fields"]["took_ms"].as_u64()).map(Duration::from_millis);
        self.balancer.extend(took.max());
        Ok(())
    }
}

/// Silences the master at the end of it all; the slave's own note says how old the last beat was when it was suspected.
fn suspicion(stage: &Loopback) -> Result<Row> {
    stage.silence(MASTER)?;
    let note = wait_for("the suspicion", LIMIT, || {
        let answer = stage.operator(SLAVE, &["history", "--json", "--count", "40"], LIMIT)?;
        let entries: Vec<Value> = answer.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(entries.into_iter().rev().find(|entry| entry["fields"]["rule"] == "PeerSilent" && entry["host"] == "cfg2"))
    })?;
    let evidence = note["fields"]["evidence"].to_string();
    let age =
        evidence.split("heard ").nth(1).and_then(|rest| rest.split(" ago").next()).unwrap_or_default().to_string();
    let met = age.strip_suffix(" ms").and_then(|age| age.trim().parse::<u64>().ok()).map(|age| age <= 555);
    Ok(Row::value(
        "silent host: age of its last beat when it is suspected",
        "η + δ + 5 ms = 555 ms",
        age,
        met,
        "η 50 ms, δ 500 ms".into(),
    ))
}

fn here(stage: &Loopback, at: Place) -> Result<Value> {
    let answer = stage.operator(at, &["status", "--json"], LIMIT)?;
    let value: Value = serde_json::from_str(&answer.stdout).context("no status")?;
    Ok(value["here"].clone())
}

fn wait_state(stage: &Loopback, at: Place, state: &str) -> Result<()> {
    wait_for(&format!("state {state}"), LIMIT, || Ok((here(stage, at)?["state"] == state).then_some(())))
}

fn operator(stage: &Loopback, at: Place, arguments: &[&str]) -> Result<()> {
    let answer = stage.operator(at, arguments, LIMIT)?;
    ensure!(matches!(answer.code, Some(0 | 1)), "{arguments:?}: {}{}", answer.stdout, answer.stderr);
    Ok(())
}
