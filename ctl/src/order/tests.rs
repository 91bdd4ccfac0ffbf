use clap::Parser as _;
use failover_shared::control::Reply;

use super::*;
use crate::fake::{Fake, printed, status, yes};

fn fake(answer: fn() -> Option<Reply>) -> Fake {
    Fake::start(Role::Slave, move |request| match request {
        Request::Status => yes(status(Role::Slave)),
        _ => answer(),
    })
}

#[tokio::test]
async fn a_host_is_named_by_role_by_name_or_by_full_name() {
    for word in ["master", "cfg1", "cfg1.example.org"] {
        let fake = fake(|| yes("recorded"));
        let daemon = fake.daemon();
        let order = ConfirmStopped { host: word.into(), reason: "power is off".into(), epoch: Some(7) };
        let (exit, text) = printed(async |out: &mut Out<'_>| confirm_stopped(&daemon, &order, out).await).await;
        assert_eq!(exit.unwrap(), Exit::Ok, "{text}");
        assert!(text.contains("accepted: recorded"), "{text}");
        let asked = fake.asked();
        let Some(Request::ConfirmStopped { host, reason, epoch, .. }) = asked.last() else { panic!("{asked:?}") };
        assert_eq!((*host, reason.as_str(), *epoch), (Role::Master, "power is off", Some(Epoch(7))));
    }
}

#[tokio::test]
async fn a_host_of_another_pair_is_refused_with_the_names_of_this_one() {
    let fake = fake(|| yes("recorded"));
    let daemon = fake.daemon();
    let order = ConfirmStopped { host: "cfg9".into(), reason: "x".into(), epoch: None };
    let (exit, _) = printed(async |out: &mut Out<'_>| confirm_stopped(&daemon, &order, out).await).await;
    let error = exit.unwrap_err().to_string();
    assert!(error.contains("cfg1 (master)") && error.contains("cfg2 (slave)"), "{error}");
    assert_eq!(fake.asked(), [Request::Status]);
}

#[tokio::test]
async fn a_failed_stop_is_cleared_only_on_its_own_host() {
    let fake = fake(|| yes("recorded"));
    let daemon = fake.daemon();
    let elsewhere = ForceOffline { host: "cfg1".into(), reason: "looked".into() };
    let (exit, _) = printed(async |out: &mut Out<'_>| force_offline(&daemon, &elsewhere, out).await).await;
    assert!(exit.unwrap_err().to_string().contains("give the command on cfg1"));
    let here = ForceOffline { host: "slave".into(), reason: "looked".into() };
    let (exit, _) = printed(async |out: &mut Out<'_>| force_offline(&daemon, &here, out).await).await;
    assert_eq!(exit.unwrap(), Exit::Ok);
    assert!(matches!(fake.asked().last(), Some(Request::ForceOffline { .. })));
}

#[tokio::test]
async fn a_refusal_reaches_the_operator_in_the_daemons_words() {
    let fake = fake(|| Some(Err("no take-over waits for a confirmation".into())));
    let daemon = fake.daemon();
    let (exit, text) = printed(async |out: &mut Out<'_>| acknowledge(&daemon, out).await).await;
    assert_eq!(exit.unwrap_err().to_string(), "refused: no take-over waits for a confirmation");
    assert_eq!(text, "");
}

#[tokio::test]
async fn maintenance_has_an_end_and_a_name() {
    #[derive(clap::Parser)]
    struct Typed {
        #[command(subcommand)]
        order: Maintenance,
    }
    let typed = |words: &str| Typed::try_parse_from(words.split(' '));
    for refused in
        ["maintenance on --reason disks", "maintenance on --for 2h", "maintenance on --for never --reason disks"]
    {
        assert!(typed(refused).is_err(), "{refused}");
    }
    let fake = fake(|| yes("maintenance begins"));
    let daemon = fake.daemon();
    for words in ["maintenance on --for 2h --reason disks", "maintenance off"] {
        let order = typed(words).unwrap_or_else(|why| panic!("{why}")).order;
        let (exit, text) = printed(async |out: &mut Out<'_>| maintenance(&daemon, &order, out).await).await;
        assert_eq!(exit.unwrap(), Exit::Ok, "{text}");
    }
    let by = commander();
    assert!(!by.is_empty());
    let reason = "disks".to_string();
    let on = Request::MaintenanceOn { by: by.clone(), reason, span_ms: 7_200_000 };
    assert_eq!(fake.asked(), [on, Request::MaintenanceOff { by, reason: "the work is done".into() }]);
}
