use std::fs;

use failover_shared::control::Request;
use failover_shared::decision::{Duty, StateName};
use failover_shared::status::Status;
use tempfile::TempDir;

use super::*;
use crate::fake::{Fake, printed, status, yes};

fn parsed(text: &str) -> Result<Option<Sentence>, String> {
    Sentence::parse(text)
}

/// A folder with a configuration in which this host has the role.
fn configured(role: Role) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let own = failover_shared::host::name().unwrap();
    let (master, slave) = if role == Role::Master { (own.as_str(), "cfg2") } else { ("cfg1", own.as_str()) };
    let config = format!(
        r#"Pair(
            name: "mail",
            master: Host(name: "{master}", address: "192.0.2.11"),
            slave: Host(name: "{slave}", address: "192.0.2.12"),
            proof_of_stop: [Operator],
            service: (startup_scripts: ["true"], shutdown_scripts: ["true"]),
            checks: [Port(name: "pop3", port: 110)],
        )"#
    );
    fs::write(folder.path().join("failover.ron"), config).unwrap();
    folder
}

/// What a sentence on the host of this role asks of its daemon, and what is said.
async fn asked(role: Role, sentence: &str) -> (anyhow::Result<Exit>, String, Vec<Request>) {
    let status = status(role);
    asked_in(role, (status.state, status.duty), sentence).await
}

/// The same where the host is in this state.
async fn asked_in(
    role: Role,
    (state, duty): (StateName, Duty),
    sentence: &str,
) -> (anyhow::Result<Exit>, String, Vec<Request>) {
    let folder = configured(role);
    let fake = Fake::start_in(folder.path(), role, move |request| match request {
        Request::Status => yes(Status { state, duty, ..status(role) }),
        Request::History { .. } | Request::PeerHistory { .. } => yes([(); 0]),
        _ => Some(Err("the test refuses it".to_owned())),
    });
    let config = folder.path().join("failover.ron");
    let place = Place { config: &config, run_dir: folder.path(), role: None };
    let words = ["-c".to_owned(), sentence.to_owned()];
    let (ended, said) = printed(async |out| run(place, &words, out).await).await;
    let orders = fake.asked().into_iter().filter(|request| {
        !matches!(
            request,
            Request::Status | Request::PeerStatus | Request::History { .. } | Request::PeerHistory { .. }
        )
    });
    (ended, said, orders.collect())
}

#[test]
fn the_sentences_of_cmgr_are_read_with_and_without_cluster_and_group() {
    let node = |name: &str| Some(name.to_owned());
    for (text, sentence) in [
        ("show status of resource_group mail in cluster mail", Sentence::ShowStatus),
        ("show status of node cfg1", Sentence::ShowStatus),
        ("start ha_services on node cfg1 for cluster mail", Sentence::StartServices { node: node("cfg1") }),
        ("start ha_services", Sentence::StartServices { node: None }),
        ("stop ha_services on node cfg1 force", Sentence::StopServices { node: node("cfg1"), force: true }),
        ("admin move resource_group mail in cluster mail to node cfg2", Sentence::Move { node: "cfg2".to_owned() }),
        ("offline force", Sentence::OfflineForce),
        ("admin offline_force resource_group mail in cluster mail", Sentence::OfflineForce),
        ("admin maintenance_on resource_group mail", Sentence::Maintenance { on: true }),
        ("admin maintenance_off resource_group mail", Sentence::Maintenance { on: false }),
        ("admin reset node cfg1", Sentence::ResetNode { node: "cfg1".to_owned() }),
    ] {
        assert_eq!(parsed(text), Ok(Some(sentence)), "{text}");
    }
    for text in ["", "  \n", "# a comment", "set cluster mail"] {
        assert_eq!(parsed(text), Ok(None), "{text}");
    }
}

#[test]
fn what_cmgr_had_and_the_pair_has_not_is_said_with_what_there_is_instead() {
    for (text, instead) in [
        ("admin online resource_group mail in cluster mail", "start-alone"),
        ("admin offline resource_group mail in cluster mail", "maintenance on"),
        ("define resource web1 of resource_type web", "failover.ron"),
        ("show resource_types", "failoverctl check"),
        ("test connectivity in cluster mail", "--dry-run"),
        ("make coffee", "known are"),
        ("admin move resource_group mail", "to node HOST"),
        ("admin reset", "node HOST"),
    ] {
        let refusal = parsed(text).unwrap_err();
        assert!(refusal.contains(instead), "{text}: {refusal}");
    }
}

