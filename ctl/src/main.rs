//! The operator's command of a failover pair, the same on both hosts. It asks the daemon of its host over a unix socket
//! and prints what it says; it decides nothing itself.

mod arbiter_init;
mod check;
mod compat;
mod daemon;
mod entry;
mod exit;
#[cfg(test)]
mod fake;
mod fence;
mod hand_over;
mod history;
mod import;
mod init;
mod metrics;
mod moving;
mod order;
mod out;
mod reach;
mod role;
mod script;
mod sheet;
mod status;
mod stop_here;
mod views;
mod why;

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use failover_shared::decision::Role;

use crate::daemon::{Daemon, DaemonError};
use crate::exit::Exit;
use crate::out::{Out, Tone};

/// The operator's command of a failover pair
#[derive(Debug, Parser)]
#[command(name = "failoverctl", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Arguments {
    /// Where the daemon's socket is
    #[arg(long, global = true, env = "FAILOVER_RUN_DIR", default_value = "/run/failover", value_name = "DIR")]
    run_dir: PathBuf,
    /// The pair's configuration file
    #[arg(
        long,
        global = true,
        env = "FAILOVER_CONFIG",
        default_value = "/etc/failover/failover.ron",
        value_name = "FILE"
    )]
    config: PathBuf,
    /// Whose daemon to ask, where both run on one host
    #[arg(long, global = true, value_parser = role)]
    role: Option<Role>,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 well or done; 1 degraded, warnings, or still running; 2 critical, refused, or \
                          failed; 3 no daemon answers; 64 the command line is wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Who runs the service, how each host is, and what speaks against calm
    Status(status::Arguments),
    /// The status as metrics, in Prometheus' text format
    Metrics,
    /// Move the service to the slave, and watch
    Takeover(moving::Arguments),
    /// Move the service back to the master, and watch
    Takeback(moving::Arguments),
    /// Before this host goes down: the other one gets the service, if it runs here
    HandOver(hand_over::Arguments),
    /// Give up the move that is under way, if the other host has not acknowledged it yet
    Abort,
    /// Start the service here although the other host was not heard since the boot
    StartAlone(order::StartAlone),
    /// Say that the service is stopped on a silent host: a take-over that waits for that goes on
    ConfirmStopped(order::ConfirmStopped),
    /// Seen: allow automatic moves again, clear a failed start, look again after an exclusivity error
    Ack,
    /// Say that the service is stopped on this host although that could not be verified
    ForceOffline(order::ForceOffline),
    /// Leave the service alone for a while, or watch over it again
    #[command(subcommand)]
    Maintenance(order::Maintenance),
    /// Ask the fence devices, cut a host off, or let it back; needs no daemon
    Fence(fence::Arguments),
    /// What happened, on both hosts
    History(history::Arguments),
    /// The last decisions with rule and evidence, and what is held back now
    Why(why::Arguments),
    /// The sheet for bringing the service home: each step with the fact seen now and the command
    FailbackSheet,
    /// Make the first configuration, the shared key and both hosts' certificates, by asking or by flags
    Init(init::Arguments),
    /// Translate a configuration of CPMS (failover_config.txt); it is read, never run
    Import(import::Arguments),
    /// Make a folder on shared storage the pair's lease store; once, on one host
    ArbiterInit(arbiter_init::Arguments),
    /// Every value in force, the longest outage for each fault, and what this host lacks
    Check(check::Arguments),
    /// Give scripts of FailSafe and Cluster Manager what they expect of their old system
    Compat(compat::Arguments),
    /// For authors of scripts: write a template, list the steps, try one
    Script(script::Arguments),
    /// Which role this host has: master, slave or none
    Role(role::Arguments),
    /// Wait until the socket server of a host accepts connections
    Reach(reach::Arguments),
    /// Stop the service of this silent host and state it, signed; the other host's daemon calls it by ssh
    StopHere(stop_here::Arguments),
}

