//! `failoverctl script`: for authors of scripts. `new` writes a template, `list` shows what would be run, `test` runs one
//! step as the daemon would, twice.

mod guard;
mod list;
mod new;
mod template;
#[cfg(test)]
mod tests;
mod trial;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use failover_shared::config::{Loaded, load};
use failover_shared::decision::Role;

use crate::daemon::{Daemon, DaemonError};
use crate::exit::Exit;
use crate::out::Out;
use crate::role;

/// `script` and what of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a template of a kind, which passes `script test` as it is; nothing is ever overwritten
    New {
        /// Of which contract
        #[arg(value_parser = PossibleValuesParser::new(template::kinds()))]
        kind: String,
        /// Its file's name: letters, digits, `.`, `-`, `_`
        name: String,
        /// Where
        #[arg(long, value_name = "DIR", default_value = ".")]
        directory: PathBuf,
    },
    /// Every step of the configuration in its order, and what it lacks on this host
    List,
    /// Run one step twice, as the daemon would, and say whether it may be called twice, how long it took, what it left
    Test(trial::Arguments),
}

pub(crate) async fn run(
    config: &Path,
    role: Option<Role>,
    daemon: Result<Daemon, DaemonError>,
    arguments: &Arguments,
    out: &mut Out<'_>,
) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::New { kind, name, directory } => new::run(kind, name, directory, out),
        Command::List => list::run(&loaded(config)?, out),
        Command::Test(flags) => {
            let loaded = loaded(config)?;
            let here = role::here(&loaded.config, role, None)?;
            let role =
                here.context("this host is none of the pair; say whose scripts are meant: --role master|slave")?;
            trial::run(&loaded, role, daemon, flags, out).await
        }
    }
}

fn loaded(config: &Path) -> anyhow::Result<Loaded> {
    load(config).map_err(|problems| anyhow::anyhow!("{}", problems.render(false)))
}
