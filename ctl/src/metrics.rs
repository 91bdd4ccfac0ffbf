//! `failoverctl metrics`: the status in Prometheus' text format (version 0.0.4), for the textfile collector of
//! node_exporter or whatever else reads it. What is not known is left out: an absent value alarms, an old one lies.

mod exposition;

use failover_shared::decision::Verdict;
use failover_shared::status::{CopyStatus, Status};

use self::exposition::{Exposition, Kind::Counter, Kind::Gauge};
use crate::daemon::{Daemon, DaemonError};
use crate::exit::Exit;
use crate::out::Out;

/// Prints `failover_up 0` alone where no daemon answers, so that a collector's file is never left with old values.
pub(crate) async fn run(daemon: Result<Daemon, DaemonError>, out: &mut Out<'_>) -> anyhow::Result<Exit> {
    let mut page = Exposition::default();
    let status = match daemon {
        Ok(daemon) => daemon.status().await,
        Err(error) => Err(error),
    };
    if let Err(error) = &status {
        // A comment, to the format.
        out.line(format!("# {}", error.to_string().lines().next().unwrap_or_default()))?;
    }
    page.family("up", Gauge, "The daemon answered.").add(&[], f64::from(u8::from(status.is_ok())));
    if let Ok(status) = &status {
        of_host(status, &mut page);
        of_peer(status, &mut page);
        of_checks(status, &mut page);
        of_copies(&status.copies, &mut page);
        of_arbiter(status, &mut page);
    }
    for line in page.text().lines() {
        out.line(line)?;
    }
    Ok(if status.is_ok() { Exit::Ok } else { Exit::Unknown })
}

fn of_host(status: &Status, page: &mut Exposition) {
    let role = status.role.to_string();
    let who = [("version", status.version.as_str()), ("pair", &status.pair), ("host", &status.host), ("role", &role)];
    page.family("info", Gauge, "Who says this.").add(&who, 1.0);
    let severity = f64::from(status.severity() as u8);
    page.family("severity", Gauge, "0 well, 1 degraded, 2 critical, 3 unknown: the exit of failoverctl status.")
        .add(&[], severity);
    let state = format!("{:?}", status.state);
    page.family("state", Gauge, "The state that the host is in.").add(&[("state", &state)], 1.0);
    page.family("state_age_seconds", Gauge, "For how long.").add(&[], seconds(status.state_age_ms));
    page.family("epoch", Gauge, "The highest epoch known.").add(&[], status.epoch.0 as f64);
    page.family("epoch_owned", Gauge, "The highest epoch that this host owned.").add(&[], status.owned.0 as f64);
    if let Some(passed) = passed(status.service) {
        page.family("service_passed", Gauge, "The own checks of the service here passed.").flag(&[], passed);
    }
    if let Some(age_ms) = status.readiness_age_ms {
        page.family("ready", Gauge, "A start here would work, as far as is known.")
            .flag(&[], status.not_ready.is_empty());
        page.family("readiness_age_seconds", Gauge, "The age of that look.").add(&[], seconds(age_ms));
    }
    page.family("locked", Gauge, "An automatic move waits to be acknowledged.").flag(&[], status.locked.is_some());
    page.family("frozen", Gauge, "Decisions are frozen.").flag(&[], status.frozen);
    page.family("maintenance", Gauge, "The host is in maintenance.").flag(&[], status.maintenance.is_some());
    page.family("balancer_diverged", Gauge, "The balancer does not do what it was told.")
        .flag(&[], status.balancer.diverged.is_some());
    page.family("pages_waiting", Gauge, "Pages that are not delivered yet.").add(&[], status.pages_waiting as f64);
    page.family("troubles", Gauge, "Troubles with the own state, journal or guardian.")
        .add(&[], status.troubles.len() as f64);
    for (kind, count) in &status.counters {
        page.family("dropped_total", Counter, "Refused or malformed input.").add(&[("kind", kind)], *count as f64);
    }
}

fn of_peer(status: &Status, page: &mut Exposition) {
    let peer = &status.peer;
    page.family("peer_silent", Gauge, "The other host is silent on every path.").flag(&[], peer.silent);
    if let Some(age_ms) = peer.heard_age_ms {
        page.family("peer_heard_age_seconds", Gauge, "When it was heard last.").add(&[], seconds(age_ms));
    }
    for path in &peer.paths {
        if let Some(age_ms) = path.heard_age_ms {
            page.family("path_heard_age_seconds", Gauge, "When it was heard last on a path.")
                .add(&[("path", &path.name)], seconds(age_ms));
        }
    }
    if let Some(equal) = status.config.equal {
        page.family("config_equal", Gauge, "Both hosts have the same configuration.").flag(&[], equal);
    }
}

fn of_checks(status: &Status, page: &mut Exposition) {
    for check in &status.checks {
        let labels = [("check", check.name.as_str()), ("vantage", &check.vantage)];
        if let (Some(passed), Some(age_ms)) = (passed(check.verdict), check.age_ms) {
            page.family("check_passed", Gauge, "A check's verdict, by the place it asks from.").flag(&labels, passed);
            page.family("check_age_seconds", Gauge, "The age of its last round.").add(&labels, seconds(age_ms));
        }
    }
}

