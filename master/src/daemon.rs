//! Which parts the master wires up: it prefers to run the service.

use std::process::ExitCode;

use failover_shared::daemon;
use failover_shared::decision::Role;
use failover_shared::driver::Settings;

use crate::Flags;

/// Runs the daemon until a signal ends it.
pub(crate) fn run(flags: Flags) -> ExitCode {
    let Flags { config, state_dir, run_dir, log_dir, host, log_json, .. } = flags;
    daemon::run(Settings { role: Role::Master, config, state_dir, run_dir, log_dir, host }, log_json)
}
