//! The master's daemon of a failover pair: reads its flags, and runs under its guardian or as the daemon itself.

mod daemon;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use failover_shared::arbiter::shared_storage;
use failover_shared::decision::Role;
use failover_shared::guardian;

/// The master's daemon of a failover pair. The service it watches over is not touched when it ends.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// The configuration file.
    #[arg(long, default_value = "/etc/failover/failover.ron", env = "FAILOVER_CONFIG")]
    config: PathBuf,
    /// Folder for durable state, journal and waiting pages.
    #[arg(long, default_value = "/var/lib/failover")]
    state_dir: PathBuf,
    /// Folder for sockets and pid files.
    #[arg(long, default_value = "/run/failover", env = "FAILOVER_RUN_DIR")]
    run_dir: PathBuf,
    /// Folder for the scripts' output.
    #[arg(long, default_value = "/var/log/failover")]
    log_dir: PathBuf,
    /// This host's name in the configuration, if not the system's.
    #[arg(long)]
    host: Option<String>,
    /// Log as JSON lines.
    #[arg(long)]
    log_json: bool,
    /// Run without the guardian that starts a dead daemon again: under another supervisor, or to look for a fault.
    #[arg(long)]
    no_guardian: bool,
}

fn main() -> ExitCode {
    if shared_storage::is_child() {
        return shared_storage::serve();
    }
    let flags = Flags::parse();
    if flags.no_guardian || std::env::var_os(guardian::ENVIRONMENT_GUARDIAN).is_some() {
        return daemon::run(flags);
    }
    failover_shared::daemon::start_under_guardian(Role::Master, &flags.run_dir, flags.log_json)
}
