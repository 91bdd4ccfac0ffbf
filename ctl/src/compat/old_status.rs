//! The state of the pair in the words of its ancestors: `haStatus` of Linux FailSafe, `clustat` of Cluster Manager. What
//! they cannot say (checks, ages, readiness, risks) `failoverctl status` says.

use failover_shared::decision::{Duty, Role, StateName};

use crate::daemon::Daemon;
use crate::exit::Exit;
use crate::out::{Out, pad};
use crate::views::Views;

const COLUMN: usize = 24;

/// FailSafe's words for a resource group, which here is the whole service.
#[derive(Debug, PartialEq, Eq)]
struct Group<'v> {
    owner: Option<&'v str>,
    state: &'static str,
    error: &'static str,
}

/// `haStatus`. Its exit is that of `failoverctl status`.
pub(super) async fn ha_status(daemon: &Daemon, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let views = Views::look(daemon).await?;
    let group = Group::of(&views);
    out.line(format!("Cluster {}:", views.here.pair))?;
    out.line(format!("    Cluster state is {}.", if group.owner.is_some() { "ACTIVE" } else { "INACTIVE" }))?;
    for role in [Role::Master, Role::Slave] {
        out.line(format!("Node {}:", views.host(role)))?;
        out.line(format!("    State of machine is {}.", machine(&views, role)))?;
    }
    out.line(format!("Resource_group {}:", views.here.pair))?;
    out.line(format!("    State: {}", group.state))?;
    out.line(format!("    Error: {}", group.error))?;
    out.line(format!("    Owner: {}", group.owner.unwrap_or("none")))?;
    out.line("more: failoverctl status")?;
    Ok(Exit::from(views.here.severity()))
}

/// `clustat`. Its exit is that of `failoverctl status`.
pub(super) async fn clustat(daemon: &Daemon, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let views = Views::look(daemon).await?;
    let group = Group::of(&views);
    let mut row = |words: [&str; 3]| {
        let [first, second, third] = words;
        out.line(format!("  {}{}{third}", pad(first, COLUMN), pad(second, COLUMN)).trim_end())
    };
    row(["Member", "Status", ""])?;
    for role in [Role::Master, Role::Slave] {
        let here = if views.here.role == role { "(this host)" } else { "" };
        row([views.host(role), if machine(&views, role) == "UP" { "Active" } else { "Inactive" }, here])?;
    }
    let status = match (group.error, group.state) {
        ("No error", "Online" | "Online-Maintenance") => "started",
        ("No error", "Offline") => "stopped",
        ("No error", _) => "pending",
        _ => "failed",
    };
    row(["Service", "Status", "Owner"])?;
    row([&views.here.pair, status, group.owner.unwrap_or("none")])?;
    out.line("more: failoverctl status")?;
    Ok(Exit::from(views.here.severity()))
}

/// Heard is up. FailSafe called a node unknown that it could not ask.
fn machine(views: &Views, role: Role) -> &'static str {
    let peer = &views.here.peer;
    if views.here.role == role || (!peer.silent && peer.heard_age_ms.is_some()) { "UP" } else { "UNKNOWN" }
}

impl Group<'_> {
    fn of(views: &Views) -> Group<'_> {
        let (here, peer) = (&views.here, &views.here.peer);
        let heard = machine(views, peer.role) == "UP";
        let theirs = peer.duty.filter(|_| heard);
        let both = (Some((here.duty, here.host.as_str())), theirs.map(|duty| (duty, peer.host.as_str())));
        let doing = |wanted: Duty| {
            let mut hosts = [both.0, both.1].into_iter().flatten();
            hosts.find(|(duty, _)| *duty == wanted).map(|(_, host)| host)
        };
        let states = [Some(here.state), views.there.as_ref().map(|view| view.state)];
        let is = |wanted: StateName| states.contains(&Some(wanted));
        let two_actives = here.duty == Duty::Active && theirs == Some(Duty::Active);
        let error = if two_actives || is(StateName::ExclusivityError) {
            "Exclusivity error"
        } else if is(StateName::FailedStop) {
            "Srmd executable error"
        } else if is(StateName::FailedStart) && doing(Duty::Active).is_none() {
            "No available nodes"
        } else if !heard && here.duty != Duty::Active {
            "Node unknown"
        } else {
            "No error"
        };
        let active = doing(Duty::Active);
        let owner = active.or_else(|| doing(Duty::Starting)).or_else(|| doing(Duty::Stopping));
        let state = if active.is_some() && (here.maintenance.is_some() || peer.maintenance == Some(true)) {
            "Online-Maintenance"
        } else if active.is_some() {
            "Online"
        } else if doing(Duty::Starting).or_else(|| doing(Duty::Requesting)).is_some() {
            "Online-Pending"
        } else if doing(Duty::Stopping).or_else(|| doing(Duty::Stopped)).is_some() {
            "Offline-Pending"
        } else if is(StateName::FailedStop) || is(StateName::ExclusivityError) {
            "Online"
        } else {
            "Offline"
        };
        Group { owner, state, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, printed, status, yes};

    fn views(change: impl FnOnce(&mut Views)) -> Views {
        let mut views = Views { here: status(Role::Master), there: Some(status(Role::Slave)) };
        change(&mut views);
        views
    }

    #[test]
    fn the_words_of_failsafe_follow_from_both_hosts_views() {
        let group = |change: fn(&mut Views)| {
            let views = views(change);
            let Group { owner, state, error } = Group::of(&views);
            (owner.map(str::to_owned), state, error)
        };
        let on = |host: &str| Some(host.to_owned());
        assert_eq!(group(|_| ()), (on("cfg1"), "Online", "No error"));
        assert_eq!(group(|views| views.here.peer.maintenance = Some(true)).1, "Online-Maintenance");
        assert_eq!(group(|views| views.here.peer.duty = Some(Duty::Active)).2, "Exclusivity error");
        let stopping = |views: &mut Views| views.here.duty = Duty::Stopping;
        assert_eq!(group(stopping), (on("cfg1"), "Offline-Pending", "No error"));
        let failed = |views: &mut Views| (views.here.duty, views.here.state) = (Duty::Held, StateName::FailedStop);
        assert_eq!(group(failed), (None, "Online", "Srmd executable error"));
        let alone = |views: &mut Views| {
            *views = Views { here: status(Role::Slave), there: None };
            views.here.peer.silent = true;
        };
        assert_eq!(group(alone), (None, "Offline", "Node unknown"));
    }

    #[tokio::test]
    async fn hastatus_and_clustat_tell_the_nodes_and_who_has_the_service() {
        let fake = Fake::start(Role::Slave, |_| yes(status(Role::Slave)));
        let (exit, said) = printed(async |out| ha_status(&fake.daemon(), out).await.unwrap()).await;
        assert_eq!(exit, Exit::Ok, "{said}");
        for line in ["Cluster state is ACTIVE.", "Node cfg2:", "State of machine is UP.", "Resource_group mail:"] {
            assert!(said.contains(line), "{line}: {said}");
        }
        assert!(said.contains("State: Online\n    Error: No error\n    Owner: cfg1\n"), "{said}");
        let (exit, said) = printed(async |out| clustat(&fake.daemon(), out).await.unwrap()).await;
        assert_eq!(exit, Exit::Ok, "{said}");
        let words: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(words.contains(&vec!["cfg2", "Active", "(this", "host)"]), "{said}");
        assert!(words.contains(&vec!["mail", "started", "cfg1"]), "{said}");
    }
}
