//! What a pair costs while nothing happens: default timers, 20 checks of a real Dovecot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use failover_shared::decision::Role;
use nix::unistd::Pid;

use super::{Row, no_lab};
use crate::lab::service::dovecot;
use crate::pair::{Pair, Setup};

const CHECKS: usize = 20;
const DAEMON_KIB_MAX: u64 = 8 * 1024;
const GUARDIAN_KIB_MAX: u64 = 2 * 1024;
const CORE_PERCENT_MAX: f64 = 0.2;

/// The two processes of a host, and what they had spent when the watch began.
struct Watched {
    duty: &'static str,
    daemon: Pid,
    guardian: Pid,
    daemon_spent: Duration,
    guardian_spent: Duration,
}

/// Watches both hosts for `span`.
///
/// # Errors
/// When the pair does not come up.
pub fn rows(span: Duration) -> Result<Vec<Row>> {
    if let Some(why) = no_lab() {
        return Ok(vec![
            Row::not_run("idle daemon, default timers, 20 checks", "8 MiB, 0.2 % of a core", &why),
            Row::not_run("idle guardian", "2 MiB", &why),
        ]);
    }
    let setup = Setup { timing: BTreeMap::new(), checks: Some(checks()), ..Setup::default() };
    let mut pair = Pair::begin("bench", &setup)?.context("no lab")?;
    // What coming up took is not idling.
    std::thread::sleep(Duration::from_secs(5));
    let mut watched = Vec::new();
    for (role, duty) in [(Role::Master, "active"), (Role::Slave, "standby")] {
        let (daemon, guardian) = (pair.daemon(role)?, pair.guardian(role)?.pid()?);
        watched.push(Watched {
            duty,
            daemon,
            guardian,
            daemon_spent: spent(daemon)?,
            guardian_spent: spent(guardian)?,
        });
    }
    std::thread::sleep(span);
    let mut rows = Vec::new();
    for one in watched {
        rows.extend(one.rows(span)?);
    }
    Ok(rows)
}

impl Watched {
    fn rows(&self, span: Duration) -> Result<[Row; 3]> {
        let Watched { duty, daemon, guardian, daemon_spent, guardian_spent } = self;
        let over = format!("over {} s", span.as_secs());
        let share = |now: Duration, before: Duration| (now - before).as_secs_f64() / span.as_secs_f64() * 100.0;
        let core = share(spent(*daemon)?, *daemon_spent);
        let guardian_core = share(spent(*guardian)?, *guardian_spent);
        let (memory, guardian_memory) = (Memory::of(*daemon)?, Memory::of(*guardian)?);
        let row = |what: String, budget: &str, value: String, met: bool, note: String| {
            Row::value(&what, budget, value, Some(met), note)
        };
        Ok([
            row(
                format!("idle daemon, {duty}, default timers, {CHECKS} checks: PSS"),
                "8 MiB",
                mebibytes(memory.pss_kib),
                memory.pss_kib <= DAEMON_KIB_MAX,
                memory.note(),
            ),
            row(
                format!("the same: of a core, {over}"),
                "0.2 %",
                format!("{core:.2} %"),
                core <= CORE_PERCENT_MAX,
                String::new(),
            ),
            row(
                format!("its guardian: PSS ({duty})"),
                "2 MiB",
                mebibytes(guardian_memory.pss_kib),
                guardian_memory.pss_kib <= GUARDIAN_KIB_MAX,
                format!("{}; {guardian_core:.2} % of a core {over}", guardian_memory.note()),
            ),
        ])
    }
}

fn checks() -> String {
    let (user, expect) = (dovecot::CANARY, dovecot::CANARY_TEXT);
    let mut checks = String::new();
    for number in 0..CHECKS / 2 {
        // Writing to a String cannot fail.
        let _ = write!(
            checks,
            "Pop3(name: \"pop3_{number}\", user: {user:?}, password_file: \"canary.pass\", expect: {expect:?}),\n        \
             Port(name: \"imap_{number}\", port: 143),\n        "
        );
    }
    checks
}

/// Processor time of all threads (proc(5), schedstat: nanoseconds; `stat` counts in hundredths of a second).
fn spent(pid: Pid) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        // A thread that has ended meanwhile is not counted.
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        nanoseconds += text.split_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// What a process holds. Both hosts of a lab share one machine, so a page of a library that both use counts half in the
/// one, and whole in the other.
struct Memory {
    pss_kib: u64,
    resident_kib: u64,
}

impl Memory {
    fn of(pid: Pid) -> Result<Memory> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let field = |name: &str| -> Result<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
        };
        Ok(Memory { pss_kib: field("Pss:")?, resident_kib: field("Rss:")? })
    }

    fn note(&self) -> String {
        format!("{} with shared pages counted whole", mebibytes(self.resident_kib))
    }
}

fn mebibytes(kib: u64) -> String {
    format!("{:.2} MiB", kib as f64 / 1024.0)
}
