//! `model`: tries every order of events of a pair within bounds (scripts/model.sh).
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use failover_simulator::model::{Begin, Bounds, Checked, Drift, Fault, Kind, check};

/// Bounds of one check.
#[derive(Debug, Parser)]
struct Arguments {
    /// How the arbiter is kept.
    #[arg(long, value_enum, default_value = "storage")]
    arbiter: KindName,
    /// End when so many were generated; all within the bounds if it is not given.
    #[arg(long)]
    states: Option<usize>,
    /// Seconds at most.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Steps of time.
    #[arg(long, default_value_t = 14)]
    steps: u64,
    /// Faults in one run.
    #[arg(long, default_value_t = 2)]
    faults: u8,
    /// Only these faults, by name.
    #[arg(long, value_delimiter = ',')]
    may: Vec<String>,
    /// Begin with two hosts that have just booted, instead of with a master that runs the service.
    #[arg(long)]
    fresh: bool,
    /// Let the clocks differ by more than the configuration says: two writers must be found.
    #[arg(long)]
    beyond_rho: bool,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindName {
    Storage,
    Compare,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let known = |name: &String| {
        let found = Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == *name);
        found.ok_or_else(|| anyhow::anyhow!("no fault is called {name}; there are {:?}", Fault::ALL))
    };
    let may = arguments.may.iter().map(known).collect::<Result<Vec<Fault>, _>>()?;
    let bounds = Bounds {
        kind: match arguments.arbiter {
            KindName::Storage => Kind::Storage,
            KindName::Compare => Kind::Compare,
        },
        steps: arguments.steps,
        faults: arguments.faults,
        may: if may.is_empty() { Fault::ALL.to_vec() } else { may },
        begins: vec![if arguments.fresh { Begin::Fresh } else { Begin::Running }],
        drifts: if arguments.beyond_rho { vec![Drift::BeyondRho] } else { Bounds::DRIFTS.to_vec() },
    };
    println!("{bounds:?}");
    let checked = check(bounds, arguments.states, Duration::from_secs(arguments.seconds), arguments.threads);
    tell(&checked);
    Ok(if checked.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(checked: &Checked) {
    let seconds = checked.took.as_secs_f64();
    println!(
        "{} states ({} generated), depth {}, {seconds:.1} s, {:.0} states/s, {}",
        checked.unique,
        checked.generated,
        checked.depth,
        checked.unique as f64 / seconds.max(0.001),
        if checked.is_complete { "all within the bounds" } else { "not all within the bounds" },
    );
    for (name, happened) in &checked.happened {
        println!("{}: {name}", if *happened { "happens" } else { "not seen" });
    }
    for (name, way) in &checked.broken {
        println!("BROKEN: {name}\n{}", way.join("\n"));
    }
}
