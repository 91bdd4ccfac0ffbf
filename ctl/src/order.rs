//! The commands that one question and one answer make: `start-alone`, `confirm-stopped`, `ack`, `force-offline`,
//! `maintenance`.

use std::time::Duration;

use failover_shared::control::Request;
use failover_shared::decision::{Epoch, Role};

use crate::daemon::{Daemon, DaemonError, commander, role_named};
use crate::exit::Exit;
use crate::moving::span;
use crate::out::Out;

/// Flags of `start-alone`.
#[derive(Debug, clap::Args)]
pub(crate) struct StartAlone {
    /// How you know that the other host does not run the service; kept in the journal
    #[arg(long)]
    reason: String,
    /// Go on although a copy of the other host's data is older than its `max_age`
    #[arg(long)]
    despite_old_copy: bool,
}

/// Flags of `confirm-stopped`.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfirmStopped {
    /// The host that is stopped: its name, or its role (master, slave)
    host: String,
    /// How you verified it; kept in the journal with your name
    #[arg(long)]
    reason: String,
    /// The epoch that ends, typed out: overrides that the host is heard or that its ports answer
    #[arg(long)]
    epoch: Option<u64>,
}

/// Flags of `force-offline`.
#[derive(Debug, clap::Args)]
pub(crate) struct ForceOffline {
    /// This host, on which you stopped the service: its name, or its role (master, slave)
    host: String,
    /// How you verified it; kept in the journal with your name
    #[arg(long)]
    reason: String,
}

/// What `maintenance` is to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Maintenance {
    /// Leave the service alone: nothing moves by itself, and no demand is obeyed
    On {
        /// For how long, up to 7 days; then it ends by itself. Given again, it counts from then
        #[arg(long = "for", value_name = "SPAN", value_parser = span)]
        span: Duration,
        /// Why; kept with your name, and told with every reminder
        #[arg(long)]
        reason: String,
    },
    /// Watch over it again
    Off {
        /// Why; kept in the journal
        #[arg(long, default_value = "the work is done")]
        reason: String,
    },
}

pub(crate) async fn start_alone(daemon: &Daemon, order: &StartAlone, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let StartAlone { reason, despite_old_copy } = order;
    let request = Request::StartAlone { by: commander(), reason: reason.clone(), despite_old_copy: *despite_old_copy };
    accepted(daemon, &request, "watch it: failoverctl status --watch", out).await
}

pub(crate) async fn confirm_stopped(
    daemon: &Daemon,
    order: &ConfirmStopped,
    out: &mut Out<'_>,
) -> anyhow::Result<Exit> {
    let host: Role = role_named(&daemon.status().await?, &order.host)?;
    let (by, reason) = (commander(), order.reason.clone());
    let request = Request::ConfirmStopped { host, by, reason, epoch: order.epoch.map(Epoch) };
    accepted(daemon, &request, "watch it: failoverctl status --watch", out).await
}

pub(crate) async fn acknowledge(daemon: &Daemon, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    accepted(daemon, &Request::Acknowledge { by: commander() }, "look: failoverctl status", out).await
}

pub(crate) async fn abort(daemon: &Daemon, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    accepted(daemon, &Request::Abort { by: commander() }, "look: failoverctl status", out).await
}

pub(crate) async fn force_offline(daemon: &Daemon, order: &ForceOffline, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let status = daemon.status().await?;
    let meant = role_named(&status, &order.host)?;
    // The look that must not find the service any more can only be made there.
    if meant != status.role {
        let (there, here) = (&status.peer.host, &status.host);
        let why = format!("this host is {here}; give the command on {there}, where the service was stopped by hand");
        return Err(DaemonError::Refused(why).into());
    }
    let request = Request::ForceOffline { by: commander(), reason: order.reason.clone() };
    accepted(daemon, &request, "look: failoverctl status", out).await
}

pub(crate) async fn maintenance(daemon: &Daemon, order: &Maintenance, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let by = commander();
    match order {
        Maintenance::On { span, reason } => {
            let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            let request = Request::MaintenanceOn { by, reason: reason.clone(), span_ms };
            let next = "the checks go on; when the work is done: failoverctl maintenance off";
            accepted(daemon, &request, next, out).await
        }
        Maintenance::Off { reason } => {
            let request = Request::MaintenanceOff { by, reason: reason.clone() };
            accepted(daemon, &request, "look: failoverctl status", out).await
        }
    }
}

async fn accepted(daemon: &Daemon, request: &Request, next: &str, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let answer = daemon.command(request).await?;
    out.line(format!("accepted: {answer}"))?;
    out.line(format!("next: {next}"))?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests;