fn of_copies(copies: &[CopyStatus], page: &mut Exposition) {
    for copy in copies {
        let labels = [("copy", copy.name.as_str())];
        if let Some(age_ms) = copy.age_ms {
            page.family("copy_age_seconds", Gauge, "What a take-over now loses of it at most.")
                .add(&labels, seconds(age_ms));
        }
        page.family("copy_max_age_seconds", Gauge, "What is older is old.").add(&labels, seconds(copy.max_age_ms));
        page.family("copy_worst_loss_seconds", Gauge, "The most that is lost while every copy succeeds.")
            .add(&labels, seconds(copy.worst_loss_ms));
        page.family("copy_old", Gauge, "It is old, or its age is not known.").flag(&labels, copy.is_old);
        page.family("copy_failed", Gauge, "The last try failed.").flag(&labels, copy.failed);
    }
}

fn of_arbiter(status: &Status, page: &mut Exposition) {
    let Some(arbiter) = &status.arbiter else { return };
    page.family("arbiter_failing", Gauge, "The arbiter does not answer, or not as it must.")
        .flag(&[], arbiter.failing.is_some());
    if let Some(age_ms) = arbiter.answered_age_ms {
        page.family("arbiter_answered_age_seconds", Gauge, "When it answered last.").add(&[], seconds(age_ms));
    }
    if let Some(left_ms) = arbiter.own.as_ref().and_then(|own| own.stops_in_ms) {
        page.family("lease_left_seconds", Gauge, "Not renewed, the service here stops after this.")
            .add(&[], seconds(left_ms));
    }
}

fn passed(verdict: Verdict) -> Option<bool> {
    match verdict {
        Verdict::Passed => Some(true),
        Verdict::Failed(_) => Some(false),
        Verdict::Unknown => None,
    }
}

fn seconds(span_ms: u64) -> f64 {
    span_ms as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use failover_shared::control::Request;
    use failover_shared::decision::Role;

    use super::*;
    use crate::fake::{Fake, printed, status, yes};

    async fn metrics(status: Status) -> String {
        let fake = Fake::start(status.role, move |request| match request {
            Request::Status => yes(&status),
            _ => None,
        });
        let (exit, text) = printed(async |out: &mut Out<'_>| run(Ok(fake.daemon()), out).await).await;
        assert_eq!(exit.unwrap(), Exit::Ok);
        text
    }

    fn copy(age_ms: Option<u64>) -> CopyStatus {
        CopyStatus {
            name: "users \"all\"".into(),
            is_original: false,
            current_at: None,
            age_ms,
            max_age_ms: 3_600_000,
            worst_loss_ms: 3_660_000,
            is_old: age_ms.is_none(),
            when_old: "Asks".into(),
            last: None,
            failed: true,
            runs: false,
        }
    }

    #[tokio::test]
    async fn a_copys_age_and_worst_loss_are_metrics_and_an_unknown_age_is_left_out() {
        let text = metrics(Status { copies: vec![copy(Some(61_500))], ..status(Role::Slave) }).await;
        for line in [
            r#"failover_copy_age_seconds{copy="users \"all\""} 61.5"#,
            r#"failover_copy_worst_loss_seconds{copy="users \"all\""} 3660"#,
            r#"failover_copy_failed{copy="users \"all\""} 1"#,
            r#"failover_copy_old{copy="users \"all\""} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in:\n{text}");
        }
        let unknown = metrics(Status { copies: vec![copy(None)], ..status(Role::Slave) }).await;
        assert!(!unknown.contains("copy_age_seconds{") && unknown.contains("failover_copy_old{"), "{unknown}");
    }

    #[tokio::test]
    async fn each_family_is_described_once_and_its_values_stand_together() {
        let text = metrics(Status { copies: vec![copy(Some(1)), copy(Some(2))], ..status(Role::Slave) }).await;
        let mut seen = Vec::new();
        for line in text.lines() {
            let name = match line.split(' ').collect::<Vec<_>>()[..] {
                ["#", "HELP", name, ..] => {
                    assert!(!seen.contains(&name), "{name} is described twice:\n{text}");
                    seen.push(name);
                    continue;
                }
                ["#", "TYPE", name, kind] => {
                    assert!(matches!(kind, "gauge" | "counter"), "{line}");
                    name
                }
                _ => line.split(['{', ' ']).next().unwrap(),
            };
            assert_eq!(seen.last(), Some(&name), "{line} does not stand with its family:\n{text}");
        }
        assert!(seen.contains(&"failover_up") && seen.contains(&"failover_severity"), "{seen:?}");
    }

    #[tokio::test]
    async fn without_a_daemon_it_says_that_and_no_old_value() {
        let (exit, text) =
            printed(async |out: &mut Out<'_>| run(Err(DaemonError::Refused("no daemon".into())), out).await).await;
        assert_eq!(exit.unwrap(), Exit::Unknown);
        assert_eq!(text.lines().last(), Some("failover_up 0"));
        assert!(!text.contains("severity"), "{text}");
    }
}
