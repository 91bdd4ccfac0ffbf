//! Which parts the slave wires up: it prefers to stand by, and watches the other host as a reader would.

use std::process::ExitCode;

use failover_shared::daemon;
use failover_shared::decision::Role;
use failover_shared::driver::Settings;

use crate::Flags;

/// Runs the daemon until a signal ends it.
pub(crate) fn run(flags: Flags) -> ExitCode {
    let Flags { config, state_dir, run_dir, log_dir, host, log_json, .. } = flags;
    daemon::run(Settings { role: Role::Slave, config, state_dir, run_dir, log_dir, host }, log_json)
}
