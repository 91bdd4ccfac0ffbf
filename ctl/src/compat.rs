//! `failoverctl compat`: what scripts of older systems expect to find. `install` lays it out; the other subcommands are
//! what the small wrappers there call.

mod cmgr;
mod install;
mod killall;
mod old_status;
mod pieces;
mod resource_types;
mod sgicm;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use failover_shared::config::load;
use failover_shared::decision::Role;
use failover_shared::host;
use failover_shared::script::kind::failsafe1::{Found, checksum, look_up};

use crate::daemon::Daemon;
use crate::exit::Exit;
use crate::out::Out;

/// `compat` and what of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lay out what scripts of FailSafe and Cluster Manager expect of their old system; no file is ever overwritten
    Install {
        /// Below which folder: / on a real host
        #[arg(long, value_name = "DIR")]
        root: PathBuf,
    },
    /// Answer a path of FailSafe 1's ha.conf from the configuration: ha_cfginfo
    #[command(hide = true)]
    Cfginfo {
        /// As named, named#1#server-node
        path: String,
    },
    /// The state of the pair in the words of Cluster Manager: clustat
    #[command(hide = true)]
    Clustat(Ignored),
    /// Sentences of FailSafe: cmgr, cluster_mgr
    #[command(hide = true)]
    Cmgr {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Print the checksum of the configuration's file as it is now: $CFG_SUM
    #[command(hide = true)]
    Cfgsum,
    /// Signal processes that were started by a command line: ha_exec2 -s SIGNAL -t NAME [ARGUMENT]…
    #[command(hide = true)]
    Exec2 {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// The state of the pair in the words of FailSafe: haStatus
    #[command(name = "hastatus", hide = true)]
    HaStatus(Ignored),
    /// killall as IRIS has it: [-v] [-k SECONDS] [-SIGNAL] NAME…
    #[command(hide = true)]
    Killall {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// sgicm-config-cluster-cmd --add_service: print the service as the configuration has it
    #[command(hide = true)]
    Sgicm {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// Options of old status commands: which cluster, how much of it. There is one, and it is short.
#[derive(Debug, clap::Args)]
struct Ignored {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _words: Vec<String>,
}

pub(crate) async fn run(
    config: &Path,
    run_dir: &Path,
    role: Option<Role>,
    arguments: &Arguments,
    out: &mut Out<'_>,
) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Install { root } => install::run(root, out),
        Command::Clustat(_) => old_status::clustat(&Daemon::find(run_dir, role)?, out).await,
        Command::Cmgr { words } => cmgr::run(cmgr::Place { config, run_dir, role }, words, out).await,
        Command::HaStatus(_) => old_status::ha_status(&Daemon::find(run_dir, role)?, out).await,
        Command::Sgicm { words } => sgicm::run(words, out),
        Command::Cfginfo { path } => cfginfo(config, path, out),
        Command::Cfgsum => cfgsum(config, out),
        Command::Exec2 { words } => killall::run_exec2(words).await,
        Command::Killall { words } => killall::run(words).await,
    }
}

/// Prints names or the value, one a line. Exit 1, which scripts ask for by number, whenever there is no answer.
fn cfginfo(config: &Path, path: &str, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let answered = load(config)
        .map_err(|problems| format!("the configuration is not usable: {}", problems.render(false)))
        .and_then(|loaded| {
            let own = host::name().map_err(|error| format!("this host's name is not known: {error}"))?;
            look_up(&loaded.config, &own, path)
                .ok_or_else(|| format!("{path:?} is not configured in {}", config.display()))
        });
    match answered {
        Ok(Found::Names(names)) => names.into_iter().try_for_each(|name| out.line(name))?,
        Ok(Found::Value(value)) => out.line(value)?,
        Err(why) => {
            // Whoever does not listen misses a line and nothing else.
            let _ = writeln!(std::io::stderr(), "ha_cfginfo: {why}");
            return Ok(Exit::Warning);
        }
    }
    Ok(Exit::Ok)
}

/// Never prints nothing: scripts compare with `[ $ARGUMENT != $CHKSUM ]`, and an empty word there is an error of the
/// shell that they take for "equal".
fn cfgsum(config: &Path, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    match load(config) {
        Ok(loaded) => {
            out.line(checksum(loaded.digest))?;
            Ok(Exit::Ok)
        }
        Err(problems) => {
            out.line("unreadable")?;
            bail!("ha_cfgsum: the configuration is not usable: {}", problems.render(false))
        }
    }
}
