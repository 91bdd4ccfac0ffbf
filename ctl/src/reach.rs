//! `failoverctl reach`: does the socket server of a host accept connections? The start scripts wait for it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use failover_shared::config::{Config, load};
use failover_shared::decision::{Millis, Role};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::exit::Exit;
use crate::moving::span;
use crate::out::Out;

/// One try. Packets that vanish would otherwise hold it up for minutes.
const TRY_LIMIT: Duration = Duration::from_secs(2);
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// Flags of `reach`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The host: its name, or its role (master, slave)
    host: String,
    /// How long to go on trying
    #[arg(long, default_value = "2s", value_parser = span)]
    wait: Duration,
}

pub(crate) async fn run(config: &Path, arguments: &Arguments, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let loaded = load(config).map_err(|problems| anyhow::anyhow!("{}", problems.render(false)))?;
    let role = role_of(&loaded.config, &arguments.host)?;
    let address = loaded.config.channel_address(role);
    let name = &loaded.config.host(role).name;
    let began = Instant::now();
    let why = loop {
        let why = match connect(address).await {
            Ok(()) => {
                out.line(format!("the socket server of {name} answers at {address}"))?;
                return Ok(Exit::Ok);
            }
            Err(why) => why,
        };
        if began.elapsed() + TRY_EVERY >= arguments.wait {
            break why;
        }
        sleep(TRY_EVERY).await;
    };
    let waited = Millis(u64::try_from(arguments.wait.as_millis()).unwrap_or(u64::MAX));
    out.line(format!("the socket server of {name} does not answer at {address} within {waited}: {why}"))?;
    Ok(Exit::Warning)
}

async fn connect(address: SocketAddr) -> Result<(), String> {
    match timeout(TRY_LIMIT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_string()),
    }
}

fn role_of(config: &Config, word: &str) -> anyhow::Result<Role> {
    let named = match word {
        "master" => Some(Role::Master),
        "slave" => Some(Role::Slave),
        name => config.role_of(name),
    };
    named.ok_or_else(|| {
        anyhow::anyhow!(
            "{word} is no host of this pair; write master, slave, {} or {}",
            config.master.name,
            config.slave.name
        )
    })
}
