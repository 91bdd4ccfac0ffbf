//! A daemon from its flags to its exit code: the same for both roles.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::decision::Role;
use crate::driver::{self, Settings};
use crate::{guardian, telemetry};

/// How many threads may ask the kernel at once what it may never answer.
const ASKING_THREADS_MAX: usize = 32;
/// How long the end waits for them. A thread that hangs on a dead mount must not hold it up.
const END_LIMIT: Duration = Duration::from_millis(200);

/// Turns this process into the daemon's guardian, which then starts the daemon. Returns only if that fails.
#[must_use]
pub fn start_under_guardian(role: Role, run_dir: &Path, log_json: bool) -> ExitCode {
    let Err(error) = guardian::start_under(role, run_dir, log_json);
    telemetry::start(log_json);
    tracing::error!(%error, "the daemon did not start: its guardian cannot be had");
    ExitCode::from(guardian::EXIT_SYSTEM)
}

/// Runs the daemon until a signal ends it. The code tells the guardian whether another try can help.
#[must_use]
pub fn run(settings: Settings, log_json: bool) -> ExitCode {
    telemetry::start(log_json);
    // One thread runs everything: the loop must never wait for another of its own.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = match builder.enable_all().max_blocking_threads(ASKING_THREADS_MAX).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the daemon did not start: the system gives no runtime");
            return ExitCode::from(guardian::EXIT_SYSTEM);
        }
    };
    let ended = runtime.block_on(driver::run(settings));
    runtime.shutdown_timeout(END_LIMIT);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the daemon did not start:\n{}", telemetry::chain(&error));
            if error.is_final() { ExitCode::from(guardian::EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}
