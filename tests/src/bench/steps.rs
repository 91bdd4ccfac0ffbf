//! A script step against a bare fork and exec of the same shell.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use failover_shared::config::Step;
use failover_shared::decision::{Epoch, Role};
use failover_shared::script::kind::Action;
use failover_shared::script::{
    Cancel, Direction, Environment, ListEnd, ListLock, ListRun, OnStepFailure, Operation, Position, StepEvent, Task,
    run_list,
};
use tokio::sync::mpsc;

use super::{Row, millis};

/// Runs `count` steps of `true` and as many bare shells, in turn.
///
/// # Errors
/// When a step fails.
pub fn overhead(folder: &Path, count: u32) -> Result<[Row; 2]> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut steps, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let begun = Instant::now();
            tokio::process::Command::new("/bin/sh").args(["-c", "true"]).status().await?;
            bare.push(begun.elapsed());
            steps.push(one(folder).await?);
        }
        bare.sort_unstable();
        let middle = bare.get(bare.len() / 2).copied().unwrap_or_default();
        let over: Vec<Duration> = steps.iter().map(|step| step.saturating_sub(middle)).collect();
        let note = format!("over a bare `sh -c true` of {}; the journal's write apart", millis(middle));
        Ok([
            Row::of("a script step, over a bare fork and exec", "1 ms", over, &note),
            Row::of("a bare fork and exec of the shell", "-", bare, ""),
        ])
    })
}

async fn one(folder: &Path) -> Result<Duration> {
    let (events, mut told) = mpsc::channel(8);
    let journal = tokio::spawn(async move {
        while let Some(event) = told.recv().await {
            if let StepEvent::Before { gate, .. } = event {
                gate.open();
            }
        }
    });
    let run = ListRun {
        stages: vec![vec![Task::line(
            Action::Start,
            &Step { command: "true".into(), timeout: Duration::from_secs(10) },
        )]],
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
    Ok(took)
}
