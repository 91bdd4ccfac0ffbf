//! The demo's driver: sets the stage, plays the acts, and leaves nothing behind, however it ends.
//!
//! The acts are played in a thread; this one waits for their end or for a signal, then ends every process that is left.
//! Exit 0: every step was seen. 1: one was not. 130: called off by a signal.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use failover_tests::demo::{Loopback, Real, Stage, Timeline, cleanup, play};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// A whole pair in two acts: the service dies, and the master falls silent
#[derive(Parser)]
struct Arguments {
    /// With Dovecot and HAProxy from packages, in namespaces; needs root
    #[arg(long)]
    real: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    cleanup::adopt_orphans()?;
    let folder = tempfile::Builder::new().prefix("failover-demo-").tempdir().context("make a temporary folder")?;
    let called_off = Arc::new(AtomicBool::new(false));
    let (place, real, flag) = (folder.path().to_owned(), arguments.real, Arc::clone(&called_off));
    let (tell, mut told) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let outcome = perform(&place, real, &flag);
        // Nobody listens any more after a signal.
        let _ = tell.send(());
        outcome
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let interrupted = runtime.block_on(async {
        let (mut interrupt, mut terminate, mut hang_up) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        tokio::select! {
            _ = &mut told => anyhow::Ok(false),
            _ = interrupt.recv() => Ok(true),
            _ = terminate.recv() => Ok(true),
            _ = hang_up.recv() => Ok(true),
        }
    })?;
    called_off.store(true, Ordering::Relaxed);
    // Everything that the acts might wait for ends now, so that they end as well; then what they left.
    cleanup::end_descendants()?;
    let outcome = thread.join().map_err(|_| anyhow!("the demo's own thread panicked"))?;
    cleanup::end_descendants()?;
    folder.close().context("remove the temporary folder")?;
    if interrupted {
        return Ok(ExitCode::from(130));
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

fn perform(folder: &std::path::Path, real: bool, called_off: &Arc<AtomicBool>) -> Result<()> {
    let timeline = Timeline::begin(Arc::clone(called_off));
    let stage: Arc<dyn Stage> = if real { Arc::new(Real::set(folder)?) } else { Arc::new(Loopback::set(folder)?) };
    let outcome = play(&stage, &timeline);
    if outcome.is_err() && !timeline.is_called_off() {
        timeline.heading("A step was not seen. The ends of the logs:");
        timeline.print(&stage.logs());
    }
    outcome
}
