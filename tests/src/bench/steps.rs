//! What the script engine adds: one step against a bare fork and exec of the same shell, and a thousand steps in one list.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use failover_shared::config::Step;
use failover_shared::decision::{Epoch, Role};
use failover_shared::script::kind::Action;
use failover_shared::script::{
    Cancel, Direction, Environment, ListEnd, ListLock, ListRun, OnStepFailure, Operation, Position, StepEvent, Task,
    run_list,
};
use tokio::sync::mpsc;

use super::{Row, millis};

const BUDGET: Duration = Duration::from_millis(1);
const LONG_LIST: usize = 1_000;

/// Runs `count` steps of `true` and as many bare shells, in turn; then a list of a thousand steps.
///
/// # Errors
/// When a step fails.
pub fn rows(folder: &Path, count: u32) -> Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut steps, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..count {
            bare.push(shell().await?);
            steps.push(list(folder, 1).await?);
        }
        bare.sort_unstable();
        let middle = bare.get(bare.len() / 2).copied().unwrap_or_default();
        let over = steps.iter().map(|step| step.saturating_sub(middle)).collect();
        let note = format!("over a bare `sh -c true` of {}; the journal's write apart", millis(middle));
        let mut rows = vec![
            Row::of("a script step, over a bare fork and exec", Some(BUDGET), over, &note),
            Row::of("a bare fork and exec of the shell", None, bare, ""),
        ];
        rows.extend(long_list(folder).await?);
        Ok(rows)
    })
}

/// Time of the list against as many bare shells, and the memory that it takes at most.
async fn long_list(folder: &Path) -> Result<[Row; 2]> {
    // Half of them before the list and half behind it: a machine is not equally busy all the time.
    let mut bare = shells(LONG_LIST / 2).await?;
    // proc(5), clear_refs: 5 sets the peak back to what is held now.
    fs::write("/proc/self/clear_refs", "5").context("set the peak of memory back")?;
    let before = peak_kib()?;
    let took = list(folder, LONG_LIST).await?;
    let grown = peak_kib()?.saturating_sub(before);
    bare += shells(LONG_LIST / 2).await?;
    let over = took.saturating_sub(bare) / u32::try_from(LONG_LIST)?;
    let note = format!(
        "{} a step; {:.3} s for as many bare shells; the journal's writes apart",
        millis(over),
        bare.as_secs_f64()
    );
    Ok([
        Row::value(
            &format!("{LONG_LIST} steps in one list: time"),
            &format!("1 ms a step over bare {:.3} s", bare.as_secs_f64()),
            format!("{:.3} s", took.as_secs_f64()),
            Some(over <= BUDGET),
            note,
        ),
        Row::value(
            &format!("{LONG_LIST} steps in one list: memory"),
            "-",
            format!("{:.2} MiB", grown as f64 / 1024.0),
            None,
            "by which the peak grew, the list itself in it".into(),
        ),
    ])
}

async fn shells(count: usize) -> Result<Duration> {
    let mut took = Duration::ZERO;
    for _ in 0..count {
        took += shell().await?;
    }
    Ok(took)
}

async fn shell() -> Result<Duration> {
    let begun = Instant::now();
    let status = tokio::process::Command::new("/bin/sh").args(["-c", "true"]).status().await?;
    ensure!(status.success(), "the shell ended with {status}");
    Ok(begun.elapsed())
}

/// A list of so many steps, one after the other, with a journal that takes no time.
async fn list(folder: &Path, steps: usize) -> Result<Duration> {
    let (events, mut told) = mpsc::channel(8);
    let journal = tokio::spawn(async move {
        while let Some(event) = told.recv().await {
            if let StepEvent::Before { gate, .. } | StepEvent::After { gate, .. } = event {
                gate.open();
            }
        }
    });
    let step = Step { command: "true".into(), timeout: Duration::from_secs(10) };
    let run = ListRun {
        stages: vec![vec![Task::line(Action::Start, &step)]; steps],
        position: Position::first(),
        resumed: false,
        direction: Direction::Start,
        on_step_failure: OnStepFailure::EndList,
        environment: Environment {
            epoch: Epoch(1),
            role: Role::Slave,
            operation: Operation::Takeover,
            host: "cfg2".into(),
            peer: "cfg1".into(),
            config_file: "/etc/failover/failover.ron".into(),
            config_digest: 0,
            reason: "bench".into(),
            extra: BTreeMap::new(),
        },
        directory: folder.to_path_buf(),
        log_file: folder.join("bench.log"),
        kill_after: Duration::from_secs(1),
        cgroup: None,
        lock: ListLock::default(),
        events,
    };
    let begun = Instant::now();
    let outcome = run_list(run, Cancel::never()).await;
    let took = begun.elapsed();
    journal.await?;
    ensure!(outcome.end == ListEnd::Completed, "a step failed: {outcome:?}");
    ensure!(outcome.ended.len() == steps, "{} of {steps} steps ran", outcome.ended.len());
    Ok(took)
}

/// The most that this process held since the peak was set back.
fn peak_kib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