fn role(word: &str) -> Result<Role, String> {
    match word {
        "master" => Ok(Role::Master),
        "slave" => Ok(Role::Slave),
        _ => Err("write master or slave".to_string()),
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap writes help to the one stream and complaints to the other; a closed stream is nobody's loss.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    let mut stdout = std::io::stdout();
    match run(&arguments, &mut Out::to(&mut stdout)) {
        Ok(exit) => exit.into(),
        Err(error) => complain(&error).into(),
    }
}

fn run(arguments: &Arguments, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(obey(arguments, out))
}

async fn obey(arguments: &Arguments, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let Arguments { config, role, .. } = arguments;
    let daemon = Daemon::find(&arguments.run_dir, *role);
    match &arguments.command {
        Command::Status(flags) => status::run(daemon, flags, out).await,
        Command::Metrics => metrics::run(daemon, out).await,
        Command::Takeover(flags) => moving::run(&daemon?, Role::Slave, flags, out).await,
        Command::Takeback(flags) => moving::run(&daemon?, Role::Master, flags, out).await,
        Command::HandOver(flags) => hand_over::run(&daemon?, flags, out).await,
        Command::StartAlone(order) => order::start_alone(&daemon?, order, out).await,
        Command::ConfirmStopped(order) => order::confirm_stopped(&daemon?, order, out).await,
        Command::Abort => order::abort(&daemon?, out).await,
        Command::Ack => order::acknowledge(&daemon?, out).await,
        Command::ForceOffline(order) => order::force_offline(&daemon?, order, out).await,
        Command::Maintenance(order) => order::maintenance(&daemon?, order, out).await,
        Command::Fence(flags) => fence::run(config, *role, flags, out).await,
        Command::History(flags) => history::run(&daemon?, flags, out).await,
        Command::Why(flags) => why::run(&daemon?, flags, out).await,
        Command::FailbackSheet => sheet::run(&daemon?, out).await,
        Command::Init(flags) => {
            let mut stdin = std::io::stdin().lock();
            let asks = stdin.is_terminal();
            init::run(config, flags, if asks { Some(&mut stdin) } else { None }, out)
        }
        Command::Import(flags) => import::run(flags, out, &mut Out::to(&mut std::io::stderr())),
        Command::Check(flags) => check::run(config, *role, flags, out).await,
        Command::Compat(flags) => compat::run(config, &arguments.run_dir, *role, flags, out).await,
        Command::Script(flags) => script::run(config, *role, daemon, flags, out).await,
        Command::ArbiterInit(flags) => arbiter_init::run(config, flags, out),
        Command::Role(flags) => role::run(config, *role, flags, out),
        Command::Reach(flags) => reach::run(config, flags, out).await,
        Command::StopHere(flags) => stop_here::run(config, &arguments.run_dir, *role, flags, out).await,
    }
}

/// Says what went wrong, and with which code to end.
fn complain(error: &anyhow::Error) -> Exit {
    let closed = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    if closed.into_iter().any(|cause| cause.kind() == ErrorKind::BrokenPipe) {
        // The reader (head, less) has seen enough.
        return Exit::Ok;
    }
    let mut stderr = std::io::stderr();
    let mut out = Out::to(&mut stderr);
    let head = out.paint(Tone::Bad, "failoverctl:");
    // Nothing can be said any more where the complaint itself cannot be written.
    let _ = out.line(format!("{head} {}", told_once(error)));
    let _ = std::io::stderr().flush();
    match error.downcast_ref::<DaemonError>() {
        Some(DaemonError::NoSocket(_) | DaemonError::TwoSockets(_) | DaemonError::Control(_)) => Exit::Unknown,
        Some(DaemonError::Refused(_) | DaemonError::Form(_)) | None => Exit::Failed,
    }
}

/// The error with its causes. Many errors name their cause already; it is not said twice.
fn told_once(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_cause_that_the_error_names_itself_is_said_once() {
        let twice = anyhow::anyhow!("no such file").context("cannot open x: no such file");
        assert_eq!(told_once(&twice), "cannot open x: no such file");
        let once = anyhow::anyhow!("no such file").context("cannot open x");
        assert_eq!(told_once(&once), "cannot open x: no such file");
    }
}
