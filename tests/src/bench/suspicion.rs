//! Suspicions of a healthy host: there must be none, whatever the network loses and however busy the hosts are.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use failover_shared::decision::Role;
use failover_shared::journal;

use super::{Row, no_lab};
use crate::pair::{LIMIT, Pair, Setup};
use crate::wait::wait_until;

/// Busy processes under stress: four times the two cores that the budget is meant for.
const BUSY: usize = 8;
const LOSS_PERCENT: u8 = 30;
/// Default timers, and short ones.
const TIMERS: [(&str, &str); 2] = [("200ms", "3s"), ("2ms", "28ms")];
const ROLES: [Role; 2] = [Role::Master, Role::Slave];
/// More entries than a run writes.
const ENTRIES_MAX: usize = 100_000;
/// So many suspicions are told with their evidence.
const SHOWN_MAX: usize = 8;

/// One pair for each of the timers, side by side for `span`: loss on all their paths in both directions, and stress.
///
/// # Errors
/// When a pair does not come up.
pub fn rows(span: Duration) -> Result<Vec<Row>> {
    if let Some(why) = no_lab() {
        return Ok(TIMERS.map(|timers| Row::not_run(&what(timers), "0", &why)).into());
    }
    let pairs = TIMERS.iter().map(|timers| begin(*timers)).collect::<Result<Vec<_>>>()?;
    let before = pairs.iter().map(Seen::of).collect::<Result<Vec<_>>>()?;
    let stress = Stress::begin()?;
    for host in pairs.iter().flat_map(|pair| pair.lab.pair()) {
        // What comes in at either host is what the other sent: both directions, on both paths.
        host.lose(LOSS_PERCENT)?;
    }
    std::thread::sleep(span);
    for host in pairs.iter().flat_map(|pair| pair.lab.pair()) {
        host.lose_nothing()?;
    }
    drop(stress);
    let mut rows = Vec::new();
    for ((timers, pair), before) in TIMERS.into_iter().zip(&pairs).zip(before) {
        let seen = Seen::of(pair)?.since(before);
        seen_when_true(pair)?;
        let Seen { suspicions, sent, heard } = seen;
        let share = heard as f64 / sent.max(1) as f64 * 100.0;
        let mut note = format!("{} s; of {sent} beats of both hosts {share:.0} % were heard", span.as_secs());
        // What was known when it was noted: how old the last beat was, for one.
        for evidence in suspicions.iter().take(SHOWN_MAX) {
            note = format!("{note}; {evidence}");
        }
        rows.push(Row::value(&what(timers), "0", suspicions.len().to_string(), Some(suspicions.is_empty()), note));
    }
    Ok(rows)
}

fn what((beat, suspect_after): (&str, &str)) -> String {
    format!("false suspicions: η {beat}, δ {suspect_after}, {LOSS_PERCENT} % random loss and {BUSY} busy processes")
}

fn begin((beat, suspect_after): (&'static str, &'static str)) -> Result<Pair> {
    // The checks lose their packets too. They are given time, so that no move ends the run: it is about beats.
    let checks = r#"Port(name: "pop3", port: 110, every: "10s", timeout: "9s", fails: 5, of: 5)"#;
    let setup = Setup { checks: Some(checks.into()), ..Setup::default() };
    let setup = setup.with_timing("beat", beat).with_timing("suspect_after", suspect_after);
    Pair::begin("bench", &setup)?.context("no lab")
}

/// What both hosts of a pair have counted.
struct Seen {
    /// Each time that either noted the other's silence.
    suspicions: Vec<String>,
    /// Beats that left.
    sent: u64,
    /// Beats that came, and told something.
    heard: u64,
}

impl Seen {
    fn of(pair: &Pair) -> Result<Seen> {
        let mut seen = Seen { suspicions: suspicions(pair)?, sent: 0, heard: 0 };
        for role in ROLES {
            let counters = pair.status(role)?.counters;
            let counter = |name: &str| counters.get(name).copied().with_context(|| format!("no counter {name}"));
            seen.sent += counter("beats.sent")?;
            seen.heard += counter("beats.fresh")?;
        }
        Ok(seen)
    }

    fn since(mut self, before: Seen) -> Seen {
        Seen {
            suspicions: self.suspicions.split_off(before.suspicions.len().min(self.suspicions.len())),
            sent: self.sent - before.sent,
            heard: self.heard - before.heard,
        }
    }
}

/// In the order in which they happened.
fn suspicions(pair: &Pair) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for role in ROLES {
        let path = pair.host(role).on_disk(&format!("/var/lib/failover/{role}.journal"));
        for entry in journal::tail(&path, ENTRIES_MAX)? {
            if entry.fields.get("rule").is_some_and(|rule| rule == "PeerSilent") {
                let evidence = entry.fields.get("evidence").map(ToString::to_string).unwrap_or_default();
                found.push((entry.uptime_ms, format!("{role}: {evidence}")));
            }
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, told)| told).collect())
}

/// A count of zero says something only where one can be counted: a host that is really silent.
fn seen_when_true(pair: &Pair) -> Result<()> {
    let before = suspicions(pair)?.len();
    pair.lab.cfg1.silence()?;
    wait_until("the suspicion of a silent host", LIMIT, || Ok(suspicions(pair)?.len() > before))
}

/// Processes that never rest. They end with this value.
struct Stress(Vec<Child>);

impl Stress {
    fn begin() -> Result<Stress> {
        let mut stress = Stress(Vec::new());
        for _ in 0..BUSY {
            let busy = Command::new("/bin/sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn()?;
            stress.0.push(busy);
        }
        Ok(stress)
    }
}

impl Drop for Stress {
    fn drop(&mut self) {
        for busy in &mut self.0 {
            // Ended already is what is wanted.
            let _ = busy.kill();
            let _ = busy.wait();
        }
    }
}
