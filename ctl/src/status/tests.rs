use std::time::{Duration, Instant};

use failover_shared::control::Request;
use failover_shared::decision::{Duty, Epoch, Role, StateName, Symptom, Verdict};
use failover_shared::status::Status;

use failover_shared::status::{
    ArbiterStatus, Failing, FenceSays, FenceStatus, FencedStatus, GuardianStatus, MaintenanceStatus, OwnLease,
    PeerLease, SlotSays,
};

use super::*;
use crate::fake::{Fake, printed, status, yes};

const PLAIN: Arguments = Arguments { json: false, watch: false };
const JSON: Arguments = Arguments { json: true, watch: false };

/// The screen and the exit code for a view; the peer's own view is given where it answers.
async fn screen(here: Status, there: Option<Status>, arguments: &Arguments) -> (Exit, String) {
    let role = here.role;
    let fake = Fake::start(role, move |request| match request {
        Request::Status => yes(&here),
        Request::PeerStatus => there.as_ref().and_then(yes),
        _ => None,
    });
    let (exit, text) = printed(async |out: &mut Out<'_>| run(Ok(fake.daemon()), arguments, out).await).await;
    (exit.unwrap(), text)
}

#[tokio::test]
async fn a_pair_that_is_well_shows_no_mark_and_exits_0() {
    let (exit, text) = screen(status(Role::Slave), Some(status(Role::Master)), &PLAIN).await;
    assert_eq!(exit, Exit::Ok, "{text}");
    assert!(text.contains("OK  the service runs on cfg1; its own checks pass"), "{text}");
    assert!(!text.lines().any(|line| line.starts_with(" !") || line.starts_with(" ?")), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[tokio::test]
async fn the_master_stands_above_the_slave_on_both_hosts() {
    for role in [Role::Master, Role::Slave] {
        let (_, text) = screen(status(role), None, &PLAIN).await;
        assert!(text.find("cfg1 ").unwrap() < text.find("\n   cfg2 ").unwrap(), "{text}");
    }
}

#[tokio::test]
async fn the_risk_of_a_time_out_is_on_the_screen_even_when_all_is_well() {
    let mut here = status(Role::Slave);
    here.risks = vec!["Timeout is allowed as a proof: two actives are possible".into()];
    let (exit, text) = screen(here, None, &PLAIN).await;
    assert_eq!(exit, Exit::Ok);
    assert!(text.contains(" ! risk        Timeout is allowed as a proof: two actives are possible"), "{text}");
}

#[tokio::test]
async fn what_a_silent_host_said_last_is_marked_and_no_fact() {
    let mut here = status(Role::Slave);
    here.peer.silent = true;
    here.peer.heard_age_ms = Some(12_300);
    here.state = StateName::Suspect;
    let (exit, text) = screen(here, None, &PLAIN).await;
    assert_eq!(exit, Exit::Failed, "{text}");
    let row = text.lines().find(|line| line.contains("cfg1") && line.contains("master")).unwrap();
    assert!(row.starts_with(" ?") && row.contains("?active") && row.contains("12.3 s ago"), "{row}");
    assert!(text.contains("CRITICAL  cfg2 does not run the service; cfg1 was last heard 12.3 s ago"), "{text}");
}

#[tokio::test]
async fn two_actives_are_critical_and_both_rows_are_marked() {
    let mut here = status(Role::Slave);
    here.duty = Duty::Active;
    here.state = StateName::Active;
    let (exit, text) = screen(here, None, &PLAIN).await;
    assert_eq!(exit, Exit::Failed);
    assert!(text.contains("BOTH hosts say that they run the service"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with(" ! cfg")).count(), 2, "{text}");
}

#[tokio::test]
async fn a_failed_check_and_an_old_one_have_their_marks() {
    let mut here = status(Role::Slave);
    here.checks[0].verdict = Verdict::Failed(Symptom::TimedOut);
    let mut old = here.checks[0].clone();
    old.name = "imap".into();
    old.verdict = Verdict::Passed;
    old.age_ms = Some(10_001);
    here.checks.push(old);
    let (_, text) = screen(here, None, &PLAIN).await;
    assert!(text.lines().any(|line| line.starts_with(" ! check") && line.contains("FAILED")), "{text}");
    assert!(text.lines().any(|line| line.starts_with(" ? check") && line.contains("unknown")), "{text}");
}

#[tokio::test]
async fn a_check_that_is_asked_seldom_is_not_old_before_its_own_time() {
    let mut here = status(Role::Slave);
    here.checks[0].age_ms = Some(250_000);
    here.checks[0].stale_after_ms = Some(3 * 120_000 + 4_000);
    let (_, text) = screen(here.clone(), None, &PLAIN).await;
    assert!(text.lines().any(|line| line.starts_with("   check") && line.contains("passed")), "{text}");
    // A daemon of an older version does not tell how often it asks.
    here.checks[0].stale_after_ms = None;
    let (_, text) = screen(here, None, &PLAIN).await;
    assert!(text.lines().any(|line| line.starts_with(" ? check") && line.contains("unknown")), "{text}");
}

#[tokio::test]
async fn a_host_that_is_heard_but_does_not_hear_us_is_named() {
    let mut there = status(Role::Master);
    there.peer.silent = true;
    there.peer.heard_age_ms = Some(5_000);
    let (_, text) = screen(status(Role::Slave), Some(there), &PLAIN).await;
    assert!(text.contains("cfg1 is heard here, but it does not hear cfg2: last 5.0 s ago"), "{text}");
}

#[tokio::test]
async fn a_peer_that_never_answers_leaves_the_screen_as_it_is() {
    let began = Instant::now();
    let (exit, text) = screen(status(Role::Slave), None, &PLAIN).await;
    assert_eq!(exit, Exit::Ok);
    assert!(text.contains("active"), "{text}");
    // The bound of the question, not a measurement: without it this would take the control socket's 30 s.
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_silent_peer_is_not_even_asked() {
    let mut here = status(Role::Slave);
    here.peer.silent = true;
    let fake = Fake::start(Role::Slave, move |_| yes(&here));
    Views::look(&fake.daemon()).await.unwrap();
    assert_eq!(fake.asked(), [Request::Status]);
}

#[tokio::test]
async fn json_carries_both_views_and_the_exit_code() {
    let (exit, text) = screen(status(Role::Slave), Some(status(Role::Master)), &JSON).await;
    assert_eq!(exit, Exit::Ok);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["severity"], "ok");
    assert_eq!(value["exit_code"], 0);
    assert_eq!(value["here"]["host"], "cfg2");
    assert_eq!(value["there"]["host"], "cfg1");
}

#[tokio::test]
async fn without_a_daemon_the_code_is_3_in_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let find = || Daemon::find(folder.path(), None);
    let (exit, text) = printed(async |out: &mut Out<'_>| run(find(), &JSON, out).await).await;
    assert_eq!(exit.unwrap(), Exit::Unknown);
    assert!(text.contains("\"severity\":\"unknown\""), "{text}");
    let (plain, _) = printed(async |out: &mut Out<'_>| run(find(), &PLAIN, out).await).await;
    assert!(plain.unwrap_err().to_string().contains("next:"));
}

/// The same pair with a lease and a fence, all well.
fn leased(role: Role) -> Status {
    let mut view = status(role);
    let own = OwnLease { epoch: Epoch(7), renewed_age_ms: 1_200, stops_in_ms: Some(10_800), hold: false };
    view.arbiter = Some(ArbiterStatus {
        kind: "shared storage".into(),
        place: "/mnt/failover-lease".into(),
        answered_age_ms: Some(900),
        failing: None,
        own: (role == Role::Master).then_some(own),
        seen: Some(PeerLease { age_ms: 1_500, claim: Some((Epoch(7), Role::Master)), slot: SlotSays::Held }),
    });
    view.guardian = GuardianStatus {
        required: true,
        pid: Some(4_711),
        answered_age_ms: Some(300),
        state: Some("guards the lease, the watchdog is open".into()),
        device: Some("watchdog /dev/watchdog".into()),
        trouble: None,
    };
    view.fence = vec![FenceStatus {
        device: "fence[1] fence_ipmilan".into(),
        said: Some(FenceSays::On),
        age_ms: Some(90_000),
        stale_after_ms: 700_000,
    }];
    view
}

fn failing(unusable: bool) -> Option<Failing> {
    Some(Failing { why: "the arbiter did not answer in time".into(), age_ms: 5_000, unusable })
}

#[tokio::test]
async fn a_lease_that_is_well_is_shown_without_a_mark_on_both_hosts() {
    let (exit, text) = screen(leased(Role::Master), None, &PLAIN).await;
    assert_eq!(exit, Exit::Ok, "{text}");
    assert!(!text.lines().any(|line| line.starts_with(" !") || line.starts_with(" ?")), "{text}");
    for wanted in [
        "   arbiter     shared storage /mnt/failover-lease: answered 900 ms ago",
        "   lease       held here, epoch 7, renewed 1.2 s ago; holds 10.8 s more",
        "   guardian    process 4711: guards the lease, the watchdog is open, 300 ms ago",
        "   fence       fence[1] fence_ipmilan: cfg2 is on, ",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
    }
    let (exit, text) = screen(leased(Role::Slave), None, &PLAIN).await;
    assert_eq!(exit, Exit::Ok, "{text}");
    assert!(text.contains("   lease       cfg1 held epoch 7, when it was read 1.5 s ago"), "{text}");
}

#[tokio::test]
async fn an_old_look_at_arbiter_or_fence_is_no_fact() {
    let mut here = leased(Role::Slave);
    let arbiter = here.arbiter.as_mut().unwrap();
    (arbiter.answered_age_ms, arbiter.seen.as_mut().unwrap().age_ms) = (Some(61_000), 61_000);
    here.fence[0].age_ms = Some(700_001);
    let (_, text) = screen(here, None, &PLAIN).await;
    for wanted in [" ! arbiter ", " ? lease ", " ? fence "] {
        assert!(text.lines().any(|line| line.starts_with(wanted)), "{wanted:?} begins no line of\n{text}");
    }
    assert!(!text.contains("cfg1 is on"), "{text}");
}

#[tokio::test]
async fn a_failing_arbiter_degrades_and_says_when_the_service_stops() {
    let mut here = leased(Role::Master);
    here.arbiter.as_mut().unwrap().failing = failing(false);
    let (exit, text) = screen(here.clone(), None, &PLAIN).await;
    assert_eq!(exit, Exit::Ok, "one attempt is no news: {text}");
    here.arbiter.as_mut().unwrap().failing = failing(true);
    let (exit, text) = screen(here, None, &PLAIN).await;
    assert_eq!(exit, Exit::Warning, "{text}");
    assert!(
        text.contains("DEGRADED") && text.contains(" ! arbiter     the arbiter did not answer in time, for 5.0 s;")
    );
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("if it is not back within 10.8 s, the service stops here"), "{text}");
}

#[tokio::test]
async fn a_missing_or_silent_guardian_is_critical_where_a_lease_needs_it_and_only_there() {
    let missing = |guardian: GuardianStatus| Status { guardian, ..leased(Role::Master) };
    let none = GuardianStatus { required: true, trouble: Some("--no-guardian".into()), ..GuardianStatus::default() };
    let silent = GuardianStatus { answered_age_ms: Some(5_001), ..leased(Role::Master).guardian };
    for guardian in [none.clone(), silent] {
        let (exit, text) = screen(missing(guardian), None, &PLAIN).await;
        assert_eq!(exit, Exit::Failed, "{text}");
        assert!(text.contains(" ! guardian    missing: "), "{text}");
    }
    let (exit, text) = screen(Status { guardian: none, ..status(Role::Master) }, None, &PLAIN).await;
    assert_eq!(exit, Exit::Failed, "{text}");
    let unneeded = GuardianStatus::default();
    let (exit, text) = screen(Status { guardian: unneeded, ..status(Role::Master) }, None, &PLAIN).await;
    assert_eq!(exit, Exit::Ok, "{text}");
}

#[tokio::test]
async fn a_dead_fence_device_a_fenced_host_and_runaway_clocks_degrade() {
    let unwell: [fn(&mut Status); 4] = [
        |view| view.fence[0].said = Some(FenceSays::Unknown("no route to host".into())),
        |view| view.fence[0].said = Some(FenceSays::Off),
        |view| view.fenced = Some(FencedStatus { host: "cfg1".into(), at_least_ms: 61_000 }),
        |view| view.clocks_beyond_drift = true,
    ];
    for change in unwell {
        let mut here = leased(Role::Slave);
        change(&mut here);
        let (exit, text) = screen(here, None, &PLAIN).await;
        assert_eq!(exit, Exit::Warning, "{text}");
        assert!(text.lines().any(|line| line.starts_with(" ! ")), "{text}");
    }
}

#[tokio::test]
async fn a_view_of_an_older_version_has_nothing_to_say_of_the_lease() {
    let mut value = serde_json::to_value(status(Role::Slave)).unwrap();
    for key in
        ["guarantee", "risks", "arbiter", "guardian", "fence", "fenced", "clocks_differ_ms", "clocks_beyond_drift"]
    {
        value.as_object_mut().unwrap().remove(key).unwrap();
    }
    let older: Status = serde_json::from_value(value).unwrap();
    let (exit, text) = screen(older, None, &PLAIN).await;
    assert_eq!(exit, Exit::Ok, "{text}");
}

#[tokio::test]
async fn maintenance_says_who_why_and_how_long_on_both_hosts() {
    let order = MaintenanceStatus {
        by: "ann".into(),
        reason: "new disks".into(),
        began_utc: "2026-11-21T06:00:00Z".into(),
        left_ms: 4_500_000,
    };
    let (exit, text) = screen(Status { maintenance: Some(order.clone()), ..status(Role::Master) }, None, &PLAIN).await;
    assert_eq!(exit, Exit::Warning, "{text}");
    assert!(text.contains(" ! maintenance by ann since 2026-11-21 06:00:00Z: new disks;"), "{text}");
    assert!(text.contains("1 h 15 min"), "{text}");
    let mut here = status(Role::Slave);
    here.peer.maintenance = Some(true);
    let there = Status { maintenance: Some(order), ..status(Role::Master) };
    let (exit, text) = screen(here.clone(), Some(there), &PLAIN).await;
    assert_eq!(exit, Exit::Warning, "{text}");
    assert!(text.contains(" ! maintenance cfg1: by ann since"), "{text}");
    let (_, text) = screen(here, None, &PLAIN).await;
    assert!(text.contains(" ! maintenance cfg1: was in maintenance when it was heard last"), "{text}");
}
