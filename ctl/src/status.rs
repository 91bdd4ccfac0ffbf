//! `failoverctl status`: one screen, and an exit code for a monitoring system.

mod copies;
mod headline;
mod safety;
mod screen;
#[cfg(test)]
mod tests;

use std::time::Duration;

use failover_shared::status::Severity;
use serde_json::json;

use crate::daemon::{Daemon, DaemonError};
use crate::exit::Exit;
use crate::out::Out;
use crate::views::Views;

/// Between two screens of `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Flags of `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON: severity, exit code, this host's view, the other host's view
    #[arg(long)]
    json: bool,
    /// Show it again every second, until interrupted
    #[arg(long)]
    watch: bool,
}

pub(crate) async fn run(
    daemon: Result<Daemon, DaemonError>,
    arguments: &Arguments,
    out: &mut Out<'_>,
) -> anyhow::Result<Exit> {
    let daemon = match daemon {
        Ok(daemon) => daemon,
        Err(error) => return silent(error, arguments, out),
    };
    loop {
        let exit = match Views::look(&daemon).await {
            Ok(views) => {
                if arguments.watch {
                    screen::clear(out)?;
                }
                show(&views, arguments, out)?
            }
            // A daemon that is restarted comes back: whoever watches goes on watching.
            Err(error) if arguments.watch => {
                out.line(format!("{error}"))?;
                Exit::Unknown
            }
            Err(error) => return silent(error, arguments, out),
        };
        if !arguments.watch {
            return Ok(exit);
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

fn show(views: &Views, arguments: &Arguments, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let severity = views.here.severity();
    let exit = Exit::from(severity);
    if arguments.json {
        let value = json!({
            "severity": word(severity),
            "exit_code": exit as u8,
            "here": views.here,
            "there": views.there,
        });
        out.line(value.to_string())?;
    } else {
        screen::draw(views, out)?;
    }
    Ok(exit)
}

fn silent(error: DaemonError, arguments: &Arguments, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    if !arguments.json {
        return Err(error.into());
    }
    let exit = Exit::Unknown;
    let value = json!({ "severity": word(Severity::Unknown), "exit_code": exit as u8, "error": error.to_string() });
    out.line(value.to_string())?;
    Ok(exit)
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok",
        Severity::Degraded => "degraded",
        Severity::Critical => "critical",
        Severity::Unknown => "unknown",
    }
}
