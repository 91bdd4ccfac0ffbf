//! Whether a test run may hurt the service: asked of the daemon, before anything is run.

use failover_shared::decision::{Duty, Role};
use failover_shared::script::kind::Action;
use failover_shared::status::Status;

use crate::daemon::{Daemon, DaemonError};

/// What speaks against running a step now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Danger {
    /// Nothing.
    None,
    /// A person may go on.
    Needs(String),
    /// Nobody should.
    Never(String),
}

pub(super) async fn look(daemon: Result<Daemon, DaemonError>, role: Role, action: Action) -> Danger {
    if matches!(action, Action::Monitor | Action::Exclusive | Action::Validate) {
        return Danger::None;
    }
    let status = match daemon {
        Ok(daemon) => daemon.status().await,
        Err(error) => Err(error),
    };
    match status {
        Ok(status) if status.role != role => Danger::Needs(format!(
            "the daemon here is the {}, so what the {role} does is not known on this host",
            status.role
        )),
        Ok(status) => judge(&status, action),
        Err(_) => Danger::Needs("no daemon answers here, so nobody knows which host runs the service".to_owned()),
    }
}

/// A start beside an active host is the worst that a test can do: two would write to one store.
fn judge(status: &Status, action: Action) -> Danger {
    let peer = &status.peer;
    let (here, there) = (&status.host, &peer.host);
    let moving = |duty: Duty| matches!(duty, Duty::Requesting | Duty::Starting | Duty::Stopping | Duty::Stopped);
    if moving(status.duty) || peer.duty.is_some_and(moving) {
        return Danger::Never("a move is under way, and its own lists run: wait for its end".to_owned());
    }
    match (status.duty, action) {
        (Duty::Active, Action::Start) => Danger::Needs(format!(
            "{here} runs the service: a script that does not see that would start it a second time"
        )),
        (Duty::Active, _) => Danger::Needs(format!(
            "{here} runs the service, and this stops a part of it: its checks fail, and the other host may take over; \
             first: failoverctl maintenance on --reason …"
        )),
        (_, Action::Stop) => Danger::None,
        (_, _) if peer.duty == Some(Duty::Active) => {
            Danger::Needs(format!("{there} runs the service: a part of it would run on both hosts"))
        }
        (_, _) if peer.silent || peer.duty.is_none() => Danger::Needs(format!(
            "{there} is not heard, and may well run the service: a part of it would run on both hosts"
        )),
        (_, _) => Danger::Needs(format!(
            "what is started here and not stopped again is an exclusivity error of {here} at the next look"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, status, yes};

    async fn danger(role: Role, action: Action, change: impl Fn(&mut Status)) -> Danger {
        let mut seen = status(role);
        change(&mut seen);
        let fake = Fake::start(role, move |_| yes(seen.clone()));
        look(Ok(fake.daemon()), role, action).await
    }

    #[tokio::test]
    async fn what_would_hurt_the_service_needs_a_person_and_what_only_asks_does_not() {
        let as_it_is = |_: &mut Status| {};
        for action in [Action::Monitor, Action::Exclusive, Action::Validate] {
            assert_eq!(danger(Role::Master, action, as_it_is).await, Danger::None);
        }
        for action in [Action::Stop, Action::Restart] {
            let Danger::Needs(why) = danger(Role::Master, action, as_it_is).await else { panic!("{action:?}") };
            assert!(why.contains("cfg1 runs the service") && why.contains("maintenance on"), "{why}");
        }
        let Danger::Needs(why) = danger(Role::Slave, Action::Start, as_it_is).await else { panic!("beside cfg1") };
        assert!(why.contains("on both hosts"), "{why}");
        assert_eq!(danger(Role::Slave, Action::Stop, as_it_is).await, Danger::None, "nothing of it runs there");
        let silent = |status: &mut Status| (status.peer.silent, status.peer.duty) = (true, Some(Duty::Standby));
        let Danger::Needs(why) = danger(Role::Slave, Action::Start, silent).await else { panic!("silent") };
        assert!(why.contains("is not heard"), "{why}");
    }

    #[tokio::test]
    async fn nothing_is_run_beside_a_move() {
        for change in [(|status: &mut Status| status.duty = Duty::Stopping) as fn(&mut Status), |status| {
            status.peer.duty = Some(Duty::Starting)
        }] {
            assert!(matches!(danger(Role::Slave, Action::Stop, change).await, Danger::Never(_)));
        }
    }

    #[tokio::test]
    async fn where_nobody_knows_who_is_active_a_person_is_asked() {
        let nobody = || Err(DaemonError::NoSocket("/run/failover".into()));
        assert!(matches!(look(nobody(), Role::Slave, Action::Stop).await, Danger::Needs(_)));
        assert_eq!(look(nobody(), Role::Slave, Action::Monitor).await, Danger::None);
    }
}
