use std::sync::{Arc, Mutex};

use failover_shared::decision::{Duty, Epoch, StateName};
use failover_shared::status::{Status, StepStatus};
use serde_json::{Value, json};

use super::*;
use crate::fake::{Fake, entry, printed, status, yes};

/// What the pair looks like from one look on: the slave's view, the master's, and what their journals got.
#[derive(Clone)]
struct Scene {
    slave: Status,
    master: Status,
    slave_wrote: Vec<Value>,
    master_wrote: Vec<Value>,
}

fn scene() -> Scene {
    Scene { slave: status(Role::Slave), master: status(Role::Master), slave_wrote: vec![], master_wrote: vec![] }
}

fn in_state(status: &mut Status, state: StateName, duty: Duty) {
    status.state = state;
    status.duty = duty;
    status.way_out = state.way_out().into();
}

/// A slave whose pair goes through the scenes, one each time it is asked for its status; the last one stays.
fn play(scenes: Vec<Scene>) -> Fake {
    let now = Arc::new(Mutex::new(0_usize));
    let journal = |scenes: &[Scene], upto: usize, of: fn(&Scene) -> &Vec<Value>| -> Vec<Value> {
        scenes.iter().take(upto).flat_map(|scene| of(scene).clone()).collect()
    };
    Fake::start(Role::Slave, move |request| {
        let mut now = now.lock().unwrap();
        if *request == Request::Status {
            *now = (*now + 1).min(scenes.len());
        }
        let scene = &scenes[now.saturating_sub(1)];
        match request {
            Request::Status => yes(&scene.slave),
            Request::PeerStatus => yes(&scene.master),
            Request::History { after, count } => {
                let mut entries = journal(&scenes, *now, |scene| &scene.slave_wrote);
                entries.retain(|entry| entry["sequence"].as_u64().unwrap() > *after);
                entries.drain(..entries.len().saturating_sub(*count as usize));
                yes(entries)
            }
            Request::PeerHistory { .. } => yes(journal(&scenes, *now, |scene| &scene.master_wrote)),
            Request::Move { .. } => yes("moving the service to the slave"),
            _ => None,
        }
    })
}

fn arguments(wait_ms: u64) -> Arguments {
    Arguments {
        reason: "test".into(),
        dry_run: false,
        despite_config_difference: false,
        despite_old_copy: false,
        wait: Duration::from_millis(wait_ms),
    }
}

async fn takeover(scenes: Vec<Scene>, wait_ms: u64) -> (Exit, String) {
    let fake = play(scenes);
    let daemon = fake.daemon();
    let flags = arguments(wait_ms);
    let (exit, text) = printed(async |out: &mut Out<'_>| run(&daemon, Role::Slave, &flags, out).await).await;
    (exit.unwrap(), text)
}

#[tokio::test]
async fn the_steps_of_both_hosts_are_shown_in_order_until_the_target_is_active() {
    let mut before = scene();
    before.slave_wrote.push(entry(1, "2026-11-21T06:00:00Z", "state", "old news", json!({})));
    before.master_wrote.push(entry(1, "2026-11-21T06:00:01Z", "state", "old news there", json!({})));
    let mut stopping = scene();
    in_state(&mut stopping.slave, StateName::Requesting, Duty::Requesting);
    in_state(&mut stopping.master, StateName::Stopping, Duty::Stopping);
    let step =
        json!({"list": "stop", "index": 1, "of": 2, "command": "./stop.sh", "result": "exit 0", "duration_ms": 40});
    stopping.slave_wrote.push(entry(2, "2026-11-21T06:45:00.000Z", "decision", "demand", json!({})));
    stopping.master_wrote.push(entry(2, "2026-11-21T06:45:00.010Z", "step", "", step));
    stopping.slave_wrote.push(entry(3, "2026-11-21T06:45:00.020Z", "decision", "acknowledged", json!({})));
    let mut active = stopping.clone();
    (active.slave_wrote, active.master_wrote) = (vec![], vec![]);
    in_state(&mut active.slave, StateName::Active, Duty::Active);
    (active.slave.epoch, active.slave.owned) = (Epoch(8), Epoch(8));
    in_state(&mut active.master, StateName::Standby, Duty::Standby);

    let (exit, text) = takeover(vec![before, stopping, active], 60_000).await;
    assert_eq!(exit, Exit::Ok, "{text}");
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what:?} is missing in:\n{text}"));
    assert!(
        at("demand") < at("stop 1/2 ./stop.sh exit 0 after 40 ms") && at("./stop.sh") < at("acknowledged"),
        "{text}"
    );
    assert!(text.contains("done: the service runs on cfg2 in epoch 8"), "{text}");
    assert!(!text.contains("old news"), "{text}");
}

