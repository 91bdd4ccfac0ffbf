//! `failoverctl fence`: a person asks and uses the fence devices by hand. It needs no daemon: it is there for the hour in
//! which one host is dead and the other does not move.

mod record;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::bail;
use failover_shared::config::{Config, load};
use failover_shared::decision::Role;
use failover_shared::fence::{Fence, Power};
use failover_shared::telemetry::chain;

use self::record::record;
use crate::daemon::commander;
use crate::exit::Exit;
use crate::out::{Out, Tone, pad};
use crate::role;

/// Flags of `fence`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    order: Order,
    /// This host's name in the configuration, if not the system's
    #[arg(long, global = true, value_name = "NAME")]
    here: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    /// What each device says of a host: on, or off (cut off)
    Status {
        /// The host: its name, or its role (master, slave)
        host: String,
    },
    /// Cut a host off, and read that back
    Off {
        /// The host: its name, or its role (master, slave)
        host: String,
        /// Why; kept in the system's log with your name
        #[arg(long)]
        reason: String,
    },
    /// Let a host back that was cut off
    On {
        /// The host: its name, or its role (master, slave)
        host: String,
        /// Why; kept in the system's log with your name
        #[arg(long)]
        reason: String,
        /// The host was restarted since it was cut off, or its power is what the device switches
        #[arg(long)]
        restarted: bool,
    },
}

pub(crate) async fn run(
    config: &Path,
    typed: Option<Role>,
    arguments: &Arguments,
    out: &mut Out<'_>,
) -> anyhow::Result<Exit> {
    let loaded = load(config).map_err(|problems| anyhow::anyhow!("{}", problems.render(false)))?;
    let config = &loaded.config;
    let fence = Fence::of(config);
    if fence.is_empty() {
        bail!("no fence device is configured\nnext:   see docs/fencing.md and the key `fence` in docs/config.md");
    }
    match &arguments.order {
        Order::Status { host } => status(config, &fence, target(config, host)?, out).await,
        Order::Off { host, reason } => {
            let target = target(config, host)?;
            if role::here(config, typed, arguments.here.as_deref())? == Some(target) {
                bail!("this host is {}: it would cut itself off in the middle of the command", name(config, target));
            }
            off(config, &fence, target, reason, out).await
        }
        Order::On { host, reason, restarted } => {
            let target = target(config, host)?;
            if !restarted {
                let name = name(config, target);
                bail!(
                    "a host that was cut off from its store may hold unwritten data of the old service, and would write it \
                     when it is let back\nnext:   restart {name}, then: failoverctl fence on {name} --restarted --reason …\n        \
                     (a device that switches the power restarts it by itself: --restarted is true then)"
                );
            }
            on(config, &fence, target, reason, out).await
        }
    }
}

async fn status(config: &Config, fence: &Fence, target: Role, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let mut exit = Exit::Ok;
    for answer in fence.status(target).await {
        let said = match &answer.power {
            Ok(Power::On) => "on".to_owned(),
            Ok(Power::Off) => out.paint(Tone::Warning, "off: cut off"),
            Err(error) => {
                exit = Exit::Failed;
                format!("{}: {}", out.paint(Tone::Bad, "unknown"), chain(error))
            }
        };
        out.folded(&format!("{} {}", pad(name(config, target), 16), pad(&answer.device, 28)), 46, &said)?;
    }
    Ok(exit)
}

async fn off(config: &Config, fence: &Fence, target: Role, reason: &str, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let name = name(config, target);
    recorded(&format!("fence off {name} by {}: {reason}", commander()), out)?;
    match fence.off(target).await {
        Ok(fenced) => {
            for failed in &fenced.failed {
                out.line(format!("failed: {}", chain(failed)))?;
            }
            out.line(format!("{name} is cut off by {}, which says {:?}", fenced.device, fenced.read_back))?;
            out.line(format!("next: failoverctl confirm-stopped {name} --reason …, if a take-over waits for it"))?;
            recorded(&format!("{name} was fenced by {}", fenced.device), out)?;
            Ok(Exit::Ok)
        }
        Err(error) => {
            recorded(&format!("{name} was not fenced"), out)?;
            Err(anyhow::Error::new(error).context(format!(
                "{name} must be taken to run and to write\nnext:   cut its power by hand, look that it is off, then: \
                 failoverctl confirm-stopped {name} --reason …"
            )))
        }
    }
}

async fn on(config: &Config, fence: &Fence, target: Role, reason: &str, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let name = name(config, target);
    recorded(&format!("fence on {name} by {}: {reason}", commander()), out)?;
    let told = fence.on(target).await?;
    if told.is_empty() {
        out.line(format!("{name} is not cut off by any device"))?;
    } else {
        out.line(format!("{name} is let back by {}", told.join(", ")))?;
    }
    Ok(Exit::Ok)
}

fn recorded(text: &str, out: &mut Out<'_>) -> std::io::Result<()> {
    match record(Path::new("/dev/log"), text) {
        Ok(()) => Ok(()),
        Err(error) => out.line(format!("not in the system's log ({error}): {text}")),
    }
}

fn name(config: &Config, target: Role) -> &str {
    &config.host(target).name
}

/// The role that a person means by a role word or by a host name.
fn target(config: &Config, word: &str) -> anyhow::Result<Role> {
    match word {
        "master" => Ok(Role::Master),
        "slave" => Ok(Role::Slave),
        _ => config.role_of(word).ok_or_else(|| {
            let (master, slave) = (&config.master.name, &config.slave.name);
            anyhow::anyhow!("{word} is no host of this pair; its hosts are {master} (master) and {slave} (slave)")
        }),
    }
}
