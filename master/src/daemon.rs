//! Which parts the master wires up: it prefers to run the service.

use std::process::ExitCode;

use failover_shared::decision::Role;
use failover_shared::driver::{self, Settings};
use failover_shared::{guardian, telemetry};

use crate::Flags;

/// Runs the daemon until a signal ends it.
pub(crate) fn run(flags: Flags) -> ExitCode {
    telemetry::start(flags.log_json);
    let Flags { config, state_dir, run_dir, log_dir, host, .. } = flags;
    let settings = Settings { role: Role::Master, config, state_dir, run_dir, log_dir, host };
    // One thread runs everything: the loop must never wait for another of its own.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(32).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the daemon did not start: the system gives no runtime");
            return ExitCode::from(guardian::EXIT_SYSTEM);
        }
    };
    let ended = runtime.block_on(driver::run(settings));
    // A thread that hangs on a dead mount must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the daemon did not start:\n{}", telemetry::chain(&error));
            if error.is_final() { ExitCode::from(guardian::EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}
