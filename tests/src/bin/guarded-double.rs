//! A daemon that does nothing but hold a lease, for the tests of its guardian: `guarded-double FOLDER`.
//!
//! It holds epoch 1 from its first start on, renews it ten times a second, and writes its number into `FOLDER/daemons` at
//! each start and what it remembered into `FOLDER/remembered`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use failover_shared::decision::{Epoch, Millis, Role};
use failover_shared::guardian::{
    ENVIRONMENT_GUARDIAN, Guard, Guarded, Holding, Lease, Moment, News, Plan, Reset, Spans, start_under,
};
use failover_shared::host;

/// Longer than any test: the lease of a double never runs out while the double lives.
const SPANS: Spans = Spans {
    stop_after_ms: Millis(60_000),
    scripts_ms: Millis(60_000),
    kill_ms: Millis(60_000),
    watchdog_ms: Millis(10_000),
};

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("usage: guarded-double FOLDER")?);
    if std::env::var_os(ENVIRONMENT_GUARDIAN).is_none() {
        match start_under(Role::Master, &folder, false)? {}
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(hold(&folder))
}

async fn hold(folder: &Path) -> Result<()> {
    let reset = Reset::Trigger(folder.join("reset"));
    let plan =
        Plan { guard: Guard::GuardianOnly, cgroups: vec![], processes: vec![], mounts: vec![], unseen: vec![], reset };
    let mut guarded = Guarded::start(folder, Role::Master, host::boot_id()?, &plan)?;
    let remembered = guarded.page().remembered().map_or(0, |lease| lease.epoch.0);
    note(folder, "remembered", u64::from(remembered == 1))?;
    note(folder, "daemons", u64::from(std::process::id()))?;
    loop {
        guarded.publish(Lease { holding: Holding::Held, epoch: Epoch(1), since: Moment::now(), spans: SPANS })?;
        guarded.turn(Moment::now())?;
        tokio::select! {
            news = guarded.news() => if news == News::Gone {
                return Err(guarded.replace_guardian().into());
            },
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
}

fn note(folder: &Path, name: &str, number: u64) -> Result<()> {
    let mut file = std::fs::File::options().create(true).append(true).open(folder.join(name))?;
    Ok(file.write_all(format!("{number}\n").as_bytes())?)
}
