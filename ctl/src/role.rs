//! `failoverctl role`: which role this host has. The start scripts ask it.

use std::path::Path;

use failover_shared::config::{Config, load};
use failover_shared::decision::Role;
use failover_shared::host;

use crate::exit::Exit;
use crate::out::Out;

/// Flags of `role`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Another host name than this host's own
    #[arg(long)]
    host: Option<String>,
}

pub(crate) fn run(config: &Path, role: Option<Role>, arguments: &Arguments, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let loaded = load(config).map_err(|problems| anyhow::anyhow!("{}", problems.render(false)))?;
    let Some(role) = here(&loaded.config, role, arguments.host.as_deref())? else {
        out.line("none")?;
        return Ok(Exit::Warning);
    };
    out.line(role.to_string())?;
    Ok(Exit::Ok)
}

/// The role that was typed, or else that of the host of this name; `None` for a host that is not of the pair.
pub(crate) fn here(config: &Config, role: Option<Role>, name: Option<&str>) -> anyhow::Result<Option<Role>> {
    if role.is_some() {
        return Ok(role);
    }
    let name = match name {
        Some(name) => name.to_string(),
        None => host::name()?,
    };
    Ok(config.role_of(&name))
}