#[tokio::test]
async fn offline_force_and_a_move_become_the_commands_of_the_pair() {
    let (_, said, orders) = asked(Role::Slave, "admin offline_force resource_group mail in cluster mail").await;
    assert!(matches!(&orders[..], [Request::ForceOffline { reason, .. }] if reason.contains("cmgr")), "{orders:?}");
    assert!(said.starts_with("failoverctl force-offline cfg2 "), "{said}");
    for (node, to) in [("cfg2", Role::Slave), ("cfg1", Role::Master)] {
        let (_, said, orders) = asked(Role::Slave, &format!("admin move resource_group mail to node {node}")).await;
        assert!(matches!(&orders[..], [Request::Move { to: asked, .. }] if *asked == to), "{orders:?}");
        assert!(said.contains("failoverctl take"), "{said}");
    }
    let (_, _, orders) = asked(Role::Master, "admin maintenance_on resource_group mail").await;
    assert!(matches!(&orders[..], [Request::MaintenanceOn { span_ms: 604_800_000, .. }]), "{orders:?}");
    let (refused, ..) = asked(Role::Slave, "admin move resource_group mail to node cfg3").await;
    assert!(refused.unwrap_err().to_string().contains("cfg3 is no host of this pair"));
}

#[tokio::test]
async fn a_status_that_cmgr_shows_asks_the_daemon_and_changes_nothing() {
    let (ended, said, orders) = asked(Role::Slave, "show status of resource_group mail in cluster mail").await;
    assert_eq!((ended.unwrap(), orders.len()), (Exit::Ok, 0));
    assert!(said.contains("Owner: cfg1"), "{said}");
}

#[tokio::test]
async fn ha_services_stop_after_the_service_was_given_away_and_only_on_the_named_node() {
    let stop = |role| Deed::Systemctl(["stop".to_owned(), format!("failover-{role}")]);
    let give_away = obey(&["hand-over", "--reason", "cmgr: stop ha_services"]);
    assert_eq!(stop_services(Role::Master, false), [give_away, stop(Role::Master)]);
    assert_eq!(stop_services(Role::Master, true), [stop(Role::Master)]);
    for (sentence, refusal) in [
        ("stop ha_services for cluster mail", "one node at a time"),
        ("start ha_services on node cfg2", "is not this host"),
    ] {
        let (ended, ..) = asked(Role::Master, sentence).await;
        let said = ended.unwrap_err().to_string();
        assert!(said.contains(refusal), "{said}");
    }
}

#[tokio::test]
async fn ha_services_do_not_stop_in_the_middle_of_a_start_or_a_stop_or_where_a_person_has_to_look() {
    let sentence = format!("stop ha_services on node {}", failover_shared::host::name().unwrap());
    for moment in [(StateName::Starting, Duty::Starting), (StateName::Stopping, Duty::Stopping)] {
        // The other host is asked for; the test refuses it, and so the daemon is not ended.
        let (ended, said, orders) = asked_in(Role::Master, moment, &sentence).await;
        assert!(ended.unwrap_err().to_string().contains("the test refuses it"), "{said}");
        assert!(matches!(&orders[..], [Request::Move { to: Role::Slave, .. }]), "{moment:?}: {orders:?}");
    }
    let (ended, said, orders) = asked_in(Role::Master, (StateName::FailedStop, Duty::Held), &sentence).await;
    assert_eq!((ended.unwrap(), orders.len()), (Exit::Warning, 0), "{said}");
    assert!(said.contains("is in FailedStop, and the service or parts of it may run there"), "{said}");
}

#[tokio::test]
async fn a_sentence_without_an_end_is_not_read_to_its_end() {
    let folder = configured(Role::Slave);
    let (config, file) = (folder.path().join("failover.ron"), folder.path().join("sentences"));
    let place = Place { config: &config, run_dir: folder.path(), role: None };
    fs::write(&file, "x".repeat(1_000_000)).unwrap();
    let words = ["-f".to_owned(), file.display().to_string()];
    let (ended, _) = printed(async |out| run(place, &words, out).await).await;
    assert_eq!(ended.unwrap_err().to_string(), "a line of more than 4096 bytes is no sentence");
}

#[tokio::test]
async fn sentences_of_a_file_end_at_the_first_that_fails() {
    let folder = configured(Role::Slave);
    let fake = Fake::start_in(folder.path(), Role::Slave, |_| yes(status(Role::Slave)));
    let (config, file) = (folder.path().join("failover.ron"), folder.path().join("sentences"));
    let place = Place { config: &config, run_dir: folder.path(), role: None };
    let words = ["-f".to_owned(), file.display().to_string()];
    fs::write(&file, "# both\nset cluster mail\nshow status\nquit\nmake coffee\n").unwrap();
    let (ended, said) = printed(async |out| run(place, &words, out).await).await;
    assert_eq!((ended.unwrap(), said.matches("Owner: cfg1").count()), (Exit::Ok, 1), "{said}");
    fs::write(&file, "make coffee\nshow status\n").unwrap();
    let (ended, said) = printed(async |out| run(place, &words, out).await).await;
    assert!(ended.unwrap_err().to_string().contains("not understood") && said.is_empty(), "{said}");
    drop(fake);
}
