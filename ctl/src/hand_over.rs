//! `failoverctl hand-over`: what a host does before it goes down. If it runs the service, the other host gets it.
//!
//! An orderly end of the daemon leaves the service running and its lease without an end, since nobody can know that the
//! machine goes down next; so this comes first. failover-handover.service calls it while everything still runs.

use std::time::Duration;

use failover_shared::decision::{Duty, StateName};

use crate::daemon::Daemon;
use crate::exit::Exit;
use crate::moving;
use crate::out::Out;

/// Flags of `hand-over`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Why; kept in both journals
    #[arg(long, default_value = "this host goes down")]
    reason: String,
    /// How long to watch. The move goes on afterwards, as long as this host does
    #[arg(long, default_value = "120s", value_parser = moving::span)]
    wait: Duration,
}

pub(crate) async fn run(daemon: &Daemon, arguments: &Arguments, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let status = daemon.status().await?;
    match status.duty {
        Duty::Active | Duty::Starting | Duty::Stopping => {}
        // Somebody has to look first: no command moves what is here.
        Duty::Held if matches!(status.state, StateName::FailedStop | StateName::ExclusivityError) => {
            let (host, state) = (&status.host, status.state);
            out.line(format!("not handed over: {host} is in {state:?}, and the service or parts of it may run there"))?;
            out.folded("next: ", 6, &status.way_out)?;
            return Ok(Exit::Warning);
        }
        Duty::Held => {
            out.line(format!("nothing to hand over: {} is in {:?}", status.host, status.state))?;
            return Ok(Exit::Ok);
        }
        Duty::Passive | Duty::Standby | Duty::Requesting | Duty::Stopped => {
            out.line(format!("nothing to hand over: {} is {}", status.host, status.duty))?;
            return Ok(Exit::Ok);
        }
    }
    let order = moving::Arguments::plain(arguments.reason.clone(), arguments.wait);
    moving::run(daemon, status.role.peer(), &order, out).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use failover_shared::control::Request;
    use failover_shared::decision::Role;

    use super::*;
    use crate::fake::{Fake, printed, status, yes};

    /// What the command prints, and whether it asked for a move, on a master in this state.
    async fn handed_over(state: StateName, duty: Duty) -> (anyhow::Result<Exit>, String, bool) {
        let asked = Arc::new(AtomicBool::new(false));
        let moved = Arc::clone(&asked);
        let fake = Fake::start(Role::Master, move |request| match request {
            Request::Status => yes(&failover_shared::status::Status { state, duty, ..status(Role::Master) }),
            Request::Move { to: Role::Slave, dry_run: false, .. } => {
                moved.store(true, Ordering::Relaxed);
                Some(Err("the slave is not ready: its relay is down".into()))
            }
            Request::PeerStatus => yes(status(Role::Slave)),
            Request::History { .. } | Request::PeerHistory { .. } => yes([(); 0]),
            _ => None,
        });
        let daemon = fake.daemon();
        let arguments = Arguments { reason: "test".into(), wait: Duration::from_secs(1) };
        let (exit, text) = printed(async |out: &mut Out<'_>| run(&daemon, &arguments, out).await).await;
        (exit, text, asked.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_host_that_does_not_run_the_service_hands_nothing_over() {
        let (exit, text, asked) = handed_over(StateName::Standby, Duty::Standby).await;
        assert!(matches!(exit, Ok(Exit::Ok)) && !asked, "{text}");
        assert!(text.contains("nothing to hand over"), "{text}");
    }

    #[tokio::test]
    async fn what_may_run_on_a_host_that_waits_for_a_person_is_said_as_a_warning() {
        for (state, exit, said) in [
            (StateName::FailedStop, Exit::Warning, "not handed over: cfg1 is in FailedStop"),
            (StateName::ExclusivityError, Exit::Warning, "not handed over: cfg1 is in ExclusivityError"),
            (StateName::FailedStart, Exit::Ok, "nothing to hand over: cfg1 is in FailedStart"),
            (StateName::TakeoverBlocked, Exit::Ok, "nothing to hand over: cfg1 is in TakeoverBlocked"),
        ] {
            let (ended, text, asked) = handed_over(state, Duty::Held).await;
            assert!(ended.unwrap() == exit && !asked && text.starts_with(said), "{text}");
            assert_eq!(text.contains("next: "), exit == Exit::Warning, "{text}");
        }
    }

    #[tokio::test]
    async fn an_active_host_asks_that_the_other_gets_the_service_and_passes_a_refusal_on() {
        let (exit, text, asked) = handed_over(StateName::Active, Duty::Active).await;
        assert!(asked, "{text}");
        assert!(exit.unwrap_err().to_string().contains("its relay is down"), "{text}");
    }
}