#[tokio::test]
async fn a_wait_that_is_over_says_still_running_and_never_failed() {
    let mut starting = scene();
    in_state(&mut starting.slave, StateName::Starting, Duty::Starting);
    starting.slave.step =
        Some(StepStatus { list: "start".into(), index: 3, of: 4, command: "./three.sh".into(), age_ms: 61_000 });
    let (exit, text) = takeover(vec![scene(), starting], 400).await;
    assert_eq!(exit, Exit::Warning);
    assert!(text.contains("still running"), "{text}");
    assert!(text.contains("start step 3 of 4 on cfg2"), "{text}");
    assert!(!text.contains("failed"), "{text}");
}

#[tokio::test]
async fn a_blocked_take_over_ends_with_the_way_out() {
    let mut blocked = scene();
    in_state(&mut blocked.slave, StateName::TakeoverBlocked, Duty::Held);
    blocked.slave.last_reason = Some("No allowed proof of stop came: a person has to decide.".into());
    let (exit, text) = takeover(vec![scene(), blocked], 60_000).await;
    assert_eq!(exit, Exit::Failed);
    assert!(text.contains("TakeoverBlocked") && text.contains("confirm-stopped"), "{text}");
}

#[tokio::test]
async fn a_refusal_between_two_looks_is_found_in_the_journal() {
    let mut refused = scene();
    let fields = json!({"rule": "PeerRefused", "evidence": ["the host is in maintenance"]});
    refused.slave_wrote.push(entry(5, "2026-11-21T06:45:00Z", "decision", "", fields));
    let (exit, text) = takeover(vec![scene(), refused], 60_000).await;
    assert_eq!(exit, Exit::Failed);
    assert!(text.contains("given up") && text.contains("the host is in maintenance"), "{text}");
}

#[tokio::test]
async fn a_failed_start_is_told_when_the_service_is_back_where_it_was() {
    let mut failed = scene();
    in_state(&mut failed.slave, StateName::FailedStart, Duty::Held);
    // The last reason is another one by then: the answer to the demand that rolls back.
    failed.slave.last_reason = Some("The peer's demand found nothing running here: acknowledged.".into());
    let fields = json!({"rule": "StartFailed", "evidence": ["start step 2: exit 1", "master: standby"]});
    failed.slave_wrote.push(entry(5, "2026-11-21T06:45:00Z", "decision", "", fields));
    in_state(&mut failed.master, StateName::Starting, Duty::Starting);
    let mut back = failed.clone();
    in_state(&mut back.master, StateName::Active, Duty::Active);
    back.master.owned = Epoch(9);
    let (exit, text) = takeover(vec![scene(), failed, back], 60_000).await;
    assert_eq!(exit, Exit::Failed);
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("failed (start step 2: exit 1); the service is back on cfg1, in epoch 9"), "{text}");
}

#[tokio::test]
async fn an_epoch_that_was_there_before_is_not_the_moves_success() {
    let mut old = scene();
    in_state(&mut old.slave, StateName::Active, Duty::Active);
    let (exit, text) = takeover(vec![scene(), old], 400).await;
    assert_eq!(exit, Exit::Warning, "{text}");
}

#[tokio::test]
async fn a_dry_run_commands_nothing_and_names_what_it_did_not_verify() {
    let fake = play(vec![scene()]);
    let daemon = fake.daemon();
    let flags = Arguments { dry_run: true, ..arguments(1_000) };
    let (exit, text) = printed(async |out: &mut Out<'_>| run(&daemon, Role::Slave, &flags, out).await).await;
    assert_eq!(exit.unwrap(), Exit::Ok);
    assert!(text.contains("not verified"), "{text}");
    assert!(matches!(fake.asked().as_slice(), [Request::Move { dry_run: true, to: Role::Slave, .. }]));
}

#[tokio::test]
async fn a_silent_peer_does_not_hold_up_the_view_of_this_host() {
    let mut alone = scene();
    alone.slave.peer.silent = true;
    in_state(&mut alone.slave, StateName::Requesting, Duty::Requesting);
    let mut active = alone.clone();
    in_state(&mut active.slave, StateName::Active, Duty::Active);
    active.slave.owned = Epoch(8);
    let (exit, text) = takeover(vec![alone.clone(), alone, active], 60_000).await;
    assert_eq!(exit, Exit::Ok, "{text}");
}
