//! What a pair costs an etcd, measured against one of its own on this machine and printed. Nothing is asserted.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use failover_shared::arbiter::etcd::Etcd;
use failover_shared::decision::{ArbiterReply, ArbiterRequest, Epoch, Role};
use failover_tests::bench::Row;
use failover_tests::etcd::{Cluster, ask};

/// Measures what a pair costs an etcd on this machine.
#[derive(Debug, Parser)]
struct Flags {
    /// Members of the etcd that is started.
    #[arg(long, default_value_t = 1)]
    members: usize,
    /// Pairs that renew at the same time, as fast as they can.
    #[arg(long, default_value_t = 200)]
    pairs: usize,
    /// How long they do.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(&flags)));
    match done {
        Ok(table) => {
            // A reader that is gone does not want the table.
            let _ = std::io::stdout().write_all(table.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "bench-etcd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: &Flags) -> Result<String> {
    let cluster = Cluster::start_on_disk(flags.members)?.context("install etcd-server and etcd-client first")?;
    let mut text = String::new();
    for row in alone(&cluster).await? {
        writeln!(text, "{}: median {}, 99 % {} (n {})", row.what, row.median, row.worst, row.count)?;
    }
    let idle = Cost::of(&cluster)?;
    let holders = holders(&cluster, flags.pairs).await?;
    let before = Cost::of(&cluster)?;
    let begin = Instant::now();
    let renewals = together(holders, Duration::from_secs(flags.seconds)).await?;
    let (spent, after) = (begin.elapsed(), Cost::of(&cluster)?);
    let each = |total: u64| total as f64 / renewals as f64;
    writeln!(
        text,
        "{} pairs at once, {} member(s): {:.0} renewals a second; each {:.0} µs of the members' CPU, {:.0} bytes to etcd, \
         {:.0} bytes of history, {:.2} fsyncs",
        flags.pairs,
        flags.members,
        renewals as f64 / spent.as_secs_f64(),
        each(after.cpu_us - before.cpu_us),
        each(after.received_bytes - before.received_bytes),
        each(after.database_bytes.saturating_sub(before.database_bytes)),
        each(after.fsyncs - before.fsyncs),
    )?;
    let memory = before.resident_bytes.saturating_sub(idle.resident_bytes) / flags.pairs.max(1) as u64;
    writeln!(text, "a connection: {memory} bytes of the members' memory")?;
    writeln!(text, "this client: {} kB PSS with {} connections", own_pss_kb()?, flags.pairs + 2)?;
    Ok(text)
}

/// One host that has etcd to itself.
async fn alone(cluster: &Cluster) -> Result<[Row; 2]> {
    const COUNT: usize = 1_000;
    let (mut holder, mut contender) = (ask::host(cluster, Role::Master)?, ask::host(cluster, Role::Slave)?);
    ask::claim_now(&mut holder, 1).await?;
    let (mut renewals, mut readings) = (Vec::with_capacity(COUNT), Vec::with_capacity(COUNT));
    for _ in 0..COUNT {
        let begin = Instant::now();
        ask::renew_now(&mut holder, 1).await?;
        renewals.push(begin.elapsed());
        let begin = Instant::now();
        ask::observe(&mut contender).await?;
        readings.push(begin.elapsed());
    }
    Ok([Row::of("a renewal", None, renewals, ""), Row::of("a reading", None, readings, "")])
}

/// Holders, each of a pair of its own.
async fn holders(cluster: &Cluster, pairs: usize) -> Result<Vec<Etcd>> {
    let mut holders = Vec::with_capacity(pairs);
    for number in 0..pairs {
        let name = format!("pair-{number}");
        let mut holder = Etcd::new(&ask::settings(cluster.endpoints()), &name, Role::Master, ask::boot(Role::Master))?;
        ask::claim_now(&mut holder, 1).await?;
        holders.push(holder);
    }
    Ok(holders)
}

/// All renew as fast as they can; how often they did in all.
async fn together(holders: Vec<Etcd>, span: Duration) -> Result<u64> {
    let end = Instant::now() + span;
    let tasks: Vec<_> = holders.into_iter().map(|holder| tokio::spawn(renew_until(holder, end))).collect();
    let mut renewals = 0;
    for task in tasks {
        renewals += task.await??;
    }
    ensure!(renewals > 0, "no renewal in {span:?}");
    Ok(renewals)
}

async fn renew_until(mut holder: Etcd, end: Instant) -> Result<u64> {
    let renewal = ArbiterRequest::Renew { epoch: Epoch(1), hold: false, terms: ask::TERMS };
    let mut count = 0;
    while Instant::now() < end {
        let reply = holder.ask(renewal.clone()).await;
        ensure!(reply == ArbiterReply::Renewed, "{reply:?}");
        count += 1;
    }
    Ok(count)
}

/// What the members have used up, by their own account; all of them together, but for the database, which each has whole.
struct Cost {
    cpu_us: u64,
    received_bytes: u64,
    resident_bytes: u64,
    database_bytes: u64,
    fsyncs: u64,
}

impl Cost {
    fn of(cluster: &Cluster) -> Result<Cost> {
        let metrics = cluster.metrics()?;
        let sum = |name: &str| -> Result<f64> {
            let of_one = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<f64>().ok();
            let values: Vec<_> = metrics.lines().filter_map(of_one).collect();
            ensure!(!values.is_empty(), "etcd does not tell its {name}");
            Ok(values.iter().sum())
        };
        let members = cluster.endpoints().len() as f64;
        Ok(Cost {
            cpu_us: (sum("process_cpu_seconds_total")? * 1e6) as u64,
            received_bytes: sum("etcd_network_client_grpc_received_bytes_total")? as u64,
            resident_bytes: sum("process_resident_memory_bytes")? as u64,
            database_bytes: (sum("etcd_mvcc_db_total_size_in_use_in_bytes")? / members) as u64,
            fsyncs: sum("etcd_disk_wal_fsync_duration_seconds_count")? as u64,
        })
    }
}

fn own_pss_kb() -> Result<u64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").context("read the own memory's size")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss in smaps_rollup")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
